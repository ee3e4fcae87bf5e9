//! Tables `pull_runs` and `pull_skips`: the journal of reading libraries.

use sqlx::{Any, Executor, Row as _, any::AnyRow};

use super::{Tx, now_ms, query::Sql};

/// Skips that are kept of one run; more are only counted.
pub const MAX_SKIPS: i64 = 1000;
/// Runs that are kept of one account, besides those that wait for confirmation.
const KEPT: i64 = 50;

/// One run.
#[derive(Clone, Debug)]
pub struct PullRun {
    /// ULID.
    pub id: String,
    /// The account that was read.
    pub account_id: String,
    /// The job that reads it.
    pub job_id: String,
    /// `running`, `applied`, `held` or `failed`.
    pub state: String,
    /// `complete` or `partial`, once it ended.
    pub completeness: Option<String>,
    /// Why it is partial or failed.
    pub code: Option<String>,
    /// One sentence for people.
    pub detail: Option<String>,
    /// What it did.
    pub counts: Counts,
    /// What it would remove, as JSON.
    pub plan: Option<String>,
    /// What it takes: requests to the service, and items.
    pub forecast: Option<(i64, i64)>,
    /// Milliseconds since 1970.
    pub started_at: i64,
    /// Milliseconds since 1970.
    pub finished_at: Option<i64>,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// Items that were new or changed.
    pub upserted: i64,
    /// Items that were as before.
    pub unchanged: i64,
    /// Items that got another address.
    pub moved: i64,
    /// Items that are gone.
    pub removed: i64,
    /// Items that the plugin returned and that could not be kept.
    pub dropped: i64,
    /// What the plugin could not read.
    pub skipped: i64,
}

/// A run whose job ended before it did has failed, although nobody was left to write that down.
const SELECT: &str = "SELECT * FROM (SELECT id, account_id, job_id, \
    CASE WHEN state = 'running' AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.id = job_id \
    AND j.state IN ('queued', 'running', 'waiting')) THEN 'failed' ELSE state END AS state, \
    code, detail, upserted, unchanged, moved, removed, dropped, skipped, plan, started_at, finished_at, completeness, \
    forecast_requests, forecast_items \
    FROM pull_runs) r";

fn run(row: &AnyRow) -> sqlx::Result<PullRun> {
    Ok(PullRun {
        id: row.try_get(0)?,
        account_id: row.try_get(1)?,
        job_id: row.try_get(2)?,
        state: row.try_get(3)?,
        code: row.try_get(4)?,
        detail: row.try_get(5)?,
        counts: Counts {
            upserted: row.try_get(6)?,
            unchanged: row.try_get(7)?,
            moved: row.try_get(8)?,
            removed: row.try_get(9)?,
            dropped: row.try_get(10)?,
            skipped: row.try_get(11)?,
        },
        plan: row.try_get(12)?,
        started_at: row.try_get(13)?,
        finished_at: row.try_get(14)?,
        completeness: row.try_get(15)?,
        forecast: row.try_get::<Option<i64>, _>(16)?.zip(row.try_get::<Option<i64>, _>(17)?),
    })
}

/// One run of one of the accounts.
pub async fn find<'e>(
    db: impl Executor<'e, Database = Any>,
    accounts: &[String],
    id: &str,
) -> sqlx::Result<Option<PullRun>> {
    let mut sql = Sql::new(SELECT);
    sql.push(" WHERE id = ").bind(id.to_owned()).push(" AND account_id IN ").bind_list(accounts.iter().cloned());
    sql.query().fetch_optional(db).await?.as_ref().map(run).transpose()
}

/// Runs of the accounts, newest first; ids are ULIDs, so they sort by time.
pub async fn list<'e>(
    db: impl Executor<'e, Database = Any>,
    accounts: &[String],
    state: Option<&str>,
    after: Option<String>,
    limit: i64,
) -> sqlx::Result<Vec<PullRun>> {
    let mut sql = Sql::new(SELECT);
    sql.push(" WHERE account_id IN ").bind_list(accounts.iter().cloned());
    if let Some(state) = state {
        sql.push(" AND state = ").bind(state.to_owned());
    }
    if let Some(after) = after {
        sql.push(" AND id < ").bind(after);
    }
    sql.push(" ORDER BY id DESC LIMIT ").push_int(limit + 1);
    sql.query().fetch_all(db).await?.iter().map(run).collect()
}

/// Ends what a job that gave up left behind.
pub async fn end_abandoned(tx: &mut Tx, account: &str) -> sqlx::Result<()> {
    give_up(tx, account, "interrupted", "its job ended before it did").await
}

/// Lets an account's run fail. Pulls of one account never run at once.
pub async fn give_up(tx: &mut Tx, account: &str, code: &str, detail: &str) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE pull_runs SET state = 'failed', code = $3, detail = $4, finished_at = $2
         WHERE account_id = $1 AND state = 'running'",
    )
    .bind(account.to_owned())
    .bind(now_ms())
    .bind(code.to_owned())
    .bind(detail.to_owned())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Starts a run, and forgets the account's oldest.
