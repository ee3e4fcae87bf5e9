//! Sign-ins and their refresh tokens (`sessions`, `refresh_tokens`).

use sqlx::{FromRow, any::AnyExecutor};

use super::{Tx, now_ms};

/// A session that is about to start.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// A ULID.
    pub id: String,
    /// Whose.
    pub user_id: String,
    /// `api` for programs that hold tokens themselves.
    pub kind: String,
    /// Where the sign-in came from.
    pub address: Option<String>,
    /// What the client calls itself.
    pub user_agent: Option<String>,
    /// Unix milliseconds.
    pub expires_at: i64,
}

/// A session and the user it stands for, as they are now.
#[derive(Clone, Debug, FromRow)]
pub struct LiveSession {
    /// The session's id.
    pub id: String,
    /// The user's id.
    pub user_id: String,
    /// `api`, or `ui` for a browser's.
    pub kind: String,
    /// When the password was given, Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds.
    pub expires_at: i64,
    /// When it ended before its time, Unix milliseconds.
    pub revoked_at: Option<i64>,
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

/// Adds a session.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, session: &NewSession) -> sqlx::Result<()> {
    let now = now_ms();
    sqlx::query(
        "INSERT INTO sessions (id, user_id, kind, address, user_agent, created_at, last_used_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(session.id.clone())
    .bind(session.user_id.clone())
    .bind(session.kind.clone())
    .bind(session.address.clone())
    .bind(session.user_agent.clone())
    .bind(now)
    .bind(now)
    .bind(session.expires_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The session with its user, in one query.
///
/// # Errors
/// When the database fails.
pub async fn find_live(db: impl AnyExecutor<'_>, id: &str) -> sqlx::Result<Option<LiveSession>> {
    sqlx::query_as(
        "SELECT s.id, s.user_id, s.kind, s.created_at, s.expires_at, s.revoked_at, u.name, u.role, u.disabled,
                u.must_change_password, u.quota
         FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1",
    )
    .bind(id.to_owned())
    .fetch_optional(db)
    .await
}

/// Puts off the end of a session that is in use.
///
/// # Errors
/// When the database fails.
pub async fn extend(tx: &mut Tx, id: &str, expires_at: i64) -> sqlx::Result<()> {
    sqlx::query("UPDATE sessions SET last_used_at = $2, expires_at = $3 WHERE id = $1")
        .bind(id.to_owned())
        .bind(now_ms())
        .bind(expires_at)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Ends a session; answers whether it was still open.
///
/// # Errors
/// When the database fails.
pub async fn revoke(tx: &mut Tx, id: &str) -> sqlx::Result<bool> {
    let done = sqlx::query("UPDATE sessions SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL")
        .bind(id.to_owned())
        .bind(now_ms())
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Ends all sessions of a user; answers how many were open.
///
/// # Errors
/// When the database fails.
pub async fn revoke_all(tx: &mut Tx, user_id: &str) -> sqlx::Result<u64> {
    let done = sqlx::query("UPDATE sessions SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL")
        .bind(user_id.to_owned())
        .bind(now_ms())
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected())
}

/// Forgets a user's sessions that ended before a time (Unix milliseconds).
///
/// # Errors
/// When the database fails.
pub async fn forget_ended(tx: &mut Tx, user_id: &str, before: i64) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM sessions WHERE user_id = $1 AND (expires_at < $2 OR revoked_at < $2)")
        .bind(user_id.to_owned())
        .bind(before)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Adds a refresh token by its hash.
///
/// # Errors
/// When the database fails.
pub async fn insert_refresh(tx: &mut Tx, hash: &str, session_id: &str) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO refresh_tokens (hash, session_id, created_at) VALUES ($1, $2, $3)")
        .bind(hash.to_owned())
        .bind(session_id.to_owned())
        .bind(now_ms())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// What a refresh token was worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spent {
    /// It was good, and is used up now; the session's id.
    Now(String),
    /// It had been used before; the session's id.
    Before(String),
    /// There is no such token.
    Unknown,
}

/// Uses a refresh token up: of several requests at once only one gets [`Spent::Now`].
///
/// # Errors
/// When the database fails.
pub async fn spend_refresh(tx: &mut Tx, hash: &str) -> sqlx::Result<Spent> {
    let fresh: Option<String> = sqlx::query_scalar(
        "UPDATE refresh_tokens SET used_at = $2 WHERE hash = $1 AND used_at IS NULL RETURNING session_id",
    )
    .bind(hash.to_owned())
    .bind(now_ms())
    .fetch_optional(&mut **tx)
    .await?;
    if let Some(session) = fresh {
        return Ok(Spent::Now(session));
    }
    let used: Option<String> = sqlx::query_scalar("SELECT session_id FROM refresh_tokens WHERE hash = $1")
        .bind(hash.to_owned())
        .fetch_optional(&mut **tx)
        .await?;
    Ok(used.map_or(Spent::Unknown, Spent::Before))
}
