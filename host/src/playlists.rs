//! Changing playlists at their providers. After every write the playlist is read again, so that the mirror holds what the
//! provider made of it; a write whose answer was lost is looked at before anybody is told what became of it.

mod lost;
mod reread;
mod target;

use std::sync::Arc;

use axum::http::HeaderValue;
use serde_json::json;
use zotify_plugin_api::{
    EditResult, ErrorKind, Item, PlaylistCreate, PlaylistEdit, PlaylistEdited, PlaylistImage, PlaylistOp,
    PlaylistUpdate, ProviderError, capability, method,
};

pub use self::{
    reread::{Made, Seen},
    target::{Target, find, held, locators, scope, tag},
};
use crate::{
    App,
    accounts::Account,
    db::{self, Tx},
    error::{ApiError, ApiResult, is_lost},
    events::{self, Event},
    providers::InstanceHandle,
    routing::{self, call},
};

/// A change of a playlist's entries.
pub struct Edit {
    /// What to do, in order.
    pub ops: Vec<PlaylistOp>,
    /// The place, from 0, that the items of the first operation go to.
    pub position: Option<u32>,
    /// The `If-Match` header.
    pub expected: Option<HeaderValue>,
}

/// What an edit came to.
pub struct Edited {
    /// The playlist as it is now; none where it could not be read again.
    pub seen: Option<Seen>,
    /// What became of each operation: none where it was done.
    pub results: Vec<Option<ProviderError>>,
    /// Items that could not be added although their operation was done.
    pub refused: Vec<EditResult>,
    /// How many operations there were; those without a result were not tried.
    pub ops: usize,
}

fn needed(op: &PlaylistOp) -> Option<&'static str> {
    match op {
        PlaylistOp::Add { .. } => Some(capability::PLAYLISTS_ITEMS_ADD),
        PlaylistOp::Move { .. } => Some(capability::PLAYLISTS_ITEMS_MOVE),
        PlaylistOp::Remove { .. } => Some(capability::PLAYLISTS_ITEMS_REMOVE),
        PlaylistOp::Replace { .. } => Some(capability::PLAYLISTS_ITEMS_REPLACE),
        _ => None,
    }
}

/// Changes a playlist's entries.
///
/// # Errors
/// 404 `entry_not_found`, 412 `version_mismatch`, 422 `unsupported`, 504 `outcome_unknown`, or why the provider did nothing.
pub async fn edit(app: &App, target: &Target, edit: Edit) -> ApiResult<Edited> {
    let Edit { mut ops, position, expected } = edit;
    for capability in ops.iter().filter_map(needed) {
        routing::check(app, &target.handle, &target.account, capability).await?;
    }
    let _one_at_a_time = app.playlist_edits.lock(app, target.uri.as_str()).await?;
    let now = target.now(app).await?;
    expected.as_ref().map_or(Ok(()), |expected| target::names(expected, &now.tag))?;
    if let (Some(position), Some(PlaylistOp::Add { before, .. })) = (position, ops.first_mut()) {
        *before = now.entries.get(position as usize).map(|(id, _)| id.clone());
    }
    check_entries(&ops, &now.entries)?;
    let by_entry = ops.iter().any(names_entries);
    let version = now.version.clone().filter(|_| by_entry || expected.is_some());
    let request = PlaylistEdit { playlist: target.key(), version, ops: ops.clone() };
    let count = ops.len();
    match call::<method::EditPlaylist>(&target.handle, &target.account, request).await {
        Ok(edited) => done(app, target, edited, count).await,
        Err(error) if error.kind == ErrorKind::Conflict => {
            reread::refresh(app, target, None).await;
            Err(if expected.is_some() { target::version_mismatch() } else { error.into() })
        }
        Err(error) if is_lost(&error) => {
            let seen = reread::refresh(app, target, Some("edited")).await;
            lost::edited(seen, &now.entries, &ops)
        }
        Err(error) => Err(error.into()),
    }
}

async fn done(app: &App, target: &Target, edited: PlaylistEdited, ops: usize) -> ApiResult<Edited> {
    let PlaylistEdited { mut results, refused, .. } = edited;
    results.truncate(ops);
    // All or nothing: what was refused at once left nothing behind, unless the provider names items that it did not put back.
    if let Some(Some(error)) = results.first().filter(|_| refused.rows.is_empty()) {
        if error.kind == ErrorKind::Conflict {
            reread::refresh(app, target, None).await;
        }
        return Err(error.clone().into());
    }
    let seen = reread::refresh(app, target, Some("edited")).await;
    Ok(Edited { seen, results, refused: refused.rows, ops })
}

fn names_entries(op: &PlaylistOp) -> bool {
    match op {
        PlaylistOp::Add { before, .. } => before.is_some(),
        PlaylistOp::Move { .. } | PlaylistOp::Remove { .. } => true,
        _ => false,
    }
}

