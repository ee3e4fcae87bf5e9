//! Files that lie next to each other, as one entry of the host's.
//!
//! Its bytes: a version, and then for every file in order how many bytes of its key are those of the one before, how
//! many follow, these, and its [`Entry`].

use super::{
    codec::{Reader, write_number},
    entry::Entry,
};
use crate::ids::{FileKey, FolderId};

const VERSION: u8 = 1;
/// The largest shard, in bytes; a larger one falls apart.
const MAX_BYTES: usize = 24 << 10;
/// When one that falls apart is full, in bytes.
const FULL: usize = 16 << 10;

/// Files in order.
pub(super) struct Shard {
    /// What its entry is called by; none before it is written.
    pub id: Option<u64>,
    /// The first file that belongs into it.
    pub first: FileKey,
    /// What is known of them.
    pub files: Files,
    /// Whether it differs from the entry.
    pub is_dirty: bool,
}

/// The files of a shard.
pub(super) enum Files {
    /// As they are kept: a tenth of the memory.
    Packed(Vec<u8>),
    /// To look up and change.
    Open(Vec<(FileKey, Entry)>),
}

impl Shard {
    /// A new one for a file.
    pub(super) fn new(first: FileKey) -> Self {
        Self { id: None, first, files: Files::Open(Vec::new()), is_dirty: true }
    }

    /// A shard of an entry's bytes; none where they are damaged. `each` sees all files, with their folders and flat keys.
    pub(super) fn load(id: u64, bytes: Vec<u8>, mut each: impl FnMut(FolderId, &[u8], Entry)) -> Option<Self> {
        let mut first = None;
        let mut rows = Rows::new(&bytes)?;
        while !rows.is_end() {
            let (key, entry) = rows.next()?;
            if first.is_none() {
                first = FileKey::from_flat(key);
            }
            each(FileKey::folder_of_flat(key)?, key, entry);
        }
        Some(Self { id: Some(id), first: first?, files: Files::Packed(bytes), is_dirty: false })
    }

    /// The files to look up and change.
    pub(super) fn open(&mut self) -> &mut Vec<(FileKey, Entry)> {
        if let Files::Packed(bytes) = &self.files {
            let mut files = Vec::new();
            // They were read before, so that none is damaged.
            each(bytes, |key, entry| files.extend(FileKey::from_flat(key).map(|key| (key, entry))));
            self.files = Files::Open(files);
        }
        match &mut self.files {
            Files::Open(files) => files,
            Files::Packed(_) => unreachable!("it was opened"),
        }
    }

    /// As they are kept, if they are packed.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        if let Files::Packed(bytes) = &self.files { Some(bytes) } else { None }
    }

    /// Shows all files in order.
    pub(super) fn each(&self, mut show: impl FnMut(&[u8], &Entry)) {
        match &self.files {
            Files::Packed(bytes) => each(bytes, |key, entry| show(key, &entry)),
            Files::Open(files) => files.iter().for_each(|(file, entry)| show(&file.to_flat(), entry)),
        }
    }

    /// The shards that take its place where it is too large, packed; the first one is its own entry. None where it is
    /// empty.
    pub(super) fn pack(self) -> Vec<Self> {
        let Files::Open(files) = &self.files else { return vec![self] };
        if !self.is_dirty {
            return vec![Self { files: Files::Packed(pack(files)), ..self }];
        }
        if files.is_empty() {
            return Vec::new();
        }
        let whole = pack(files);
        let parts = if whole.len() <= MAX_BYTES { vec![(0, whole)] } else { split(files) };
        let part = |(start, bytes): (usize, Vec<u8>)| {
            let (first, _) = files.get(start)?;
            let id = self.id.filter(|_| start == 0);
            Some(Self { id, first: first.clone(), files: Files::Packed(bytes), is_dirty: true })
        };
        parts.into_iter().filter_map(part).collect()
    }
}

fn each(bytes: &[u8], mut show: impl FnMut(&[u8], Entry)) {
    let Some(mut rows) = Rows::new(bytes) else { return };
    while let Some((key, entry)) = rows.next() {
        show(key, entry);
    }
}

/// Parts, with the index of their first file.
fn split(files: &[(FileKey, Entry)]) -> Vec<(usize, Vec<u8>)> {
    let mut parts = Vec::new();
    let mut packer = Packer::new();
    let mut start = 0;
    for (index, (file, entry)) in files.iter().enumerate() {
        if packer.bytes.len() >= FULL {
            parts.push((start, std::mem::replace(&mut packer, Packer::new()).bytes));
            start = index;
        }
        packer.push(file, entry);
    }
    parts.push((start, packer.bytes));
    parts
}

fn pack(files: &[(FileKey, Entry)]) -> Vec<u8> {
    let mut packer = Packer::new();
    files.iter().for_each(|(file, entry)| packer.push(file, entry));
    packer.bytes
}

