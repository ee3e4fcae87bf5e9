//! One run over the library.

use std::{
    collections::{HashSet, VecDeque},
    path::PathBuf,
    time::{Duration, Instant},
};

use zotify_plugin_api::{Item, LibraryPage, Listing, Progress, Result, Skipped, Uri, wire};

use super::{
    position::Position,
    read::{self, Contents},
    state::{Entry, Reading, State},
    vanished::Vanished,
    walk::{Found, Walk},
};
use crate::{
    blocking::parallel,
    folders::{Folders, Trouble},
    ids::{FileKey, GroupId},
    items::{self, Groups, Uris},
    settings::Settings,
    tags::Skip,
    text,
};

mod sweep;

/// Limits of a page, so that it stays far under 1 MiB and comes soon.
const MAX_FILES: usize = 400;
const MAX_BYTES: usize = 500 << 10;
const MAX_TIME: Duration = Duration::from_secs(3);
/// Files that are read before the limits are looked at again.
const CHUNK: usize = 100;
/// Files left out earlier that a run names again.
const MAX_KNOWN_SKIPS: usize = 500;
/// How often a run looks again for files that are not found, before it says that they are gone.
const MAX_LOOKS: u32 = 3;
/// How often a file may end the process.
const MAX_DEATHS: u32 = 1;
/// The longest name of a file that is left out, in characters.
const MAX_SKIP_NAME: usize = 300;

/// What a run starts from.
pub(crate) struct Start {
    /// Where it stands.
    pub position: Position,
    /// Whether it names everything.
    pub listing: Listing,
    /// Milliseconds since 1970-01-01 UTC.
    pub now_ms: i64,
    /// Makes URIs.
    pub uris: Uris,
    /// To look at the folders again.
    pub settings: Settings,
    /// The folders.
    pub folders: Folders,
    /// What is in them.
    pub walk: Walk,
    /// What was in them.
    pub state: State,
    /// What was being read when the process ended, if anything.
    pub interrupted: Reading,
}

/// A run.
pub(crate) struct Run {
    start: Start,
    /// Where it stands.
    pub position: Position,
    /// What is known of files.
    pub state: State,
    /// Why not everything was seen.
    pub trouble: Option<Trouble>,
    work: VecDeque<Found>,
    /// Files that were read, and did not fit on the page.
    waiting: VecDeque<(Found, Result<Contents, Skip>)>,
    vanished: Vanished,
    removed: VecDeque<Uri>,
    /// What the first page says of files that are not read again.
    left_out: LibraryPage,
    /// Files of which one may end the process; they stand in front of the others.
    suspects: HashSet<FileKey>,
    told_artists: HashSet<GroupId>,
    /// Files that could not be opened this time.
    unreadable: HashSet<FileKey>,
    total: usize,
    looks: u32,
    is_swept: bool,
}

/// A page that is being filled.
struct Draft {
    page: LibraryPage,
    tracks: Vec<Item>,
    groups: Groups,
    files: usize,
    max_files: usize,
    bytes: usize,
    began: Instant,
}

impl Draft {
    fn is_full(&self) -> bool {
        self.files >= self.max_files || self.bytes >= MAX_BYTES || self.began.elapsed() >= MAX_TIME
    }
}

impl Run {
    /// Compares what there is with what was there.
    pub(crate) fn new(mut start: Start) -> Self {
        let mut run = Self {
            position: start.position,
            state: std::mem::take(&mut start.state),
            trouble: start.walk.troubles.first().cloned(),
            total: start.walk.files.len(),
            work: VecDeque::new(),
            waiting: VecDeque::new(),
            vanished: Vanished::default(),
            removed: VecDeque::new(),
            left_out: LibraryPage::default(),
            suspects: HashSet::new(),
            told_artists: HashSet::new(),
            unreadable: HashSet::new(),
            looks: 0,
            is_swept: false,
            start,
        };
        run.plan();
        run
    }

