//! What is known of files from earlier runs, kept in the host's key-value entries.
//!
//! There may be hundreds of thousands of files, so some two hundred neighbours share an entry ([`shard`]). In memory they
//! stay as they are kept, until one of them is looked up.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use zotify_plugin_api::{Context, Result};

use crate::ids::{FileKey, FolderId, GroupId};

mod codec;
mod entry;
mod figures;
mod shard;

pub(crate) use entry::{Entry, Stat};
pub(crate) use figures::AlbumFigures;
use figures::Figures;
use shard::Shard;

const SHARD: &str = "s/";
const ORPHAN: &str = "g/";
const META: &str = "meta";
const READING: &str = "reading";
const MOUNTS: &str = "mounts";
/// Groups written at once, to stay under the limit of a request.
const BATCH: usize = 1000;
/// Bytes of shards written at once, likewise. A single shard's parts are always written together.
const BATCH_BYTES: usize = 256 << 10;

#[derive(Serialize, Deserialize)]
struct Meta {
    epoch: i64,
}

/// The files that are being read, kept while they are: what is left of it tells which file ended the process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reading {
    /// Locators.
    pub files: Vec<String>,
    /// How often the process ended while it read only this one.
    pub deaths: u32,
}

/// An album or artist that lost a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Group {
    /// An album.
    Album(GroupId),
    /// An artist.
    Artist(GroupId),
}

impl Group {
    fn key(self) -> String {
        match self {
            Self::Album(id) => format!("{ORPHAN}l{:016x}", id.0),
            Self::Artist(id) => format!("{ORPHAN}r{:016x}", id.0),
        }
    }

    fn from_key(key: &str) -> Option<Self> {
        let rest = key.strip_prefix(ORPHAN)?;
        let id = GroupId(u64::from_str_radix(rest.get(1..)?, 16).ok()?);
        match rest.as_bytes()[0] {
            b'l' => Some(Self::Album(id)),
            b'r' => Some(Self::Artist(id)),
            _ => None,
        }
    }
}

/// All entries, and what follows from them.
#[derive(Default)]
pub(crate) struct State {
    /// Which set of entries this is; none before the first run.
    pub epoch: Option<i64>,
    /// The last page that any entry names.
    pub last_page: u64,
    /// The folders that held files.
    pub held: HashSet<FolderId>,
    /// Files that are gone, of which the host may not know yet.
    pub gone: BTreeSet<FileKey>,
    /// Albums and artists that lost tracks, with the page that told so: they may have none left.
    pub shrunk: HashMap<Group, u64>,
    /// Directories that were on other devices than their folders, in order.
    pub mounts: Vec<FileKey>,
    /// In the order of their files.
    shards: Vec<Shard>,
    /// The number of the next new shard.
    next_shard: u64,
    /// Counted when first asked for: a run without changes does not.
    figures: Option<Figures>,
    dirty_groups: Vec<Group>,
    dirty_mounts: bool,
    /// Shards whose files are elsewhere now.
    obsolete: Vec<u64>,
}

impl State {
    /// Reads all entries. Where one is damaged, none is of use, as the others may be older than the host's library: then
    /// the next run starts over.
    ///
    /// # Errors
    /// When the host's storage fails.
    pub(crate) async fn load(cx: &Context) -> Result<Self> {
        let kv = cx.kv();
        let mut state = Self { epoch: kv.get::<Meta>(META).await?.map(|meta| meta.epoch), ..Self::default() };
        let mut is_damaged = false;
        for (key, bytes) in kv.scan_all::<ByteBuf>(SHARD).await? {
            let Some(id) = shard_id(&key) else { continue };
            state.next_shard = state.next_shard.max(id + 1);
            state.obsolete.push(id);
            is_damaged |= state.add_shard(id, bytes.into_vec()).is_none();
        }
        if is_damaged {
            tracing::warn!("what is known of the files is damaged; all of them are read again");
            let Self { next_shard, obsolete, .. } = state;
            return Ok(Self { next_shard, obsolete, ..Self::default() });
        }
        state.obsolete.clear();
        state.shards.sort_by(|a, b| a.first.cmp(&b.first));
        for (key, page) in kv.scan_all::<u64>(ORPHAN).await? {
            state.last_page = state.last_page.max(page);
            state.shrunk.extend(Group::from_key(&key).map(|group| (group, page)));
        }
        let mounts = kv.get::<Vec<String>>(MOUNTS).await?.unwrap_or_default();
        state.mounts = mounts.iter().filter_map(|locator| FileKey::from_locator(locator)).collect();
        Ok(state)
    }

