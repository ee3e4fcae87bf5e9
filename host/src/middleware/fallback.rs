//! Problems for what no handler answers: unknown paths, wrong methods, panics.

use std::any::Any;

use axum::{
    http::{Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};

use crate::error::ApiError;

/// 404 for a path that no route has.
pub async fn not_found(uri: Uri) -> ApiError {
    ApiError::not_found("route_not_found", format!("there is no {}; /docs lists every path", uri.path()))
}

/// 405 for a method that the path's route does not have.
pub async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("{} does not answer {method}; the Allow header names what it answers", uri.path()),
    )
}

/// 500 for a handler that panicked.
pub fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    ApiError::internal(format!("a handler panicked: {text}")).into_response()
}
