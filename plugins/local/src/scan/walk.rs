//! Finding the files.
//!
//! Directories are opened relative to the one that holds them, and files looked at relative to theirs: however deep
//! they lie, the system follows one name at a time, and what is renamed above them meanwhile does no harm.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::Metadata,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    panic::resume_unwind,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use super::state::Stat;
use crate::{
    artwork::FolderImage,
    blocking::readers,
    folders::{Folder, Folders, Trouble},
    ids::FileKey,
};

mod directory;

pub(crate) use directory::MAX_DEPTH;
use directory::{Directory, Lister};

/// An audio file.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// Which.
    pub key: FileKey,
    /// As it is now.
    pub stat: Stat,
}

/// Everything that was found.
#[derive(Default)]
pub(crate) struct Walk {
    /// Audio files, by folder and path.
    pub files: Vec<Found>,
    /// The best picture of each directory.
    pub images: HashMap<FileKey, FolderImage>,
    /// Playlists, by folder and path.
    pub playlists: Vec<FileKey>,
    /// Directories on another device than their folder, in order; not those inside each other.
    pub mounts: Vec<FileKey>,
    /// Why not everything could be seen.
    pub troubles: Vec<Trouble>,
}

impl Walk {
    /// The picture that stands for a file: of its directory, or of the one above `CD1`.
    pub(crate) fn image(&self, file: &FileKey) -> Option<&FolderImage> {
        if self.images.is_empty() {
            return None;
        }
        self.images.get(&file.directory()).or_else(|| self.images.get(&file.album_directory()))
    }

    /// Adds what another thread found.
    fn extend(&mut self, other: Self) {
        self.files.extend(other.files);
        self.images.extend(other.images);
        self.playlists.extend(other.playlists);
        self.mounts.extend(other.mounts);
        self.troubles.extend(other.troubles);
    }

    /// Keeps the better picture of a directory, whatever order they come in.
    fn offer(&mut self, image: FolderImage) {
        let order = |i: &FolderImage| (i.rank, i.key.clone());
        let directory = image.key.directory();
        match self.images.get(&directory) {
            Some(known) if order(known) <= order(&image) => {}
            _ => drop(self.images.insert(directory, image)),
        }
    }

    fn sort(&mut self) {
        self.files.sort_by(|a, b| a.key.cmp(&b.key));
        self.playlists.sort_unstable();
        self.mounts.sort_unstable();
        self.mounts.dedup_by(|inner, outer| inner.folder == outer.folder && inner.rel().starts_with(outer.rel()));
        self.troubles.sort_by(|a, b| a.path.cmp(&b.path));
    }
}

/// What to look for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Audio files and pictures.
    Audio,
    /// Playlists only; nothing else costs more than its name.
    Playlists,
}

/// Lists the folders on several threads.
pub(crate) fn walk(folders: &Folders, look: Look) -> Walk {
    let mut found = Walk::default();
    for folder in &folders.present {
        found.extend(walk_folder(folders, folder, look));
    }
    found.sort();
    // What is missing altogether says more than a directory that is.
    found.troubles.splice(0..0, folders.troubles.iter().cloned());
    found
}

fn walk_folder(folders: &Folders, folder: &Folder, look: Look) -> Walk {
    let queue = Queue::new(Directory::root(folder));
    let lister = Lister::new(folders, folder, look);
    let run = || {
        let mut found = Walk::default();
        while let Some(directory) = queue.take() {
            let mut busy = Busy { queue: &queue, inside: Vec::new() };
            busy.inside = lister.list(&directory, &mut found);
        }
        found
    };
    thread::scope(|scope| {
        // A thread that cannot be started is one less; this one always works.
        let others: Vec<_> =
            (1..readers()).filter_map(|_| thread::Builder::new().spawn_scoped(scope, run).ok()).collect();
        let mut found = run();
        for other in others {
            // Without what that thread saw, files would look deleted.
            found.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        found
    })
}

/// Directories to list. The last one comes first: what is open at once are the directories above a few.
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

struct Waiting {
    directories: Vec<Directory>,
    /// How many are being listed.
    busy: usize,
}

impl Queue {
    fn new(root: Directory) -> Self {
        Self { waiting: Mutex::new(Waiting { directories: vec![root], busy: 0 }), changed: Condvar::new() }
    }

    /// The next directory, once there is one; none when all are listed.
    fn take(&self) -> Option<Directory> {
        let mut waiting = self.lock();
        loop {
            if let Some(directory) = waiting.directories.pop() {
                waiting.busy += 1;
                return Some(directory);
            }
            if waiting.busy == 0 {
                return None;
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self, inside: Vec<Directory>) {
        let mut waiting = self.lock();
        waiting.busy -= 1;
        let is_end = waiting.busy == 0 && waiting.directories.is_empty();
        if !inside.is_empty() || is_end {
            self.changed.notify_all();
        }
        waiting.directories.extend(inside);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A directory that is being listed, and what is inside. Its end is told even by a panic, so that nobody waits for it.
struct Busy<'a> {
    queue: &'a Queue,
    inside: Vec<Directory>,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.queue.done(std::mem::take(&mut self.inside));
    }
}

/// What a file looks like now.
pub(crate) fn stat(metadata: &Metadata) -> Stat {
    Stat::new(metadata.len(), (metadata.mtime(), metadata.mtime_nsec()), metadata.ino())
}

/// Names that systems and devices leave behind, never music. Other names with a dot in front are read: there are bands
/// such as .38 Special.
pub(crate) fn is_junk(name: &OsStr) -> bool {
    const NAMES: &[&str] = &[
        "@eaDir",
        "#recycle",
        "#snapshot",
        "$RECYCLE.BIN",
        "System Volume Information",
        "lost+found",
        ".AppleDouble",
        ".Spotlight-V100",
        ".fseventsd",
        ".git",
        ".snapshot",
        ".snapshots",
        ".stversions",
        ".zfs",
    ];
    name.as_bytes().starts_with(b"._")
        || name.as_bytes().starts_with(b".Trash")
        || NAMES.iter().any(|junk| name == *junk)
}
