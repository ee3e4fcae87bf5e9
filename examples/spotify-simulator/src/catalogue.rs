//! Single things, what is in them, search and pictures.

use serde_json::{Map, Value, json};

use crate::{
    call::{Answer, Body, Call, Reply, ok},
    content::{Item, uri},
    random::is_id,
    shape::page,
    state::State,
};

/// What a path names.
fn find(state: &State, call: &Call, kind: &str) -> Result<Item, Reply> {
    if !is_id(&call.id) {
        return Err(Reply::refused(400, "Invalid base62 id"));
    }
    state.catalogue.find(&uri(kind, &call.id)).ok_or_else(|| Reply::refused(404, "Resource not found"))
}

pub(crate) fn track(state: &mut State, call: &Call) -> Answer {
    single(state, call, "track")
}

pub(crate) fn album(state: &mut State, call: &Call) -> Answer {
    single(state, call, "album")
}

pub(crate) fn artist(state: &mut State, call: &Call) -> Answer {
    single(state, call, "artist")
}

pub(crate) fn episode(state: &mut State, call: &Call) -> Answer {
    single(state, call, "episode")
}

fn single(state: &State, call: &Call, kind: &str) -> Answer {
    find(state, call, kind)?;
    let listed = uri(kind, &call.id);
    let listed = state.relinked.get(&listed).unwrap_or(&listed);
    ok(state.shape().item(listed).unwrap_or_default())
}

pub(crate) fn show(state: &mut State, call: &Call) -> Answer {
    let Item::Show(n) = find(state, call, "show")? else { return Err(Reply::refused(404, "Resource not found")) };
    ok(state.shape().show(n))
}

/// `GET /albums/{id}/tracks`.
pub(crate) fn album_tracks(state: &mut State, call: &Call) -> Answer {
    let Item::Album(n) = find(state, call, "album")? else { return Err(Reply::refused(404, "Resource not found")) };
    let all = state.catalogue.albums[n].tracks.clone();
    let slice = call.slice(all.len())?;
    let rows = all.skip(slice.offset).take(slice.limit).map(|n| state.shape().track_row(n)).collect();
    ok(call.page(&state.base, slice, rows))
}

/// `GET /shows/{id}/episodes`, the newest first.
pub(crate) fn show_episodes(state: &mut State, call: &Call) -> Answer {
    let Item::Show(n) = find(state, call, "show")? else { return Err(Reply::refused(404, "Resource not found")) };
    let all = state.catalogue.shows[n].episodes.clone();
    let slice = call.slice(all.len())?;
    let rows = all.skip(slice.offset).take(slice.limit).map(|n| state.shape().episode_row(n)).collect();
    ok(call.page(&state.base, slice, rows))
}

/// `GET /artists/{id}/albums`: at most ten at once in development mode.
pub(crate) fn artist_albums(state: &mut State, call: &Call) -> Answer {
    let Item::Artist(n) = find(state, call, "artist")? else { return Err(Reply::refused(404, "Resource not found")) };
    let shape = state.shape();
    let groups = call.query("include_groups").unwrap_or("album,single,appears_on,compilation");
    let known = ["album", "single", "appears_on", "compilation"];
    if groups.split(',').any(|group| !known.contains(&group)) {
        return Err(Reply::refused(400, "Invalid include_groups"));
    }
    let all = shape.all.albums.iter().enumerate().filter(|(_, album)| album.artist == n);
    let rows = all.map(|(n, _)| shape.discography_row(n));
    let rows: Vec<_> = rows.filter(|row| groups.split(',').any(|group| row["album_type"] == group)).collect();
    let slice = if state.options.legacy { call.slice(rows.len())? } else { call.slice_of(rows.len(), 5, 10)? };
    ok(call.page(&state.base, slice, rows.into_iter().skip(slice.offset).take(slice.limit).collect()))
}

/// A search, taken apart: `artist:"a b" word isrc:X`.
struct Query {
    words: Vec<String>,
    filters: Vec<(String, String)>,
}

impl Query {
    fn parse(text: &str) -> Self {
        let mut query = Self { words: Vec::new(), filters: Vec::new() };
        let mut rest = text.trim();
        while !rest.is_empty() {
            let colon = rest.find(':').filter(|at| rest[..*at].chars().all(char::is_alphanumeric) && *at > 0);
            let (key, value) = colon.map_or((None, rest), |at| (Some(&rest[..at]), &rest[at + 1..]));
            let (value, end) = match value.strip_prefix('"').and_then(|value| Some((value, value.find('"')?))) {
                Some((inner, end)) => (&inner[..end], &inner[end + 1..]),
                None => value.split_once(' ').unwrap_or((value, "")),
            };
            let value = value.trim_matches('"').to_lowercase();
            match key {
                Some(key) => query.filters.push((key.to_lowercase(), value)),
                None => query.words.extend(value.split_whitespace().map(str::to_owned)),
            }
            rest = end.trim_start();
        }
        query
    }

    /// Whether something fits: `about` is all its text, and `field` what it has of a filter's field.
    fn fits<'a>(&self, about: &str, field: impl Fn(&str) -> Option<&'a str>) -> bool {
        let about = about.to_lowercase();
        let fits = |(key, wanted): &(String, String)| match (key.as_str(), field(key)) {
            ("isrc" | "upc", found) => found.is_some_and(|f| f.eq_ignore_ascii_case(&wanted.replace('-', ""))),
            ("year", found) => found.is_some_and(|f| in_years(f, wanted)),
            (_, found) => found.is_some_and(|f| f.to_lowercase().contains(wanted.as_str())),
        };
        self.words.iter().all(|word| about.contains(word.as_str())) && self.filters.iter().all(fits)
    }
}

