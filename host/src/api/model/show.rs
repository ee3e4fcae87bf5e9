//! Shows and their episodes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zotify_plugin_api::{self as contract, Kind, Uri};

use super::{Artwork, Audio};

/// A podcast or audiobook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Show {
    /// The item's address.
    #[schema(value_type = String, example = "podcast:show:b7")]
    pub uri: Uri,
    /// Always `show`.
    #[schema(value_type = String, pattern = "^show$", example = "show")]
    pub kind: Kind,
    /// The instance that owns it.
    #[schema(example = "podcast")]
    pub provider: String,
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
    /// Marked as explicit; absent where unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explicit: Option<bool>,
    /// Its pictures, the largest first.
    pub artwork: Vec<Artwork>,
    /// When it came into the library, RFC 3339 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added_at: Option<String>,
    /// Its page on the web.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_url: Option<String>,
}

impl From<contract::Show> for Show {
    fn from(s: contract::Show) -> Self {
        Self {
            kind: Kind::Show,
            provider: s.uri.instance().to_owned(),
            title: s.title,
            publisher: s.publisher,
            description: s.description,
            episode_count: s.episode_count,
            explicit: s.explicit,
            artwork: super::artwork(&s.uri, &s.artwork),
            added_at: s.added_at,
            web_url: s.web_url,
            uri: s.uri,
        }
    }
}

/// A show as an episode names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShowRef {
    /// The title.
    pub title: String,
    /// The show's URI, where the provider has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub uri: Option<Uri>,
}

/// One part of a show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Episode {
    /// The item's address.
    #[schema(value_type = String, example = "podcast:episode:b7-12")]
    pub uri: Uri,
    /// Always `episode`.
    #[schema(value_type = String, pattern = "^episode$", example = "episode")]
    pub kind: Kind,
    /// The instance that owns it.
    #[schema(example = "podcast")]
    pub provider: String,
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
    /// Marked as explicit; absent where unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explicit: Option<bool>,
    /// Whether the provider can serve its audio now; absent where unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playable: Option<bool>,
    /// The audio as it is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<Audio>,
    /// Its pictures, the largest first.
    pub artwork: Vec<Artwork>,
    /// When it came into the library, RFC 3339 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added_at: Option<String>,
    /// Its page on the web.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_url: Option<String>,
}

impl From<contract::Episode> for Episode {
    fn from(e: contract::Episode) -> Self {
        Self {
            kind: Kind::Episode,
            provider: e.uri.instance().to_owned(),
            title: e.title,
            show: e.show.map(|s| ShowRef { title: s.title, uri: s.uri }),
            description: e.description,
            duration_ms: e.duration_ms,
            release_date: e.release_date,
            episode_number: e.episode_number,
            season_number: e.season_number,
            explicit: e.explicit,
            playable: e.playable,
            audio: e.audio.map(Into::into),
            artwork: super::artwork(&e.uri, &e.artwork),
            added_at: e.added_at,
            web_url: e.web_url,
            uri: e.uri,
        }
    }
}
