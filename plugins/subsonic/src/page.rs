//! Cuts lists that servers answer whole into pages that fit the boundary.

use serde::Serialize;
use zotify_plugin_api::{ErrorKind, ProviderError, Result, wire};

/// The size of a page, in bytes of its encoding: well below what a reply may have.
const MAX_BYTES: usize = 600 << 10;

/// A part of a list.
pub(crate) struct Part<T> {
    pub(crate) rows: Vec<T>,
    /// Where the next part starts.
    pub(crate) next: Option<String>,
}

/// The rows of a list from a cursor on: at most so many (0 for as many as fit), and no more than fit.
pub(crate) fn part<T: Serialize>(all: Vec<T>, cursor: Option<&str>, limit: u32) -> Result<Part<T>> {
    let start = offset(cursor)?;
    let (total, limit) = (all.len(), if limit == 0 { usize::MAX } else { limit as usize });
    let (mut rows, mut bytes) = (Vec::new(), 0);
    for row in all.into_iter().skip(start).take(limit) {
        bytes += wire::encode(&row)?.len();
        if bytes > MAX_BYTES && !rows.is_empty() {
            break;
        }
        rows.push(row);
    }
    let end = start.saturating_add(rows.len());
    let next = (end < total && !rows.is_empty()).then(|| end.to_string());
    Ok(Part { rows, next })
}

/// The number that a cursor is.
pub(crate) fn offset(cursor: Option<&str>) -> Result<usize> {
    cursor.map_or(Ok(0), |cursor| cursor.parse().map_err(|_| invalid_cursor()))
}

pub(crate) fn invalid_cursor() -> ProviderError {
    ProviderError::new(ErrorKind::InvalidRequest, "the cursor is none of this provider").with_code("invalid_cursor")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_on_one_page() {
        let all: Vec<String> = (0..5000).map(|n| format!("{n}{}", "x".repeat(500))).collect();
        let (mut seen, mut cursor, mut pages) = (Vec::new(), None, 0);
        loop {
            let part = part(all.clone(), cursor.as_deref(), 0).unwrap();
            seen.extend(part.rows);
            pages += 1;
            cursor = part.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!((seen, pages > 3), (all, true));
        assert!(part(vec![1], Some("x"), 0).is_err());
        assert!(part(vec![1], Some("9"), 0).unwrap().rows.is_empty());
        assert_eq!(part(vec![1, 2, 3], Some("1"), 1).unwrap().next.as_deref(), Some("2"));
    }
}
