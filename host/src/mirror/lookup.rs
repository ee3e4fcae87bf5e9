//! Finds an item: in the mirror, else at its provider.

use std::sync::Arc;

use zotify_plugin_api::{Get, Item, Kind, SignIn, Uri, capability, method};

use super::{Scope, clean};
use crate::{
    App,
    api::model,
    cache::Catalogue,
    db::items::{self, Stored},
    error::{ApiError, ApiResult},
    providers::{InstanceHandle, Lane, State},
};

/// An item as the API shows it, with what only the host may see of it.
#[derive(Clone, Debug)]
pub struct Found {
    /// The account that it was found by.
    pub account_id: String,
    /// The API's document.
    pub doc: String,
    /// What the provider needs to find it again.
    pub locator: Option<String>,
    /// Its pictures with their locators, as JSON.
    pub artwork: Option<String>,
    /// The album of a track, the show of an episode; else empty.
    pub parent_uri: String,
}

impl From<Stored> for Found {
    fn from(stored: Stored) -> Self {
        Self {
            account_id: stored.account_id,
            doc: stored.doc,
            locator: stored.locator,
            artwork: stored.artwork,
            parent_uri: stored.parent_uri,
        }
    }
}

impl Found {
    /// The title or name.
    pub fn title(&self) -> String {
        let doc: serde_json::Value = serde_json::from_str(&self.doc).unwrap_or_default();
        let title = doc.get("title").or_else(|| doc.get("name"));
        title.and_then(|title| title.as_str()).unwrap_or_default().to_owned()
    }
}

/// 404 for what the caller can't see, whether or not it exists.
pub fn item_not_found(uri: &Uri) -> ApiError {
    ApiError::not_found(
        "item_not_found",
        format!("{uri} is in no library that you see, and its provider does not name it"),
    )
}

/// The item, from the mirror or its provider.
///
/// # Errors
/// 404 `item_not_found`, or why the provider could not be asked.
pub async fn item(app: &App, scope: &Scope, uri: &Uri) -> ApiResult<Found> {
    let accounts = scope.at(uri.instance());
    if accounts.is_empty() {
        return Err(item_not_found(uri));
    }
    if let Some(stored) = items::find(app.db.read(), &accounts, uri.as_str()).await? {
        return Ok(stored.into());
    }
    upstream(app, scope, uri).await
}

/// The item, from its provider.
///
/// # Errors
/// 404 `item_not_found`, or why the provider could not be asked.
pub async fn upstream(app: &App, scope: &Scope, uri: &Uri) -> ApiResult<Found> {
    let (account_id, item) = fetch(app, scope, uri).await?;
    found(item, account_id)
}

/// The item as its provider answers it, checked, and the account that was asked.
///
/// # Errors
/// 404 `item_not_found`, or why the provider could not be asked.
pub async fn fetch(app: &App, scope: &Scope, uri: &Uri) -> ApiResult<(String, Item)> {
    let Some(account_id) = scope.at(uri.instance()).into_iter().next() else { return Err(item_not_found(uri)) };
    let handle = app.providers.get(uri.instance()).filter(|handle| handle.has(capability::CATALOG_GET));
    let Some(handle) = handle.filter(|handle| handle.state() == State::Started) else {
        return Err(item_not_found(uri));
    };
    let item = fetch_by(app, &handle, &account_id, uri, Lane::Interactive).await?;
    Ok((account_id, item))
}

/// The item as its provider answers it to an account, checked; or what it answered a moment ago.
///
/// # Errors
/// 404 `item_not_found`, or why the provider could not be asked.
pub async fn fetch_by(app: &App, handle: &InstanceHandle, account_id: &str, uri: &Uri, lane: Lane) -> ApiResult<Item> {
    let request = Get { uri: uri.clone(), locator: None };
    let ask = handle.call::<method::GetItem>(account_of(handle, account_id), lane, request);
    let key = Catalogue::key(account_id, uri.as_str());
    let item = app.catalogue.items.get(&key, async { ask.await.map(Arc::new) }).await?;
    let mut item = Item::clone(&item);
    if item.uri() != uri {
        return Err(senseless(uri, &format!("asked for {uri}, got {}", item.uri())));
    }
    clean::clean(&mut item, uri.instance()).map_err(|why| senseless(uri, &why.detail))?;
    Ok(item)
}

fn senseless(uri: &Uri, why: &str) -> ApiError {
    tracing::warn!(instance = uri.instance(), item = uri.as_str(), "the plugin answered a bad item: {why}");
    let status = axum::http::StatusCode::BAD_GATEWAY;
    ApiError::new(status, "provider_failed", "the provider answered an item that makes no sense")
}

fn found(item: Item, account_id: String) -> ApiResult<Found> {
    let uri = item.uri().clone();
    let (locator, artwork, parent) = (locator_of(&item), artwork_of(&item), parent_of(&item));
    let doc = model::Item::from_contract(item).ok_or_else(|| senseless(&uri, "unknown kind"))?;
    let doc = serde_json::to_string(&doc).map_err(ApiError::internal)?;
    Ok(Found { account_id, doc, locator, artwork, parent_uri: parent.map(|uri| uri.to_string()).unwrap_or_default() })
}

fn locator_of(item: &Item) -> Option<String> {
    match item {
        Item::Track(x) => x.locator.clone(),
        Item::Album(x) => x.locator.clone(),
        Item::Artist(x) => x.locator.clone(),
        Item::Playlist(x) => x.locator.clone(),
        Item::Show(x) => x.locator.clone(),
        Item::Episode(x) => x.locator.clone(),
        _ => None,
    }
}

fn artwork_of(item: &Item) -> Option<String> {
    let artwork = match item {
        Item::Track(x) => &x.artwork,
        Item::Album(x) => &x.artwork,
        Item::Artist(x) => &x.artwork,
        Item::Playlist(x) => &x.artwork,
        Item::Show(x) => &x.artwork,
        Item::Episode(x) => &x.artwork,
        _ => return None,
    };
    serde_json::to_string(artwork).ok().filter(|_| !artwork.is_empty())
}

fn parent_of(item: &Item) -> Option<Uri> {
    match item {
        Item::Track(x) => x.album.as_ref()?.uri.clone(),
        Item::Episode(x) => x.show.as_ref()?.uri.clone(),
        _ => None,
    }
}

/// The account that a call names: none at providers that sign nobody in.
pub fn account_of<'a>(handle: &InstanceHandle, account_id: &'a str) -> Option<&'a str> {
    handle.manifest().is_some_and(|manifest| manifest.sign_in != SignIn::None).then_some(account_id)
}

/// The instance, where it runs and can do something.
///
/// # Errors
/// 404 `item_not_found`, 503 `provider_unavailable`, 422 `unsupported`.
pub fn capable(app: &App, uri: &Uri, capability: &str, what: &str) -> ApiResult<Arc<InstanceHandle>> {
    let handle = app.providers.get(uri.instance()).ok_or_else(|| item_not_found(uri))?;
    if handle.state() != State::Started {
        let detail = format!("{} is not running now; see /api/providers", uri.instance());
        return Err(ApiError::unavailable("provider_unavailable", detail).with_retry_after(5));
    }
    if !handle.has(capability) {
        return Err(ApiError::unprocessable("unsupported", format!("{} does not offer {what}", uri.instance())));
    }
    Ok(handle)
}

/// Kinds by the plural words of paths: `tracks`, `albums`, …
pub fn kind_of_plural(word: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| word.strip_suffix('s') == Some(kind.as_str()))
}
