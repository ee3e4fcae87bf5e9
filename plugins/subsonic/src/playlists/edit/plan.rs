//! What an edit makes of a playlist, and how to write that.

use std::collections::{BTreeSet, HashMap, HashSet};

use zotify_plugin_api::prelude::*;

use super::entries;

/// A track of a draft: where it stood before, or none for one that is added.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    song: String,
    was: Option<usize>,
}

/// A playlist that is being edited.
pub(super) struct Draft {
    rows: Vec<Row>,
    before: usize,
    /// Entries by name, with their positions before.
    entries: HashMap<String, usize>,
    /// Tracks that stood there several times: their occurrences have changing names.
    several: HashSet<String>,
}

/// How to write a draft.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// It is as it was.
    Nothing,
    /// Tracks follow at the end, and some of those before go.
    Update {
        /// Positions, the last one first: so those of the others stay as they are.
        remove: Vec<usize>,
        /// Tracks; in another order, also those that were there.
        add: Vec<String>,
    },
    /// In another order, all at once.
    Replace(Vec<String>),
}

impl Draft {
    pub(super) fn new(songs: &[String]) -> Self {
        let entries = entries::names(songs).into_iter().enumerate().map(|(at, name)| (name, at)).collect();
        let mut seen = HashSet::new();
        let several = songs.iter().filter(|song| !seen.insert(*song)).cloned().collect();
        let rows = songs.iter().enumerate().map(|(at, song)| Row { song: song.clone(), was: Some(at) }).collect();
        Self { rows, before: songs.len(), entries, several }
    }

    /// Does an operation. `changed` says that the caller knows an older version, by which entries are named.
    pub(super) fn apply(&mut self, op: &PlaylistOp, changed: bool) -> Result<()> {
        match op {
            PlaylistOp::Add { items, before } => {
                let added = rows(items)?;
                let at = self.place(before.as_deref(), changed)?;
                self.rows.splice(at..at, added);
            }
            PlaylistOp::Move { entries, before } => {
                let moved = self.take(entries, changed, before.as_deref())?;
                let at = self.place(before.as_deref(), changed)?;
                self.rows.splice(at..at, moved);
            }
            PlaylistOp::Remove { entries } => drop(self.take(entries, changed, None)?),
            // It names no entries, but would take away what the caller never saw.
            PlaylistOp::Replace { .. } if changed => return Err(changed_meanwhile()),
            PlaylistOp::Replace { items } => self.rows = rows(items)?,
            _ => return Err(ProviderError::unsupported("this change of a playlist")),
        }
        Ok(())
    }

    /// Where an entry stands now.
    fn find(&self, entry: &str, changed: bool) -> Result<usize> {
        let gone = || {
            ProviderError::new(ErrorKind::Conflict, "an entry is not in the playlist any more").with_code("entry_gone")
        };
        let was = *self.entries.get(entry).ok_or_else(gone)?;
        let at = self.rows.iter().position(|row| row.was == Some(was)).ok_or_else(gone)?;
        if changed && self.several.contains(&self.rows[at].song) {
            return Err(changed_meanwhile());
        }
        Ok(at)
    }

    fn place(&self, before: Option<&str>, changed: bool) -> Result<usize> {
        before.map_or(Ok(self.rows.len()), |entry| self.find(entry, changed))
    }

    /// Takes entries out, in the order that they are named in.
    fn take(&mut self, entries: &[String], changed: bool, before: Option<&str>) -> Result<Vec<Row>> {
        if before.is_some_and(|before| entries.iter().any(|entry| entry == before)) {
            return Err(
                ProviderError::invalid("an entry cannot be moved before itself").with_code("moved_before_itself")
            );
        }
        let found = entries.iter().map(|entry| self.find(entry, changed)).collect::<Result<Vec<_>>>()?;
        let distinct: HashSet<usize> = found.iter().copied().collect();
        if distinct.len() < found.len() {
            return Err(ProviderError::invalid("an entry is named twice").with_code("entry_twice"));
        }
        let taken = found.iter().map(|at| self.rows[*at].clone()).collect();
        let mut at = 0;
        self.rows.retain(|_| {
            at += 1;
            !distinct.contains(&(at - 1))
        });
        Ok(taken)
    }

