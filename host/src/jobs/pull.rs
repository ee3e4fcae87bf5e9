//! `library.pull`: reads an account's library and playlists into the mirror, page by page. Every page is stored in one
//! transaction with the checkpoint, so a killed host goes on where it was.

mod entries;
mod finish;
mod page;
#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use ulid::Ulid;
use zotify_plugin_api::{
    ErrorKind, LibraryChanges, LibraryKind, LibraryPage, Listing, PageRequest, ProviderError, SignIn, capability,
    method,
};

use crate::{
    accounts::{self, Account},
    connect,
    db::pull_runs::{self, Ending},
    jobs::{Job, JobContext, JobError},
    mirror::schedule,
    providers::{InstanceHandle, Lane, State},
    register_job,
};

/// A run that needs more pages than this goes in circles.
const MAX_PAGES: u64 = 200_000;
/// Pages in a row without anything on them.
const MAX_IDLE_PAGES: u64 = 1000;
/// How often a run starts over when the provider no longer knows its own cursor.
const MAX_RESTARTS: u32 = 2;

/// The job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PullLibrary {
    /// The account to read.
    pub account_id: String,
}

register_job!(PullLibrary);

impl Job for PullLibrary {
    const NAME: &'static str = "library.pull";

    async fn run(&self, ctx: JobContext) -> Result<(), JobError> {
        let mut pull = Pull::open(ctx, &self.account_id).await?;
        let result = pull.run().await;
        if result.is_ok() {
            pull.note_well().await?;
        }
        if let Err(JobError::Fail { code, detail }) = &result {
            pull.fail(code, detail).await?;
        }
        result
    }
}

/// Where a run stands. Saved with every page.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Checkpoint {
    run: String,
    step: Step,
    /// Where the step goes on.
    cursor: Option<String>,
    /// What a run named last.
    since: Option<String>,
    /// Whether nothing was known of the account before.
    first: bool,
    listing: Listing,
    sync_token: Option<String>,
    /// Why the run did not see the whole library.
    partial: Option<(String, String)>,
    /// Why it did not see all playlists.
    #[serde(default)]
    partial_playlists: Option<(String, String)>,
    /// Items that are as they were, by the plugin, and that the mirror does not have.
    unknown: u64,
    pages: u64,
    /// Pages since the last one with something on it.
    #[serde(default)]
    idle: u64,
    #[serde(default)]
    circle: Circle,
    restarts: u32,
    /// What the run will take: requests and items.
    #[serde(default)]
    forecast: Option<(u64, u64)>,
}

/// Notices cursors that go in a circle, however long it is, with one of them remembered: a later one after each
/// doubling of the distance (Brent's algorithm).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Circle {
    seen: Option<String>,
    steps: u64,
    lap: u64,
}

impl Circle {
    /// Whether a cursor was there before, sooner or later.
    pub(super) fn closes(&mut self, next: &str) -> bool {
        if self.seen.as_deref() == Some(next) {
            return true;
        }
        self.steps += 1;
        if self.steps >= self.lap {
            (self.seen, self.steps, self.lap) = (Some(next.to_owned()), 0, (self.lap * 2).max(1));
        }
        false
    }
}

/// What a run does, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Step {
    Library,
    Playlists,
    Entries,
    Finish,
    /// All is stored; the job has yet to be recorded as ended.
    Done,
}

/// A run under way.
struct Pull {
    ctx: JobContext,
    account: Account,
    can: Can,
    at: Checkpoint,
}

/// What matters to a run of what the provider can do.
#[derive(Clone, Copy, Debug, Default)]
struct Can {
    library: bool,
    playlists: bool,
    /// The library is what the account saved of a larger catalogue.
    saved: bool,
    /// Somebody signs in, so that calls name the account.
    signs_in: bool,
    /// It lists what the account likes.
    likes: bool,
    /// It takes likes.
    likes_write: bool,
    /// It lists what the account played.
    history: bool,
}

impl Can {
    fn of(handle: &InstanceHandle) -> Self {
        let reads = [
            capability::LIBRARY_TRACKS_READ,
            capability::LIBRARY_ALBUMS_READ,
            capability::LIBRARY_ARTISTS_READ,
            capability::LIBRARY_SHOWS_READ,
            capability::LIBRARY_EPISODES_READ,
        ];
        Self {
            library: reads.into_iter().any(|capability| handle.has(capability)),
            playlists: handle.has(capability::PLAYLISTS_READ),
            saved: handle.manifest().is_some_and(|manifest| manifest.library == LibraryKind::Saved),
            signs_in: handle.manifest().is_some_and(|manifest| manifest.sign_in != SignIn::None),
            likes: handle.has(capability::LIKES_READ)
                || handle.manifest().is_some_and(|manifest| manifest.likes_are_saved_tracks),
            likes_write: handle.has(capability::LIKES_WRITE),
            history: handle.has(capability::HISTORY_READ),
        }
    }
}

