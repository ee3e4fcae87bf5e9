//! Values as feeds write them, which is in more ways than any standard has.

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use url::Url;

/// The longest text that is looked at for a value, in bytes.
const MAX_VALUE: usize = 100;
/// The longest episode, in milliseconds: a month.
const LONGEST_MS: u64 = 31 * 24 * 3600 * 1000;
/// The first time that an episode can have come out, in seconds since 1970: there were no feeds before 1990.
const OLDEST: i64 = 631_152_000;
/// How far ahead a feed may announce an episode, in seconds.
const AHEAD: i64 = 31 * 24 * 3600;

fn short(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty() && text.len() <= MAX_VALUE)
}

/// `H:M:S`, `M:S` or seconds, each also with a fraction, in milliseconds; none for nothing and for the absurd.
pub(super) fn duration_ms(text: &str) -> Option<u64> {
    let text = short(text)?;
    let mut parts = text.split(':').rev();
    let seconds: f64 = parts.next()?.trim().parse().ok().filter(|s: &f64| s.is_finite() && *s >= 0.0)?;
    let mut total = seconds;
    for (unit, part) in [60.0, 3600.0].into_iter().zip(parts.by_ref()) {
        total += unit * f64::from(part.trim().parse::<u32>().ok()?);
    }
    let fits = parts.next().is_none() && total > 0.0 && total * 1000.0 <= LONGEST_MS as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "both bounds were looked at")]
    fits.then_some((total * 1000.0) as u64)
}

/// A time of RFC 2822 or RFC 3339, with the slips that are common, in seconds since 1970-01-01 UTC.
pub(super) fn time(text: &str) -> Option<i64> {
    let text = short(text)?;
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp());
    }
    let iso = |format: &str| NaiveDateTime::parse_from_str(text, format).ok();
    let zoneless = iso("%Y-%m-%dT%H:%M:%S%.f").or_else(|| iso("%Y-%m-%d %H:%M:%S%.f"));
    let zoneless = zoneless.or_else(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0));
    zoneless.map(|time| time.and_utc().timestamp()).or_else(|| mail_time(text))
}

/// A time as mails have it. The name of the day is passed over: it may be in any language, and wrong.
fn mail_time(text: &str) -> Option<i64> {
    let text = text.split_once(',').map_or(text, |(_, rest)| rest);
    let mut words = text.split_whitespace();
    let (mut day, mut month) = (words.next()?, words.next()?);
    if day.starts_with(|c: char| c.is_ascii_alphabetic()) {
        (day, month) = (month, day);
    }
    let month = month.get(..3)?;
    let (year, clock) = (words.next()?, words.next().unwrap_or("00:00:00"));
    let clock = if clock.find(':') == Some(1) { format!("0{clock}") } else { clock.to_owned() };
    let zone = match words.next().unwrap_or("GMT") {
        "UTC" | "Z" | "-0000" | "GMT+0" => "+0000",
        zone => zone,
    };
    DateTime::parse_from_rfc2822(&format!("{day} {month} {year} {clock} {zone}")).ok().map(|time| time.timestamp())
}

/// Whether a time may be one that an episode came out at.
pub(super) fn is_sane(at: i64, now: i64) -> bool {
    (OLDEST..=now.saturating_add(AHEAD)).contains(&at)
}

/// The number of a season or an episode.
pub(super) fn number(text: &str) -> Option<u32> {
    let text = short(text)?;
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    whole.parse().ok().filter(|number| *number <= 1_000_000)
}

/// Whether something is marked as explicit.
pub(super) fn explicit(text: &str) -> Option<bool> {
    match short(text)?.to_ascii_lowercase().as_str() {
        "yes" | "true" | "explicit" => Some(true),
        "no" | "false" | "clean" => Some(false),
        _ => None,
    }
}

