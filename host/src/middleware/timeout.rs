//! Bounds the time until a handler answers. Bodies that stream on are bounded where they are made.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{AppState, error::ApiError};

/// The layer.
pub async fn layer(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let limit = Duration::from_secs(app.config.server.request_timeout_s);
    tokio::time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
        ApiError::unavailable("request_timeout", "the request took too long and was given up")
            .with_retry_after(1)
            .into_response()
    })
}
