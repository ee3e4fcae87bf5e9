//! Rows that Spotify lists without saying what they are, some for ever. The run that finds them remembers where they stand, and
//! later ones look just there: they need not walk the whole list for what nobody can read.

use std::collections::BTreeSet;

use zotify_plugin_api::prelude::*;

use super::{
    List, Part, Place,
    heads::{self, Head},
    read, skipped,
};
use crate::{decode::Unreadable, pages::LIMIT};

/// So many pages of a list are read again for their holes. A list that has them on more is walked.
const MAX_PAGES: usize = 8;

/// The place of a row, from the end of its list: what is added comes to the beginning, and does not move it.
pub(super) fn from_end(total: u64, index: u64) -> Option<u64> {
    total.checked_sub(index)?.checked_sub(1)
}

/// Whether the next run can look after the holes of a list.
pub(super) fn are_few(head: &Head) -> bool {
    indices(head, head.total).is_some_and(|indices| pages(&indices).len() <= MAX_PAGES)
}

fn indices(head: &Head, total: u64) -> Option<Vec<u64>> {
    head.holes.iter().map(|hole| from_end(total, *hole)).collect()
}

fn pages(indices: &[u64]) -> BTreeSet<u64> {
    indices.iter().map(|index| index / LIMIT).collect()
}

/// Looks whether the holes that a list had are holes still; none where one of them is something again, so that the list is to
/// be walked.
pub(super) async fn still_there(
    session: &mut crate::client::Session,
    list: List,
    old: &Head,
    first: &Part,
    total: u64,
) -> Result<Option<Vec<Skipped>>> {
    let Some(indices) = indices(old, total) else { return Ok(None) };
    let pages = pages(&indices);
    if pages.len() > MAX_PAGES {
        return Ok(None);
    }
    let mut found = Vec::new();
    for page in pages {
        let later = match page {
            0 => None,
            page => Some(read(session, list, Some(&Place::Offset(page * LIMIT))).await?),
        };
        let rows = &later.as_ref().unwrap_or(first).rows;
        for index in indices.iter().filter(|index| **index / LIMIT == page) {
            let row = usize::try_from(index % LIMIT).ok().and_then(|n| rows.get(n));
            match row.filter(|row| heads::uri(list, row).is_none()) {
                Some(row) => found.push(skipped(list, row, Unreadable::Empty)),
                None => return Ok(None),
            }
        }
    }
    Ok(Some(found))
}
