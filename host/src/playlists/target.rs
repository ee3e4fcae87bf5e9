//! Which playlist a request means, and what the mirror holds of it.

use std::{collections::HashMap, sync::Arc};

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zotify_plugin_api::{ItemKey, Uri};

use crate::{
    App,
    accounts::Account,
    auth::Principal,
    db::{self, items, playlists::Named},
    error::ApiResult,
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
}

/// Finds the playlist that a request means to change.
///
/// # Errors
/// 404 `item_not_found`, 409 `account_ambiguous`, 403 `account_read_only`, and those of the account that is named.
pub async fn find(app: &App, principal: &Principal, uri: Uri, account: Option<&str>) -> ApiResult<Target> {
    let scope = Scope::of(app, principal).await?;
    let accounts = scope.at(uri.instance());
    let mut held = Vec::new();
    for id in &accounts {
        let found = items::find(app.db.read(), std::slice::from_ref(id), uri.as_str()).await?;
        held.extend(found.and_then(|stored| Some((scope.account(id)?, stored))));
    }
    if held.is_empty() {
        // One that no pull has seen yet.
        let found = lookup::item(app, &scope, &uri).await?;
        let account = routing::of_uri(app, principal, &scope, &uri, account).await?.clone();
        return Ok(Target { handle: routing::handle(app, &account)?, account, uri, locator: found.locator });
    }
    // Of several that follow it, the one that may edit it is meant.
    let editable = |doc: &str| doc.contains("\"editable\":true");
    if held.iter().any(|(_, stored)| editable(&stored.doc)) {
        held.retain(|(_, stored)| editable(&stored.doc));
    }
    let chosen = match account {
        Some(id) => routing::named(principal, &scope, id, Some(uri.instance()))?,
        None => {
            let holders: Vec<&Account> = held.iter().map(|(account, _)| *account).collect();
            routing::only(principal, &scope, &holders, &format!("change {uri}"))?
        }
    };
    let stored = held.iter().find(|(account, _)| account.id == chosen.id);
    let locator = stored.and_then(|(_, stored)| stored.locator.clone());
    Ok(Target { handle: routing::handle(app, chosen)?, account: chosen.clone(), uri, locator })
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
