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
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(panicked(&*panic)))
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
                let error = panicked(&*panic);
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

fn panicked(panic: &(dyn Any + Send)) -> ProviderError {
    let text = panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into());
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
