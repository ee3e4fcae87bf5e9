//! Which playlist a request means, and what the mirror holds of it.

use std::{collections::HashMap, sync::Arc};

use aws_lc_rs::digest;
use axum::http::{HeaderValue, StatusCode};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zotify_plugin_api::{ItemKey, Uri};

use crate::{
    App,
    accounts::Account,
    auth::Principal,
    db::{
        self,
        items::{self, Stored},
        playlists::Named,
    },
    error::{ApiError, ApiResult},
    middleware::etag,
    mirror::{Scope, lookup},
    providers::InstanceHandle,
    routing,
};

/// A playlist, and the account by which it is changed.
#[derive(Clone)]
pub struct Target {
    /// Whose it is.
    pub account: Account,
    /// Where it is.
    pub handle: Arc<InstanceHandle>,
    /// Its address.
    pub uri: Uri,
    /// What the provider needs to find it again.
    pub locator: Option<String>,
}

/// What the mirror holds of a playlist.
pub struct Held {
    /// Its entries.
    pub entries: Vec<Named>,
    /// Which version they are of.
    pub version: Option<String>,
    /// The same as an opaque tag, also where the provider tells no version.
    pub tag: String,
}

impl Target {
    /// What the mirror holds now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn now(&self, app: &App) -> ApiResult<Held> {
        let (account, uri) = (&self.account.id, self.uri.as_str());
        let version = db::playlists::version(app.db.read(), account, uri).await?;
        let entries = db::playlists::named(app.db.read(), account, uri).await?;
        let tag = of(version.as_deref(), &entries);
        Ok(Held { entries, version, tag })
    }

    /// Makes sure that the playlist is of the version that an `If-Match` header names, where there is one.
    ///
    /// # Errors
    /// 412 `version_mismatch`.
    pub async fn check(&self, app: &App, expected: Option<&HeaderValue>) -> ApiResult<()> {
        let Some(expected) = expected else { return Ok(()) };
        names(expected, &tag(app, &self.account.id, &self.uri).await?)
    }

    /// What the provider knows it by.
    pub fn key(&self) -> ItemKey {
        ItemKey { uri: self.uri.clone(), locator: self.locator.clone() }
    }
}

/// Makes sure that an `If-Match` header names a version.
pub(super) fn names(expected: &HeaderValue, tag: &str) -> ApiResult<()> {
    if etag::names_version(expected, tag) { Ok(()) } else { Err(version_mismatch()) }
}

/// 412: somebody else was faster.
pub(super) fn version_mismatch() -> ApiError {
    let detail = "the playlist was changed meanwhile; read its items again, with their ETag, and decide anew";
    ApiError::new(StatusCode::PRECONDITION_FAILED, "version_mismatch", detail)
}

/// The accounts by which a request may mean a playlist: the one that it names, else all at the playlist's provider.
///
/// # Errors
/// 404 `account_not_found`, 400 `invalid_query` for an account at another provider.
pub async fn scope(app: &App, principal: &Principal, uri: &Uri, account: Option<&str>) -> ApiResult<Scope> {
    let all = Scope::of(app, principal).await?;
    let Some(id) = account else { return Ok(all.narrowed_to(uri.instance())) };
    let named = routing::seen(&all, id, Some(uri.instance()))?;
    Ok(all.without(|account| account.id != named.id))
}

/// Finds the playlist that a request means to change.
///
/// # Errors
/// 404 `item_not_found`, 409 `account_ambiguous`, 403 `admin_required`.
pub async fn find(app: &App, principal: &Principal, scope: &Scope, uri: Uri) -> ApiResult<Target> {
    let held = holders(app, scope, &uri).await?;
    let (account, locator) = if held.is_empty() {
        // One that no pull has seen yet.
        let found = lookup::item(app, scope, &uri).await?;
        (routing::of_uri(app, principal, scope, &uri, None).await?, found.locator)
    } else {
        let account = chosen(principal, scope, &held, &format!("change {uri}"))?;
        let stored = held.iter().find(|(holder, _)| holder.id == account.id);
        (account, stored.and_then(|(_, stored)| stored.locator.clone()))
    };
    Ok(Target { handle: routing::handle(app, account)?, account: account.clone(), uri, locator })
}

/// The playlist as the mirror holds it, by the account that a change would go to; where that is not clear, by the first
/// that holds it.
///
/// # Errors
/// When the database fails.
pub async fn held(app: &App, principal: &Principal, scope: &Scope, uri: &Uri) -> ApiResult<Option<Stored>> {
    let held = holders(app, scope, uri).await?;
    let chosen = chosen(principal, scope, &held, "read").ok().map(|account| account.id.clone());
    let first = held.first().map(|(account, _)| account.id.clone());
    let wanted = chosen.or(first);
    Ok(held.into_iter().find(|(account, _)| Some(&account.id) == wanted.as_ref()).map(|(_, stored)| stored))
}

/// The accounts that hold a playlist: of several that follow it, those that may edit it.
async fn holders<'a>(app: &App, scope: &'a Scope, uri: &Uri) -> ApiResult<Vec<(&'a Account, Stored)>> {
    let mut held = Vec::new();
    for account in scope.accounts() {
        let stored = items::find(app.db.read(), std::slice::from_ref(&account.id), uri.as_str()).await?;
        held.extend(stored.map(|stored| (account, stored)));
    }
    let editable = |(_, stored): &(&Account, Stored)| stored.doc.contains("\"editable\":true");
    if held.iter().any(editable) {
        held.retain(editable);
    }
    Ok(held)
}

/// The one of those that hold a playlist by which it is changed.
fn chosen<'a>(
    principal: &Principal,
    scope: &Scope,
    held: &[(&'a Account, Stored)],
    what: &str,
) -> ApiResult<&'a Account> {
    let holders: Vec<&Account> = held.iter().map(|(account, _)| *account).collect();
    routing::only(principal, scope, &holders, what)
}

/// The tag of a playlist in an account, as clients see it.
///
/// # Errors
/// When the database fails.
pub async fn tag(app: &App, account: &str, uri: &Uri) -> ApiResult<String> {
    let version = db::playlists::version(app.db.read(), account, uri.as_str()).await?;
    let entries = match version {
        Some(_) => Vec::new(),
        None => db::playlists::named(app.db.read(), account, uri.as_str()).await?,
    };
    Ok(of(version.as_deref(), &entries))
}

/// A short tag of a version, or where there is none, of the entries themselves.
fn of(version: Option<&str>, entries: &[Named]) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    match version {
        Some(version) => hash.update(version.as_bytes()),
        None => {
            for (id, uri) in entries {
                hash.update(id.as_bytes());
                hash.update(b"\n");
                hash.update(uri.as_deref().unwrap_or_default().as_bytes());
                hash.update(b"\n");
            }
        }
    }
    URL_SAFE_NO_PAD.encode(&hash.finish().as_ref()[..16])
}

/// Items with what the provider needs to find them, where the account's mirror has them.
///
/// # Errors
/// When the database fails.
pub async fn locators(app: &App, account: &Account, uris: &[Uri]) -> ApiResult<Vec<ItemKey>> {
    let mut known: HashMap<String, String> = HashMap::new();
    for chunk in uris.chunks(500) {
        let texts: Vec<String> = chunk.iter().map(Uri::to_string).collect();
        let found = items::find_many(app.db.read(), std::slice::from_ref(&account.id), &texts).await?;
        known.extend(found.into_iter().filter_map(|item| Some((item.uri, item.locator?))));
    }
    Ok(uris.iter().map(|uri| ItemKey { uri: uri.clone(), locator: known.get(uri.as_str()).cloned() }).collect())
}
