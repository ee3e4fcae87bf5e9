//! Tracks, albums, artists, shows and episodes, as providers describe them.

use serde::{Deserialize, Serialize};

use super::{Kind, Playlist, Uri};

/// Any item. On the wire `{"kind": "track", "item": {…}}`, kind first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "item", rename_all = "lowercase")]
#[non_exhaustive]
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
    /// The item's address.
    pub fn uri(&self) -> &Uri {
        match self {
            Self::Track(x) => &x.uri,
            Self::Album(x) => &x.uri,
            Self::Artist(x) => &x.uri,
            Self::Playlist(x) => &x.uri,
            Self::Show(x) => &x.uri,
            Self::Episode(x) => &x.uri,
        }
    }

    /// What the variant says, which a URI must agree with.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Track(_) => Kind::Track,
            Self::Album(_) => Kind::Album,
            Self::Artist(_) => Kind::Artist,
            Self::Playlist(_) => Kind::Playlist,
            Self::Show(_) => Kind::Show,
            Self::Episode(_) => Kind::Episode,
        }
    }
}

/// A recording as it stands on an album.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Track {
    /// The item's address.
    pub uri: Uri,
    /// The title, as the source spells it.
    pub title: String,
    /// Who made it, main artist first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artists: Vec<ArtistRef>,
    /// The album it stands on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub album: Option<AlbumRef>,
    /// Length in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// The disc, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disc_number: Option<u32>,
    /// The place on its disc, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track_number: Option<u32>,
    /// `YYYY`, `YYYY-MM` or `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_date: Option<String>,
    /// Genres, as the source spells them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub genres: Vec<String>,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub composers: Vec<String>,
    /// International Standard Recording Code, 12 characters (ISO 3901).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isrc: Option<String>,
    /// MusicBrainz recording id, a UUID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mbid: Option<String>,
    /// Marked as explicit; none where unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explicit: Option<bool>,
    /// Whether the provider can serve its audio now; none where unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playable: Option<bool>,
    /// Loudness, where the file is tagged with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_gain: Option<ReplayGain>,
    /// The audio as it is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<Audio>,
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

impl Track {
    /// Makes one of which nothing else is known.
    pub fn new(uri: Uri, title: impl Into<String>) -> Self {
        Self {
            uri,
            title: title.into(),
            artists: Vec::new(),
            album: None,
            duration_ms: None,
            disc_number: None,
            track_number: None,
            release_date: None,
            genres: Vec::new(),
            composers: Vec::new(),
            isrc: None,
            mbid: None,
            explicit: None,
            playable: None,
            replay_gain: None,
            audio: None,
            artwork: Vec::new(),
            added_at: None,
            web_url: None,
            locator: None,
        }
    }
}

/// An album, single or compilation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Album {
    /// The item's address.
    pub uri: Uri,
    /// The title, as the source spells it.
    pub title: String,
    /// The album artists, main one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artists: Vec<ArtistRef>,
    /// `YYYY`, `YYYY-MM` or `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
    /// MusicBrainz release id, a UUID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mbid: Option<String>,
    /// Tracks of several artists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compilation: Option<bool>,
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

impl Album {
    /// Makes one of which nothing else is known.
    pub fn new(uri: Uri, title: impl Into<String>) -> Self {
        Self {
            uri,
            title: title.into(),
            artists: Vec::new(),
            release_date: None,
            genres: Vec::new(),
            track_count: None,
            disc_count: None,
            upc: None,
            mbid: None,
            compilation: None,
            artwork: Vec::new(),
            added_at: None,
            web_url: None,
            locator: None,
        }
    }
}

/// A person or group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Artist {
    /// The item's address.
    pub uri: Uri,
    /// The name, as the source spells it.
    pub name: String,
    /// The name to sort by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort_name: Option<String>,
    /// Genres, as the source spells them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub genres: Vec<String>,
    /// MusicBrainz artist id, a UUID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mbid: Option<String>,
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

impl Artist {
    /// Makes one of which nothing else is known.
    pub fn new(uri: Uri, name: impl Into<String>) -> Self {
        Self {
            uri,
            name: name.into(),
            sort_name: None,
            genres: Vec::new(),
            mbid: None,
            artwork: Vec::new(),
            added_at: None,
            web_url: None,
            locator: None,
        }
    }
}

/// A podcast or audiobook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Show {
    /// The item's address.
    pub uri: Uri,
    /// The title, as the source spells it.
    pub title: String,
    /// Who publishes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher: Option<String>,
    /// Plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How many episodes it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub episode_count: Option<u32>,
    /// Marked as explicit; none where unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explicit: Option<bool>,
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

impl Show {
    /// Makes one of which nothing else is known.
    pub fn new(uri: Uri, title: impl Into<String>) -> Self {
        Self {
            uri,
            title: title.into(),
            publisher: None,
            description: None,
            episode_count: None,
            explicit: None,
            artwork: Vec::new(),
            added_at: None,
            web_url: None,
            locator: None,
        }
    }
}

/// One part of a show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    /// The item's address.
    pub uri: Uri,
    /// The title, as the source spells it.
    pub title: String,
    /// The show it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub show: Option<ShowRef>,
    /// Plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Length in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// `YYYY`, `YYYY-MM` or `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_date: Option<String>,
    /// Its number in its season.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub episode_number: Option<u32>,
    /// Its season.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub season_number: Option<u32>,
    /// Marked as explicit; none where unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explicit: Option<bool>,
    /// Whether the provider can serve its audio now; none where unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playable: Option<bool>,
    /// The audio as it is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<Audio>,
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

impl Episode {
    /// Makes one of which nothing else is known.
    pub fn new(uri: Uri, title: impl Into<String>) -> Self {
        Self {
            uri,
            title: title.into(),
            show: None,
            description: None,
            duration_ms: None,
            release_date: None,
            episode_number: None,
            season_number: None,
            explicit: None,
            playable: None,
            audio: None,
            artwork: Vec::new(),
            added_at: None,
            web_url: None,
            locator: None,
        }
    }
}

/// An artist as another item names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArtistRef {
    /// The name, as the item credits it.
    pub name: String,
    /// The artist's address, where the provider has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<Uri>,
}

/// An album as a track names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlbumRef {
    /// The title.
    pub title: String,
    /// The album's address, where the provider has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<Uri>,
}

/// A show as an episode names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShowRef {
    /// The title.
    pub title: String,
    /// The show's address, where the provider has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<Uri>,
}

/// A picture that `artwork` can serve.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Artwork {
    /// What the provider needs to find it, private to it.
    pub locator: String,
    /// Width in pixels, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Height in pixels, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
}

/// Audio as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Audio {
    /// Media type, such as `audio/flac`.
    pub content_type: String,
    /// Size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Mean bit rate in kbit/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bitrate: Option<u32>,
    /// Samples per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_rate: Option<u32>,
    /// Channels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<u8>,
    /// Bits per sample, where the codec has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bit_depth: Option<u8>,
}

/// ReplayGain 2.0 tags.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReplayGain {
    /// For playing tracks of many albums.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track: Option<Gain>,
    /// For playing a whole album.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub album: Option<Gain>,
}

/// One ReplayGain figure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gain {
    /// Gain in dB.
    pub gain_db: f32,
    /// Highest sample, 1.0 being full scale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<f32>,
}
