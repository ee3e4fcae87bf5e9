//! Reads what is left of a request's body before a refusal goes out.
//!
//! A connection that is closed while the client still sends is reset, and the client, or the proxy before it, may lose
//! the answer with it: nginx makes a 502 of it.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    extract::Request,
    http::{StatusCode, header},
    middleware::Next,
    response::Response,
};
use futures::StreamExt as _;
use hyper::body::{Body as _, Frame, SizeHint};

/// What is read of a body that nobody wants, in bytes.
const MAX_REST: usize = 16 << 20;
/// How long it is read.
const MAX_TIME: Duration = Duration::from_secs(5);

/// A body that comes back from whoever drops it.
#[derive(Clone)]
struct Lent(Arc<Mutex<Body>>);

impl Lent {
    fn body(&self) -> MutexGuard<'_, Body> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl hyper::body::Body for Lent {
    type Data = <Body as hyper::body::Body>::Data;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut *self.body()).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body().size_hint()
    }
}

/// The layer.
pub async fn layer(request: Request, next: Next) -> Response {
    // Who waits for a 100 sends nothing once it is refused.
    if request.body().is_end_stream() || request.headers().contains_key(header::EXPECT) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let lent = Lent(Arc::new(Mutex::new(body)));
    let response = next.run(Request::from_parts(parts, Body::new(lent.clone()))).await;
    // A client that was too slow has had its time.
    if response.status().is_client_error() && response.status() != StatusCode::REQUEST_TIMEOUT {
        let rest = std::mem::take(&mut *lent.body());
        // A client that sends more, or for longer, risks the answer.
        let _ = tokio::time::timeout(MAX_TIME, discard(rest)).await;
    }
    response
}

async fn discard(body: Body) {
    let (mut rest, mut read) = (body.into_data_stream(), 0_usize);
    while let Some(Ok(chunk)) = rest.next().await {
        read = read.saturating_add(chunk.len());
        if read > MAX_REST {
            break;
        }
    }
}
