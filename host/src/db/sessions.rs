//! Sign-ins (`sessions`). Their refresh tokens are in [`super::refresh_tokens`].

use sqlx::{FromRow, any::AnyExecutor};

use super::{Tx, now_ms, query::Sql, state};

/// A session that is about to start.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// A ULID.
    pub id: String,
    /// Whose.
    pub user_id: String,
    /// `api` for programs that hold tokens themselves, `ui` for browsers with a cookie.
    pub kind: String,
    /// Where the sign-in came from.
    pub address: Option<String>,
    /// What the client calls itself.
    pub user_agent: Option<String>,
    /// Unix milliseconds.
    pub expires_at: i64,
    /// The hash of the cookie, for `ui`.
    pub cookie_hash: Option<String>,
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
    /// When it was last used, to the minute, Unix milliseconds.
    pub last_used_at: i64,
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

/// The columns of [`LiveSession`].
macro_rules! live {
    ($condition:literal) => {
        concat!(
            "SELECT s.id, s.user_id, s.kind, s.created_at, s.last_used_at, s.expires_at, s.revoked_at, u.name, u.role, \
             u.disabled, u.must_change_password, u.quota FROM sessions s JOIN users u ON u.id = s.user_id WHERE ",
            $condition
        )
    };
}

/// An open session as lists show it.
#[derive(Clone, Debug, FromRow)]
pub struct OpenSession {
    /// The session's id.
    pub id: String,
    /// The user's id.
    pub user_id: String,
    /// The user's name.
    pub name: String,
    /// `api` or `ui`.
    pub kind: String,
    /// Where the sign-in came from.
    pub address: Option<String>,
    /// What the client calls itself.
    pub user_agent: Option<String>,
    /// Unix milliseconds.
    pub created_at: i64,
    /// To the minute, Unix milliseconds.
    pub last_used_at: i64,
    /// Unix milliseconds.
    pub expires_at: i64,
}

/// Which sessions count as open: those that have not ended, and browsers' that were used since `idle_since`.
#[derive(Clone, Copy, Debug)]
pub struct OpenAt {
    /// Unix milliseconds.
    pub now: i64,
    /// Unix milliseconds.
    pub idle_since: i64,
}

/// Lets nobody else start or end several sessions of a user until the transaction ends. Whoever ends several locks their
/// rows in some order; with two orders at once each would wait for the other.
///
/// # Errors
/// When the database fails.
pub async fn lock(tx: &mut Tx, user_id: &str) -> sqlx::Result<()> {
    state::lock(tx, &format!("sessions:{user_id}")).await
}

/// Lets nobody else change the session of a refresh token until the transaction ends. Whoever deletes a session locks it
/// before its tokens, so whoever changes both does too.
///
/// # Errors
/// When the database fails.
pub async fn lock_by_refresh_token(tx: &mut Tx, hash: &str) -> sqlx::Result<()> {
    let sql = "UPDATE sessions SET last_used_at = last_used_at
               WHERE id = (SELECT session_id FROM refresh_tokens WHERE hash = $1)";
    sqlx::query(sql).bind(hash.to_owned()).execute(&mut **tx).await?;
    Ok(())
}

/// Adds a session.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, session: &NewSession) -> sqlx::Result<()> {
    let now = now_ms();
    sqlx::query(
        "INSERT INTO sessions
             (id, user_id, kind, address, user_agent, created_at, last_used_at, expires_at, cookie_hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(session.id.clone())
    .bind(session.user_id.clone())
    .bind(session.kind.clone())
    .bind(session.address.clone())
    .bind(session.user_agent.clone())
    .bind(now)
    .bind(now)
    .bind(session.expires_at)
    .bind(session.cookie_hash.clone())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The session with its user, in one query.
///
/// # Errors
/// When the database fails.
pub async fn find_live(db: impl AnyExecutor<'_>, id: &str) -> sqlx::Result<Option<LiveSession>> {
    sqlx::query_as(live!("s.id = $1")).bind(id.to_owned()).fetch_optional(db).await
}

/// The session that a cookie stands for, by the cookie's hash.
///
/// # Errors
/// When the database fails.
pub async fn find_live_by_cookie(db: impl AnyExecutor<'_>, hash: &str) -> sqlx::Result<Option<LiveSession>> {
    sqlx::query_as(live!("s.cookie_hash = $1")).bind(hash.to_owned()).fetch_optional(db).await
}

/// Open sessions, the newest sign-in first: one user's or everybody's, those before an id.
///
/// # Errors
/// When the database fails.
pub async fn list_open(
    db: impl AnyExecutor<'_>,
    at: OpenAt,
    user_id: Option<&str>,
    before: Option<String>,
    limit: i64,
) -> sqlx::Result<Vec<OpenSession>> {
    let mut sql = Sql::new(
        "SELECT s.id, s.user_id, u.name, s.kind, s.address, s.user_agent, s.created_at, s.last_used_at, s.expires_at
         FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.revoked_at IS NULL AND s.expires_at > ",
    );
    sql.bind(at.now).push(" AND (s.kind <> 'ui' OR s.last_used_at > ").bind(at.idle_since).push(")");
    if let Some(user) = user_id {
        sql.push(" AND s.user_id = ").bind(user.to_owned());
    }
    if let Some(id) = before {
        sql.push(" AND s.id < ").bind(id);
    }
    sql.push(" ORDER BY s.id DESC LIMIT ").push_int(limit);
    sql.query().fetch_all(db).await?.iter().map(OpenSession::from_row).collect()
}

/// Ids of a user's open sessions, the last used one first.
///
/// # Errors
/// When the database fails.
pub async fn by_last_use(db: impl AnyExecutor<'_>, at: OpenAt, user_id: &str) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT id FROM sessions WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2
             AND (kind <> 'ui' OR last_used_at > $3) ORDER BY last_used_at DESC, id DESC",
    )
    .bind(user_id.to_owned())
    .bind(at.now)
    .bind(at.idle_since)
    .fetch_all(db)
    .await
}

/// The addresses from which a user has signed in lately, by the folded name.
///
/// # Errors
/// When the database fails.
pub async fn addresses(db: impl AnyExecutor<'_>, name_key: &str) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT DISTINCT s.address FROM sessions s JOIN users u ON u.id = s.user_id
         WHERE u.name_key = $1 AND s.address IS NOT NULL LIMIT 1000",
    )
    .bind(name_key.to_owned())
    .fetch_all(db)
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

/// Notes when a session was last used, Unix milliseconds.
///
/// # Errors
/// When the database fails.
pub async fn touch(tx: &mut Tx, id: &str, at: i64) -> sqlx::Result<()> {
    sqlx::query("UPDATE sessions SET last_used_at = $2 WHERE id = $1 AND last_used_at < $2")
        .bind(id.to_owned())
        .bind(at)
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

/// Ends all sessions of a user, but for one; answers how many were open.
///
/// # Errors
/// When the database fails.
pub async fn revoke_all(tx: &mut Tx, user_id: &str, but: Option<&str>) -> sqlx::Result<u64> {
    lock(tx, user_id).await?;
    let done = sqlx::query(
        "UPDATE sessions SET revoked_at = $2
         WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2 AND id <> $3",
    )
    .bind(user_id.to_owned())
    .bind(now_ms())
    .bind(but.unwrap_or_default().to_owned())
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}
