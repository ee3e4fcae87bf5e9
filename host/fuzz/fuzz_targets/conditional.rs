//! Conditions, ranges, dates, entity tags and media types of requests for bytes. The input is a byte that says which
//! headers there are, and their values, one in a line.
#![no_main]

mod support;

use axum::http::{HeaderMap, HeaderValue, Method, header};
use libfuzzer_sys::fuzz_target;
use zotify_host::{
    media::{
        Purpose, disposition,
        fuzzing::{Answer, allowed, content_range, decide, http_date, parse_date, quoted},
    },
    middleware::etag,
};

const NAMES: [header::HeaderName; 6] = [
    header::RANGE,
    header::IF_RANGE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
];

fuzz_target!(|data: &[u8]| {
    let (which, rest) = support::choice(data);
    let (more, rest) = support::choice(rest);
    let mut lines = support::lines(rest);
    let mut headers = HeaderMap::new();
    for (n, name) in NAMES.into_iter().enumerate() {
        let line = if which & (1 << n) == 0 { None } else { lines.next() };
        if let Some(value) = line.and_then(|line| HeaderValue::from_bytes(line).ok()) {
            headers.append(name, value);
        }
    }
    let method = if which & 0x40 == 0 { Method::GET } else { Method::HEAD };
    let tag = (more & 1 != 0).then(|| "\"v1\"".to_owned());
    let modified = (more & 2 != 0).then_some(784_111_777);
    let size = (more & 4 != 0).then(|| 1_u64.checked_shl(u32::from(more >> 3)).unwrap_or(u64::MAX));
    decides(&method, &headers, tag, modified, size);
    for line in lines.filter_map(|line| std::str::from_utf8(line).ok()) {
        texts(line);
    }
});

fn decides(method: &Method, headers: &HeaderMap, tag: Option<String>, modified: Option<i64>, size: Option<u64>) {
    let answer = decide(method, headers, tag, modified, size);
    let has = |names: &[header::HeaderName]| names.iter().any(|name| headers.contains_key(name));
    match answer {
        Answer::Whole => {}
        Answer::Part(start, length) => {
            let end = start.checked_add(length).expect("no overflow");
            assert!(length > 0 && Some(end) <= size);
        }
        Answer::NotModified => assert!(has(&NAMES[3..5])),
        Answer::PreconditionFailed => assert!(has(&[header::IF_MATCH, header::IF_UNMODIFIED_SINCE])),
        Answer::Unsatisfiable(of) => assert_eq!(Some(of), size),
    }
    if matches!(answer, Answer::Part(..) | Answer::Unsatisfiable(_)) {
        assert!(method == Method::GET && has(&[header::RANGE]));
    }
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    if let (Some(size), Some(range), Method::GET, 1) = (size, range, method.clone(), headers.len()) {
        if let Some(expected) = reference(range, size) {
            assert_eq!(answer, expected, "{range} of {size}");
        }
    }
}

/// The answer to a range in its plainest form, by other arithmetic; none for other forms.
fn reference(range: &str, size: u64) -> Option<Answer> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| (text.len() < 30 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok());
    let (first, last): (Option<u128>, Option<u128>) = (number(first)?, number(last)?);
    let size128 = u128::from(size);
    let (start, end) = match (first, last) {
        (None, None) => return Some(Answer::Whole),
        (Some(first), Some(last)) if first > last => return Some(Answer::Whole),
        (Some(first), last) => (first, last.map_or(size128, |last| (last + 1).min(size128))),
        (None, Some(count)) => (size128 - count.min(size128), size128),
    };
    let part = || Answer::Part(u64::try_from(start).unwrap(), u64::try_from(end - start).unwrap());
    Some(if start < end { part() } else { Answer::Unsatisfiable(size) })
}

fn texts(text: &str) {
    if let Some(seconds) = parse_date(text) {
        let written = http_date(seconds).expect("what is read can be written");
        assert!(HeaderValue::from_str(&written).is_ok());
        assert_eq!(parse_date(&written), Some(seconds), "{text:?} became {written}");
    }
    if let Some((Some((first, last)), size)) = content_range(text) {
        assert!(first <= last && last < size);
        assert_eq!(content_range(&format!("bytes {first}-{last}/{size}")), Some((Some((first, last)), size)));
    }
    for purpose in [Purpose::Audio, Purpose::Picture] {
        if let Some(kind) = allowed(purpose, text) {
            assert_eq!(allowed(purpose, &kind).as_ref(), Some(&kind));
            assert!(HeaderValue::from_str(&kind).is_ok());
            // Browsers run the scripts of every type that ends so, and of none else in these families.
            assert!(!kind.ends_with("+xml"), "{kind}");
            assert!(
                ["audio/", "image/", "video/"].iter().any(|family| kind.starts_with(family))
                    || kind == "application/ogg"
            );
        }
    }
    if let Some(tag) = quoted(text) {
        let header = HeaderValue::from_str(&tag).expect("a tag stands in a header");
        assert!(etag::matches(&header, &tag), "a client that sends {tag} back has the bytes");
        let headers = HeaderMap::from_iter([(header::IF_MATCH, header)]);
        assert_eq!(decide(&Method::GET, &headers, Some(tag), None, None), Answer::Whole);
    }
    let value = disposition("inline", text, "mp3");
    let value = value.to_str().expect("ASCII");
    assert!(value.starts_with("inline; filename=\"") && value.ends_with(".mp3"));
    assert_eq!(value.matches('"').count(), 2, "{value}");
    assert!(!value.contains(['\\', '/']), "{value}");
}
