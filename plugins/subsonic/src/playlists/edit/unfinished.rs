//! What is remembered of an edit that takes several requests, until the last one is answered: with it, whatever an edit
//! leaves that ended halfway is known again.

use std::collections::{HashMap, HashSet};

use xxhash_rust::xxh3::xxh3_64;
use zotify_plugin_api::{KeyValue, prelude::*};

use crate::client::Session;

/// An edit under way.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unfinished {
    /// Tells its operations from those of others.
    ops: u64,
    /// The tracks before it, as hashes.
    before: Vec<u32>,
    /// The positions of those that go.
    remove: Vec<usize>,
    /// The tracks that follow at the end, as hashes.
    add: Vec<u32>,
}

/// Which positions are to be removed from what an edit left, the last one first.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// What was there before is there: what followed goes.
    Back(Vec<usize>),
    /// All that the edit wanted is there: what it did not want goes.
    Forward(Vec<usize>),
    /// It is not what the edit left.
    Foreign,
}

impl Unfinished {
    pub(super) fn new(ops: u64, before: &[String], remove: &[usize], add: &[String]) -> Self {
        Self { ops, before: hashes(before), remove: remove.to_vec(), add: hashes(add) }
    }

    pub(super) async fn load(session: &Session, uri: &Uri) -> Result<Option<Self>> {
        kv(session).get(&key(uri)).await
    }

    pub(super) async fn save(&self, session: &Session, uri: &Uri) -> Result<()> {
        kv(session).put(&key(uri), self).await
    }

    /// Whether it is an edit with these operations.
    pub(super) fn is_of(&self, ops: u64) -> bool {
        self.ops == ops
    }

    /// What is left of it in a playlist. Other operations take away only what stands there twice.
    pub(super) fn rest(&self, now: &[String], ops: u64) -> Rest {
        let now = hashes(now);
        if now.starts_with(&self.before) && contains(&self.add, &now[self.before.len()..]) {
            return self.back(&now, ops);
        }
        let Some(head) = now.strip_suffix(&*self.add) else { return Rest::Foreign };
        let gone: HashSet<usize> = self.remove.iter().copied().collect();
        let kept: Vec<u32> =
            self.before.iter().enumerate().filter(|(at, _)| !gone.contains(at)).map(|(_, song)| *song).collect();
        if !contains(&self.before, head) || !contains(head, &kept) {
            return Rest::Foreign;
        }
        let mut left = kept.iter().peekable();
        let over = (0..head.len()).filter(|at| left.next_if(|song| **song == head[*at]).is_none()).collect();
        Rest::Forward(self.chosen(&now, over, ops))
    }

    fn back(&self, now: &[u32], ops: u64) -> Rest {
        if self.remove.is_empty() {
            // Nothing was to go, so nothing stands there twice by mistake.
            let all = now.len() == self.before.len() + self.add.len();
            let tail = (self.before.len()..now.len()).rev().filter(|_| self.is_of(ops));
            return if all { Rest::Forward(Vec::new()) } else { Rest::Back(tail.collect()) };
        }
        Rest::Back(self.chosen(now, (self.before.len()..now.len()).collect(), ops))
    }

    /// Those of the positions to remove, the last one first.
    fn chosen(&self, now: &[u32], mut positions: Vec<usize>, ops: u64) -> Vec<usize> {
        if !self.is_of(ops) {
            let mut others: HashMap<u32, usize> = HashMap::new();
            let mut over = positions.iter().peekable();
            for (at, song) in now.iter().enumerate() {
                if over.next_if_eq(&&at).is_none() {
                    *others.entry(*song).or_default() += 1;
                }
            }
            positions.retain(|at| others.get_mut(&now[*at]).filter(|n| **n > 0).map(|n| *n -= 1).is_some());
        }
        positions.reverse();
        positions
    }
}

/// Forgets what is remembered of a playlist.
pub(crate) async fn forget(session: &Session, uri: &Uri) -> Result<()> {
    kv(session).delete(&key(uri)).await
}

fn kv(session: &Session) -> KeyValue {
    session.server.cx.account_kv(&session.account)
}