    fn plan(&mut self) {
        let files = std::mem::take(&mut self.start.walk.files);
        self.suspects = self.start.interrupted.files.iter().filter_map(|f| FileKey::from_locator(f)).collect();
        self.leave_out_deadly(&files);
        self.look_for_missing_drives(&files);
        let state = std::mem::take(&mut self.state);
        let mut files = files.into_iter().peekable();
        state.each(|flat, entry| {
            while let Some(found) = files.next_if(|found| found.key.cmp_flat(flat).is_lt()) {
                self.work.push_back(found);
            }
            match files.next_if(|found| found.key.cmp_flat(flat).is_eq()) {
                Some(found) => self.compare(found, entry),
                None => self.miss(flat, entry),
            }
        });
        self.work.extend(files);
        self.state = state;
        if !self.suspects.is_empty() {
            self.work.make_contiguous().sort_by_key(|found| !self.suspects.contains(&found.key));
        }
    }

    /// A file that was there, and is.
    fn compare(&mut self, found: Found, entry: &Entry) {
        if entry.skip.is_some() && !entry.gone && entry.stat == found.stat {
            return self.name_left_out(&found, entry);
        }
        let image = self.start.walk.image(&found.key).map_or(0, |image| image.version);
        if !self.is_current(entry, &found, image) {
            self.work.push_back(found);
        }
    }

    /// A file that was there, and is not found. What is gone can be told, and a move be told from a copy, only where
    /// everything was seen.
    fn miss(&mut self, flat: &[u8], entry: &Entry) {
        let is_news = !entry.gone || entry.page > self.position.base;
        if let (true, None, Some(file)) = (is_news, &self.trouble, FileKey::from_flat(flat)) {
            self.vanished.add(&file, entry);
        }
    }

    /// A file that ended the process more than once, while nothing else was read, is not read again until it changes.
    fn leave_out_deadly(&mut self, files: &[Found]) {
        let Reading { files: read, deaths } = &self.start.interrupted;
        if read.len() != 1 || *deaths < MAX_DEATHS {
            return;
        }
        let deadly = std::mem::take(&mut self.suspects);
        for found in files.iter().filter(|found| deadly.contains(&found.key)) {
            let known = self.state.get(&found.key).unwrap_or_default();
            let skip = Some(Skip::Damaged);
            self.state.set(&found.key, Entry { stat: found.stat, skip, gone: false, ..known }, self.position.next);
        }
    }

    /// The files that the next page reads at most.
    pub(crate) fn about_to_read(&self) -> Reading {
        let files: Vec<String> = self.work.iter().take(self.max_files()).map(|found| found.key.locator()).collect();
        let was_alone = self.start.interrupted.files.len() == 1 && files == self.start.interrupted.files;
        Reading { deaths: if was_alone { self.start.interrupted.deaths + 1 } else { 0 }, files }
    }

    /// Suspects are read one by one.
    fn max_files(&self) -> usize {
        match self.work.front() {
            Some(found) if self.suspects.contains(&found.key) => 1,
            _ => MAX_FILES,
        }
    }

    fn is_current(&self, entry: &Entry, found: &Found, image: u64) -> bool {
        !entry.gone && entry.stat == found.stat && entry.image == image && self.position.has(entry.page)
    }

    /// A folder that held music and now holds none is taken for a drive that is missing.
    fn look_for_missing_drives(&mut self, files: &[Found]) {
        let filled: HashSet<_> = files.iter().map(|found| found.key.folder).collect();
        let held = &self.state.held;
        let emptied = self.start.folders.present.iter().find(|f| held.contains(&f.id) && !filled.contains(&f.id));
        let emptied = emptied.map(|folder| folder.path.clone()).or_else(|| self.unmounted(files));
        if let (None, Some(path)) = (&self.trouble, emptied) {
            self.trouble = Some(Trouble::empty(&path));
        }
    }

