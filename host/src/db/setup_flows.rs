//! Accounts that are being connected (`setup_flows`).

use sqlx::{FromRow, any::AnyExecutor};

use super::Tx;

/// A flow.
#[derive(Clone, Debug, Default, FromRow)]
pub struct FlowRow {
    /// A ULID.
    pub id: String,
    /// Whose it is.
    pub user_id: String,
    /// The instance that is being connected to.
    pub instance: String,
    /// The account that signs in again.
    pub account_id: Option<String>,
    /// Not 0: for all users.
    pub shared: i64,
    /// `open`, `done` or `failed`.
    pub state: String,
    /// A hash of what names the flow to the service, while that is waited for.
    pub state_hash: Option<String>,
    /// The step, sealed; none once it ended.
    pub sealed: Option<Vec<u8>>,
    /// Grows with every answer.
    pub step: i64,
    /// An answer is being worked on, until this time (Unix milliseconds) at most.
    pub busy_until: Option<i64>,
    /// The account that came of it.
    pub result: Option<String>,
    /// Why it failed, or why the last answer has to be given again.
    pub code: Option<String>,
    /// One sentence for people.
    pub detail: Option<String>,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds.
    pub updated_at: i64,
    /// Unix milliseconds.
    pub expires_at: i64,
}

/// The columns of [`FlowRow`].
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, user_id, instance, account_id, shared, state, state_hash, sealed, step, busy_until, result, code, \
             detail, created_at, updated_at, expires_at FROM setup_flows ",
            $rest
        )
    };
}

/// Adds a flow.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, flow: &FlowRow) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO setup_flows
           (id, user_id, instance, account_id, shared, state, step, busy_until, created_at, updated_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10)",
    )
    .bind(flow.id.clone())
    .bind(flow.user_id.clone())
    .bind(flow.instance.clone())
    .bind(flow.account_id.clone())
    .bind(flow.shared)
    .bind(flow.state.clone())
    .bind(flow.step)
    .bind(flow.busy_until)
    .bind(flow.created_at)
    .bind(flow.expires_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A user's flow.
///
/// # Errors
/// When the database fails.
pub async fn find(db: impl AnyExecutor<'_>, user_id: &str, id: &str) -> sqlx::Result<Option<FlowRow>> {
    sqlx::query_as(select!("WHERE user_id = $1 AND id = $2"))
        .bind(user_id.to_owned())
        .bind(id.to_owned())
        .fetch_optional(db)
        .await
}

/// A user's open flow at an instance, by the hash of what names it to the service.
///
/// # Errors
/// When the database fails.
pub async fn find_by_state(
    db: impl AnyExecutor<'_>,
    user_id: &str,
    instance: &str,
    state_hash: &str,
) -> sqlx::Result<Option<FlowRow>> {
    sqlx::query_as(select!("WHERE user_id = $1 AND instance = $2 AND state_hash = $3 AND state = 'open'"))
        .bind(user_id.to_owned())
        .bind(instance.to_owned())
        .bind(state_hash.to_owned())
        .fetch_optional(db)
        .await
}

/// How many flows of a user are open at a time (Unix milliseconds).
///
/// # Errors
/// When the database fails.
pub async fn count_open(db: impl AnyExecutor<'_>, user_id: &str, now: i64) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT COUNT(*) FROM setup_flows WHERE user_id = $1 AND state = 'open' AND expires_at > $2")
        .bind(user_id.to_owned())
        .bind(now)
        .fetch_one(db)
        .await
}

/// Takes the step of a flow for an answer, until a time (Unix milliseconds) at most. Answers false where somebody else has
/// taken it, or the flow has ended.
///
/// # Errors
/// When the database fails.
pub async fn claim(tx: &mut Tx, flow: &FlowRow, now: i64, busy_until: i64) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE setup_flows SET step = step + 1, busy_until = $4, updated_at = $3
         WHERE id = $1 AND step = $2 AND state = 'open' AND expires_at > $3 AND (busy_until IS NULL OR busy_until <= $3)",
    )
    .bind(flow.id.clone())
    .bind(flow.step)
    .bind(now)
    .bind(busy_until)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Writes what came of an answer. Answers false where the flow was given up or answered by somebody else meanwhile.
///
/// # Errors
/// When the database fails.
pub async fn save(tx: &mut Tx, flow: &FlowRow) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE setup_flows SET state = $3, state_hash = $4, sealed = $5, busy_until = NULL, result = $6, code = $7,
           detail = $8, updated_at = $9, expires_at = $10
         WHERE id = $1 AND step = $2 AND state = 'open'",
    )
    .bind(flow.id.clone())
    .bind(flow.step)
    .bind(flow.state.clone())
    .bind(flow.state_hash.clone())
    .bind(flow.sealed.clone())
    .bind(flow.result.clone())
    .bind(flow.code.clone())
    .bind(flow.detail.clone())
    .bind(flow.updated_at)
    .bind(flow.expires_at)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Removes a user's flow. Answers false where there is none.
///
/// # Errors
/// When the database fails.
pub async fn delete(tx: &mut Tx, user_id: &str, id: &str) -> sqlx::Result<bool> {
    let done = sqlx::query("DELETE FROM setup_flows WHERE user_id = $1 AND id = $2")
        .bind(user_id.to_owned())
        .bind(id.to_owned())
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() > 0)
}
