//! `[quotas]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What each user may have, unless an admin gave that user something else.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Quotas {
    /// API keys that are not revoked.
    #[schemars(range(max = 10_000))]
    pub api_keys: u32,
    /// Sessions at once; another sign-in ends the one that was used longest ago.
    #[schemars(range(min = 1, max = 10_000))]
    pub sessions: u32,
    /// Liked tracks.
    #[schemars(range(max = 10_000_000))]
    pub likes: u32,
    /// Plays in the history; the oldest make room.
    #[schemars(range(max = 10_000_000))]
    pub plays: u32,
    /// Requests a minute; as many may come at once.
    #[schemars(range(min = 10, max = 10_000_000))]
    pub requests_per_minute: u32,
}

impl Default for Quotas {
    fn default() -> Self {
        Self { api_keys: 50, sessions: 50, likes: 100_000, plays: 100_000, requests_per_minute: 1200 }
    }
}
