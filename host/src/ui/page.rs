//! What all pages have in common.

use askama::Template;
use axum::{
    extract::FromRequestParts,
    http::{StatusCode, header, request::Parts},
    response::{Html, IntoResponse as _, Response},
};

use crate::{
    AppState,
    auth::Principal,
    error::{ApiError, ApiResult},
    middleware::client::Client,
};

/// Somebody who is signed in and looks at a page.
pub struct Visit {
    /// Who.
    pub principal: Principal,
    /// The path under which the server is reached; empty at the root.
    pub base: String,
}

impl FromRequestParts<AppState> for Visit {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let Ok(Client { prefix, .. }) = Client::from_request_parts(parts, app).await;
        Ok(Self { principal: Principal::from_request_parts(parts, app).await?, base: prefix })
    }
}

impl Visit {
    /// The frame of a page of the section `here`.
    pub fn frame(&self, here: &'static str) -> Frame {
        Frame { base: self.base.clone(), user: Some(self.principal.name.clone()), here }
    }
}

/// What stands around a page.
pub struct Frame {
    /// As in [`Visit`].
    pub base: String,
    /// The user's name; none where nobody is signed in.
    pub user: Option<String>,
    /// The section that is shown.
    pub here: &'static str,
}

/// A link of the navigation.
pub struct Section {
    /// The section's name in [`Frame::here`].
    pub id: &'static str,
    /// Its path below the base.
    pub path: &'static str,
    /// For people.
    pub title: &'static str,
}

impl Frame {
    /// The sections, in order.
    pub fn sections(&self) -> [Section; 4] {
        [
            Section { id: "home", path: "/ui", title: "Home" },
            Section { id: "search", path: "/ui/search", title: "Search" },
            Section { id: "playlists", path: "/ui/playlists", title: "Playlists" },
            Section { id: "jobs", path: "/ui/jobs", title: "Jobs" },
        ]
    }

    /// The host's version.
    pub fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }
}

/// A template as an answer.
///
/// # Errors
/// 500, when it cannot be written out.
pub fn show(template: &impl Template) -> ApiResult<Response> {
    Ok(Html(template.render().map_err(ApiError::internal)?).into_response())
}

/// Sends the browser to another page, by GET.
pub fn to(base: &str, path: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, format!("{base}{path}"))]).into_response()
}

/// A time as people read it, from RFC 3339 UTC: to the second, in UTC.
pub fn moment(rfc3339: &str) -> String {
    let time = chrono::DateTime::parse_from_rfc3339(rfc3339);
    time.map_or_else(|_| rfc3339.to_owned(), |time| time.format("%Y-%m-%d %H:%M:%S UTC").to_string())
}
