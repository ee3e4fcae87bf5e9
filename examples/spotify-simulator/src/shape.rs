//! How things look in answers: as apps in development mode see them since 2026, or with every field (`legacy`).

use serde_json::{Map, Value, json};

use crate::{
    content::{Album, Catalogue, Episode, Item, Track, uri},
    state::State,
};

/// What shapes need to know.
pub(crate) struct Shape<'a> {
    pub(crate) base: &'a str,
    pub(crate) legacy: bool,
    pub(crate) all: &'a Catalogue,
}

impl State {
    pub(crate) fn shape(&self) -> Shape<'_> {
        Shape { base: &self.base, legacy: self.options.legacy, all: &self.catalogue }
    }
}

/// An object with the entries of another one.
fn with(mut object: Value, more: Value) -> Value {
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.extend(more);
    }
    object
}

impl Shape<'_> {
    /// What everything has: a type, an id and addresses.
    fn named(&self, kind: &str, id: &str, name: &str) -> Value {
        json!({
            "type": kind,
            "id": id,
            "uri": uri(kind, id),
            "name": name,
            "href": format!("{}/v1/{kind}s/{id}", self.base),
            "external_urls": {"spotify": format!("https://open.spotify.com/{kind}/{id}")},
        })
    }

    pub(crate) fn images(&self, id: &str) -> Value {
        let image =
            |size: u32| json!({"url": format!("{}/image/{id}-{size}", self.base), "height": size, "width": size});
        json!([image(640), image(300), image(64)])
    }

    /// Fields that only apps with extended quota get.
    fn old(&self, value: Value, fields: Value) -> Value {
        if self.legacy { with(value, fields) } else { value }
    }

    fn artist_ref(&self, n: usize) -> Value {
        let artist = &self.all.artists[n];
        self.named("artist", &artist.id, &artist.name)
    }

    pub(crate) fn artist(&self, n: usize) -> Value {
        let artist = &self.all.artists[n];
        let more = json!({"genres": artist.genres, "images": self.images(&artist.id)});
        let old = json!({"followers": {"href": null, "total": 1_000 + n}, "popularity": n % 100});
        self.old(with(self.artist_ref(n), more), old)
    }

    /// An album as it stands in tracks and lists.
    pub(crate) fn album_row(&self, n: usize) -> Value {
        let album = &self.all.albums[n];
        let kind = if album.tracks.len() < 3 { "single" } else { "album" };
        let precision = ["year", "month", "day"][album.released.matches('-').count()];
        let more = json!({
            "album_type": kind,
            "total_tracks": album.tracks.len(),
            "images": self.images(&album.id),
            "release_date": album.released,
            "release_date_precision": precision,
            "artists": [self.artist_ref(album.artist)],
        });
        self.old(with(self.named("album", &album.id, &album.name), more), json!({"available_markets": ["DE", "US"]}))
    }

    pub(crate) fn album(&self, n: usize) -> Value {
        let album = &self.all.albums[n];
        let rows: Vec<_> = album.tracks.clone().take(50).map(|track| self.track_row(track)).collect();
        let path = format!("/v1/albums/{}/tracks", album.id);
        let more = json!({
            "tracks": page(self.base, &path, &[], Slice { offset: 0, limit: 50, total: album.tracks.len() }, rows),
            "copyrights": [{"text": format!("℗ {}", self.all.artists[album.artist].name), "type": "P"}],
            "external_ids": {"upc": album.upc},
            "genres": [],
        });
        self.old(with(self.album_row(n), more), json!({"label": "Nobody Records", "popularity": n % 100}))
    }

    /// An album in an artist's discography.
    pub(crate) fn discography_row(&self, n: usize) -> Value {
        let row = self.album_row(n);
        let group = row["album_type"].clone();
        self.old(row, json!({"album_group": group}))
    }

    /// A track as it stands in its album.
    pub(crate) fn track_row(&self, n: usize) -> Value {
        let track: &Track = &self.all.tracks[n];
        let more = json!({
            "artists": track.artists.iter().map(|n| self.artist_ref(*n)).collect::<Vec<_>>(),
            "disc_number": 1,
            "track_number": track.number,
            "duration_ms": track.duration_ms,
            "explicit": track.explicit,
            "is_local": false,
            "is_playable": true,
            "preview_url": null,
        });
        self.old(with(self.named("track", &track.id, &track.name), more), json!({"available_markets": ["DE", "US"]}))
    }

    pub(crate) fn track(&self, n: usize) -> Value {
        let track = &self.all.tracks[n];
        let more = json!({"album": self.album_row(track.album), "external_ids": {"isrc": track.isrc}});
        self.old(with(self.track_row(n), more), json!({"popularity": n % 100}))
    }

    /// A show as it stands in lists and episodes.
    pub(crate) fn show_row(&self, n: usize) -> Value {
        let show = &self.all.shows[n];
        let more = json!({
            "copyrights": [],
            "description": format!("{}, every week & sometimes more.", show.name),
            "html_description": format!("<p>{}, every week &amp; sometimes more.</p>", show.name),
            "explicit": false,
            "images": self.images(&show.id),
            "is_externally_hosted": false,
            "languages": ["en"],
            "media_type": "audio",
            "total_episodes": show.episodes.len(),
        });
        let old = json!({"available_markets": ["DE", "US"], "publisher": show.publisher});
        self.old(with(self.named("show", &show.id, &show.name), more), old)
    }

    pub(crate) fn show(&self, n: usize) -> Value {
        let show = &self.all.shows[n];
        let rows: Vec<_> = show.episodes.clone().take(50).map(|episode| self.episode_row(episode)).collect();
        let path = format!("/v1/shows/{}/episodes", show.id);
        let slice = Slice { offset: 0, limit: 50, total: show.episodes.len() };
        with(self.show_row(n), json!({"episodes": page(self.base, &path, &[], slice, rows)}))
    }

    /// An episode as it stands in its show.
    pub(crate) fn episode_row(&self, n: usize) -> Value {
        let episode: &Episode = &self.all.episodes[n];
        let more = json!({
            "audio_preview_url": null,
            "description": format!("About {}.", episode.name),
            "html_description": format!("<p>About {}.</p>", episode.name),
            "duration_ms": episode.duration_ms,
            "explicit": false,
            "images": self.images(&episode.id),
            "is_externally_hosted": false,
            "is_playable": true,
            "language": "en",
            "languages": ["en"],
            "release_date": episode.released,
            "release_date_precision": "day",
            "resume_point": {"fully_played": n.is_multiple_of(3), "resume_position_ms": 0},
        });
        with(self.named("episode", &episode.id, &episode.name), more)
    }

    pub(crate) fn episode(&self, n: usize) -> Value {
        with(self.episode_row(n), json!({"show": self.show_row(self.all.episodes[n].show)}))
    }

    /// Anything by its URI, whole.
    pub(crate) fn item(&self, uri: &str) -> Option<Value> {
        Some(match self.all.find(uri)? {
            Item::Artist(n) => self.artist(n),
            Item::Album(n) => self.album(n),
            Item::Track(n) => self.track(n),
            Item::Show(n) => self.show_row(n),
            Item::Episode(n) => self.episode(n),
        })
    }

    /// A file of the user's own, of which the service knows only what its URI says.
    pub(crate) fn local(uri: &str) -> Value {
        let mut parts = uri.split(':').skip(2).map(|part| {
            url::form_urlencoded::parse(part.as_bytes()).next().map(|(text, _)| text.into_owned()).unwrap_or_default()
        });
        let [artist, album, title, seconds] = std::array::from_fn(|_| parts.next().unwrap_or_default());
        let nobody = |kind: &str, name: &str| json!({"type": kind, "id": null, "uri": null, "href": null, "name": name, "external_urls": {}});
        let nowhere = json!({
            "album_type": null, "release_date": null, "release_date_precision": null, "images": [], "artists": [],
        });
        json!({
            "type": "track", "id": null, "uri": uri, "href": null, "name": title, "is_local": true, "explicit": false,
            "album": with(nobody("album", &album), nowhere), "artists": [nobody("artist", &artist)], "disc_number": 0,
            "track_number": 0, "duration_ms": seconds.parse::<u64>().unwrap_or_default() * 1_000, "external_ids": {},
            "external_urls": {}, "preview_url": null,
        })
    }

    /// A user as playlists name them.
    pub(crate) fn user_ref(&self, id: &str) -> Value {
        let path: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
        let path = path.replace('+', "%20");
        json!({
            "type": "user",
            "id": id,
            "uri": format!("spotify:user:{path}"),
            "href": format!("{}/v1/users/{path}", self.base),
            "external_urls": {"spotify": format!("https://open.spotify.com/user/{path}")},
        })
    }

    /// The name of an album and those of its artists, for search.
    pub(crate) fn words_of(&self, album: &Album) -> String {
        format!("{} {}", album.name, self.all.artists[album.artist].name)
    }
}

/// Which part of a list is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice {
    pub(crate) offset: usize,
    pub(crate) limit: usize,
    pub(crate) total: usize,
}

/// A page of a list, with the addresses of its neighbours. `query` is what they carry besides limit and offset.
pub(crate) fn page(base: &str, path: &str, query: &[(String, String)], slice: Slice, rows: Vec<Value>) -> Value {
    let Slice { offset, limit, total } = slice;
    let at = |offset: usize| {
        let mut text = url::form_urlencoded::Serializer::new(String::new());
        text.append_pair("offset", &offset.to_string()).append_pair("limit", &limit.to_string()).extend_pairs(query);
        Value::String(format!("{base}{path}?{}", text.finish()))
    };
    let mut page = Map::new();
    page.insert("href".into(), at(offset));
    page.insert("limit".into(), limit.into());
    page.insert("next".into(), if offset + limit < total { at(offset + limit) } else { Value::Null });
    page.insert("offset".into(), offset.into());
    page.insert("previous".into(), if offset > 0 { at(offset.saturating_sub(limit)) } else { Value::Null });
    page.insert("total".into(), total.into());
    page.insert("items".into(), Value::Array(rows));
    Value::Object(page)
}
