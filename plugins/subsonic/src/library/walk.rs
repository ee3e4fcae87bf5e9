//! The steps of reading a collection.

use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use zotify_plugin_api::prelude::*;

use super::{Cursor, Found};
use crate::{client::Session, fields::Fields, items::Items};

/// Rows of each kind on a page of a search.
pub(super) const PAGE: u64 = 200;
/// Artists on a page: they come all at once, and a reply has a limit.
const ARTISTS: usize = 1000;
/// Albums of a page, each of which takes a request.
const ALBUMS: usize = 20;
/// Requests at a time.
const AT_ONCE: usize = 4;

/// How far a walk is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Walk {
    /// By an empty search: where the next page of each kind starts; none after the last one.
    Search {
        artists: Option<u64>,
        albums: Option<u64>,
        songs: Option<u64>,
        /// The first track of the page before.
        first: Option<String>,
    },
    /// The artists of a list, then the albums.
    Artists { from: usize },
    /// Albums one by one.
    Albums {
        from: usize,
        /// The first album of the page before.
        first: Option<String>,
    },
}

impl Walk {
    pub(super) fn search() -> Self {
        Self::Search { artists: Some(0), albums: Some(0), songs: Some(0), first: None }
    }

    pub(super) fn artists() -> Self {
        Self::Artists { from: 0 }
    }
}

/// Reads a page; answers how the walk goes on.
pub(super) async fn step(session: &Session, items: &Items, cursor: &Cursor) -> Result<(Found, Option<Walk>)> {
    match &cursor.walk {
        Walk::Search { artists, albums, songs, first } => {
            search(session, items, cursor, [*artists, *albums, *songs], first.as_deref()).await
        }
        Walk::Artists { from } => artists(session, items, cursor, *from).await,
        Walk::Albums { from, first } => albums(session, items, cursor, *from, first.as_deref()).await,
    }
}

async fn search(
    session: &Session,
    items: &Items,
    cursor: &Cursor,
    from: [Option<u64>; 3],
    before: Option<&str>,
) -> Result<(Found, Option<Walk>)> {
    let counts = [("artistCount", "artistOffset"), ("albumCount", "albumOffset"), ("songCount", "songOffset")];
    let mut params = vec![("query", String::new())];
    for ((count, offset), from) in counts.into_iter().zip(from) {
        params.push((count, if from.is_some() { PAGE } else { 0 }.to_string()));
        params.push((offset, from.unwrap_or(0).to_string()));
    }
    let answer = session.call("search3", params).await.map_err(|f| f.into_error("the collection"))?;
    let found = answer.object("searchResult3");
    let mut page = Found { requests: 1, ..Found::default() };
    // A shorter page than was asked for may just be the server's limit; only an empty one is the end.
    let go_on = |from: Option<u64>, rows: u64| from.filter(|_| rows > 0).map(|from| from.saturating_add(rows));
    let rows = |name| found.list(name).count() as u64;
    let next = [go_on(from[0], rows("artist")), go_on(from[1], rows("album")), go_on(from[2], rows("song"))];
    let first = found.list("song").next().and_then(|song| song.id("id"));
    if from[2] == Some(0) && rows("song") == 0 && (rows("album") > 0 || cursor.seen.count().is_some_and(|n| n > 0)) {
        // It does not answer an empty search with everything after all.
        return Ok((page, Some(Walk::artists())));
    }
    if first.is_some() && first.as_deref() == before {
        return Err(repeats());
    }
    if from[0].is_some() {
        page.items.extend(found.list("artist").filter_map(|artist| items.artist(artist).map(Item::Artist)));
    }
    if from[1].is_some() {
        page.items.extend(found.list("album").filter_map(|album| items.album(album).map(Item::Album)));
    }
    if from[2].is_some() {
        page.add_tracks(items, found.list("song"));
    }
    let walk = next.iter().any(Option::is_some).then_some(Walk::Search {
        artists: next[0],
        albums: next[1],
        songs: next[2],
        first,
    });
    Ok((page, walk))
}