fn in_years(released: &str, wanted: &str) -> bool {
    let (first, last) = wanted.split_once('-').unwrap_or((wanted, wanted));
    released.get(..4).is_some_and(|year| (first..=last).contains(&year))
}

/// `GET /search`: each kind with a page of its own.
pub(crate) fn search(state: &mut State, call: &Call) -> Answer {
    let text =
        call.query("q").filter(|q| !q.trim().is_empty()).ok_or_else(|| Reply::refused(400, "No search query"))?;
    let kinds = call.query("type").ok_or_else(|| Reply::refused(400, "Missing parameter type"))?;
    let (default, max) = if state.options.legacy { (20, 50) } else { (5, 10) };
    call.number("limit", default, 0, max)?;
    call.number("offset", 0, 0, 1_000)?;
    let query = Query::parse(text);
    let mut found = Map::new();
    for kind in kinds.split(',') {
        let rows = match kind {
            "track" => tracks_like(state, &query),
            "album" => albums_like(state, &query),
            "artist" => artists_like(state, &query),
            "show" => shows_like(state, &query),
            "episode" => episodes_like(state, &query),
            "playlist" => crate::playlists::like(state, |name| query.fits(name, |_| None)),
            "audiobook" => Vec::new(),
            _ => return Err(Reply::refused(400, &format!("Bad search type field {kind}"))),
        };
        let slice = call.slice_of(rows.len().min(1_000), default, max)?;
        let part = rows.into_iter().take(1_000).skip(slice.offset).take(slice.limit).collect();
        let rest = [("q".to_owned(), text.to_owned()), ("type".to_owned(), kind.to_owned())];
        found.insert(format!("{kind}s"), page(&state.base, "/v1/search", &rest, slice, part));
    }
    ok(Value::Object(found))
}

fn tracks_like(state: &State, query: &Query) -> Vec<Value> {
    let shape = state.shape();
    let fits = |(_, track): &(usize, &crate::content::Track)| {
        let album = &shape.all.albums[track.album];
        let artists = track.artists.iter().map(|n| shape.all.artists[*n].name.as_str()).collect::<Vec<_>>().join(" ");
        query.fits(&format!("{} {} {artists}", track.name, album.name), |key| match key {
            "isrc" => Some(&track.isrc),
            "track" => Some(&track.name),
            "album" => Some(&album.name),
            "artist" => Some(&artists),
            "year" => Some(&album.released),
            _ => None,
        })
    };
    shape.all.tracks.iter().enumerate().filter(fits).take(1_000).map(|(n, _)| shape.track(n)).collect()
}

fn albums_like(state: &State, query: &Query) -> Vec<Value> {
    let shape = state.shape();
    let fits = |(_, album): &(usize, &crate::content::Album)| {
        query.fits(&shape.words_of(album), |key| match key {
            "upc" => Some(&album.upc),
            "album" => Some(&album.name),
            "artist" => Some(&shape.all.artists[album.artist].name),
            "year" => Some(&album.released),
            _ => None,
        })
    };
    shape.all.albums.iter().enumerate().filter(fits).take(1_000).map(|(n, _)| shape.album_row(n)).collect()
}

fn artists_like(state: &State, query: &Query) -> Vec<Value> {
    let shape = state.shape();
    let fits = |(_, artist): &(usize, &crate::content::Artist)| {
        query.fits(&artist.name, |key| match key {
            "artist" => Some(&artist.name),
            "genre" => artist.genres.first().copied(),
            _ => None,
        })
    };
    shape.all.artists.iter().enumerate().filter(fits).take(1_000).map(|(n, _)| shape.artist(n)).collect()
}

fn shows_like(state: &State, query: &Query) -> Vec<Value> {
    let shape = state.shape();
    let all = shape.all.shows.iter().enumerate();
    all.filter(|(_, show)| query.fits(&show.name, |_| None)).map(|(n, _)| shape.show_row(n)).collect()
}

fn episodes_like(state: &State, query: &Query) -> Vec<Value> {
    let shape = state.shape();
    let all = shape.all.episodes.iter().enumerate();
    all.filter(|(_, episode)| query.fits(&episode.name, |_| None))
        .take(1_000)
        .map(|(n, _)| shape.episode_row(n))
        .collect()
}

/// A picture, another one for each id: one small JPEG with the id as its comment.
pub(crate) fn image(id: &str) -> Reply {
    const COVER: &[u8] = include_bytes!("cover.jpg");
    let size = u16::try_from(id.len() + 2).unwrap_or(2).to_be_bytes();
    let bytes = [&COVER[..2], &[0xff, 0xfe], &size, id.as_bytes(), &COVER[2..]].concat();
    Reply { status: 200, headers: Vec::new(), body: Body::Bytes("image/jpeg", bytes) }
}

/// A playlist's pictures: its own, or four albums' at once as one.
pub(crate) fn images_of(state: &State, id: &str) -> Value {
    let Some(playlist) = state.playlists.get(id) else { return Value::Null };
    let (own, uploads) = (playlist.image.is_some(), playlist.uploads);
    match (own, playlist.rows.is_empty()) {
        (true, _) => {
            json!([{"url": format!("{}/image/playlist-{id}-{uploads}", state.base), "height": null, "width": null}])
        }
        (false, true) if state.options.tame => json!([]),
        (false, true) => Value::Null,
        (false, false) => state.shape().images(id),
    }
}
