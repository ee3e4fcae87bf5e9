//! Reads what servers answer, whatever they make of the types: numbers as strings, one object where a list belongs,
//! fields that are missing.

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
use serde_json::Value;

/// The longest title or name that is kept, in bytes.
pub(crate) const MAX_NAME: usize = 600;
/// The longest id, in bytes: a URI holds no longer one.
const MAX_ID: usize = 400;
/// The most names of a list within an item.
const MAX_NAMES: usize = 16;

/// An object of a server's answer.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a>(pub(crate) &'a Value);

impl<'a> Fields<'a> {
    /// A field, where it is there and not null.
    pub(crate) fn get(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// An object below this one.
    pub(crate) fn object(self, name: &str) -> Option<Fields<'a>> {
        self.get(name).filter(|value| value.is_object()).map(Fields)
    }

    /// The objects of a list, which may also be a single object.
    pub(crate) fn list(self, name: &str) -> impl Iterator<Item = Fields<'a>> {
        let found = match self.get(name) {
            Some(Value::Array(values)) => values.as_slice(),
            Some(single @ Value::Object(_)) => std::slice::from_ref(single),
            _ => &[],
        };
        found.iter().filter(|value| value.is_object()).map(Fields)
    }

    /// A text that is not empty, cut at so many bytes.
    pub(crate) fn text(self, name: &str, max: usize) -> Option<String> {
        as_text(self.get(name)?, max)
    }

    /// A name or title.
    pub(crate) fn name(self, name: &str) -> Option<String> {
        self.text(name, MAX_NAME)
    }

    /// An id; never one that was cut.
    pub(crate) fn id(self, name: &str) -> Option<String> {
        as_text(self.get(name)?, MAX_ID + 4).filter(|id| id.len() <= MAX_ID)
    }

    /// Texts of a list, or of one text.
    pub(crate) fn texts(self, name: &str) -> Vec<String> {
        match self.get(name) {
            Some(Value::Array(values)) => values.iter().filter_map(|v| as_text(v, MAX_NAME)).take(MAX_NAMES).collect(),
            Some(value) => as_text(value, MAX_NAME).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// The names of a list of objects.
    pub(crate) fn names(self, list: &str, name: &str) -> Vec<String> {
        self.list(list).filter_map(|each| each.name(name)).take(MAX_NAMES).collect()
    }

    /// A number that is not negative.
    pub(crate) fn number<T: TryFrom<u64>>(self, name: &str) -> Option<T> {
        let number = match self.get(name)? {
            Value::Number(number) => number.as_u64().or_else(|| whole(number.as_f64()?)),
            Value::String(text) => text.trim().parse().ok().or_else(|| whole(text.trim().parse().ok()?)),
            _ => None,
        };
        number.and_then(|n| T::try_from(n).ok())
    }

    /// A number with a fraction.
    pub(crate) fn float(self, name: &str) -> Option<f32> {
        let number = match self.get(name)? {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        #[expect(clippy::cast_possible_truncation, reason = "gains need no more digits")]
        let float = number? as f32;
        Some(float).filter(|float| float.is_finite())
    }

    /// Yes or no.
    pub(crate) fn flag(self, name: &str) -> Option<bool> {
        match self.get(name)? {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) if text.eq_ignore_ascii_case("true") || text == "1" => Some(true),
            Value::String(text) if text.eq_ignore_ascii_case("false") || text == "0" => Some(false),
            Value::Number(number) => number.as_u64().map(|n| n != 0),
            _ => None,
        }
    }

    /// A time as RFC 3339 UTC. One without a zone counts as UTC.
    pub(crate) fn time(self, name: &str) -> Option<String> {
        let text = self.text(name, 64)?;
        let time = DateTime::parse_from_rfc3339(&text)
            .map(|time| time.with_timezone(&Utc))
            .or_else(|_| {
                NaiveDateTime::parse_from_str(&text.replace(' ', "T"), "%Y-%m-%dT%H:%M:%S%.f").map(|t| t.and_utc())
            })
            .ok()?;
        Some(time.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

fn as_text(value: &Value, max: usize) -> Option<String> {
    let text = match value {
        Value::String(text) => cut(text.trim(), max).to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// The beginning of a text, at most so many bytes.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max.min(text.len()))]
}

fn whole(number: f64) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
    let whole = (number.is_finite() && (0.0..9e15).contains(&number)).then_some(number as u64);
    whole
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn takes_types_as_they_come() {
        let value = json!({"a": "7", "b": 7, "c": 7.9, "d": -1, "e": null, "f": {"id": 5}, "g": "true", "h": "nan",
            "long": "ä".repeat(400), "t": "2012-12-14T22:49:58", "u": "2026-01-02T03:04:05.678+01:00", "w": "soon"});
        let fields = Fields(&value);
        let number = |name: &str| fields.number::<u32>(name);
        assert_eq!(
            (number("a"), number("b"), number("c"), number("d"), number("e")),
            (Some(7), Some(7), Some(7), None, None)
        );
        assert_eq!(fields.list("f").map(|f| f.id("id").unwrap()).collect::<Vec<_>>(), ["5"]);
        assert_eq!((fields.flag("g"), fields.flag("b"), fields.flag("w")), (Some(true), Some(true), None));
        assert_eq!(fields.float("h"), None);
        assert_eq!(fields.id("long"), None, "half an id is another one");
        assert!(fields.name("long").unwrap().len() <= MAX_NAME);
        assert_eq!(fields.time("t").as_deref(), Some("2012-12-14T22:49:58.000Z"));
        assert_eq!(fields.time("u").as_deref(), Some("2026-01-02T02:04:05.678Z"));
        assert_eq!(fields.time("w"), None);
        assert_eq!(Fields(&json!([1, "x"])).list("a").count(), 0);
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_cut_within_a_character(text in "\\PC{0,40}", max in 0usize..60) {
            proptest::prop_assert!(text.starts_with(cut(&text, max)));
        }
    }
}
