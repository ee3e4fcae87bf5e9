//! Entries of playlists. The API knows them by their positions only, which change with every edit: here an entry is named
//! by its track, and by which occurrence of that track it is.

use std::collections::HashMap;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};
use zotify_plugin_api::prelude::*;

use crate::{fields::Fields, items::Items};

/// A playlist's version, where the server says when it changed; otherwise only its entries tell.
pub(super) fn version(playlist: Fields<'_>) -> Option<String> {
    let changed = playlist.text("changed", 64)?;
    let number = |name: &str| playlist.number::<u64>(name).unwrap_or(0);
    Some(format!("c{:016x}-{}-{}", xxh3_64(changed.as_bytes()), number("songCount"), number("duration")))
}

/// The version of a playlist whose entries are there.
pub(super) fn version_of_all(playlist: Fields<'_>) -> String {
    version(playlist).unwrap_or_else(|| format!("e{:032x}", xxh3_128(songs(playlist).join("\n").as_bytes())))
}

/// The ids of the tracks, in order.
pub(super) fn songs(playlist: Fields<'_>) -> Vec<String> {
    // What has no id still takes a position.
    playlist.list("entry").map(|song| song.id("id").unwrap_or_default()).collect()
}

/// The names of the entries of a list of tracks.
pub(super) fn names(songs: &[String]) -> Vec<String> {
    let mut seen: HashMap<&str, u32> = HashMap::new();
    let mut name = |id| {
        let occurrence = seen.entry(id).or_default();
        *occurrence += 1;
        format!("{:032x}-{occurrence}", xxh3_128(str::as_bytes(id)))
    };
    songs.iter().map(|id| name(id)).collect()
}

pub(super) fn all(playlist: Fields<'_>, items: &Items) -> Vec<PlaylistEntry> {
    let names = names(&songs(playlist));
    let entry = |(song, entry_id): (Fields<'_>, String)| {
        let item = items.track(song).map(Item::Track);
        let title = if item.is_none() { song.name("title") } else { None };
        PlaylistEntry { entry_id, added_at: None, item, title }
    };
    playlist.list("entry").zip(names).map(entry).collect()
}
