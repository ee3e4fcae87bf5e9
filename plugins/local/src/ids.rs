//! Identities: of folders, files, albums and artists.

use std::{
    cmp::Ordering,
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Component, Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::text::fold;

/// The longest id that a URI can hold.
const MAX_ID: usize = 200;
/// What the ids of files start with whose path is too long to stand in a URI. No other id of a file does, because a
/// folder id's first two bits are zero.
const HASHED: &str = "h-";

/// A configured folder: a hash of its canonical path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FolderId([u8; 6]);

impl FolderId {
    /// The id of a folder.
    pub(crate) fn of(path: &Path) -> Self {
        let hash = xxh3_64(path.as_os_str().as_bytes()).to_be_bytes();
        Self([hash[0] & 0x3f, hash[1], hash[2], hash[3], hash[4], hash[5]])
    }
}

/// A file (or directory): its folder and its path in it, which need not be UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FileKey {
    /// The configured folder.
    pub folder: FolderId,
    /// The path inside the folder, without a leading slash.
    pub rel: Box<[u8]>,
}

impl FileKey {
    /// The key of a path inside a folder.
    pub(crate) fn new(folder: FolderId, rel: &Path) -> Self {
        Self { folder, rel: rel.as_os_str().as_bytes().into() }
    }

    /// Folder id and path as one; sorts like the keys themselves.
    pub(crate) fn to_flat(&self) -> Vec<u8> {
        [&self.folder.0[..], &self.rel].concat()
    }

    /// The reverse of [`FileKey::to_flat`]; none where the path could lead out of its folder.
    pub(crate) fn from_flat(flat: &[u8]) -> Option<Self> {
        Some(Self { folder: Self::folder_of_flat(flat)?, rel: flat[6..].into() })
    }

    /// The folder of a flat key; none where its path could lead out of there.
    pub(crate) fn folder_of_flat(flat: &[u8]) -> Option<FolderId> {
        let (folder, rel) = flat.split_first_chunk::<6>()?;
        let path = Path::new(OsStr::from_bytes(rel));
        let plain = !rel.contains(&0) && path.components().all(|c| matches!(c, Component::Normal(_)));
        (folder[0] < 0x40 && !rel.is_empty() && plain).then_some(FolderId(*folder))
    }

    /// How the key compares to a flat one.
    pub(crate) fn cmp_flat(&self, flat: &[u8]) -> Ordering {
        let (folder, rel) = flat.split_at(flat.len().min(self.folder.0.len()));
        self.folder.0[..].cmp(folder).then_with(|| (*self.rel).cmp(rel))
    }

    /// The path inside the folder.
    pub(crate) fn rel(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.rel))
    }

    /// The locator: base64url of folder id and path.
    pub(crate) fn locator(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.to_flat())
    }

    /// The id in URIs: the locator, or a hash of it where it is too long.
    pub(crate) fn id(&self) -> String {
        let locator = self.locator();
        if locator.len() <= MAX_ID {
            return locator;
        }
        format!("{HASHED}{}", URL_SAFE_NO_PAD.encode(xxh3_128(locator.as_bytes()).to_be_bytes()))
    }

    /// The reverse of [`FileKey::locator`]; none for texts that are no locator. Paths that could lead out of their
    /// folder are none.
    pub(crate) fn from_locator(locator: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(locator).ok()?;
        Self::from_flat(&bytes)
    }

    /// The directory that holds the file.
    pub(crate) fn directory(&self) -> Self {
        Self::new(self.folder, self.rel().parent().unwrap_or(Path::new("")))
    }

    /// The directory of the album that the file belongs to: its own, or the one above folders such as `CD1`.
    pub(crate) fn album_directory(&self) -> Self {
        let own = self.directory();
        match (own.rel().file_name(), own.rel().parent()) {
            (Some(name), Some(above)) if is_disc_folder(name) => Self::new(self.folder, above),
            _ => own,
        }
    }

    /// The absolute path.
    pub(crate) fn path(&self, root: &Path) -> PathBuf {
        root.join(self.rel())
    }
}

