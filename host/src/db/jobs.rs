//! The queue and the record of what ran (`jobs`, `job_log`).

pub mod lease;

use sqlx::{FromRow, any::AnyExecutor};

use super::{Tx, now_ms};

/// A job as clients may see it.
#[derive(Clone, Debug, FromRow)]
pub struct JobRow {
    /// A ULID.
    pub id: String,
    /// The job's name, such as `library.pull`.
    pub kind: String,
    /// `queued`, `running`, `waiting`, `succeeded`, `failed` or `cancelled`.
    pub state: String,
    /// Whose it is; none: the host's.
    pub user_id: Option<String>,
    /// What it works on: an id or a URI.
    pub subject: Option<String>,
    /// Higher runs earlier.
    pub priority: i64,
    /// Not before this time, Unix milliseconds.
    pub run_at: i64,
    /// How often it was started.
    pub attempts: i64,
    /// How often it may be started.
    pub max_attempts: i64,
    /// How much is done.
    pub progress_done: i64,
    /// Of how much, where that is known.
    pub progress_total: Option<i64>,
    /// What it is doing.
    pub message: Option<String>,
    /// JSON `{code, detail}` of the last failure.
    pub error: Option<String>,
    /// Not 0: somebody wants it to stop.
    pub cancel_requested: i64,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds.
    pub started_at: Option<i64>,
    /// Unix milliseconds.
    pub finished_at: Option<i64>,
}

/// The columns of [`JobRow`].
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, kind, state, user_id, subject, priority, run_at, attempts, max_attempts, progress_done, \
             progress_total, message, error, cancel_requested, created_at, started_at, finished_at FROM jobs ",
            $rest
        )
    };
}

/// A job that is about to be queued.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// A ULID.
    pub id: String,
    /// The job's name.
    pub kind: String,
    /// Whose it is; none: the host's.
    pub user_id: Option<String>,
    /// What it works on.
    pub subject: Option<String>,
    /// The job itself, JSON.
    pub payload: String,
    /// Jobs with one key never run at once.
    pub dedupe_key: Option<String>,
    /// Higher runs earlier.
    pub priority: i64,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds.
    pub run_at: i64,
    /// How often it may be started.
    pub max_attempts: i64,
    /// The instance whose service it works on.
    pub instance: Option<String>,
    /// Jobs that were asked for together.
    pub group_id: Option<String>,
}

/// The newest job with this key that has yet to end: its id, and when it was queued (Unix milliseconds).
///
/// # Errors
/// When the database fails.
pub async fn find_unfinished(tx: &mut Tx, dedupe_key: &str) -> sqlx::Result<Option<(String, i64)>> {
    sqlx::query_as(
        "SELECT id, created_at FROM jobs WHERE dedupe_key = $1 AND state IN ('queued', 'waiting', 'running')
         ORDER BY created_at DESC, id DESC LIMIT 1",
    )
    .bind(dedupe_key.to_owned())
    .fetch_optional(&mut **tx)
    .await
}

/// The job with this key that runs; else the next that is to.
///
/// # Errors
/// When the database fails.
pub async fn under_way(db: impl AnyExecutor<'_>, dedupe_key: &str) -> sqlx::Result<Option<JobRow>> {
    sqlx::query_as(select!(
        "WHERE dedupe_key = $1 AND state IN ('queued', 'waiting', 'running')
         ORDER BY CASE state WHEN 'running' THEN 0 ELSE 1 END, run_at, id LIMIT 1"
    ))
    .bind(dedupe_key.to_owned())
    .fetch_optional(db)
    .await
}

/// The job with this key that has yet to start.
///
/// # Errors
/// When the database fails.
pub async fn find_pending(tx: &mut Tx, dedupe_key: &str) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar(
        "SELECT id FROM jobs WHERE dedupe_key = $1 AND state IN ('queued', 'waiting') ORDER BY run_at, id LIMIT 1",
    )
    .bind(dedupe_key.to_owned())
    .fetch_optional(&mut **tx)
    .await
}

/// Makes a job that was never started run no later than this (both Unix milliseconds).
///
/// # Errors
/// When the database fails.
pub async fn hasten(tx: &mut Tx, id: &str, now: i64, run_at: i64) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE jobs SET run_at = $2, state = CASE WHEN $2 > $3 THEN state ELSE 'queued' END
         WHERE id = $1 AND run_at > $2 AND attempts = 0 AND error IS NULL AND state IN ('queued', 'waiting')",
    )
    .bind(id.to_owned())
    .bind(run_at)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Queues a job.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, job: &NewJob) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO jobs
           (id, kind, state, user_id, subject, payload, dedupe_key, priority, run_at, max_attempts, created_at, instance,
            group_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(job.id.clone())
    .bind(job.kind.clone())
    .bind(if job.run_at > job.created_at { "waiting" } else { "queued" })
    .bind(job.user_id.clone())
    .bind(job.subject.clone())
    .bind(job.payload.clone())
    .bind(job.dedupe_key.clone())
    .bind(job.priority)
    .bind(job.run_at)
    .bind(job.max_attempts)
    .bind(job.created_at)
    .bind(job.instance.clone())
    .bind(job.group_id.clone())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The job with this id.
///
/// # Errors
/// When the database fails.
pub async fn find(db: impl AnyExecutor<'_>, id: &str) -> sqlx::Result<Option<JobRow>> {
    sqlx::query_as(select!("WHERE id = $1")).bind(id.to_owned()).fetch_optional(db).await
}

/// The jobs of a kind that are queued or running, oldest first. Those that wait for a later time are not among them.
///
/// # Errors
/// When the database fails.
pub async fn active(db: impl AnyExecutor<'_>, kind: &str) -> sqlx::Result<Vec<JobRow>> {
    sqlx::query_as(select!("WHERE kind = $1 AND state IN ('queued', 'running') ORDER BY created_at, id"))
        .bind(kind.to_owned())
        .fetch_all(db)
        .await
}

/// Which jobs to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// This user's.
    pub user_id: String,
    /// And all of the host's own, rather than its pulls only.
    pub host: bool,
    /// Only in this state.
    pub state: Option<String>,
    /// Only with this name.
    pub kind: Option<String>,
    /// Oldest first, else newest first.
    pub oldest_first: bool,
    /// Only those that follow this one in the order: its `created_at` and id.
    pub after: Option<(i64, String)>,
    /// At most so many.
    pub limit: i64,
}

