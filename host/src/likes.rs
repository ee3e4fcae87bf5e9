//! What users like: kept here, and written through to the provider where that keeps likes too.
//!
//! A like belongs to a user. It is written through by an account that the user owns; what an account that all users share
//! likes is nobody's. The newest change of mind wins: each has a number, and what a provider answers counts only while
//! that number is still the same. What the provider took has a new number too, so that a list that it made before counts
//! for nothing against it.

mod write;

use serde_json::json;
use zotify_plugin_api::{Item, Uri, capability};

#[cfg(test)]
pub(crate) use self::write::{Outcome, settle};
pub use self::write::{enqueue, tell};

use crate::{
    App, AppState,
    accounts::Account,
    auth::{Principal, quota},
    db::{self, Tx, items, likes::LikeRow, now_ms},
    error::ApiResult,
    events::{self, Event},
    mirror::{Row, Scope, clean, lookup},
};

/// Why a like stays here: the caller has no account of their own there.
pub const NO_OWN_ACCOUNT: &str = "no_own_account";
/// Why a like stays here: the provider keeps none.
pub const UNSUPPORTED: &str = "unsupported";
/// Likes that a provider is told of at a time.
pub const BATCH: i64 = 100;

/// The account by which a user's likes at an instance are written through: the first of the user's own.
pub fn own_account<'a>(scope: &'a Scope, user_id: &str, instance: &str) -> Option<&'a Account> {
    let own = scope.accounts().iter().filter(|a| a.instance == instance && a.owner.as_deref() == Some(user_id));
    own.min_by(|a, b| a.id.cmp(&b.id))
}

/// The account to write through by, or the reason why there is none. An instance that has not started yet may turn out to
/// keep likes.
fn writer<'a>(app: &App, scope: &'a Scope, user_id: &str, instance: &str) -> Result<&'a Account, &'static str> {
    let handle = app.providers.get(instance).ok_or(UNSUPPORTED)?;
    if handle.manifest().is_some() && !handle.has(capability::LIKES_WRITE) {
        return Err(UNSUPPORTED);
    }
    own_account(scope, user_id, instance).ok_or(NO_OWN_ACCOUNT)
}

/// Likes a track, and writes that through where it can be. Answers what is known of the like then.
///
/// # Errors
/// 404 `item_not_found`, 403 `quota_exceeded`.
pub async fn like(app: &AppState, principal: &Principal, uri: &Uri) -> ApiResult<LikeRow> {
    let (user, scope) = (principal.user_id.as_str(), Scope::of(app, principal).await?);
    let fetched = visible(app, &scope, uri).await?;
    let writer = writer(app, &scope, user, uri.instance());
    let mut tx = app.db.write().await?;
    db::state::lock(&mut tx, &format!("likes:{user}")).await?;
    let before = db::likes::find(&mut *tx, user, uri.as_str()).await?;
    let known = before.as_ref().filter(|row| row.liked != 0);
    if let Some(row) = known.filter(|row| row.written_through != 0 || writer.is_err()) {
        return Ok(row.clone());
    }
    let row = LikeRow {
        uri: uri.to_string(),
        liked_at: known.map_or_else(now_ms, |row| row.liked_at),
        liked: 1,
        pending: i64::from(writer.is_ok()),
        code: writer.err().map(str::to_owned),
        changed_at: next_change(db::clock::now(&mut tx).await?, before.as_ref()),
        ..LikeRow::default()
    };
    if known.is_none() {
        let limit = quota::of(&mut *tx, &app.config.quotas, user).await?.likes;
        if db::likes::count(&mut *tx, user).await? >= i64::from(limit) {
            return Err(quota::exceeded("liked tracks", limit));
        }
    }
    db::likes::put(&mut tx, user, &row).await?;
    if let Some((account, item)) = fetched {
        remember(&mut tx, &account, vec![item]).await?;
    }
    if known.is_none() {
        emit(&mut tx, user, "track.liked", uri.as_str()).await?;
    }
    tx.commit().await?;
    let Ok(account) = writer else { return Ok(row) };
    write::tell_now(app, account, row.clone()).await?;
    Ok(db::likes::find(app.db.read(), user, uri.as_str()).await?.filter(|now| now.liked != 0).unwrap_or(row))
}

/// Takes a like back, also at the provider that holds it. What is not liked stays so.
///
/// # Errors
/// 404 `item_not_found` for what the caller neither likes nor can see, or when the database fails.
pub async fn unlike(app: &AppState, principal: &Principal, uri: &Uri) -> ApiResult<()> {
    let (user, scope) = (principal.user_id.as_str(), Scope::of(app, principal).await?);
    let mut tx = app.db.write().await?;
    db::state::lock(&mut tx, &format!("likes:{user}")).await?;
    let before = db::likes::find(&mut *tx, user, uri.as_str()).await?;
    let Some(row) = before.filter(|row| row.liked != 0) else {
        tx.rollback().await?;
        return visible(app, &scope, uri).await.map(drop);
    };
    let account = writer(app, &scope, user, uri.instance()).ok();
    // One that is on its way there may have arrived.
    let account = account.filter(|_| row.written_through != 0 || row.pending != 0);
    let changed_at = next_change(db::clock::now(&mut tx).await?, Some(&row));
    let taken_back = LikeRow { liked: 0, written_through: 0, pending: 1, code: None, changed_at, ..row };
    match account {
        Some(_) => db::likes::put(&mut tx, user, &taken_back).await?,
        None => db::likes::delete(&mut tx, user, uri.as_str()).await?,
    }
    emit(&mut tx, user, "track.unliked", uri.as_str()).await?;
    tx.commit().await?;
    match account {
        Some(account) => write::tell_now(app, account, taken_back).await,
        None => Ok(()),
    }
}

