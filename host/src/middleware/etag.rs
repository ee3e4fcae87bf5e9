//! Entity tags for JSON: a client that has the same answer already gets 304 instead of it.

use aws_lc_rs::digest;
use axum::{
    body::{Body, HttpBody as _},
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::error::ApiError;

/// Larger bodies get no tag: they would have to be held in memory.
const MAX_BODY: u64 = 1 << 20;

/// Goes with a reply whose version clients may name in `If-Match`. The tag then is that version and a hash of the reply, so
/// that it also tells one page of it from another.
#[derive(Clone, Debug)]
pub struct Version(pub String);

/// The tag of a version, as a reply to a write has it.
pub fn of_version(version: &str) -> String {
    format!("\"{version}\"")
}

/// Whether an `If-Match` header names a version: by a tag that a write answered, or one of any reply of that version.
pub fn names_version(header: &HeaderValue, version: &str) -> bool {
    let names = |tag: &str| {
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        let inner = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        inner.is_some_and(|inner| inner.split('.').next() == Some(version))
    };
    header.to_str().is_ok_and(|list| list.trim() == "*" || listed(list).any(names))
}

/// The layer.
pub async fn layer(request: Request, next: Next) -> Response {
    let wanted = matches!(*request.method(), Method::GET | Method::HEAD);
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let response = next.run(request).await;
    let small = response.body().size_hint().exact().is_some_and(|size| size <= MAX_BODY);
    if !wanted || !small || !is_json(response.headers()) || response.status() != StatusCode::OK {
        return response;
    }
    tag(response, known.as_ref()).await
}

async fn tag(response: Response, known: Option<&HeaderValue>) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, usize::try_from(MAX_BODY).unwrap_or(usize::MAX)).await else {
        return ApiError::internal("a JSON body could not be read back").into_response();
    };
    let etag = match parts.extensions.get::<Version>() {
        Some(Version(version)) => of(&bytes).replacen('"', &format!("\"{version}."), 1),
        None => of(&bytes),
    };
    let unchanged = known.is_some_and(|value| matches(value, &etag));
    if let Ok(value) = HeaderValue::from_str(&etag) {
        parts.headers.insert(header::ETAG, value);
    }
    parts.headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-cache"));
    if unchanged {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_TYPE);
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, bytes.into())
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"application/json"))
        && !headers.contains_key(header::ETAG)
}

/// The tag of a body. Weak, since a compressed reply has other bytes.
pub fn of(bytes: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, bytes);
    format!("W/\"{}\"", URL_SAFE_NO_PAD.encode(&hash.as_ref()[..16]))
}

/// Whether an `If-None-Match` header names a tag, by the weak comparison of RFC 9110 §8.8.3.2.
pub fn matches(header: &HeaderValue, etag: &str) -> bool {
    let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    header.to_str().is_ok_and(|list| list.trim() == "*" || listed(list).any(|tag| opaque(tag) == opaque(etag)))
}

/// The entity tags of a list such as `"a", W/"b,c"`: a comma between quotes belongs to the tag.
pub fn listed(list: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let separates = move |c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    };
    list.split(separates).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_between_quotes_belongs_to_the_tag() {
        assert_eq!(listed(r#""a,b" , W/"c",,"#).collect::<Vec<_>>(), [r#""a,b""#, r#"W/"c""#, "", ""]);
        let header = HeaderValue::from_static(r#""x", W/"a,b""#);
        assert!(matches(&header, r#""a,b""#) && matches(&header, r#"W/"x""#));
        assert!(!matches(&header, r#""a""#) && !matches(&header, r#""b""#));
    }
}
