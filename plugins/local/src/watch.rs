//! Noticing changes in the folders.

use std::{
    collections::BTreeMap,
    io::{self, PipeReader, PipeWriter},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use futures::executor::block_on;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use zotify_plugin_api::Context;

use crate::settings::Settings;

#[cfg(target_os = "linux")]
mod inotify;
#[cfg(not(target_os = "linux"))]
mod unsupported;

#[cfg(target_os = "linux")]
use inotify::Tree;
#[cfg(not(target_os = "linux"))]
use unsupported::Tree;

/// How long nothing must have happened before the host is told.
const QUIET: Duration = Duration::from_secs(2);
/// How long the host waits for news of folders that are never quiet.
const IMPATIENCE: Duration = Duration::from_secs(30);
/// How often folders that could not be watched are tried again.
const RETRY: Duration = Duration::from_secs(60);

type Warnings = Arc<Mutex<BTreeMap<PathBuf, String>>>;

/// Watches until it is dropped.
pub(crate) struct Watch {
    /// Closed by dropping it, which wakes the thread.
    _stop: Option<PipeWriter>,
    warnings: Warnings,
}

impl Watch {
    /// Starts watching, on a thread of its own; none where the settings want none.
    pub(crate) fn start(cx: Context, settings: &Settings) -> Option<Self> {
        let poll = settings.poll_interval_s.map(Duration::from_secs);
        if !settings.watch && poll.is_none() {
            return None;
        }
        let folders = if settings.watch { settings.folders.clone() } else { Vec::new() };
        let warnings = Warnings::default();
        let start = || -> io::Result<PipeWriter> {
            let (stopped, stop) = io::pipe()?;
            let watcher =
                Watcher { cx, folders, poll, stopped, warnings: Arc::clone(&warnings), tree: None, is_late: false };
            thread::Builder::new().name("local-watch".into()).spawn(move || watcher.run())?;
            Ok(stop)
        };
        let stop = start().inspect_err(|error| tracing::warn!("changes in the folders are not noticed: {error}"));
        Some(Self { _stop: stop.ok(), warnings })
    }

    /// What an admin should know of folders that are not watched.
    pub(crate) fn warnings(&self) -> Vec<String> {
        lock(&self.warnings).values().cloned().collect()
    }
}

/// What came.
enum News {
    /// Nothing in time.
    None,
    /// Something changed.
    Changed {
        /// Whether directories came or went.
        has_directories: bool,
    },
    /// Nobody wants to know any more.
    Stopped,
}

struct Watcher {
    cx: Context,
    folders: Vec<PathBuf>,
    poll: Option<Duration>,
    stopped: PipeReader,
    warnings: Warnings,
    tree: Option<Tree>,
    /// Whether something changed while directories were watched anew.
    is_late: bool,
}

/// Changes of which the host does not know yet.
#[derive(Clone, Copy)]
struct Unrest {
    /// When the first of them came.
    since: Instant,
    last: Instant,
    /// Whether directories came or went, which are not watched yet.
    has_directories: bool,
}

impl Unrest {
    fn ends(self) -> Instant {
        (self.last + QUIET).min(self.since + IMPATIENCE)
    }
}

impl Watcher {
    fn run(mut self) {
        let mut failed = self.watch();
        let mut next_retry = Instant::now() + RETRY;
        let mut next_poll = self.poll.map(|every| Instant::now() + every);
        let mut unrest: Option<Unrest> = None;
        loop {
            let retry = (failed > 0).then_some(next_retry);
            let until = unrest.map(Unrest::ends).into_iter().chain(retry).chain(next_poll).min();
            let Ok(news) = wait(self.tree.as_ref(), &self.stopped, until) else { return };
            let now = Instant::now();
            match news {
                News::Stopped => return,
                News::Changed { has_directories } => {
                    let known = unrest.get_or_insert(Unrest { since: now, last: now, has_directories: false });
                    known.last = now;
                    known.has_directories |= has_directories;
                }
                News::None => {}
            }
            let mut is_news = false;
            if unrest.is_some_and(|unrest| unrest.ends() <= now) {
                // Watched before it is told: what comes in between is read by the run that follows, or noticed.
                if unrest.take().is_some_and(|unrest| unrest.has_directories) {
                    failed = self.watch();
                }
                is_news = true;
            }
            if failed > 0 && next_retry <= now {
                let before = failed;
                failed = self.watch();
                next_retry = now + RETRY;
                is_news |= failed < before;
            }
            if next_poll.is_some_and(|at| at <= now) {
                next_poll = self.poll.map(|every| now + every);
                is_news = true;
            }
            if is_news | std::mem::take(&mut self.is_late) {
                self.tell();
            }
        }
    }

    /// Watches all folders anew; answers how many of them failed.
    fn watch(&mut self) -> usize {
        if self.folders.is_empty() {
            return 0;
        }
        let (tree, failed) = Tree::watch(&self.folders);
        let old = std::mem::replace(&mut self.tree, tree);
        self.is_late |= old.is_some_and(|old| old.take().is_some());
        let mut warnings = lock(&self.warnings);
        warnings.retain(|folder, _| failed.iter().any(|(path, _)| path == folder));
        for (folder, error) in &failed {
            warn(&mut warnings, folder, error);
        }
        failed.len()
    }

    fn tell(&self) {
        if let Err(error) = block_on(self.cx.library_changed(None)) {
            tracing::debug!("the host did not take the news of changed folders: {error}");
        }
    }
}

/// Waits for news, at most until a moment.
///
/// # Errors
/// When the system does not let it wait.
fn wait(tree: Option<&Tree>, stopped: &PipeReader, until: Option<Instant>) -> io::Result<News> {
    let mut waiting = vec![PollFd::new(stopped.as_fd(), PollFlags::POLLIN)];
    waiting.extend(tree.map(|tree| PollFd::new(tree.as_fd(), PollFlags::POLLIN)));
    let timeout = match until {
        // Rounded up, so that it is not waited for in many short steps.
        Some(at) => {
            let ms = at.saturating_duration_since(Instant::now()).as_millis() + 1;
            PollTimeout::try_from(ms).unwrap_or(PollTimeout::MAX)
        }
        None => PollTimeout::NONE,
    };
    match poll(&mut waiting, timeout) {
        Err(Errno::EINTR) => return Ok(News::None),
        done => done?,
    };
    if waiting[0].any().unwrap_or(true) {
        return Ok(News::Stopped);
    }
    let news = tree.filter(|_| waiting.get(1).is_some_and(|w| w.any().unwrap_or(true))).and_then(Tree::take);
    Ok(news.map_or(News::None, |has_directories| News::Changed { has_directories }))
}

fn warn(warnings: &mut BTreeMap<PathBuf, String>, folder: &Path, error: &io::Error) {
    let text = format!("changes in {} are not noticed: {error}", folder.display());
    if warnings.insert(folder.to_owned(), text.clone()).as_ref() != Some(&text) {
        tracing::warn!("{text}");
    }
}

fn lock(warnings: &Warnings) -> MutexGuard<'_, BTreeMap<PathBuf, String>> {
    warnings.lock().unwrap_or_else(PoisonError::into_inner)
}
