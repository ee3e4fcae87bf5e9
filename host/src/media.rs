//! Moves bytes from where a plugin says they are to the client: ranges, conditions, limits and types exist once, here.

mod body;
mod conditional;
mod file;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod types;
mod upstream;

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use zotify_plugin_api::{MediaSource, ProviderError, StreamRequest};

pub use types::disposition;

use self::{
    body::Chunks,
    conditional::{Decision, Part, Validators},
};
use crate::{
    App,
    error::{ApiError, ApiResult},
    providers::InstanceHandle,
};

/// The largest picture, in bytes.
const MAX_PICTURE: u64 = 16 << 20;

/// What the bytes are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Audio of a track or episode.
    Audio,
    /// A picture.
    Picture,
}

/// A request for bytes.
pub struct Asked<'a> {
    /// GET or HEAD.
    pub method: &'a Method,
    /// The client's headers.
    pub headers: &'a HeaderMap,
    /// What for.
    pub purpose: Purpose,
    /// What the client may call the file, without extension.
    pub name: &'a str,
}

/// What is known of the bytes before they move.
struct Known {
    content_type: String,
    extension: Option<String>,
    size: Option<u64>,
    validators: Validators,
    /// Whether a part can be had.
    ranges: bool,
}

/// Answers a request with the bytes of a source.
///
/// # Errors
/// 416 and 412 as RFC 9110 has them, 502 for a source that can't be served, or why the provider failed.
pub async fn serve(app: &App, handle: &InstanceHandle, source: MediaSource, asked: &Asked<'_>) -> ApiResult<Response> {
    let idle = Duration::from_secs(app.config.plugins.stream_idle_s);
    match source {
        MediaSource::File { path, content_type } => {
            let opened = file::open(handle.granted_roots(), path.clone()).await.map_err(|e| file_error(handle, &e))?;
            let known = Known {
                extension: file::extension(&path),
                size: Some(opened.size),
                validators: opened.validators(),
                content_type,
                ranges: true,
            };
            let plan = match plan(asked, known)? {
                Planned::Answer(response) => return Ok(response),
                Planned::Bytes(plan) => plan,
            };
            let chunks = Chunks::file(opened.file, plan.part.start).await.map_err(ApiError::internal)?;
            Ok(plan.respond(asked, chunks, idle))
        }
        MediaSource::Stream { token, content_type, size, etag } => {
            let validators = Validators { etag: etag.as_deref().and_then(types::quoted), modified: None };
            let known = Known { content_type, extension: None, size, validators, ranges: size.is_some() };
            let plan = match plan(asked, known)? {
                Planned::Answer(response) => return Ok(response),
                Planned::Bytes(plan) => plan,
            };
            if *asked.method == Method::HEAD || plan.part.length == Some(0) {
                return Ok(plan.respond(asked, Chunks::Empty, idle));
            }
            let mut stream = handle.open_stream(StreamRequest { token, offset: plan.part.start }).await?;
            // A plugin that dies before its first byte gets its problem told: the status is not sent yet.
            if !stream.begin().await? && plan.part.length.is_some() {
                return Err(bad_source("the provider promises bytes, and has none"));
            }
            Ok(plan.respond(asked, Chunks::Plugin(Box::new(stream)), idle))
        }
        MediaSource::Http(source) => upstream::serve(handle, &source, asked, idle).await,
        _ => Err(bad_source("the provider names a source that this host does not know")),
    }
}

fn bad_source(detail: &'static str) -> ApiError {
    ApiError::new(StatusCode::BAD_GATEWAY, "provider_failed", detail)
}

fn file_error(handle: &InstanceHandle, error: &file::OpenError) -> ApiError {
    tracing::warn!(instance = handle.id(), "a file that the plugin names can't be served: {error}");
    match error {
        file::OpenError::Missing => ApiError::not_found("media_not_found", "the file is not there any more"),
        file::OpenError::Outside => bad_source("the provider names a file outside the folders that it was granted"),
        file::OpenError::NotAFile => bad_source("the provider names something that is no regular file"),
        file::OpenError::Io(_) => ApiError::unavailable("media_unreadable", "the file can't be read now"),
    }
}

enum Planned {
    Answer(Response),
    Bytes(Plan),
}

/// Which bytes go out, under which headers.
struct Plan {
    known: Known,
    part: Part,
    partial: bool,
}

