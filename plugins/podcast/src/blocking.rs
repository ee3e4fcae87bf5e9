//! Work that takes the processor goes to a thread, so that it holds up none of the host's.

use std::thread;

use futures::channel::oneshot;
use zotify_plugin_api::{ErrorKind, ProviderError, Result};

/// Runs work on a thread of its own. The work goes on when the future is dropped; its result is then lost.
///
/// # Errors
/// `unavailable` when no thread can be started, `panicked` when the work panics.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let (sender, receiver) = oneshot::channel();
    let started = thread::Builder::new().name("podcast-feed".into()).spawn(move || drop(sender.send(work())));
    started.map_err(|e| ProviderError::unavailable(format!("no thread could be started: {e}")))?;
    receiver.await.map_err(|_| ProviderError::new(ErrorKind::Panicked, "reading the feed panicked"))
}
