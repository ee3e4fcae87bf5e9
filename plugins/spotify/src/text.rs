//! Texts, numbers and dates as Spotify writes them.

use serde_json::Value;

/// The length of an id.
const ID: usize = 22;
/// The longest description that is kept, in characters: hundreds of them travel together.
const MAX_DESCRIPTION: usize = 1500;

/// Whether a text is an id of an item: 22 characters of base62.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == ID && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// A field that is a text with something in it.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str).filter(|text| !text.trim().is_empty())
}

/// A whole number that is not negative, also where it is written with a fraction.
pub(crate) fn number(value: &Value, key: &str) -> Option<u64> {
    let value = value.get(key)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded on both sides")]
    let rounded = |n: f64| (0.0..9e15).contains(&n).then(|| n.round() as u64);
    value.as_u64().or_else(|| value.as_f64().and_then(rounded))
}

/// As [`number`], for small ones from 1.
pub(crate) fn ordinal(value: &Value, key: &str) -> Option<u32> {
    number(value, key).filter(|n| *n > 0).and_then(|n| u32::try_from(n).ok())
}

/// A list; empty where there is none.
pub(crate) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// `YYYY`, `YYYY-MM` or `YYYY-MM-DD`; none for what is no date, such as `0000`.
pub(crate) fn date(value: &Value, key: &str) -> Option<String> {
    let date = text(value, key)?;
    let parts: Vec<&str> = date.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let shape = matches!(lengths[..], [4] | [4, 2] | [4, 2, 2]);
    let digits = parts.iter().all(|part| part.bytes().all(|b| b.is_ascii_digit()));
    let zero = parts.iter().any(|part| part.bytes().all(|b| b == b'0'));
    (shape && digits && !zero).then(|| date.to_owned())
}

/// Twelve characters in upper case without hyphens.
pub(crate) fn isrc(value: &str) -> Option<String> {
    let isrc: String = value.chars().filter(|c| *c != '-' && !c.is_whitespace()).collect();
    (isrc.len() == 12 && isrc.bytes().all(|b| b.is_ascii_alphanumeric())).then(|| isrc.to_ascii_uppercase())
}

/// A description as people wrote it: Spotify answers it escaped for HTML.
pub(crate) fn description(value: &Value, key: &str) -> Option<String> {
    let text = unescape(text(value, key)?);
    Some(text.chars().take(MAX_DESCRIPTION).collect())
}

/// Turns character references of HTML back.
pub(crate) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        match reference(rest) {
            Some((c, len)) => {
                out.push(c);
                rest = &rest[len..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// The character reference that a text starts with, and its length in bytes.
fn reference(text: &str) -> Option<(char, usize)> {
    let end = text.bytes().take(10).position(|b| b == b';')?;
    let name = text.get(1..end)?;
    let c = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        _ => {
            let code = name.strip_prefix('#')?;
            let number = match code.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => code.parse(),
            };
            char::from_u32(number.ok()?).filter(|c| !c.is_control())?
        }
    };
    Some((c, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn references_of_html_are_turned_back_once() {
        assert_eq!(unescape("Rock &amp; Roll &#x27;n&#39; &lt;3 &quot;&#x2F;"), "Rock & Roll 'n' <3 \"/");
        assert_eq!(unescape("&amp;lt; & &; &unknown; &#0; &#xD800; é&"), "&lt; & &; &unknown; &#0; &#xD800; é&");
    }

    #[test]
    fn dates_and_numbers_are_taken_as_they_come() {
        let value = json!({"a": "1981", "b": "0000", "c": null, "d": "1981-05-00", "e": "1981-05-03", "f": "81", "g": 3,
            "n": 215_000.4, "m": -1, "o": 0, "p": 1e300, "q": "7"});
        let dates: Vec<_> = ["a", "b", "c", "d", "e", "f", "g"].iter().filter_map(|key| date(&value, key)).collect();
        assert_eq!(dates, ["1981", "1981-05-03"]);
        assert_eq!(number(&value, "n"), Some(215_000));
        for key in ["m", "p", "q", "c", "z"] {
            assert_eq!(number(&value, key), None, "{key}");
        }
        assert_eq!(ordinal(&value, "o"), None);
    }

    #[test]
    fn isrcs_have_one_form() {
        assert_eq!(isrc("us-s1z-99-00001").as_deref(), Some("USS1Z9900001"));
        assert_eq!(isrc("USS1Z99"), None);
    }

    proptest::proptest! {
        #[test]
        fn unescaping_never_panics(text in "[&#x;a-z0-9é]{0,40}") {
            let _ = unescape(&text);
        }
    }
}
