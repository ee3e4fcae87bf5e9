//! Writes whose answer was lost: what is there now tells whether they were done.

use axum::http::StatusCode;
use zotify_plugin_api::{Playlist, PlaylistOp, PlaylistUpdate};

use super::{Edited, Seen, Target, reread};
use crate::{
    App,
    accounts::Account,
    db::{items, playlists::Named},
    error::{ApiError, ApiResult},
    providers::InstanceHandle,
};

/// 504 with what is known.
pub(super) fn unknown(detail: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::GATEWAY_TIMEOUT, "outcome_unknown", detail.into())
}

/// The change was taken, and what it came to could not be read.
pub(super) fn unread(target: &Target) -> ApiError {
    unknown(format!("{} was changed, but can't be read now; it is read again soon", target.uri))
}

/// An edit was done if the playlist is as it should be then.
pub(super) fn edited(seen: Option<Seen>, before: &[Named], ops: &[PlaylistOp]) -> ApiResult<Edited> {
    let Some(seen) = seen else {
        return Err(unknown("the provider did not answer, and the playlist can't be read now; it is read again soon"));
    };
    let now: Option<Vec<_>> = seen.entries.as_ref().map(|all| all.iter().map(|(_, uri)| uri.clone()).collect());
    if now.is_some() && now == after(before, ops) {
        let results = vec![None; ops.len()];
        return Ok(Edited { ops: results.len(), seen: Some(seen), results, refused: Vec::new() });
    }
    let entries = seen.entries.as_ref().map_or_else(|| "many".to_owned(), |entries| entries.len().to_string());
    let version = seen.version.as_deref().unwrap_or("unknown");
    Err(unknown(format!(
        "the provider did not answer; seen now: {entries} entries, version {version}. Read the items again before you retry"
    )))
}

/// What the entries name after some operations; none where that can't be told.
fn after(before: &[Named], ops: &[PlaylistOp]) -> Option<Vec<Option<String>>> {
    let mut all: Vec<(Option<&str>, Option<String>)> =
        before.iter().map(|(id, uri)| (Some(id.as_str()), uri.clone())).collect();
    for op in ops {
        match op {
            PlaylistOp::Add { items, before } => {
                let at = place(&all, before.as_deref())?;
                all.splice(at..at, items.iter().map(|key| (None, Some(key.uri.to_string()))));
            }
            PlaylistOp::Move { entries, before } => {
                let mut moved = Vec::with_capacity(entries.len());
                for id in entries {
                    moved.push(all.remove(place(&all, Some(id))?));
                }
                let at = place(&all, before.as_deref())?;
                all.splice(at..at, moved);
            }
            PlaylistOp::Remove { entries } => {
                for id in entries {
                    all.remove(place(&all, Some(id))?);
                }
            }
            PlaylistOp::Replace { items } => {
                all = items.iter().map(|key| (None, Some(key.uri.to_string()))).collect();
            }
            _ => return None,
        }
    }
    Some(all.into_iter().map(|(_, uri)| uri).collect())
}

fn place(all: &[(Option<&str>, Option<String>)], before: Option<&str>) -> Option<usize> {
    match before {
        None => Some(all.len()),
        Some(id) => all.iter().position(|(entry, _)| *entry == Some(id)),
    }
}

/// A change of details was done if they are as they should be.
pub(super) fn updated(seen: Option<Seen>, change: &PlaylistUpdate) -> ApiResult<Seen> {
    let seen = seen.ok_or_else(|| unknown("the provider did not answer, and the playlist can't be read now"))?;
    let doc: serde_json::Value = serde_json::from_str(&seen.doc).unwrap_or_default();
    let text = |key: &str, wanted: &Option<String>| {
        wanted.as_deref().is_none_or(|wanted| doc[key].as_str().unwrap_or_default() == wanted.trim())
    };
    let flag = |key: &str, wanted: Option<bool>| wanted.is_none_or(|wanted| doc[key].as_bool() == Some(wanted));
    let same = text("name", &change.name)
        && text("description", &change.description)
        && flag("public", change.public)
        && flag("collaborative", change.collaborative);
    if same {
        return Ok(seen);
    }
    Err(unknown(format!("the provider did not answer; seen now: a playlist named {}", doc["name"])))
}

/// A playlist was made if there is one of that name that was not there before.
pub(super) async fn created(app: &App, handle: &InstanceHandle, account: &Account, name: &str) -> ApiResult<Playlist> {
    let accounts = std::slice::from_ref(&account.id);
    let known = items::playlists_named(app.db.read(), accounts, name).await?;
    let fresh = |playlist: &Playlist| playlist.name.trim() == name.trim() && !known.contains(&playlist.uri.to_string());
    match reread::find(handle, account, fresh).await {
        Ok(Some(playlist)) => Ok(playlist),
        Ok(None) => Err(unknown("the provider did not answer; seen now: no new playlist of that name")),
        Err(_) => Err(unknown("the provider did not answer, and its playlists can't be listed now")),
    }
}

/// A playlist was deleted if it is not listed any more.
pub(super) async fn deleted(target: &Target) -> ApiResult<()> {
    match reread::find(&target.handle, &target.account, |playlist| playlist.uri == target.uri).await {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(unknown("the provider did not answer; seen now: the playlist is still there")),
        Err(_) => Err(unknown("the provider did not answer, and its playlists can't be listed now")),
    }
}
