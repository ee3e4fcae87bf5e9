//! The whole collection, page by page.
//!
//! OpenSubsonic has servers answer an empty search with everything; others are walked album by album, in the order of
//! names, which is the only list that the API promises an order for. A walk during which the collection changed counts
//! as partial: rows may have slipped from one page to another.

mod mark;
mod walk;

use mark::{Mark, Seen};
use serde::{Deserialize, Serialize};
use walk::Walk;
use zotify_plugin_api::prelude::*;

use crate::{client::Session, items::Items, page};

/// After this time a collection is walked although nothing seems to have changed: not all servers tell all changes.
const MAX_AGE_MS: i64 = 7 * 24 * 3600 * 1000;

/// Where a run goes on.
#[derive(Debug, Serialize, Deserialize)]
struct Cursor {
    walk: Walk,
    /// How the collection was when the run began.
    seen: Seen,
    /// Requests so far.
    requests: u64,
    /// Items so far.
    items: u64,
    /// Tracks so far.
    tracks: u64,
    /// Albums so far whose tracks could not be read.
    #[serde(default)]
    unread: u64,
    forecast: Option<Forecast>,
}

/// What a complete run leaves for the next one.
#[derive(Debug, Serialize, Deserialize)]
struct Token {
    mark: Mark,
    at_ms: i64,
}

/// A page of a walk.
#[derive(Default)]
struct Found {
    items: Vec<Item>,
    skipped: Vec<Skipped>,
    requests: u64,
    tracks: u64,
    /// Albums whose tracks could not be read.
    unread: u64,
    /// What it learned of the whole.
    forecast: Option<Forecast>,
}

pub(crate) async fn page(session: &Session, items: &Items, request: &LibraryChanges) -> Result<LibraryPage> {
    let mut cursor = match &request.cursor {
        Some(text) => serde_json::from_str(text).map_err(|_| page::invalid_cursor())?,
        None => {
            let seen = mark::see(session).await?;
            if let Some(page) = unchanged(session, &seen, request.since.as_deref()).await? {
                return Ok(page);
            }
            start(session, seen)
        }
    };
    let (found, walk) = walk::step(session, items, &cursor).await?;
    cursor.requests = cursor.requests.saturating_add(found.requests);
    cursor.items = cursor.items.saturating_add(found.items.len() as u64);
    cursor.tracks = cursor.tracks.saturating_add(found.tracks);
    cursor.unread = cursor.unread.saturating_add(found.unread);
    cursor.forecast = found.forecast.or(cursor.forecast);
    let mut page = LibraryPage {
        upsert: found.items.into(),
        skipped: found.skipped,
        progress: Some(Progress { done: cursor.items, total: cursor.forecast.map(|f| f.items.max(cursor.items)) }),
        forecast: cursor.forecast,
        ..LibraryPage::default()
    };
    match walk {
        Some(walk) => {
            cursor.walk = walk;
            page.next = Some(serde_json::to_string(&cursor).map_err(ProviderError::internal)?);
        }
        None => finish(session, &cursor, &mut page).await?,
    }
    Ok(page)
}

/// The answer where the collection is as it was.
async fn unchanged(session: &Session, seen: &Seen, since: Option<&str>) -> Result<Option<LibraryPage>> {
    let Some(token) = since.and_then(|text| serde_json::from_str::<Token>(text).ok()) else { return Ok(None) };
    let age = session.server.cx.clock().now_ms().await?.saturating_sub(token.at_ms);
    if seen.scanning || seen.mark.as_ref() != Some(&token.mark) || !(0..MAX_AGE_MS).contains(&age) {
        return Ok(None);
    }
    let sync_token = since.map(Into::into);
    Ok(Some(LibraryPage { listing: Listing::Changes, sync_token, ..LibraryPage::default() }))
}

fn start(session: &Session, seen: Seen) -> Cursor {
    let walk = if session.credentials.open_subsonic { Walk::search() } else { Walk::artists() };
    let forecast = seen.forecast();
    Cursor { walk, requests: seen.requests, seen, items: 0, tracks: 0, unread: 0, forecast }
}

/// Says on the last page whether the run saw everything.
async fn finish(session: &Session, cursor: &Cursor, page: &mut LibraryPage) -> Result<()> {
    let partial = |code: &str, detail: &str| Completeness::Partial { code: code.into(), detail: detail.into() };
    let after = mark::see(session).await?;
    page.completeness = if cursor.seen.scanning || after.scanning {
        partial("scanning", "the server is reading its music folders; what is missing may still come")
    } else if cursor.seen.mark != after.mark {
        partial("changed_meanwhile", "the collection changed while it was read")
    } else if cursor.unread > 0 {
        let text = format!("the server did not answer the tracks of {} of the albums that it lists", cursor.unread);
        partial("unreadable_albums", &text)
    } else if cursor.tracks == 0 && cursor.seen.count().is_some_and(|count| count > 0) {
        partial("nothing_listed", "the server says that it has music, and lists none")
    } else {
        Completeness::Complete
    };
    if let (Completeness::Complete, Some(mark)) = (&page.completeness, after.mark) {
        let token = Token { mark, at_ms: session.server.cx.clock().now_ms().await? };
        page.sync_token = Some(serde_json::to_string(&token).map_err(ProviderError::internal)?);
    }
    Ok(())
}
