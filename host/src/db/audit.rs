//! The audit log (`audit_log`, `audit_personal`).

use sqlx::{FromRow, any::AnyExecutor};

use super::Tx;

/// A row of the log, without its personal part.
#[derive(Clone, Debug, FromRow)]
pub struct AuditRow {
    /// Its place, counted from 1 without gaps.
    pub seq: i64,
    /// Unix milliseconds.
    pub at: i64,
    /// What was done, such as `session.created`.
    pub action: String,
    /// `ok` or `refused`.
    pub outcome: String,
    /// What is not personal, JSON.
    pub data: String,
    /// The salted hash of the personal part.
    pub personal_hash: String,
    /// The hash of the row before it.
    pub previous_hash: String,
    /// The hash of this row.
    pub hash: String,
}

/// The personal part of a row.
#[derive(Clone, Debug, FromRow)]
pub struct PersonalRow {
    /// The row that it belongs to.
    pub seq: i64,
    /// The user who did it.
    pub actor_id: Option<String>,
    /// The user to whom it was done.
    pub user_id: Option<String>,
    /// Random; without it the hash says nothing.
    pub salt: String,
    /// JSON.
    pub data: String,
}

/// Place and hash of the newest row.
///
/// # Errors
/// When the database fails.
pub async fn newest(db: impl AnyExecutor<'_>) -> sqlx::Result<Option<(i64, String)>> {
    sqlx::query_as("SELECT seq, hash FROM audit_log ORDER BY seq DESC LIMIT 1").fetch_optional(db).await
}

/// Appends a row and its personal part.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, row: AuditRow, personal: PersonalRow) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO audit_log (seq, at, action, outcome, data, personal_hash, previous_hash, hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(row.seq)
    .bind(row.at)
    .bind(row.action)
    .bind(row.outcome)
    .bind(row.data)
    .bind(row.personal_hash)
    .bind(row.previous_hash)
    .bind(row.hash)
    .execute(&mut **tx)
    .await?;
    sqlx::query("INSERT INTO audit_personal (seq, actor_id, user_id, salt, data) VALUES ($1, $2, $3, $4, $5)")
        .bind(personal.seq)
        .bind(personal.actor_id)
        .bind(personal.user_id)
        .bind(personal.salt)
        .bind(personal.data)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
