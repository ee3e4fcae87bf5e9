//! Changing the entries of a playlist.
//!
//! The API knows positions and URIs, not entries, and a removal takes every copy of an item. So an edit first reads the rows,
//! finds the entries in them by their ids, and plans with positions; it then reads again what came of it. Snapshot ids are
//! neither sent nor compared: after a write they lag behind what the rows already show, and one that lags names a version in
//! which other rows stand at the positions.

pub(crate) mod details;
mod plan;
pub(crate) mod put_back;

use serde_json::{Value, json};
use zotify_plugin_api::prelude::*;

use crate::{
    Spotify,
    client::{Ask, Session, is},
    decode::{parse_uri, spotify_uri},
    endpoints::{self, Operation},
    pages::Slice,
    playlists::{self, Head, Seen, can_return, entry_id, is_addable, uri_of},
    text::text,
};
use plan::{Move, Slot};

/// The most items of one request.
const BATCH: usize = 100;
/// Spotify takes no more than this into a playlist, or a little more.
const MAX_ROWS: u64 = 10_000;
/// Longer playlists are not edited.
const MAX_READ: usize = 20_000;
/// The most requests that the moves of one operation may take.
const MAX_MOVES: usize = 50;
/// Longer playlists are read again after an edit only where copies had to be put back.
const MAX_VERIFIED: usize = 500;
/// How long is waited before what was written is looked for, in milliseconds; then longer.
const LAG_MS: [u64; 3] = [0, 1000, 3000];

/// Does the operations in their order.
pub(crate) async fn edit(spotify: &Spotify, call: &Call<PlaylistEdit>) -> Result<PlaylistEdited> {
    let id = playlists::id(&call.playlist.uri)?;
    let session = Session::open(spotify, call).await?.patient();
    put_back::settle(spotify, call, &id).await?;
    let mut editor = Editor::open(session, id, call.version.as_deref()).await?;
    let mut edited = PlaylistEdited::default();
    for operation in &call.ops {
        match editor.apply(operation, &mut edited.refused.rows).await {
            Ok(()) => edited.results.push(None),
            Err(error) if !editor.written => return Err(error),
            Err(error) => {
                edited.results.push(Some(error));
                edited.version = editor.version;
                return Ok(edited);
            }
        }
    }
    if let (Err(error), Some(last)) = (editor.verify().await, edited.results.last_mut()) {
        *last = Some(error);
    }
    edited.version = editor.version;
    Ok(edited)
}

/// A playlist under edit.
struct Editor {
    session: Session,
    id: String,
    version: Option<String>,
    total: u64,
    /// The first rows, until they are needed.
    first: Option<Slice>,
    /// All rows as they should be now; none until they are needed.
    slots: Option<Vec<Slot>>,
    /// Whether the playlist is another version than the caller knows.
    moved_on: bool,
    written: bool,
    /// Whether copies were put back, so that it is to be verified in any case.
    put_back: bool,
}

impl Editor {
    /// Reads what there is of a playlist; `known` is the version that the caller knows.
    async fn open(mut session: Session, id: String, known: Option<&str>) -> Result<Self> {
        let head = Head::read(&mut session, &id).await?;
        Ok(Self {
            session,
            id,
            moved_on: known.is_some() && known != head.version.as_deref(),
            version: head.version,
            total: head.total,
            first: head.first,
            slots: None,
            written: false,
            put_back: false,
        })
    }

    async fn apply(&mut self, operation: &PlaylistOp, refused: &mut Vec<EditResult>) -> Result<()> {
        match operation {
            PlaylistOp::Add { items, before } => {
                let at = match before {
                    Some(entry) => Some(plan::position(self.slots().await?, entry)?),
                    None => None,
                };
                let uris = takeable(items, refused);
                self.add(&uris, at, false, refused).await
            }
            PlaylistOp::Move { entries, before } => self.move_entries(entries, before.as_deref()).await,
            PlaylistOp::Remove { entries } => self.remove(entries, refused).await,
            PlaylistOp::Replace { items } => {
                let uris = takeable(items, refused);
                self.replace(&uris, refused).await
            }
            _ => Err(ProviderError::unsupported("this change of a playlist")),
        }
    }

