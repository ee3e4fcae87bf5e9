//! Serves the router: the layer stack, in order, and a clean stop.

use std::{future::Future, net::SocketAddr, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    middleware::from_fn,
    middleware::from_fn_with_state,
};
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer,
        predicate::{DefaultPredicate, NotForContentType, Predicate as _},
    },
    trace::{DefaultOnFailure, DefaultOnResponse, TraceLayer},
};
use tracing::{Level, Span};

use crate::{
    AppState,
    middleware::{client, etag, fallback, request_id, timeout, version},
    router,
};

/// The whole service: the router inside its layers, the outermost first.
pub fn service(app: AppState) -> Router {
    // Audio is compressed already, and a range is of the bytes as they are.
    let compressible =
        DefaultPredicate::new().and(NotForContentType::new("audio/")).and(NotForContentType::new("video/"));
    let layers = ServiceBuilder::new()
        .layer(from_fn(request_id::layer))
        .layer(
            TraceLayer::new_for_http()
                // Its own span would hold the query, in which signatures of links stand; the span of the request does not.
                .make_span_with(|_: &Request| Span::none())
                .on_request(())
                .on_response(DefaultOnResponse::new().level(Level::DEBUG))
                .on_failure(DefaultOnFailure::new().level(Level::DEBUG)),
        )
        .layer(from_fn(version::layer))
        .layer(CatchPanicLayer::custom(fallback::panicked))
        .layer(from_fn_with_state(app.clone(), client::layer))
        .layer(CompressionLayer::new().compress_when(compressible))
        .layer(from_fn(etag::layer))
        .layer(from_fn_with_state(app.clone(), timeout::layer))
        .layer(DefaultBodyLimit::max(app.config.server.max_body_bytes));
    router::router().layer(layers).with_state(app)
}

/// Serves until `shutdown`, then lets requests under way end for the configured grace.
///
/// # Errors
/// When the listener fails.
pub async fn serve(app: AppState, listener: TcpListener, shutdown: impl Future<Output = ()>) -> std::io::Result<()> {
    let service = service(app.clone()).into_make_service_with_connect_info::<SocketAddr>();
    let stop = app.shutdown.clone();
    let server = axum::serve(listener, service).with_graceful_shutdown(async move { stop.cancelled().await });
    let mut server = std::pin::pin!(server.into_future());
    tokio::select! {
        ended = &mut server => return ended,
        () = shutdown => {}
    }
    app.shutdown.cancel();
    let grace = Duration::from_secs(app.config.server.shutdown_grace_s);
    if tokio::time::timeout(grace, server).await.is_err() {
        tracing::warn!("some requests did not end within {grace:?} and were cut off");
    }
    Ok(())
}