fn plan(asked: &Asked<'_>, known: Known) -> ApiResult<Planned> {
    check_type(asked, &known)?;
    let size = known.size.filter(|_| known.ranges);
    match conditional::decide(asked.method, asked.headers, &known.validators, size) {
        Decision::Whole => {
            let part = Part { start: 0, length: known.size };
            Ok(Planned::Bytes(Plan { part, known, partial: false }))
        }
        Decision::Part(part) => Ok(Planned::Bytes(Plan { part, known, partial: true })),
        Decision::NotModified => {
            let mut response = StatusCode::NOT_MODIFIED.into_response();
            common(response.headers_mut(), asked, &known);
            Ok(Planned::Answer(response))
        }
        Decision::PreconditionFailed => Err(precondition_failed()),
        Decision::Unsatisfiable(size) => Ok(Planned::Answer(unsatisfiable(size))),
    }
}

fn precondition_failed() -> ApiError {
    let detail = "the bytes are not those that If-Match or If-Unmodified-Since names";
    ApiError::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", detail)
}

fn unsatisfiable(size: u64) -> Response {
    let detail = format!("the range starts after the end; there are {size} bytes");
    let error = ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, "range_not_satisfiable", detail);
    let mut response = error.into_response();
    if let Ok(value) = HeaderValue::from_str(&format!("bytes */{size}")) {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    response
}

fn check_type(asked: &Asked<'_>, known: &Known) -> ApiResult<()> {
    if asked.purpose == Purpose::Audio && types::is_text(&known.content_type) {
        return Err(bad_source("the service answered a text in place of audio"));
    }
    if asked.purpose == Purpose::Picture {
        if types::allowed(Purpose::Picture, &known.content_type).is_none() {
            return Err(bad_source("the provider's picture is of a type that is not served"));
        }
        if known.size.is_some_and(|size| size > MAX_PICTURE) {
            return Err(bad_source("the provider's picture is too large"));
        }
    }
    Ok(())
}

/// Headers that stand in a full answer and in a 304.
fn common(headers: &mut HeaderMap, asked: &Asked<'_>, known: &Known) {
    let mut set = |name, value: Option<String>| {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            headers.insert(name, value);
        }
    };
    set(header::ETAG, known.validators.etag.clone());
    set(header::LAST_MODIFIED, known.validators.modified.and_then(conditional::http_date));
    let cache = if asked.purpose == Purpose::Picture { "private, max-age=86400" } else { "private, no-cache" };
    set(header::CACHE_CONTROL, Some(cache.to_owned()));
    if known.ranges {
        set(header::ACCEPT_RANGES, Some("bytes".to_owned()));
    }
}

impl Plan {
    fn respond(self, asked: &Asked<'_>, chunks: Chunks, idle: Duration) -> Response {
        let picture = asked.purpose == Purpose::Picture;
        let limit = if picture { Some(MAX_PICTURE) } else { None };
        let body = match *asked.method {
            Method::HEAD => Body::empty(),
            _ => Body::from_stream(body::checked(chunks, self.part.length, limit, idle)),
        };
        let mut response = body.into_response();
        if self.partial {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        let headers = response.headers_mut();
        common(headers, asked, &self.known);
        self.describe(headers, asked);
        response
    }

    fn describe(&self, headers: &mut HeaderMap, asked: &Asked<'_>) {
        let content_type = types::allowed(asked.purpose, &self.known.content_type).unwrap_or(types::UNKNOWN.to_owned());
        let extension = self.known.extension.as_deref().unwrap_or_else(|| types::extension(&content_type));
        headers.insert(header::CONTENT_DISPOSITION, disposition("inline", asked.name, extension));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Ok(value) = HeaderValue::from_str(&content_type) {
            headers.insert(header::CONTENT_TYPE, value);
        }
        if let Some(length) = self.part.length {
            headers.insert(header::CONTENT_LENGTH, length.into());
        }
        if let (true, Some(length), Some(size)) = (self.partial, self.part.length, self.known.size) {
            let range = format!("bytes {}-{}/{size}", self.part.start, self.part.start + length.saturating_sub(1));
            if let Ok(value) = HeaderValue::from_str(&range) {
                headers.insert(header::CONTENT_RANGE, value);
            }
        }
    }
}

/// A plugin's error as one of reading a body.
fn stream_error(error: &ProviderError) -> std::io::Error {
    std::io::Error::other(format!("the provider's stream failed: {error}"))
}
