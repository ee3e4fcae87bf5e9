//! The mirror: what the host itself keeps of every account's library. Search, lists and lookups are answered from it, also
//! while a provider is down; pulls keep it in step.

pub mod clean;
pub mod entries;
pub mod fold;
pub mod lookup;
mod row;
pub mod schedule;
pub mod scope;

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

pub use row::Row;
pub use scope::Scope;
use zotify_plugin_api::SignIn;

use crate::{
    AppState,
    accounts::{self, Account},
    db::{self, Tx, items, jobs::JobRow, now_ms},
    jobs::{self, Enqueue, Job as _, JobId, pull::PullLibrary},
    providers::State,
};

/// How often the scheduler looks for instances that have started.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often it looks for accounts whose pull is due.
const DUE_EVERY: Duration = Duration::from_secs(60);
/// Changes that follow each other are read together.
const CALM: Duration = Duration::from_secs(1);

/// Reads the libraries of all instances once they have started, and again from time to time, and keeps the full-text
/// index in step, until the host stops.
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
            if let Err(error) = items::catch_up(&app.db).await {
                tracing::warn!("words of new items are not searchable yet: {error}");
            }
        }
    });
}

async fn look(app: &AppState, pulled: &mut HashSet<String>, all_due: bool) {
    for handle in app.providers.instances() {
        let first = !pulled.contains(handle.id());
        if handle.state() != State::Started || !(first || all_due) {
            continue;
        }
        // What somebody signs in for is not read at every start: services count how often they are asked.
        let signs_in = handle.manifest().is_some_and(|manifest| manifest.sign_in != SignIn::None);
        match pull_instance(app, handle.id(), first && !signs_in).await {
            Ok(()) => {
                pulled.insert(handle.id().to_owned());
            }
            Err(error) => tracing::warn!(instance = handle.id(), "cannot queue a pull: {error}"),
        }
    }
}

async fn pull_instance(app: &AppState, instance: &str, first: bool) -> sqlx::Result<()> {
    let due = |account: &Account| first || schedule::is_due(app, account, now_ms());
    for account in accounts::of_instance(&app.db, instance).await?.iter().filter(|account| due(account)) {
        pull_if_due(app, account, first).await?;
    }
    Ok(())
}

/// Queues a pull of an account's library if none is under way and the last one is too long ago; at the `first` look, if
/// none was queued since this host started. Several nodes may find the same account due, and what one of them queues
/// takes a while: a second pull is not queued behind it.
///
/// # Errors
/// When the database fails.
pub async fn pull_if_due(app: &AppState, account: &Account, first: bool) -> sqlx::Result<()> {
    // What was read before this host ran may have changed since.
    let started = now_ms() - i64::try_from(app.started.elapsed().as_millis()).unwrap_or(0);
    let mut tx = app.db.write().await?;
    let unfinished = jobs::unfinished(&mut tx, &Enqueue::account_key(PullLibrary::NAME, &account.id)).await?;
    if unfinished.is_some_and(|(_, queued_at)| !first || queued_at >= started) {
        return Ok(());
    }
    let due = |account: &Account| match first {
        true => account.last_pull_at.is_none_or(|at| at <= started),
        false => schedule::is_due(app, account, now_ms()),
    };
    if !db::accounts::find(&mut *tx, &account.id).await?.as_ref().is_some_and(due) {
        return Ok(());
    }
    enqueue(&mut tx, account, Duration::ZERO).await?;
    schedule::set_next(app, &mut tx, account).await?;
    tx.commit().await?;
    app.jobs.wake();
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
        let mut tx = app.db.write().await?;
        enqueue(&mut tx, found, CALM).await?;
        tx.commit().await?;
        app.jobs.wake();
    }
    Ok(())
}

/// The pull of an account that runs; else the next that is to.
///
/// # Errors
/// When the database fails.
pub async fn pull_under_way(app: &AppState, account_id: &str) -> sqlx::Result<Option<JobRow>> {
    db::jobs::under_way(app.db.read(), &Enqueue::account_key(PullLibrary::NAME, account_id)).await
}

/// Queues a pull of an account's library, unless one waits already; answers the job's id. Pulls of one account never run
/// at once. The job is the account's owner's; of a shared account, the host's, whoever asked for it.
///
/// # Errors
/// When the database fails.
pub async fn enqueue(tx: &mut Tx, account: &Account, delay: Duration) -> sqlx::Result<JobId> {
    let options = Enqueue { delay, ..Enqueue::of_account(PullLibrary::NAME, account) };
    jobs::enqueue(tx, &PullLibrary { account_id: account.id.clone() }, options).await
}
