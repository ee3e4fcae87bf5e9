//! Conditional and range requests, in the order of RFC 9110 §13.2.2.

use axum::http::{HeaderMap, Method, header};
use chrono::{DateTime, Datelike as _, Utc};

use crate::middleware::etag;

/// What tells one version of the bytes from another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Validators {
    /// An entity tag with its quotes.
    pub(super) etag: Option<String>,
    /// Seconds since 1970.
    pub(super) modified: Option<i64>,
}

/// Some of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) start: u64,
    /// None: to the end, wherever that is.
    pub(super) length: Option<u64>,
}

/// What to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Whole,
    Part(Part),
    NotModified,
    PreconditionFailed,
    /// The range starts after the end; there are so many bytes.
    Unsatisfiable(u64),
}

/// Decides what to answer. `size` is none where no part can be had.
pub(super) fn decide(method: &Method, headers: &HeaderMap, validators: &Validators, size: Option<u64>) -> Decision {
    if fails(headers, validators) {
        return Decision::PreconditionFailed;
    }
    if unchanged(headers, validators) {
        return Decision::NotModified;
    }
    let Some(size) = size.filter(|_| *method == Method::GET && same_as_before(headers, validators)) else {
        return Decision::Whole;
    };
    match text(headers, header::RANGE).and_then(Range::parse) {
        Some(range) => match range.of(size) {
            Some(part) => Decision::Part(part),
            None => Decision::Unsatisfiable(size),
        },
        None => Decision::Whole,
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn fails(headers: &HeaderMap, validators: &Validators) -> bool {
    if let Some(wanted) = text(headers, header::IF_MATCH) {
        let strong = |tag: &str| validators.etag.as_deref().is_some_and(|etag| etag == tag && !etag.starts_with("W/"));
        return wanted.trim() != "*" && !etag::listed(wanted).any(strong);
    }
    let since = text(headers, header::IF_UNMODIFIED_SINCE).and_then(parse_date);
    matches!((validators.modified, since), (Some(modified), Some(since)) if modified > since)
}

fn unchanged(headers: &HeaderMap, validators: &Validators) -> bool {
    if let Some(known) = headers.get(header::IF_NONE_MATCH) {
        return validators.etag.as_deref().is_some_and(|etag| etag::matches(known, etag));
    }
    let since = text(headers, header::IF_MODIFIED_SINCE).and_then(parse_date);
    matches!((validators.modified, since), (Some(modified), Some(since)) if modified <= since)
}

/// `If-Range`: a part is only of use if the rest that the client has is of the same bytes.
fn same_as_before(headers: &HeaderMap, validators: &Validators) -> bool {
    let Some(known) = text(headers, header::IF_RANGE) else { return true };
    if known.starts_with('"') {
        return validators.etag.as_deref() == Some(known.trim());
    }
    parse_date(known).is_some_and(|date| validators.modified == Some(date))
}

/// One range of bytes. Several at once, other units and nonsense count as no range: the whole is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    From(u64),
    Between(u64, u64),
    Last(u64),
}

impl Range {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (unit, range) = text.trim().split_once('=')?;
        let (first, last) = range.trim().split_once('-')?;
        let number = |digits: &str| {
            let digits = digits.trim();
            let valid = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            // More bytes than can be counted are more than there are.
            valid.then(|| digits.parse().unwrap_or(u64::MAX))
        };
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        match (first.trim().is_empty(), last.trim().is_empty()) {
            (true, true) => None,
            (true, false) => number(last).map(Self::Last),
            (false, true) => number(first).map(Self::From),
            (false, false) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::Between(first, last))
            }
        }
    }

    fn of(self, size: u64) -> Option<Part> {
        let (start, end) = match self {
            Self::From(start) => (start, size),
            Self::Between(start, last) => (start, last.saturating_add(1).min(size)),
            Self::Last(count) => (size.saturating_sub(count), size),
        };
        (start < end).then(|| Part { start, length: Some(end - start) })
    }
}

