//! `[secrets]`.

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize, Serializer};

use super::database::MASK;

/// The key that protects stored credentials.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SecretsSection {
    /// The key that seals stored credentials: 32 random bytes in base64 (`openssl rand -base64 32`). Needed with
    /// PostgreSQL, where several nodes share it. With SQLite a key file is made in the data folder instead. Best given
    /// as `ZOTIFY__SECRETS__MASTER_KEY_FILE`.
    #[serde(serialize_with = "masked")]
    #[schemars(with = "Option<String>", extend("format" = "master-key", "writeOnly" = true))]
    pub master_key: Option<SecretString>,
}

/// Shows that there is a secret, not which.
pub(super) fn masked<S: Serializer>(key: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    key.as_ref().map(|_| MASK).serialize(serializer)
}
