//! What users like: kept here, and written through to the provider where that keeps likes too.
//!
//! A like belongs to a user. It is written through by an account that the user owns; what an account that all users share
//! likes is nobody's. The newest change of mind wins: each has a number, and what a provider answers counts only while
//! that number is still the same.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde_json::json;
use zotify_plugin_api::{
    EditResult, ErrorKind, Item, ItemKey, LikesEdit, LikesEdited, ProviderError, Uri, capability, method,
};

use crate::{
    App,
    accounts::Account,
    auth::{Principal, quota},
    db::{self, Tx, items, likes::LikeRow, now_ms},
    error::{ApiError, ApiResult},
    events::{self, Event},
    jobs::{self, Enqueue, likes::WriteLikes},
    mirror::{Row, Scope, clean, lookup},
    providers::{InstanceHandle, Lane},
};

/// Why a like stays here: the caller has no account of their own there.
pub const NO_OWN_ACCOUNT: &str = "no_own_account";
/// Why a like stays here: the provider keeps none.
pub const UNSUPPORTED: &str = "unsupported";
/// When a provider that gives no time is told again.
const AGAIN: Duration = Duration::from_secs(5);
/// Likes that a provider is told of at a time.
pub const BATCH: i64 = 100;

/// The account by which a user's likes at an instance are written through: the first of the user's own.
pub fn own_account<'a>(scope: &'a Scope, user_id: &str, instance: &str) -> Option<&'a Account> {
    scope.accounts().iter().find(|a| a.instance == instance && a.owner.as_deref() == Some(user_id))
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
pub async fn like(app: &App, principal: &Principal, uri: &Uri) -> ApiResult<LikeRow> {
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
        changed_at: next_change(before.as_ref()),
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
    tell_now(app, account, row.clone()).await?;
    Ok(db::likes::find(app.db.read(), user, uri.as_str()).await?.filter(|now| now.liked != 0).unwrap_or(row))
}

/// Takes a like back, also at the provider that holds it. What is not liked stays so.
///
/// # Errors
/// When the database fails.
pub async fn unlike(app: &App, principal: &Principal, uri: &Uri) -> ApiResult<()> {
    let (user, scope) = (principal.user_id.as_str(), Scope::of(app, principal).await?);
    let mut tx = app.db.write().await?;
    db::state::lock(&mut tx, &format!("likes:{user}")).await?;
    let before = db::likes::find(&mut *tx, user, uri.as_str()).await?;
    let Some(row) = before.filter(|row| row.liked != 0) else { return Ok(()) };
    let account = writer(app, &scope, user, uri.instance()).ok();
    // One that is on its way there may have arrived.
    let account = account.filter(|_| row.written_through != 0 || row.pending != 0);
    let changed_at = next_change(Some(&row));
    let taken_back = LikeRow { liked: 0, written_through: 0, pending: 1, code: None, changed_at, ..row };
    match account {
        Some(_) => db::likes::put(&mut tx, user, &taken_back).await?,
        None => db::likes::delete(&mut tx, user, uri.as_str()).await?,
    }
    emit(&mut tx, user, "track.unliked", uri.as_str()).await?;
    tx.commit().await?;
    match account {
        Some(account) => tell_now(app, account, taken_back).await,
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
    let mut rows: Vec<Row> = items.into_iter().filter_map(|item| Row::new(item, now)).collect();
    rows.sort_by(|a, b| a.uri.cmp(&b.uri));
    rows.dedup_by(|a, b| a.uri == b.uri);
    items::upsert(tx, account, "", false, &rows).await
}

/// Later than any change before it, also where clocks went back.
pub fn next_change(before: Option<&LikeRow>) -> i64 {
    now_ms().max(before.map_or(0, |row| row.changed_at + 1))
}

async fn emit(tx: &mut Tx, user: &str, kind: &str, uri: &str) -> sqlx::Result<()> {
    let data = json!({ "uri": uri });
    events::emit(tx, Event { kind, subject: Some(uri), user: Some(user), data }).await.map(drop)
}

/// Tells a provider while the client waits; what it does not take now a job tells it later.
async fn tell_now(app: &App, account: &Account, row: LikeRow) -> ApiResult<()> {
    let Some(error) = tell(app, account, Lane::Interactive, vec![row]).await? else { return Ok(()) };
    let mut tx = app.db.write().await?;
    let delay = error.retry_after_ms.map_or(AGAIN, Duration::from_millis);
    enqueue(&mut tx, account, delay).await?;
    tx.commit().await?;
    app.jobs.wake();
    Ok(())
}

/// Queues telling the provider of what it does not know yet.
///
/// # Errors
/// When the database fails.
pub async fn enqueue(tx: &mut Tx, account: &Account, delay: Duration) -> sqlx::Result<()> {
    let options = Enqueue {
        user: account.owner.clone(),
        subject: Some(account.instance.clone()),
        dedupe_key: Some(format!("likes.write:{}", account.id)),
        delay,
        priority: 0,
    };
    jobs::enqueue(tx, &WriteLikes { account_id: account.id.clone() }, options).await.map(drop)
}

/// What became of telling a provider of one like.
enum Outcome {
    Done,
    /// It may take it later.
    Later(ProviderError),
    /// It will never take it.
    Never(ProviderError),
}

/// Tells a provider of likes and of those taken back, and takes note of what it answers. Answers why some are to be told
/// again later.
///
/// # Errors
/// When the database fails.
pub async fn tell(app: &App, account: &Account, lane: Lane, rows: Vec<LikeRow>) -> sqlx::Result<Option<ProviderError>> {
    let Some(user) = account.owner.as_deref() else { return Ok(None) };
    let Some(handle) = app.providers.get(&account.instance) else {
        return Ok(Some(ProviderError::unavailable("the provider is not configured any more")));
    };
    let answer = match edit(app, account, &rows).await? {
        Some(edit) => call(&handle, account, lane, edit).await,
        None => Ok(LikesEdited::default()),
    };
    let mut outcomes = outcomes(answer);
    let mut again = None;
    let mut tx = app.db.write().await?;
    db::state::lock(&mut tx, &format!("likes:{user}")).await?;
    for row in rows {
        let left_out = || Outcome::Later(ProviderError::internal("the provider did not say what became of it"));
        let outcome = outcomes.one(&row.uri).unwrap_or_else(left_out);
        if let Some(error) = settle(&mut tx, user, row, outcome, handle.has(capability::LIKES_READ)).await? {
            again = Some(error);
        }
    }
    tx.commit().await?;
    Ok(again)
}

/// The request for some likes; none where no address is valid.
async fn edit(app: &App, account: &Account, rows: &[LikeRow]) -> sqlx::Result<Option<LikesEdit>> {
    let uris: Vec<String> = rows.iter().map(|row| row.uri.clone()).collect();
    let found = items::find_many(app.db.read(), std::slice::from_ref(&account.id), &uris).await?;
    let mut locators: HashMap<String, String> =
        found.into_iter().filter_map(|item| Some((item.uri, item.locator?))).collect();
    let mut edit = LikesEdit::default();
    for row in rows {
        let Ok(uri) = row.uri.parse::<Uri>() else { continue };
        let key = ItemKey { locator: locators.remove(&row.uri), uri };
        if row.liked != 0 { edit.add.push(key) } else { edit.remove.push(key) }
    }
    Ok(Some(edit).filter(|edit| !edit.add.is_empty() || !edit.remove.is_empty()))
}

async fn call(
    handle: &Arc<InstanceHandle>,
    account: &Account,
    lane: Lane,
    edit: LikesEdit,
) -> Result<LikesEdited, ProviderError> {
    if handle.manifest().is_some() && !handle.has(capability::LIKES_WRITE) {
        return Err(ProviderError::unsupported("likes"));
    }
    let context = lookup::account_of(handle, &account.id);
    handle.call::<method::EditLikes>(context, lane, edit).await
}

/// Outcomes by URI, or one for all.
enum Outcomes {
    Each(HashMap<String, EditResult>),
    All(ProviderError),
}

fn outcomes(answer: Result<LikesEdited, ProviderError>) -> Outcomes {
    match answer {
        Ok(edited) => {
            Outcomes::Each(edited.results.rows.into_iter().map(|result| (result.uri.to_string(), result)).collect())
        }
        Err(error) => Outcomes::All(error),
    }
}

impl Outcomes {
    fn one(&mut self, uri: &str) -> Option<Outcome> {
        let error = match self {
            Self::Each(results) => results.remove(uri)?.error,
            Self::All(error) => Some(error.clone()),
        };
        Some(match error {
            None => Outcome::Done,
            Some(error) if is_final(error.kind) => Outcome::Never(error),
            Some(error) => Outcome::Later(error),
        })
    }
}

fn is_final(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Unsupported
            | ErrorKind::NotFound
            | ErrorKind::InvalidRequest
            | ErrorKind::Restricted
            | ErrorKind::PermissionDenied
            | ErrorKind::TooLarge
    )
}

