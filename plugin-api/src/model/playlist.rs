//! Playlists and their entries.

use serde::{Deserialize, Serialize};

use super::{Artwork, Item, PageRequest, Uri};
use crate::wire::Rows;

/// An ordered list of tracks and episodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Playlist {
    /// The item's address.
    pub uri: Uri,
    /// The name, as its owner spells it.
    pub name: String,
    /// Plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Who owns it, as the service names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Whether others can see it; none where unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public: Option<bool>,
    /// Whether others can edit it.
    #[serde(default)]
    pub collaborative: bool,
    /// Whether the account may edit it.
    #[serde(default)]
    pub editable: bool,
    /// How many entries it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_count: Option<u64>,
    /// Changes whenever an entry or a detail does; opaque.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its pictures, the largest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artwork: Vec<Artwork>,
    /// When it came into the library, RFC 3339 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added_at: Option<String>,
    /// Its page on the web.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_url: Option<String>,
    /// What the provider needs to find the item again, private to it; the host keeps it and hands it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locator: Option<String>,
}

impl Playlist {
    /// Makes one of which nothing else is known.
    pub fn new(uri: Uri, name: impl Into<String>) -> Self {
        Self {
            uri,
            name: name.into(),
            description: None,
            owner: None,
            public: None,
            collaborative: false,
            editable: false,
            item_count: None,
            version: None,
            artwork: Vec::new(),
            added_at: None,
            web_url: None,
            locator: None,
        }
    }
}

/// Asks for the entries of a playlist.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlaylistItems {
    /// The playlist.
    pub uri: Uri,
    /// What the provider named with the playlist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locator: Option<String>,
    /// Which page.
    #[serde(default)]
    pub page: PageRequest,
}

/// One entry of a playlist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlaylistEntry {
    /// Names this entry as long as it stands in the playlist, unlike its position; unique within the playlist.
    pub entry_id: String,
    /// When it was added, RFC 3339 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added_at: Option<String>,
    /// The item; none where the entry names something that cannot be found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<Item>,
    /// What the entry says of an item that cannot be found, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// A page of entries.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlaylistPage {
    /// The entries, in order.
    pub entries: Rows<PlaylistEntry>,
    /// Where the next page starts; none after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The playlist's version at the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}
