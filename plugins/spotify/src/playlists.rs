//! Playlists and their entries.

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use zotify_plugin_api::prelude::*;

use crate::{
    Spotify,
    client::{Ask, Session, is},
    decode::{Decoder, Unreadable, identity},
    edit::put_back,
    endpoints, error,
    pages::{self, LIMIT, Slice},
    text::{is_id, number, text},
};

/// Rows that the playlist itself comes with.
const EMBEDDED: u64 = 100;

/// Where a list of playlists goes on. The total shows that the list changed on the way: it is then read anew, since what it
/// does not name is taken for gone.
#[derive(Serialize, Deserialize)]
struct ListCursor {
    offset: u64,
    total: Option<u64>,
}

/// Where a list of entries goes on.
#[derive(Serialize, Deserialize)]
struct EntriesCursor {
    offset: u64,
    total: Option<u64>,
    version: Option<String>,
    seen: Seen,
}

/// A page of the account's playlists.
pub(crate) async fn list(spotify: &Spotify, call: &Call<PageRequest>) -> Result<Page> {
    let mut session = Session::open(spotify, call).await?;
    let cursor: Option<ListCursor> = parse(call.cursor.as_deref())?;
    let offset = cursor.as_ref().map_or(0, |cursor| cursor.offset);
    if cursor.is_none() {
        put_back::try_settle_all(spotify, call).await?;
    }
    let limit = pages::limit(call.limit, LIMIT);
    let ask = Ask::new(&endpoints::PLAYLISTS, &[]).with("limit", limit).with("offset", offset);
    let slice = Slice::of(session.json(&ask).await?, offset, limit)?;
    if cursor.is_some_and(|cursor| cursor.total != slice.total) {
        return Err(changed("the list of playlists"));
    }
    let decoder = Decoder { cx: session.cx(), user_id: &session.credentials.user_id };
    let next = slice.next.map(|offset| to_cursor(&ListCursor { offset, total: slice.total })).transpose()?;
    Ok(Page { next, ..pages::items(&slice, offset, decoder, "a playlist") })
}

/// A page of a playlist's entries.
pub(crate) async fn entries(spotify: &Spotify, call: &Call<PlaylistItems>) -> Result<PlaylistPage> {
    let id = id(&call.uri)?;
    let mut session = Session::open(spotify, call).await?;
    let mut cursor = match parse::<EntriesCursor>(call.page.cursor.as_deref())? {
        Some(cursor) => cursor,
        None => EntriesCursor { offset: 0, total: None, version: None, seen: Seen::default() },
    };
    let slice = if call.page.cursor.is_none() {
        put_back::try_settle(spotify, call, &id).await;
        let head = Head::read(&mut session, &id).await?;
        cursor.version = head.version;
        cursor.total = Some(head.total);
        match head.first {
            Some(slice) => slice,
            None => page(&mut session, &id, 0).await?,
        }
    } else {
        page(&mut session, &id, cursor.offset).await?
    };
    // A page that shifted would bring an entry twice, or never.
    if slice.total.is_some() && slice.total != cursor.total {
        return Err(changed("the playlist"));
    }
    let decoder = Decoder { cx: session.cx(), user_id: "" };
    let rows: Vec<PlaylistEntry> = slice.rows.iter().map(|row| entry(decoder, row, &mut cursor.seen)).collect();
    let version = cursor.version.clone();
    let next = match slice.next {
        Some(offset) => Some(to_cursor(&EntriesCursor { offset, ..cursor })?),
        None => None,
    };
    Ok(PlaylistPage { entries: rows.into(), next, version })
}

/// What is known of a playlist before its entries are read.
pub(crate) struct Head {
    pub version: Option<String>,
    pub total: u64,
    /// The first rows, where they came with it.
    pub first: Option<Slice>,
}

impl Head {
    /// Asks for a playlist with its first rows.
    ///
    /// # Errors
    /// `restricted` with the code `not_accessible` where the account may see that it exists, but not what is in it.
    pub(crate) async fn read(session: &mut Session, id: &str) -> Result<Self> {
        let ask = Ask::new(&endpoints::PLAYLIST, &[id]).with("additional_types", "track,episode");
        let mut value = session.json(&ask).await.map_err(readable)?;
        let version = text(&value, "snapshot_id").map(str::to_owned);
        // The new name first: some answers hold both.
        let key = ["items", "tracks"].into_iter().find(|key| value.get(key).is_some_and(Value::is_object));
        let contents = key.and_then(|key| value.get_mut(key)).map(Value::take).ok_or_else(not_accessible)?;
        let total = number(&contents, "total");
        let first = contents.get("items").is_some_and(Value::is_array);
        let first = first.then(|| Slice::of(contents, 0, EMBEDDED)).transpose()?;
        let total = total.or_else(|| first.as_ref().map(|slice| slice.rows.len() as u64)).unwrap_or(0);
        Ok(Self { version, total, first })
    }
}

/// A later page of a playlist's rows.
pub(crate) async fn page(session: &mut Session, id: &str, offset: u64) -> Result<Slice> {
    let ask = Ask::new(&endpoints::PLAYLIST_ITEMS, &[id])
        .with("limit", LIMIT)
        .with("offset", offset)
        .with("additional_types", "track,episode");
    Slice::of(session.json(&ask).await.map_err(readable)?, offset, LIMIT)
}

