//! Runs the jobs: claims what is due, keeps the lease alive, and records how each one ended.

use std::{
    panic::AssertUnwindSafe,
    sync::{Mutex, atomic::AtomicU64},
    time::Duration,
};

use futures::FutureExt as _;
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::{Code, JobContext, JobError, JobKind, clear, context::clean, later, throttled};
use crate::{
    App, AppState,
    api::rfc3339,
    db::{
        Dialect, Tx, clock,
        jobs::lease::{self, Claim},
    },
    events::{self, Event},
};

/// Jobs that run at once.
const CONCURRENCY: usize = 4;
/// How often to look for jobs that nobody announced, and for those that are to stop.
const POLL: Duration = Duration::from_millis(500);
/// How long a job stays its runner's without a sign of life.
const LEASE: Duration = Duration::from_secs(30);
/// How often a runner gives that sign.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How soon it tries again where that failed.
const HEARTBEAT_AGAIN: Duration = Duration::from_secs(2);
/// How long a job may take to stop before it is dropped.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// How long a runner that can't give a sign of life goes on: its job has to be over when the lease is.
const OUT_OF_TOUCH: Duration = LEASE.saturating_sub(STOP_GRACE);
/// The waits before tries to record how a job ended: together as long as a lease.
const RECORD_AFTER: [Duration; 8] = {
    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }
    [ms(0), ms(100), ms(1000), ms(2000), ms(4000), ms(6000), ms(8000), ms(10_000)]
};
/// The longest wait between two attempts.
const MAX_BACKOFF: Duration = Duration::from_secs(15 * 60);

/// Runs jobs until `shutdown`. Those that run then are told to stop and put back, to go on from their checkpoint at the
/// next start.
pub async fn run(app: AppState, shutdown: CancellationToken) {
    futures::join!(work(&app, &shutdown), clear::run(&app, &shutdown));
}

async fn work(app: &AppState, shutdown: &CancellationToken) {
    let mut running = JoinSet::new();
    while !shutdown.is_cancelled() {
        claim_all(app, shutdown, &mut running).await;
        if !running.is_empty() {
            stop_cancelled(app).await;
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = app.jobs.notify.notified(), if running.len() < CONCURRENCY => {}
            () = time::sleep(POLL) => {}
            Some(_) = running.join_next() => {}
        }
    }
    while running.join_next().await.is_some() {}
}

/// Only one process uses a SQLite database: what runs there at the start was cut off, and goes on at once. Other nodes may
/// share a PostgreSQL one, so leases there must run out. Before anything else runs: what it starts is not cut off.
pub async fn take_over(app: &App) {
    if app.db.dialect() == Dialect::Postgres {
        return;
    }
    let expire = async {
        let mut tx = app.db.write().await?;
        lease::expire_all(&mut tx).await?;
        tx.commit().await
    };
    if let Err(error) = expire.await {
        tracing::warn!("jobs that were cut off go on when their leases end: {error}");
    }
}

