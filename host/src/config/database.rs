//! `[database]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What stands in place of a secret.
pub(super) const MASK: &str = "********";

/// The database.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// `sqlite://<file>` (relative to the configuration file, made when missing) or `postgres://user:password@host/name`. Without
    /// it: `zotify.db` in `server.data_dir`. Percent-encode special characters in passwords and file names.
    #[schemars(extend("format" = "database-url", "writeOnly" = true))]
    pub url: String,
    /// Save the database to `backups` in `server.data_dir` before a newer version of the host changes its schema. The last
    /// three such backups are kept. Without one, the host does not start.
    pub backup_before_migrate: bool,
}

impl Default for Database {
    fn default() -> Self {
        Self { url: String::new(), backup_before_migrate: true }
    }
}

impl Database {
    /// Whether the URL names a PostgreSQL server.
    pub fn is_postgres(&self) -> bool {
        is_postgres(&self.url)
    }

    /// The URL with its password masked.
    pub fn masked_url(&self) -> String {
        if !self.is_postgres() {
            return self.url.clone();
        }
        let Ok(mut url) = url::Url::parse(&self.url) else { return MASK.into() };
        if url.password().is_some() && url.set_password(Some(MASK)).is_err() {
            return MASK.into();
        }
        // Parameters may hold passwords as well (`?password=`, `?sslpassword=`) and are never needed to find a fault.
        if url.query().is_some() {
            url.set_query(Some(MASK));
        }
        url.into()
    }
}

/// Whether a database URL names a PostgreSQL server.
pub(super) fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database")
            .field("url", &self.masked_url())
            .field("backup_before_migrate", &self.backup_before_migrate)
            .finish()
    }
}