impl Pull {
    async fn open(ctx: JobContext, account_id: &str) -> Result<Self, JobError> {
        let Some(account) = accounts::find(&ctx.app.db, account_id).await? else {
            return Err(fail("account_not_found", "the account does not exist any more"));
        };
        let can = Can::of(&*started(&ctx, &account.instance).await?);
        let at = match ctx.checkpoint() {
            Some(at) => at,
            None => begin(&ctx, &account).await?,
        };
        Ok(Self { ctx, account, can, at })
    }

    async fn run(&mut self) -> Result<(), JobError> {
        loop {
            if self.ctx.cancelled().is_cancelled() {
                return Err(JobError::Cancelled);
            }
            self.at.pages += 1;
            if self.at.pages > MAX_PAGES {
                return Err(fail("endless_library", "the provider's pages do not end"));
            }
            match self.at.step {
                Step::Library if self.can.library => self.library_page().await?,
                Step::Library => self.at.step = Step::Playlists,
                Step::Playlists if self.can.playlists => self.playlists_page().await?,
                Step::Playlists => self.at.step = Step::Finish,
                Step::Entries => self.playlist_entries().await?,
                Step::Finish => self.finish().await?,
                Step::Done => return Ok(()),
            }
        }
    }

    async fn library_page(&mut self) -> Result<(), JobError> {
        let request = LibraryChanges { since: self.at.since.clone(), cursor: self.at.cursor.clone() };
        let page = match self.call::<method::PullLibrary>(request).await? {
            Ok(page) => page,
            Err(error) if self.start_over(&error) => {
                let line = format!("the provider does not know where to go on: {error}; starting over");
                self.ctx.log("warn", &line).await?;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let progress = page.progress;
        if let Some(forecast) = page.forecast {
            self.at.forecast = Some((forecast.requests, forecast.items));
        }
        let next = self.next_cursor(page.next.as_ref())?;
        self.at.idle = if is_idle(&page) { self.at.idle + 1 } else { 0 };
        if self.at.idle > MAX_IDLE_PAGES {
            return Err(fail("endless_library", "the provider's pages do not end, and there is nothing on them"));
        }
        self.store_library(page, next).await?;
        if let Some(progress) = progress {
            self.ctx.progress(progress.done, progress.total, &self.message()).await?;
        }
        Ok(())
    }

    fn message(&self) -> String {
        match self.at.forecast {
            Some((requests, items)) => {
                format!("reading the library: {items} items, in about {requests} requests in all")
            }
            None => "reading the library".to_owned(),
        }
    }

    /// An account that could be read again is well.
    async fn note_well(&self) -> sqlx::Result<()> {
        let mut tx = self.ctx.app.db.write().await?;
        self.ctx.hold(&mut tx).await?;
        let Some(account) = crate::db::accounts::find(&mut *tx, &self.account.id).await? else { return Ok(()) };
        connect::check::works(&mut tx, &account).await?;
        tx.commit().await?;
        self.ctx.app.recent_accounts.forget();
        Ok(())
    }

    async fn playlists_page(&mut self) -> Result<(), JobError> {
        if self.at.cursor.is_none() {
            self.at.partial_playlists = None;
        }
        let request = PageRequest { cursor: self.at.cursor.clone(), limit: 0 };
        let page = match self.call::<method::ListPlaylists>(request).await? {
            Ok(page) => page,
            Err(error) if self.start_over(&error) => return Ok(()),
            Err(error) if self.does_without(&error) => {
                let line = format!("the playlists can't be listed, and stay as they are: {error}");
                self.ctx.log("warn", &line).await?;
                (self.at.cursor, self.at.step) = (None, Step::Entries);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let next = self.next_cursor(page.next.as_ref())?;
        self.store_playlists(page, next).await
    }

    /// Whether a run goes on without playlists: what kept the provider from seeing its whole library, such as a folder that
    /// is missing, keeps it from listing them too, and no other try would change that. A partial run removes nothing.
    fn does_without(&self, error: &ProviderError) -> bool {
        self.at.partial.is_some() && error.kind == ErrorKind::Unavailable && error.retry_after_ms.is_none()
    }

    /// Calls the provider, unless the job is to stop.
    async fn call<M: method::Method>(&self, request: M::Request) -> Result<Result<M::Reply, ProviderError>, JobError> {
        let account = self.can.signs_in.then_some(self.account.id.as_str());
        let reply = tokio::select! {
            () = self.ctx.cancelled().cancelled() => return Err(JobError::Cancelled),
            reply = self.ctx.app.providers.call::<M>(&self.account.instance, account, Lane::Job, request) => reply,
        };
        if let Some(error) = reply.as_ref().err().filter(|error| error.kind == ErrorKind::AuthRequired) {
            let mut tx = self.ctx.app.db.write().await?;
            accounts::must_sign_in(&mut tx, &self.account, error).await?;
            tx.commit().await?;
            self.ctx.app.recent_accounts.forget();
        }
        Ok(reply)
    }

    /// A provider that refuses where to go on is asked from the start of the step, then from the start of the library.
    fn start_over(&mut self, error: &ProviderError) -> bool {
        let refused = matches!(error.kind, ErrorKind::InvalidRequest | ErrorKind::NotFound | ErrorKind::Conflict);
        if !refused || self.at.restarts >= MAX_RESTARTS {
            return false;
        }
        self.at.restarts += 1;
        self.at.circle = Circle::default();
        self.at.cursor.take().is_some() || self.at.since.take().is_some()
    }

    fn next_cursor(&mut self, next: Option<&String>) -> Result<Option<String>, JobError> {
        let Some(next) = next else {
            self.at.circle = Circle::default();
            return Ok(None);
        };
        if self.at.cursor.as_ref() == Some(next) || self.at.circle.closes(next) {
            return Err(fail("cursor_repeats", "the provider's pages name one of themselves as the next one"));
        }
        Ok(Some(next.clone()))
    }

    async fn fail(&self, code: &str, detail: &str) -> sqlx::Result<()> {
        let mut tx = self.ctx.app.db.write().await?;
        self.ctx.hold(&mut tx).await?;
        let ending = Ending {
            state: "failed",
            code: Some(code.to_owned()),
            detail: Some(detail.to_owned()),
            ..Ending::default()
        };
        crate::db::items::give_up_marks(&mut tx, &self.account.id, &self.at.run).await?;
        pull_runs::end(&mut tx, &self.at.run, ending).await?;
        schedule::set_next(&self.ctx.app, &mut tx, &self.account).await?;
        tx.commit().await
    }
}

pub(super) async fn started(ctx: &JobContext, instance: &str) -> Result<Arc<InstanceHandle>, JobError> {
    let Some(handle) = ctx.app.providers.get(instance) else {
        return Err(fail("provider_not_found", "the provider is not configured any more"));
    };
    if handle.state() == State::Loading {
        // A job that goes on after a restart is there before the plugin; that is no failed attempt.
        tokio::select! {
            () = ctx.cancelled().cancelled() => return Err(JobError::Cancelled),
            () = handle.tried() => {}
        }
    }
    match handle.state() {
        State::Started => Ok(handle),
        State::Disabled => Err(fail("provider_disabled", "the provider is disabled")),
        _ => Err(JobError::Retry {
            after: None,
            code: "provider_unavailable".into(),
            detail: "the provider has not started; see /api/providers".into(),
        }),
    }
}

async fn begin(ctx: &JobContext, account: &Account) -> Result<Checkpoint, JobError> {
    let at = Checkpoint {
        run: Ulid::generate().to_string(),
        step: Step::Library,
        cursor: None,
        since: account.sync_token.clone(),
        first: account.last_pull_at.is_none(),
        listing: Listing::Unknown,
        sync_token: None,
        partial: None,
        partial_playlists: None,
        unknown: 0,
        pages: 0,
        idle: 0,
        circle: Circle::default(),
        restarts: 0,
        forecast: None,
    };
    let mut tx = ctx.app.db.write().await?;
    pull_runs::end_abandoned(&mut tx, &account.id).await?;
    pull_runs::start(&mut tx, &at.run, &account.id, &ctx.id).await?;
    ctx.save_checkpoint(&mut tx, &at).await?;
    tx.commit().await?;
    Ok(at)
}

fn is_idle(page: &LibraryPage) -> bool {
    page.upsert.rows.is_empty()
        && page.upsert.rejected.is_empty()
        && page.unchanged.is_empty()
        && page.removed.is_empty()
        && page.moved.is_empty()
        && page.skipped.is_empty()
}

fn fail(code: &str, detail: &str) -> JobError {
    JobError::Fail { code: code.into(), detail: detail.to_owned() }
}
