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

/// A row with its personal part, where that is still held.
#[derive(Clone, Debug, FromRow)]
pub struct FullRow {
    /// The row.
    #[sqlx(flatten)]
    pub row: AuditRow,
    /// The personal part's salt; none: the part was erased.
    pub salt: Option<String>,
    /// The user who did it.
    pub actor_id: Option<String>,
    /// The user to whom it was done.
    pub user_id: Option<String>,
    /// The personal part, JSON.
    pub personal: Option<String>,
    /// What that user is called now.
    pub actor_name: Option<String>,
    /// What that user is called now.
    pub user_name: Option<String>,
}

impl FullRow {
    /// The personal part as it is hashed.
    pub fn personal(&self) -> Option<PersonalRow> {
        Some(PersonalRow {
            seq: self.row.seq,
            actor_id: self.actor_id.clone(),
            user_id: self.user_id.clone(),
            salt: self.salt.clone()?,
            data: self.personal.clone()?,
        })
    }
}

/// The columns of [`FullRow`].
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT l.seq, l.at, l.action, l.outcome, l.data, l.personal_hash, l.previous_hash, l.hash, p.salt, \
             p.actor_id, p.user_id, p.data AS personal, a.name AS actor_name, u.name AS user_name \
             FROM audit_log l LEFT JOIN audit_personal p ON p.seq = l.seq \
             LEFT JOIN users a ON a.id = p.actor_id LEFT JOIN users u ON u.id = p.user_id ",
            $rest
        )
    };
}

/// The rows after a place, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn scan(db: impl AnyExecutor<'_>, after: i64, limit: i64) -> sqlx::Result<Vec<FullRow>> {
    sqlx::query_as(select!("WHERE l.seq > $1 ORDER BY l.seq LIMIT $2")).bind(after).bind(limit).fetch_all(db).await
}

/// Which rows to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only what this user did.
    pub actor: Option<String>,
    /// Only what was done to this user.
    pub user: Option<String>,
    /// Only actions that start with this.
    pub action: Option<String>,
    /// Only `ok` or `refused`.
    pub outcome: Option<String>,
    /// Not before this time, Unix milliseconds.
    pub since: Option<i64>,
    /// Before this time, Unix milliseconds.
    pub until: Option<i64>,
    /// Oldest first, else newest first.
    pub oldest_first: bool,
    /// Only those that follow this one in the order.
    pub after: Option<i64>,
    /// At most so many.
    pub limit: i64,
}

/// Rows in the order of their places.
///
/// # Errors
/// When the database fails.
pub async fn list(db: impl AnyExecutor<'_>, filter: Filter) -> sqlx::Result<Vec<FullRow>> {
    const NEWEST: &str = select!(
        "WHERE ($1 IS NULL OR p.actor_id = $1) AND ($2 IS NULL OR p.user_id = $2)
           AND ($3 IS NULL OR substr(l.action, 1, length($3)) = $3) AND ($4 IS NULL OR l.outcome = $4)
           AND ($5 IS NULL OR l.at >= $5) AND ($6 IS NULL OR l.at < $6) AND ($7 IS NULL OR l.seq < $7)
         ORDER BY l.seq DESC LIMIT $8"
    );
    const OLDEST: &str = select!(
        "WHERE ($1 IS NULL OR p.actor_id = $1) AND ($2 IS NULL OR p.user_id = $2)
           AND ($3 IS NULL OR substr(l.action, 1, length($3)) = $3) AND ($4 IS NULL OR l.outcome = $4)
           AND ($5 IS NULL OR l.at >= $5) AND ($6 IS NULL OR l.at < $6) AND ($7 IS NULL OR l.seq > $7)
         ORDER BY l.seq LIMIT $8"
    );
    sqlx::query_as(if filter.oldest_first { OLDEST } else { NEWEST })
        .bind(filter.actor)
        .bind(filter.user)
        .bind(filter.action)
        .bind(filter.outcome)
        .bind(filter.since)
        .bind(filter.until)
        .bind(filter.after)
        .bind(filter.limit)
        .fetch_all(db)
        .await
}

/// When a user did something since a time, oldest first, at most `limit` times. All times are Unix milliseconds.
///
/// # Errors
/// When the database fails.
pub async fn times(
    db: impl AnyExecutor<'_>,
    actor: &str,
    action: &str,
    since: i64,
    limit: i64,
) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(
        "SELECT l.at FROM audit_log l JOIN audit_personal p ON p.seq = l.seq
         WHERE p.actor_id = $1 AND l.action = $2 AND l.at > $3 ORDER BY l.at DESC LIMIT $4",
    )
    .bind(actor.to_owned())
    .bind(action.to_owned())
    .bind(since)
    .bind(limit)
    .fetch_all(db)
    .await
    .map(|mut times: Vec<i64>| {
        times.reverse();
        times
    })
}

/// The first row from a time on (Unix milliseconds).
///
/// # Errors
/// When the database fails.
pub async fn first_since(db: impl AnyExecutor<'_>, time: i64) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar("SELECT seq FROM audit_log WHERE at >= $1 ORDER BY seq LIMIT 1")
        .bind(time)
        .fetch_optional(db)
        .await
}

/// Removes the rows up to a place, with their personal parts; answers how many.
///
/// # Errors
/// When the database fails.
pub async fn remove_to(tx: &mut Tx, seq: i64) -> sqlx::Result<u64> {
    let done = sqlx::query("DELETE FROM audit_log WHERE seq <= $1").bind(seq).execute(&mut **tx).await?;
    Ok(done.rows_affected())
}

/// Erases the personal parts of rows from before a time (Unix milliseconds) whose action starts with `prefix`, at most
/// `limit`; answers how many.
///
/// # Errors
/// When the database fails.
pub async fn erase_old(tx: &mut Tx, prefix: &str, before: i64, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "DELETE FROM audit_personal WHERE seq IN
           (SELECT p.seq FROM audit_personal p JOIN audit_log l ON l.seq = p.seq
            WHERE l.at < $1 AND substr(l.action, 1, length($2)) = $2 ORDER BY p.seq LIMIT $3)",
    )
    .bind(before)
    .bind(prefix.to_owned())
    .bind(limit)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// Place and hash of the newest row.
///
/// # Errors
/// When the database fails.
pub async fn newest(db: impl AnyExecutor<'_>) -> sqlx::Result<Option<(i64, String)>> {
    sqlx::query_as("SELECT seq, hash FROM audit_log ORDER BY seq DESC LIMIT 1").fetch_optional(db).await
}

/// The hash of the row at a place.
///
/// # Errors
/// When the database fails.
pub async fn hash_at(db: impl AnyExecutor<'_>, seq: i64) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar("SELECT hash FROM audit_log WHERE seq = $1").bind(seq).fetch_optional(db).await
}

/// Whether there is a row of this action. Reads the whole log where there is none.
///
/// # Errors
/// When the database fails.
pub async fn is_there(db: impl AnyExecutor<'_>, action: &str) -> sqlx::Result<bool> {
    let row: Option<i64> = sqlx::query_scalar("SELECT seq FROM audit_log WHERE action = $1 LIMIT 1")
        .bind(action.to_owned())
        .fetch_optional(db)
        .await?;
    Ok(row.is_some())
}

/// Place of the oldest row, and the hash of the row before it.
///
/// # Errors
/// When the database fails.
pub async fn oldest(db: impl AnyExecutor<'_>) -> sqlx::Result<Option<(i64, String)>> {
    sqlx::query_as("SELECT seq, previous_hash FROM audit_log ORDER BY seq LIMIT 1").fetch_optional(db).await
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
