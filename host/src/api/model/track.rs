//! Tracks.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zotify_plugin_api::{self as contract, Kind, Uri};

use super::{ArtistRef, Artwork};

/// A recording as it stands on an album.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Track {
    /// The item's address.
    #[schema(value_type = String, example = "local:track:kq7R")]
    pub uri: Uri,
    /// Always `track`.
    #[schema(value_type = String, pattern = "^track$", example = "track")]
    pub kind: Kind,
    /// The instance that owns it.
    #[schema(example = "local")]
    pub provider: String,
    /// The title, as the source spells it.
    pub title: String,
    /// Who made it, main artist first.
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
    #[schema(example = "1965-06-01")]
    pub release_date: Option<String>,
    /// Genres, as the source spells them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub genres: Vec<String>,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub composers: Vec<String>,
    /// International Standard Recording Code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isrc: Option<String>,
    /// MusicBrainz recording id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mbid: Option<String>,
    /// Marked as explicit; absent where unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explicit: Option<bool>,
    /// Whether the provider can serve its audio now; absent where unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playable: Option<bool>,
    /// Loudness, where the file is tagged with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_gain: Option<ReplayGain>,
    /// The audio as it is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<Audio>,
    /// Its pictures, the largest first.
    pub artwork: Vec<Artwork>,
    /// When it came into the library, RFC 3339 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "2026-05-01T08:00:00Z")]
    pub added_at: Option<String>,
    /// Its page on the web.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_url: Option<String>,
}

impl From<contract::Track> for Track {
    fn from(t: contract::Track) -> Self {
        Self {
            kind: Kind::Track,
            provider: t.uri.instance().to_owned(),
            title: t.title,
            artists: super::artists(t.artists),
            album: t.album.map(|a| AlbumRef { title: a.title, uri: a.uri }),
            duration_ms: t.duration_ms,
            disc_number: t.disc_number,
            track_number: t.track_number,
            release_date: t.release_date,
            genres: t.genres,
            composers: t.composers,
            isrc: t.isrc,
            mbid: t.mbid,
            explicit: t.explicit,
            playable: t.playable,
            replay_gain: t.replay_gain.map(|g| ReplayGain { track: g.track.map(gain), album: g.album.map(gain) }),
            audio: t.audio.map(Into::into),
            artwork: super::artwork(&t.uri, &t.artwork),
            added_at: t.added_at,
            web_url: t.web_url,
            uri: t.uri,
        }
    }
}

/// An album as a track names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AlbumRef {
    /// The title.
    pub title: String,
    /// The album's URI, where the provider has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "local:album:x1")]
    pub uri: Option<Uri>,
}

/// Audio as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Audio {
    /// Media type.
    #[schema(example = "audio/flac")]
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

impl From<contract::Audio> for Audio {
    fn from(a: contract::Audio) -> Self {
        Self {
            content_type: a.content_type,
            size: a.size,
            bitrate: a.bitrate,
            sample_rate: a.sample_rate,
            channels: a.channels,
            bit_depth: a.bit_depth,
        }
    }
}

/// ReplayGain 2.0 figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReplayGain {
    /// For playing tracks of many albums.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track: Option<Gain>,
    /// For playing a whole album.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub album: Option<Gain>,
}

/// One ReplayGain figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Gain {
    /// Gain in dB.
    pub gain_db: f32,
    /// Highest sample, 1.0 being full scale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<f32>,
}

fn gain(gain: contract::Gain) -> Gain {
    Gain { gain_db: gain.gain_db, peak: gain.peak }
}
