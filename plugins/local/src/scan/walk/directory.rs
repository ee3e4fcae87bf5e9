//! Listing one directory.

use std::{
    ffi::{CStr, CString, OsStr},
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use nix::{
    dir::{Dir, Type},
    errno::Errno,
    fcntl::{AtFlags, OFlag},
    sys::stat::{FileStat, Mode, SFlag, fstat, fstatat},
};

use super::{Found, Look, Walk, is_junk};
use crate::{
    artwork::{self, FolderImage},
    folders::{Folder, Folders, Trouble, is_audio, is_playlist},
    ids::FileKey,
    scan::state::Stat,
};

/// How deep directories are followed. The directories above the ones that are listed are open, and a process may have
/// 1024 files open.
pub(crate) const MAX_DEPTH: usize = 64;
/// How many links to directories a walk follows: those that lead to each other multiply.
const MAX_LINKS: usize = 10_000;

/// A directory that is to be listed.
pub(super) struct Directory {
    /// The one that holds it; none for the folder itself.
    above: Option<Arc<Above>>,
    /// Its name there, or else its path.
    name: CString,
    /// Its path inside the folder.
    rel: PathBuf,
    depth: usize,
    /// Whether its name is a link.
    is_link: bool,
}

/// A directory that holds others.
struct Above {
    open: OwnedFd,
    /// Device and inode.
    identity: (u64, u64),
    above: Option<Arc<Self>>,
}

impl Above {
    fn is_within(&self, identity: (u64, u64)) -> bool {
        self.identity == identity || self.above.as_ref().is_some_and(|above| above.is_within(identity))
    }
}

impl Directory {
    /// A folder itself.
    pub(super) fn root(folder: &Folder) -> Self {
        // No path that exists has a zero in it.
        let name = CString::new(folder.path.as_os_str().as_bytes()).unwrap_or_default();
        Self { above: None, name, rel: PathBuf::new(), depth: 0, is_link: false }
    }

    fn open(&self) -> nix::Result<Dir> {
        let mut flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        flags.set(OFlag::O_NOFOLLOW, !self.is_link);
        match &self.above {
            Some(above) => Dir::openat(&above.open, self.name.as_c_str(), flags, Mode::empty()),
            None => Dir::open(self.name.as_c_str(), flags, Mode::empty()),
        }
    }
}

/// Lists directories of one folder.
pub(super) struct Lister<'a> {
    folders: &'a Folders,
    folder: &'a Folder,
    look: Look,
    links: AtomicUsize,
}

/// What an entry of a directory is.
enum What {
    File(Option<FileStat>),
    Directory { is_link: bool },
    Nothing,
}

impl<'a> Lister<'a> {
    /// For the directories of a folder.
    pub(super) fn new(folders: &'a Folders, folder: &'a Folder, look: Look) -> Self {
        Self { folders, folder, look, links: AtomicUsize::new(0) }
    }

    /// Adds the files of a directory to what was found; answers the directories in it.
    pub(super) fn list(&self, directory: &Directory, found: &mut Walk) -> Vec<Directory> {
        let listed = directory.open().and_then(|dir| self.list_open(directory, dir, found));
        listed.unwrap_or_else(|error| {
            self.note(&directory.rel, error, found);
            Vec::new()
        })
    }

