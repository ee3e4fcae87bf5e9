//! API keys and what opens them (`api_keys`, `api_key_secrets`).

use sqlx::{FromRow, any::AnyExecutor};

/// A key that somebody shows, with its user, as they are now.
#[derive(Clone, Debug, FromRow)]
pub struct LiveKey {
    /// The key's id.
    pub id: String,
    /// Whose it is.
    pub user_id: String,
    /// Names with spaces between them.
    pub scopes: String,
    /// Unix milliseconds; none: never.
    pub expires_at: Option<i64>,
    /// When it was revoked, Unix milliseconds.
    pub revoked_at: Option<i64>,
    /// When it was last used, Unix milliseconds, to a minute.
    pub last_used_at: Option<i64>,
    /// The hash of the secret.
    pub hash: String,
    /// When this secret ends although the key does not, Unix milliseconds.
    pub secret_expires_at: Option<i64>,
    /// The user's name.
    pub name: String,
    /// The user's role.
    pub role: String,
    /// Not 0: the user may do nothing.
    pub disabled: i64,
    /// What an admin set as the user's quota, JSON.
    pub quota: Option<String>,
}

/// The key that a secret with this prefix opens. The secret's hash is the caller's to compare.
///
/// # Errors
/// When the database fails.
pub async fn find_live(db: impl AnyExecutor<'_>, prefix: &str) -> sqlx::Result<Option<LiveKey>> {
    sqlx::query_as(
        "SELECT k.id, k.user_id, k.scopes, k.expires_at, k.revoked_at, k.last_used_at, s.hash,
                s.expires_at AS secret_expires_at, u.name, u.role, u.disabled, u.quota
         FROM api_key_secrets s JOIN api_keys k ON k.id = s.key_id JOIN users u ON u.id = k.user_id
         WHERE s.prefix = $1",
    )
    .bind(prefix.to_owned())
    .fetch_optional(db)
    .await
}

/// The key with this id and its user; the secret that comes with it is its newest.
///
/// # Errors
/// When the database fails.
pub async fn find_live_by_id(db: impl AnyExecutor<'_>, id: &str) -> sqlx::Result<Option<LiveKey>> {
    sqlx::query_as(
        "SELECT k.id, k.user_id, k.scopes, k.expires_at, k.revoked_at, k.last_used_at, s.hash,
                s.expires_at AS secret_expires_at, u.name, u.role, u.disabled, u.quota
         FROM api_keys k JOIN users u ON u.id = k.user_id JOIN api_key_secrets s ON s.key_id = k.id
         WHERE k.id = $1 ORDER BY s.created_at DESC, s.prefix DESC LIMIT 1",
    )
    .bind(id.to_owned())
    .fetch_optional(db)
    .await
}
