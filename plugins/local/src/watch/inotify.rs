//! What Linux tells of changes in directories.
//!
//! Only that something changed is of interest: the run that follows finds out what. So nothing is kept of a directory
//! but the kernel's watch, and when directories come or go, all are watched anew. Files that are opened are no news; the
//! runs themselves open many.

use std::{
    fs, io,
    os::fd::{AsFd as _, BorrowedFd},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    sys::inotify::{AddWatchFlags, InitFlags, Inotify},
};

use crate::scan::walk::{MAX_DEPTH, is_junk};

/// Watched directories.
pub(super) struct Tree(Inotify);

fn interest() -> AddWatchFlags {
    AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_MOVE
        | AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_ATTRIB
        | AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_MOVE_SELF
        | AddWatchFlags::IN_ONLYDIR
}

/// What the same system call means elsewhere, as far as it is about directories.
const DIRECTORIES: AddWatchFlags = AddWatchFlags::IN_ISDIR
    .union(AddWatchFlags::IN_DELETE_SELF)
    .union(AddWatchFlags::IN_MOVE_SELF)
    .union(AddWatchFlags::IN_UNMOUNT)
    .union(AddWatchFlags::IN_Q_OVERFLOW);

impl Tree {
    /// Watches folders with all that is in them; answers those where that fails.
    pub(super) fn watch(folders: &[PathBuf]) -> (Option<Self>, Vec<(PathBuf, io::Error)>) {
        let inotify = match Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK) {
            Ok(inotify) => inotify,
            Err(error) => return (None, folders.iter().map(|folder| (folder.clone(), error.into())).collect()),
        };
        let tree = Self(inotify);
        let failed = folders.iter().filter_map(|folder| Some((folder.clone(), tree.add_all(folder).err()?)));
        let failed = failed.collect();
        (Some(tree), failed)
    }

    fn add_all(&self, folder: &Path) -> io::Result<()> {
        self.add(folder, AddWatchFlags::empty())?;
        let mut directories = vec![(folder.to_owned(), 0)];
        while let Some((directory, depth)) = directories.pop() {
            // What cannot be listed is not read either: then the run is partial, and says so.
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                if depth == MAX_DEPTH || is_junk(&entry.file_name()) || !entry.file_type().is_ok_and(|t| t.is_dir()) {
                    continue;
                }
                let path = entry.path();
                match self.add(&path, AddWatchFlags::IN_DONT_FOLLOW) {
                    Ok(()) => directories.push((path, depth + 1)),
                    Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES | Errno::ENAMETOOLONG) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    fn add(&self, directory: &Path, flags: AddWatchFlags) -> nix::Result<()> {
        self.0.add_watch(directory, interest() | flags).map(drop)
    }

    /// Readable when something happened.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// What happened: none for nothing, else whether directories came or went.
    pub(super) fn take(&self) -> Option<bool> {
        let mut news = None;
        while let Ok(events) = self.0.read_events() {
            for event in events.iter().filter(|event| event.mask != AddWatchFlags::IN_IGNORED) {
                // A directory that is looked at differently needs no new watch.
                let is_made = event.mask.intersects(DIRECTORIES) && !event.mask.contains(AddWatchFlags::IN_ATTRIB);
                *news.get_or_insert(false) |= is_made;
            }
        }
        news
    }
}
