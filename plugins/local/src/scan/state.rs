//! What is known of files from earlier runs, kept in the host's key-value entries.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use zotify_plugin_api::{Context, Result};

use crate::ids::{FileKey, GroupId};

const FILE: &str = "f/";
const ORPHAN: &str = "g/";
const META: &str = "meta";
const READING: &str = "reading";
const MOUNTS: &str = "mounts";
/// Entries written at once, to stay under the limit of a request.
const BATCH: usize = 1000;

/// What tells that a file changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stat {
    /// Bytes.
    #[serde(rename = "z")]
    pub size: u64,
    /// Modification time in nanoseconds since 1970-01-01 UTC.
    #[serde(rename = "m")]
    pub mtime_ns: i64,
    /// Inode.
    #[serde(rename = "i")]
    pub inode: u64,
}

/// What is known of a file. Names are short because there may be hundreds of thousands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// As it was when it was read.
    #[serde(rename = "f", default)]
    pub stat: Stat,
    /// Of the audio; 0 where it was not read.
    #[serde(rename = "h", default)]
    pub audio_hash: u64,
    /// The page that told of it last.
    #[serde(rename = "p", default)]
    pub page: u64,
    /// The page that told of it first.
    #[serde(rename = "b", default)]
    pub first_page: u64,
    /// When it came into the library, in milliseconds since 1970-01-01 UTC.
    #[serde(rename = "t", default)]
    pub added_ms: i64,
    /// The version of the picture in its directory; 0 for none.
    #[serde(rename = "c", default)]
    pub image: u64,
    /// Its album.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub album: Option<GroupId>,
    /// The album's artists and its own.
    #[serde(rename = "r", default, skip_serializing_if = "Vec::is_empty")]
    pub artists: Vec<GroupId>,
    /// Its disc; 0 for none.
    #[serde(rename = "d", default)]
    pub disc: u32,
    /// Why it was left out.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub skip: Option<String>,
    /// Whether the host was told of a track.
    #[serde(rename = "k", default)]
    pub is_track: bool,
    /// Whether the file is gone: kept until a complete run has told the host.
    #[serde(rename = "x", default)]
    pub gone: bool,
    /// Its path, where the id does not say it.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub locator: Option<String>,
}

/// How an album's tracks are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AlbumFigures {
    /// How many there are.
    pub tracks: u32,
    /// The highest disc.
    pub discs: u32,
    /// When the first of them came into the library, in milliseconds since 1970-01-01 UTC; 0 where none has.
    pub added_ms: i64,
}

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
    /// By file.
    pub files: HashMap<FileKey, Entry>,
    /// Albums and artists that lost tracks, with the page that told so: they may have none left.
    pub shrunk: HashMap<Group, u64>,
    /// Directories that were on other devices than their folders, in order.
    pub mounts: Vec<FileKey>,
    albums: HashMap<GroupId, AlbumFigures>,
    artists: HashMap<GroupId, u32>,
    dirty_files: Vec<FileKey>,
    dirty_groups: Vec<Group>,
    dirty_mounts: bool,
}

impl State {
    /// Reads all entries.
    ///
    /// # Errors
    /// When the host's storage fails.
    pub(crate) async fn load(cx: &Context) -> Result<Self> {
        let kv = cx.kv();
        let mut state = Self { epoch: kv.get::<Meta>(META).await?.map(|meta| meta.epoch), ..Self::default() };
        for (key, entry) in kv.scan_all::<Entry>(FILE).await? {
            let locator = entry.locator.as_deref().or_else(|| key.strip_prefix(FILE));
            // An entry that names no file is of no use; it is overwritten or left.
            if let Some(file) = locator.and_then(FileKey::from_locator) {
                state.count(&entry, true);
                state.files.insert(file, entry);
            }
        }
        for (key, page) in kv.scan_all::<u64>(ORPHAN).await? {
            state.shrunk.extend(Group::from_key(&key).map(|group| (group, page)));
        }
        let mounts = kv.get::<Vec<String>>(MOUNTS).await?.unwrap_or_default();
        state.mounts = mounts.iter().filter_map(|locator| FileKey::from_locator(locator)).collect();
        Ok(state)
    }

    /// What was being read when the process ended, if anything.
    ///
    /// # Errors
    /// When the host's storage fails.
    pub(crate) async fn interrupted(cx: &Context) -> Result<Reading> {
        Ok(cx.kv().get(READING).await?.unwrap_or_default())
    }

