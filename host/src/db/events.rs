//! The outbox (`events`).

use sqlx::{FromRow, any::AnyExecutor};

use super::{Tx, now_ms};

/// An event as it is stored.
#[derive(Clone, Debug, FromRow)]
pub struct EventRow {
    /// Where it stands in the outbox; readers go on after it.
    pub id: i64,
    /// What happened, such as `user.created`.
    #[sqlx(rename = "type")]
    pub kind: String,
    /// The id or URI of what it happened to.
    pub subject: Option<String>,
    /// Whose it is; none: the host's.
    pub user_id: Option<String>,
    /// JSON.
    pub data: String,
    /// Unix milliseconds.
    pub created_at: i64,
}

/// Appends an event; answers its id.
///
/// # Errors
/// When the database fails.
pub async fn insert(
    tx: &mut Tx,
    kind: &str,
    subject: Option<&str>,
    user_id: Option<&str>,
    data: &str,
) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "INSERT INTO events (type, subject, user_id, data, created_at) VALUES ($1, $2, $3, $4, $5) RETURNING id",
    )
    .bind(kind.to_owned())
    .bind(subject.map(str::to_owned))
    .bind(user_id.map(str::to_owned))
    .bind(data.to_owned())
    .bind(now_ms())
    .fetch_one(&mut **tx)
    .await
}

/// Forgets events from before a time (Unix milliseconds) among the `limit` oldest; answers how many.
///
/// # Errors
/// When the database fails.
pub async fn forget(tx: &mut Tx, before: i64, limit: i64) -> sqlx::Result<u64> {
    let done =
        sqlx::query("DELETE FROM events WHERE created_at < $1 AND id IN (SELECT id FROM events ORDER BY id LIMIT $2)")
            .bind(before)
            .bind(limit)
            .execute(&mut **tx)
            .await?;
    Ok(done.rows_affected())
}

/// The events after an id, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn after(db: impl AnyExecutor<'_>, id: i64, limit: i64) -> sqlx::Result<Vec<EventRow>> {
    sqlx::query_as("SELECT id, type, subject, user_id, data, created_at FROM events WHERE id > $1 ORDER BY id LIMIT $2")
        .bind(id)
        .bind(limit)
        .fetch_all(db)
        .await
}
