//! Runs the jobs: claims what is due, keeps the lease alive, and records how each one ended.

use std::{panic::AssertUnwindSafe, sync::Mutex, time::Duration};

use futures::FutureExt as _;
use serde_json::json;
use tokio::{task::JoinSet, time};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::{JobContext, JobError, JobKind, context::clean};
use crate::{
    AppState,
    db::{
        self, Dialect, Tx,
        jobs::lease::{self, Claim},
        now_ms,
    },
    events::{self, Event},
};

/// Jobs that run at once.
const CONCURRENCY: usize = 4;
/// How often to look for jobs that nobody announced.
const POLL: Duration = Duration::from_millis(500);
/// How long a job stays its runner's without a sign of life, in milliseconds.
const LEASE: i64 = 30_000;
/// How often a runner gives that sign.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long a job may take to stop before it is dropped.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// The longest wait between two attempts.
const MAX_BACKOFF: Duration = Duration::from_secs(15 * 60);
/// How long ended jobs stay on record, in milliseconds.
const KEEP_FINISHED: i64 = 30 * 24 * 60 * 60 * 1000;
/// How often the record is cleared of older ones.
const CLEAR_EVERY: Duration = Duration::from_secs(60 * 60);

/// Runs jobs until `shutdown`. Those that run then are told to stop and put back, to go on from their checkpoint at the
/// next start.
pub async fn run(app: AppState, shutdown: CancellationToken) {
    if let Err(error) = take_over(&app).await {
        tracing::warn!("jobs that were cut off go on when their leases end: {error}");
    }
    let mut running = JoinSet::new();
    let mut clear = time::interval(CLEAR_EVERY);
    while !shutdown.is_cancelled() {
        claim_all(&app, &shutdown, &mut running).await;
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = app.jobs.notify.notified(), if running.len() < CONCURRENCY => {}
            () = time::sleep(POLL), if running.len() < CONCURRENCY => {}
            Some(_) = running.join_next() => {}
            _ = clear.tick() => clear_finished(&app).await,
        }
    }
    while running.join_next().await.is_some() {}
}

/// Only one process uses a SQLite database: what runs there at the start was cut off, and goes on at once. Other nodes may
/// share a PostgreSQL one, so leases there must run out.
async fn take_over(app: &AppState) -> sqlx::Result<()> {
    if app.db.dialect() == Dialect::Postgres {
        return Ok(());
    }
    let mut tx = app.db.write().await?;
    lease::expire_all(&mut tx).await?;
    tx.commit().await
}

async fn claim_all(app: &AppState, shutdown: &CancellationToken, running: &mut JoinSet<()>) {
    while running.len() < CONCURRENCY && !shutdown.is_cancelled() {
        match claim(app).await {
            Ok(Some((claim, owner))) => {
                running.spawn(execute(app.clone(), claim, owner, shutdown.clone()));
            }
            Ok(None) => return,
            Err(error) => {
                tracing::warn!("the job queue can't be read: {error}");
                return;
            }
        }
    }
}