/// Stops the jobs of this node that were cancelled at another.
async fn stop_cancelled(app: &AppState) {
    match lease::to_stop(app.db.read()).await {
        Ok(ids) => ids.iter().for_each(|id| app.jobs.stop(id)),
        Err(error) => tracing::warn!("cannot look for jobs to stop: {error}"),
    }
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
    {
        let mut db = app.db.read().acquire().await?;
        let now = clock::now(&mut db).await?;
        if !lease::is_any_due(&mut *db, now).await? {
            return Ok(None);
        }
    }
    let owner = Ulid::generate().to_string();
    let mut tx = app.db.write().await?;
    let now = clock::now(&mut tx).await?;
    match lease::claim(&mut tx, app.db.dialect(), &owner, now, later(now, LEASE)).await {
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
    app.jobs.ended(&claim.id);
    let stopped = token.is_cancelled();
    record_surely(&app, &claim, &owner, &result, stopped, &shutdown).await;
    heartbeat.abort();
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
        waited: AtomicU64::new(0),
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

/// Renews the lease; stops the job when the lease is lost or the job should stop.
async fn keep_alive(app: AppState, id: String, owner: String, token: CancellationToken) {
    let mut wait = HEARTBEAT;
    let mut alone_at = Instant::now() + OUT_OF_TOUCH;
    loop {
        time::sleep(wait).await;
        let asked = Instant::now();
        // A database that stands still must not keep the job from being stopped in time.
        let answer = time::timeout_at(alone_at.max(asked + HEARTBEAT_AGAIN), renew(&app, &id, &owner)).await;
        wait = HEARTBEAT_AGAIN;
        match answer {
            Ok(Ok(Some(stop))) => {
                (wait, alone_at) = (HEARTBEAT, asked + OUT_OF_TOUCH);
                if stop {
                    token.cancel();
                }
            }
            Ok(Ok(None)) => {
                if !token.is_cancelled() {
                    tracing::warn!("job {id} has been taken over by another runner");
                }
                return token.cancel();
            }
            Ok(Err(error)) => tracing::warn!("the lease of job {id} can't be renewed: {error}"),
            Err(_) => tracing::warn!("the lease of job {id} can't be renewed: the database does not answer"),
        }
        if Instant::now() >= alone_at {
            token.cancel();
        }
    }
}

async fn renew(app: &AppState, id: &str, owner: &str) -> sqlx::Result<Option<bool>> {
    let mut tx = app.db.write().await?;
    let now = clock::now(&mut tx).await?;
    let cancel = lease::renew(&mut tx, id, owner, later(now, LEASE)).await?;
    tx.commit().await?;
    Ok(cancel)
}

/// Records how a job ended, again and again where the database fails: else it would run once more.
async fn record_surely(
    app: &AppState,
    claim: &Claim,
    owner: &str,
    result: &Result<(), JobError>,
    stopped: bool,
    shutdown: &CancellationToken,
) {
    for (tries, wait) in RECORD_AFTER.into_iter().enumerate() {
        if shutdown.is_cancelled() && tries > 2 {
            return;
        }
        time::sleep(wait).await;
        match record(app, claim, owner, result, stopped).await {
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
    stopped: bool,
) -> sqlx::Result<()> {
    let mut tx = app.db.write().await?;
    let now = clock::now(&mut tx).await?;
    // Renewing tells whether the job is still ours, and whether somebody wants it to stop.
    let Some(cancel) = lease::renew(&mut tx, &claim.id, owner, later(now, LEASE)).await? else { return Ok(()) };
    let cancel = cancel && result.is_err();
    let ended = Ended { claim, owner, now };
    match result {
        Ok(()) => ended.finish(&mut tx, "succeeded", None).await?,
        Err(JobError::Fail { code, detail }) if !cancel => {
            ended.finish(&mut tx, "failed", Some((code, detail))).await?;
        }
        Err(_) if cancel => ended.finish(&mut tx, "cancelled", None).await?,
        // The host stops, or this node lost touch with the database for a while: nobody wanted the job to end.
        Err(_) if stopped => lease::put_back(&mut tx, &claim.id, owner).await?,
        Err(JobError::Retry { after, code, detail }) if claim.attempts < claim.max_attempts => {
            let run_at = later(now, after.unwrap_or_else(|| backoff(claim.attempts)));
            lease::retry(&mut tx, &claim.id, owner, run_at, &error_json(code, detail).to_string()).await?;
        }
        Err(JobError::Wait { after, code, detail }) => {
            ended.wait(app, &mut tx, *after, (code, detail)).await?;
        }
        Err(JobError::Retry { code, detail, .. } | JobError::Fail { code, detail }) => {
            ended.finish(&mut tx, "failed", Some((code, detail))).await?;
        }
        Err(JobError::Cancelled) => ended.finish(&mut tx, "cancelled", None).await?,
    }
    tx.commit().await?;
    if matches!(result, Err(JobError::Wait { .. })) {
        app.recent_accounts.forget();
    }
    Ok(())
}

/// A job that is over, at the time that it is.
struct Ended<'a> {
    claim: &'a Claim,
    owner: &'a str,
    now: i64,
}

impl Ended<'_> {
    /// Puts the job back until the service may be asked again. Where the service did not say when, and the job did not get
    /// on since it was claimed, that is a failed attempt. A service that only ever asks to wait is not waited for for ever.
    async fn wait(
        &self,
        app: &App,
        tx: &mut Tx,
        after: Option<Duration>,
        (code, detail): (&Code, &str),
    ) -> sqlx::Result<()> {
        let Self { claim, owner, now } = self;
        let (checkpoint, error) = lease::kept(tx, &claim.id).await?;
        let gets_on = checkpoint != claim.checkpoint;
        let since = throttled::waits_since(error.as_deref()).filter(|_| !gets_on).unwrap_or(*now);
        if *now >= later(since, Duration::from_secs(app.config.plugins.max_wait_s)) {
            let (code, detail) = throttled::reason(code, since);
            throttled::note(app, tx, claim, &code, &detail).await?;
            return self.finish(tx, "failed", Some((&code, &detail))).await;
        }
        let free = after.is_some() || gets_on;
        if !free && claim.attempts >= claim.max_attempts {
            return self.finish(tx, "failed", Some((code, detail))).await;
        }
        let run_at = later(*now, after.unwrap_or_else(|| backoff(claim.attempts)));
        let message = format!("the service asks to wait until {}", rfc3339(run_at));
        lease::retry(tx, &claim.id, owner, run_at, &throttled::waiting(error_json(code, detail), since)).await?;
        lease::note_wait(tx, &claim.id, &message, free).await
    }

    async fn finish(&self, tx: &mut Tx, state: &str, error: Option<(&Code, &str)>) -> sqlx::Result<()> {
        let Self { claim, owner, now } = self;
        let error = error.map(|(code, detail)| error_json(code, detail).to_string());
        lease::finish(tx, &claim.id, owner, *now, state, error.as_deref()).await?;
        announce(tx, &claim.id, &claim.kind, state, claim.user_id.as_deref()).await
    }
}

/// Tells the readers of the outbox that a job has ended.
///
/// # Errors
/// When the database fails.
pub async fn announce(tx: &mut Tx, id: &str, kind: &str, state: &str, user: Option<&str>) -> sqlx::Result<()> {
    let data = json!({ "kind": kind, "state": state });
    events::emit(tx, Event { kind: "job.finished", subject: Some(id), user, data }).await.map(drop)
}

fn error_json(code: &Code, detail: &str) -> Value {
    let mut error = json!({ "code": clean(code), "detail": clean(detail) });
    if let Some(code) = &code.provider {
        error["provider_code"] = json!(code);
    }
    error
}

/// How long to wait after so many attempts.
fn backoff(attempts: i64) -> Duration {
    let doublings = u32::try_from(attempts.max(1)).unwrap_or(u32::MAX);
    Duration::from_secs(2_u64.saturating_pow(doublings)).min(MAX_BACKOFF)
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