/// Whether a folder's name only says which disc of an album it holds: `CD1`, `Disc 2`, `disk-03`.
pub(crate) fn is_disc_folder(name: &OsStr) -> bool {
    let Some(name) = name.to_str().map(str::to_ascii_lowercase) else { return false };
    let Some(rest) = ["cd", "disc", "disk"].iter().find_map(|word| name.strip_prefix(word)) else { return false };
    let digits = rest.trim_start_matches([' ', '-', '_', '.', '#']);
    (1..=2).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
}

/// An album or artist: a hash of what makes it one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct GroupId(pub u64);

impl GroupId {
    fn of(parts: &[&[u8]]) -> Self {
        Self(xxh3_64(&parts.join(&0)))
    }

    /// An artist, by MusicBrainz id or else by name.
    pub(crate) fn artist(name: &str, mbid: Option<&str>) -> Self {
        match mbid {
            Some(mbid) => Self::of(&[b"artist-mbid", mbid.as_bytes()]),
            None => Self::of(&[b"artist", fold(name).as_bytes()]),
        }
    }

    /// An album, by MusicBrainz release id, else by album artist and title, else by title and directory.
    pub(crate) fn album(title: &str, mbid: Option<&str>, artist: Option<&str>, file: &FileKey) -> Self {
        let title = fold(title);
        match (mbid, artist) {
            (Some(mbid), _) => Self::of(&[b"album-mbid", mbid.as_bytes()]),
            (None, Some(artist)) => Self::of(&[b"album", fold(artist).as_bytes(), title.as_bytes()]),
            (None, None) => {
                let directory = file.album_directory();
                Self::of(&[b"album-in", &directory.folder.0, &directory.rel, title.as_bytes()])
            }
        }
    }

    /// The id in URIs.
    pub(crate) fn id(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(rel: &str) -> FileKey {
        FileKey::new(FolderId::of(Path::new("/music")), Path::new(rel))
    }

    #[test]
    fn locators_survive_and_lead_nowhere_else() {
        let odd = FileKey::new(FolderId::of(Path::new("/m")), Path::new(OsStr::from_bytes(b"a/\xff\xfe.mp3")));
        assert_eq!(FileKey::from_locator(&odd.locator()), Some(odd));
        for rel in ["../x", "/etc/passwd", "a/../../b", "", "a\0b"] {
            assert_eq!(FileKey::from_locator(&key(rel).locator()), None, "{rel:?}");
        }
        for text in ["", "h-abc", "%%%", "AAAA", "zzzzzzzzzzzz"] {
            assert_eq!(FileKey::from_locator(text), None, "{text:?}");
        }
    }

    #[test]
    fn ids_fit_into_uris() {
        let long = key(&format!("{}.mp3", "x".repeat(250)));
        assert!(long.id().starts_with(HASHED));
        assert!(zotify_plugin_api::is_item_id(&long.id()));
        assert_eq!(FileKey::from_locator(&long.locator()), Some(long));
        let short = key("a b/ü.mp3");
        assert_eq!(short.id(), short.locator());
        assert!(!short.id().starts_with(HASHED));
    }

    #[test]
    fn disc_folders_belong_to_the_album_above() {
        for name in ["CD1", "cd 2", "Disc-03", "disk_1"] {
            assert!(is_disc_folder(OsStr::new(name)), "{name}");
        }
        for name in ["CD", "Discovery", "disc one", "cd123", "1"] {
            assert!(!is_disc_folder(OsStr::new(name)), "{name}");
        }
        assert_eq!(key("A/B/CD1/x.mp3").album_directory(), key("A/B"));
        assert_eq!(key("A/B/x.mp3").album_directory(), key("A/B"));
        assert_eq!(key("x.mp3").album_directory(), key(""));
    }

    #[test]
    fn albums_are_told_apart_by_what_is_known() {
        let (one, two) = (key("A/CD1/1.mp3"), key("A/CD2/1.mp3"));
        assert_eq!(GroupId::album("T", None, Some("X"), &one), GroupId::album("t ", None, Some("x"), &key("Z/1.mp3")));
        assert_eq!(GroupId::album("T", None, None, &one), GroupId::album("T", None, None, &two));
        assert_ne!(GroupId::album("T", None, None, &one), GroupId::album("T", None, None, &key("B/1.mp3")));
        assert_ne!(GroupId::album("T", Some("id"), None, &one), GroupId::album("T", None, None, &one));
    }
}
