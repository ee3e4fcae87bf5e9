//! Reads one playlist again, and stores it.

use std::time::Duration;

use zotify_plugin_api::{
    ErrorKind, Get, Item, PageRequest, Playlist, PlaylistItems, ProviderError, Uri, capability, method,
};

use super::{Target, announce, target};
use crate::{
    App,
    accounts::Account,
    db::{
        self, items, now_ms,
        playlists::{self, Named},
        pull_runs,
    },
    error::{ApiError, ApiResult},
    mirror::{self, Row, clean, entries::Entries},
    providers::InstanceHandle,
    routing::call,
};

/// Pages that are read while a client waits; of longer playlists the next pull reads the entries.
const MAX_PAGES: usize = 40;
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(12);
/// How soon a pull makes good what could not be read.
const SOON: Duration = Duration::from_secs(5);

/// A playlist as it was seen after a write.
pub struct Seen {
    /// The API's document.
    pub doc: String,
    /// The provider's version.
    pub version: Option<String>,
    /// The tag that names this version.
    pub tag: String,
    /// Its entries; none where they could not be read, or are too many to be read at once.
    pub entries: Option<Vec<Named>>,
}

/// Reads a playlist and stores it. None where that could not be done; then a pull does it soon.
pub(super) async fn refresh(app: &App, target: &Target, change: Option<&str>) -> Option<Seen> {
    with_head(app, target, None, change).await
}

/// As [`refresh`], where the provider said already what the playlist itself is like.
pub(super) async fn with_head(app: &App, target: &Target, head: Option<Item>, change: Option<&str>) -> Option<Seen> {
    let read = tokio::time::timeout(PATIENCE, read(app, target, head, change)).await;
    let error = match read {
        Ok(Ok(seen)) => return Some(seen),
        Ok(Err(error)) => error,
        Err(_) => ApiError::unavailable("provider_timeout", "it took too long"),
    };
    tracing::warn!(playlist = target.uri.as_str(), "a playlist can't be read again after it was changed: {error}");
    if let Err(error) = pull_soon(app, target, change).await {
        tracing::warn!(instance = target.account.instance, "cannot queue a pull: {error}");
    }
    None
}

async fn pull_soon(app: &App, target: &Target, change: Option<&str>) -> sqlx::Result<()> {
    let mut tx = app.db.write().await?;
    mirror::enqueue(&mut tx, &target.account, SOON).await?;
    if let Some(change) = change {
        announce(&mut tx, &target.account, target.uri.as_str(), change).await?;
    }
    tx.commit().await?;
    app.jobs.wake();
    Ok(())
}

async fn read(app: &App, target: &Target, head: Option<Item>, change: Option<&str>) -> ApiResult<Seen> {
    let head = match head {
        Some(head) => head,
        None => read_head(target).await?,
    };
    let read = entries(target).await;
    let mut db = app.db.read().acquire().await?;
    let since = items::added_at(&mut db, &target.account.id, &[target.uri.to_string()]).await?;
    drop(db);
    let since = since.into_values().next().unwrap_or_else(now_ms);
    let row = row(head, &target.account.instance, since)?;
    if row.uri != target.uri {
        return Err(ApiError::from(ProviderError::internal("the provider answered another playlist")));
    }
    let (account, uri) = (&target.account.id, target.uri.as_str());
    let mut tx = app.db.write().await?;
    let run = pull_runs::running(&mut tx, account).await?.unwrap_or_default();
    items::upsert(&mut tx, account, &run, true, std::slice::from_ref(&row)).await?;
    let whole = matches!(read, Ok(Some(_)));
    if let Ok(Some(entries)) = read {
        let version = entries.version.clone().or_else(|| row.version.clone());
        entries.store(&mut tx, account, uri, &run).await?;
        playlists::read(&mut tx, account, uri, version.as_deref()).await?;
    } else {
        mirror::enqueue(&mut tx, &target.account, SOON).await?;
    }
    let version = playlists::version(&mut *tx, account, uri).await?;
    let named = playlists::named(&mut *tx, account, uri).await?;
    if let Some(change) = change {
        announce(&mut tx, &target.account, uri, change).await?;
    }
    tx.commit().await?;
    app.jobs.wake();
    let tag = target::tag(app, account, &target.uri).await?;
    Ok(Seen { doc: row.doc, version, tag, entries: whole.then_some(named) })
}

