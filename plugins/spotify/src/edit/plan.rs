//! What requests an edit comes to.

use std::collections::HashSet;

use zotify_plugin_api::prelude::*;

/// A row of a playlist, as far as edits care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// What names the entry; empty for one that was added just now.
    pub entry: String,
    /// The item's URI; none where nothing is there.
    pub uri: Option<String>,
    /// Whether it could be put back once it is gone.
    pub returns: bool,
    /// Whether it was added just now: Spotify may list another item in its place.
    pub added: bool,
}

impl Slot {
    pub(super) fn added(uri: &str) -> Self {
        Self { entry: String::new(), uri: Some(uri.to_owned()), returns: true, added: true }
    }
}

/// Moves some rows that follow each other. Positions are those before the move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub start: usize,
    pub before: usize,
    pub len: usize,
}

impl Move {
    pub(super) fn apply(&self, slots: &mut Vec<Slot>) {
        let range: Vec<Slot> = slots.drain(self.start..self.start + self.len).collect();
        let at = if self.before > self.start { self.before - self.len } else { self.before };
        slots.splice(at..at, range);
    }
}

/// Where an entry stands.
///
/// # Errors
/// `conflict` where it does not stand there any more.
pub(super) fn position(slots: &[Slot], entry: &str) -> Result<usize> {
    let found = slots.iter().position(|slot| !slot.entry.is_empty() && slot.entry == entry);
    found.ok_or_else(|| {
        let text = "an entry does not stand in the playlist any more; read it again";
        ProviderError::new(ErrorKind::Conflict, text).with_code("entry_gone")
    })
}

/// The moves that bring entries before another one, in the order that they are named in.
///
/// # Errors
/// As [`position`]; `invalid_request` where an entry is named twice, or is to stand before itself.
pub(super) fn moves(slots: &[Slot], entries: &[String], before: Option<&str>) -> Result<Vec<Move>> {
    once(entries)?;
    if before.is_some_and(|before| entries.iter().any(|entry| entry == before)) {
        return Err(ProviderError::invalid("an entry cannot be moved before itself").with_code("invalid_move"));
    }
    let mut slots = slots.to_vec();
    let mut moves = Vec::new();
    let mut named = 0;
    while named < entries.len() {
        let start = position(&slots, &entries[named])?;
        let follows = |(n, entry): &(usize, &String)| slots.get(start + n).is_some_and(|slot| slot.entry == **entry);
        let len = entries[named..].iter().enumerate().take_while(follows).count().max(1);
        let before = before.map_or(Ok(slots.len()), |before| position(&slots, before))?;
        if start + len != before {
            let one = Move { start, before, len };
            one.apply(&mut slots);
            moves.push(one);
        }
        named += len;
    }
    Ok(moves)
}

/// What removing entries comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Removal {
    /// The URIs of which all copies are removed.
    pub uris: Vec<String>,
    /// Copies to be put back, by position, in this order.
    pub put_back: Vec<(usize, Vec<String>)>,
    /// The rows when all is done.
    pub after: Vec<Slot>,
}

/// Plans the removal of entries.
///
/// # Errors
/// As [`position`]; `restricted` where Spotify cannot remove a row, or would take one along that cannot be put back.
pub(super) fn removal(slots: &[Slot], entries: &[String]) -> Result<Removal> {
    once(entries)?;
    let mut gone = HashSet::new();
    for entry in entries {
        gone.insert(position(slots, entry)?);
    }
    if gone.iter().any(|n| !slots[*n].returns) {
        let text = "Spotify's API cannot remove files on somebody's disk, nor what is not available any more; \
                    remove it in Spotify's own program";
        return Err(ProviderError::new(ErrorKind::Restricted, text).with_code("not_removable"));
    }
    let mut uris: Vec<String> = gone.iter().filter_map(|n| slots[*n].uri.clone()).collect();
    uris.sort();
    uris.dedup();
    let taken = |slot: &Slot| slot.uri.as_ref().is_some_and(|uri| uris.binary_search(uri).is_ok());
    let after: Vec<Slot> =
        slots.iter().enumerate().filter(|(n, _)| !gone.contains(n)).map(|(_, slot)| slot.clone()).collect();
    if after.iter().any(|slot| taken(slot) && !slot.returns) {
        let text = "another copy of this would be removed along, and could not be put back";
        return Err(ProviderError::new(ErrorKind::Restricted, text).with_code("would_lose_entries"));
    }
    let mut put_back: Vec<(usize, Vec<String>)> = Vec::new();
    for (at, slot) in after.iter().enumerate().filter(|(_, slot)| taken(slot)) {
        let Some(uri) = slot.uri.clone() else { continue };
        match put_back.last_mut().filter(|(from, uris)| from + uris.len() == at) {
            Some((_, uris)) => uris.push(uri),
            None => put_back.push((at, vec![uri])),
        }
    }
    Ok(Removal { uris, put_back, after })
}

