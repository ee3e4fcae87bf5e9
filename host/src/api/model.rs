//! Items as the API shows them, made of the contract's types. The mirror stores them serialised, so that a list is passed
//! on as the database holds it.

mod album;
mod artist;
mod playlist;
mod show;
mod track;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zotify_plugin_api::{self as contract, Uri};

pub use album::Album;
pub use artist::Artist;
pub use playlist::{Owner, Playlist, PlaylistEntryItem, PlaylistItem, UnknownItem};
pub use show::{Episode, Show, ShowRef};
pub use track::{AlbumRef, Audio, Gain, ReplayGain, Track};

use super::artwork::MAX_SIZE;

/// Any item; `kind` says which.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Item {
    /// A track.
    Track(Track),
    /// An album.
    Album(Album),
    /// An artist.
    Artist(Artist),
    /// A playlist, without its items.
    Playlist(Playlist),
    /// A show.
    Show(Show),
    /// An episode.
    Episode(Episode),
}

impl Item {
    /// Makes the API's item of the contract's; none for kinds that this build does not know.
    pub fn from_contract(item: contract::Item) -> Option<Self> {
        Some(match item {
            contract::Item::Track(x) => Self::Track(x.into()),
            contract::Item::Album(x) => Self::Album(x.into()),
            contract::Item::Artist(x) => Self::Artist(x.into()),
            contract::Item::Playlist(x) => Self::Playlist(x.into()),
            contract::Item::Show(x) => Self::Show(x.into()),
            contract::Item::Episode(x) => Self::Episode(x.into()),
            _ => return None,
        })
    }
}

/// An artist as another item names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ArtistRef {
    /// The name, as the item credits it.
    #[schema(example = "Nina Simone")]
    pub name: String,
    /// The artist's URI, where the provider has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "local:artist:9hF3")]
    pub uri: Option<Uri>,
}

impl From<contract::ArtistRef> for ArtistRef {
    fn from(artist: contract::ArtistRef) -> Self {
        Self { name: artist.name, uri: artist.uri }
    }
}

/// A picture of an item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Artwork {
    /// Where to get it, relative to the server's address.
    #[schema(example = "/api/artwork/local:album:x1?size=600")]
    pub url: String,
    /// Width in pixels, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Height in pixels, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
}

/// The addresses of an item's pictures. The provider's own locators stay in the host.
fn artwork(uri: &Uri, pictures: &[contract::Artwork]) -> Vec<Artwork> {
    let url = |width: Option<u32>| match width {
        Some(width) => format!("/api/artwork/{uri}?size={}", width.clamp(1, MAX_SIZE)),
        None => format!("/api/artwork/{uri}"),
    };
    let picture = |p: &contract::Artwork| Artwork { url: url(p.width), width: p.width, height: p.height };
    pictures.iter().map(picture).collect()
}

fn artists(artists: Vec<contract::ArtistRef>) -> Vec<ArtistRef> {
    artists.into_iter().map(Into::into).collect()
}
