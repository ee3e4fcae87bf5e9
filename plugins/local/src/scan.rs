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

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    time::Duration,
};

use zotify_plugin_api::{
    Completeness, Context, ErrorKind, LibraryChanges, LibraryPage, Listing, ProviderError, Result,
};

use crate::{
    blocking::{blocking, spawn},
    folders::Folders,
    items::Uris,
    settings::Settings,
};

pub(crate) mod position;
mod read;
mod run;
pub(crate) mod state;
mod vanished;
pub(crate) mod walk;

use position::{Position, SyncToken};
use run::Run;
use state::State;
use walk::Look;

/// How long a page waits for the folders to be walked. A page that comes before is empty; the walk goes on.
const PATIENCE: Duration = Duration::from_secs(5);

/// The run that is going on, if any.
pub(crate) struct Scanner {
    stage: futures::lock::Mutex<Option<Stage>>,
    patience: Duration,
}

impl Default for Scanner {
    fn default() -> Self {
        Self { stage: futures::lock::Mutex::default(), patience: PATIENCE }
    }
}

enum Stage {
    /// The folders are being walked.
    Walking(Walking),
    /// Files are read, page by page.
    Reading(Box<Run>),
}

/// A run that begins.
struct Walking {
    position: Position,
    listing: Listing,
    run: Receiver<Run>,
}

impl Stage {
    fn position(&self) -> Position {
        match self {
            Self::Walking(walking) => walking.position,
            Self::Reading(run) => run.position,
        }
    }
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
        let mut slot = self.stage.lock().await;
        // Taken out, so that a call that is given up leaves no half of a run behind.
        let stage = match slot.take().filter(|stage| Some(stage.position()) == cursor) {
            Some(stage) => stage,
            None => Stage::Walking(begin(cx, settings, since, cursor).await?),
        };
        let run = match stage {
            Stage::Reading(run) => run,
            Stage::Walking(walking) => {
                let patience = self.patience;
                match blocking(move || walking.wait(patience)).await?? {
                    Stage::Reading(mut run) => {
                        run.state.changes().write(cx).await?;
                        run
                    }
                    Stage::Walking(walking) => {
                        let next = Some(walking.position.format());
                        let page = LibraryPage { listing: walking.listing, next, ..LibraryPage::default() };
                        *slot = Some(Stage::Walking(walking));
                        return Ok(page);
                    }
                }
            }
        };
        let (mut run, mut page) = fill(cx, run).await?;
        if run.is_finished() {
            finish(&run, &mut page);
        } else {
            run.position.next += 1;
            page.next = Some(run.position.format());
            *slot = Some(Stage::Reading(run));
        }
        Ok(page)
    }
}

impl Walking {
    /// The run, once the walk is over, or else the walk.
    fn wait(self, patience: Duration) -> Result<Stage> {
        match self.run.recv_timeout(patience) {
            Ok(run) => Ok(Stage::Reading(Box::new(run))),
            Err(RecvTimeoutError::Timeout) => Ok(Stage::Walking(self)),
            Err(RecvTimeoutError::Disconnected) => {
                Err(ProviderError::new(ErrorKind::Panicked, "walking the folders panicked"))
            }
        }
    }
}

/// Reads files on a thread, and writes what the page says of them before it is answered.
async fn fill(cx: &Context, mut run: Box<Run>) -> Result<(Box<Run>, LibraryPage)> {
    let reading = run.about_to_read();
    if !reading.files.is_empty() {
        State::note_reading(cx, &reading).await?;
    }
    let (mut run, page) = blocking(move || {
        let page = run.page();
        (run, page)
    })
    .await?;
    let page = page?;
    let changes = run.state.changes();
    let changes = if reading.files.is_empty() { changes } else { changes.and_read() };
    changes.write(cx).await?;
    Ok((run, page))
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
async fn begin(
    cx: &Context,
    settings: &Settings,
    since: Option<SyncToken>,
    cursor: Option<Position>,
) -> Result<Walking> {
    let mut state = State::load(cx).await?;
    let interrupted = State::interrupted(cx).await?;
    let base = since.filter(|token| token.is_known(state.epoch)).map_or(0, |token| token.page);
    if state.epoch.is_none() {
        state.begin(cx).await?;
    }
    let position = cursor.filter(|cursor| cursor.base == base).unwrap_or_else(|| {
        let first = state.last_page.max(base) + 1;
        Position { base, first, next: first }
    });
    // Without a base the run names everything there is, so that the host can drop what is not named.
    let listing = if base == 0 { Listing::Everything } else { Listing::Changes };
    let now_ms = cx.clock().now_ms().await?;
    let uris = Uris(cx.instance().to_owned());
    let settings = settings.clone();
    let (sender, run) = sync_channel(1);
    let walk = move || {
        let folders = Folders::look(&settings);
        let walk = walk::walk(&folders, Look::Audio);
        let start = run::Start { position, listing, now_ms, uris, settings, folders, walk, state, interrupted };
        // Fails where nobody waits any more.
        let _ = sender.send(Run::new(start));
    };
    spawn(walk)?;
    Ok(Walking { position, listing, run })
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, fs};

    use zotify_plugin_api::testing::context;

    use super::*;

    #[tokio::test]
    async fn a_long_walk_is_waited_for_over_several_pages() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..300 {
            fs::create_dir(dir.path().join(n.to_string())).unwrap();
            fs::write(dir.path().join(format!("{n}/x.mp3")), "no audio").unwrap();
        }
        let settings =
            Settings { folders: vec![dir.path().to_owned()], watch: false, poll_interval_s: None, follow_links: false };
        let (cx, _) = context("local");
        let scanner = Scanner { patience: Duration::ZERO, ..Scanner::default() };
        let mut request = LibraryChanges::default();
        let mut named = HashSet::new();
        loop {
            let page = scanner.page(&cx, &settings, &request).await.unwrap();
            assert_eq!(page.listing, Listing::Everything);
            named.extend(page.skipped.into_iter().map(|skipped| skipped.name));
            request.cursor = page.next;
            if request.cursor.is_none() {
                assert_eq!(page.completeness, Completeness::Complete);
                break;
            }
        }
        assert_eq!(named.len(), 300);
    }
}