    /// The tracks in their order.
    pub(super) fn songs(&self) -> Vec<String> {
        self.rows.iter().map(|row| row.song.clone()).collect()
    }

    /// The tracks that are added.
    pub(super) fn added(&self) -> BTreeSet<String> {
        self.rows.iter().filter(|row| row.was.is_none()).map(|row| row.song.clone()).collect()
    }

    /// Adds these tracks no longer.
    pub(super) fn leave_out(&mut self, songs: &BTreeSet<String>) {
        self.rows.retain(|row| row.was.is_some() || !songs.contains(&row.song));
    }

    /// How to write it, where a request takes so many tracks.
    pub(super) fn plan(&self, most: usize) -> Plan {
        let mut next = 0;
        let in_place = |row: &Row| row.was.filter(|was| *was >= next).inspect(|was| next = was + 1);
        let kept: Vec<usize> = self.rows.iter().map_while(in_place).collect();
        let rest = &self.rows[kept.len()..];
        let anew = kept.is_empty() && self.before > 0 && !rest.is_empty();
        if (anew || rest.iter().any(|row| row.was.is_some())) && self.rows.len() <= most {
            return Plan::Replace(self.songs());
        }
        let add: Vec<String> = rest.iter().map(|row| row.song.clone()).collect();
        let stays: HashSet<usize> = kept.into_iter().collect();
        let remove: Vec<usize> = (0..self.before).rev().filter(|at| !stays.contains(at)).collect();
        if remove.is_empty() && add.is_empty() { Plan::Nothing } else { Plan::Update { remove, add } }
    }
}

fn changed_meanwhile() -> ProviderError {
    ProviderError::new(ErrorKind::Conflict, "the playlist changed meanwhile").with_code("changed")
}

