//! What the runner does with a job: claim it, keep it, say how it ended. All but the claim act only while the lease is
//! still the caller's. Times are those of [`crate::db::clock`].

use sqlx::{FromRow, any::AnyExecutor};

use crate::db::{Dialect, Tx};

/// A job that the caller may run.
#[derive(Clone, Debug, FromRow)]
pub struct Claim {
    /// The job's id.
    pub id: String,
    /// The job's name.
    pub kind: String,
    /// The job itself, JSON.
    pub payload: String,
    /// What it saved last, JSON.
    pub checkpoint: Option<String>,
    /// This attempt's number, from 1.
    pub attempts: i64,
    /// How many there may be.
    pub max_attempts: i64,
    /// Whose it is; none: the host's.
    pub user_id: Option<String>,
    /// Not 0: somebody wanted it to stop while nobody ran it.
    pub cancel_requested: i64,
}

/// Which job is next: due, or left by a runner that is gone; none whose key another running job has. Of the parameters,
/// `$1` is the time.
macro_rules! next {
    () => {
        "SELECT id FROM jobs j
         WHERE ((state IN ('queued', 'waiting') AND run_at <= $1) OR (state = 'running' AND lease_until < $1))
           AND NOT EXISTS (
             SELECT 1 FROM jobs r WHERE r.state = 'running' AND r.dedupe_key = j.dedupe_key AND r.id <> j.id)
         ORDER BY priority DESC, run_at, id LIMIT 1"
    };
}

/// The claim, around the choice of the next job.
macro_rules! claim {
    ($lock:literal) => {
        concat!(
            "UPDATE jobs SET state = 'running', attempts = attempts + 1, lease_owner = $2, lease_until = $3, \
             started_at = COALESCE(started_at, $1) WHERE id = (",
            next!(),
            $lock,
            ") RETURNING id, kind, payload, checkpoint, attempts, max_attempts, user_id, cancel_requested"
        )
    };
}

/// Whether there is a job to claim at a time (Unix milliseconds): a look that costs no write.
///
/// # Errors
/// When the database fails.
pub async fn is_any_due(db: impl AnyExecutor<'_>, now: i64) -> sqlx::Result<bool> {
    let id: Option<String> = sqlx::query_scalar(next!()).bind(now).fetch_optional(db).await?;
    Ok(id.is_some())
}

/// Takes the next job for `owner`, who keeps it until `lease_until` (both Unix milliseconds) unless the lease is renewed.
///
/// # Errors
/// When the database fails. A unique violation means that another node was faster with a job of the same key.
pub async fn claim(
    tx: &mut Tx,
    dialect: Dialect,
    owner: &str,
    now: i64,
    lease_until: i64,
) -> sqlx::Result<Option<Claim>> {
    let sql = match dialect {
        Dialect::Sqlite => claim!(""),
        Dialect::Postgres => claim!(" FOR UPDATE SKIP LOCKED"),
    };
    sqlx::query_as(sql).bind(now).bind(owner.to_owned()).bind(lease_until).fetch_optional(&mut **tx).await
}

/// Ends all leases: for a database that only this process uses, where they are those of one that is gone.
///
/// # Errors
/// When the database fails.
pub async fn expire_all(tx: &mut Tx) -> sqlx::Result<()> {
    sqlx::query("UPDATE jobs SET lease_until = 0 WHERE state = 'running'").execute(&mut **tx).await?;
    Ok(())
}

/// Renews a lease; answers whether the job should stop, or nothing when the lease is lost.
///
/// # Errors
/// When the database fails.
pub async fn renew(tx: &mut Tx, id: &str, owner: &str, lease_until: i64) -> sqlx::Result<Option<bool>> {
    let cancel: Option<i64> = sqlx::query_scalar(
        "UPDATE jobs SET lease_until = $3 WHERE id = $1 AND lease_owner = $2 AND state = 'running'
         RETURNING cancel_requested",
    )
    .bind(id.to_owned())
    .bind(owner.to_owned())
    .bind(lease_until)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(cancel.map(|flag| flag != 0))
}

