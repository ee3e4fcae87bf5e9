//! Work that blocks goes to threads, so that it holds up none of the host's.

use std::{
    num::NonZero,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use futures::channel::oneshot;
use zotify_plugin_api::{ErrorKind, ProviderError, Result};

/// The most threads that read files at once. Each may hold a picture of [`MAX_PICTURE`](crate::artwork::MAX_PICTURE)
/// bytes more than once, and the process has 256 MiB.
const MAX_READERS: usize = 4;

/// How many threads read files at once.
pub(crate) fn readers() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).min(MAX_READERS)
}

/// Runs work on a thread of its own. The work goes on when the future is dropped; its result is then lost.
///
/// # Errors
/// `unavailable` when no thread can be started, `panicked` when the work panics.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let (sender, receiver) = oneshot::channel();
    spawn(move || drop(sender.send(work())))?;
    receiver.await.map_err(|_| ProviderError::new(ErrorKind::Panicked, "reading the folders panicked"))
}

/// Runs work on a thread of its own.
///
/// # Errors
/// `unavailable` when no thread can be started.
pub(crate) fn spawn(work: impl FnOnce() + Send + 'static) -> Result<()> {
    let started = thread::Builder::new().name("local-files".into()).spawn(work);
    started.map(drop).map_err(|e| ProviderError::unavailable(format!("no thread could be started: {e}")))
}

/// Applies `work` to all items on several threads, keeping their order. A panic is an item without a result.
pub(crate) fn parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<Option<R>> {
    let guarded = |item: &T| catch_unwind(AssertUnwindSafe(|| work(item))).ok();
    let threads = readers().min(items.len());
    if threads <= 1 {
        return items.iter().map(guarded).collect();
    }
    let next = AtomicUsize::new(0);
    let run = || {
        let mut done = Vec::new();
        while let Some((index, item)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, items.get(i)?)))
        {
            done.push((index, guarded(item)));
        }
        done
    };
    let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
    let mut place = |done: Vec<(usize, Option<R>)>| done.into_iter().for_each(|(index, r)| results[index] = r);
    thread::scope(|scope| {
        // A thread that cannot be started is one less; this one always works.
        let others: Vec<_> =
            (1..threads).filter_map(|_| thread::Builder::new().spawn_scoped(scope, run).ok()).collect();
        place(run());
        others.into_iter().filter_map(|other| other.join().ok()).for_each(&mut place);
    });
    results
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_order_and_survives_panics() {
        let items: Vec<usize> = (0..1000).collect();
        let results = parallel(&items, |n| {
            assert!(n % 10 != 3);
            n * 2
        });
        for (n, result) in results.into_iter().enumerate() {
            assert_eq!(result, (n % 10 != 3).then_some(n * 2));
        }
    }

    #[test]
    fn a_panic_is_an_error() {
        let error = futures::executor::block_on(blocking(|| panic!("no"))).map(|(): ()| ()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Panicked);
    }
}
