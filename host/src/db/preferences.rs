//! What users set for themselves (`user_preferences`).

use sqlx::{FromRow, any::AnyExecutor};

use super::{Tx, now_ms};

/// A user's preferences as they are stored.
#[derive(Clone, Debug, FromRow)]
pub struct PreferencesRow {
    /// What the user set, JSON.
    pub doc: String,
    /// Plays from before (Unix milliseconds) are not taken over from providers.
    pub history_since: Option<i64>,
}

impl Default for PreferencesRow {
    fn default() -> Self {
        Self { doc: "{}".into(), history_since: None }
    }
}

/// What a user set; none where that is nothing.
///
/// # Errors
/// When the database fails.
pub async fn find(db: impl AnyExecutor<'_>, user_id: &str) -> sqlx::Result<Option<PreferencesRow>> {
    sqlx::query_as("SELECT doc, history_since FROM user_preferences WHERE user_id = $1")
        .bind(user_id.to_owned())
        .fetch_optional(db)
        .await
}

/// The users whose preferences hold a text.
///
/// # Errors
/// When the database fails.
pub async fn naming(db: impl AnyExecutor<'_>, text: &str) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar("SELECT user_id FROM user_preferences WHERE doc LIKE '%' || $1 || '%' ORDER BY user_id")
        .bind(text.to_owned())
        .fetch_all(db)
        .await
}

/// Sets a user's preferences.
///
/// # Errors
/// When the database fails.
pub async fn put(tx: &mut Tx, user_id: &str, row: &PreferencesRow) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO user_preferences (user_id, doc, history_since, updated_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (user_id) DO UPDATE SET doc = excluded.doc, history_since = excluded.history_since,
            updated_at = excluded.updated_at",
    )
    .bind(user_id.to_owned())
    .bind(row.doc.clone())
    .bind(row.history_since)
    .bind(now_ms())
    .execute(&mut **tx)
    .await?;
    Ok(())
}