async fn claim(app: &AppState) -> sqlx::Result<Option<(Claim, String)>> {
    if !lease::is_any_due(app.db.read()).await? {
        return Ok(None);
    }
    let owner = Ulid::generate().to_string();
    let mut tx = app.db.write().await?;
    match lease::claim(&mut tx, app.db.dialect(), &owner, now_ms() + LEASE).await {
        Ok(claim) => {
            tx.commit().await?;
            Ok(claim.map(|claim| (claim, owner)))
        }
        // Another node was faster with a job of the same key.
        Err(sqlx::Error::Database(e)) if e.is_unique_violation() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Runs one job and records how it ended.
async fn execute(app: AppState, claim: Claim, owner: String, shutdown: CancellationToken) {
    let token = shutdown.child_token();
    app.jobs.started(&claim.id, token.clone());
    let heartbeat = tokio::spawn(keep_alive(app.clone(), claim.id.clone(), owner.clone(), token.clone()));
    let result = if claim.cancel_requested != 0 {
        Err(JobError::Cancelled)
    } else if claim.attempts > claim.max_attempts {
        let detail = format!("the host stopped in the middle of it {} times", claim.max_attempts);
        Err(JobError::Fail { code: "abandoned".into(), detail })
    } else {
        attempt(&app, &claim, &owner, &token).await
    };
    heartbeat.abort();
    app.jobs.ended(&claim.id);
    record_surely(&app, &claim, &owner, &result, &shutdown).await;
    // Another job may have waited for this one's key.
    app.jobs.wake();
}

async fn attempt(app: &AppState, claim: &Claim, owner: &str, token: &CancellationToken) -> Result<(), JobError> {
    let Some(kind) = JobKind::find(&claim.kind) else {
        let detail = format!("this version knows no job {}", claim.kind);
        return Err(JobError::Retry { after: Some(Duration::from_secs(60)), code: "unknown_job".into(), detail });
    };
    let ctx = JobContext {
        app: app.clone(),
        id: claim.id.clone(),
        user_id: claim.user_id.clone(),
        owner: owner.to_owned(),
        checkpoint: claim.checkpoint.clone(),
        cancelled: token.clone(),
        reported: Mutex::new(None),
    };
    let work = AssertUnwindSafe((kind.run)(claim.payload.clone(), ctx)).catch_unwind();
    tokio::select! {
        result = work => result.unwrap_or_else(|_| {
            let detail = "the job panicked; the server's log has the cause";
            Err(JobError::Retry { after: None, code: "panicked".into(), detail: detail.into() })
        }),
        () = stopped_long_ago(token) => Err(JobError::Cancelled),
    }
}

async fn stopped_long_ago(token: &CancellationToken) {
    token.cancelled().await;
    time::sleep(STOP_GRACE).await;
}

/// Renews the lease until it is lost or the job should stop.
async fn keep_alive(app: AppState, id: String, owner: String, token: CancellationToken) {
    loop {
        time::sleep(HEARTBEAT).await;
        match renew(&app, &id, &owner).await {
            Ok(Some(false)) => {}
            Ok(Some(true)) => token.cancel(),
            Ok(None) => {
                tracing::warn!("job {id} has been taken over by another runner");
                token.cancel();
            }
            Err(error) => tracing::warn!("the lease of job {id} can't be renewed: {error}"),
        }
    }
}

async fn renew(app: &AppState, id: &str, owner: &str) -> sqlx::Result<Option<bool>> {
    let mut tx = app.db.write().await?;
    let cancel = lease::renew(&mut tx, id, owner, now_ms() + LEASE).await?;
    tx.commit().await?;
    Ok(cancel)
}

/// Records how a job ended, again after a moment where the database fails: else it would run once more.
async fn record_surely(
    app: &AppState,
    claim: &Claim,
    owner: &str,
    result: &Result<(), JobError>,
    shutdown: &CancellationToken,
) {
    for wait in [0, 100, 1000] {
        time::sleep(Duration::from_millis(wait)).await;
        match record(app, claim, owner, result, shutdown.is_cancelled()).await {
            Ok(()) => return,
            Err(error) => tracing::warn!("the end of job {} can't be recorded: {error}", claim.id),
        }
    }
}

async fn record(
    app: &AppState,
    claim: &Claim,
    owner: &str,
    result: &Result<(), JobError>,
    stopping: bool,
) -> sqlx::Result<()> {
    let mut tx = app.db.write().await?;
    // Renewing tells whether the job is still ours, and whether somebody wants it to stop.
    let Some(cancel) = lease::renew(&mut tx, &claim.id, owner, now_ms() + LEASE).await? else { return Ok(()) };
    let cancel = cancel && result.is_err();
    match result {
        Ok(()) => finish(&mut tx, claim, owner, "succeeded", None).await?,
        Err(JobError::Fail { code, detail }) if !cancel => {
            finish(&mut tx, claim, owner, "failed", Some((code, detail))).await?;
        }
        Err(_) if cancel => finish(&mut tx, claim, owner, "cancelled", None).await?,
        Err(_) if stopping => lease::put_back(&mut tx, &claim.id, owner).await?,
        Err(JobError::Retry { after, code, detail }) if claim.attempts < claim.max_attempts => {
            let wait = after.unwrap_or_else(|| backoff(claim.attempts));
            let run_at = now_ms().saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
            lease::retry(&mut tx, &claim.id, owner, run_at, &error_json(code, detail)).await?;
        }
        Err(JobError::Retry { code, detail, .. } | JobError::Fail { code, detail }) => {
            finish(&mut tx, claim, owner, "failed", Some((code, detail))).await?;
        }
        Err(JobError::Cancelled) => finish(&mut tx, claim, owner, "cancelled", None).await?,
    }
    tx.commit().await
}

async fn finish(tx: &mut Tx, claim: &Claim, owner: &str, state: &str, error: Option<(&str, &str)>) -> sqlx::Result<()> {
    let error = error.map(|(code, detail)| error_json(code, detail));
    lease::finish(tx, &claim.id, owner, state, error.as_deref()).await?;
    announce(tx, &claim.id, &claim.kind, state, claim.user_id.as_deref()).await
}

/// Tells the readers of the outbox that a job has ended.
///
/// # Errors
/// When the database fails.
pub async fn announce(tx: &mut Tx, id: &str, kind: &str, state: &str, user: Option<&str>) -> sqlx::Result<()> {
    let data = json!({ "kind": kind, "state": state });
    events::emit(tx, Event { kind: "job.finished", subject: Some(id), user, data }).await.map(drop)
}

fn error_json(code: &str, detail: &str) -> String {
    json!({ "code": clean(code), "detail": clean(detail) }).to_string()
}

/// How long to wait after so many attempts.
fn backoff(attempts: i64) -> Duration {
    let doublings = u32::try_from(attempts.max(1)).unwrap_or(u32::MAX);
    Duration::from_secs(2_u64.saturating_pow(doublings)).min(MAX_BACKOFF)
}

async fn clear_finished(app: &AppState) {
    let cleared = async {
        let mut tx = app.db.write().await?;
        db::jobs::forget_finished(&mut tx, now_ms() - KEEP_FINISHED).await?;
        tx.commit().await
    };
    if let Err(error) = cleared.await {
        tracing::warn!("old jobs can't be cleared: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_a_quarter_of_an_hour() {
        assert_eq!(backoff(1), Duration::from_secs(2));
        assert_eq!(backoff(3), Duration::from_secs(8));
        assert_eq!(backoff(10), MAX_BACKOFF);
        assert_eq!(backoff(i64::MAX), MAX_BACKOFF);
        assert_eq!(backoff(0), Duration::from_secs(2));
    }
}