/// A refusal to read is one of the contents.
fn readable(error: ProviderError) -> ProviderError {
    if is(&error, "not_owner") { not_accessible() } else { error }
}

fn not_accessible() -> ProviderError {
    let text = "Spotify shows what is in a playlist only to its owner and collaborators";
    ProviderError::new(ErrorKind::Restricted, text).with_code("not_accessible")
}

fn changed(what: &str) -> ProviderError {
    ProviderError::new(ErrorKind::Conflict, format!("{what} changed while it was read")).with_code("list_changed")
}

/// The item of a row: `item`, where there is one, and `track` otherwise. Some rows hold both.
pub(crate) fn item_of(row: &Value) -> &Value {
    const NONE: &Value = &Value::Null;
    [row.get("item"), row.get("track")].into_iter().flatten().find(|item| item.is_object()).unwrap_or(NONE)
}

/// The URI of a row's item; none where nothing is there. Of one that stands in for another, that of the other one, which is
/// what stands in the playlist.
pub(crate) fn uri_of(row: &Value) -> Option<&str> {
    let item = item_of(row);
    item.get("linked_from").and_then(|from| text(from, "uri")).or_else(|| text(item, "uri"))
}

fn entry(decoder: Decoder<'_>, row: &Value, seen: &mut Seen) -> PlaylistEntry {
    let item = item_of(row);
    let wanted = |item: &Item| matches!(item.kind(), Kind::Track | Kind::Episode);
    let decoded = decoder.item(item).and_then(|item| if wanted(&item) { Ok(item) } else { Err(Unreadable::Foreign) });
    let title = match &decoded {
        Ok(_) => None,
        Err(_) => title(item),
    };
    PlaylistEntry {
        entry_id: entry_id(row, seen),
        added_at: text(row, "added_at").map(str::to_owned),
        item: decoded.ok(),
        title,
    }
}

/// What a file on somebody's disk, or a kind that is not known here, is called.
fn title(item: &Value) -> Option<String> {
    let name = text(item, "name")?;
    let artist = item.get("artists").and_then(|artists| artists.get(0)).and_then(|artist| text(artist, "name"));
    Some(artist.map_or_else(|| name.to_owned(), |artist| format!("{artist} – {name}")))
}

/// How often each item was seen with the same time, as part of what names an entry. Hashes, since lists are long.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub(crate) struct Seen(HashMap<u32, u32>);

impl From<Seen> for String {
    fn from(seen: Seen) -> Self {
        let repeated = seen.0.iter().flat_map(|(hash, times)| (0..*times).flat_map(|_| hash.to_le_bytes()));
        URL_SAFE_NO_PAD.encode(repeated.collect::<Vec<u8>>())
    }
}

impl From<String> for Seen {
    fn from(text: String) -> Self {
        let bytes = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
        let mut seen = HashMap::new();
        for hash in bytes.chunks_exact(4) {
            *seen.entry(u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]])).or_insert(0) += 1;
        }
        Self(seen)
    }
}

/// Names an entry by what it is, since Spotify does not: the item, when it was added, and the how manieth of those alike it
/// is. So it stays the same wherever the entry is moved to.
pub(crate) fn entry_id(row: &Value, seen: &mut Seen) -> String {
    let digest = |parts: &[&[u8]]| {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part);
            hash.update([0]);
        }
        hash.finalize()
    };
    let uri = uri_of(row).unwrap_or_default().as_bytes();
    let added = text(row, "added_at").unwrap_or_default().as_bytes();
    let alike = digest(&[uri, added]);
    let key = u32::from_le_bytes([alike[0], alike[1], alike[2], alike[3]]);
    let times = seen.0.entry(key).or_insert(0);
    let id = digest(&[uri, added, &times.to_le_bytes()]);
    *times += 1;
    URL_SAFE_NO_PAD.encode(&id[..12])
}

/// Whether Spotify takes an item's URI into a playlist.
pub(crate) fn is_addable(uri: &str) -> bool {
    let parts: Vec<&str> = uri.split(':').collect();
    matches!(parts[..], ["spotify", "track" | "episode", id] if is_id(id))
}

/// Whether a row can be put back once it is gone. What is a file on somebody's disk, or not there any more, cannot.
pub(crate) fn can_return(row: &Value) -> bool {
    let local = row.get("is_local").and_then(Value::as_bool).unwrap_or(false);
    !local && uri_of(row).is_some_and(is_addable) && identity(item_of(row)).is_ok()
}

/// The id of a playlist.
pub(crate) fn id(uri: &Uri) -> Result<String> {
    let is_one = uri.kind() == Kind::Playlist && is_id(uri.id());
    is_one.then(|| uri.id().to_owned()).ok_or_else(|| ProviderError::not_found(uri))
}

fn parse<T: serde::de::DeserializeOwned>(cursor: Option<&str>) -> Result<Option<T>> {
    cursor.map(|text| serde_json::from_str(text).map_err(|_| pages::bad_cursor())).transpose()
}

fn to_cursor<T: Serialize>(cursor: &T) -> Result<String> {
    serde_json::to_string(cursor).map_err(|_| error::unreadable("it cannot be written as a cursor"))
}
