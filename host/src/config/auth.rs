//! `[auth]`.

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::secrets::masked;

/// Who may make a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Registration {
    /// Everybody who reaches the server.
    Open,
    /// Holders of an invitation.
    Invite,
    /// Administrators only.
    #[default]
    Closed,
}

/// Users, sessions and passwords.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Who may make a user: everybody (`open`), holders of an invitation (`invite`), administrators only (`closed`).
    pub registration: Registration,
    /// How long an access token is valid, in minutes.
    #[schemars(range(min = 1, max = 1440))]
    pub access_token_minutes: u64,
    /// How long a session lives without being used, in days.
    #[schemars(range(min = 1, max = 3650))]
    pub session_days: u64,
    /// How long a browser's session lives, in hours.
    #[schemars(range(min = 1, max = 720))]
    pub ui_session_hours: u64,
    /// After how long without use a browser's session ends, in minutes.
    #[schemars(range(min = 2, max = 43_200))]
    pub ui_idle_minutes: u64,
    /// After how long access tokens are signed by a new key, in days. The former key is good for its tokens until they
    /// end.
    #[schemars(range(min = 1, max = 365))]
    pub signing_key_days: u64,
    /// The shortest password that can be set, in bytes of UTF-8.
    #[schemars(range(min = 8, max = 128))]
    pub password_min_length: usize,
    /// A key of the first administrator, for setting the server up by a program (`zotify-host key generate` prints one). The
    /// host makes it known at its start; taken away or changed, the former one is revoked at the next start. Best given as
    /// `ZOTIFY__AUTH__BOOTSTRAP_ADMIN_KEY_FILE`.
    #[serde(serialize_with = "masked")]
    #[schemars(with = "Option<String>", extend("format" = "api-key", "writeOnly" = true))]
    pub bootstrap_admin_key: Option<SecretString>,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            registration: Registration::Closed,
            access_token_minutes: 15,
            session_days: 30,
            ui_session_hours: 12,
            ui_idle_minutes: 60,
            signing_key_days: 30,
            password_min_length: 8,
            bootstrap_admin_key: None,
        }
    }
}
