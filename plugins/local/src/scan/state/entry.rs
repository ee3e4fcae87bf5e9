//! What is known of one file.

use crate::{
    ids::GroupId,
    scan::state::{Group, codec::Reader},
    tags::Skip,
};

use super::codec;

/// What tells that a file changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Bytes.
    pub size: u64,
    /// Modification time in nanoseconds since 1970-01-01 UTC.
    pub mtime_ns: i64,
    /// Inode.
    pub inode: u64,
}

impl Stat {
    /// Of what the system says; the time in seconds and nanoseconds.
    pub(crate) fn new(size: u64, (seconds, nanoseconds): (i64, i64), inode: u64) -> Self {
        let mtime_ns = seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds);
        Self { size, mtime_ns, inode }
    }
}

/// What is known of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Entry {
    /// As it was when it was read.
    pub stat: Stat,
    /// Of the audio; 0 where it was not read.
    pub audio_hash: u64,
    /// The page that told of it last.
    pub page: u64,
    /// The page that told of it first.
    pub first_page: u64,
    /// When it came into the library, in milliseconds since 1970-01-01 UTC.
    pub added_ms: i64,
    /// The version of the picture in its directory; 0 for none.
    pub image: u64,
    /// Its album.
    pub album: Option<GroupId>,
    /// The album's artists and its own.
    pub artists: Vec<GroupId>,
    /// Its disc; 0 for none.
    pub disc: u32,
    /// Why it was left out.
    pub skip: Option<Skip>,
    /// Whether the host was told of a track.
    pub is_track: bool,
    /// Whether the file is gone: kept until a complete run has told the host.
    pub gone: bool,
}

const IS_TRACK: u8 = 1;
const GONE: u8 = 2;
const HAS_IMAGE: u8 = 4;
const HAS_ALBUM: u8 = 8;

impl Entry {
    /// Its album and artists.
    pub(crate) fn groups(&self) -> impl Iterator<Item = Group> + '_ {
        self.album.map(Group::Album).into_iter().chain(self.artists.iter().copied().map(Group::Artist))
    }

    /// Whether it is a track of the library.
    pub(crate) fn is_present(&self) -> bool {
        self.is_track && !self.gone
    }

    /// Appends its bytes.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        out.push(
            flag(self.is_track, IS_TRACK)
                | flag(self.gone, GONE)
                | flag(self.image != 0, HAS_IMAGE)
                | flag(self.album.is_some(), HAS_ALBUM),
        );
        out.push(self.skip.map_or(0, Skip::number));
        codec::write_number(out, self.stat.size);
        codec::write_signed(out, self.stat.mtime_ns);
        codec::write_number(out, self.stat.inode);
        out.extend(self.audio_hash.to_le_bytes());
        codec::write_number(out, self.page);
        codec::write_number(out, self.first_page);
        codec::write_signed(out, self.added_ms);
        if self.image != 0 {
            out.extend(self.image.to_le_bytes());
        }
        if let Some(album) = self.album {
            out.extend(album.0.to_le_bytes());
        }
        codec::write_number(out, self.artists.len() as u64);
        self.artists.iter().for_each(|artist| out.extend(artist.0.to_le_bytes()));
        codec::write_number(out, self.disc.into());
    }

    /// Reads what [`Entry::write`] wrote; none for other bytes.
    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let (flags, skip) = (from.byte()?, from.byte()?);
        let mut entry = Self {
            stat: Stat { size: from.number()?, mtime_ns: from.signed()?, inode: from.number()? },
            audio_hash: from.hash()?,
            page: from.number()?,
            first_page: from.number()?,
            added_ms: from.signed()?,
            is_track: flags & IS_TRACK != 0,
            gone: flags & GONE != 0,
            skip: if skip == 0 { None } else { Some(Skip::from_number(skip)?) },
            ..Self::default()
        };
        if flags & HAS_IMAGE != 0 {
            entry.image = from.hash()?;
        }
        if flags & HAS_ALBUM != 0 {
            entry.album = Some(GroupId(from.hash()?));
        }
        for _ in 0..from.number()? {
            entry.artists.push(GroupId(from.hash()?));
        }
        entry.disc = u32::try_from(from.number()?).ok()?;
        Some(entry)
    }
}