    fn add_shard(&mut self, id: u64, bytes: Vec<u8>) -> Option<()> {
        let shard = Shard::load(id, bytes, |folder, key, entry| {
            self.last_page = self.last_page.max(entry.page);
            if !entry.gone {
                self.held.insert(folder);
            } else {
                self.gone.extend(FileKey::from_flat(key));
            }
        })?;
        self.shards.push(shard);
        Some(())
    }

    /// What was being read when the process ended, if anything.
    ///
    /// # Errors
    /// When the host's storage fails.
    pub(crate) async fn interrupted(cx: &Context) -> Result<Reading> {
        Ok(cx.kv().get(READING).await?.unwrap_or_default())
    }

    /// Notes what is about to be read.
    ///
    /// # Errors
    /// When the host's storage fails.
    pub(crate) async fn note_reading(cx: &Context, reading: &Reading) -> Result<()> {
        cx.kv().put(READING, reading).await
    }

    /// Starts a new set of entries.
    ///
    /// # Errors
    /// When the host's storage fails.
    pub(crate) async fn begin(&mut self, cx: &Context) -> Result<()> {
        let epoch = cx.clock().now_ms().await?;
        cx.kv().put(META, &Meta { epoch }).await?;
        self.epoch = Some(epoch);
        Ok(())
    }

    /// Shows all files, in order, by their flat keys.
    pub(crate) fn each(&self, mut show: impl FnMut(&[u8], &Entry)) {
        self.shards.iter().for_each(|shard| shard.each(&mut show));
    }

    /// What is known of a file.
    pub(crate) fn get(&mut self, file: &FileKey) -> Option<Entry> {
        let index = self.shard_of(file)?;
        let files = self.shards[index].open();
        let at = files.binary_search_by(|(known, _)| known.cmp(file)).ok()?;
        Some(files[at].1.clone())
    }

    fn shard_of(&self, file: &FileKey) -> Option<usize> {
        let after = self.shards.partition_point(|shard| shard.first <= *file);
        (!self.shards.is_empty()).then(|| after.saturating_sub(1))
    }

    /// Sets what is known of a file, as told by a page.
    pub(crate) fn set(&mut self, file: &FileKey, entry: Entry, page: u64) {
        let figures = self.figures();
        figures.count(&entry, true);
        let gone = entry.gone;
        let groups: Vec<Group> = entry.groups().collect();
        let old = self.replace(file, Some(entry)).unwrap_or_default();
        self.figures().count(&old, false);
        for group in old.groups().filter(|group| gone || !groups.contains(group)) {
            self.shrunk.insert(group, page);
            self.dirty_groups.push(group);
        }
        if gone {
            self.gone.insert(file.clone());
        } else if old.gone {
            self.gone.remove(file);
        }
    }

    /// Forgets a file.
    pub(crate) fn forget(&mut self, file: &FileKey) {
        // Counted before it is missing.
        self.figures();
        if let Some(old) = self.replace(file, None) {
            self.figures().count(&old, false);
        }
        self.gone.remove(file);
    }

    /// Sets or removes an entry; answers the old one.
    fn replace(&mut self, file: &FileKey, entry: Option<Entry>) -> Option<Entry> {
        let index = match self.shard_of(file) {
            Some(index) => index,
            None => {
                self.shards.push(Shard::new(file.clone()));
                0
            }
        };
        let shard = &mut self.shards[index];
        shard.is_dirty = true;
        let files = shard.open();
        match (files.binary_search_by(|(known, _)| known.cmp(file)), entry) {
            (Ok(at), Some(entry)) => Some(std::mem::replace(&mut files[at].1, entry)),
            (Ok(at), None) => Some(files.remove(at).1),
            (Err(at), Some(entry)) => {
                files.insert(at, (file.clone(), entry));
                shard.first = shard.first.clone().min(file.clone());
                None
            }
            (Err(_), None) => None,
        }
    }

    /// Forgets that an album or artist lost tracks.
    pub(crate) fn settle(&mut self, group: Group) {
        self.shrunk.remove(&group);
        self.dirty_groups.push(group);
    }

