//! Clears the record of ended jobs and the outbox of what is too old.

use std::time::Duration;

use tokio::time;
use tokio_util::sync::CancellationToken;

use crate::{
    AppState,
    db::{self, now_ms},
    privacy,
    providers::budget,
};

/// How long ended jobs stay on record, in milliseconds.
const KEEP_FINISHED: i64 = 30 * DAY;
/// How often old rows are looked for.
const EVERY: Duration = Duration::from_secs(60 * 60);
/// Rows that one transaction deletes, so that none keeps others waiting for long.
const BATCH: i64 = 1000;
/// Milliseconds of a day.
const DAY: i64 = 24 * 60 * 60 * 1000;

/// Clears every hour until `shutdown`.
pub(super) async fn run(app: &AppState, shutdown: &CancellationToken) {
    let mut tick = time::interval(EVERY);
    while shutdown.run_until_cancelled(tick.tick()).await.is_some() {
        if let Err(error) = clear(app, now_ms()).await {
            tracing::warn!("old records can't be cleared: {error}");
        }
    }
}

/// Forgets what is too old at a time (Unix milliseconds): ended jobs after thirty days, events after
/// `events.retention_days`, the use of budgets after a day, and what `privacy` names. Stops early when the host does.
///
/// # Errors
/// When the database fails. What was deleted until then stays deleted.
pub async fn clear(app: &AppState, now: i64) -> sqlx::Result<()> {
    let keep_events = i64::from(app.config.events.retention_days) * DAY;
    let (mut jobs, mut events, mut budgets) = (true, true, true);
    while (jobs || events || budgets) && !app.shutdown.is_cancelled() {
        let mut tx = app.db.write().await?;
        jobs = jobs && db::jobs::forget_finished(&mut tx, now - KEEP_FINISHED, BATCH).await? > 0;
        events = events && db::events::forget(&mut tx, now - keep_events, BATCH).await? > 0;
        budgets = budgets && budget::forget(&mut tx, now, BATCH).await? > 0;
        tx.commit().await?;
    }
    let mut tx = app.db.write().await?;
    db::state::forget_leases(&mut tx, now - DAY).await?;
    tx.commit().await?;
    privacy::clear(app, now).await
}
