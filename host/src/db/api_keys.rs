//! API keys and what opens them (`api_keys`, `api_key_secrets`).

use sqlx::{FromRow, any::AnyExecutor};

use super::{Tx, query::Sql};

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
    /// Not 0: the configuration sets it.
    pub bootstrap: i64,
    /// When this secret ends although the key does not, Unix milliseconds.
    pub secret_expires_at: Option<i64>,
    /// The user's name.
    pub name: String,
    /// The user's role.
    pub role: String,
    /// Not 0: the user may do nothing.
    pub disabled: i64,
    /// Not 0: the user has to set another password first.
    pub must_change_password: i64,
    /// What an admin set as the user's quota, JSON.
    pub quota: Option<String>,
}

/// The key that a secret with this prefix opens. The secret's hash is the caller's to compare.
///
/// # Errors
/// When the database fails.
pub async fn find_live(db: impl AnyExecutor<'_>, prefix: &str) -> sqlx::Result<Option<LiveKey>> {
    sqlx::query_as(
        "SELECT k.id, k.user_id, k.scopes, k.expires_at, k.revoked_at, k.last_used_at, k.bootstrap, s.hash,
                s.expires_at AS secret_expires_at, u.name, u.role, u.disabled, u.must_change_password, u.quota
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
        "SELECT k.id, k.user_id, k.scopes, k.expires_at, k.revoked_at, k.last_used_at, k.bootstrap, s.hash,
                s.expires_at AS secret_expires_at, u.name, u.role, u.disabled, u.must_change_password, u.quota
         FROM api_keys k JOIN users u ON u.id = k.user_id JOIN api_key_secrets s ON s.key_id = k.id
         WHERE k.id = $1 ORDER BY s.created_at DESC, s.prefix DESC LIMIT 1",
    )
    .bind(id.to_owned())
    .fetch_optional(db)
    .await
}

/// A key as its owner and admins see it.
#[derive(Clone, Debug, FromRow)]
pub struct KeyRow {
    /// A ULID.
    pub id: String,
    /// Whose it is.
    pub user_id: String,
    /// The owner's name.
    pub user_name: String,
    /// What its owner calls it.
    pub name: String,
    /// Names with spaces between them.
    pub scopes: String,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds; none: never.
    pub expires_at: Option<i64>,
    /// Unix milliseconds, to a minute.
    pub last_used_at: Option<i64>,
    /// Unix milliseconds.
    pub revoked_at: Option<i64>,
    /// Not 0: the configuration sets it.
    pub bootstrap: i64,
    /// The beginning of the newest secret.
    pub prefix: String,
    /// The hash of the newest secret.
    pub hash: String,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT k.id, k.user_id, u.name AS user_name, k.name, k.scopes, k.created_at, k.expires_at, k.last_used_at, ",
            "k.revoked_at, k.bootstrap, s.prefix, s.hash FROM api_keys k JOIN users u ON u.id = k.user_id ",
            "JOIN api_key_secrets s ON s.key_id = k.id AND s.expires_at IS NULL ",
            $rest
        )
    };
}

/// Which keys to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only this user's.
    pub user_id: Option<String>,
    /// Those after this one, by time and id.
    pub after: Option<(i64, String)>,
    /// Rows at most.
    pub limit: i64,
}

/// Keys, newest first, revoked ones too.
///
/// # Errors
/// When the database fails.
pub async fn list(db: impl AnyExecutor<'_>, filter: Filter) -> sqlx::Result<Vec<KeyRow>> {
    let mut sql = Sql::new(select!("WHERE 1 = 1"));
    if let Some(user) = filter.user_id {
        sql.push(" AND k.user_id = ").bind(user);
    }
    if let Some((created_at, id)) = filter.after {
        sql.push(" AND (k.created_at < ").bind(created_at).push(" OR (k.created_at = ").bind(created_at);
        sql.push(" AND k.id < ").bind(id).push("))");
    }
    sql.push(" ORDER BY k.created_at DESC, k.id DESC LIMIT ").push_int(filter.limit);
    sql.query().fetch_all(db).await?.iter().map(KeyRow::from_row).collect()
}