fn once(entries: &[String]) -> Result<()> {
    let all: HashSet<&String> = entries.iter().collect();
    if all.len() == entries.len() {
        return Ok(());
    }
    Err(ProviderError::invalid("an entry is named twice").with_code("entry_twice"))
}

/// Whether rows are those that were expected.
pub(super) fn alike(expected: &[Slot], now: &[Slot]) -> bool {
    let same = |(expected, now): (&Slot, &Slot)| expected.added || expected.uri == now.uri;
    expected.len() == now.len() && expected.iter().zip(now).all(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(names: &str) -> Vec<Slot> {
        let slot = |(n, c): (usize, char)| Slot {
            entry: format!("{c}{n}"),
            uri: (c != '-').then(|| format!("spotify:track:{c}")),
            returns: c.is_ascii_lowercase(),
            added: false,
        };
        names.chars().enumerate().map(slot).collect()
    }

    fn names(slots: &[Slot]) -> String {
        slots.iter().map(|slot| slot.uri.as_deref().map_or("-", |uri| &uri[14..])).collect()
    }

    fn entries(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn moved(rows: &str, named: &[&str], before: Option<&str>) -> (String, usize) {
        let mut slots = slots(rows);
        let moves = moves(&slots, &entries(named), before).unwrap();
        moves.iter().for_each(|one| one.apply(&mut slots));
        (names(&slots), moves.len())
    }

    #[test]
    fn moves_end_in_the_order_that_entries_are_named_in() {
        assert_eq!(moved("abcdef", &["e4"], Some("b1")), ("aebcdf".into(), 1));
        assert_eq!(moved("abcdef", &["b1", "c2"], None), ("adefbc".into(), 1));
        assert_eq!(moved("abcdef", &["c2", "b1"], None), ("adefcb".into(), 2));
        assert_eq!(moved("abcdef", &["f5", "a0"], Some("d3")), ("bcfade".into(), 2));
        // There already.
        assert_eq!(moved("abcdef", &["b1", "c2"], Some("d3")), ("abcdef".into(), 0));
        assert_eq!(moved("abcdef", &["f5"], None), ("abcdef".into(), 0));
        // What is no item of Spotify's can be moved like the others.
        assert_eq!(moved("a-c", &["-1"], None), ("ac-".into(), 1));
    }

    #[test]
    fn a_removal_of_one_of_several_copies_puts_the_others_back() {
        let removal = removal(&slots("axbxxc"), &entries(&["x3"])).unwrap();
        assert_eq!(removal.uris, ["spotify:track:x"]);
        let x = || "spotify:track:x".to_owned();
        assert_eq!(removal.put_back, [(1, vec![x()]), (3, vec![x()])]);
        assert_eq!(names(&removal.after), "axbxc");
        // As Spotify would do it: all copies go, then each run comes back at its place.
        let mut rows: Vec<String> = "abc".chars().map(String::from).collect();
        for (at, uris) in &removal.put_back {
            rows.splice(at..at, uris.iter().map(|uri| uri[14..].to_owned()));
        }
        assert_eq!(rows.concat(), "axbxc");
    }

    #[test]
    fn what_cannot_be_put_back_is_never_taken() {
        let code = |rows: &str, named: &[&str]| removal(&slots(rows), &entries(named)).unwrap_err().code.unwrap();
        assert_eq!(code("aLb", &["L1"]), "not_removable");
        assert_eq!(code("a-b", &["-1"]), "not_removable");
        assert_eq!(code("ab", &["z9"]), "entry_gone");
        assert_eq!(code("ab", &["a0", "a0"]), "entry_twice");
        let mut copies = slots("xax");
        copies[2].returns = false;
        assert_eq!(removal(&copies, &entries(&["x0"])).unwrap_err().code.unwrap(), "would_lose_entries");
    }

    proptest::proptest! {
        #[test]
        fn moves_come_out_as_named(rows in 1_usize..12, picks in proptest::collection::vec(0_usize..12, 1..6), anchor in 0_usize..13) {
            let slots = slots(&"abcdefghijkl"[..rows]);
            let mut named: Vec<String> = Vec::new();
            for pick in picks {
                let entry = slots[pick % rows].entry.clone();
                if !named.contains(&entry) {
                    named.push(entry);
                }
            }
            let before = slots.get(anchor).map(|slot| slot.entry.clone()).filter(|entry| !named.contains(entry));
            let mut expected: Vec<String> = slots.iter().map(|s| s.entry.clone()).filter(|e| !named.contains(e)).collect();
            let at = before.as_ref().map_or(expected.len(), |b| expected.iter().position(|e| e == b).unwrap());
            expected.splice(at..at, named.clone());
            let mut now = slots.clone();
            moves(&slots, &named, before.as_deref()).unwrap().iter().for_each(|one| one.apply(&mut now));
            proptest::prop_assert_eq!(now.into_iter().map(|s| s.entry).collect::<Vec<_>>(), expected);
        }
    }
}
