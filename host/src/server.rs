//! Serves the router: the layer stack, in order, and a clean stop.

mod connections;
mod slots;
mod watch;

use std::time::Duration;

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
    timeout::RequestBodyTimeoutLayer,
    trace::{DefaultOnFailure, DefaultOnResponse, TraceLayer},
};
use tracing::{Level, Span};

pub use slots::raise_open_files;

use self::connections::Connections;
use crate::{
    AppState,
    middleware::{client, cors, drain, etag, fallback, rate, request_id, security, timeout, version},
    router, ui,
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
        .layer(from_fn_with_state(app.clone(), security::layer))
        .option_layer(cors::layer(&app.config.server))
        .layer(from_fn(version::layer))
        .layer(CatchPanicLayer::custom(fallback::panicked))
        .layer(from_fn(drain::layer))
        .layer(from_fn_with_state(app.clone(), client::layer))
        .layer(from_fn(ui::layer))
        .layer(from_fn_with_state(app.clone(), rate::layer))
        .layer(CompressionLayer::new().compress_when(compressible))
        .layer(from_fn(etag::layer))
        .layer(from_fn_with_state(app.clone(), timeout::layer))
        .layer(DefaultBodyLimit::max(app.config.server.max_body_bytes))
        .layer(RequestBodyTimeoutLayer::new(Duration::from_secs(app.config.server.header_timeout_s)));
    router::router().layer(layers).with_state(app)
}

/// Serves until `shutdown`, then lets requests under way end for the configured grace.
pub async fn serve(app: AppState, listener: TcpListener, shutdown: impl Future<Output = ()>) {
    let connections = Connections::new(app.clone(), service(app.clone()));
    tokio::select! {
        () = connections.accept(listener) => {}
        () = app.shutdown.cancelled() => {}
        () = shutdown => {}
    }
    app.shutdown.cancel();
    let grace = Duration::from_secs(app.config.server.shutdown_grace_s);
    if !connections.end(grace).await {
        tracing::warn!("some requests did not end within {grace:?} and were cut off");
    }
}
