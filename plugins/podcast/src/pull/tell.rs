//! What of a feed the host does not have yet.

use std::collections::{HashMap, HashSet};

use xxhash_rust::xxh3::xxh3_64;
use zotify_plugin_api::{Context, Item, Kind, Result, Uri, wire};

use super::position::Position;
use crate::{
    feed::{Episode, Feed},
    ids::{self, Id},
    items::ShowOf,
    store::{Entry, FeedState, MAX_ENTRIES},
    text,
};

/// The size of a page, in bytes of its encoding: well below what a reply may have.
const MAX_BYTES: usize = 600 << 10;
/// What a URI takes on a page, in bytes.
const URI_BYTES: usize = 90;

/// What a page tells.
#[derive(Default)]
pub(super) struct Told {
    pub(super) upsert: Vec<Item>,
    pub(super) removed: Vec<Uri>,
    pub(super) moved: Vec<(Uri, Uri)>,
    bytes: usize,
}

impl Told {
    pub(super) fn is_empty(&self) -> bool {
        self.upsert.is_empty() && self.removed.is_empty() && self.moved.is_empty()
    }

    /// Whether so many bytes more still fit. An empty page takes anything.
    pub(super) fn fits(&self, bytes: usize) -> bool {
        self.is_empty() || self.bytes + bytes <= MAX_BYTES
    }

    fn item(&mut self, item: Item, bytes: usize) {
        self.bytes += bytes;
        self.upsert.push(item);
    }

    pub(super) fn remove(&mut self, uri: Uri) {
        self.bytes += URI_BYTES;
        self.removed.push(uri);
    }
}

/// A feed that is told, and what is known of it.
pub(super) struct Telling<'a> {
    pub(super) cx: &'a Context,
    pub(super) at: &'a Position,
    pub(super) show: ShowOf<'a>,
    pub(super) state: &'a mut FeedState,
    pub(super) entries: &'a mut Vec<Entry>,
    pub(super) told: &'a mut Told,
}

impl Telling<'_> {
    /// Tells of the show itself, where it changed. False where the page is full.
    pub(super) fn head(&mut self, feed: Option<&Feed>) -> Result<bool> {
        let item = Item::Show(self.show.item(self.cx, feed)?);
        let bytes = wire::encode(&item)?;
        let hash = xxh3_64(&bytes);
        if self.at.has(self.state.head_page) && self.state.head == hash {
            return Ok(true);
        }
        if !self.told.fits(bytes.len()) {
            return Ok(false);
        }
        self.told.item(item, bytes.len());
        (self.state.head, self.state.head_page, self.state.page) = (hash, self.at.next, self.at.next);
        Ok(true)
    }

    /// Tells of episodes that are new or changed. False where the page is full before all are told.
    pub(super) fn episodes(&mut self, feed: &Feed) -> Result<bool> {
        let mut known: HashMap<Id, usize> = self.entries.iter().enumerate().map(|(n, entry)| (entry.id, n)).collect();
        let listed: HashSet<Id> = feed.episodes.iter().map(Episode::id).collect();
        let mut vanished = self.vanished(&listed);
        for episode in &feed.episodes {
            let id = episode.id();
            let before = known.get(&id).map(|n| self.entries[*n]);
            if before.is_some_and(|entry| self.at.has_of_run(entry.page)) {
                continue;
            }
            let item = Item::Episode(self.show.episode(self.cx, feed, episode, self.at.began_ms / 1000)?);
            let bytes = wire::encode(&item)?;
            let entry = Entry { id, hash: xxh3_64(&bytes), likeness: likeness(episode), page: self.at.next };
            if before.is_some_and(|before| self.at.has(before.page) && before.hash == entry.hash) {
                continue;
            }
            if !self.told.fits(bytes.len() + 2 * URI_BYTES) {
                return Ok(false);
            }
            // Some publishers give all episodes other ids when they move: that is no reason to have them twice.
            let renamed = before.is_none().then(|| vanished.remove(&entry.likeness)).flatten();
            match known.get(&id).copied().or(renamed) {
                Some(n) => {
                    if renamed.is_some() {
                        self.told.moved.push((self.uri(self.entries[n].id)?, self.uri(id)?));
                        self.told.bytes += 2 * URI_BYTES;
                        known.insert(id, n);
                    }
                    self.entries[n] = entry;
                }
                None => {
                    known.insert(id, self.entries.len());
                    self.entries.push(entry);
                }
            }
            self.told.item(item, bytes.len());
            self.state.page = self.at.next;
        }
        self.forget(&listed)
    }

    /// Episodes that the host has and the feed no longer lists, by what they are alike in; without those that are alike
    /// among themselves.
    fn vanished(&self, listed: &HashSet<Id>) -> HashMap<u64, usize> {
        let mut found: HashMap<u64, Option<usize>> = HashMap::new();
        for (n, entry) in self.entries.iter().enumerate() {
            if entry.likeness != 0 && self.at.has(entry.page) && !listed.contains(&entry.id) {
                found.entry(entry.likeness).and_modify(|place| *place = None).or_insert(Some(n));
            }
        }
        found.into_iter().filter_map(|(likeness, n)| Some((likeness, n?))).collect()
    }

    /// What left the feed stays in the library: most feeds list only their newest episodes. Only of very many the oldest
    /// go. False where the page is full.
    fn forget(&mut self, listed: &HashSet<Id>) -> Result<bool> {
        self.entries.retain(|entry| entry.page != 0 || listed.contains(&entry.id));
        while self.entries.len() > MAX_ENTRIES {
            let Some(oldest) = self.entries.iter().position(|entry| !listed.contains(&entry.id)) else { break };
            // In one go as many as lie together: they came first, and so do they here.
            let end = self.entries[oldest..].iter().position(|entry| listed.contains(&entry.id));
            let end = end.map_or(self.entries.len(), |end| oldest + end);
            let end = end.min(oldest + self.entries.len() - MAX_ENTRIES);
            for n in oldest..end {
                if !self.told.fits(URI_BYTES) {
                    self.entries.drain(oldest..n);
                    return Ok(false);
                }
                self.told.remove(self.uri(self.entries[n].id)?);
                self.state.page = self.at.next;
            }
            self.entries.drain(oldest..end);
        }
        Ok(true)
    }

    fn uri(&self, episode: Id) -> Result<Uri> {
        self.cx.uri(Kind::Episode, &ids::episode(self.show.id, episode))
    }
}

/// By what an episode is known again under another id: its title and day. 0 for none.
fn likeness(episode: &Episode) -> u64 {
    let Some((title, published)) = episode.title.as_ref().zip(episode.published) else { return 0 };
    xxh3_64(format!("{} {}", text::fold(title), published.div_euclid(24 * 3600)).as_bytes()).max(1)
}