async fn artists(session: &Session, items: &Items, cursor: &Cursor, from: usize) -> Result<(Found, Option<Walk>)> {
    let answer = session.call("getArtists", Vec::new()).await.map_err(|f| f.into_error("the artists"))?;
    let all = || answer.object("artists").list("index").flat_map(|index| index.list("artist"));
    let sum = |all: u64, n: u64| all.saturating_add(n);
    let (count, albums) = (all().count(), all().filter_map(|artist| artist.number("albumCount")).fold(0, sum));
    let page_of = |n: u64, size: usize| n.div_ceil(size as u64);
    let tracks = cursor.seen.count().unwrap_or(0);
    let forecast = Forecast {
        requests: [page_of(count as u64, ARTISTS).max(1), page_of(albums, ALBUMS), 1, albums, cursor.seen.requests]
            .into_iter()
            .fold(cursor.requests, sum),
        items: [albums, tracks].into_iter().fold(count as u64, sum),
    };
    let page = Found {
        items: all().skip(from).take(ARTISTS).filter_map(|artist| items.artist(artist).map(Item::Artist)).collect(),
        requests: 1,
        forecast: cursor.forecast.filter(|_| from > 0).or(Some(forecast)),
        ..Found::default()
    };
    let next = from.saturating_add(ARTISTS);
    let walk = if next < count { Walk::Artists { from: next } } else { Walk::Albums { from: 0, first: None } };
    Ok((page, Some(walk)))
}

async fn albums(
    session: &Session,
    items: &Items,
    cursor: &Cursor,
    from: usize,
    before: Option<&str>,
) -> Result<(Found, Option<Walk>)> {
    let params =
        vec![("type", "alphabeticalByName".to_owned()), ("size", ALBUMS.to_string()), ("offset", from.to_string())];
    let answer = session.call("getAlbumList2", params).await.map_err(|f| f.into_error("the albums"))?;
    let listed: Vec<_> = answer.object("albumList2").list("album").take(ALBUMS).collect();
    let mut page = Found { requests: 1 + listed.len() as u64, ..Found::default() };
    let first = listed.first().and_then(|album| album.id("id"));
    if first.is_some() && first.as_deref() == before {
        return Err(repeats());
    }
    for some in listed.chunks(AT_ONCE) {
        for read in try_join_all(some.iter().map(|album| album_of(session, *album))).await? {
            match read {
                Ok(answer) => {
                    let album = answer.object("album");
                    page.items.extend(items.album(album).map(Item::Album));
                    page.add_tracks(items, album.list("song"));
                }
                Err(skipped) => {
                    page.unread += 1;
                    page.skipped.push(skipped);
                }
            }
        }
    }
    if cursor.seen.count().is_none() {
        // Nobody said how many tracks there are.
        page.forecast =
            cursor.forecast.map(|whole| Forecast { items: whole.items.saturating_add(page.tracks), ..whole });
    }
    let walk = (!listed.is_empty()).then(|| Walk::Albums { from: from.saturating_add(listed.len()), first });
    Ok((page, walk))
}

/// An album with its songs; else that it cannot be read, or why the run cannot go on.
async fn album_of(session: &Session, album: Fields<'_>) -> Result<Result<crate::client::Answer, Skipped>> {
    let skipped = |code: &str, detail: &str| Skipped {
        name: album.name("name").unwrap_or_else(|| "an album".into()),
        code: code.into(),
        detail: detail.into(),
    };
    let Some(id) = album.id("id") else { return Ok(Err(skipped("no_id", "the server names no usable id"))) };
    match session.call("getAlbum", vec![("id", id)]).await {
        Ok(answer) if answer.object("album").id("id").is_some() => Ok(Ok(answer)),
        Ok(_) => Ok(Err(skipped("unreadable", "the server answers another thing than the album"))),
        Err(failure) if failure.is_missing() => {
            Ok(Err(skipped("unreadable", "the server lists it, and does not have it")))
        }
        Err(failure) if failure.is_vague() => {
            Ok(Err(skipped("unreadable", "the server lists it, and fails to answer it")))
        }
        Err(failure) => Err(failure.into_error("an album")),
    }
}

impl Found {
    fn add_tracks<'a>(&mut self, items: &Items, songs: impl Iterator<Item = Fields<'a>>) {
        for song in songs {
            match items.track(song) {
                Some(track) => {
                    self.tracks += 1;
                    self.items.push(Item::Track(track));
                }
                None => self.skipped.push(Skipped {
                    name: song.name("title").unwrap_or_else(|| "a track".into()),
                    code: if song.flag("isVideo") == Some(true) { "video" } else { "not_a_track" }.into(),
                    detail: "it is no track, or has no id that could be kept".into(),
                }),
            }
        }
    }
}

fn repeats() -> ProviderError {
    let text = "the server answers the same page again when asked for the next one";
    ProviderError::new(ErrorKind::BadUpstream, text).with_code("pages_repeat")
}
