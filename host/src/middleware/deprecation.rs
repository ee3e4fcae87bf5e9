//! Tells callers of an old route since when it is one, when it goes and what took its place.
//!
//! `Deprecation` is RFC 9745's, `Sunset` RFC 8594's, and the link's relation `successor-version` RFC 5829's.

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};

const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// A route that has a successor.
#[derive(Clone, Copy, Debug)]
pub struct Deprecated {
    /// The route's path.
    pub path: &'static str,
    /// Since when, `@` and Unix seconds.
    pub since: &'static str,
    /// Until when it is answered at least, as an HTTP date.
    pub sunset: &'static str,
    /// What took its place, as a `Link` header's value.
    pub link: &'static str,
}

/// `POST /api/sync/trigger`, which earlier clients know.
pub const SYNC_TRIGGER: Deprecated = Deprecated {
    path: "/api/sync/trigger",
    // 2026-11-22.
    since: "@1795305600",
    sunset: "Mon, 22 Nov 2027 00:00:00 GMT",
    link: "</api/sync>; rel=\"successor-version\"",
};

/// Every deprecated route.
pub const ALL: [Deprecated; 1] = [SYNC_TRIGGER];

/// The layer for the routes that it is put on.
pub async fn layer(deprecated: Deprecated, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(DEPRECATION, HeaderValue::from_static(deprecated.since));
    headers.insert(SUNSET, HeaderValue::from_static(deprecated.sunset));
    headers.append(header::LINK, HeaderValue::from_static(deprecated.link));
    response
}