/// One key.
///
/// # Errors
/// When the database fails.
pub async fn find(db: impl AnyExecutor<'_>, id: &str) -> sqlx::Result<Option<KeyRow>> {
    sqlx::query_as(select!("WHERE k.id = $1")).bind(id.to_owned()).fetch_optional(db).await
}

/// The keys that a configuration set and nobody revoked.
///
/// # Errors
/// When the database fails.
pub async fn open_bootstrap(db: impl AnyExecutor<'_>) -> sqlx::Result<Vec<KeyRow>> {
    sqlx::query_as(select!("WHERE k.bootstrap <> 0 AND k.revoked_at IS NULL")).fetch_all(db).await
}

/// How many keys of a user are not revoked. One that the configuration sets does not count.
///
/// # Errors
/// When the database fails.
pub async fn count_open(db: impl AnyExecutor<'_>, user_id: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "SELECT CAST(COUNT(*) AS BIGINT) FROM api_keys WHERE user_id = $1 AND revoked_at IS NULL AND bootstrap = 0",
    )
    .bind(user_id.to_owned())
    .fetch_one(db)
    .await
}

/// Adds a key and its secret.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, key: &KeyRow) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO api_keys (id, user_id, name, scopes, created_at, expires_at, bootstrap)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(key.id.clone())
    .bind(key.user_id.clone())
    .bind(key.name.clone())
    .bind(key.scopes.clone())
    .bind(key.created_at)
    .bind(key.expires_at)
    .bind(key.bootstrap)
    .execute(&mut **tx)
    .await?;
    insert_secret(tx, &key.id, &key.prefix, &key.hash, key.created_at).await
}

async fn insert_secret(tx: &mut Tx, key_id: &str, prefix: &str, hash: &str, at: i64) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO api_key_secrets (prefix, key_id, hash, created_at) VALUES ($1, $2, $3, $4)")
        .bind(prefix.to_owned())
        .bind(key_id.to_owned())
        .bind(hash.to_owned())
        .bind(at)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Gives a key a new secret at a time `now`. The one before it works until `former_end`, those before that no more (Unix
/// milliseconds).
///
/// # Errors
/// When the database fails.
pub async fn rotate(tx: &mut Tx, id: &str, prefix: &str, hash: &str, now: i64, former_end: i64) -> sqlx::Result<()> {
    for (sql, at) in [
        ("DELETE FROM api_key_secrets WHERE key_id = $1 AND expires_at <= $2", now),
        ("UPDATE api_key_secrets SET expires_at = $2 WHERE key_id = $1 AND expires_at IS NOT NULL", now),
        ("UPDATE api_key_secrets SET expires_at = $2 WHERE key_id = $1 AND expires_at IS NULL", former_end),
    ] {
        sqlx::query(sql).bind(id.to_owned()).bind(at).execute(&mut **tx).await?;
    }
    insert_secret(tx, id, prefix, hash, now).await
}

/// Sets what a key is called and when it ends.
///
/// # Errors
/// When the database fails.
pub async fn update(tx: &mut Tx, id: &str, name: &str, expires_at: Option<i64>) -> sqlx::Result<()> {
    sqlx::query("UPDATE api_keys SET name = $2, expires_at = $3 WHERE id = $1")
        .bind(id.to_owned())
        .bind(name.to_owned())
        .bind(expires_at)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Ends a key; answers whether it was still open.
///
/// # Errors
/// When the database fails.
pub async fn revoke(tx: &mut Tx, id: &str, at: i64) -> sqlx::Result<bool> {
    let done = sqlx::query("UPDATE api_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL")
        .bind(id.to_owned())
        .bind(at)
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Writes down when a key was used (Unix milliseconds).
///
/// # Errors
/// When the database fails.
pub async fn set_last_used(tx: &mut Tx, id: &str, at: i64) -> sqlx::Result<()> {
    sqlx::query("UPDATE api_keys SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)")
        .bind(id.to_owned())
        .bind(at)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