    /// A drive inside a folder that is not mounted any more: its directory is there, but holds nothing.
    fn unmounted(&self, files: &[Found]) -> Option<PathBuf> {
        let below =
            |file: &FileKey, mount: &FileKey| file.folder == mount.folder && file.rel().starts_with(mount.rel());
        let held_any = |mount: &FileKey| {
            let mut any = false;
            self.state.each(|flat, entry| {
                any |= !entry.gone && FileKey::from_flat(flat).is_some_and(|file| below(&file, mount));
            });
            any
        };
        let lost = self.state.mounts.iter().find(|mount| {
            !self.start.walk.mounts.contains(mount)
                && !files.iter().any(|found| below(&found.key, mount))
                && held_any(mount)
        })?;
        let path = lost.path(&self.start.folders.get(lost.folder)?.path);
        path.is_dir().then_some(path)
    }

    /// Whether the last page was filled.
    pub(crate) fn is_finished(&self) -> bool {
        self.is_swept && self.work.is_empty() && self.waiting.is_empty() && self.removed.is_empty()
    }

    /// Fills a page.
    ///
    /// # Errors
    /// Never for valid instance ids.
    pub(crate) fn page(&mut self) -> Result<LibraryPage> {
        let mut draft = Draft {
            page: LibraryPage { listing: self.start.listing, ..LibraryPage::default() },
            tracks: Vec::new(),
            groups: Groups::default(),
            files: 0,
            max_files: self.max_files(),
            bytes: 0,
            began: Instant::now(),
        };
        draft.page.skipped.append(&mut self.left_out.skipped);
        draft.page.unchanged.append(&mut self.left_out.unchanged);
        self.read_files(&mut draft)?;
        if !draft.is_full() && !self.is_swept {
            self.sweep()?;
            self.read_files(&mut draft)?;
        }
        while !draft.is_full()
            && let Some(uri) = self.removed.pop_front()
        {
            draft.bytes += uri.as_str().len() + 5;
            draft.page.removed.push(uri);
        }
        let told = &mut self.told_artists;
        let mut items = draft.groups.into_items(&mut self.state, |artist| told.insert(artist));
        items.append(&mut draft.tracks);
        draft.page.upsert = items.into();
        let left = self.work.len() + self.waiting.len();
        let total = self.total as u64;
        draft.page.progress = Some(Progress { done: total.saturating_sub(left as u64), total: Some(total) });
        Ok(draft.page)
    }

    /// Reads files until there are none left or the page is full.
    fn read_files(&mut self, draft: &mut Draft) -> Result<()> {
        while !draft.is_full() {
            if self.waiting.is_empty() {
                let count = CHUNK.min(self.work.len()).min(draft.max_files - draft.files);
                let chunk: Vec<Found> = self.work.drain(..count).collect();
                if chunk.is_empty() {
                    break;
                }
                self.read_chunk(chunk, draft.began);
            }
            if let Some((found, result)) = self.waiting.pop_front() {
                draft.files += 1;
                match result {
                    Ok(contents) => self.tell(draft, &found, contents)?,
                    Err(skip) => self.leave_out(draft, &found, skip)?,
                }
            }
        }
        Ok(())
    }

    /// Reads files in parallel. Those for which there is no time are left for the next page.
    fn read_chunk(&mut self, chunk: Vec<Found>, began: Instant) {
        let folders = &self.start.folders;
        let read = parallel(&chunk, |found| match folders.get(found.key.folder) {
            _ if began.elapsed() >= MAX_TIME => None,
            Some(folder) => Some(read::read(found, &folder.path)),
            None => Some(Err(Skip::Vanished)),
        });
        let mut unread = Vec::new();
        for (found, result) in chunk.into_iter().zip(read) {
            // A panic is a file that cannot be read.
            match result.unwrap_or(Some(Err(Skip::Damaged))) {
                Some(result) => self.waiting.push_back((found, result)),
                None => unread.push(found),
            }
        }
        unread.into_iter().rev().for_each(|found| self.work.push_front(found));
    }

