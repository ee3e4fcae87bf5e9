//! Edits of a playlist's entries. The API appends and removes; every other order is written anew as a whole.

mod plan;

use std::collections::BTreeSet;

use plan::{Draft, Plan};
use zotify_plugin_api::prelude::*;

use super::{entries, read};
use crate::client::Session;

/// Edits a playlist: all of it or, where an operation makes no sense, nothing.
pub(crate) async fn edit(session: &Session, edit: &PlaylistEdit) -> Result<PlaylistEdited> {
    let uri = &edit.playlist.uri;
    let answer = read(session, uri).await?;
    let playlist = answer.object("playlist");
    let before = entries::songs(playlist);
    let changed = edit.version.as_ref().is_some_and(|version| *version != entries::version_of_all(playlist));
    let mut draft = Draft::new(&before);
    for op in &edit.ops {
        draft.apply(op, changed)?;
    }
    let mut refused = BTreeSet::new();
    if let Err(error) = write(session, uri, draft.plan()).await {
        refused = missing(session, draft.added()).await?;
        if refused.is_empty() || now(session, uri).await?.0 != before {
            return Err(error);
        }
        draft.leave_out(&refused);
        write(session, uri, draft.plan()).await?;
    }
    let (after, version) = now(session, uri).await?;
    let wanted = draft.songs();
    if after != wanted {
        // Some servers pass over tracks that they don't have.
        let lost = missing(session, draft.added()).await?;
        draft.leave_out(&lost);
        if lost.is_empty() || after != draft.songs() {
            return Err(not_kept());
        }
        refused.extend(lost);
    }
    let refused = refused.iter().map(|id| {
        let uri = session.server.cx.uri(Kind::Track, id)?;
        Ok(EditResult::failed(uri, ProviderError::not_found("the track")))
    });
    let results = edit.ops.iter().map(|_| None).collect();
    Ok(PlaylistEdited { version: Some(version), results, refused: refused.collect::<Result<Vec<_>>>()?.into() })
}

/// The tracks of a playlist, and its version.
async fn now(session: &Session, uri: &Uri) -> Result<(Vec<String>, String)> {
    let answer = read(session, uri).await?;
    let playlist = answer.object("playlist");
    Ok((entries::songs(playlist), entries::version_of_all(playlist)))
}

/// Those tracks that the server does not have.
async fn missing(session: &Session, added: BTreeSet<String>) -> Result<BTreeSet<String>> {
    let mut missing = BTreeSet::new();
    for id in added {
        match session.call("getSong", vec![("id", id.clone())]).await {
            Ok(_) => {}
            Err(failure) if failure.is_missing() => drop(missing.insert(id)),
            Err(failure) => return Err(failure.into_error("the track")),
        }
    }
    Ok(missing)
}

async fn write(session: &Session, uri: &Uri, plan: Plan) -> Result<()> {
    let id = uri.native_id();
    let most = session.ids_per_request();
    let (mut remove, add) = match plan {
        Plan::Nothing => return Ok(()),
        Plan::Update { remove, add } => (remove, add),
        Plan::Replace(mut songs) => {
            let rest = songs.split_off(songs.len().min(most));
            let mut params = vec![("playlistId", id.clone())];
            params.extend(songs.into_iter().map(|song| ("songId", song)));
            send(session, "createPlaylist", params).await?;
            (Vec::new(), rest)
        }
    };
    // From the end, so that the positions of those before stay as they are.
    remove.sort_unstable_by(|a, b| b.cmp(a));
    for some in remove.chunks(most) {
        let mut params = vec![("playlistId", id.clone())];
        params.extend(some.iter().map(|position| ("songIndexToRemove", position.to_string())));
        send(session, "updatePlaylist", params).await?;
    }
    for some in add.chunks(most) {
        let mut params = vec![("playlistId", id.clone())];
        params.extend(some.iter().map(|song| ("songIdToAdd", song.clone())));
        send(session, "updatePlaylist", params).await?;
    }
    Ok(())
}

async fn send(session: &Session, method: &str, params: Vec<(&str, String)>) -> Result<()> {
    session.call(method, params).await.map(drop).map_err(|f| f.into_error("the playlist or a track"))
}

fn not_kept() -> ProviderError {
    let text =
        "the playlist is not what the edit makes of it: the server keeps another order, or somebody else edits it";
    ProviderError::new(ErrorKind::Conflict, text).with_code("edit_not_kept")
}
