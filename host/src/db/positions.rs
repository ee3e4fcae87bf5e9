//! How far users are in what they play (`play_positions`).

use sqlx::{FromRow, any::AnyExecutor};

use super::Tx;

/// How far a user is in an episode or track.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct PositionRow {
    /// The episode or track.
    pub uri: String,
    /// Milliseconds from its beginning.
    pub position_ms: i64,
    /// Not 0: heard to its end.
    pub finished: i64,
    /// When a player was there, Unix milliseconds.
    pub updated_at: i64,
}

/// Keeps a position, unless one of a later time is kept. Answers the one that is kept then.
///
/// # Errors
/// When the database fails.
pub async fn put(tx: &mut Tx, user: &str, row: &PositionRow) -> sqlx::Result<PositionRow> {
    sqlx::query(
        "INSERT INTO play_positions (user_id, uri, position_ms, finished, updated_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (user_id, uri) DO UPDATE
           SET position_ms = excluded.position_ms, finished = excluded.finished, updated_at = excluded.updated_at
           WHERE play_positions.updated_at <= excluded.updated_at",
    )
    .bind(user.to_owned())
    .bind(row.uri.clone())
    .bind(row.position_ms)
    .bind(row.finished)
    .bind(row.updated_at)
    .execute(&mut **tx)
    .await?;
    find(&mut **tx, user, &row.uri).await?.ok_or(sqlx::Error::RowNotFound)
}

/// Forgets the oldest positions beyond so many.
///
/// # Errors
/// When the database fails.
pub async fn trim(tx: &mut Tx, user: &str, keep: i64) -> sqlx::Result<()> {
    sqlx::query(
        "DELETE FROM play_positions WHERE user_id = $1 AND uri IN
           (SELECT uri FROM play_positions WHERE user_id = $1 ORDER BY updated_at DESC, uri LIMIT 100 OFFSET $2)",
    )
    .bind(user.to_owned())
    .bind(keep)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// How far a user is in an item.
///
/// # Errors
/// When the database fails.
pub async fn find(db: impl AnyExecutor<'_>, user: &str, uri: &str) -> sqlx::Result<Option<PositionRow>> {
    sqlx::query_as("SELECT uri, position_ms, finished, updated_at FROM play_positions WHERE user_id = $1 AND uri = $2")
        .bind(user.to_owned())
        .bind(uri.to_owned())
        .fetch_optional(db)
        .await
}

/// A user's positions, the latest first: after a time and URI, and where `finished` says so only (not) finished ones.
///
/// # Errors
/// When the database fails.
pub async fn list(
    db: impl AnyExecutor<'_>,
    user: &str,
    finished: Option<bool>,
    after: Option<(i64, String)>,
    limit: i64,
) -> sqlx::Result<Vec<PositionRow>> {
    let (at, uri) = after.unzip();
    sqlx::query_as(
        "SELECT uri, position_ms, finished, updated_at FROM play_positions
         WHERE user_id = $1 AND (CAST($2 AS BIGINT) IS NULL OR finished = $2)
           AND (CAST($3 AS BIGINT) IS NULL OR updated_at < $3 OR (updated_at = $3 AND uri > $4))
         ORDER BY updated_at DESC, uri LIMIT $5",
    )
    .bind(user.to_owned())
    .bind(finished.map(i64::from))
    .bind(at)
    .bind(uri)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// Forgets how far a user is in an item. Answers whether that was known.
///
/// # Errors
/// When the database fails.
pub async fn delete(tx: &mut Tx, user: &str, uri: &str) -> sqlx::Result<bool> {
    let done = sqlx::query("DELETE FROM play_positions WHERE user_id = $1 AND uri = $2")
        .bind(user.to_owned())
        .bind(uri.to_owned())
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() > 0)
}