    fn list_open(&self, directory: &Directory, mut dir: Dir, found: &mut Walk) -> nix::Result<Vec<Directory>> {
        let stat = fstat(&dir)?;
        let identity = (stat.st_dev, stat.st_ino);
        if directory.is_link && directory.above.as_ref().is_some_and(|above| above.is_within(identity)) {
            return Ok(Vec::new());
        }
        if self.look == Look::Audio && directory.depth > 0 && identity.0 != self.folder.identity.0 {
            found.mounts.push(FileKey::new(self.folder.id, &directory.rel));
        }
        let files = dir.as_fd().try_clone_to_owned().map_err(|e| errno(&e))?;
        let mut inside = Vec::new();
        for entry in dir.iter() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") || is_junk(OsStr::from_bytes(name.to_bytes())) {
                continue;
            }
            let rel = || directory.rel.join(OsStr::from_bytes(name.to_bytes()));
            match self.what(&files, name, entry.file_type(), rel) {
                What::Directory { is_link } => inside.push((name.to_owned(), is_link)),
                What::File(stat) => self.visit(&files, name, stat, rel, found),
                What::Nothing => {}
            }
        }
        Ok(self.inside(directory, Above { open: files, identity, above: directory.above.clone() }, inside, found))
    }

    /// The directories inside of one, unless they lie too deep.
    fn inside(
        &self,
        directory: &Directory,
        above: Above,
        names: Vec<(CString, bool)>,
        found: &mut Walk,
    ) -> Vec<Directory> {
        if names.is_empty() {
            return Vec::new();
        }
        let depth = directory.depth + 1;
        if depth > MAX_DEPTH {
            found.troubles.push(Trouble::too_deep(&self.folder.path.join(&directory.rel), MAX_DEPTH));
            return Vec::new();
        }
        let links = names.iter().filter(|(_, is_link)| *is_link).count();
        let with_links = links == 0 || self.links.fetch_add(links, Ordering::Relaxed) + links <= MAX_LINKS;
        if !with_links {
            found.troubles.push(Trouble::too_many_links(&self.folder.path));
        }
        let above = Arc::new(above);
        let names = names.into_iter().filter(|(_, is_link)| with_links || !is_link);
        names
            .map(|(name, is_link)| Directory {
                rel: directory.rel.join(OsStr::from_bytes(name.to_bytes())),
                above: Some(Arc::clone(&above)),
                name,
                depth,
                is_link,
            })
            .collect()
    }

    fn what(&self, files: &OwnedFd, name: &CStr, kind: Option<Type>, rel: impl Fn() -> PathBuf) -> What {
        let is_link = match kind {
            Some(Type::File) => return What::File(None),
            Some(Type::Directory) => return What::Directory { is_link: false },
            Some(Type::Symlink) => true,
            Some(_) => return What::Nothing,
            // Some file systems do not say.
            None => match fstatat(files, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(stat) if kind_of(&stat) == SFlag::S_IFLNK => true,
                Ok(stat) => return what(stat, false),
                Err(_) => return What::Nothing,
            },
        };
        if !is_link || !self.folders.follows(&self.folder.path.join(rel())) {
            return What::Nothing;
        }
        fstatat(files, name, AtFlags::empty()).map_or(What::Nothing, |stat| what(stat, true))
    }

    fn visit(&self, files: &OwnedFd, name: &CStr, stat: Option<FileStat>, rel: impl Fn() -> PathBuf, found: &mut Walk) {
        let path = Path::new(OsStr::from_bytes(name.to_bytes()));
        let key = || FileKey::new(self.folder.id, &rel());
        if self.look == Look::Playlists {
            if is_playlist(path) {
                found.playlists.push(key());
            }
            return;
        }
        let is_audio = is_audio(path);
        if !is_audio && artwork::rank(path).is_none() {
            return;
        }
        // A file that went away meanwhile is none; nor is what took its place, unless it is a file.
        let stat = stat.or_else(|| fstatat(files, name, AtFlags::AT_SYMLINK_NOFOLLOW).ok());
        let Some(stat) = stat.filter(|stat| kind_of(stat) == SFlag::S_IFREG) else { return };
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        let stat = Stat::new(size, (stat.st_mtime, stat.st_mtime_nsec), stat.st_ino);
        if is_audio {
            found.files.push(Found { key: key(), stat });
        } else if let Some(image) = FolderImage::new(key(), stat.size, stat.mtime_ns) {
            found.offer(image);
        }
    }

    /// A directory that cannot be listed makes the run partial; what went away meanwhile does not.
    fn note(&self, rel: &Path, error: Errno, found: &mut Walk) {
        if !matches!(error, Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) || rel.as_os_str().is_empty() {
            found.troubles.push(Trouble::unreadable(&self.folder.path.join(rel), &error.into()));
        }
    }
}

fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

fn kind_of(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

fn what(stat: FileStat, is_link: bool) -> What {
    match kind_of(&stat) {
        SFlag::S_IFREG => What::File(Some(stat)),
        SFlag::S_IFDIR => What::Directory { is_link },
        _ => What::Nothing,
    }
}
