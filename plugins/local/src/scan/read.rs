//! Reading one file.

use std::{fs::File, io, os::unix::fs::FileExt as _, path::Path};

use xxhash_rust::xxh3::Xxh3;

use super::{
    state::Stat,
    walk::{Found, stat},
};
use crate::{
    folders,
    tags::{self, Skip, Tags},
};

/// How much of the audio is looked at, in two places.
const SAMPLE: u64 = 16 << 10;

/// What was read of a file.
pub(crate) struct Contents {
    /// As the file was when it was opened.
    pub stat: Stat,
    /// What its tags say.
    pub tags: Tags,
    /// Of its audio.
    pub audio_hash: u64,
    /// When the file was made, in milliseconds since 1970-01-01 UTC.
    pub modified_ms: i64,
}

/// Reads a file that was found.
///
/// # Errors
/// Why it is left out.
pub(crate) fn read(found: &Found, root: &Path) -> Result<Contents, Skip> {
    let (file, metadata) = folders::open(&found.key.path(root)).map_err(|e| skip(&e))?;
    let stat = stat(&metadata);
    let tags = tags::read(&file, stat.size, &found.key)?;
    let audio_hash = audio_hash(&file, stat.size).map_err(|e| skip(&e))?;
    Ok(Contents { stat, tags, audio_hash, modified_ms: stat.mtime_ns / 1_000_000 })
}

fn skip(error: &io::Error) -> Skip {
    if error.kind() == io::ErrorKind::NotFound { Skip::Vanished } else { Skip::Unreadable }
}

/// A hash of two places in the middle and behind it. Tags stand at the ends of files, and keep within their padding
/// where a file keeps its size; so files of one size and hash have the same audio, however they are tagged.
fn audio_hash(file: &File, size: u64) -> io::Result<u64> {
    let length = SAMPLE.min(size / 8);
    let mut hash = Xxh3::new();
    hash.update(&size.to_le_bytes());
    let mut sample = vec![0; usize::try_from(length).unwrap_or_default()];
    for start in [size / 2, size / 4 * 3] {
        file.read_exact_at(&mut sample, start)?;
        hash.update(&sample);
    }
    Ok(hash.digest())
}