/// Makes sure that the lease is the caller's, and that it stays so until the transaction ends; answers false when it is
/// lost.
///
/// # Errors
/// When the database fails.
pub async fn hold(tx: &mut Tx, id: &str, owner: &str) -> sqlx::Result<bool> {
    // Writing locks the row, so that nobody can claim it meanwhile.
    let done = sqlx::query(
        "UPDATE jobs SET lease_owner = lease_owner WHERE id = $1 AND lease_owner = $2 AND state = 'running'",
    )
    .bind(id.to_owned())
    .bind(owner.to_owned())
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// The running jobs that somebody wants to stop, of all nodes.
///
/// # Errors
/// When the database fails.
pub async fn to_stop(db: impl AnyExecutor<'_>) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar("SELECT id FROM jobs WHERE state = 'running' AND cancel_requested <> 0").fetch_all(db).await
}

/// Saves where a job goes on from; answers false when the lease is lost.
///
/// # Errors
/// When the database fails.
pub async fn save_checkpoint(tx: &mut Tx, id: &str, owner: &str, checkpoint: &str) -> sqlx::Result<bool> {
    let done = sqlx::query("UPDATE jobs SET checkpoint = $3 WHERE id = $1 AND lease_owner = $2 AND state = 'running'")
        .bind(id.to_owned())
        .bind(owner.to_owned())
        .bind(checkpoint.to_owned())
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Saves how far a job is.
///
/// # Errors
/// When the database fails.
pub async fn save_progress(
    tx: &mut Tx,
    id: &str,
    owner: &str,
    done: i64,
    total: Option<i64>,
    message: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE jobs SET progress_done = $3, progress_total = $4, message = $5
         WHERE id = $1 AND lease_owner = $2 AND state = 'running'",
    )
    .bind(id.to_owned())
    .bind(owner.to_owned())
    .bind(done)
    .bind(total)
    .bind(message.to_owned())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Ends a job in a final state at a time (Unix milliseconds); answers false when the lease is lost.
///
/// # Errors
/// When the database fails.
pub async fn finish(
    tx: &mut Tx,
    id: &str,
    owner: &str,
    now: i64,
    state: &str,
    error: Option<&str>,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE jobs SET state = $3, error = $4, finished_at = $5, lease_owner = NULL, lease_until = NULL
         WHERE id = $1 AND lease_owner = $2 AND state = 'running'",
    )
    .bind(id.to_owned())
    .bind(owner.to_owned())
    .bind(state.to_owned())
    .bind(error.map(str::to_owned))
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Puts a job back for a later attempt, not before `run_at` (Unix milliseconds); answers false when the lease is lost.
///
/// # Errors
/// When the database fails.
pub async fn retry(tx: &mut Tx, id: &str, owner: &str, run_at: i64, error: &str) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE jobs SET state = 'waiting', run_at = $3, error = $4, lease_owner = NULL, lease_until = NULL
         WHERE id = $1 AND lease_owner = $2 AND state = 'running'",
    )
    .bind(id.to_owned())
    .bind(owner.to_owned())
    .bind(run_at)
    .bind(error.to_owned())
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Where a job goes on from, and its last failure, both JSON.
///
/// # Errors
/// When the database fails.
pub async fn kept(tx: &mut Tx, id: &str) -> sqlx::Result<(Option<String>, Option<String>)> {
    let row = sqlx::query_as("SELECT checkpoint, error FROM jobs WHERE id = $1").bind(id.to_owned());
    Ok(row.fetch_optional(&mut **tx).await?.unwrap_or_default())
}

/// Says why a job that was just put back waits; with `free`, its attempt does not count.
///
/// # Errors
/// When the database fails.
pub async fn note_wait(tx: &mut Tx, id: &str, message: &str, free: bool) -> sqlx::Result<()> {
    sqlx::query("UPDATE jobs SET message = $2, attempts = attempts - $3 WHERE id = $1 AND state = 'waiting'")
        .bind(id.to_owned())
        .bind(message.to_owned())
        .bind(i64::from(free))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Puts a job back because the node stops or lost touch: the attempt does not count.
///
/// # Errors
/// When the database fails.
pub async fn put_back(tx: &mut Tx, id: &str, owner: &str) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE jobs SET state = 'queued', attempts = attempts - 1, lease_owner = NULL, lease_until = NULL
         WHERE id = $1 AND lease_owner = $2 AND state = 'running'",
    )
    .bind(id.to_owned())
    .bind(owner.to_owned())
    .execute(&mut **tx)
    .await?;
    Ok(())
}