/// Makes sure that the caller can see an item; answers it, with the account that found it, where the mirror has it not.
///
/// # Errors
/// 404 `item_not_found`, or why the provider could not be asked.
pub async fn visible(app: &App, scope: &Scope, uri: &Uri) -> ApiResult<Option<(String, Item)>> {
    let accounts = scope.at(uri.instance());
    if !accounts.is_empty() && items::find(app.db.read(), &accounts, uri.as_str()).await?.is_some() {
        return Ok(None);
    }
    lookup::fetch(app, scope, uri).await.map(Some)
}

/// Keeps items that are in no library, because a like or a play names them.
///
/// # Errors
/// When the database fails.
pub async fn remember(tx: &mut Tx, account: &str, items: Vec<Item>) -> sqlx::Result<()> {
    let now = now_ms();
    let uris: Vec<String> = items.iter().map(|item| item.uri().to_string()).collect();
    // What is known keeps the time since when it is, so that it is as it was, and not written again.
    let known = items::added_at(tx, account, &uris).await?;
    let since = |item: &Item| known.get(item.uri().as_str()).copied().unwrap_or(now);
    let rows = items.into_iter().filter_map(|item| Row::new(item.clone(), since(&item)));
    let mut rows: Vec<Row> = rows.collect();
    rows.sort_by(|a, b| a.uri.cmp(&b.uri));
    rows.dedup_by(|a, b| a.uri == b.uri);
    items::upsert(tx, account, "", false, &rows).await
}

/// The number of a change at a time ([`db::clock::now`]): later than that of any change before it.
pub fn next_change(now: i64, before: Option<&LikeRow>) -> i64 {
    now.max(before.map_or(0, |row| row.changed_at + 1))
}

/// Lets likes follow saved tracks, at a provider where both are one: told of by the account that the user's likes are written
/// through by.
///
/// # Errors
/// When the database fails.
pub async fn follow_saved(
    tx: &mut Tx,
    app: &App,
    account: &Account,
    added: &[String],
    removed: &[String],
) -> sqlx::Result<()> {
    let Some(user) = account.owner.as_deref() else { return Ok(()) };
    let all = db::accounts::of_instance(&mut **tx, &account.instance).await?;
    let first = all.iter().filter(|a| a.owner == account.owner).map(|a| &a.id).min();
    if first != Some(&account.id) {
        return Ok(());
    }
    db::state::lock(tx, &format!("likes:{user}")).await?;
    let mut room = i64::from(quota::of(&mut **tx, &app.config.quotas, user).await?.likes);
    room -= db::likes::count(&mut **tx, user).await?;
    let (now, is_track) = (db::clock::now(tx).await?, |uri: &&String| is_track(uri));
    for uri in added.iter().filter(is_track) {
        let before = db::likes::find(&mut **tx, user, uri).await?;
        let known = before.as_ref().filter(|row| row.liked != 0);
        if known.is_none() && room <= 0 {
            continue;
        }
        let changed_at = next_change(now, before.as_ref());
        let liked_at = known.map_or(now, |row| row.liked_at);
        let row =
            LikeRow { uri: uri.clone(), liked_at, liked: 1, written_through: 1, changed_at, ..LikeRow::default() };
        db::likes::put(tx, user, &row).await?;
        if known.is_none() {
            room -= 1;
            emit(tx, user, "track.liked", uri).await?;
        }
    }
    for uri in removed.iter().filter(is_track) {
        let before = db::likes::find(&mut **tx, user, uri).await?;
        db::likes::delete(tx, user, uri).await?;
        if before.is_some_and(|row| row.liked != 0) {
            emit(tx, user, "track.unliked", uri).await?;
        }
    }
    Ok(())
}

fn is_track(uri: &str) -> bool {
    uri.parse::<Uri>().is_ok_and(|uri| uri.kind() == zotify_plugin_api::Kind::Track)
}

async fn emit(tx: &mut Tx, user: &str, kind: &str, uri: &str) -> sqlx::Result<()> {
    let data = json!({ "uri": uri });
    events::emit(tx, Event { kind, subject: Some(uri), user: Some(user), data }).await.map(drop)
}

/// What an item that a provider's list names is, where the host can keep it.
pub fn own_item(mut item: Item, instance: &str) -> Option<Item> {
    clean::clean(&mut item, instance).ok().map(|()| item)
}
