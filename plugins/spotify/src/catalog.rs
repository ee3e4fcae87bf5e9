//! Looking things up: single items, their children, searching, what was played, pictures.

use serde_json::Value;
use url::Url;
use zotify_plugin_api::prelude::*;

use crate::{
    Spotify,
    client::{Ask, Session},
    decode::Decoder,
    endpoints::{self, Operation},
    pages::{self, LIMIT, SMALL_LIMIT, Slice},
    text::{is_id, list, text},
};

/// Search results end here.
const MAX_SEARCH_OFFSET: u64 = 1000;
/// What search lists the results of each kind under.
const SEARCHED: [(Kind, &str); 6] = [
    (Kind::Track, "tracks"),
    (Kind::Album, "albums"),
    (Kind::Artist, "artists"),
    (Kind::Playlist, "playlists"),
    (Kind::Show, "shows"),
    (Kind::Episode, "episodes"),
];

/// One item.
pub(crate) async fn get(spotify: &Spotify, call: &Call<Get>) -> Result<Item> {
    let mut session = Session::open(spotify, call).await?;
    item(&mut session, &call.uri).await
}

/// Asks for one item.
pub(crate) async fn item(session: &mut Session, uri: &Uri) -> Result<Item> {
    let value = object(session, uri).await?;
    let decoder = Decoder { cx: session.cx(), user_id: &session.credentials.user_id };
    decoder.item(&value).map_err(|_| ProviderError::not_found(uri))
}

async fn object(session: &mut Session, uri: &Uri) -> Result<Value> {
    let operation = match uri.kind() {
        Kind::Track => &endpoints::TRACK,
        Kind::Album => &endpoints::ALBUM,
        Kind::Artist => &endpoints::ARTIST,
        Kind::Playlist => &endpoints::PLAYLIST,
        Kind::Show => &endpoints::SHOW,
        Kind::Episode => &endpoints::EPISODE,
    };
    if !is_id(uri.id()) {
        return Err(ProviderError::not_found(uri));
    }
    session.json(&Ask::new(operation, &[uri.id()])).await
}

/// Where the children of an item go on, and what the item is called: its children do not say.
#[derive(Serialize, Deserialize)]
struct ChildrenCursor {
    offset: u64,
    parent: Value,
}

/// A page of an item's children.
pub(crate) async fn children(spotify: &Spotify, call: &Call<Children>) -> Result<Page> {
    let (uri, page) = (&call.uri, &call.page);
    let (operation, key, most) = match (call.relation, uri.kind()) {
        (Relation::AlbumTracks, Kind::Album) => (&endpoints::ALBUM_TRACKS, Some("tracks"), LIMIT),
        (Relation::ShowEpisodes, Kind::Show) => (&endpoints::SHOW_EPISODES, Some("episodes"), LIMIT),
        (Relation::ArtistAlbums, Kind::Artist) => (&endpoints::ARTIST_ALBUMS, None, SMALL_LIMIT),
        (Relation::Unknown, _) => return Err(ProviderError::unsupported("these children")),
        _ => return Err(ProviderError::not_found(format_args!("such children of a {}", uri.kind()))),
    };
    if !is_id(uri.id()) {
        return Err(ProviderError::not_found(uri));
    }
    let mut session = Session::open(spotify, call).await?;
    let cursor = page.cursor.as_deref().map(serde_json::from_str::<ChildrenCursor>);
    let cursor = cursor.transpose().map_err(|_| pages::bad_cursor())?;
    let limit = pages::limit(page.limit, most);
    let offset = cursor.as_ref().map_or(0, |cursor| cursor.offset);
    let (slice, parent) = match (cursor, key) {
        // Albums and shows come with the first of their children.
        (None, Some(key)) => first_children(&mut session, uri, key).await?,
        (cursor, _) => {
            let ChildrenCursor { offset, parent } = cursor.unwrap_or(ChildrenCursor { offset: 0, parent: Value::Null });
            (later_children(&mut session, operation, uri, offset, limit).await?, parent)
        }
    };
    let decoder = Decoder { cx: session.cx(), user_id: "" };
    let page = pages::items(&slice, offset, decoder, "something that belongs to it");
    let items = page.items.rows.into_iter().map(|item| belonging(item, &parent, decoder)).collect();
    let next = slice.next.map(|offset| serde_json::to_string(&ChildrenCursor { offset, parent })).transpose();
    Ok(Page { items, next: next.map_err(|_| pages::bad_cursor())?, ..page })
}

async fn first_children(session: &mut Session, uri: &Uri, key: &str) -> Result<(Slice, Value)> {
    let mut value = object(session, uri).await?;
    let children = value.get_mut(key).map(Value::take).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        // All that the children need, and small enough for a cursor.
        object.retain(|key, _| matches!(key.as_str(), "uri" | "id" | "type" | "name" | "release_date" | "images"));
    }
    let none_yet = Slice { rows: Vec::new(), total: None, next: Some(0) };
    Ok((if children.is_null() { none_yet } else { Slice::of(children, 0, LIMIT)? }, value))
}

async fn later_children(
    session: &mut Session,
    operation: &Operation,
    uri: &Uri,
    offset: u64,
    limit: u64,
) -> Result<Slice> {
    let mut ask = Ask::new(operation, &[uri.id()]).with("limit", limit).with("offset", offset);
    if uri.kind() == Kind::Artist {
        ask = ask.with("include_groups", "album,single");
    }
    Slice::of(session.json(&ask).await?, offset, limit)
}

