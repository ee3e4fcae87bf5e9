//! Stars of tracks.

use std::collections::HashSet;

use zotify_plugin_api::prelude::*;

use crate::{client::Session, failure::Failure, items::Items, page};

/// A page of starred tracks. Servers answer all of them at once.
pub(crate) async fn list(session: &Session, items: &Items, request: &PageRequest) -> Result<LikesPage> {
    let answer = session.call("getStarred2", Vec::new()).await.map_err(|f| f.into_error("the starred tracks"))?;
    let like = |song: crate::fields::Fields<'_>| {
        Some(Like { item: Item::Track(items.track(song)?), liked_at: song.time("starred") })
    };
    let all: Vec<_> = answer.object("starred2").list("song").filter_map(like).collect();
    let part = page::part(all, request.cursor.as_deref(), request.limit)?;
    Ok(LikesPage { likes: part.rows.into(), next: part.next })
}

/// Stars tracks, and takes stars away.
pub(crate) async fn edit(session: &Session, edit: &LikesEdit) -> Result<LikesEdited> {
    let mut results = many(session, true, &edit.add).await?;
    results.extend(many(session, false, &edit.remove).await?);
    Ok(LikesEdited { results: results.into() })
}

/// All in one request. Not all servers take several tracks at once, or say that they don't: what counts is how the tracks
/// are afterwards.
async fn many(session: &Session, starred: bool, keys: &[ItemKey]) -> Result<Vec<EditResult>> {
    let (tracks, others): (Vec<_>, Vec<_>) = keys.iter().partition(|key| key.uri.kind() == Kind::Track);
    let no_track = || ProviderError::invalid("only tracks can be starred").with_code("not_a_track");
    let mut results: Vec<_> = others.into_iter().map(|key| EditResult::failed(key.uri.clone(), no_track())).collect();
    let mut left = tracks;
    if left.len() > 1 {
        for some in left.chunks(session.ids_per_request()) {
            match send(session, starred, some).await {
                Err(failure) if !may_be_done(&failure) => return Err(failure.into_error("the track")),
                _ => {}
            }
        }
        let now = starred_now(session).await?;
        let (done, rest): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|key| now.contains(&key.uri.native_id()) == starred);
        results.extend(done.into_iter().map(|key| EditResult::done(key.uri.clone())));
        left = rest;
    }
    for key in left {
        results.push(one(session, starred, key).await?);
    }
    Ok(results)
}

async fn send(session: &Session, starred: bool, keys: &[&ItemKey]) -> Result<(), Failure> {
    let params = keys.iter().map(|key| ("id", key.uri.native_id())).collect();
    session.call(if starred { "star" } else { "unstar" }, params).await.map(drop)
}

async fn starred_now(session: &Session) -> Result<HashSet<String>> {
    let answer = session.call("getStarred2", Vec::new()).await.map_err(|f| f.into_error("the starred tracks"))?;
    Ok(answer.object("starred2").list("song").filter_map(|song| song.id("id")).collect())
}

/// Some servers refuse to star what is starred, others say nothing of a track that they don't have.
async fn one(session: &Session, starred: bool, key: &ItemKey) -> Result<EditResult> {
    let uri = key.uri.clone();
    let sent = send(session, starred, &[key]).await;
    if let Err(failure) = &sent
        && !may_be_done(failure)
    {
        return Err(failure.clone().into_error("the track"));
    }
    match session.one("getSong", &uri.native_id(), "the track").await {
        Ok(_) => match sent {
            Err(failure) if starred_now(session).await?.contains(&uri.native_id()) != starred => {
                Ok(EditResult::failed(uri, failure.into_error("the track")))
            }
            _ => Ok(EditResult::done(uri)),
        },
        Err(error) if error.kind != ErrorKind::NotFound => Err(error),
        Err(_) if !starred => Ok(EditResult::done(uri)),
        Err(error) => Ok(EditResult::failed(uri, error)),
    }
}

/// Whether a failure says little: the track may be starred already, or not be there.
fn may_be_done(failure: &Failure) -> bool {
    failure.is_missing() || failure.is_vague()
}
