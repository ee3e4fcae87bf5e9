//! Albums.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zotify_plugin_api::{self as contract, Kind, Uri};

use super::{ArtistRef, Artwork};

/// An album, single or compilation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Album {
    /// The item's address.
    #[schema(value_type = String, example = "local:album:x1")]
    pub uri: Uri,
    /// Always `album`.
    #[schema(value_type = String, pattern = "^album$", example = "album")]
    pub kind: Kind,
    /// The instance that owns it.
    #[schema(example = "local")]
    pub provider: String,
    /// The title, as the source spells it.
    pub title: String,
    /// The album artists, main one first.
    pub artists: Vec<ArtistRef>,
    /// `YYYY`, `YYYY-MM` or `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "1965")]
    pub release_date: Option<String>,
    /// Genres, as the source spells them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub genres: Vec<String>,
    /// How many tracks it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track_count: Option<u32>,
    /// How many discs it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disc_count: Option<u32>,
    /// Bar code (UPC or EAN).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upc: Option<String>,
    /// MusicBrainz release id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mbid: Option<String>,
    /// Tracks of several artists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compilation: Option<bool>,
    /// Its pictures, the largest first.
    pub artwork: Vec<Artwork>,
    /// When it came into the library, RFC 3339 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added_at: Option<String>,
    /// Its page on the web.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_url: Option<String>,
}

impl From<contract::Album> for Album {
    fn from(a: contract::Album) -> Self {
        Self {
            kind: Kind::Album,
            provider: a.uri.instance().to_owned(),
            title: a.title,
            artists: super::artists(a.artists),
            release_date: a.release_date,
            genres: a.genres,
            track_count: a.track_count,
            disc_count: a.disc_count,
            upc: a.upc,
            mbid: a.mbid,
            compilation: a.compilation,
            artwork: super::artwork(&a.uri, &a.artwork),
            added_at: a.added_at,
            web_url: a.web_url,
            uri: a.uri,
        }
    }
}
