//! Media types that are served, and names of files.

use axum::http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Purpose;

/// What bytes are called whose type is not one of ours: no browser runs or shows it.
pub(super) const UNKNOWN: &str = "application/octet-stream";

/// A media type in lower case without parameters, if it may be served. Never HTML, scripts, SVG, or what ends in `+xml`:
/// browsers show that as a document, with its scripts.
pub(super) fn allowed(purpose: Purpose, content_type: &str) -> Option<String> {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let token = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    let (kind, subtype) = essence.split_once('/')?;
    let fine = match purpose {
        Purpose::Audio => {
            kind == "audio" || matches!(essence.as_str(), "application/ogg" | "video/mp4" | "video/webm" | "video/ogg")
        }
        Purpose::Picture => {
            kind == "image" && matches!(subtype, "jpeg" | "png" | "webp" | "gif" | "avif" | "bmp" | "jxl" | "heic")
        }
    };
    (fine && token(subtype)).then_some(essence)
}

/// Whether it says of itself that it is a text: what a service answers in place of audio when something is wrong.
pub(super) fn is_text(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.starts_with("text/") || matches!(essence.as_str(), "application/json" | "application/xml")
}

/// The usual extension of a media type.
pub(super) fn extension(content_type: &str) -> &'static str {
    match content_type {
        "audio/flac" | "audio/x-flac" => "flac",
        "audio/mpeg" => "mp3",
        "audio/ogg" | "application/ogg" => "ogg",
        "audio/opus" => "opus",
        "audio/mp4" | "audio/x-m4a" => "m4a",
        "audio/aac" => "aac",
        "audio/wav" | "audio/x-wav" | "audio/vnd.wave" => "wav",
        "audio/aiff" | "audio/x-aiff" => "aiff",
        "audio/webm" | "video/webm" => "webm",
        "video/mp4" => "mp4",
        "image/jpeg" => "jpg",
        "image/png" => "png",
        "image/webp" => "webp",
        "image/gif" => "gif",
        "image/avif" => "avif",
        _ => "bin",
    }
}

/// An entity tag of the provider's with quotes, if it can stand in a header.
pub(super) fn quoted(tag: &str) -> Option<String> {
    let fine = (1..=200).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_graphic() && b != b'"');
    fine.then(|| format!("\"{tag}\""))
}

/// Characters that may stand in an extended header parameter as they are (RFC 8187).
const EXTENDED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A `Content-Disposition` with the name in both forms that clients read.
pub fn disposition(kind: &'static str, name: &str, extension: &str) -> HeaderValue {
    let safe: String =
        name.chars().map(|c| if c.is_control() || "/\\:*?\"<>|%;".contains(c) { '_' } else { c }).collect();
    let safe = safe.trim().trim_start_matches('.');
    let safe = if safe.is_empty() { "audio" } else { &safe[..safe.floor_char_boundary(150)] };
    let ascii: String = safe.chars().map(|c| if c.is_ascii() { c } else { '_' }).collect();
    let extended = utf8_percent_encode(safe, EXTENDED);
    let value = format!("{kind}; filename=\"{ascii}.{extension}\"; filename*=UTF-8''{extended}.{extension}");
    HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static("inline"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_types_are_served() {
        assert_eq!(allowed(Purpose::Audio, "Audio/FLAC; x=1").as_deref(), Some("audio/flac"));
        assert_eq!(allowed(Purpose::Picture, "image/jpeg").as_deref(), Some("image/jpeg"));
        for (purpose, content_type) in [
            (Purpose::Audio, "text/html"),
            (Purpose::Audio, "audio/"),
            (Purpose::Audio, "audio/x\r\nset-cookie: a=b"),
            (Purpose::Audio, ""),
            (Purpose::Audio, "audio/x+xml"),
            (Purpose::Picture, "image/svg+xml"),
            (Purpose::Picture, "audio/flac"),
        ] {
            assert_eq!(allowed(purpose, content_type), None, "{content_type}");
        }
    }

    #[test]
    fn texts_are_no_audio() {
        assert!(["text/html; charset=utf-8", "Application/JSON", "text/xml"].iter().all(|text| is_text(text)));
        assert!(!["audio/ogg", "application/octet-stream", "application/ogg", ""].iter().any(|audio| is_text(audio)));
    }

    #[test]
    fn names_cannot_break_out_of_the_header() {
        let value = disposition("inline", "a\"; x=\r\n../ é", "mp3");
        assert_eq!(value, "inline; filename=\"a__ x=__.._ _.mp3\"; filename*=UTF-8''a__%20x%3D__.._%20%C3%A9.mp3");
        assert_eq!(disposition("inline", " ", "bin"), "inline; filename=\"audio.bin\"; filename*=UTF-8''audio.bin");
    }

    #[test]
    fn tags_are_quoted_or_left_out() {
        assert_eq!(quoted("abc").as_deref(), Some("\"abc\""));
        assert_eq!((quoted(""), quoted("a\"b"), quoted("a b")), (None, None, None));
    }
}
