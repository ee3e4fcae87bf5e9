//! API versions: an optional request header picks one, every reply names the one that answered.

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::error::ApiError;

/// The header, in requests and replies.
pub const HEADER: HeaderName = HeaderName::from_static("zotify-api-version");
/// The versions on offer, newest stable first.
pub const VERSIONS: [&str; 1] = ["2026-11-22"];

/// The layer.
pub async fn layer(request: Request, next: Next) -> Response {
    let wanted = request.headers().get(&HEADER).cloned();
    let mut response = match wanted {
        Some(value) if !VERSIONS.iter().any(|v| value == *v) => ApiError::bad_request(
            "unsupported_api_version",
            format!("this server offers the API versions {}; send one of them or no header", VERSIONS.join(", ")),
        )
        .into_response(),
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(HEADER, HeaderValue::from_static(VERSIONS[0]));
    headers.append(header::VARY, HeaderValue::from_static("authorization, cookie, x-api-key, zotify-api-version"));
    response
}
