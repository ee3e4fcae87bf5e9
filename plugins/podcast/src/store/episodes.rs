//! The episodes that the host has, in few bytes: a library has hundreds of thousands of them.

use crate::ids::Id;

/// The most episodes that are known of one show.
pub(crate) const MAX_ENTRIES: usize = 24_000;
/// The entries of one key-value entry, which may have 256 KiB.
const CHUNK: usize = 4096;
/// The bytes of an entry.
const SIZE: usize = 15 + 8 + 8 + 4;

/// An episode that the host was told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: Id,
    /// A hash of what it was told.
    pub(crate) hash: u64,
    /// A hash of title and day, by which it is found again under another id.
    pub(crate) likeness: u64,
    /// The page that told it last; 0 where none did.
    pub(crate) page: u32,
}

/// Takes back what pages told from one on: the host may not have them.
pub(crate) fn take_back(entries: &mut [Entry], from: u32) {
    entries.iter_mut().filter(|entry| entry.page >= from).for_each(|entry| entry.page = 0);
}

/// The chunks that a list is kept in.
pub(super) fn pack(entries: &[Entry]) -> Vec<Vec<u8>> {
    let bytes = |entry: &Entry| {
        let mut bytes = [0; SIZE];
        bytes[..15].copy_from_slice(&entry.id.0);
        bytes[15..23].copy_from_slice(&entry.hash.to_le_bytes());
        bytes[23..31].copy_from_slice(&entry.likeness.to_le_bytes());
        bytes[31..].copy_from_slice(&entry.page.to_le_bytes());
        bytes
    };
    entries.chunks(CHUNK).map(|chunk| chunk.iter().flat_map(bytes).collect()).collect()
}

/// The entries of a chunk.
pub(super) fn unpack(bytes: &[u8]) -> impl Iterator<Item = Entry> + '_ {
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
    bytes.chunks_exact(SIZE).filter_map(move |bytes| {
        Some(Entry {
            id: Id(bytes[..15].try_into().ok()?),
            hash: number(&bytes[15..23]),
            likeness: number(&bytes[23..31]),
            page: u32::try_from(number(&bytes[31..])).ok()?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_survive() {
        let entry =
            |n: u32| Entry { id: Id::of(&n.to_string()), hash: u64::MAX - u64::from(n), likeness: n.into(), page: n };
        let all: Vec<_> = (0..10_000).map(entry).collect();
        let chunks = pack(&all);
        assert_eq!(chunks.len(), 3);
        assert!(chunks.iter().all(|chunk| chunk.len() <= 256 << 10));
        assert_eq!(chunks.iter().flat_map(|chunk| unpack(chunk)).collect::<Vec<_>>(), all);
        assert_eq!(unpack(&chunks[0][..SIZE * 2 - 1]).count(), 1, "a damaged chunk");
    }
}
