//! How a list began when it was read, to see later what was added to it.

use std::collections::HashSet;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use zotify_plugin_api::prelude::*;

use super::{List, Part, VERSION};
use crate::{decode, pages::MAX_OFFSET, text::text};

/// What is remembered of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// How many rows it had.
    pub total: u64,
    /// When its first row that is something was added, and the row's URI; of artists a digest of the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first: Option<(String, String)>,
    /// Where that row stood: rows before it were empty.
    #[serde(default)]
    at: u64,
    /// Rows that are no items, as [`super::holes`] counts them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holes: Vec<u64>,
    /// All URIs in order, where they came on one page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    all: Option<Vec<String>>,
}

/// What explains the difference between two readings of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// So many rows came to its beginning.
    Added(u64),
    /// Just these URIs.
    Exactly { added: Vec<String>, removed: Vec<String> },
}

/// What a sync token holds.
#[derive(Serialize, Deserialize)]
struct Token {
    version: u8,
    heads: Vec<(List, Head)>,
}

/// Reads a sync token; none where it is of another version, and everything is to be read.
pub(super) fn parse(token: &str) -> Option<Vec<(List, Head)>> {
    serde_json::from_str::<Token>(token).ok().filter(|token| token.version == VERSION).map(|token| token.heads)
}

/// Writes a sync token.
pub(super) fn write(heads: impl Iterator<Item = (List, Head)>) -> Result<String> {
    serde_json::to_string(&Token { version: VERSION, heads: heads.collect() })
        .map_err(|_| ProviderError::internal("cannot write the sync token"))
}

/// The URI of a row's item, as the decoder understands it.
pub(super) fn uri(list: List, row: &Value) -> Option<String> {
    decode::identity(list.item(row)).ok().map(|(kind, id)| format!("spotify:{kind}:{id}"))
}

fn first(list: List, row: &Value) -> Option<(String, String)> {
    Some((text(row, "added_at").unwrap_or_default().to_owned(), uri(list, row)?))
}

fn digest(uris: &[String]) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(uris.join(","))[..12])
}

impl Head {
    pub(super) fn of(list: List, part: &Part) -> Self {
        let rows = &part.rows;
        // A list that does not say how long it is, and goes on, is never known to be read to its end.
        let total = part.total.unwrap_or(if part.next.is_some() { MAX_OFFSET } else { rows.len() as u64 });
        let uris: Option<Vec<String>> = rows.iter().map(|row| uri(list, row)).collect();
        let first = match list {
            List::Artists => uris.as_deref().map(|uris| (digest(uris), String::new())),
            _ => rows.iter().find_map(|row| first(list, row)),
        };
        let at = rows.iter().take_while(|row| uri(list, row).is_none()).count() as u64;
        let all = uris.filter(|uris| total == uris.len() as u64 && part.next.is_none());
        Self { total, first, at, holes: Vec::new(), all }
    }

    /// Whether the rows are those that the list began with.
    pub(super) fn starts(&self, list: List, rows: &[Value]) -> bool {
        let row = usize::try_from(self.at).ok().and_then(|at| rows.get(at));
        self.first.is_some() && self.first == row.and_then(|row| first(list, row))
    }

    /// Whether the row that the list began with is on a page to which so many rows came.
    pub(super) fn starts_within(&self, added: u64, rows: &[Value]) -> bool {
        self.total == 0 || added.saturating_add(self.at) < rows.len() as u64
    }

    /// What explains that the list looks otherwise now; none where only another walk would tell. An addition of more rows than
    /// are at hand is yet to be verified.
    pub(super) fn compare(&self, list: List, now: &Self, rows: &[Value]) -> Option<Change> {
        if let (Some(old), Some(new)) = (&self.all, &now.all) {
            return Some(exactly(old, new));
        }
        let count = now.total.checked_sub(self.total)?;
        if list == List::Artists {
            // They stand in no order of time: that nothing changed is all that can be told of more than a page.
            return (count == 0 && self.first.is_some() && self.first == now.first).then_some(Change::Added(0));
        }
        if self.total == 0 || !self.starts_within(count, rows) {
            return Some(Change::Added(count));
        }
        let rest = usize::try_from(count).ok().and_then(|count| rows.get(count..)).unwrap_or_default();
        self.starts(list, rest).then_some(Change::Added(count))
    }
}

fn exactly(old: &[String], new: &[String]) -> Change {
    let minus = |a: &[String], b: &[String]| {
        let b: HashSet<&String> = b.iter().collect();
        a.iter().filter(|uri| !b.contains(uri)).cloned().collect()
    };
    Change::Exactly { added: minus(new, old), removed: minus(old, new) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn id(n: usize) -> String {
        format!("{n:022}")
    }

    fn rows(ids: impl IntoIterator<Item = usize>) -> Vec<Value> {
        let row = |n| json!({"added_at": format!("2026-01-01T00:00:{:02}Z", n % 60), "track": {"uri": format!("spotify:track:{}", id(n))}});
        ids.into_iter().map(row).collect()
    }

    fn part(rows: Vec<Value>, total: u64) -> Part {
        let next = (total > rows.len() as u64).then_some(super::super::Place::Offset(50));
        Part { rows, total: Some(total), next }
    }

    fn compare(old: &Part, new: &Part) -> Option<Change> {
        Head::of(List::Tracks, old).compare(List::Tracks, &Head::of(List::Tracks, new), &new.rows)
    }

    #[test]
    fn additions_at_the_head_are_told_from_everything_else() {
        let old = part(rows((100..150).rev()), 150);
        assert_eq!(compare(&old, &old), Some(Change::Added(0)));
        assert_eq!(compare(&old, &part(rows((103..153).rev()), 153)), Some(Change::Added(3)));
        // More than a page: to be verified.
        assert_eq!(compare(&old, &part(rows((200..250).rev()), 250)), Some(Change::Added(100)));
        // One went, one came.
        assert_eq!(compare(&old, &part(rows((101..151).rev()), 150)), None);
        // Two came, one went from further down.
        assert_eq!(compare(&old, &part(rows((102..152).rev()), 151)), None);
        assert_eq!(compare(&old, &part(rows((99..149).rev()), 149)), None);
    }

    #[test]
    fn lists_of_one_page_are_compared_exactly() {
        let change = compare(&part(rows([3, 2, 1]), 3), &part(rows([4, 3, 1]), 3)).unwrap();
        let uri = |n| format!("spotify:track:{}", id(n));
        assert_eq!(change, Change::Exactly { added: vec![uri(4)], removed: vec![uri(2)] });
        // With a row that nobody can name nothing is exact.
        let mut ghost = rows([3, 2, 1]);
        ghost[1] = json!({"track": null});
        assert_eq!(compare(&part(rows([3, 2, 1]), 3), &part(ghost, 3)), Some(Change::Added(0)));
    }

    #[test]
    fn tokens_of_another_version_are_not_read() {
        let head = Head::of(List::Tracks, &part(rows([1]), 1));
        let token = write([(List::Tracks, head.clone())].into_iter()).unwrap();
        assert_eq!(parse(&token).unwrap(), [(List::Tracks, head)]);
        assert!(parse(&token.replace("\"version\":1", "\"version\":2")).is_none());
        assert!(parse("x").is_none());
    }
}