/// Takes note of what became of one like. A change of mind in the meantime stands, and is told next.
async fn settle(
    tx: &mut Tx,
    user: &str,
    told: LikeRow,
    outcome: Outcome,
    reads: bool,
) -> sqlx::Result<Option<ProviderError>> {
    let now = db::likes::find(&mut **tx, user, &told.uri).await?;
    if now.as_ref().is_none_or(|now| now.changed_at != told.changed_at) {
        return overtaken(tx, user, told, now).await;
    }
    let code = |error: &ProviderError| Some(ApiError::from(error.clone()).code().to_owned());
    let liked = told.liked != 0;
    match outcome {
        Outcome::Later(error) => {
            db::likes::put(tx, user, &LikeRow { pending: 1, code: code(&error), ..told }).await?;
            return Ok(Some(error));
        }
        Outcome::Done if liked => {
            db::likes::put(tx, user, &LikeRow { written_through: 1, pending: 0, code: None, ..told }).await?;
        }
        Outcome::Never(error) if liked => {
            db::likes::put(tx, user, &LikeRow { written_through: 0, pending: 0, code: code(&error), ..told }).await?;
        }
        // A list that the provider answered before still names it; the next pull forgets it.
        Outcome::Done if reads => db::likes::put(tx, user, &LikeRow { pending: 0, code: None, ..told }).await?,
        Outcome::Done | Outcome::Never(_) => db::likes::delete(tx, user, &told.uri).await?,
    }
    Ok(None)
}

/// Somebody changed their mind while the provider was told: it is told of that once more, since nobody knows which of the
/// two it heard last.
async fn overtaken(
    tx: &mut Tx,
    user: &str,
    told: LikeRow,
    now: Option<LikeRow>,
) -> sqlx::Result<Option<ProviderError>> {
    let changed_at = next_change(Some(now.as_ref().unwrap_or(&told)));
    let row = match now {
        Some(now) => LikeRow { pending: 1, changed_at, ..now },
        None if told.liked == 0 => return Ok(None),
        None => LikeRow { liked: 0, written_through: 0, pending: 1, code: None, changed_at, ..told },
    };
    db::likes::put(tx, user, &row).await?;
    Ok(Some(ProviderError::unavailable("it was changed meanwhile").with_retry_after_ms(0)))
}

/// What an item that a provider's list names is, where the host can keep it.
pub fn own_item(mut item: Item, instance: &str) -> Option<Item> {
    clean::clean(&mut item, instance).ok().map(|()| item)
}
