//! Styles, scripts and the icon, which are part of the program.

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};

use crate::{
    api::extract::Path,
    error::{ApiError, ApiResult},
    middleware::etag,
};

/// Name, media type and bytes of each.
const ALL: [(&str, &str, &str); 4] = [
    ("htmx.min.js", "text/javascript; charset=utf-8", include_str!("../../assets/ui/htmx.min.js")),
    ("ui.js", "text/javascript; charset=utf-8", include_str!("../../assets/ui/ui.js")),
    ("ui.css", "text/css; charset=utf-8", include_str!("../../assets/ui/ui.css")),
    ("icon.svg", "image/svg+xml", include_str!("../../assets/ui/icon.svg")),
];

/// One of the files. Browsers keep it, and ask whether there is another.
pub(super) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> ApiResult<Response> {
    let file = ALL.iter().find(|(known, ..)| *known == name);
    let missing = || ApiError::not_found("route_not_found", "the pages have no such file");
    let (_, media_type, text) = *file.ok_or_else(missing)?;
    let tag = etag::of(text.as_bytes());
    let cache = [(header::CACHE_CONTROL, "private, no-cache".to_owned()), (header::ETAG, tag.clone())];
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| etag::matches(known, &tag)) {
        return Ok((StatusCode::NOT_MODIFIED, cache).into_response());
    }
    Ok((cache, [(header::CONTENT_TYPE, media_type)], text).into_response())
}
