//! Headers that a plugin may send, and that it gets to see.

use chrono::{DateTime, Utc};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use zotify_plugin_api::{ProviderError, Result};

/// The most headers of one request.
const MAX_HEADERS: usize = 64;

/// The host's own business.
const RESERVED: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What may follow a redirect to another origin; the rest may hold credentials.
const HARMLESS: &[&str] = &[
    "accept",
    "accept-language",
    "content-type",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "range",
    "user-agent",
];

/// The headers of a plugin's request.
pub(super) fn sendable(pairs: &[(String, String)]) -> Result<HeaderMap> {
    if pairs.len() > MAX_HEADERS {
        return Err(ProviderError::invalid("the request has too many headers"));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let invalid = || ProviderError::invalid("a header of the request is malformed");
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
        if RESERVED.contains(&name.as_str()) {
            return Err(ProviderError::invalid(format!("the header {name} is set by the host")));
        }
        headers.append(name, HeaderValue::from_str(value).map_err(|_| invalid())?);
    }
    Ok(headers)
}

/// What is left of the headers for another origin.
pub(super) fn for_foreign_origin(headers: &HeaderMap) -> HeaderMap {
    let harmless = headers.iter().filter(|(name, _)| HARMLESS.contains(&name.as_str()));
    harmless.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// What is left of the headers when the body is dropped.
pub(super) fn without_body(mut headers: HeaderMap) -> HeaderMap {
    headers.remove("content-type");
    headers
}

/// The headers of an answer; `Retry-After` always in seconds.
pub(super) fn received(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers
        .iter()
        .map(|(name, value)| match name.as_str() {
            "retry-after" => (name.to_string(), seconds(&text(value), Utc::now())),
            _ => (name.to_string(), text(value)),
        })
        .collect()
}

fn seconds(value: &str, now: DateTime<Utc>) -> String {
    DateTime::parse_from_rfc2822(value)
        .map_or_else(|_| value.to_owned(), |at| (at.with_timezone(&Utc) - now).num_seconds().max(0).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_becomes_seconds() {
        let now = DateTime::parse_from_rfc3339("2026-01-02T03:04:05Z").unwrap().with_timezone(&Utc);
        assert_eq!(seconds("120", now), "120");
        assert_eq!(seconds("Fri, 02 Jan 2026 03:05:05 GMT", now), "60");
        assert_eq!(seconds("Fri, 02 Jan 2026 03:00:00 GMT", now), "0");
    }

    #[test]
    fn credentials_stay_at_their_origin() {
        let pairs = [("Authorization", "Bearer x"), ("X-Key", "y"), ("Range", "bytes=0-")];
        let pairs: Vec<_> = pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        let kept = for_foreign_origin(&sendable(&pairs).unwrap());
        assert_eq!(kept.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["range"]);
    }

    #[test]
    fn headers_that_would_split_or_redirect_the_request_are_refused() {
        for (name, value) in [("Host", "other"), ("Transfer-Encoding", "chunked"), ("x", "a\r\nb: c"), ("a b", "c")] {
            assert!(sendable(&[(name.into(), value.into())]).is_err(), "{name}");
        }
    }
}