    /// The rows, read when they are first needed.
    async fn slots(&mut self) -> Result<&mut Vec<Slot>> {
        if self.slots.is_none() {
            let first = self.first.take();
            self.slots = Some(read(&mut self.session, &self.id, first).await?);
        }
        Ok(self.slots.get_or_insert_default())
    }

    /// Adds items. Where that fails when something of the operation is done already (`begun`), names those that are not there.
    async fn add(
        &mut self,
        uris: &[String],
        at: Option<usize>,
        begun: bool,
        refused: &mut Vec<EditResult>,
    ) -> Result<()> {
        if self.total + uris.len() as u64 > MAX_ROWS {
            let text = format!("Spotify's playlists hold at most {MAX_ROWS} entries");
            return Err(ProviderError::invalid(text).with_code("playlist_full"));
        }
        let mut at = at;
        for (n, batch) in uris.chunks(BATCH).enumerate() {
            if let Err(error) = self.insert(batch, at).await {
                if begun || n > 0 {
                    refused.extend(self.failed(&uris[n * BATCH..], &error));
                }
                return Err(error);
            }
            if let Some(slots) = &mut self.slots {
                let from = at.unwrap_or(slots.len()).min(slots.len());
                slots.splice(from..from, batch.iter().map(|uri| Slot::added(uri)));
            }
            at = at.map(|at| at + batch.len());
        }
        Ok(())
    }

    /// Sends one batch. After an answer that got lost it first looks whether the batch is there.
    async fn insert(&mut self, uris: &[String], at: Option<usize>) -> Result<()> {
        let mut body = json!({"uris": uris});
        if let Some(at) = at {
            body["position"] = json!(at);
        }
        match self.write(&endpoints::ADD_ITEMS, &body).await {
            Err(error) if is(&error, "outcome_unknown") => {
                if !self.grew_by(uris.len() as u64).await? {
                    self.write(&endpoints::ADD_ITEMS, &body).await?;
                }
            }
            result => result?,
        }
        self.total += uris.len() as u64;
        Ok(())
    }

    /// Whether the playlist became longer by so many rows.
    async fn grew_by(&mut self, count: u64) -> Result<bool> {
        for pause in LAG_MS {
            self.session.wait(pause).await?;
            let total = playlists::page(&mut self.session, &self.id, self.total).await?.total;
            if total == Some(self.total + count) {
                return Ok(true);
            }
            if total != Some(self.total) {
                return Err(differs());
            }
        }
        Ok(false)
    }

    async fn move_entries(&mut self, entries: &[String], before: Option<&str>) -> Result<()> {
        let slots = self.slots().await?;
        let moves = plan::moves(slots, entries, before)?;
        if moves.len() > MAX_MOVES {
            let text = format!("this takes {} requests; at most {MAX_MOVES} are made for one operation", moves.len());
            return Err(ProviderError::invalid(text).with_code("too_many_moves"));
        }
        for one in moves {
            self.move_one(&one).await?;
        }
        Ok(())
    }

    async fn move_one(&mut self, one: &Move) -> Result<()> {
        let old = self.slots().await?.clone();
        let mut new = old.clone();
        one.apply(&mut new);
        let body = json!({"range_start": one.start, "insert_before": one.before, "range_length": one.len});
        match self.write(&endpoints::MOVE_ITEMS, &body).await {
            Err(error) if is(&error, "outcome_unknown") => {
                if !self.became(&new, &old).await? {
                    self.write(&endpoints::MOVE_ITEMS, &body).await?;
                }
            }
            result => result?,
        }
        self.slots = Some(new);
        Ok(())
    }

    /// Whether the rows are those expected, rather than those before.
    async fn became(&mut self, new: &[Slot], old: &[Slot]) -> Result<bool> {
        for pause in LAG_MS {
            self.session.wait(pause).await?;
            let now = read(&mut self.session, &self.id, None).await?;
            if plan::alike(new, &now) {
                return Ok(true);
            }
            if !plan::alike(old, &now) {
                return Err(differs());
            }
        }
        Ok(false)
    }

