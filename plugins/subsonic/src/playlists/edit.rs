//! Edits of a playlist's entries. The API appends and removes, and writes a playlist anew as a whole.

mod plan;
mod unfinished;
mod write;

use std::collections::BTreeSet;

use plan::Draft;
use write::{Tidied, Writer, not_kept};
use zotify_plugin_api::prelude::*;

use super::entries;
use crate::client::Session;

pub(super) use unfinished::forget;

/// Edits a playlist: all of it or, where an operation makes no sense, nothing.
pub(crate) async fn edit(session: &Session, call: &Call<PlaylistEdit>) -> Result<PlaylistEdited> {
    let writer = Writer::new(session, call)?;
    let mut found = writer.now().await?;
    let mut changed = call.version.as_ref().is_some_and(|version| *version != found.version);
    let tidied = writer.tidy(&found.songs).await?;
    if tidied != Tidied::Nothing {
        found = writer.now().await?;
        if tidied == Tidied::Finished {
            return done(session, call, found.version, &BTreeSet::new());
        }
        // The entries that the caller named may be those that went.
        changed |= call.version.is_some() && tidied == Tidied::Forward;
    }
    let mut draft = Draft::new(&found.songs);
    for op in &call.ops {
        draft.apply(op, changed)?;
    }
    let mut refused = BTreeSet::new();
    if let Err(error) = writer.write(&found.songs, &draft).await {
        if !may_lack_tracks(&error) {
            return Err(error);
        }
        refused = missing(session, draft.added()).await?;
        if refused.is_empty() || writer.now().await?.songs != found.songs {
            return Err(error);
        }
        draft.leave_out(&refused);
        writer.write(&found.songs, &draft).await?;
    }
    let after = writer.now().await?;
    if after.songs != draft.songs() {
        // Some servers pass over tracks that they don't have.
        let lost = missing(session, draft.added()).await?;
        draft.leave_out(&lost);
        if lost.is_empty() || after.songs != draft.songs() {
            return Err(not_kept());
        }
        refused.extend(lost);
    }
    done(session, call, after.version, &refused)
}

fn done(session: &Session, edit: &PlaylistEdit, version: String, refused: &BTreeSet<String>) -> Result<PlaylistEdited> {
    let refused = refused.iter().map(|id| {
        let uri = session.server.cx.uri(Kind::Track, id)?;
        Ok(EditResult::failed(uri, ProviderError::not_found("the track")))
    });
    let results = edit.ops.iter().map(|_| None).collect();
    Ok(PlaylistEdited { version: Some(version), results, refused: refused.collect::<Result<Vec<_>>>()?.into() })
}

/// Whether an edit may have failed for a track that the server does not have.
fn may_lack_tracks(error: &ProviderError) -> bool {
    matches!(error.kind, ErrorKind::NotFound | ErrorKind::BadUpstream) || error.code.as_deref() == Some("edit_not_kept")
}

/// Those tracks that the server does not have.
async fn missing(session: &Session, added: BTreeSet<String>) -> Result<BTreeSet<String>> {
    let mut missing = BTreeSet::new();
    for id in added {
        match session.one("getSong", &id, "the track").await {
            Ok(_) => {}
            Err(error) if error.kind == ErrorKind::NotFound => drop(missing.insert(id)),
            Err(error) => return Err(error),
        }
    }
    Ok(missing)
}
