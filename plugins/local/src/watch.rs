//! Noticing changes in the folders.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use futures::executor::block_on;
use notify_debouncer_full::{
    DebounceEventResult, Debouncer, RecommendedCache, new_debouncer,
    notify::{EventKind, RecommendedWatcher, RecursiveMode},
};
use zotify_plugin_api::Context;

use crate::settings::Settings;

/// How long nothing must have happened before the host is told.
const QUIET: Duration = Duration::from_secs(2);
/// How often folders that could not be watched are tried again.
const RETRY: Duration = Duration::from_secs(60);

type Warnings = Arc<Mutex<BTreeMap<PathBuf, String>>>;

enum Signal {
    Changed,
    Stop,
}

/// Watches until it is dropped.
pub(crate) struct Watch {
    stop: Sender<Signal>,
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
        let (stop, signals) = channel();
        let warnings = Warnings::default();
        let watcher = Watcher { cx, signals, sender: stop.clone(), warnings: Arc::clone(&warnings), debouncer: None };
        let started = thread::Builder::new().name("local-watch".into()).spawn(move || watcher.run(folders, poll));
        if let Err(error) = started {
            tracing::warn!("changes in the folders are not noticed: {error}");
        }
        Some(Self { stop, warnings })
    }

    /// What an admin should know of folders that are not watched.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The thread may have ended by itself.
        let _ = self.stop.send(Signal::Stop);
    }
}

struct Watcher {
    cx: Context,
    signals: Receiver<Signal>,
    sender: Sender<Signal>,
    warnings: Warnings,
    debouncer: Option<Debouncer<RecommendedWatcher, RecommendedCache>>,
}

impl Watcher {
    fn run(mut self, folders: Vec<PathBuf>, poll: Option<Duration>) {
        let mut unwatched = self.watch(folders);
        let mut next_poll = poll.map(|every| Instant::now() + every);
        loop {
            let until_poll = next_poll.map(|at| at.saturating_duration_since(Instant::now()));
            let until_retry = (!unwatched.is_empty()).then_some(RETRY);
            let wait = until_poll.into_iter().chain(until_retry).min();
            let signal = match wait {
                Some(wait) => self.signals.recv_timeout(wait),
                None => self.signals.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let is_poll = next_poll.is_some_and(|at| at <= Instant::now());
            if is_poll {
                next_poll = poll.map(|every| Instant::now() + every);
            }
            match signal {
                Ok(Signal::Changed) => self.tell(),
                Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    let before = unwatched.len();
                    unwatched = self.watch(unwatched);
                    if is_poll || unwatched.len() < before {
                        self.tell();
                    }
                }
            }
        }
    }

    /// Watches folders; answers those where that fails.
    fn watch(&mut self, folders: Vec<PathBuf>) -> Vec<PathBuf> {
        let mut failed = Vec::new();
        for folder in folders {
            match self.watch_one(&folder) {
                Ok(()) => drop(self.warnings.lock().unwrap_or_else(PoisonError::into_inner).remove(&folder)),
                Err(error) => {
                    self.warn(&folder, &error);
                    failed.push(folder);
                }
            }
        }
        failed
    }

    fn watch_one(&mut self, folder: &PathBuf) -> Result<(), notify_debouncer_full::notify::Error> {
        let debouncer = match self.debouncer.take() {
            Some(debouncer) => debouncer,
            None => {
                let sender = self.sender.clone();
                new_debouncer(QUIET, None, move |events: DebounceEventResult| {
                    if is_change(&events) {
                        // Fails only after the thread has ended.
                        let _ = sender.send(Signal::Changed);
                    }
                })?
            }
        };
        self.debouncer.insert(debouncer).watch(folder, RecursiveMode::Recursive)
    }

    fn warn(&self, folder: &Path, error: &notify_debouncer_full::notify::Error) {
        let text = format!("changes in {} are not noticed: {error}", folder.display());
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if warnings.insert(folder.to_owned(), text.clone()).as_ref() != Some(&text) {
            tracing::warn!("{text}");
        }
    }

    fn tell(&self) {
        // What came together is told once.
        let mut is_stopped = false;
        while let Ok(signal) = self.signals.try_recv() {
            is_stopped |= matches!(signal, Signal::Stop);
        }
        if is_stopped {
            let _ = self.sender.send(Signal::Stop);
            return;
        }
        if let Err(error) = block_on(self.cx.library_changed(None)) {
            tracing::debug!("the host did not take the news of changed folders: {error}");
        }
    }
}

/// Reading files is no change, though the system reports it. Errors may stand for lost events.
fn is_change(events: &DebounceEventResult) -> bool {
    match events {
        Ok(events) => events.iter().any(|event| !matches!(event.kind, EventKind::Access(_))),
        Err(_) => true,
    }
}
