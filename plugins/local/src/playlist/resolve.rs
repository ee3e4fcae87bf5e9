//! Finding the files that a playlist names.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Component, Path, PathBuf},
};

use percent_encoding::percent_decode_str;

use super::Line;
use crate::{
    folders::{Folders, is_audio},
    ids::FileKey,
    text::fold,
};

/// The most names of a directory that are compared without regard to case.
const MAX_NAMES: usize = 20_000;

/// Finds files for the entries of one playlist.
pub(crate) struct Resolver<'a> {
    folders: &'a Folders,
    directory: PathBuf,
    /// The names in a directory, by how they are compared.
    listings: HashMap<PathBuf, HashMap<String, OsString>>,
}

impl<'a> Resolver<'a> {
    /// A resolver for the playlist at a path.
    pub(crate) fn new(folders: &'a Folders, playlist: &Path) -> Self {
        let directory = playlist.parent().unwrap_or(Path::new("/")).to_owned();
        Self { folders, directory, listings: HashMap::new() }
    }

    /// The audio file that an entry names, if it is inside the folders: first as it is spelled, then by names that
    /// differ only in case or in how letters are composed.
    pub(crate) fn find(&mut self, line: &Line) -> Option<FileKey> {
        let paths: Vec<PathBuf> =
            spellings(line).iter().filter_map(|path| normal(&self.directory.join(path))).collect();
        let exact = paths.iter().find_map(|path| self.check(path));
        exact.or_else(|| paths.iter().find_map(|path| self.find_folded(path)))
    }

    fn check(&self, path: &Path) -> Option<FileKey> {
        let key = self.folders.key(path).filter(|key| is_audio(key.rel()))?;
        self.folders.file(&key).ok().map(|_| key)
    }

    fn find_folded(&mut self, path: &Path) -> Option<FileKey> {
        let root = self.folders.present.iter().find(|folder| path.starts_with(&folder.path))?.path.clone();
        let mut found = root.clone();
        for name in path.strip_prefix(&root).ok()?.iter() {
            let exact = found.join(name);
            found = if exact.exists() {
                exact
            } else {
                let real = self.listing(&found).get(&fold(&name.to_string_lossy()))?.clone();
                found.join(real)
            };
        }
        self.check(&found)
    }

    fn listing(&mut self, directory: &Path) -> &HashMap<String, OsString> {
        self.listings.entry(directory.to_owned()).or_insert_with(|| {
            let entries = fs::read_dir(directory).into_iter().flatten().flatten().take(MAX_NAMES);
            let mut names: Vec<OsString> = entries.map(|entry| entry.file_name()).collect();
            // Of names that compare equal, always the same one is taken.
            names.sort_unstable_by(|a, b| b.cmp(a));
            names.into_iter().map(|name| (fold(&name.to_string_lossy()), name)).collect()
        })
    }
}

/// The paths that an entry may mean, the likeliest first.
fn spellings(line: &Line) -> Vec<PathBuf> {
    let target = line.target.as_str();
    let address = target.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("file://"));
    if address {
        let rest = &target[7..];
        let rest = rest.strip_prefix("localhost").filter(|rest| rest.starts_with('/')).unwrap_or(rest);
        return if rest.starts_with('/') { vec![decoded(rest)] } else { Vec::new() };
    }
    if target.contains("://") {
        return Vec::new();
    }
    let mut paths = vec![PathBuf::from(target)];
    paths.extend(line.raw.as_deref().map(|raw| PathBuf::from(OsStr::from_bytes(raw))));
    if target.contains('\\') {
        paths.push(PathBuf::from(target.replace('\\', "/")));
    }
    if target.contains('%') {
        paths.push(decoded(target));
    }
    paths
}

fn decoded(text: &str) -> PathBuf {
    PathBuf::from(OsString::from_vec(percent_decode_str(text).collect()))
}

/// The path without `.` and `..`; none where it leads above the root, or holds a NUL.
fn normal(path: &Path) -> Option<PathBuf> {
    if path.as_os_str().as_bytes().contains(&0) {
        return None;
    }
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => normal.pop().then_some(())?,
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    Some(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(target: &str) -> Line {
        Line { target: target.into(), raw: None, title: None }
    }

    #[test]
    fn spells_paths_in_all_ways() {
        let of = |target: &str| spellings(&line(target));
        assert_eq!(of("file:///m/a%20b.mp3"), [Path::new("/m/a b.mp3")]);
        assert_eq!(of("FILE://localhost/m/a.mp3"), [Path::new("/m/a.mp3")]);
        assert_eq!(of("file://elsewhere/m/a.mp3"), Vec::<PathBuf>::new());
        assert_eq!(of("https://example.org/a.mp3"), Vec::<PathBuf>::new());
        assert!(of(r"..\x\y.mp3").contains(&PathBuf::from("../x/y.mp3")));
        assert_eq!(of("100%.mp3")[0], Path::new("100%.mp3"));
    }

    #[test]
    fn leads_nowhere_above_the_root() {
        assert_eq!(normal(Path::new("/a/./b/../c")), Some("/a/c".into()));
        assert_eq!(normal(Path::new("/a/../../..")), None);
        assert_eq!(normal(Path::new("/a\0b")), None);
    }
}
