//! The entries of a playlist as the mirror keeps them, made of the pages that a provider answers.

use serde::Serialize;
use zotify_plugin_api::{ErrorKind, Item, Kind, PlaylistEntry, PlaylistPage, ProviderError};

use super::{Row, clean};
use crate::{
    api::model::UnknownItem,
    db::{
        Tx, items, now_ms,
        playlists::{self, Entry},
    },
};

/// Longer playlists are not read.
pub const MAX_ENTRIES: usize = 20_000;
/// Bytes of a playlist's rows: all of them are held until the playlist has been read to its end.
const MAX_BYTES: usize = 64 << 20;

/// What the pages of a playlist come to.
#[derive(Default)]
pub struct Entries {
    /// The entries, in order.
    pub entries: Vec<Entry>,
    /// What they name.
    pub rows: Vec<Row>,
    /// The playlist's version, where the pages tell.
    pub version: Option<String>,
    /// Entries that could not be read.
    pub dropped: usize,
    bytes: usize,
}

#[derive(Serialize)]
struct Head<'a> {
    entry_id: &'a str,
    position: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    added_at: Option<String>,
}

impl Entries {
    /// Adds a page, and answers where the next one starts.
    ///
    /// # Errors
    /// `too_large` for a playlist of more than [`MAX_ENTRIES`], or of too many bytes.
    pub fn page(&mut self, page: PlaylistPage, instance: &str) -> Result<Option<String>, ProviderError> {
        self.dropped += page.entries.rejected.len();
        self.version = page.version.or(self.version.take());
        for entry in page.entries.rows {
            self.entry(entry, instance);
        }
        if self.entries.len() > MAX_ENTRIES || self.bytes > MAX_BYTES {
            let detail = format!("it has more than {MAX_ENTRIES} entries, or {} MiB of them", MAX_BYTES >> 20);
            return Err(ProviderError::new(ErrorKind::TooLarge, detail).with_code("playlist_too_long"));
        }
        Ok(page.next)
    }

    fn entry(&mut self, mut entry: PlaylistEntry, instance: &str) {
        clean::text(&mut entry.entry_id, 200);
        let position = self.entries.len();
        if entry.entry_id.is_empty() {
            entry.entry_id = position.to_string();
        }
        let item = entry.item.filter(|item| matches!(item.kind(), Kind::Track | Kind::Episode));
        let (row, title) = known(item, instance);
        let title = title.or_else(|| {
            entry.title.map(|mut title| {
                clean::text(&mut title, 1000);
                title
            })
        });
        let uri = row.as_ref().map(|row| row.uri.clone());
        let added_at = entry.added_at.as_deref().and_then(clean::parse_time).map(clean::rfc3339);
        let head = serde_json::to_string(&Head { entry_id: &entry.entry_id, position, added_at });
        let doc = serde_json::to_string(&UnknownItem::new(title, uri.clone()));
        let (Ok(mut head), Ok(doc)) = (head, doc) else { return };
        head.pop();
        head.push_str(",\"item\":");
        let item_uri = uri.map(|uri| uri.to_string());
        self.bytes += head.len() + doc.len() + row.as_ref().map_or(0, Row::size);
        self.entries.push(Entry { entry_id: entry.entry_id, item_uri, head, doc });
        self.rows.extend(row);
    }

    /// Stores the entries instead of those that were there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn store(mut self, tx: &mut Tx, account: &str, playlist: &str, run: &str) -> sqlx::Result<()> {
        self.rows.sort_by(|a, b| a.uri.cmp(&b.uri));
        self.rows.dedup_by(|a, b| a.uri == b.uri);
        items::upsert(tx, account, run, false, &self.rows).await?;
        playlists::replace_entries(tx, account, playlist, &self.entries).await
    }
}

fn known(item: Option<Item>, instance: &str) -> (Option<Row>, Option<String>) {
    let Some(mut item) = item else { return (None, None) };
    let title = match &item {
        Item::Track(track) => Some(track.title.clone()),
        Item::Episode(episode) => Some(episode.title.clone()),
        _ => None,
    };
    if clean::clean(&mut item, instance).is_err() {
        return (None, title);
    }
    (Row::new(item, now_ms()), title)
}
