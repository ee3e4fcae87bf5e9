//! Pages of lists. They are asked for by offset, on the list's own path: what an answer names as the next page may be an
//! address that is gone, or somebody else's.

use serde_json::Value;
use zotify_plugin_api::prelude::*;

use crate::{
    decode::{Decoder, Unreadable},
    error,
    text::{self, text},
};

/// The most rows that most lists answer at once.
pub(crate) const LIMIT: u64 = 50;
/// The most rows of a page of search results, or of an artist's albums.
pub(crate) const SMALL_LIMIT: u64 = 10;
/// Lists end here.
pub(crate) const MAX_OFFSET: u64 = 100_000;

/// A page of a list.
#[derive(Debug)]
pub(crate) struct Slice {
    /// The rows by position, with those that are null.
    pub rows: Vec<Value>,
    /// How many rows the list has.
    pub total: Option<u64>,
    /// Where the next page starts; none after the last.
    pub next: Option<u64>,
}

impl Slice {
    /// Reads a page that was asked for by offset.
    ///
    /// # Errors
    /// `bad_upstream` where it is no page, or another one than was asked for.
    pub(crate) fn of(mut value: Value, offset: u64, limit: u64) -> Result<Self> {
        let rows = match value.get_mut("items").map(Value::take) {
            Some(Value::Array(rows)) => rows,
            _ => return Err(error::unreadable("a list has no rows")),
        };
        if text::number(&value, "offset").is_some_and(|echoed| echoed != offset) {
            return Err(error::unreadable("a list answered another page than was asked for"));
        }
        let total = text::number(&value, "total");
        let count = rows.len() as u64;
        // A service may answer fewer rows than it was asked for, and says so; it may leave out rows without saying so.
        let step =
            text::number(&value, "limit").filter(|echoed| (1..=limit).contains(echoed)).unwrap_or(count).max(count);
        let end = offset.saturating_add(step);
        let more = total.map_or_else(|| value.get("next").is_some_and(Value::is_string), |total| end < total);
        if more && end > MAX_OFFSET {
            return Err(error::unreadable("a list does not end"));
        }
        // A page without rows ends a list that says it goes on: the next one would be like it.
        Ok(Self { rows, total, next: (more && count > 0).then_some(end) })
    }
}

/// What a page holds, and what of it can't be read. `name` is what people call a row.
pub(crate) fn items(slice: &Slice, offset: u64, decoder: Decoder<'_>, name: &str) -> Page {
    let mut page = Page { total: slice.total, ..Page::default() };
    for row in &slice.rows {
        match decoder.item(row) {
            Ok(item) => page.items.rows.push(item),
            Err(why) => page.skipped.push(skipped(row, name, why)),
        }
    }
    // Rows that were announced and did not come, too.
    let end = slice.next.or(slice.total).unwrap_or_default();
    if !page.skipped.is_empty() || end.saturating_sub(offset) > slice.rows.len() as u64 {
        let detail = "Spotify lists something without saying what it is";
        page.completeness = Completeness::Partial { code: "unreadable_rows".into(), detail: detail.into() };
    }
    page
}

/// What is said of a row that is no item.
pub(crate) fn skipped(item: &Value, name: &str, why: Unreadable) -> Skipped {
    let name = text(item, "name").unwrap_or(name).to_owned();
    let (code, detail) = match why {
        Unreadable::Empty => ("empty_row", "Spotify lists it without saying what it is; it may be gone"),
        Unreadable::Foreign => ("unknown_kind", "Spotify lists something here that cannot be addressed"),
    };
    Skipped { name, code: code.into(), detail: detail.into() }
}

/// Where a page starts, of the cursor that the page before named.
///
/// # Errors
/// `invalid_request` where it is none of this provider's.
pub(crate) fn offset(cursor: Option<&str>) -> Result<u64> {
    match cursor {
        None => Ok(0),
        Some(text) => text.parse().ok().filter(|offset| *offset <= MAX_OFFSET).ok_or_else(bad_cursor),
    }
}

/// A cursor that this provider did not name.
pub(crate) fn bad_cursor() -> ProviderError {
    ProviderError::invalid("this is no place to go on from").with_code("bad_cursor")
}

/// A limit between 1 and the most that the list allows.
pub(crate) fn limit(wanted: u32, most: u64) -> u64 {
    if wanted == 0 { most } else { u64::from(wanted).min(most) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_next_page_is_where_this_one_ends() {
        let rows = |n: usize| vec![json!({"x": 1}); n];
        for (value, next) in [
            // Asked for 20, got a page of 18 of which one row is missing.
            (json!({"items": rows(17), "limit": 18, "offset": 0, "total": 40, "next": "…?offset=18"}), Some(18)),
            // The address of the next page is never looked at.
            (json!({"items": rows(20), "total": 48, "next": "https://evil.example.org/?offset=7"}), Some(20)),
            (json!({"items": rows(20), "total": 48, "next": null}), Some(20)),
            (json!({"items": rows(20), "total": 20, "next": "again"}), None),
            (json!({"items": [], "total": 20, "next": "again"}), None),
            (json!({"items": rows(20), "next": "again"}), Some(20)),
            (json!({"items": rows(20), "limit": 1000}), None),
        ] {
            assert_eq!(Slice::of(value.clone(), 0, 20).unwrap().next, next, "{value}");
        }
    }

    #[test]
    fn null_rows_keep_their_places() {
        let slice = Slice::of(json!({"items": [null, {"a": 1}, null], "total": 3}), 0, 50).unwrap();
        assert!(slice.rows[0].is_null() && slice.rows[1].is_object() && slice.rows[2].is_null());
    }

    #[test]
    fn pages_that_are_none_or_never_end_are_errors() {
        assert!(Slice::of(json!({"items": null}), 0, 50).is_err());
        assert!(Slice::of(json!([]), 0, 50).is_err());
        assert!(Slice::of(json!({"items": [1], "offset": 0}), 50, 50).is_err());
        assert!(Slice::of(json!({"items": [1], "next": "x"}), MAX_OFFSET, 50).is_err());
        for cursor in ["", "-1", "x", "100001", "1e3"] {
            assert_eq!(offset(Some(cursor)).unwrap_err().kind, ErrorKind::InvalidRequest, "{cursor}");
        }
    }
}
