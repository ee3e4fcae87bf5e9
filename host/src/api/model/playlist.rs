//! Playlists and their entries.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zotify_plugin_api::{self as contract, Kind, Uri};

use super::{Artwork, Episode, Track};

/// An ordered list of tracks and episodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Playlist {
    /// The item's address.
    #[schema(value_type = String, example = "local:playlist:m4")]
    pub uri: Uri,
    /// Always `playlist`.
    #[schema(value_type = String, pattern = "^playlist$", example = "playlist")]
    pub kind: Kind,
    /// The instance that owns it.
    #[schema(example = "local")]
    pub provider: String,
    /// The name, as its owner spells it.
    pub name: String,
    /// Plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Who owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// Whether others can see it; absent where unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public: Option<bool>,
    /// Whether others can edit it.
    pub collaborative: bool,
    /// Whether the account may edit it.
    pub editable: bool,
    /// How many entries it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_count: Option<u64>,
    /// Changes whenever an entry or a detail does; opaque.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its pictures, the largest first.
    pub artwork: Vec<Artwork>,
    /// When it came into the library, RFC 3339 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added_at: Option<String>,
    /// Its page on the web.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_url: Option<String>,
}

impl From<contract::Playlist> for Playlist {
    fn from(p: contract::Playlist) -> Self {
        Self {
            kind: Kind::Playlist,
            provider: p.uri.instance().to_owned(),
            name: p.name,
            description: p.description,
            owner: p.owner.map(|name| Owner { name }),
            public: p.public,
            collaborative: p.collaborative,
            editable: p.editable,
            item_count: p.item_count,
            version: p.version,
            artwork: super::artwork(&p.uri, &p.artwork),
            added_at: p.added_at,
            web_url: p.web_url,
            uri: p.uri,
        }
    }
}

/// Who owns a playlist, as the service names them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Owner {
    /// The name.
    pub name: String,
}

/// One entry of a playlist. The host keeps it as JSON text, so this type only describes it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PlaylistItem {
    /// Names this entry as long as it stands in the playlist, unlike its position.
    pub entry_id: String,
    /// The place, from 0.
    pub position: i64,
    /// When it was added, RFC 3339 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub added_at: Option<String>,
    /// What stands there.
    pub item: PlaylistEntryItem,
}

/// What an entry of a playlist names; `kind` says which.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum PlaylistEntryItem {
    /// A track.
    Track(Box<Track>),
    /// An episode.
    Episode(Box<Episode>),
    /// Something that cannot be found.
    Unknown(UnknownItem),
}

/// An entry whose item cannot be found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UnknownItem {
    /// Always `unknown`.
    #[schema(value_type = String, pattern = "^unknown$")]
    pub kind: String,
    /// What the playlist says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The address that it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub uri: Option<Uri>,
}

impl UnknownItem {
    /// An entry of which only this is known.
    pub fn new(title: Option<String>, uri: Option<Uri>) -> Self {
        Self { kind: "unknown".into(), title, uri }
    }
}
