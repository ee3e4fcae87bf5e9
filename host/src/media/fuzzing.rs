//! What fuzz targets reach of this module.

use axum::http::{HeaderMap, Method};

use super::{
    Purpose,
    conditional::{self, Decision, Validators},
    types, upstream,
};

/// What to answer to a request with conditions and a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// All bytes.
    Whole,
    /// So many bytes from this one.
    Part(u64, u64),
    /// The client has them.
    NotModified,
    /// They are others.
    PreconditionFailed,
    /// There are only so many.
    Unsatisfiable(u64),
}

/// Decides what to answer.
pub fn decide(
    method: &Method,
    headers: &HeaderMap,
    etag: Option<String>,
    modified: Option<i64>,
    size: Option<u64>,
) -> Answer {
    match conditional::decide(method, headers, &Validators { etag, modified }, size) {
        Decision::Whole => Answer::Whole,
        Decision::Part(part) => Answer::Part(part.start, part.length.unwrap_or(u64::MAX)),
        Decision::NotModified => Answer::NotModified,
        Decision::PreconditionFailed => Answer::PreconditionFailed,
        Decision::Unsatisfiable(size) => Answer::Unsatisfiable(size),
    }
}

/// Seconds since 1970 as an HTTP date.
pub fn http_date(seconds: i64) -> Option<String> {
    conditional::http_date(seconds)
}

/// An HTTP date as seconds since 1970.
pub fn parse_date(text: &str) -> Option<i64> {
    conditional::parse_date(text)
}

/// First and last byte of a `Content-Range`, and the size.
pub fn content_range(text: &str) -> Option<(Option<(u64, u64)>, u64)> {
    upstream::parse_content_range(text)
}

/// A media type, if it may be served.
pub fn allowed(purpose: Purpose, content_type: &str) -> Option<String> {
    types::allowed(purpose, content_type)
}

/// An entity tag with quotes, if it can stand in a header.
pub fn quoted(tag: &str) -> Option<String> {
    types::quoted(tag)
}
