//! How many tracks albums and artists have.

use std::collections::HashMap;

use super::{Group, entry::Entry};
use crate::ids::GroupId;

/// How an album's tracks are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AlbumFigures {
    /// How many there are.
    pub tracks: u32,
    /// The highest disc.
    pub discs: u32,
    /// When the first of them came into the library, in milliseconds since 1970-01-01 UTC; 0 where none has.
    pub added_ms: i64,
}

/// Those of all albums and artists.
#[derive(Default)]
pub(super) struct Figures {
    albums: HashMap<GroupId, AlbumFigures>,
    artists: HashMap<GroupId, u32>,
}

impl Figures {
    /// Adds or takes away a track.
    pub(super) fn count(&mut self, entry: &Entry, add: bool) {
        if !entry.is_present() {
            return;
        }
        let step = |n: &mut u32| *n = if add { n.saturating_add(1) } else { n.saturating_sub(1) };
        if let Some(album) = entry.album {
            let figures = self.albums.entry(album).or_default();
            step(&mut figures.tracks);
            if add {
                figures.discs = figures.discs.max(entry.disc);
            }
            if add && (figures.added_ms == 0 || entry.added_ms < figures.added_ms) {
                figures.added_ms = entry.added_ms;
            }
        }
        for artist in &entry.artists {
            step(self.artists.entry(*artist).or_default());
        }
    }

    /// Of an album.
    pub(super) fn album(&self, id: GroupId) -> AlbumFigures {
        self.albums.get(&id).copied().unwrap_or_default()
    }

    /// Whether any track belongs to an album or artist.
    pub(super) fn is_used(&self, group: Group) -> bool {
        match group {
            Group::Album(id) => self.albums.get(&id).is_some_and(|album| album.tracks > 0),
            Group::Artist(id) => self.artists.get(&id).is_some_and(|tracks| *tracks > 0),
        }
    }
}