    /// Puts a file's track, album and artists on the page.
    fn tell(&mut self, draft: &mut Draft, found: &Found, contents: Contents) -> Result<()> {
        let file = &found.key;
        let tags = contents.tags;
        let known = self.state.get(file).filter(|entry| !entry.gone);
        let first_page = known.as_ref().map_or(self.position.next, |entry| entry.first_page);
        let mut added_ms = known.map(|entry| entry.added_ms).unwrap_or_else(|| match self.start.listing {
            Listing::Changes => self.start.now_ms,
            // Of files that were there before the library was, the age is all there is.
            _ => contents.modified_ms.min(self.start.now_ms),
        });
        if self.is_new(first_page)
            && let Some((old, lost)) = self.vanished.take_moved(file, contents.stat, contents.audio_hash)
        {
            added_ms = lost.added_ms;
            draft.page.moved.push((self.start.uris.track(&old)?, self.start.uris.track(file)?));
            draft.bytes += 500;
            self.bury(&old);
        }
        let image = self.start.walk.image(file);
        let track = Item::Track(items::track(&self.start.uris, file, &tags, image, added_ms)?);
        draft.bytes += wire::encode(&track)?.len() + draft.groups.add(&self.start.uris, file, &tags, image)?;
        draft.tracks.push(track);
        let entry = Entry {
            stat: contents.stat,
            audio_hash: contents.audio_hash,
            page: self.position.next,
            first_page,
            added_ms,
            image: image.map_or(0, |image| image.version),
            album: items::album_id(&tags, file),
            artists: items::artist_ids(&tags),
            disc: tags.disc_number.unwrap_or(0),
            is_track: true,
            ..Entry::default()
        };
        self.state.set(file, entry, self.position.next);
        Ok(())
    }

    /// Whether the host cannot know a file of which a page told first.
    fn is_new(&self, first_page: u64) -> bool {
        first_page
            > self.position.base.max(if self.start.listing == Listing::Everything {
                self.position.first - 1
            } else {
                0
            })
    }

    /// Names a file that cannot be read. What the host knows of it stays as it is.
    fn leave_out(&mut self, draft: &mut Draft, found: &Found, skip: Skip) -> Result<()> {
        let known = self.state.get(&found.key);
        if let Some(entry) = known.as_ref().filter(|entry| entry.is_track && !entry.gone) {
            self.name_unchanged(&mut draft.page, &found.key, entry)?;
        }
        if skip == Skip::Vanished {
            return Ok(());
        }
        if !skip.is_lasting() {
            self.unreadable.insert(found.key.clone());
        }
        draft.page.skipped.push(skipped(found, skip));
        draft.bytes += found.key.rel.len() + 100;
        if skip.is_lasting() {
            let known = known.unwrap_or_else(|| Entry { first_page: self.position.next, ..Entry::default() });
            let image = self.start.walk.image(&found.key).map_or(0, |image| image.version);
            let skip = Some(skip);
            let entry = Entry { stat: found.stat, image, page: self.position.next, skip, gone: false, ..known };
            self.state.set(&found.key, entry, self.position.next);
        }
        Ok(())
    }

    /// Names a file again that an earlier run left out, as long as it did not change.
    fn name_left_out(&mut self, found: &Found, entry: &Entry) {
        let mut page = std::mem::take(&mut self.left_out);
        if let Some(skip) = entry.skip.filter(|_| page.skipped.len() < MAX_KNOWN_SKIPS) {
            page.skipped.push(skipped(found, skip));
        }
        if entry.is_track && self.name_unchanged(&mut page, &found.key, entry).is_err() {
            tracing::error!("a URI of the instance could not be made");
        }
        self.left_out = page;
    }

    /// A run that names everything must also name what it could not read but has.
    fn name_unchanged(&self, page: &mut LibraryPage, file: &FileKey, entry: &Entry) -> Result<()> {
        if self.start.listing == Listing::Everything {
            let uris = &self.start.uris;
            page.unchanged.push(uris.track(file)?);
            page.unchanged.extend(entry.album.map(|album| uris.album(album)).transpose()?);
            for artist in &entry.artists {
                page.unchanged.push(uris.artist(*artist)?);
            }
        }
        Ok(())
    }
}

fn skipped(found: &Found, skip: Skip) -> Skipped {
    let name = text::clean(&found.key.rel().to_string_lossy(), MAX_SKIP_NAME).unwrap_or_default();
    Skipped { name, code: skip.code().to_owned(), detail: skip.detail().to_owned() }
}