struct Packer {
    bytes: Vec<u8>,
    last: Vec<u8>,
}

impl Packer {
    fn new() -> Self {
        Self { bytes: vec![VERSION], last: Vec::new() }
    }

    fn push(&mut self, file: &FileKey, entry: &Entry) {
        let key = file.to_flat();
        let shared = key.iter().zip(&self.last).take_while(|(a, b)| a == b).count();
        write_number(&mut self.bytes, shared as u64);
        write_number(&mut self.bytes, (key.len() - shared) as u64);
        self.bytes.extend(&key[shared..]);
        entry.write(&mut self.bytes);
        self.last = key;
    }
}

/// Reads files in order.
struct Rows<'a> {
    rest: Reader<'a>,
    key: Vec<u8>,
}

impl<'a> Rows<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = Reader(bytes);
        (rest.byte()? == VERSION).then_some(Self { rest, key: Vec::new() })
    }

    fn is_end(&self) -> bool {
        self.rest.0.is_empty()
    }

    /// None at the end, or where the bytes are damaged.
    fn next(&mut self) -> Option<(&[u8], Entry)> {
        let (shared, length) = (self.rest.length()?, self.rest.length()?);
        if shared > self.key.len() {
            return None;
        }
        self.key.truncate(shared);
        self.key.extend_from_slice(self.rest.bytes(length)?);
        let entry = Entry::read(&mut self.rest)?;
        Some((&self.key, entry))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::{ids::GroupId, scan::state::Stat, tags::Skip};

    fn entry() -> impl Strategy<Value = Entry> {
        let numbers = (any::<[u64; 6]>(), any::<[i64; 2]>(), any::<u32>());
        let others = (any::<Option<u64>>(), any::<Vec<u64>>(), 0_u8..5, any::<[bool; 2]>());
        (numbers, others).prop_map(|((n, times, disc), (album, artists, skip, [is_track, gone]))| Entry {
            stat: Stat { size: n[0], mtime_ns: times[0], inode: n[1] },
            audio_hash: n[2],
            page: n[3],
            first_page: n[4],
            added_ms: times[1],
            image: n[5],
            album: album.map(GroupId),
            artists: artists.into_iter().map(GroupId).collect(),
            disc,
            skip: Skip::from_number(skip),
            is_track,
            gone,
        })
    }

    fn shard(files: Vec<(FileKey, Entry)>) -> Shard {
        let first = files[0].0.clone();
        Shard { id: Some(7), first, files: Files::Open(files), is_dirty: true }
    }

    fn keys(names: &[String], entries: &[Entry]) -> Vec<(FileKey, Entry)> {
        let folder = FolderId::of(Path::new("/m"));
        let mut names = names.to_vec();
        names.sort();
        names.dedup();
        let keys = names.iter().map(|name| FileKey::new(folder, Path::new(name)));
        keys.zip(entries.iter().cycle().cloned()).collect()
    }

    proptest! {
        #[test]
        fn shards_survive_in_parts(
            names in prop::collection::vec("[a-z]{1,3}(/[a-z]{1,200}){0,2}", 1..300),
            entries in prop::collection::vec(entry(), 1..20),
        ) {
            let files = keys(&names, &entries);
            let parts = shard(files.clone()).pack();
            let mut back = Vec::new();
            for (index, part) in parts.into_iter().enumerate() {
                let Files::Packed(bytes) = part.files else { panic!("it is packed") };
                prop_assert!(bytes.len() < 2 * MAX_BYTES);
                prop_assert_eq!(part.id, (index == 0).then_some(7));
                let mut loaded = Shard::load(1, bytes, |_, _, _| {}).unwrap();
                prop_assert_eq!(&loaded.first, &part.first);
                back.append(loaded.open());
            }
            prop_assert_eq!(back, files);
        }

        #[test]
        fn damaged_bytes_are_none_and_no_panic(
            entries in prop::collection::vec(entry(), 1..4),
            cut in 0_usize..400,
            change in 0_usize..400,
            to: u8,
        ) {
            let names: Vec<String> = ["a/1", "a/2", "b/1"].map(str::to_owned).to_vec();
            let mut bytes = pack(&keys(&names, &entries));
            let cut = cut.min(bytes.len());
            if cut > 0 && Shard::load(1, bytes[..cut].to_vec(), |_, _, _| {}).is_some() {
                // Between two files.
                prop_assert!(Rows::new(&bytes[..cut]).is_some());
            }
            let at = change % bytes.len();
            bytes[at] = to;
            let _ = Shard::load(1, bytes, |_, _, _| {});
        }

        #[test]
        fn garbage_is_none_and_no_panic(bytes: Vec<u8>) {
            let _ = Shard::load(1, bytes, |_, _, _| {});
        }
    }
}
