//! Items of rows as Spotify answers them: one by one, and of each only what is there. Nothing but the address is needed.

use serde_json::Value;
use zotify_plugin_api::prelude::*;

use crate::text::{date, description, is_id, isrc, list, number, ordinal, text};

/// The most artists or pictures of one item.
const MAX_LIST: usize = 20;

/// Why a row is no item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Spotify lists something that is not there any more.
    Empty,
    /// A kind that is not known here, or a file on somebody's disk.
    Foreign,
}

/// Makes items of one instance.
#[derive(Clone, Copy)]
pub(crate) struct Decoder<'a> {
    pub cx: &'a Context,
    /// What playlists call the account as their owner.
    pub user_id: &'a str,
}

impl Decoder<'_> {
    /// The item of an object, by its own `type`.
    ///
    /// # Errors
    /// Why it is none.
    pub(crate) fn item(&self, value: &Value) -> Result<Item, Unreadable> {
        let (kind, id) = identity(value)?;
        self.of_kind(value, kind, &id)
    }

    /// As [`Decoder::item`], with when it was saved.
    pub(crate) fn saved(&self, value: &Value, added_at: Option<&str>) -> Result<Item, Unreadable> {
        let mut item = self.item(value)?;
        let added = added_at.map(str::to_owned);
        match &mut item {
            Item::Track(x) => x.added_at = added,
            Item::Album(x) => x.added_at = added,
            Item::Artist(x) => x.added_at = added,
            Item::Show(x) => x.added_at = added,
            Item::Episode(x) => x.added_at = added,
            _ => {}
        }
        Ok(item)
    }

    /// The address of an item.
    pub(crate) fn uri(&self, kind: Kind, id: &str) -> Result<Uri, Unreadable> {
        self.cx.uri(kind, id).map_err(|_| Unreadable::Foreign)
    }

    fn of_kind(&self, value: &Value, kind: Kind, id: &str) -> Result<Item, Unreadable> {
        let uri = self.uri(kind, id)?;
        let name = text(value, "name").unwrap_or("").to_owned();
        let page = || Some(web_url(value, kind, id));
        Ok(match kind {
            Kind::Track => Item::Track(Track { web_url: page(), ..self.track(value, Track::new(uri, name)) }),
            Kind::Album => Item::Album(Album { web_url: page(), ..self.album(value, Album::new(uri, name)) }),
            Kind::Artist => {
                let (genres, artwork) = (texts(value, "genres"), pictures(value));
                Item::Artist(Artist { genres, artwork, web_url: page(), ..Artist::new(uri, name) })
            }
            Kind::Playlist => {
                Item::Playlist(self.playlist(value, Playlist { web_url: page(), ..Playlist::new(uri, name) }))
            }
            Kind::Show => Item::Show(Show { web_url: page(), ..show(value, Show::new(uri, name)) }),
            Kind::Episode => Item::Episode(Episode { web_url: page(), ..self.episode(value, Episode::new(uri, name)) }),
        })
    }

    fn track(&self, value: &Value, track: Track) -> Track {
        let album = value.get("album").filter(|album| album.is_object());
        let codes = value.get("external_ids");
        Track {
            artists: self.artists(value),
            album: album.and_then(|album| self.album_ref(album)),
            duration_ms: number(value, "duration_ms"),
            disc_number: ordinal(value, "disc_number"),
            track_number: ordinal(value, "track_number"),
            release_date: album.and_then(|album| date(album, "release_date")),
            isrc: codes.and_then(|codes| text(codes, "isrc")).and_then(isrc),
            explicit: value.get("explicit").and_then(Value::as_bool),
            playable: unplayable(value),
            artwork: album.map(pictures).unwrap_or_default(),
            ..track
        }
    }

    fn album(&self, value: &Value, album: Album) -> Album {
        let codes = value.get("external_ids");
        let upc = codes.and_then(|codes| text(codes, "upc").or_else(|| text(codes, "ean")));
        Album {
            artists: self.artists(value),
            release_date: date(value, "release_date"),
            genres: texts(value, "genres"),
            track_count: number(value, "total_tracks").and_then(|n| u32::try_from(n).ok()),
            upc: upc.map(str::to_owned),
            compilation: text(value, "album_type").map(|kind| kind == "compilation"),
            artwork: pictures(value),
            ..album
        }
    }

    fn episode(&self, value: &Value, episode: Episode) -> Episode {
        let show = value.get("show").filter(|show| show.is_object());
        let show_ref =
            |show| Some(ShowRef { title: text(show, "name")?.to_owned(), uri: self.reference(show, Kind::Show) });
        Episode {
            show: show.and_then(show_ref),
            description: description(value, "description"),
            duration_ms: number(value, "duration_ms"),
            release_date: date(value, "release_date"),
            explicit: value.get("explicit").and_then(Value::as_bool),
            playable: unplayable(value),
            artwork: pictures(value),
            ..episode
        }
    }

    fn playlist(&self, value: &Value, playlist: Playlist) -> Playlist {
        let owner = value.get("owner");
        let owned = owner.and_then(|owner| text(owner, "id")).is_some_and(|id| !id.is_empty() && id == self.user_id);
        let collaborative = value.get("collaborative").and_then(Value::as_bool).unwrap_or(false);
        // The new name first: some answers hold both.
        let contents = [value.get("items"), value.get("tracks")].into_iter().flatten().find(|c| c.is_object());
        Playlist {
            description: description(value, "description"),
            owner: owner.and_then(|owner| text(owner, "display_name").or_else(|| text(owner, "id"))).map(str::to_owned),
            public: value.get("public").and_then(Value::as_bool),
            collaborative,
            editable: owned || collaborative,
            item_count: contents.and_then(|contents| number(contents, "total")),
            version: text(value, "snapshot_id").map(str::to_owned),
            artwork: pictures(value),
            ..playlist
        }
    }

    fn artists(&self, value: &Value) -> Vec<ArtistRef> {
        let artist = |artist| {
            Some(ArtistRef { name: text(artist, "name")?.to_owned(), uri: self.reference(artist, Kind::Artist) })
        };
        list(value, "artists").iter().filter_map(artist).take(MAX_LIST).collect()
    }

    pub(crate) fn album_ref(&self, album: &Value) -> Option<AlbumRef> {
        Some(AlbumRef { title: text(album, "name")?.to_owned(), uri: self.reference(album, Kind::Album) })
    }

    fn reference(&self, value: &Value, kind: Kind) -> Option<Uri> {
        let (found, id) = identity(value).ok()?;
        (found == kind).then(|| self.uri(kind, &id).ok()).flatten()
    }
}