/// The playlist itself; where the provider can't answer it alone, from the list of all.
async fn read_head(target: &Target) -> Result<Item, ProviderError> {
    if target.handle.has(capability::CATALOG_GET) {
        let request = Get { uri: target.uri.clone(), locator: target.locator.clone() };
        match call::<method::GetItem>(&target.handle, &target.account, request).await {
            Err(error) if matches!(error.kind, ErrorKind::Unsupported | ErrorKind::NotFound) => {}
            answer => return answer,
        }
    }
    let found = find(&target.handle, &target.account, |playlist| playlist.uri == target.uri).await?;
    found.map(Item::Playlist).ok_or_else(|| ProviderError::not_found("the playlist"))
}

/// Looks for a playlist among those of the account.
pub(super) async fn find(
    handle: &InstanceHandle,
    account: &Account,
    wanted: impl Fn(&Playlist) -> bool,
) -> Result<Option<Playlist>, ProviderError> {
    let mut cursor = None;
    for _ in 0..MAX_PAGES {
        let page = call::<method::ListPlaylists>(handle, account, PageRequest { cursor, limit: 0 }).await?;
        let found = page.items.rows.into_iter().find_map(|item| match item {
            Item::Playlist(playlist) if wanted(&playlist) => Some(playlist),
            _ => None,
        });
        if found.is_some() || page.next.is_none() {
            return Ok(found);
        }
        cursor = page.next;
    }
    Err(ProviderError::new(ErrorKind::TooLarge, "the account has too many playlists to look through"))
}

/// The entries; none where there are too many to be read now.
async fn entries(target: &Target) -> Result<Option<Entries>, ProviderError> {
    let mut read = Entries::default();
    let mut cursor = None;
    for _ in 0..MAX_PAGES {
        let page = PageRequest { cursor, limit: 0 };
        let request = PlaylistItems { uri: target.uri.clone(), locator: target.locator.clone(), page };
        let page = call::<method::ListPlaylistItems>(&target.handle, &target.account, request).await?;
        cursor = read.page(page, &target.account.instance)?;
        if cursor.is_none() {
            return Ok(Some(read));
        }
    }
    Ok(None)
}

fn row(mut head: Item, instance: &str, since: i64) -> ApiResult<Row> {
    let senseless = |why: String| {
        tracing::warn!(instance, "the plugin answered a bad playlist: {why}");
        ApiError::from(ProviderError::internal("the provider answered a playlist that makes no sense"))
    };
    clean::clean(&mut head, instance).map_err(|why| senseless(why.detail))?;
    if !matches!(head, Item::Playlist(_)) {
        return Err(senseless("it is none".into()));
    }
    Row::new(head, since).ok_or_else(|| senseless("it can't be kept".into()))
}

/// A playlist that was just made.
pub struct Made {
    /// Its address.
    pub uri: Uri,
    /// The API's document.
    pub doc: String,
    /// The tag that names its version.
    pub tag: String,
}

/// Stores a playlist that was just made.
pub(super) async fn store_new(app: &App, account: &Account, made: Playlist) -> ApiResult<Made> {
    let row = row(Item::Playlist(made), &account.instance, now_ms())?;
    let uri = row.uri.clone();
    let mut tx = app.db.write().await?;
    let run = pull_runs::running(&mut tx, &account.id).await?.unwrap_or_default();
    items::upsert(&mut tx, &account.id, &run, true, std::slice::from_ref(&row)).await?;
    playlists::read(&mut tx, &account.id, uri.as_str(), row.version.as_deref()).await?;
    announce(&mut tx, account, uri.as_str(), "created").await?;
    tx.commit().await?;
    let tag = target::tag(app, &account.id, &uri).await?;
    let stored = db::items::find(app.db.read(), std::slice::from_ref(&account.id), uri.as_str()).await?;
    Ok(Made { uri, doc: stored.map_or(row.doc, |stored| stored.doc), tag })
}
