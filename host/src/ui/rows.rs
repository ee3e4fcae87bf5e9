//! Lists of items, whatever their kind.

use std::collections::HashSet;

use serde::Deserialize;
use zotify_plugin_api::capability;

use super::words::on_page;
use crate::{
    App,
    api::page::{Meta, RawPage},
    error::{ApiError, ApiResult},
};

/// What the API says of an item, as far as a row shows it.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Doc {
    uri: String,
    kind: String,
    provider: String,
    title: Option<String>,
    name: Option<String>,
    artists: Vec<Named>,
    album: Option<Titled>,
    show: Option<Titled>,
    owner: Option<Named>,
    duration_ms: Option<u64>,
    item_count: Option<u64>,
    playable: Option<bool>,
    artwork: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Titled {
    #[serde(alias = "name")]
    title: String,
}

/// An item as a page shows it.
#[derive(Default)]
pub struct Row {
    /// The kind, for people.
    pub kind: String,
    /// The instance that it comes from.
    pub provider: String,
    /// Title or name.
    pub title: String,
    /// Who made or owns it.
    pub by: String,
    /// What it stands on.
    pub on: String,
    /// Length, or how many entries.
    pub length: String,
    /// The path of its picture.
    pub picture: Option<String>,
    /// The path of its audio, where it can be played.
    pub media: Option<String>,
    /// The path of its own page.
    pub page: Option<String>,
}

/// The instances whose audio can be played now.
pub struct Players(HashSet<String>);

impl Players {
    /// Those that there are at this moment.
    pub fn of(app: &App) -> Self {
        let plays = |report: &crate::providers::Report| {
            report.capabilities.get(capability::MEDIA_STREAM).is_some_and(|can| can.state == "available")
        };
        let reports = app.providers.instances().into_iter().map(|handle| handle.report());
        Self(reports.filter(plays).map(|report| report.id).collect())
    }

    /// The row of an item.
    pub fn row(&self, doc: Doc) -> Row {
        let playable = doc.playable != Some(false) && self.0.contains(&doc.provider);
        let media = match doc.kind.as_str() {
            "track" | "episode" if playable => Some(format!("/api/{}s/{}/media", doc.kind, doc.uri)),
            _ => None,
        };
        let page = match doc.kind.as_str() {
            kind @ ("album" | "playlist") => Some(format!("/ui/{kind}s/{}", doc.uri)),
            _ => None,
        };
        let artists: Vec<String> = doc.artists.into_iter().chain(doc.owner).map(|artist| artist.name).collect();
        let count = |n| if n == 1 { "1 entry".into() } else { format!("{n} entries") };
        Row {
            picture: (!doc.artwork.is_empty()).then(|| format!("/api/artwork/{}?size=96", doc.uri)),
            media,
            page,
            title: doc.title.or(doc.name).unwrap_or_else(|| "(no title)".into()),
            by: artists.join(", "),
            on: doc.album.or(doc.show).map(|parent| parent.title).unwrap_or_default(),
            length: doc.duration_ms.map(clock).or_else(|| doc.item_count.map(count)).unwrap_or_default(),
            kind: doc.kind,
            provider: doc.provider,
        }
    }

    /// The rows of a list of items.
    ///
    /// # Errors
    /// 500, when the list is none.
    pub fn rows(&self, page: &RawPage) -> ApiResult<Vec<Row>> {
        let docs: Vec<Doc> = serde_json::from_str(&page.data).map_err(ApiError::internal)?;
        Ok(docs.into_iter().map(|doc| self.row(doc)).collect())
    }
}

/// A provider that did not contribute, or not freshly.
pub struct Lack {
    /// The instance.
    pub provider: String,
    /// One sentence for people.
    pub detail: String,
}

/// What is missing from a list, by provider.
pub fn lacks(meta: &Meta) -> Vec<Lack> {
    let parts = meta.providers.iter().flatten().filter(|(_, part)| part.state != "ok");
    parts
        .map(|(provider, part)| Lack {
            provider: provider.clone(),
            detail: part.detail.as_deref().map(on_page).unwrap_or_else(|| format!("its part is {}", part.state)),
        })
        .collect()
}

/// A length in milliseconds as minutes and seconds, with hours where there are any.
fn clock(ms: u64) -> String {
    let seconds = ms / 1000;
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{rest:02}") } else { format!("{minutes}:{rest:02}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_of_every_kind_are_read_from_the_apis_documents() {
        let players = Players(HashSet::from(["local".to_owned()]));
        let row = |doc| players.row(serde_json::from_value(doc).unwrap());
        let track = row(json!({"uri": "local:track:x", "kind": "track", "provider": "local", "title": "T",
            "artists": [{"name": "A"}, {"name": "B"}], "album": {"title": "L"}, "duration_ms": 3_725_000, "artwork": [{}]}));
        assert_eq!((track.by.as_str(), track.on.as_str(), track.length.as_str()), ("A, B", "L", "1:02:05"));
        assert_eq!(track.media.as_deref(), Some("/api/tracks/local:track:x/media"));
        assert_eq!(track.picture.as_deref(), Some("/api/artwork/local:track:x?size=96"));
        let mute = row(json!({"uri": "local:track:x", "kind": "track", "provider": "local", "playable": false}));
        assert!(mute.media.is_none() && mute.picture.is_none());
        let far = row(json!({"uri": "far:episode:x", "kind": "episode", "provider": "far", "show": {"title": "S"}}));
        assert!(far.media.is_none() && far.on == "S");
        let list = row(json!({"uri": "local:playlist:p", "kind": "playlist", "provider": "local", "name": "P",
            "owner": {"name": "anna"}, "item_count": 1}));
        assert_eq!((list.title.as_str(), list.by.as_str(), list.length.as_str()), ("P", "anna", "1 entry"));
        assert_eq!(list.page.as_deref(), Some("/ui/playlists/local:playlist:p"));
    }
}
