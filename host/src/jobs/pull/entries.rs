//! Reads the entries of playlists whose version changed, one playlist per transaction.

use serde::Serialize;
use zotify_plugin_api::{ErrorKind, Item, Kind, PageRequest, PlaylistEntry, PlaylistItems, ProviderError, Uri, method};

use super::{Pull, Step, fail};
use crate::{
    api::model::UnknownItem,
    db::{
        items, now_ms,
        playlists::{self, Due, Entry},
        pull_runs::{Counts, Skip},
    },
    jobs::JobError,
    mirror::{Row, clean},
};

/// Longer playlists are not read.
const MAX_ENTRIES: usize = 20_000;
/// How often reading one of them waits for the service.
const MAX_WAITS: u32 = 100;

/// What the pages of a playlist come to.
#[derive(Default)]
pub(super) struct Entries {
    entries: Vec<Entry>,
    rows: Vec<Row>,
    version: Option<String>,
    dropped: i64,
}

#[derive(Serialize)]
struct Head<'a> {
    entry_id: &'a str,
    position: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    added_at: Option<String>,
}

impl Pull {
    pub(super) async fn playlist_entries(&mut self) -> Result<(), JobError> {
        let db = self.ctx.app.db.clone();
        let Some(due) = playlists::next_due(db.read(), &self.account.id, &self.at.run).await? else {
            self.at.step = Step::Finish;
            return Ok(());
        };
        match self.read_entries(&due).await? {
            Ok(entries) => self.store_entries(&due, entries).await,
            Err(error) if concerns_playlist(&error) => self.skip_playlist(&due, &error).await,
            Err(error) => Err(error.into()),
        }
    }

    async fn read_entries(&self, due: &Due) -> Result<Result<Entries, ProviderError>, JobError> {
        let Ok(uri) = due.uri.parse::<Uri>() else {
            return Err(fail("invalid_uri", "a stored playlist has no valid address"));
        };
        let mut read = Entries::default();
        let (mut cursor, mut waits) = (None, 0);
        // Pages may be empty, but then there is an end to them, too.
        for _ in 0..MAX_ENTRIES {
            let page = PageRequest { cursor: cursor.clone(), limit: 0 };
            let request = PlaylistItems { uri: uri.clone(), locator: due.locator.clone(), page };
            let page = match self.call::<method::ListPlaylistItems>(request).await? {
                Ok(page) => page,
                // What was read of the playlist is stored at its end only.
                Err(error) if cursor.is_some() && waits < MAX_WAITS && self.ctx.wait_out(&error).await? => {
                    waits += 1;
                    continue;
                }
                Err(error) => return Ok(Err(error)),
            };
            read.dropped += super::page::count(page.entries.rejected.len());
            read.version = page.version.or(read.version);
            for entry in page.entries.rows {
                self.entry(&mut read, entry);
            }
            if read.entries.len() > MAX_ENTRIES {
                let detail = format!("it has more than {MAX_ENTRIES} entries");
                return Ok(Err(ProviderError::new(ErrorKind::TooLarge, detail).with_code("playlist_too_long")));
            }
            if page.next.is_none() {
                return Ok(Ok(read));
            }
            if page.next == cursor {
                return Ok(Err(ProviderError::internal("its page names itself as the next one")));
            }
            cursor = page.next;
        }
        Ok(Err(ProviderError::new(ErrorKind::BadUpstream, "its pages do not end").with_code("endless_playlist")))
    }

    pub(super) fn entry(&self, read: &mut Entries, mut entry: PlaylistEntry) {
        clean::text(&mut entry.entry_id, 200);
        let position = read.entries.len();
        if entry.entry_id.is_empty() {
            entry.entry_id = position.to_string();
        }
        let item = entry.item.filter(|item| matches!(item.kind(), Kind::Track | Kind::Episode));
        let (row, title) = self.entry_item(item, now_ms());
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
        read.entries.push(Entry { entry_id: entry.entry_id, item_uri, head, doc });
        read.rows.extend(row);
    }

    fn entry_item(&self, item: Option<Item>, now: i64) -> (Option<Row>, Option<String>) {
        let Some(mut item) = item else { return (None, None) };
        let title = match &item {
            Item::Track(track) => Some(track.title.clone()),
            Item::Episode(episode) => Some(episode.title.clone()),
            _ => None,
        };
        if clean::clean(&mut item, &self.account.instance).is_err() {
            return (None, title);
        }
        (Row::new(item, now), title)
    }

    pub(super) async fn store_entries(&mut self, due: &Due, mut read: Entries) -> Result<(), JobError> {
        read.rows.sort_by(|a, b| a.uri.cmp(&b.uri));
        read.rows.dedup_by(|a, b| a.uri == b.uri);
        let version = read.version.or_else(|| due.version.clone());
        let counts = Counts { dropped: read.dropped, ..Counts::default() };
        let (account, run) = (self.account.id.clone(), self.at.run.clone());
        let mut tx = self.ctx.app.db.write().await?;
        items::upsert(&mut tx, &account, &run, false, &read.rows).await?;
        playlists::replace_entries(&mut tx, &account, &due.uri, &read.entries).await?;
        playlists::done(&mut tx, &account, &due.uri, &run, version.as_deref()).await?;
        self.save(tx, &counts, &[]).await
    }

    async fn skip_playlist(&mut self, due: &Due, error: &ProviderError) -> Result<(), JobError> {
        let code = error.code.clone().unwrap_or_else(|| "unreadable".into());
        let skip = Skip { name: due.uri.clone(), code, detail: error.message.clone() };
        tracing::warn!(instance = self.account.instance, playlist = due.uri, "left a playlist out: {error}");
        let mut tx = self.ctx.app.db.write().await?;
        playlists::done(&mut tx, &self.account.id, &due.uri, &self.at.run, None).await?;
        self.save(tx, &Counts { skipped: 1, ..Counts::default() }, &[skip]).await
    }
}

/// Whether the other playlists may still be read.
fn concerns_playlist(error: &ProviderError) -> bool {
    matches!(
        error.kind,
        ErrorKind::Unsupported
            | ErrorKind::NotFound
            | ErrorKind::InvalidRequest
            | ErrorKind::Restricted
            | ErrorKind::BadUpstream
            | ErrorKind::Conflict
            | ErrorKind::TooLarge
            | ErrorKind::Panicked
            | ErrorKind::Internal
    )
}
