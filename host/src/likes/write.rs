//! Tells providers what users like.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tracing::Instrument as _;
use zotify_plugin_api::{
    EditResult, ErrorKind, ItemKey, LikesEdit, LikesEdited, ProviderError, Uri, capability, method,
};

use super::next_change;
use crate::{
    App, AppState,
    accounts::Account,
    db::{self, Tx, items, likes::LikeRow},
    error::{ApiError, ApiResult},
    jobs::{self, Enqueue, Job as _, likes::WriteLikes},
    library,
    mirror::lookup,
    providers::{InstanceHandle, Lane},
};

/// When a provider that gives no time is told again.
const AGAIN: Duration = Duration::from_secs(5);

/// Tells a provider while the client waits; what it does not take now a job tells it later. A client that goes away stops
/// none of that.
pub(super) async fn tell_now(app: &AppState, account: &Account, row: LikeRow) -> ApiResult<()> {
    let (app, account) = (app.clone(), account.clone());
    let tasks = app.tasks.clone();
    let told = tasks.spawn(async move { tell_or_queue(&app, &account, row).await }.in_current_span());
    Ok(told.await.map_err(ApiError::internal)??)
}

async fn tell_or_queue(app: &App, account: &Account, row: LikeRow) -> sqlx::Result<()> {
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
    let options = Enqueue { delay, ..Enqueue::of_account(WriteLikes::NAME, account) };
    jobs::enqueue(tx, &WriteLikes { account_id: account.id.clone() }, options).await.map(drop)
}

/// What became of telling a provider of one like.
pub(crate) enum Outcome {
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
    let handle = match app.providers.configured(&account.instance) {
        Ok(handle) => handle,
        Err(gone) => return Ok(Some(gone)),
    };
    let answer = match edit(app, account, &rows).await? {
        Some(edit) => call(&handle, account, lane, edit).await,
        None => Ok(LikesEdited::default()),
    };
    let mut outcomes = outcomes(answer);
    let mut again = None;
    let (mut saved, mut unsaved) = (Vec::new(), Vec::new());
    let mut tx = app.db.write().await?;
    db::state::lock(&mut tx, &format!("likes:{user}")).await?;
    for row in rows {
        let left_out = || Outcome::Later(ProviderError::internal("the provider did not say what became of it"));
        let outcome = outcomes.one(&row.uri).unwrap_or_else(left_out);
        if matches!(outcome, Outcome::Done) {
            if row.liked != 0 { saved.push(row.uri.clone()) } else { unsaved.push(row.uri.clone()) }
        }
        if let Some(error) = settle(&mut tx, user, row, outcome, handle.has(capability::LIKES_READ)).await? {
            again = Some(error);
        }
    }
    if handle.manifest().is_some_and(|manifest| manifest.likes_are_saved_tracks)
        && !(saved.is_empty() && unsaved.is_empty())
    {
        library::follow(&mut tx, account, &saved, &unsaved, &[]).await?;
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
pub(crate) async fn settle(
    tx: &mut Tx,
    user: &str,
    told: LikeRow,
    outcome: Outcome,
    reads: bool,
) -> sqlx::Result<Option<ProviderError>> {
    let now = db::likes::find(&mut **tx, user, &told.uri).await?;
    match now {
        Some(now) if now.changed_at == told.changed_at => {}
        // Another one told it the same.
        Some(now) if now.liked == told.liked && now.pending == 0 => return Ok(None),
        now => return overtaken(tx, user, told, now).await,
    }
    let changed_at = next_change(db::clock::now(tx).await?, Some(&told));
    let code = |error: &ProviderError| Some(ApiError::from(error.clone()).code().to_owned());
    let liked = told.liked != 0;
    match outcome {
        Outcome::Later(error) => {
            db::likes::put(tx, user, &LikeRow { pending: 1, code: code(&error), ..told }).await?;
            return Ok(Some(error));
        }
        Outcome::Done if liked => {
            db::likes::put(tx, user, &LikeRow { written_through: 1, pending: 0, code: None, changed_at, ..told })
                .await?;
        }
        Outcome::Never(error) if liked => {
            db::likes::put(tx, user, &LikeRow { written_through: 0, pending: 0, code: code(&error), ..told }).await?;
        }
        // A list that the provider answered before still names it; the next pull forgets it.
        Outcome::Done if reads => {
            db::likes::put(tx, user, &LikeRow { pending: 0, code: None, changed_at, ..told }).await?;
        }
        Outcome::Done | Outcome::Never(_) => db::likes::delete(tx, user, &told.uri).await?,
    }
    Ok(None)
}

/// Whether the user still sees an item under this address. One that moved was not taken back: its like moved with it, and
/// the provider may take the old address for the new one.
async fn is_known(tx: &mut Tx, user: &str, uri: &str) -> sqlx::Result<bool> {
    let instance = uri.split(':').next().unwrap_or_default();
    let accounts = db::accounts::of_instance(&mut **tx, instance).await?;
    let seen = accounts.into_iter().filter(|a| a.owner.as_deref().is_none_or(|owner| owner == user));
    let seen: Vec<String> = seen.map(|account| account.id).collect();
    Ok(!seen.is_empty() && items::find(&mut **tx, &seen, uri).await?.is_some())
}

/// Somebody changed their mind while the provider was told: it is told of that once more, since nobody knows which of the
/// two it heard last.
async fn overtaken(
    tx: &mut Tx,
    user: &str,
    told: LikeRow,
    now: Option<LikeRow>,
) -> sqlx::Result<Option<ProviderError>> {
    let changed_at = next_change(db::clock::now(tx).await?, Some(now.as_ref().unwrap_or(&told)));
    let row = match now {
        Some(now) => LikeRow { pending: 1, changed_at, ..now },
        None if told.liked == 0 || !is_known(tx, user, &told.uri).await? => return Ok(None),
        None => LikeRow { liked: 0, written_through: 0, pending: 1, code: None, changed_at, ..told },
    };
    db::likes::put(tx, user, &row).await?;
    Ok(Some(ProviderError::unavailable("it was changed meanwhile").with_retry_after_ms(0)))
}
