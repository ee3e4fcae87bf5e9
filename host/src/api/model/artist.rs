//! Artists.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zotify_plugin_api::{self as contract, Kind, Uri};

use super::Artwork;

/// A person or group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Artist {
    /// The item's address.
    #[schema(value_type = String, example = "local:artist:9hF3")]
    pub uri: Uri,
    /// Always `artist`.
    #[schema(value_type = String, pattern = "^artist$", example = "artist")]
    pub kind: Kind,
    /// The instance that owns it.
    #[schema(example = "local")]
    pub provider: String,
    /// The name, as the source spells it.
    pub name: String,
    /// The name to sort by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort_name: Option<String>,
    /// Genres, as the source spells them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub genres: Vec<String>,
    /// MusicBrainz artist id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mbid: Option<String>,
    /// Its pictures, the largest first.
    pub artwork: Vec<Artwork>,
    /// When it came into the library, RFC 3339 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added_at: Option<String>,
    /// Its page on the web.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_url: Option<String>,
}

impl From<contract::Artist> for Artist {
    fn from(a: contract::Artist) -> Self {
        Self {
            kind: Kind::Artist,
            provider: a.uri.instance().to_owned(),
            name: a.name,
            sort_name: a.sort_name,
            genres: a.genres,
            mbid: a.mbid,
            artwork: super::artwork(&a.uri, &a.artwork),
            added_at: a.added_at,
            web_url: a.web_url,
            uri: a.uri,
        }
    }
}
