//! `[limits]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How often one address may ask, whoever is signed in there. What one user may ask is in `[quotas]`. An IPv6 network of
/// /64 counts as one address; behind a proxy, name it in `server.trusted_proxies`, or all clients count as one.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests a minute from one address below `/api`; as many may come at once. 0: no limit.
    #[schemars(range(max = 10_000_000))]
    pub requests_per_minute_per_address: u32,
    /// Sign-ins, registrations and refreshes a minute from one address; as many may come at once. 0: no limit.
    #[schemars(range(max = 1_000_000))]
    pub sign_ins_per_minute_per_address: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { requests_per_minute_per_address: 6000, sign_ins_per_minute_per_address: 60 }
    }
}
