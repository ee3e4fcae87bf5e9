//! `[events]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The record of what happened, which everything that follows the host reads.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Events {
    /// How many days events are kept.
    #[schemars(range(min = 1, max = 3650))]
    pub retention_days: u32,
}

impl Default for Events {
    fn default() -> Self {
        Self { retention_days: 30 }
    }
}