/// What an object is, and its id. A track that stands in for another one is what was saved: that one.
pub(crate) fn identity(value: &Value) -> Result<(Kind, String), Unreadable> {
    let saved = value.get("linked_from").filter(|from| from.is_object() && text(from, "uri").is_some());
    let value = saved.unwrap_or(value);
    if let Some(uri) = text(value, "uri") {
        return parse_uri(uri).ok_or(Unreadable::Foreign);
    }
    let Some(id) = text(value, "id") else { return Err(Unreadable::Empty) };
    let kind = text(value, "type").and_then(|kind| kind.parse::<Kind>().ok()).ok_or(Unreadable::Foreign)?;
    is_id(id).then(|| (kind, id.to_owned())).ok_or(Unreadable::Foreign)
}

/// The kind and id of a URI of Spotify's that names an item.
pub(crate) fn parse_uri(uri: &str) -> Option<(Kind, String)> {
    let mut parts: Vec<&str> = uri.split(':').collect();
    if parts.first() != Some(&"spotify") {
        return None;
    }
    // The old form of playlists names their owner.
    if parts.get(1) == Some(&"user") && parts.get(3) == Some(&"playlist") {
        parts.drain(1..3);
    }
    match parts[..] {
        [_, kind, id] if is_id(id) => Some((kind.parse().ok()?, id.to_owned())),
        _ => None,
    }
}

/// An item's URI as Spotify writes it; none where the id is none of Spotify's.
pub(crate) fn spotify_uri(uri: &Uri) -> Option<String> {
    is_id(uri.id()).then(|| format!("spotify:{}:{}", uri.kind(), uri.id()))
}

fn show(value: &Value, show: Show) -> Show {
    Show {
        publisher: text(value, "publisher").map(str::to_owned),
        description: description(value, "description"),
        episode_count: number(value, "total_episodes").and_then(|n| u32::try_from(n).ok()),
        explicit: value.get("explicit").and_then(Value::as_bool),
        artwork: pictures(value),
        ..show
    }
}

/// Only that something cannot be played is known: the audio is not for this provider to serve.
fn unplayable(value: &Value) -> Option<bool> {
    value.get("is_playable").and_then(Value::as_bool).filter(|playable| !playable)
}

fn texts(value: &Value, key: &str) -> Vec<String> {
    list(value, key).iter().filter_map(Value::as_str).take(MAX_LIST).map(str::to_owned).collect()
}

/// The pictures, the largest first.
fn pictures(value: &Value) -> Vec<Artwork> {
    let size = |picture: &Value, key| number(picture, key).and_then(|n| u32::try_from(n).ok());
    let picture = |picture: &Value| {
        let locator = text(picture, "url")?.trim().to_owned();
        Some(Artwork { locator, width: size(picture, "width"), height: size(picture, "height") })
    };
    let mut pictures: Vec<Artwork> = list(value, "images").iter().filter_map(picture).take(MAX_LIST).collect();
    pictures.sort_by_key(|picture| std::cmp::Reverse(picture.width));
    pictures
}

fn web_url(value: &Value, kind: Kind, id: &str) -> String {
    let said = value.get("external_urls").and_then(|urls| text(urls, "spotify"));
    said.filter(|url| url.starts_with("https://"))
        .map_or_else(|| format!("https://open.spotify.com/{kind}/{id}"), str::to_owned)
}