    async fn replace(&mut self, uris: &[String], refused: &mut Vec<EditResult>) -> Result<()> {
        if self.moved_on {
            return Err(differs());
        }
        let lost = self.slots().await?.iter().filter(|slot| !slot.returns).count();
        if lost > 0 {
            let text = format!(
                "{lost} entries are files on somebody's disk or not available any more; Spotify would drop them, and they \
                 could not be put back"
            );
            return Err(ProviderError::new(ErrorKind::Restricted, text).with_code("would_lose_entries"));
        }
        let (first, rest) = uris.split_at(uris.len().min(BATCH));
        if uris.len() as u64 > MAX_ROWS {
            return Err(ProviderError::invalid("too many entries").with_code("playlist_full"));
        }
        self.write(&endpoints::REPLACE_ITEMS, &json!({"uris": first})).await?;
        self.slots = Some(first.iter().map(|uri| Slot::added(uri)).collect());
        self.total = first.len() as u64;
        self.add(rest, None, true, refused).await
    }

    /// What is said of items that an operation left out when it failed.
    fn failed(&self, uris: &[String], error: &ProviderError) -> Vec<EditResult> {
        let uri = |uri: &String| parse_uri(uri).and_then(|(kind, id)| self.session.cx().uri(kind, &id).ok());
        uris.iter().filter_map(uri).map(|uri| EditResult::failed(uri, error.clone())).collect()
    }

    async fn write(&mut self, operation: &Operation, body: &Value) -> Result<()> {
        let answer = self.session.ask(&Ask::new(operation, &[&self.id]).json(body)).await;
        // What may have been done is written, too.
        self.written |= answer.as_ref().map_or_else(|error| is(error, "outcome_unknown"), |_| true);
        let answer = answer?;
        let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if let Some(version) = text(&value, "snapshot_id") {
            self.version = Some(version.to_owned());
        }
        Ok(())
    }

    /// Reads the rows again, and compares them with what they should be.
    async fn verify(&mut self) -> Result<()> {
        let Some(expected) = self.slots.take().filter(|slots| self.put_back || slots.len() <= MAX_VERIFIED) else {
            return Ok(());
        };
        for pause in LAG_MS {
            self.session.wait(pause).await?;
            if plan::alike(&expected, &read(&mut self.session, &self.id, None).await?) {
                return Ok(());
            }
        }
        Err(differs())
    }
}

/// All rows of a playlist.
async fn read(session: &mut Session, id: &str, first: Option<Slice>) -> Result<Vec<Slot>> {
    let mut seen = Seen::default();
    let mut slots: Vec<Slot> = Vec::new();
    let mut slice = match first {
        Some(slice) => slice,
        None => match Head::read(session, id).await?.first {
            Some(slice) => slice,
            None => playlists::page(session, id, 0).await?,
        },
    };
    loop {
        slots.extend(slice.rows.iter().map(|row| Slot {
            entry: entry_id(row, &mut seen),
            uri: uri_of(row).map(str::to_owned),
            returns: can_return(row),
            added: false,
        }));
        if slots.len() > MAX_READ {
            return Err(
                ProviderError::new(ErrorKind::TooLarge, "the playlist is too long").with_code("playlist_too_long")
            );
        }
        match slice.next {
            Some(offset) => {
                let later = playlists::page(session, id, offset).await?;
                // Positions would be wrong.
                if later.total != slice.total || offset != slots.len() as u64 {
                    return Err(differs());
                }
                slice = later;
            }
            None => return Ok(slots),
        }
    }
}

/// The URIs of those items that Spotify takes into a playlist.
fn takeable(items: &[ItemKey], refused: &mut Vec<EditResult>) -> Vec<String> {
    let mut uris = Vec::new();
    for item in items {
        match spotify_uri(&item.uri).filter(|uri| is_addable(uri)) {
            Some(uri) => uris.push(uri),
            None => {
                let text = "Spotify takes tracks and episodes of its own catalogue into playlists, nothing else";
                let error = ProviderError::invalid(text).with_code("not_addable");
                refused.push(EditResult::failed(item.uri.clone(), error));
            }
        }
    }
    uris
}

fn differs() -> ProviderError {
    ProviderError::new(ErrorKind::Conflict, "the playlist changed meanwhile; read it again")
        .with_code("version_mismatch")
}
