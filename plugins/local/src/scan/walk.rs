//! Finding the files.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::Metadata,
    io,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use ignore::{DirEntry, WalkBuilder, WalkState};

use super::state::Stat;
use crate::{
    artwork::{self, FolderImage},
    blocking::readers,
    folders::{Folder, Folders, Trouble, is_audio, is_playlist},
    ids::FileKey,
};

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
    let found = Mutex::new(Walk { troubles: folders.troubles.clone(), ..Walk::default() });
    for folder in &folders.present {
        walk_folder(folders, folder, look, &found);
    }
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.files.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    found.playlists.sort_unstable();
    found.mounts.sort_unstable();
    found.mounts.dedup_by(|inner, outer| inner.folder == outer.folder && inner.rel().starts_with(outer.rel()));
    found
}

fn walk_folder(folders: &Folders, folder: &Folder, look: Look, found: &Mutex<Walk>) {
    let root = folder.path.clone();
    let links = folders.clone();
    let walker = WalkBuilder::new(&folder.path)
        .standard_filters(false)
        .follow_links(folders.follow_links())
        .threads(readers())
        .filter_entry(move |entry| {
            entry.depth() == 0
                || (!is_junk(entry.file_name()) && (!entry.path_is_symlink() || links.follows(entry.path())))
        })
        .build_parallel();
    walker.run(|| {
        let root = &root;
        Box::new(move |entry| {
            match entry {
                Ok(entry) => visit(&entry, folder, root, look, found),
                Err(error) => note(&error, root, found),
            }
            WalkState::Continue
        })
    });
}

fn visit(entry: &DirEntry, folder: &Folder, root: &Path, look: Look, found: &Mutex<Walk>) {
    let path = entry.path();
    if look == Look::Audio && entry.depth() > 0 && entry.file_type().is_some_and(|t| t.is_dir()) {
        note_mount(entry, folder, root, found);
    }
    if !entry.file_type().is_some_and(|t| t.is_file()) {
        return;
    }
    let Ok(rel) = path.strip_prefix(root) else { return };
    match look {
        Look::Playlists if is_playlist(path) => lock(found).playlists.push(FileKey::new(folder.id, rel)),
        Look::Audio if is_audio(path) => {
            // A file that went away meanwhile is none.
            let Ok(metadata) = entry.metadata() else { return };
            let file = Found { key: FileKey::new(folder.id, rel), stat: stat(&metadata) };
            lock(found).files.push(file);
        }
        Look::Audio if artwork::rank(path).is_some() => {
            let Ok(metadata) = entry.metadata() else { return };
            let stat = stat(&metadata);
            let image = FolderImage::new(FileKey::new(folder.id, rel), stat.size, stat.mtime_ns);
            if let Some(image) = image {
                lock(found).offer(image);
            }
        }
        _ => {}
    }
}

fn note_mount(directory: &DirEntry, folder: &Folder, root: &Path, found: &Mutex<Walk>) {
    let is_mount = directory.metadata().is_ok_and(|metadata| metadata.dev() != folder.identity.0);
    if let (true, Ok(rel)) = (is_mount, directory.path().strip_prefix(root)) {
        lock(found).mounts.push(FileKey::new(folder.id, rel));
    }
}

impl Walk {
    /// Keeps the better picture of a directory, whatever order they come in.
    fn offer(&mut self, image: FolderImage) {
        let order = |i: &FolderImage| (i.rank, i.key.clone());
        let directory = image.key.directory();
        match self.images.get(&directory) {
            Some(known) if order(known) <= order(&image) => {}
            _ => drop(self.images.insert(directory, image)),
        }
    }
}

/// A folder that cannot be listed makes the run partial; what went away meanwhile does not, nor do links in circles.
fn note(error: &ignore::Error, root: &Path, found: &Mutex<Walk>) {
    let Some(io_error) = error.io_error() else { return };
    if io_error.kind() == io::ErrorKind::NotFound {
        return;
    }
    let path = error_path(error).unwrap_or(root);
    lock(found).troubles.push(Trouble::unreadable(path, io_error));
}

fn error_path(error: &ignore::Error) -> Option<&Path> {
    match error {
        ignore::Error::WithPath { path, .. } => Some(path),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => error_path(err),
        _ => None,
    }
}

/// What a file looks like now.
pub(crate) fn stat(metadata: &Metadata) -> Stat {
    let mtime_ns = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
    Stat { size: metadata.len(), mtime_ns, inode: metadata.ino() }
}

/// Names that systems and devices leave behind, never music. Other names with a dot in front are read: there are bands
/// such as .38 Special.
fn is_junk(name: &OsStr) -> bool {
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

fn lock(found: &Mutex<Walk>) -> MutexGuard<'_, Walk> {
    found.lock().unwrap_or_else(PoisonError::into_inner)
}
