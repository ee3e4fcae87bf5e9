//! What users deleted of their history, so that no provider brings it back (`deleted_plays`).

use sqlx::{FromRow, any::AnyExecutor};
use ulid::Ulid;

use super::Tx;

/// Spans that are kept for a user: the newest.
const KEEP: i64 = 1000;

/// A span of time whose plays are deleted.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct DeletedPlays {
    /// The item; empty: all of them.
    pub uri: String,
    /// Unix milliseconds.
    pub begins_at: i64,
    /// Unix milliseconds, left out itself.
    pub ends_at: i64,
}

impl DeletedPlays {
    /// Whether a play of an item at a time (Unix milliseconds) is among them.
    pub fn holds(&self, uri: &str, played_at: i64) -> bool {
        (self.uri.is_empty() || self.uri == uri) && (self.begins_at..self.ends_at).contains(&played_at)
    }
}

/// Notes a span, where an account of the user may still tell of plays of then.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, user_id: &str, span: &DeletedPlays) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO deleted_plays (id, user_id, uri, begins_at, ends_at) VALUES ($1, $2, $3, $4, $5)")
        .bind(Ulid::generate().to_string())
        .bind(user_id.to_owned())
        .bind(span.uri.clone())
        .bind(span.begins_at)
        .bind(span.ends_at)
        .execute(&mut **tx)
        .await?;
    forget_passed(tx, user_id).await?;
    let oldest = "DELETE FROM deleted_plays WHERE user_id = $1 AND id NOT IN
       (SELECT id FROM deleted_plays WHERE user_id = $1 ORDER BY id DESC LIMIT $2)";
    sqlx::query(oldest).bind(user_id.to_owned()).bind(KEEP).execute(&mut **tx).await?;
    Ok(())
}

/// A user's spans.
///
/// # Errors
/// When the database fails.
pub async fn list(db: impl AnyExecutor<'_>, user_id: &str) -> sqlx::Result<Vec<DeletedPlays>> {
    sqlx::query_as("SELECT uri, begins_at, ends_at FROM deleted_plays WHERE user_id = $1")
        .bind(user_id.to_owned())
        .fetch_all(db)
        .await
}

/// Forgets the spans that no account of the user can tell of any more: its plays were taken over up to a later time.
///
/// # Errors
/// When the database fails.
pub async fn forget_passed(tx: &mut Tx, user_id: &str) -> sqlx::Result<()> {
    let passed = "DELETE FROM deleted_plays WHERE user_id = $1 AND NOT EXISTS
       (SELECT 1 FROM accounts a WHERE a.owner = $1
          AND (uri = '' OR substr(uri, 1, LENGTH(a.instance) + 1) = a.instance || ':')
          AND (a.plays_until IS NULL OR a.plays_until < ends_at))";
    sqlx::query(passed).bind(user_id.to_owned()).execute(&mut **tx).await?;
    Ok(())
}
