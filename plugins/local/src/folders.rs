//! The configured folders, as they are now.

use std::{
    ffi::OsStr,
    fs::{self, File, Metadata},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use nix::fcntl::OFlag;
use zotify_plugin_api::{ProviderError, Result};

use crate::{
    ids::{FileKey, FolderId},
    settings::Settings,
};

/// Why not everything could be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// `folder_missing`, `folder_empty`, `folder_unreadable`, `folder_too_deep` or `too_many_links`.
    pub code: &'static str,
    /// One sentence for people. Every user may read it, so it tells no path of the server.
    pub detail: String,
    /// The folder.
    pub path: PathBuf,
}

impl Trouble {
    /// A folder that is not there.
    pub(crate) fn missing(path: &Path) -> Self {
        Self::new("folder_missing", path, "does not exist")
    }

    /// A folder that held music, and now holds none.
    pub(crate) fn empty(path: &Path) -> Self {
        Self::new("folder_empty", path, "is empty, though it held music; is a drive missing?")
    }

    /// A folder that cannot be listed.
    pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Self {
        Self::new("folder_unreadable", path, &format!("cannot be read: {error}"))
    }

    /// A folder whose subfolders lie deeper than `levels`.
    pub(crate) fn too_deep(path: &Path, levels: usize) -> Self {
        Self::new(
            "folder_too_deep",
            path,
            &format!("has subfolders more than {levels} levels deep, which are not read"),
        )
    }

    /// A folder with more links to folders than are followed.
    pub(crate) fn too_many_links(path: &Path) -> Self {
        Self::new("too_many_links", path, "has more links to folders than are followed; do they lead in circles?")
    }

    fn new(code: &'static str, path: &Path, what: &str) -> Self {
        let name = path.file_name().unwrap_or(path.as_os_str()).display();
        Self { code, detail: format!("the folder {name} {what}"), path: path.to_owned() }
    }

    /// The same with the whole path, for admins.
    pub(crate) fn for_admins(&self) -> String {
        format!("{}: {}", self.path.display(), self.detail)
    }
}

/// A configured folder that exists.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    /// Its id.
    pub id: FolderId,
    /// Its canonical path.
    pub path: PathBuf,
    /// Device and inode: another pair means another file system or folder in its place.
    pub identity: (u64, u64),
}

/// The configured folders.
#[derive(Clone, Debug, Default)]
pub(crate) struct Folders {
    /// Those that exist; none inside another.
    pub present: Vec<Folder>,
    /// What is wrong with the others.
    pub troubles: Vec<Trouble>,
    follow_links: bool,
}

impl Folders {
    /// Looks at the folders.
    pub(crate) fn look(settings: &Settings) -> Self {
        let mut folders = Self { follow_links: settings.follow_links, ..Self::default() };
        for path in &settings.folders {
            match canonical(path) {
                Ok(folder) => folders.present.push(folder),
                Err(e) if e.kind() == io::ErrorKind::NotFound => folders.troubles.push(Trouble::missing(path)),
                Err(e) => folders.troubles.push(Trouble::unreadable(path, &e)),
            }
        }
        // What is inside another folder is read with that one.
        folders.present.sort_by(|a, b| a.path.cmp(&b.path));
        folders.present.dedup_by(|inner, outer| inner.path.starts_with(&outer.path));
        folders
    }

    /// The folder with an id.
    pub(crate) fn get(&self, id: FolderId) -> Option<&Folder> {
        self.present.iter().find(|folder| folder.id == id)
    }

    /// The key of a canonical path; none outside the folders.
    pub(crate) fn key(&self, path: &Path) -> Option<FileKey> {
        self.present.iter().find_map(|folder| Some(FileKey::new(folder.id, path.strip_prefix(&folder.path).ok()?)))
    }

    /// Whether a path leads, links followed, to something inside the folders; or, without `follow_links`, by no link.
    fn admits(&self, path: &Path, canonical: &Path) -> bool {
        if self.follow_links { self.key(canonical).is_some() } else { path == canonical }
    }

    /// The canonical path of an existing file.
    ///
    /// # Errors
    /// `not_found` for files that do not exist, or that links lead out of the folders; `unavailable` for missing
    /// folders.
    pub(crate) fn file(&self, key: &FileKey) -> Result<PathBuf> {
        let Some(folder) = self.get(key.folder) else {
            return match self.troubles.first() {
                Some(trouble) => Err(ProviderError::unavailable(trouble.detail.clone()).with_code(trouble.code)),
                None => Err(ProviderError::not_found("the file's folder")),
            };
        };
        let path = key.path(&folder.path);
        match path.canonicalize() {
            Ok(canonical) if self.admits(&path, &canonical) && canonical.is_file() => Ok(canonical),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                Err(ProviderError::unavailable("the file cannot be read").with_code("unreadable"))
            }
            _ => Err(ProviderError::not_found("the file")),
        }
    }

    /// Whether a symbolic link is followed.
    pub(crate) fn follows(&self, link: &Path) -> bool {
        self.follow_links && link.canonicalize().is_ok_and(|target| self.key(&target).is_some())
    }
}

/// Opens a file to read. What took the place of a file meanwhile does not hold it up: opening a pipe waits for somebody
/// to write into it.
pub(crate) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags.bits()).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is no regular file"));
    }
    Ok((file, metadata))
}

fn canonical(path: &Path) -> io::Result<Folder> {
    let path = path.canonicalize()?;
    // Opening it finds out whether it may be listed.
    fs::read_dir(&path)?;
    let metadata = fs::metadata(&path)?;
    Ok(Folder { id: FolderId::of(&path), identity: (metadata.dev(), metadata.ino()), path })
}

/// A file's extension in lower case.
pub(crate) fn extension(path: &Path) -> String {
    path.extension().and_then(OsStr::to_str).unwrap_or_default().to_ascii_lowercase()
}

/// Whether a file has the extension of a format that can be read.
pub(crate) fn is_audio(path: &Path) -> bool {
    const EXTENSIONS: &[&str] = &[
        "mp3", "flac", "ogg", "oga", "opus", "m4a", "m4b", "mp4", "aac", "wav", "aiff", "aif", "ape", "wv", "mpc",
        "spx",
    ];
    let Some(own) = path.extension().and_then(OsStr::to_str) else { return false };
    EXTENSIONS.iter().any(|e| own.eq_ignore_ascii_case(e))
}

/// Whether a file has the extension of a playlist.
pub(crate) fn is_playlist(path: &Path) -> bool {
    matches!(extension(path).as_str(), "m3u" | "m3u8")
}
