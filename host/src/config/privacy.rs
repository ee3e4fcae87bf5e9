//! `[privacy]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long things about users are kept, and how often they may ask for them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Privacy {
    /// How many days the audit log is kept.
    #[schemars(range(min = 30, max = 3650))]
    pub audit_days: u32,
    /// How many days the audit log knows who signed in from where. What is left then is that somebody did.
    #[schemars(range(min = 1, max = 3650))]
    pub sign_in_days: u32,
    /// How many days plays are kept; 0 keeps them for ever.
    #[schemars(range(max = 36_500))]
    pub history_days: u32,
    /// How often an hour a user may export what is held about them.
    #[schemars(range(min = 1, max = 1000))]
    pub exports_per_hour: u32,
}

impl Default for Privacy {
    fn default() -> Self {
        Self { audit_days: 400, sign_in_days: 90, history_days: 0, exports_per_hour: 5 }
    }
}
