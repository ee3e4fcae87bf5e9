//! What users allowed, and when (`consents`).

use sqlx::{FromRow, any::AnyExecutor};
use ulid::Ulid;

use super::{Tx, now_ms};

/// An answer of a user.
#[derive(Clone, Debug, FromRow)]
pub struct ConsentRow {
    /// To what.
    pub purpose: String,
    /// Not 0: yes.
    pub given: i64,
    /// Unix milliseconds.
    pub at: i64,
}

/// All answers of a user, newest first.
///
/// # Errors
/// When the database fails.
pub async fn list(db: impl AnyExecutor<'_>, user_id: &str) -> sqlx::Result<Vec<ConsentRow>> {
    sqlx::query_as("SELECT purpose, given, at FROM consents WHERE user_id = $1 ORDER BY at DESC, id DESC")
        .bind(user_id.to_owned())
        .fetch_all(db)
        .await
}

/// What a user answered last.
///
/// # Errors
/// When the database fails.
pub async fn latest(db: impl AnyExecutor<'_>, user_id: &str, purpose: &str) -> sqlx::Result<Option<bool>> {
    let given: Option<i64> = sqlx::query_scalar(
        "SELECT given FROM consents WHERE user_id = $1 AND purpose = $2 ORDER BY at DESC, id DESC LIMIT 1",
    )
    .bind(user_id.to_owned())
    .bind(purpose.to_owned())
    .fetch_optional(db)
    .await?;
    Ok(given.map(|given| given != 0))
}

/// Adds an answer.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, user_id: &str, purpose: &str, given: bool) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO consents (id, user_id, purpose, given, at) VALUES ($1, $2, $3, $4, $5)")
        .bind(Ulid::generate().to_string())
        .bind(user_id.to_owned())
        .bind(purpose.to_owned())
        .bind(i64::from(given))
        .bind(now_ms())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Forgets all but the newest `keep` answers of a user to one question.
///
/// # Errors
/// When the database fails.
pub async fn trim(tx: &mut Tx, user_id: &str, purpose: &str, keep: i64) -> sqlx::Result<()> {
    sqlx::query(
        "DELETE FROM consents WHERE user_id = $1 AND purpose = $2 AND id NOT IN
           (SELECT id FROM consents WHERE user_id = $1 AND purpose = $2 ORDER BY at DESC, id DESC LIMIT $3)",
    )
    .bind(user_id.to_owned())
    .bind(purpose.to_owned())
    .bind(keep)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
