//! Reading the library, page by page.
//!
//! A run walks the folders, compares what it finds with the state in the host's key-value entries, and opens only
//! files that are new or changed. Every page writes its entries, with its own number, before it is answered. The
//! host's cursor says which page it wants next, and thereby which ones it has: entries of a page that it never got are
//! read again, those of the others are done, also after a restart of the plugin. Files that are gone leave an entry
//! behind until a complete run has told the host, for the same reason.
//!
//! Reading a hostile file may end the process (out of memory, stack overflow). The files of a page are noted before they
//! are read, so that after such an end they are read one by one, and the one that does it again is left out.

use zotify_plugin_api::{Completeness, Context, LibraryChanges, LibraryPage, Listing, Result};

use crate::{blocking::blocking, folders::Folders, items::Uris, settings::Settings};

pub(crate) mod position;
mod read;
mod run;
pub(crate) mod state;
mod vanished;
pub(crate) mod walk;

use position::{Position, SyncToken};
use run::Run;
use state::{Reading, State};
use walk::Look;

/// The run that is going on, if any.
#[derive(Default)]
pub(crate) struct Scanner {
    run: futures::lock::Mutex<Option<Run>>,
}

impl Scanner {
    /// Answers the next page.
    ///
    /// # Errors
    /// `invalid_request` for a foreign cursor or token; `unavailable` when no thread can be started.
    pub(crate) async fn page(
        &self,
        cx: &Context,
        settings: &Settings,
        request: &LibraryChanges,
    ) -> Result<LibraryPage> {
        let cursor = request.cursor.as_deref().map(Position::parse).transpose()?;
        let since = request.since.as_deref().map(SyncToken::parse).transpose()?;
        let mut slot = self.run.lock().await;
        // Taken out, so that a call that is given up leaves no half of a run behind.
        let run = match slot.take().filter(|run| Some(run.position) == cursor) {
            Some(run) => run,
            None => start(cx, settings, since, cursor).await?,
        };
        let reading = run.about_to_read();
        if !reading.files.is_empty() {
            State::note_reading(cx, &reading).await?;
        }
        let (mut run, page) = blocking(move || {
            let mut run = run;
            let page = run.page();
            (run, page)
        })
        .await?;
        let mut page = page?;
        run.state.changes().write(cx).await?;
        if !reading.files.is_empty() {
            State::note_reading(cx, &Reading::default()).await?;
        }
        if run.is_finished() {
            finish(&run, &mut page);
        } else {
            run.position.next += 1;
            page.next = Some(run.position.format());
            *slot = Some(run);
        }
        Ok(page)
    }
}

/// The last page says whether everything was seen, and where the next run may start.
fn finish(run: &Run, page: &mut LibraryPage) {
    page.completeness = match &run.trouble {
        None => {
            page.sync_token = run.state.epoch.map(|epoch| SyncToken::new(epoch, run.position.next).format());
            Completeness::Complete
        }
        Some(trouble) => Completeness::Partial { code: trouble.code.into(), detail: trouble.detail.clone() },
    };
}

/// Begins a run, or takes one up again that was begun before a restart.
async fn start(cx: &Context, settings: &Settings, since: Option<SyncToken>, cursor: Option<Position>) -> Result<Run> {
    let mut state = State::load(cx).await?;
    let interrupted = State::interrupted(cx).await?;
    let is_first = state.epoch.is_none();
    let base = since.filter(|token| token.is_known(state.epoch)).map_or(0, |token| token.page);
    if is_first {
        state.begin(cx).await?;
    }
    let position = cursor.filter(|cursor| cursor.base == base).unwrap_or_else(|| {
        let first = state.last_page().max(base) + 1;
        Position { base, first, next: first }
    });
    // Without a base the run names everything there is, so that the host can drop what is not named.
    let listing = if base == 0 { Listing::Everything } else { Listing::Changes };
    let now_ms = cx.clock().now_ms().await?;
    let uris = Uris(cx.instance().to_owned());
    let settings = settings.clone();
    let mut run = blocking(move || {
        let folders = Folders::look(&settings);
        let walk = walk::walk(&folders, Look::Audio);
        Run::new(run::Start { position, listing, is_first, now_ms, uris, settings, folders, walk, state, interrupted })
    })
    .await?;
    run.state.changes().write(cx).await?;
    Ok(run)
}
