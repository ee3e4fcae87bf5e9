//! Bytes that lie at an address of the service: fetched under the plugin's permissions, with the client's range.

use std::{io, pin::Pin, time::Duration};

use axum::{
    http::{Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures::{StreamExt as _, TryStreamExt as _};
use zotify_plugin_api::{ErrorKind, HttpSource, ProviderError, service::HttpRequest};

use super::{
    Asked, Known, Plan, bad_source,
    body::Chunks,
    check_type, common,
    conditional::{self, Decision, Part, Range, Validators},
    precondition_failed, unsatisfiable,
};
use crate::{
    error::{ApiError, ApiResult},
    providers::InstanceHandle,
};

pub(super) async fn serve(
    handle: &InstanceHandle,
    source: &HttpSource,
    asked: &Asked<'_>,
    idle: Duration,
) -> ApiResult<Response> {
    let (response, ranged) = fetch(handle, source, asked).await?;
    let status = response.status();
    if ranged && status == StatusCode::RANGE_NOT_SATISFIABLE {
        let size = content_range(&response).map(|(_, size)| size).unwrap_or_default();
        return Ok(unsatisfiable(size));
    }
    if !status.is_success() {
        return Err(refused(handle, &response));
    }
    let (known, part, mut partial) = describe(source, &response)?;
    if partial && !ranged {
        if !is_whole(part, known.size) {
            return Err(bad_source("the service answered a part where all was asked for"));
        }
        partial = false;
    }
    check_type(asked, &known)?;
    // Ranges were the service's to answer; conditions are ours.
    match conditional::decide(asked.method, asked.headers, &known.validators, None) {
        Decision::NotModified => {
            let mut answer = StatusCode::NOT_MODIFIED.into_response();
            common(answer.headers_mut(), asked, &known);
            return Ok(answer);
        }
        Decision::PreconditionFailed => return Err(precondition_failed()),
        _ => {}
    }
    let chunks = if *asked.method == Method::HEAD { Chunks::Empty } else { begin(handle, response, idle).await? };
    Ok(Plan { known, part, partial }.respond(asked, chunks, idle))
}

/// Waits for the first bytes: until there are some, a failure can still be told in full.
async fn begin(handle: &InstanceHandle, response: reqwest::Response, idle: Duration) -> ApiResult<Chunks> {
    let mut bytes = response.bytes_stream().map_err(|error| io::Error::other(error.without_url())).boxed().peekable();
    match tokio::time::timeout(idle, Pin::new(&mut bytes).peek()).await {
        Ok(Some(Err(error))) => {
            tracing::warn!(instance = handle.id(), "the service broke off before the first byte: {error}");
            Err(bad_source("the service broke off before the first byte"))
        }
        Ok(_) => Ok(Chunks::Http(bytes.boxed())),
        Err(_) => Err(ProviderError::new(ErrorKind::Timeout, "the service does not send what it promised").into()),
    }
}

/// Whether a part is all there is. A service may say so without being asked for a part.
fn is_whole(part: Part, size: Option<u64>) -> bool {
    size.is_some() && part == Part { start: 0, length: size }
}

/// The service's answer, and whether it was asked for a range.
async fn fetch(
    handle: &InstanceHandle,
    source: &HttpSource,
    asked: &Asked<'_>,
) -> ApiResult<(reqwest::Response, bool)> {
    let mut headers = source.headers.clone();
    // A range is of the bytes as they are.
    headers.push(("accept-encoding".into(), "identity".into()));
    let forwarded = |name: header::HeaderName| {
        let value = asked.headers.get(&name)?.to_str().ok()?;
        Some((name.as_str().to_owned(), value.to_owned()))
    };
    let range = forwarded(header::RANGE).filter(|(_, range)| Range::parse(range).is_some());
    let range = range.filter(|_| *asked.method == Method::GET);
    let ranged = range.is_some();
    if let Some(range) = range {
        headers.push(range);
        headers.extend(forwarded(header::IF_RANGE));
    }
    let method = asked.method.as_str().to_owned();
    let request = HttpRequest {
        method,
        url: source.url.clone(),
        headers,
        body: Vec::new(),
        timeout_ms: 0,
        budget: None,
        no_redirects: false,
    };
    let response = handle.egress().open(&request).await?;
    let unknown = matches!(response.status(), StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED);
    if *asked.method == Method::HEAD && unknown {
        return Ok((handle.egress().open(&HttpRequest { method: "GET".into(), ..request }).await?, ranged));
    }
    Ok((response, ranged))
}

fn describe(source: &HttpSource, response: &reqwest::Response) -> ApiResult<(Known, Part, bool)> {
    let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let length = text(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    let partial = response.status() == StatusCode::PARTIAL_CONTENT;
    let (part, size) = if partial {
        let said = content_range(response).and_then(|(range, size)| Some((range?, size)));
        let ((first, last), size) =
            said.ok_or_else(|| bad_source("the service answered a part without saying which"))?;
        (Part { start: first, length: Some(last - first + 1) }, Some(size))
    } else {
        (Part { start: 0, length }, length)
    };
    let content_type = source.content_type.clone().or(text(header::CONTENT_TYPE).map(str::to_owned));
    let known = Known {
        content_type: content_type.unwrap_or_default(),
        extension: None,
        size,
        validators: Validators {
            etag: text(header::ETAG).filter(|tag| tag.ends_with('"')).map(str::to_owned),
            modified: text(header::LAST_MODIFIED).and_then(conditional::parse_date),
        },
        ranges: partial || text(header::ACCEPT_RANGES) == Some("bytes"),
    };
    Ok((known, part, partial))
}

/// First and last byte of a `Content-Range`, and the size.
pub(super) type ContentRange = (Option<(u64, u64)>, u64);

fn content_range(response: &reqwest::Response) -> Option<ContentRange> {
    parse_content_range(response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?)
}

/// Reads `bytes 0-9/100`, and `bytes */100`, which names no bytes.
pub(super) fn parse_content_range(text: &str) -> Option<ContentRange> {
    let (range, size) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let size: u64 = size.parse().ok()?;
    if range == "*" {
        return Some((None, size));
    }
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && last < size).then_some((Some((first, last)), size))
}

fn refused(handle: &InstanceHandle, response: &reqwest::Response) -> ApiError {
    let status = response.status();
    tracing::warn!(instance = handle.id(), "the service answered {status} when asked for bytes");
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            ApiError::not_found("media_not_found", "the service does not have the bytes any more")
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            ApiError::forbidden("provider_restricted", "the service does not let this account have the bytes")
        }
        StatusCode::TOO_MANY_REQUESTS => {
            let wait = response.headers().get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
            let error = ApiError::new(status, "provider_rate_limited", "the service asks to wait");
            error.with_retry_after(wait.unwrap_or(30))
        }
        _ => bad_source("the service could not serve the bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_all_of_it_passes_for_the_whole() {
        let part = |start, length| Part { start, length: Some(length) };
        assert!(is_whole(part(0, 100), Some(100)));
        for (part, size) in [(part(0, 99), Some(100)), (part(1, 99), Some(100)), (part(0, 100), None)] {
            assert!(!is_whole(part, size), "{part:?} of {size:?}");
        }
    }

    #[test]
    fn content_ranges() {
        assert_eq!(parse_content_range("bytes 0-9/100"), Some((Some((0, 9)), 100)));
        assert_eq!(parse_content_range("bytes */100"), Some((None, 100)), "no bytes, rather than the first one");
        for bad in ["bytes 9-0/100", "bytes 0-100/100", "bytes 0-9/*", "items 0-9/100", "bytes 0-9", ""] {
            assert_eq!(parse_content_range(bad), None, "{bad}");
        }
    }
}