    /// Notes what is about to be read; nothing takes the note back.
    ///
    /// # Errors
    /// When the host's storage fails.
    pub(crate) async fn note_reading(cx: &Context, reading: &Reading) -> Result<()> {
        match reading.files.is_empty() {
            true => cx.kv().delete(READING).await,
            false => cx.kv().put(READING, reading).await,
        }
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

    /// The last page that any entry names.
    pub(crate) fn last_page(&self) -> u64 {
        let files = self.files.values().map(|entry| entry.page);
        files.chain(self.shrunk.values().copied()).max().unwrap_or(0)
    }

    /// Sets what is known of a file, as told by a page.
    pub(crate) fn set(&mut self, file: &FileKey, entry: Entry, page: u64) {
        let old = self.files.get(file).cloned().unwrap_or_default();
        self.count(&old, false);
        self.count(&entry, true);
        for group in groups(&old) {
            if entry.gone || !groups(&entry).any(|g| g == group) {
                self.shrunk.insert(group, page);
                self.dirty_groups.push(group);
            }
        }
        self.files.insert(file.clone(), entry);
        self.dirty_files.push(file.clone());
    }

    /// Forgets a file.
    pub(crate) fn forget(&mut self, file: &FileKey) {
        if let Some(old) = self.files.remove(file) {
            self.count(&old, false);
        }
        self.dirty_files.push(file.clone());
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
    pub(crate) fn album(&self, id: GroupId) -> AlbumFigures {
        self.albums.get(&id).copied().unwrap_or_default()
    }

    /// Whether any track belongs to an album or artist.
    pub(crate) fn is_used(&self, group: Group) -> bool {
        match group {
            Group::Album(id) => self.albums.get(&id).is_some_and(|album| album.tracks > 0),
            Group::Artist(id) => self.artists.get(&id).is_some_and(|tracks| *tracks > 0),
        }
    }

    fn count(&mut self, entry: &Entry, add: bool) {
        if entry.gone || !entry.is_track {
            return;
        }
        let step = |n: &mut u32| *n = if add { n.saturating_add(1) } else { n.saturating_sub(1) };
        if let Some(album) = entry.album {
            let figures = self.albums.entry(album).or_default();
            step(&mut figures.tracks);
            figures.discs = figures.discs.max(entry.disc);
            if figures.added_ms == 0 || entry.added_ms < figures.added_ms {
                figures.added_ms = entry.added_ms;
            }
        }
        for artist in &entry.artists {
            step(self.artists.entry(*artist).or_default());
        }
    }

    /// Takes what changed since the last call.
    pub(crate) fn changes(&mut self) -> Changes {
        let mut files = std::mem::take(&mut self.dirty_files);
        files.sort();
        files.dedup();
        let files = files.into_iter().map(|file| {
            let id = file.id();
            let entry = self
                .files
                .get(&file)
                .map(|entry| Entry { locator: FileKey::is_hashed(&id).then(|| file.locator()), ..entry.clone() });
            (format!("{FILE}{id}"), entry)
        });
        let files = files.collect();
        let groups = std::mem::take(&mut self.dirty_groups);
        let groups = groups.into_iter().map(|group| (group.key(), self.shrunk.get(&group).copied())).collect();
        let is_dirty = std::mem::take(&mut self.dirty_mounts);
        let mounts = is_dirty.then(|| self.mounts.iter().map(FileKey::locator).collect());
        Changes { files, groups, mounts }
    }
}

fn groups(entry: &Entry) -> impl Iterator<Item = Group> + '_ {
    entry.album.map(Group::Album).into_iter().chain(entry.artists.iter().copied().map(Group::Artist))
}

/// Entries to write.
pub(crate) struct Changes {
    files: Vec<(String, Option<Entry>)>,
    groups: Vec<(String, Option<u64>)>,
    mounts: Option<Vec<String>>,
}

impl Changes {
    /// Writes them. What is lost by a crash in between is read or told again.
    ///
    /// # Errors
    /// When the host's storage fails.
    pub(crate) async fn write(self, cx: &Context) -> Result<()> {
        if let Some(mounts) = self.mounts {
            cx.kv().put(MOUNTS, &mounts).await?;
        }
        // First the groups: those that lost no track after all are settled in the end, those forgotten would stay.
        for batch in self.groups.chunks(BATCH) {
            cx.kv().put_many(batch.iter().cloned()).await?;
        }
        for batch in self.files.chunks(BATCH) {
            cx.kv().put_many(batch.iter().cloned()).await?;
        }
        Ok(())
    }
}
