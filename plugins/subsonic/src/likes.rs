//! Stars of tracks.

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

/// All in one request; one by one where that fails, to find out which.
async fn many(session: &Session, starred: bool, keys: &[ItemKey]) -> Result<Vec<EditResult>> {
    let mut results = Vec::new();
    let (tracks, others): (Vec<_>, Vec<_>) = keys.iter().partition(|key| key.uri.kind() == Kind::Track);
    let no_track = || ProviderError::invalid("only tracks can be starred").with_code("not_a_track");
    results.extend(others.into_iter().map(|key| EditResult::failed(key.uri.clone(), no_track())));
    for some in tracks.chunks(session.ids_per_request()) {
        match send(session, starred, some).await {
            Ok(()) => results.extend(some.iter().map(|key| EditResult::done(key.uri.clone()))),
            Err(failure) if failure.is_missing() => {
                for key in some {
                    results.push(one(session, starred, key).await?);
                }
            }
            Err(failure) => return Err(failure.into_error("the track")),
        }
    }
    Ok(results)
}

async fn send(session: &Session, starred: bool, keys: &[&ItemKey]) -> Result<(), Failure> {
    let params = keys.iter().map(|key| ("id", key.uri.native_id())).collect();
    session.call(if starred { "star" } else { "unstar" }, params).await.map(drop)
}

/// Some servers refuse to star what is starred: what counts is how the track is afterwards.
async fn one(session: &Session, starred: bool, key: &ItemKey) -> Result<EditResult> {
    let uri = key.uri.clone();
    let Err(failure) = send(session, starred, &[key]).await else { return Ok(EditResult::done(uri)) };
    if !failure.is_missing() {
        return Err(failure.into_error("the track"));
    }
    match session.call("getSong", vec![("id", uri.native_id())]).await {
        Ok(answer) if answer.object("song").get("starred").is_some() == starred => Ok(EditResult::done(uri)),
        Ok(_) => Ok(EditResult::failed(uri, failure.into_error("the track"))),
        Err(failure) if failure.is_missing() => Ok(EditResult::failed(uri, failure.of("the track"))),
        Err(failure) => Err(failure.into_error("the track")),
    }
}
