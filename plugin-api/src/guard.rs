//! Turns panics of plugin code into errors before they reach the binary interface, where they would end the host.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use crate::{ErrorKind, ProviderError, Result};

/// Runs plugin code that is not asynchronous.
pub(crate) fn guard<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(panicked(panic)))
}

/// Plugin data that the host drops: a panic on that way becomes a line in the log.
pub(crate) struct Held<T>(Option<T>);

impl<T> Held<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Some(value))
    }

    /// The data; there until it is dropped.
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }

    /// As [`Held::get`].
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        self.0.as_mut()
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        let held = self.0.take();
        let dropped = guard(|| {
            drop(held);
            Ok(())
        });
        if let Err(error) = dropped {
            tracing::error!("{error}, while it was dropped");
        }
    }
}

/// A future whose panics, in poll as in drop, become errors.
pub(crate) struct Guarded<T> {
    body: Option<Pin<Box<dyn Future<Output = Result<T>> + Send>>>,
    enter: crate::logging::Scope,
}

impl<T> Guarded<T> {
    pub(crate) fn new(scope: crate::logging::Scope, body: impl Future<Output = Result<T>> + Send + 'static) -> Self {
        Self { body: Some(Box::pin(body)), enter: scope }
    }

    /// Drops the body inside a guard.
    fn discard(&mut self) -> Result<()> {
        let body = self.body.take();
        guard(|| {
            drop(body);
            Ok(())
        })
    }
}

impl<T> Future for Guarded<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(body) = &mut this.body else {
            return Poll::Ready(Err(ProviderError::internal("a finished call was polled again")));
        };
        let _entered = this.enter.enter();
        let polled = catch_unwind(AssertUnwindSafe(|| body.as_mut().poll(cx)));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(reply)) => Poll::Ready(this.discard().and(reply)),
            Err(panic) => {
                let error = panicked(panic);
                // A second panic while dropping adds nothing.
                let _ = this.discard();
                Poll::Ready(Err(error))
            }
        }
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        let _entered = self.enter.enter();
        if let Err(error) = self.discard() {
            tracing::error!("a cancelled call panicked while it was dropped: {error}");
        }
    }
}

fn panicked(panic: Box<dyn Any + Send>) -> ProviderError {
    let text =
        panic.downcast::<&str>().map(|text| (*text).to_owned()).or_else(|panic| panic.downcast().map(|text| *text));
    let text = text.unwrap_or_else(|panic| {
        // Whatever it is, its own destructor may panic as well.
        std::mem::forget(panic);
        "no message".into()
    });
    ProviderError::new(ErrorKind::Panicked, format!("the plugin panicked: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::Scope;

    struct PanicsOnDrop;

    impl Drop for PanicsOnDrop {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }

    #[tokio::test]
    async fn panics_become_errors() {
        let early = Guarded::<()>::new(Scope::default(), async { panic!("early") });
        assert_eq!(early.await.unwrap_err().kind, ErrorKind::Panicked);

        let late = Guarded::<()>::new(Scope::default(), async {
            tokio::task::yield_now().await;
            std::panic::panic_any(7_u8)
        });
        assert_eq!(late.await.unwrap_err().message, "the plugin panicked: no message");

        let mut dropping = Box::pin(Guarded::<()>::new(Scope::default(), async {
            let _held = PanicsOnDrop;
            std::future::pending().await
        }));
        assert!(futures::poll!(dropping.as_mut()).is_pending());
        drop(dropping);
    }

    #[test]
    fn what_is_held_and_what_was_thrown_may_panic_when_dropped() {
        drop(Held::new(PanicsOnDrop));
        let thrown = guard::<()>(|| std::panic::panic_any(PanicsOnDrop));
        assert_eq!(thrown.unwrap_err().message, "the plugin panicked: no message");
    }

    #[tokio::test]
    async fn a_panic_in_drop_after_the_answer_is_an_error() {
        let held = PanicsOnDrop;
        let call = Guarded::new(Scope::default(), async move {
            let _held = &held;
            Ok(1)
        });
        assert_eq!(call.await.unwrap_err().kind, ErrorKind::Panicked);
    }
}