/// Seconds since 1970 as an HTTP date, whose years have four digits; none outside of those.
pub(super) fn http_date(seconds: i64) -> Option<String> {
    let time = DateTime::<Utc>::from_timestamp(seconds, 0).filter(|time| (0..=9999).contains(&time.year()))?;
    Some(time.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
}

/// An HTTP date as seconds since 1970; none for what [`http_date`] would not write.
pub(super) fn parse_date(text: &str) -> Option<i64> {
    let time = DateTime::parse_from_rfc2822(text.trim()).ok()?.to_utc();
    (0..=9999).contains(&time.year()).then(|| time.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn decided(headers: &[(HeaderName, &str)]) -> Decision {
        let headers = headers.iter().map(|(n, v)| (n.clone(), HeaderValue::from_str(v).unwrap())).collect();
        let validators = Validators { etag: Some("\"v1\"".into()), modified: Some(784_111_777) };
        decide(&Method::GET, &headers, &validators, Some(1000))
    }

    fn part(start: u64, length: u64) -> Decision {
        Decision::Part(Part { start, length: Some(length) })
    }

    #[test]
    fn ranges() {
        for (range, expected) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=0-", part(0, 1000)),
            ("Bytes = 10 - 19 ", part(10, 10)),
            ("bytes=990-2000", part(990, 10)),
            ("bytes=-1", part(999, 1)),
            ("bytes=-5000", part(0, 1000)),
            ("bytes=5-99999999999999999999999", part(5, 995)),
            ("bytes=1000-", Decision::Unsatisfiable(1000)),
            ("bytes=-0", Decision::Unsatisfiable(1000)),
            ("bytes=99999999999999999999999-", Decision::Unsatisfiable(1000)),
            ("bytes=9-5", Decision::Whole),
            ("bytes=0-1,5-6", Decision::Whole),
            ("bytes=a-b", Decision::Whole),
            ("bytes=-", Decision::Whole),
            ("bytes=+1-2", Decision::Whole),
            ("items=0-1", Decision::Whole),
            ("", Decision::Whole),
        ] {
            assert_eq!(decided(&[(header::RANGE, range)]), expected, "{range}");
        }
    }

    #[test]
    fn an_empty_file_has_no_range() {
        let headers = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static("bytes=0-"))]);
        assert_eq!(decide(&Method::GET, &headers, &Validators::default(), Some(0)), Decision::Unsatisfiable(0));
    }

    #[test]
    fn conditions() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let range = (header::RANGE, "bytes=0-9");
        for (headers, expected) in [
            (vec![(header::IF_NONE_MATCH, "\"v1\"")], Decision::NotModified),
            (vec![(header::IF_NONE_MATCH, "\"v0\", W/\"v1\"")], Decision::NotModified),
            (vec![(header::IF_NONE_MATCH, "*")], Decision::NotModified),
            (vec![(header::IF_NONE_MATCH, "\"v2\""), (header::IF_MODIFIED_SINCE, date)], Decision::Whole),
            (vec![(header::IF_MODIFIED_SINCE, date)], Decision::NotModified),
            (vec![(header::IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:36 GMT")], Decision::Whole),
            (vec![(header::IF_MODIFIED_SINCE, "yesterday")], Decision::Whole),
            (vec![(header::IF_MATCH, "\"v2\"")], Decision::PreconditionFailed),
            (vec![(header::IF_MATCH, "W/\"v1\"")], Decision::PreconditionFailed),
            (vec![(header::IF_MATCH, "\"v0\", \"v1\"")], Decision::Whole),
            (vec![(header::IF_MATCH, "*")], Decision::Whole),
            (vec![(header::IF_MATCH, "\"v0,\", \"v1\"")], Decision::Whole),
            (vec![(header::IF_UNMODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:36 GMT")], Decision::PreconditionFailed),
            (vec![range.clone(), (header::IF_RANGE, "\"v1\"")], part(0, 10)),
            (vec![range.clone(), (header::IF_RANGE, "\"v2\"")], Decision::Whole),
            (vec![range.clone(), (header::IF_RANGE, "W/\"v1\"")], Decision::Whole),
            (vec![range.clone(), (header::IF_RANGE, date)], part(0, 10)),
            (vec![range, (header::IF_RANGE, "Sun, 06 Nov 1994 08:49:38 GMT")], Decision::Whole),
        ] {
            assert_eq!(decided(&headers), expected, "{headers:?}");
        }
        assert_eq!(http_date(784_111_777).as_deref(), Some(date));
    }

    #[test]
    fn years_of_dates_have_four_digits_in_greenwich_too() {
        assert_eq!(parse_date("Sat, 01 Jan 0000 00:00:00 +2359"), None);
        assert_eq!(parse_date("Fri, 31 Dec 9999 23:59:59 -0100"), None);
        for (text, seconds) in
            [("Sat, 01 Jan 0000 00:00:00 GMT", -62_167_219_200), ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799)]
        {
            assert_eq!((parse_date(text), http_date(seconds).as_deref()), (Some(seconds), Some(text)));
        }
        for seconds in [-62_167_219_201, 253_402_300_800, i64::MIN, i64::MAX] {
            assert_eq!(http_date(seconds), None);
        }
    }

    #[test]
    fn head_has_no_ranges() {
        let headers = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static("bytes=0-9"))]);
        assert_eq!(decide(&Method::HEAD, &headers, &Validators::default(), Some(1000)), Decision::Whole);
    }
}