/// Entries that the mirror does not have are not there for the provider either.
fn check_entries(ops: &[PlaylistOp], entries: &[db::playlists::Named]) -> ApiResult<()> {
    let known: std::collections::HashSet<&str> = entries.iter().map(|(id, _)| id.as_str()).collect();
    let named = ops.iter().flat_map(|op| match op {
        PlaylistOp::Add { before, .. } => before.iter().collect::<Vec<_>>(),
        PlaylistOp::Move { entries, before } => entries.iter().chain(before).collect(),
        PlaylistOp::Remove { entries } => entries.iter().collect(),
        _ => Vec::new(),
    });
    match named.into_iter().find(|id| !known.contains(id.as_str())) {
        None => Ok(()),
        Some(id) => Err(ApiError::not_found("entry_not_found", format!("the playlist has no entry {id:.64}"))),
    }
}

/// Makes a playlist.
///
/// # Errors
/// 422 `unsupported`, 504 `outcome_unknown`, or why the provider did not make it.
pub async fn create(
    app: &App,
    handle: &Arc<InstanceHandle>,
    account: &Account,
    new: PlaylistCreate,
) -> ApiResult<Made> {
    routing::check(app, handle, account, capability::PLAYLISTS_CREATE).await?;
    let _one_at_a_time = app.playlist_edits.lock(app, &account.id).await?;
    let made = match call::<method::CreatePlaylist>(handle, account, new.clone()).await {
        Ok(made) => made,
        Err(error) if is_lost(&error) => lost::created(app, handle, account, &new.name).await?,
        Err(error) => return Err(error.into()),
    };
    reread::store_new(app, account, made).await
}

/// Changes a playlist's details.
///
/// # Errors
/// 412 `version_mismatch`, 422 `unsupported`, 504 `outcome_unknown`, or why the provider did not change it.
pub async fn update(
    app: &App,
    target: &Target,
    change: PlaylistUpdate,
    expected: Option<&HeaderValue>,
) -> ApiResult<Seen> {
    routing::check(app, &target.handle, &target.account, capability::PLAYLISTS_UPDATE).await?;
    let _one_at_a_time = app.playlist_edits.lock(app, target.uri.as_str()).await?;
    target.check(app, expected).await?;
    match call::<method::UpdatePlaylist>(&target.handle, &target.account, change.clone()).await {
        Ok(head) => {
            let seen = reread::with_head(app, target, Some(Item::Playlist(head)), Some("updated")).await;
            seen.ok_or_else(|| lost::unread(target))
        }
        Err(error) if is_lost(&error) => lost::updated(reread::refresh(app, target, Some("updated")).await, &change),
        Err(error) => Err(error.into()),
    }
}

/// Sets a playlist's picture.
///
/// # Errors
/// 412 `version_mismatch`, 422 `unsupported`, 504 `outcome_unknown`, or why the provider did not take it.
pub async fn set_image(
    app: &App,
    target: &Target,
    (content_type, bytes): (&str, Vec<u8>),
    expected: Option<&HeaderValue>,
) -> ApiResult<()> {
    routing::check(app, &target.handle, &target.account, capability::PLAYLISTS_IMAGE).await?;
    let _one_at_a_time = app.playlist_edits.lock(app, target.uri.as_str()).await?;
    target.check(app, expected).await?;
    let request = PlaylistImage { playlist: target.key(), content_type: content_type.into(), bytes };
    match call::<method::SetPlaylistImage>(&target.handle, &target.account, request).await {
        Ok(()) => {
            reread::refresh(app, target, Some("image")).await;
            Ok(())
        }
        Err(error) if is_lost(&error) => Err(lost::unknown("nobody knows whether the picture was set; set it again")),
        Err(error) => Err(error.into()),
    }
}

/// Deletes a playlist, or stops following it.
///
/// # Errors
/// 412 `version_mismatch`, 422 `unsupported`, 504 `outcome_unknown`, or why the provider did not delete it.
pub async fn delete(app: &App, target: &Target, expected: Option<&HeaderValue>) -> ApiResult<()> {
    routing::check(app, &target.handle, &target.account, capability::PLAYLISTS_DELETE).await?;
    let _one_at_a_time = app.playlist_edits.lock(app, target.uri.as_str()).await?;
    target.check(app, expected).await?;
    match call::<method::DeletePlaylist>(&target.handle, &target.account, target.key()).await {
        Ok(()) => {}
        // It is as it should be.
        Err(error) if error.kind == ErrorKind::NotFound => {}
        Err(error) if is_lost(&error) => lost::deleted(target).await?,
        Err(error) => return Err(error.into()),
    }
    let mut tx = app.db.write().await?;
    db::items::delete_playlist(&mut tx, &target.account.id, target.uri.as_str()).await?;
    announce(&mut tx, &target.account, target.uri.as_str(), "deleted").await?;
    tx.commit().await?;
    Ok(())
}

/// Says that a playlist was changed, and how.
async fn announce(tx: &mut Tx, account: &Account, uri: &str, change: &str) -> sqlx::Result<()> {
    let data = json!({"uri": uri, "change": change, "account": account.id, "provider": account.instance});
    let event = Event { kind: "playlist.changed", subject: Some(uri), user: account.owner.as_deref(), data };
    events::emit(tx, event).await.map(drop)
}