pub async fn start(tx: &mut Tx, id: &str, account: &str, job: &str) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO pull_runs (id, account_id, job_id, state, started_at) VALUES ($1, $2, $3, 'running', $4)")
        .bind(id.to_owned())
        .bind(account.to_owned())
        .bind(job.to_owned())
        .bind(now_ms())
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "DELETE FROM pull_runs WHERE account_id = $1 AND state NOT IN ('running', 'held') AND id NOT IN
            (SELECT id FROM pull_runs WHERE account_id = $1 ORDER BY id DESC LIMIT $2)",
    )
    .bind(account.to_owned())
    .bind(KEPT)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Adds to what a run did.
pub async fn count(tx: &mut Tx, id: &str, more: &Counts) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE pull_runs SET upserted = upserted + $2, unchanged = unchanged + $3, moved = moved + $4,
            removed = removed + $5, dropped = dropped + $6, skipped = skipped + $7 WHERE id = $1",
    )
    .bind(id.to_owned())
    .bind(more.upserted)
    .bind(more.unchanged)
    .bind(more.moved)
    .bind(more.removed)
    .bind(more.dropped)
    .bind(more.skipped)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What a run did so far.
pub async fn counts(tx: &mut Tx, id: &str) -> sqlx::Result<Counts> {
    let mut sql = Sql::new(SELECT);
    sql.push(" WHERE id = ").bind(id.to_owned());
    Ok(run(&sql.query().fetch_one(&mut **tx).await?)?.counts)
}

/// How a run ended.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    /// `applied`, `held` or `failed`.
    pub state: &'static str,
    /// `complete` or `partial`; none leaves it as it is.
    pub completeness: Option<&'static str>,
    /// Why it is partial or failed.
    pub code: Option<String>,
    /// One sentence for people.
    pub detail: Option<String>,
    /// What it would remove, as JSON; none leaves the plan as it is.
    pub plan: Option<String>,
}

/// Ends a run.
pub async fn end(tx: &mut Tx, id: &str, ending: Ending) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE pull_runs SET state = $2, code = $3, detail = $4, plan = COALESCE($5, plan), finished_at = $6,
            completeness = COALESCE($7, completeness) WHERE id = $1",
    )
    .bind(id.to_owned())
    .bind(ending.state.to_owned())
    .bind(ending.code)
    .bind(ending.detail)
    .bind(ending.plan)
    .bind(now_ms())
    .bind(ending.completeness.map(str::to_owned))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Takes a run out of waiting for confirmation; false where it does not wait.
pub async fn release(tx: &mut Tx, id: &str) -> sqlx::Result<bool> {
    let held = sqlx::query("UPDATE pull_runs SET state = 'applied' WHERE id = $1 AND state = 'held'");
    Ok(held.bind(id.to_owned()).execute(&mut **tx).await?.rows_affected() == 1)
}

/// Something that a run could not read or keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    /// What, as people know it.
    pub name: String,
    /// The reason code.
    pub code: String,
    /// One sentence for people.
    pub detail: String,
}

/// Adds to the list of what a run could not read or keep, up to [`MAX_SKIPS`].
pub async fn skip(tx: &mut Tx, run: &str, skips: &[Skip]) -> sqlx::Result<()> {
    if skips.is_empty() {
        return Ok(());
    }
    let count = sqlx::query("SELECT COUNT(*) FROM pull_skips WHERE run_id = $1").bind(run.to_owned());
    let held: i64 = count.fetch_one(&mut **tx).await?.try_get(0)?;
    for (n, skip) in (held..MAX_SKIPS).zip(skips) {
        sqlx::query("INSERT INTO pull_skips (run_id, n, name, code, detail) VALUES ($1, $2, $3, $4, $5)")
            .bind(run.to_owned())
            .bind(n)
            .bind(skip.name.clone())
            .bind(skip.code.clone())
            .bind(skip.detail.clone())
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// What a run could not read or keep.
pub async fn skips<'e>(db: impl Executor<'e, Database = Any>, run: &str) -> sqlx::Result<Vec<Skip>> {
    let rows = sqlx::query("SELECT name, code, detail FROM pull_skips WHERE run_id = $1 ORDER BY n");
    let rows = rows.bind(run.to_owned()).fetch_all(db).await?;
    rows.iter().map(|row| Ok(Skip { name: row.try_get(0)?, code: row.try_get(1)?, detail: row.try_get(2)? })).collect()
}

/// The run of an account that is under way.
pub async fn running(tx: &mut Tx, account: &str) -> sqlx::Result<Option<String>> {
    let running = "SELECT id FROM pull_runs WHERE account_id = $1 AND state = 'running' ORDER BY id DESC LIMIT 1";
    sqlx::query_scalar(running).bind(account.to_owned()).fetch_optional(&mut **tx).await
}

/// Notes what a run will take: requests to the service, and items.
pub async fn forecast(tx: &mut Tx, id: &str, requests: i64, items: i64) -> sqlx::Result<()> {
    sqlx::query("UPDATE pull_runs SET forecast_requests = $2, forecast_items = $3 WHERE id = $1")
        .bind(id.to_owned())
        .bind(requests)
        .bind(items)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// What the last run of an account took that could tell: requests to the service, and items.
pub async fn last_forecast<'e>(
    db: impl Executor<'e, Database = Any>,
    account: &str,
) -> sqlx::Result<Option<(i64, i64)>> {
    let last = "SELECT forecast_requests, forecast_items FROM pull_runs
         WHERE account_id = $1 AND forecast_requests IS NOT NULL ORDER BY id DESC LIMIT 1";
    sqlx::query_as(last).bind(account.to_owned()).fetch_optional(db).await
}