/// Adds to a child what is known of its parent.
fn belonging(item: Item, parent: &Value, decoder: Decoder<'_>) -> Item {
    match (item, decoder.item(parent)) {
        (Item::Track(track), Ok(Item::Album(album))) if track.album.is_none() => Item::Track(Track {
            album: Some(AlbumRef { title: album.title, uri: Some(album.uri) }),
            release_date: album.release_date,
            artwork: album.artwork,
            ..track
        }),
        (Item::Episode(episode), Ok(Item::Show(show))) if episode.show.is_none() => {
            Item::Episode(Episode { show: Some(ShowRef { title: show.title, uri: Some(show.uri) }), ..episode })
        }
        (item, _) => item,
    }
}

/// A page of search results, kind by kind.
pub(crate) async fn search(spotify: &Spotify, call: &Call<Search>) -> Result<Page> {
    let offset = pages::offset(call.page.cursor.as_deref())?;
    let limit = pages::limit(call.page.limit, SMALL_LIMIT);
    let wanted: Vec<(Kind, &str)> =
        SEARCHED.into_iter().filter(|(kind, _)| call.kinds.is_empty() || call.kinds.contains(kind)).collect();
    let mut session = Session::open(spotify, call).await?;
    find(&mut session, &call.query, &wanted, offset, limit).await
}

/// The tracks that have an ISRC.
pub(crate) async fn by_isrc(session: &mut Session, isrc: &str) -> Result<Vec<Item>> {
    let page = find(session, &format!("isrc:{isrc}"), &SEARCHED[..1], 0, SMALL_LIMIT).await?;
    // Search is about likeness: only what says that it is this recording is it.
    let is_it = |item: &Item| matches!(item, Item::Track(track) if track.isrc.as_deref() == Some(isrc));
    Ok(page.items.rows.into_iter().filter(is_it).collect())
}

async fn find(session: &mut Session, query: &str, wanted: &[(Kind, &str)], offset: u64, limit: u64) -> Result<Page> {
    let types: Vec<&str> = wanted.iter().map(|(kind, _)| kind.as_str()).collect();
    let ask = Ask::new(&endpoints::SEARCH, &[])
        .with("q", query)
        .with("type", types.join(","))
        .with("limit", limit)
        .with("offset", offset);
    let value = session.json(&ask).await?;
    let decoder = Decoder { cx: session.cx(), user_id: &session.credentials.user_id };
    let mut items = Vec::new();
    let mut more = false;
    for results in wanted.iter().filter_map(|(_, key)| value.get(key)) {
        let rows = list(results, "items");
        items.extend(rows.iter().filter_map(|row| decoder.item(row).ok()));
        // Totals of a search are guesses: what is said of a next page counts.
        more |= !rows.is_empty() && results.get("next").is_some_and(Value::is_string);
    }
    let next = offset + limit;
    let more = more && next <= MAX_SEARCH_OFFSET - SMALL_LIMIT;
    Ok(Page { items: items.into(), next: more.then(|| next.to_string()), ..Page::default() })
}

/// A page of what was played, newest first. Spotify remembers about fifty.
pub(crate) async fn history(spotify: &Spotify, call: &Call<PageRequest>) -> Result<PlaysPage> {
    let mut session = Session::open(spotify, call).await?;
    let mut ask = Ask::new(&endpoints::RECENTLY_PLAYED, &[]).with("limit", pages::limit(call.limit, LIMIT));
    if let Some(cursor) = &call.cursor {
        let before: u64 = cursor.parse().map_err(|_| pages::bad_cursor())?;
        ask = ask.with("before", before);
    }
    let value = session.json(&ask).await?;
    let decoder = Decoder { cx: session.cx(), user_id: "" };
    let play = |row: &Value| {
        let item = decoder.item(row.get("track")?).ok()?;
        Some(Play { item, at: text(row, "played_at")?.to_owned(), heard_ms: None })
    };
    let rows = list(&value, "items");
    let plays: Vec<Play> = rows.iter().filter_map(play).collect();
    let before = value.get("cursors").and_then(|cursors| text(cursors, "before"));
    let next = before.filter(|before| !rows.is_empty() && call.cursor.as_deref() != Some(before)).map(str::to_owned);
    Ok(PlaysPage { plays: plays.into(), next })
}

/// Where a picture is.
pub(crate) async fn artwork(spotify: &Spotify, call: &Call<ArtworkRequest>) -> Result<MediaSource> {
    let locator = match &call.locator {
        Some(locator) => locator.clone(),
        None => {
            let mut session = Session::open(spotify, call).await?;
            let item = item(&mut session, &call.uri).await?;
            first_picture(&item).ok_or_else(|| ProviderError::not_found("a picture of this item"))?
        }
    };
    let url = Url::parse(&locator).map_err(|_| ProviderError::not_found("the picture"))?;
    let host = url.host_str().unwrap_or_default();
    let known = url.scheme() == "https" && (host.ends_with(".scdn.co") || host.ends_with(".spotifycdn.com"));
    if !known && !spotify.settings.is_own_origin(&url) {
        return Err(ProviderError::not_found("a picture at Spotify").with_code("foreign_picture"));
    }
    Ok(MediaSource::Http(HttpSource { url: url.into(), headers: Vec::new(), expires_at: None, content_type: None }))
}

fn first_picture(item: &Item) -> Option<String> {
    let pictures = match item {
        Item::Track(x) => &x.artwork,
        Item::Album(x) => &x.artwork,
        Item::Artist(x) => &x.artwork,
        Item::Playlist(x) => &x.artwork,
        Item::Show(x) => &x.artwork,
        Item::Episode(x) => &x.artwork,
        _ => return None,
    };
    pictures.first().map(|picture| picture.locator.clone())
}
