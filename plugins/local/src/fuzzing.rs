//! What fuzz targets reach of this crate.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use zotify_plugin_api::{Result, Track};

use crate::{
    Settings,
    folders::Folders,
    ids::{FileKey, FolderId},
    items::{self, Uris},
    playlist::{self, Line, Resolver},
    tags,
};

/// An entry of a playlist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// A path or address.
    pub target: String,
    /// The same as it stands in the file.
    pub raw: Option<Vec<u8>>,
    /// What it is called.
    pub title: Option<String>,
    /// What tells it from the others.
    pub id: String,
}

/// The name and the entries of a playlist.
pub fn m3u(bytes: &[u8]) -> Result<(Option<String>, Vec<Entry>)> {
    let m3u = playlist::parse(bytes)?;
    let ids = playlist::entry_ids(&m3u.entries);
    let entry = |(Line { target, raw, title }, id)| Entry { target, raw, title, id };
    Ok((m3u.name, m3u.entries.into_iter().zip(ids).map(entry).collect()))
}

/// A folder of music with a playlist in it.
pub struct Music {
    folders: Folders,
    playlist: PathBuf,
}

impl Music {
    /// The folder, and the playlist's path.
    pub fn look(folder: &Path, playlist: &Path) -> Self {
        let settings =
            Settings { folders: vec![folder.to_owned()], watch: false, poll_interval_s: None, follow_links: false };
        Self { folders: Folders::look(&settings), playlist: playlist.to_owned() }
    }

    /// The files that entries name.
    pub fn find(&self, entries: &[Entry]) -> Vec<Option<PathBuf>> {
        let mut resolver = Resolver::new(&self.folders, &self.playlist);
        let line = |e: &Entry| Line { target: e.target.clone(), raw: e.raw.clone(), title: None };
        entries.iter().map(|e| self.folders.file(&resolver.find(&line(e))?).ok()).collect()
    }
}

/// The track of an audio file, or the code of why it is none. A path that is no locator's is none either.
pub fn track(file: &File, size: u64, path: &Path) -> std::result::Result<Track, &'static str> {
    let key = FileKey::new(FolderId::of(Path::new("/music")), path);
    let tags = tags::read(file, size, &key).map_err(tags::Skip::code)?;
    items::track(&Uris("local".into()), &key, &tags, None, 0).map_err(|_| "no_uri")
}

/// The size and type of the picture inside an audio file.
pub fn picture(file: &File, size: u64, path: &Path) -> Option<(usize, &'static str)> {
    let picture = tags::picture(file, size, path).ok().flatten()?;
    Some((picture.data.len(), picture.content_type))
}

/// The path and the id that a locator names, and the locator made of them.
pub fn locator(text: &str) -> Option<(PathBuf, String, String)> {
    let key = FileKey::from_locator(text)?;
    Some((key.path(Path::new("/music")), key.id(), key.locator()))
}

/// The locator of a path.
pub fn locator_of(path: &Path) -> String {
    FileKey::new(FolderId::of(Path::new("/music")), path).locator()
}

/// Disc, track number and title of a file's name.
pub fn file_name(stem: &str) -> (Option<u32>, Option<u32>, String) {
    tags::filename::parse(stem)
}
