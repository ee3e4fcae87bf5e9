//! Pictures: beside the audio files, and inside them.

use std::{ffi::OsStr, fs, path::Path};

use xxhash_rust::xxh3::xxh3_64;
use zotify_plugin_api::{Artwork, ErrorKind, MediaSource, ProviderError, Result};

use crate::{
    folders::{self, Folders, extension},
    ids::FileKey,
    tags::{self, Picture, PictureInfo},
};

/// The largest picture, in bytes.
pub(crate) const MAX_PICTURE: usize = 16 << 20;

/// A picture file that stands for everything in its directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FolderImage {
    /// The file.
    pub key: FileKey,
    /// The lower, the better a picture's name fits.
    pub rank: usize,
    /// Changes with the file.
    pub version: u64,
}

impl FolderImage {
    /// A picture file; none where the file is named otherwise.
    pub(crate) fn new(key: FileKey, size: u64, mtime_ns: i64) -> Option<Self> {
        let rank = rank(key.rel())?;
        let stamp = [&key.rel, &size.to_le_bytes()[..], &mtime_ns.to_le_bytes()[..]].concat();
        Some(Self { key, rank, version: xxh3_64(&stamp) })
    }

    /// What items name it by.
    pub(crate) fn artwork(&self) -> Artwork {
        Artwork { locator: Locator::File(self.key.clone()).format(self.version), width: None, height: None }
    }
}

/// How well a file's name says that it is a cover; none where it does not at all.
pub(crate) fn rank(path: &Path) -> Option<usize> {
    let stem = path.file_stem().and_then(OsStr::to_str)?;
    let named = ["cover", "front", "folder", "album"].iter().position(|name| stem.eq_ignore_ascii_case(name))?;
    matches!(extension(path).as_str(), "jpg" | "jpeg" | "png" | "webp").then_some(named)
}

/// What items name a picture inside a file by.
pub(crate) fn embedded(key: &FileKey, picture: PictureInfo) -> Artwork {
    let locator = Locator::Embedded(key.clone()).format(picture.version);
    Artwork { locator, width: picture.size.map(|s| s.0), height: picture.size.map(|s| s.1) }
}

/// What a picture's locator names. As text `<file|tag>.<version>.<locator of the file>`; the version only makes the
/// text change with the picture.
enum Locator {
    File(FileKey),
    Embedded(FileKey),
}

impl Locator {
    fn format(&self, version: u64) -> String {
        match self {
            Self::File(key) => format!("file.{version:x}.{}", key.locator()),
            Self::Embedded(key) => format!("tag.{version:x}.{}", key.locator()),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let kind = parts.next()?;
        let key = FileKey::from_locator(parts.nth(1)?)?;
        match kind {
            "file" => rank(key.rel()).map(|_| Self::File(key)),
            "tag" => Some(Self::Embedded(key)),
            _ => None,
        }
    }
}

/// The media type of a picture, by its first bytes; none for what browsers would not show.
pub(crate) fn sniff(data: &[u8]) -> Option<&'static str> {
    match data {
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        _ => None,
    }
}

/// Where a picture comes from.
///
/// # Errors
/// `invalid_request` for a foreign locator, `not_found` where the picture is gone, `too_large`.
pub(crate) fn source(folders: &Folders, locator: &str) -> Result<MediaSource> {
    match Locator::parse(locator).ok_or_else(|| ProviderError::invalid("no locator of a picture"))? {
        Locator::File(key) => {
            let path = folders.file(&key)?;
            let size = fs::metadata(&path).map_err(|_| ProviderError::not_found("the picture"))?.len();
            if size > MAX_PICTURE as u64 {
                return Err(ProviderError::new(ErrorKind::TooLarge, "the picture is over 16 MiB"));
            }
            let content_type = match extension(&path).as_str() {
                "png" => "image/png",
                "webp" => "image/webp",
                _ => "image/jpeg",
            };
            Ok(MediaSource::File { path, content_type: content_type.into() })
        }
        Locator::Embedded(key) => {
            let picture = read_embedded(folders, &key)?;
            Ok(MediaSource::Stream {
                token: locator.to_owned(),
                content_type: picture.content_type.into(),
                size: Some(picture.data.len() as u64),
                etag: Some(format!("{:016x}", xxh3_64(&picture.data))),
            })
        }
    }
}

/// The bytes of a picture inside a file, from `offset`.
///
/// # Errors
/// As [`source`].
pub(crate) fn bytes(folders: &Folders, token: &str, offset: u64) -> Result<Vec<u8>> {
    let Some(Locator::Embedded(key)) = Locator::parse(token) else {
        return Err(ProviderError::invalid("no token of a picture"));
    };
    let mut data = read_embedded(folders, &key)?.data;
    let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(data.len());
    Ok(data.split_off(offset))
}

fn read_embedded(folders: &Folders, key: &FileKey) -> Result<Picture> {
    let gone = || ProviderError::not_found("the picture");
    let path = folders.file(key)?;
    let (file, metadata) = folders::open(&path).map_err(|_| gone())?;
    tags::picture(&file, metadata.len(), &path).ok().flatten().ok_or_else(gone)
}