fn rows(items: &[ItemKey]) -> Result<Vec<Row>> {
    let row = |key: &ItemKey| match key.uri.kind() {
        Kind::Track => Ok(Row { song: key.uri.native_id(), was: None }),
        _ => Err(ProviderError::invalid("playlists of this server hold tracks only").with_code("not_a_track")),
    };
    items.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn songs(text: &str) -> Vec<String> {
        text.chars().map(String::from).collect()
    }

    fn add(text: &str, before: Option<&str>) -> PlaylistOp {
        PlaylistOp::Add { items: keys(text), before: before.map(Into::into) }
    }

    fn keys(text: &str) -> Vec<ItemKey> {
        text.chars().map(|c| ItemKey { uri: format!("s:track:{c}").parse().unwrap(), locator: None }).collect()
    }

    /// The entry of a list that stands at a position.
    fn at(list: &str, position: usize) -> String {
        entries::names(&songs(list))[position].clone()
    }

    fn done(list: &str, ops: &[PlaylistOp]) -> (String, Plan) {
        let mut draft = Draft::new(&songs(list));
        for op in ops {
            draft.apply(op, false).unwrap();
        }
        (draft.songs().concat(), draft.plan(9))
    }

    #[test]
    fn writes_as_little_as_it_can() {
        let entry = |n| at("abca", n);
        assert_eq!(done("abca", &[]), ("abca".into(), Plan::Nothing));
        let remove = PlaylistOp::Remove { entries: vec![entry(3), entry(1)] };
        let (list, plan) = done("abca", &[remove, add("xx", None)]);
        assert_eq!((list.as_str(), plan), ("acxx", Plan::Update { remove: vec![3, 1], add: songs("xx") }));
        let (list, plan) = done("abca", &[add("x", Some(&entry(3)))]);
        assert_eq!((list.as_str(), plan), ("abcxa", Plan::Replace(songs("abcxa"))));
        let moved = PlaylistOp::Move { entries: vec![entry(3), entry(2)], before: Some(entry(0)) };
        assert_eq!(done("abca", &[moved]).0, "acab");
        let all = PlaylistOp::Remove { entries: (0..4).map(entry).collect() };
        assert_eq!(done("abca", &[all]).1, Plan::Update { remove: vec![3, 2, 1, 0], add: vec![] });
        assert_eq!(done("abca", &[PlaylistOp::Replace { items: keys("xy") }]).1, Plan::Replace(songs("xy")));
        assert_eq!(done("", &[add("x", None)]).1, Plan::Update { remove: vec![], add: songs("x") });
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        let code = |list: &str, op: PlaylistOp, changed: bool| {
            Draft::new(&songs(list)).apply(&op, changed).map_err(|e| e.code.unwrap_or_default())
        };
        let remove = |entries: Vec<String>| PlaylistOp::Remove { entries };
        assert_eq!(code("ab", remove(vec!["nope".into()]), false).unwrap_err(), "entry_gone");
        assert_eq!(code("ab", remove(vec![at("ab", 0), at("ab", 0)]), false).unwrap_err(), "entry_twice");
        let itself = PlaylistOp::Move { entries: vec![at("ab", 0)], before: Some(at("ab", 0)) };
        assert_eq!(code("ab", itself, false).unwrap_err(), "moved_before_itself");
        let album = ItemKey { uri: "s:album:1".parse().unwrap(), locator: None };
        assert_eq!(code("", PlaylistOp::Replace { items: vec![album] }, false).unwrap_err(), "not_a_track");
        assert!(code("ab", PlaylistOp::Unknown, false).is_err());
        // Of a list that changed, entries are known again unless their track is there several times.
        assert_eq!(code("abb", remove(vec![at("abb", 0)]), true), Ok(()));
        assert_eq!(code("abb", remove(vec![at("abb", 1)]), true).unwrap_err(), "changed");
        assert_eq!(code("abb", remove(vec![at("abb", 1)]), false), Ok(()));
        // What replaces all of it names nothing, and so cannot be known again.
        let replace = || PlaylistOp::Replace { items: keys("x") };
        assert_eq!(code("ab", replace(), true).unwrap_err(), "changed");
        assert_eq!(code("ab", replace(), false), Ok(()));
        assert_eq!(code("ab", add("x", None), true), Ok(()), "what is added at the end takes nothing away");
    }

    #[test]
    fn what_takes_several_requests_follows_before_anything_goes() {
        let mut draft = Draft::new(&songs("abcde"));
        let moved = PlaylistOp::Move { entries: vec![at("abcde", 3)], before: Some(at("abcde", 1)) };
        draft.apply(&moved, false).unwrap();
        assert_eq!(draft.plan(5), Plan::Replace(songs("adbce")));
        assert_eq!(draft.plan(4), Plan::Update { remove: vec![4, 2, 1], add: songs("bce") });
    }

    #[test]
    fn leaves_out_only_what_was_added() {
        let mut draft = Draft::new(&songs("ab"));
        draft.apply(&add("axa", None), false).unwrap();
        draft.leave_out(&draft.added());
        assert_eq!(draft.songs(), songs("ab"));
    }

    proptest::proptest! {
        /// Writing the plan makes the draft, as the API defines its methods.
        #[test]
        fn plans_make_drafts(list in "[abc]{0,8}", ops in proptest::collection::vec((0usize..3, 0usize..8, 0usize..8), 0..5), most in 1usize..9) {
            let before = songs(&list);
            let mut draft = Draft::new(&before);
            let entry = |n: usize| if list.is_empty() { String::new() } else { at(&list, n % list.len()) };
            for (kind, a, b) in ops {
                let op = match kind {
                    0 => add("x", (b % 2 == 0).then(|| entry(a)).as_deref()),
                    1 => PlaylistOp::Remove { entries: vec![entry(a)] },
                    _ => PlaylistOp::Move { entries: vec![entry(a)], before: (b % 3 > 0).then(|| entry(b)) },
                };
                let _ = draft.apply(&op, false);
            }
            let after = match draft.plan(most) {
                Plan::Nothing => before,
                Plan::Replace(songs) => songs,
                Plan::Update { remove, add } => {
                    let kept = before.into_iter().enumerate().filter(|(at, _)| !remove.contains(at)).map(|(_, song)| song);
                    kept.chain(add).collect()
                }
            };
            proptest::prop_assert_eq!(after, draft.songs());
        }
    }
}