/// Jobs in the order of their making.
///
/// # Errors
/// When the database fails.
pub async fn list(db: impl AnyExecutor<'_>, filter: Filter) -> sqlx::Result<Vec<JobRow>> {
    const NEWEST: &str = select!(
        "WHERE (user_id = $1 OR (user_id IS NULL AND ($2 = 1 OR kind = 'library.pull')))
           AND ($3 IS NULL OR state = $3) AND ($4 IS NULL OR kind = $4)
           AND ($5 IS NULL OR created_at < $5 OR (created_at = $5 AND id < $6))
         ORDER BY created_at DESC, id DESC LIMIT $7"
    );
    const OLDEST: &str = select!(
        "WHERE (user_id = $1 OR (user_id IS NULL AND ($2 = 1 OR kind = 'library.pull')))
           AND ($3 IS NULL OR state = $3) AND ($4 IS NULL OR kind = $4)
           AND ($5 IS NULL OR created_at > $5 OR (created_at = $5 AND id > $6))
         ORDER BY created_at, id LIMIT $7"
    );
    let (created_at, id) = filter.after.unzip();
    sqlx::query_as(if filter.oldest_first { OLDEST } else { NEWEST })
        .bind(filter.user_id)
        .bind(i64::from(filter.host))
        .bind(filter.state)
        .bind(filter.kind)
        .bind(created_at)
        .bind(id)
        .bind(filter.limit)
        .fetch_all(db)
        .await
}

/// Asks a job to stop: one that has yet to start is cancelled at once, a running one is marked. Answers false where
/// it had ended.
///
/// # Errors
/// When the database fails.
pub async fn request_cancel(tx: &mut Tx, id: &str) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE jobs SET cancel_requested = 1,
           finished_at = CASE WHEN state = 'running' THEN NULL ELSE $2 END,
           state = CASE WHEN state = 'running' THEN state ELSE 'cancelled' END
         WHERE id = $1 AND state IN ('queued', 'waiting', 'running')",
    )
    .bind(id.to_owned())
    .bind(now_ms())
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// A line of a job's log.
#[derive(Clone, Debug, FromRow)]
pub struct LogLine {
    /// Unix milliseconds.
    pub at: i64,
    /// `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// What the job says.
    pub line: String,
}

/// Appends to a job's log and drops all but the last `keep` lines.
///
/// # Errors
/// When the database fails.
pub async fn insert_log(tx: &mut Tx, id: &str, level: &str, line: &str, keep: i64) -> sqlx::Result<()> {
    let seq: i64 = sqlx::query_scalar(
        "INSERT INTO job_log (job_id, seq, at, level, line)
         SELECT $1, COALESCE(MAX(seq), 0) + 1, $2, $3, $4 FROM job_log WHERE job_id = $1
         RETURNING seq",
    )
    .bind(id.to_owned())
    .bind(now_ms())
    .bind(level.to_owned())
    .bind(line.to_owned())
    .fetch_one(&mut **tx)
    .await?;
    sqlx::query("DELETE FROM job_log WHERE job_id = $1 AND seq <= $2")
        .bind(id.to_owned())
        .bind(seq - keep)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// A job's log, oldest line first.
///
/// # Errors
/// When the database fails.
pub async fn log(db: impl AnyExecutor<'_>, id: &str) -> sqlx::Result<Vec<LogLine>> {
    sqlx::query_as("SELECT at, level, line FROM job_log WHERE job_id = $1 ORDER BY seq")
        .bind(id.to_owned())
        .fetch_all(db)
        .await
}

/// Forgets jobs that ended before a time (Unix milliseconds), at most `limit`, the oldest first; answers how many.
///
/// # Errors
/// When the database fails.
pub async fn forget_finished(tx: &mut Tx, before: i64, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE finished_at < $1 ORDER BY finished_at LIMIT $2)",
    )
    .bind(before)
    .bind(limit)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// Whether a job of a kind whose payload names something has yet to end.
///
/// # Errors
/// When the database fails.
pub async fn is_under_way(tx: &mut Tx, kind: &str, named: &str) -> sqlx::Result<bool> {
    let count: i64 = sqlx::query_scalar(
        "SELECT CAST(COUNT(*) AS BIGINT) FROM jobs
         WHERE kind = $1 AND state IN ('queued', 'waiting', 'running') AND payload LIKE '%' || $2 || '%'",
    )
    .bind(kind.to_owned())
    .bind(named.to_owned())
    .fetch_one(&mut **tx)
    .await?;
    Ok(count > 0)
}
