//! Lets pages of other origins call the API, where the configuration names them.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::config::Server;

/// How long a browser may keep what it was allowed.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// The layer; none where no other origin is allowed anything. Cookies are never allowed from elsewhere: pages of other origins send a token or a key.
pub fn layer(server: &Server) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> = server.cors_origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    if origins.is_empty() {
        return None;
    }
    let origins =
        if origins.iter().any(|origin| origin == "*") { AllowOrigin::any() } else { AllowOrigin::list(origins) };
    let own = HeaderName::from_static;
    let layer = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            header::RANGE,
            own("idempotency-key"),
            own("last-event-id"),
            own("x-api-key"),
            own("x-request-id"),
            own("zotify-api-version"),
        ])
        .expose_headers([
            header::ACCEPT_RANGES,
            header::CONTENT_DISPOSITION,
            header::CONTENT_RANGE,
            header::ETAG,
            header::LINK,
            header::LOCATION,
            header::RETRY_AFTER,
            own("deprecation"),
            own("ratelimit-limit"),
            own("ratelimit-policy"),
            own("ratelimit-remaining"),
            own("ratelimit-reset"),
            own("sunset"),
            own("x-request-id"),
            own("zotify-api-version"),
        ])
        .max_age(MAX_AGE);
    Some(layer)
}