/// The media type of an enclosure, from what the feed says or else from the address.
pub(super) fn media_type(said: Option<&str>, url: Option<&Url>) -> String {
    let said = said.map(|said| said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    let token =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._+".contains(&b));
    let said = said.filter(|said| {
        said.len() <= MAX_VALUE && said.split_once('/').is_some_and(|(kind, rest)| token(kind) && token(rest))
    });
    let extension =
        url.and_then(|url| url.path().rsplit_once('.')).map(|(_, extension)| extension.to_ascii_lowercase());
    let usual = match extension.as_deref().unwrap_or_default() {
        "mp3" => "audio/mpeg",
        "m4a" | "m4b" => "audio/mp4",
        "aac" => "audio/aac",
        "ogg" | "oga" => "audio/ogg",
        "opus" => "audio/opus",
        "flac" => "audio/flac",
        "wav" => "audio/wav",
        "mp4" | "m4v" => "video/mp4",
        "webm" => "video/webm",
        _ => "",
    };
    match said.as_deref() {
        Some("audio/mp3" | "audio/x-mp3" | "audio/mpeg3" | "audio/x-mpeg" | "audio/mpg") => "audio/mpeg".into(),
        Some("audio/x-m4a" | "audio/m4a") => "audio/mp4".into(),
        Some("video/x-m4v" | "video/m4v") => "video/mp4".into(),
        Some(said) if said.starts_with("audio/") || said.starts_with("video/") || usual.is_empty() => said.into(),
        _ if !usual.is_empty() => usual.into(),
        _ => "application/octet-stream".into(),
    }
}

/// Whether something of a media type can be listened to, as far as that can be told.
pub(super) fn is_media(content_type: &str) -> bool {
    ["audio/", "video/"].iter().any(|kind| content_type.starts_with(kind))
        || ["application/octet-stream", "application/ogg"].contains(&content_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in [
            ("3600", 3_600_000),
            ("45:30", 2_730_000),
            ("1:02:03", 3_723_000),
            (" 00:00:01.5 ", 1500),
            ("90.25", 90_250),
            ("120:00", 7_200_000),
        ] {
            assert_eq!(duration_ms(text), Some(ms), "{text}");
        }
        let bad = [
            "",
            "0",
            "0:00",
            "-5",
            "abc",
            "1:2:3:4",
            "NaN",
            "inf",
            "1e300",
            "99999999999999999999",
            "1:-1",
            "9999:00:00",
        ];
        assert_eq!(bad.map(duration_ms), [None; 12]);
        assert_eq!(duration_ms(&"9".repeat(5000)), None);
    }

    #[test]
    fn times() {
        let noon = 1_779_364_800;
        for text in [
            "Thu, 21 May 2026 12:00:00 GMT",
            "Thu, 21 May 2026 12:00:00 UTC",
            "Donnerstag, 21 May 2026 14:00:00 +0200",
            "Mon, 21 May 2026 12:00:00 -0000",
            "21 May 2026 12:00:00 Z",
            "Thu, 21 May 2026 8:00:00 EDT",
            "Thursday, May 21 2026 12:00:00 GMT",
            "2026-05-21T12:00:00Z",
            "2026-05-21T14:00:00.000+02:00",
            "2026-05-21 12:00:00",
            "2026-05-21T12:00:00",
        ] {
            assert_eq!(time(text), Some(noon), "{text}");
        }
        assert_eq!(time("2026-05-21"), Some(noon - 43_200));
        assert_eq!(["", "now", "32 May 2026 12:00:00 GMT", ",", "ä ö ü ß", "99999999999-01-01"].map(time), [None; 6]);
        assert!(is_sane(noon, noon) && is_sane(noon + 86_400, noon));
        assert!(!is_sane(0, noon) && !is_sane(noon + 400 * 86_400, noon) && !is_sane(i64::MIN, i64::MAX));
    }

    #[test]
    fn numbers_and_marks() {
        assert_eq!([" 7 ", "1.0", "0"].map(number), [Some(7), Some(1), Some(0)]);
        assert_eq!(["", "S1", "-1", "99999999999"].map(number), [None; 4]);
        assert_eq!(["Yes", "clean", "maybe"].map(explicit), [Some(true), Some(false), None]);
    }

    #[test]
    fn types() {
        let url = |path: &str| Url::parse(&format!("https://a.example/{path}")).unwrap();
        for (said, path, found) in [
            (Some("audio/mp3"), "a.mp3", "audio/mpeg"),
            (Some("AUDIO/MPEG; x=y"), "a", "audio/mpeg"),
            (Some("application/octet-stream"), "a.M4A", "audio/mp4"),
            (None, "a.ogg?x=.mp3", "audio/ogg"),
            (Some("text\r\nx: y"), "a", "application/octet-stream"),
            (Some("video/mp4"), "a.mp3", "video/mp4"),
        ] {
            assert_eq!(media_type(said, Some(&url(path))), found);
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in "\\PC{0,60}") {
            let _ = (duration_ms(&text), time(&text), number(&text), explicit(&text));
        }

        #[test]
        fn times_that_look_like_some(text in "[A-Za-z]{3}, [0-9]{1,3} [A-Z][a-z]{1,4} [0-9]{1,6} [0-9:]{1,8} [+A-Z0-9-]{1,6}") {
            let _ = time(&text);
        }
    }
}
