//! The refresh tokens of sessions, by their hashes (`refresh_tokens`).

use sqlx::FromRow;

use super::{Tx, now_ms};

/// Adds a token by its hash.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, hash: &str, session_id: &str) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO refresh_tokens (hash, session_id, created_at) VALUES ($1, $2, $3)")
        .bind(hash.to_owned())
        .bind(session_id.to_owned())
        .bind(now_ms())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// A token that was used before.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Used {
    /// The session that it belongs to.
    pub session_id: String,
    /// When, Unix milliseconds.
    pub used_at: i64,
    /// The hash of the `Idempotency-Key` that came with it then.
    pub replay_key: Option<String>,
}

/// What a token was worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spent {
    /// It was good, and is used up now; the session's id.
    Now(String),
    /// It had been used.
    Before(Used),
    /// There is no such token.
    Unknown,
}

/// Uses a token up: of several requests at once only one gets [`Spent::Now`].
///
/// # Errors
/// When the database fails.
pub async fn spend(tx: &mut Tx, hash: &str, replay_key: Option<&str>) -> sqlx::Result<Spent> {
    let fresh: Option<String> = sqlx::query_scalar(
        "UPDATE refresh_tokens SET used_at = $2, replay_key = $3 WHERE hash = $1 AND used_at IS NULL
         RETURNING session_id",
    )
    .bind(hash.to_owned())
    .bind(now_ms())
    .bind(replay_key.map(str::to_owned))
    .fetch_optional(&mut **tx)
    .await?;
    if let Some(session) = fresh {
        return Ok(Spent::Now(session));
    }
    let used: Option<Used> =
        sqlx::query_as("SELECT session_id, used_at, replay_key FROM refresh_tokens WHERE hash = $1")
            .bind(hash.to_owned())
            .fetch_optional(&mut **tx)
            .await?;
    Ok(used.map_or(Spent::Unknown, Spent::Before))
}

/// Forgets a session's tokens that were used before a time (Unix milliseconds).
///
/// # Errors
/// When the database fails.
pub async fn forget_used(tx: &mut Tx, session_id: &str, before: i64) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM refresh_tokens WHERE session_id = $1 AND used_at < $2")
        .bind(session_id.to_owned())
        .bind(before)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Whether there is such a token, and nobody has used it.
///
/// # Errors
/// When the database fails.
pub async fn is_fresh(tx: &mut Tx, hash: &str) -> sqlx::Result<bool> {
    let found: Option<String> =
        sqlx::query_scalar("SELECT hash FROM refresh_tokens WHERE hash = $1 AND used_at IS NULL")
            .bind(hash.to_owned())
            .fetch_optional(&mut **tx)
            .await?;
    Ok(found.is_some())
}