    /// Sets which directories are on other devices.
    pub(crate) fn set_mounts(&mut self, mounts: Vec<FileKey>) {
        self.dirty_mounts |= self.mounts != mounts;
        self.mounts = mounts;
    }

    /// How many tracks and discs an album has.
    pub(crate) fn album(&mut self, id: GroupId) -> AlbumFigures {
        self.figures().album(id)
    }

    /// Whether any track belongs to an album or artist.
    pub(crate) fn is_used(&mut self, group: Group) -> bool {
        self.figures().is_used(group)
    }

    fn figures(&mut self) -> &mut Figures {
        let shards = &self.shards;
        self.figures.get_or_insert_with(|| {
            let mut figures = Figures::default();
            shards.iter().for_each(|shard| shard.each(|_, entry| figures.count(entry, true)));
            figures
        })
    }

    /// Takes what changed since the last call.
    pub(crate) fn changes(&mut self) -> Changes {
        let mut writes = Vec::new();
        for shard in std::mem::take(&mut self.shards) {
            let (old, is_dirty) = (shard.id, shard.is_dirty);
            let mut together = Vec::new();
            let parts = shard.pack();
            if parts.is_empty() {
                together.extend(old.map(|id| (shard_key(id), None)));
            }
            for mut part in parts {
                if is_dirty {
                    let id = part.id.unwrap_or(self.next_shard);
                    self.next_shard = self.next_shard.max(id + 1);
                    part.id = Some(id);
                    part.is_dirty = false;
                    together.push((shard_key(id), part.bytes().map(|bytes| ByteBuf::from(bytes.to_vec()))));
                }
                self.shards.push(part);
            }
            writes.push(together);
        }
        let obsolete = std::mem::take(&mut self.obsolete);
        writes.extend(obsolete.into_iter().map(|id| vec![(shard_key(id), None)]));
        let groups = std::mem::take(&mut self.dirty_groups);
        let groups = groups.into_iter().map(|group| (group.key(), self.shrunk.get(&group).copied())).collect();
        let is_dirty = std::mem::take(&mut self.dirty_mounts);
        let mounts = is_dirty.then(|| self.mounts.iter().map(FileKey::locator).collect());
        Changes { shards: batches(writes), groups, mounts, is_read: false }
    }
}

fn shard_key(id: u64) -> String {
    format!("{SHARD}{id:x}")
}

fn shard_id(key: &str) -> Option<u64> {
    u64::from_str_radix(key.strip_prefix(SHARD)?, 16).ok()
}

type Write = (String, Option<ByteBuf>);

/// Puts together what may be written together.
fn batches(writes: Vec<Vec<Write>>) -> Vec<Vec<Write>> {
    let mut batches: Vec<Vec<Write>> = Vec::new();
    let mut size = BATCH_BYTES;
    for together in writes.into_iter().filter(|together| !together.is_empty()) {
        let bytes: usize = together.iter().map(|(key, value)| key.len() + value.as_ref().map_or(8, |v| v.len())).sum();
        size += bytes;
        match batches.last_mut() {
            Some(batch) if size <= BATCH_BYTES => batch.extend(together),
            _ => {
                batches.push(together);
                size = bytes;
            }
        }
    }
    batches
}

/// Entries to write.
pub(crate) struct Changes {
    shards: Vec<Vec<Write>>,
    groups: Vec<(String, Option<u64>)>,
    mounts: Option<Vec<String>>,
    is_read: bool,
}

impl Changes {
    /// What was noted to be read, is read.
    pub(crate) fn and_read(mut self) -> Self {
        self.is_read = true;
        self
    }

    /// Writes them. What is lost by a crash in between is read or told again.
    ///
    /// # Errors
    /// When the host's storage fails.
    pub(crate) async fn write(mut self, cx: &Context) -> Result<()> {
        if let Some(mounts) = self.mounts {
            cx.kv().put(MOUNTS, &mounts).await?;
        }
        // First the groups: those that lost no track after all are settled in the end, those forgotten would stay.
        for batch in self.groups.chunks(BATCH) {
            cx.kv().put_many(batch.iter().cloned()).await?;
        }
        if self.is_read {
            let note = (READING.to_owned(), None);
            match self.shards.last_mut() {
                Some(batch) => batch.push(note),
                None => self.shards.push(vec![note]),
            }
        }
        for batch in self.shards {
            cx.kv().put_many(batch).await?;
        }
        Ok(())
    }
}
