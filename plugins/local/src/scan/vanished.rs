//! Files that were there, and are not any more.

use std::{collections::HashMap, path::Path};

use super::state::{Entry, Stat};
use crate::ids::FileKey;

/// The files that a walk did not find, by what tells where they went.
#[derive(Default)]
pub(crate) struct Vanished {
    files: HashMap<FileKey, Lost>,
    by_audio: HashMap<(u64, u64), Vec<FileKey>>,
}

/// A file that is not found.
#[derive(Clone, Debug)]
pub(crate) struct Lost {
    /// As it was.
    pub stat: Stat,
    /// When it came into the library.
    pub added_ms: i64,
}

impl Vanished {
    /// Adds a file.
    pub(crate) fn add(&mut self, file: &FileKey, entry: &Entry) {
        if entry.is_track && entry.audio_hash != 0 {
            self.by_audio.entry((entry.stat.size, entry.audio_hash)).or_default().push(file.clone());
        }
        self.files.insert(file.clone(), Lost { stat: entry.stat, added_ms: entry.added_ms });
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Takes the file that now has another path: of the same size and audio, and with the same inode, or the same name,
    /// or the only such one.
    pub(crate) fn take_moved(&mut self, to: &FileKey, stat: Stat, audio_hash: u64) -> Option<(FileKey, Lost)> {
        let candidates = self.by_audio.get_mut(&(stat.size, audio_hash))?;
        candidates.sort();
        let only = (candidates.len() == 1).then_some(0);
        let same_inode = |file: &FileKey| self.files.get(file).is_some_and(|lost| lost.stat == stat);
        let same_name = |file: &FileKey| file.rel().file_name() == to.rel().file_name();
        let index =
            candidates.iter().position(same_inode).or_else(|| candidates.iter().position(same_name)).or(only)?;
        let file = candidates.remove(index);
        let lost = self.files.remove(&file)?;
        Some((file, lost))
    }

    /// The files that are left, in order.
    pub(crate) fn drain(&mut self) -> Vec<FileKey> {
        self.by_audio.clear();
        let mut files: Vec<_> = std::mem::take(&mut self.files).into_keys().collect();
        files.sort();
        files
    }
}

/// Whether a file is really gone, as far as can be told.
pub(crate) fn is_gone(path: &Path) -> bool {
    path.symlink_metadata()
        .is_err_and(|e| matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::FolderId;

    fn key(rel: &str) -> FileKey {
        FileKey::new(FolderId::of(Path::new("/m")), Path::new(rel))
    }

    fn entry(inode: u64) -> Entry {
        let stat = Stat { size: 9, mtime_ns: 1, inode };
        Entry { stat, audio_hash: 7, is_track: true, ..Entry::default() }
    }

    #[test]
    fn finds_where_a_file_went() {
        let mut vanished = Vanished::default();
        vanished.add(&key("a/1.mp3"), &entry(1));
        vanished.add(&key("a/2.mp3"), &entry(2));
        vanished.add(&key("a/3.mp3"), &entry(3));
        let mut from = |to: &str, inode| {
            let stat = Stat { size: 9, mtime_ns: 1, inode };
            vanished.take_moved(&key(to), stat, 7).map(|(file, _)| file)
        };
        assert_eq!(from("b/x.mp3", 99), None, "three candidates, and nothing to tell them apart");
        assert_eq!(from("b/x.mp3", 2), Some(key("a/2.mp3")), "the same inode");
        assert_eq!(from("b/3.mp3", 99), Some(key("a/3.mp3")), "the same name");
        assert_eq!(from("b/y.mp3", 99), Some(key("a/1.mp3")), "the only one left");
        assert_eq!(from("b/z.mp3", 99), None);
        assert_eq!(vanished.drain(), []);
    }
}