fn key(uri: &Uri) -> String {
    format!("unfinished_edit:{}", uri.native_id())
}

fn hashes(songs: &[String]) -> Vec<u32> {
    #[expect(clippy::cast_possible_truncation, reason = "whole lists are compared, so a part of each hash is enough")]
    let hash = |song: &String| xxh3_64(song.as_bytes()) as u32;
    songs.iter().map(hash).collect()
}

/// Whether a list holds another one, in its order but perhaps with others in between.
fn contains(list: &[u32], part: &[u32]) -> bool {
    let mut list = list.iter();
    part.iter().all(|song| list.any(|other| other == song))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn songs(text: &str) -> Vec<String> {
        text.chars().map(String::from).collect()
    }

    fn counts(songs: &[String]) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        songs.iter().for_each(|song| *counts.entry(song.as_str()).or_default() += 1);
        counts
    }

    fn holds(all: &[String], part: &[String]) -> bool {
        let all = counts(all);
        counts(part).into_iter().all(|(song, count)| all.get(song).is_some_and(|has| *has >= count))
    }

    fn without(mut songs: Vec<String>, positions: &[usize]) -> Vec<String> {
        assert!(positions.is_sorted_by(|a, b| a > b), "the last one first: {positions:?}");
        for at in positions {
            songs.remove(*at);
        }
        songs
    }

    #[test]
    fn foreign_lists_are_not_touched() {
        let left = Unfinished::new(1, &songs("abc"), &[2, 1], &songs("xb"));
        for foreign in ["", "ab", "abd", "bcx", "abcy", "abcbx", "yxb", "xb"] {
            assert_eq!(left.rest(&songs(foreign), 1), Rest::Foreign, "{foreign}");
        }
        assert_eq!(left.rest(&songs("abcxb"), 1), Rest::Back(vec![4, 3]));
        assert_eq!(left.rest(&songs("abcxb"), 2), Rest::Back(vec![4]), "of another edit only what is there twice");
        assert_eq!(left.rest(&songs("abxb"), 1), Rest::Forward(vec![1]));
        assert_eq!(left.rest(&songs("axb"), 1), Rest::Forward(vec![]));
    }

    proptest::proptest! {
        /// Wherever an edit ended, also where tracks stand there several times.
        #[test]
        fn what_an_edit_left_is_known_again(
            before in "[abc]{0,7}", goes in proptest::collection::vec(proptest::bool::ANY, 7), add in "[abcx]{0,7}",
            done in 0usize..15, again in 0usize..15,
        ) {
            let (before, add) = (songs(&before), songs(&add));
            let remove: Vec<usize> = (0..before.len()).rev().filter(|at| goes[*at]).collect();
            let wanted = [without(before.clone(), &remove), add.clone()].concat();
            let added = [&before[..], &add[..done.min(add.len())]].concat();
            let state = without(added, &remove[..done.saturating_sub(add.len()).min(remove.len())]);
            let left = Unfinished::new(1, &before, &remove, &add);
            for ops in [1, 2] {
                let (positions, goal) = match left.rest(&state, ops) {
                    Rest::Back(positions) => (positions, &before),
                    Rest::Forward(positions) => (positions, &wanted),
                    Rest::Foreign => panic!("{state:?} is not known"),
                };
                let after = without(state.clone(), &positions);
                proptest::prop_assert!(holds(&after, goal), "{after:?} lacks some of {goal:?}");
                if ops == 1 {
                    proptest::prop_assert_eq!(&after, goal);
                } else {
                    proptest::prop_assert!(state.iter().all(|song| after.contains(song)));
                }
                // Tidying may end halfway, too.
                let part = without(state.clone(), &positions[..again.min(positions.len())]);
                let rest = match left.rest(&part, ops) {
                    Rest::Back(positions) | Rest::Forward(positions) => positions,
                    Rest::Foreign => panic!("{part:?} is not known"),
                };
                let after = without(part, &rest);
                proptest::prop_assert!(holds(&after, &before) || holds(&after, &wanted));
            }
        }
    }
}
