//! Looking things up at the server.

use serde::{Deserialize, Serialize};
use zotify_plugin_api::prelude::*;

use crate::{client::Session, items::Items, page};

/// Rows of each kind where the host names no number, and at most.
const ROWS: u32 = 20;
const MAX_ROWS: u32 = 100;

/// One item.
pub(crate) async fn get(session: &Session, items: &Items, uri: &Uri) -> Result<Item> {
    let (method, name) = match uri.kind() {
        Kind::Track => ("getSong", "song"),
        Kind::Album => ("getAlbum", "album"),
        Kind::Artist => ("getArtist", "artist"),
        Kind::Playlist => ("getPlaylist", "playlist"),
        _ => return Err(ProviderError::not_found(uri)),
    };
    let answer = session.one(method, &uri.native_id(), uri.as_str()).await?;
    let fields = answer.object(name);
    let item = match uri.kind() {
        Kind::Track => items.track(fields).map(Item::Track),
        Kind::Album => items.album(fields).map(Item::Album),
        Kind::Artist => items.artist(fields).map(Item::Artist),
        _ => items.playlist(fields, &session.credentials.username).map(Item::Playlist),
    };
    item.ok_or_else(|| ProviderError::not_found(uri))
}

/// The tracks of an album, or the albums of an artist.
pub(crate) async fn children(session: &Session, items: &Items, request: &Children) -> Result<Page> {
    let (uri, id) = (&request.uri, request.uri.native_id());
    let all: Vec<Item> = match (request.relation, uri.kind()) {
        (Relation::AlbumTracks, Kind::Album) => {
            let answer = session.one("getAlbum", &id, uri.as_str()).await?;
            answer.object("album").list("song").filter_map(|song| items.track(song).map(Item::Track)).collect()
        }
        (Relation::ArtistAlbums, Kind::Artist) => {
            let answer = session.one("getArtist", &id, uri.as_str()).await?;
            answer.object("artist").list("album").filter_map(|album| items.album(album).map(Item::Album)).collect()
        }
        _ => return Err(ProviderError::unsupported("children of that kind")),
    };
    let total = Some(all.len() as u64);
    let part = page::part(all, request.page.cursor.as_deref(), request.page.limit)?;
    Ok(Page { items: part.rows.into(), next: part.next, total, ..Page::default() })
}

/// Where the next page of a search starts, for each kind; none after the last one.
#[derive(Serialize, Deserialize)]
struct Cursor {
    artists: Option<u64>,
    albums: Option<u64>,
    songs: Option<u64>,
}

/// Searches artists, albums and tracks.
pub(crate) async fn search(session: &Session, items: &Items, request: &Search) -> Result<Page> {
    let wants = |kind: Kind| (request.kinds.is_empty() || request.kinds.contains(&kind)).then_some(0);
    let cursor = match &request.page.cursor {
        Some(text) => serde_json::from_str(text).map_err(|_| page::invalid_cursor())?,
        None => Cursor { artists: wants(Kind::Artist), albums: wants(Kind::Album), songs: wants(Kind::Track) },
    };
    if (cursor.artists, cursor.albums, cursor.songs) == (None, None, None) {
        return Ok(Page::default());
    }
    let rows = if request.page.limit == 0 { ROWS } else { request.page.limit.min(MAX_ROWS) };
    let mut params = vec![("query", request.query.clone())];
    let counts = [("artistCount", "artistOffset"), ("albumCount", "albumOffset"), ("songCount", "songOffset")];
    for ((count, offset), from) in counts.into_iter().zip([cursor.artists, cursor.albums, cursor.songs]) {
        params.push((count, if from.is_some() { rows } else { 0 }.to_string()));
        params.push((offset, from.unwrap_or(0).to_string()));
    }
    let answer = session.call("search3", params).await.map_err(|f| f.into_error("the search"))?;
    let found = answer.object("searchResult3");
    // Not all servers take a count of 0 for none.
    let list =
        |name: &'static str, from: Option<u64>| found.list(name).take(if from.is_some() { rows as usize } else { 0 });
    let next = |name, from: Option<u64>| {
        let count = list(name, from).count() as u64;
        from.filter(|_| count == u64::from(rows)).map(|from| from.saturating_add(count))
    };
    let mut all: Vec<Item> = list("song", cursor.songs).filter_map(|it| items.track(it).map(Item::Track)).collect();
    all.extend(list("album", cursor.albums).filter_map(|it| items.album(it).map(Item::Album)));
    all.extend(list("artist", cursor.artists).filter_map(|it| items.artist(it).map(Item::Artist)));
    let after = Cursor {
        artists: next("artist", cursor.artists),
        albums: next("album", cursor.albums),
        songs: next("song", cursor.songs),
    };
    let more = [after.artists, after.albums, after.songs].iter().any(Option::is_some);
    let next = more.then(|| serde_json::to_string(&after)).transpose().map_err(ProviderError::internal)?;
    Ok(Page { items: all.into(), next, ..Page::default() })
}
