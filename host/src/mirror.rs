//! The mirror: what the host itself keeps of every account's library. Search, lists and lookups are answered from it, also
//! while a provider is down; pulls keep it in step.

pub mod clean;
pub mod fold;
pub mod lookup;
mod row;
pub mod scope;

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

pub use row::Row;
pub use scope::Scope;

use crate::{
    AppState,
    accounts::{self, Account},
    db::{Tx, now_ms},
    jobs::{self, Enqueue, JobId, pull::PullLibrary},
    providers::State,
};

/// How often the scheduler looks for instances that have started.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often it looks for accounts whose pull is due.
const DUE_EVERY: Duration = Duration::from_secs(60);
/// Libraries are read this often even if nothing says that they changed.
const PULL_EVERY_MS: i64 = 6 * 3600 * 1000;
/// Changes that follow each other are read together.
const CALM_MS: i64 = 1000;

/// Reads the libraries of all instances once they have started, and again from time to time, until the host stops.
pub fn start(app: &AppState) {
    let app = app.clone();
    app.tasks.clone().spawn(async move {
        let mut pulled = HashSet::new();
        let mut due_at = Instant::now() + DUE_EVERY;
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = app.shutdown.cancelled() => return,
                _ = tick.tick() => {}
            }
            let all_due = Instant::now() >= due_at;
            if all_due {
                due_at = Instant::now() + DUE_EVERY;
            }
            look(&app, &mut pulled, all_due).await;
        }
    });
}

async fn look(app: &AppState, pulled: &mut HashSet<String>, all_due: bool) {
    for handle in app.providers.instances() {
        let first = !pulled.contains(handle.id());
        if handle.state() != State::Started || !(first || all_due) {
            continue;
        }
        match pull_instance(app, handle.id(), first).await {
            Ok(()) => {
                pulled.insert(handle.id().to_owned());
            }
            Err(error) => tracing::warn!(instance = handle.id(), "cannot queue a pull: {error}"),
        }
    }
}

async fn pull_instance(app: &AppState, instance: &str, first: bool) -> sqlx::Result<()> {
    let due = |account: &Account| first || account.last_pull_at.is_none_or(|at| at + PULL_EVERY_MS <= now_ms());
    for account in accounts::of_instance(&app.db, instance).await?.iter().filter(|account| due(account)) {
        pull_soon(app, account, 0).await?;
    }
    Ok(())
}

/// An instance says that its library changed: it is read soon, once for changes that follow each other.
pub async fn library_changed(app: &AppState, instance: &str, account: Option<&str>) {
    if let Err(error) = pull_changed(app, instance, account).await {
        tracing::warn!(instance, "cannot queue a pull: {error}");
    }
}

async fn pull_changed(app: &AppState, instance: &str, account: Option<&str>) -> sqlx::Result<()> {
    let accounts = accounts::of_instance(&app.db, instance).await?;
    for found in accounts.iter().filter(|found| account.is_none_or(|id| id == found.id)) {
        pull_soon(app, found, CALM_MS).await?;
    }
    Ok(())
}

async fn pull_soon(app: &AppState, account: &Account, wait_ms: i64) -> sqlx::Result<()> {
    let mut tx = app.db.write().await?;
    enqueue(&mut tx, account, wait_ms).await?;
    tx.commit().await?;
    app.jobs.wake();
    Ok(())
}

/// Queues a pull of an account's library, unless one waits already; answers the job's id. Pulls of one account never run
/// at once. The job is the account's owner's; of a shared account, the host's, whoever asked for it.
///
/// # Errors
/// When the database fails.
pub async fn enqueue(tx: &mut Tx, account: &Account, wait_ms: i64) -> sqlx::Result<JobId> {
    let options = Enqueue {
        user: account.owner.clone(),
        subject: Some(account.instance.clone()),
        dedupe_key: Some(format!("library.pull:{}", account.id)),
        run_at: Some(now_ms() + wait_ms),
        priority: 0,
    };
    jobs::enqueue(tx, &PullLibrary { account_id: account.id.clone() }, options).await
}
