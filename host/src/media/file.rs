//! Opens files that plugins name: only regular ones, only beneath folders that the plugin was granted.

use std::{
    fs::File,
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::errno::Errno;
#[cfg(target_os = "linux")]
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};

use super::conditional::Validators;

/// Why a file can't be served.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("it is not there")]
    Missing,
    #[error("it is outside the granted folders")]
    Outside,
    #[error("it is no regular file")]
    NotAFile,
    #[error("{0}")]
    Io(io::Error),
}

/// An open file.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) size: u64,
    modified_s: i64,
    modified_ns: i64,
    inode: u64,
}

impl Opened {
    pub(super) fn validators(&self) -> Validators {
        let Self { size, modified_s, modified_ns, inode, .. } = self;
        Validators {
            etag: Some(format!("\"{inode:x}-{size:x}-{modified_s:x}.{modified_ns:x}\"")),
            modified: Some(*modified_s),
        }
    }
}

/// Opens a file beneath one of the roots.
pub(super) async fn open(roots: Vec<PathBuf>, path: PathBuf) -> Result<Opened, OpenError> {
    let opened = tokio::task::spawn_blocking(move || open_beneath(&roots, &path)).await;
    opened.unwrap_or_else(|e| Err(OpenError::Io(io::Error::other(e))))
}

/// The extension, if it is a plain one.
pub(super) fn extension(path: &Path) -> Option<String> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    let plain = (1..=5).contains(&extension.len()) && extension.bytes().all(|b| b.is_ascii_alphanumeric());
    plain.then_some(extension)
}

fn open_beneath(roots: &[PathBuf], path: &Path) -> Result<Opened, OpenError> {
    // The deepest root that holds it, so that of two nested ones the nearer counts.
    let root = roots.iter().filter(|root| path.starts_with(root)).max_by_key(|root| root.components().count());
    let Some(root) = root else { return Err(OpenError::Outside) };
    let relative = path.strip_prefix(root).map_err(|_| OpenError::Outside)?;
    let folder = open_root(root)?;
    let file = match resolve_beneath(&folder, relative) {
        Err(Errno::ENOSYS) => resolve_by_name(root, path)?,
        opened => opened.map_err(from_errno)?,
    };
    let meta = file.metadata().map_err(OpenError::Io)?;
    if !meta.is_file() {
        return Err(OpenError::NotAFile);
    }
    Ok(Opened { size: meta.len(), modified_s: meta.mtime(), modified_ns: meta.mtime_nsec(), inode: meta.ino(), file })
}

/// The root as it was granted, by a path without links: one that was put there since is not followed.
#[cfg(target_os = "linux")]
fn open_root(root: &Path) -> Result<File, OpenError> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    match openat2(AT_FDCWD, root, how) {
        Err(Errno::ENOSYS) => File::open(root).map_err(from_io),
        opened => opened.map(File::from).map_err(from_errno),
    }
}

#[cfg(not(target_os = "linux"))]
fn open_root(root: &Path) -> Result<File, OpenError> {
    File::open(root).map_err(from_io)
}

#[cfg(not(target_os = "linux"))]
fn resolve_beneath(_: &File, _: &Path) -> Result<File, Errno> {
    Err(Errno::ENOSYS)
}

/// The kernel itself refuses to leave the folder, by `..` or by a link. Never waits for a pipe's other end.
#[cfg(target_os = "linux")]
fn resolve_beneath(folder: &File, relative: &Path) -> Result<File, Errno> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    openat2(folder, relative, how).map(File::from)
}

/// For Linux before 5.6 and other systems.
fn resolve_by_name(root: &Path, path: &Path) -> Result<File, OpenError> {
    let real = path.canonicalize().map_err(from_io)?;
    let root = root.canonicalize().map_err(from_io)?;
    if !real.starts_with(root) {
        return Err(OpenError::Outside);
    }
    if !real.metadata().map_err(from_io)?.is_file() {
        return Err(OpenError::NotAFile);
    }
    File::open(real).map_err(from_io)
}

fn from_errno(errno: Errno) -> OpenError {
    match errno {
        // What leaves the folder.
        Errno::EXDEV | Errno::ELOOP => OpenError::Outside,
        Errno::ENXIO => OpenError::NotAFile,
        errno => from_io(errno.into()),
    }
}

fn from_io(error: io::Error) -> OpenError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => OpenError::Missing,
        _ => OpenError::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn only_regular_files_beneath_a_root() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        let (music, secret) = (base.join("music"), base.join("secret.txt"));
        std::fs::create_dir(&music).unwrap();
        std::fs::write(music.join("a.flac"), "audio").unwrap();
        std::fs::write(&secret, "secret").unwrap();
        symlink(&secret, music.join("out.flac")).unwrap();
        symlink("a.flac", music.join("in.flac")).unwrap();
        nix::unistd::mkfifo(&music.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let roots = [music.clone()];
        let open = |path: PathBuf| open_beneath(&roots, &path);

        let mut text = String::new();
        open(music.join("a.flac")).unwrap().file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "audio");
        assert!(open(music.join("in.flac")).is_ok(), "a link that stays inside is fine");
        assert!(matches!(open(music.join("out.flac")), Err(OpenError::Outside)));
        assert!(matches!(open(music.join("../secret.txt")), Err(OpenError::Outside)));
        assert!(matches!(open(secret), Err(OpenError::Outside)));
        assert!(matches!(open(music.join("none.flac")), Err(OpenError::Missing)));
        assert!(matches!(open(music.join("pipe")), Err(OpenError::NotAFile)));
        assert!(matches!(open(music.clone()), Err(OpenError::NotAFile | OpenError::Missing)));
        assert!(matches!(open_beneath(&[], &music.join("a.flac")), Err(OpenError::Outside)));
    }

    #[test]
    fn a_root_that_became_a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        let (music, secrets) = (base.join("music"), base.join("secrets"));
        std::fs::create_dir(&secrets).unwrap();
        std::fs::write(secrets.join("a.flac"), "secret").unwrap();
        symlink(&secrets, &music).unwrap();
        assert!(matches!(open_beneath(std::slice::from_ref(&music), &music.join("a.flac")), Err(OpenError::Outside)));
    }

    #[test]
    fn the_old_way_refuses_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        let music = base.join("music");
        std::fs::create_dir(&music).unwrap();
        std::fs::write(music.join("a.flac"), "audio").unwrap();
        std::fs::write(base.join("secret"), "secret").unwrap();
        symlink(base.join("secret"), music.join("out")).unwrap();
        assert!(resolve_by_name(&music, &music.join("a.flac")).is_ok());
        assert!(matches!(resolve_by_name(&music, &music.join("out")), Err(OpenError::Outside)));
        assert!(matches!(resolve_by_name(&music, &music.join("../secret")), Err(OpenError::Outside)));
        assert!(matches!(resolve_by_name(&music, &music), Err(OpenError::NotAFile)));
    }
}
