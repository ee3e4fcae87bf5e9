//! Playlists of the server.

mod edit;
mod entries;

use std::collections::HashSet;

use zotify_plugin_api::prelude::*;

use crate::{
    client::{Answer, Session},
    fields::Fields,
    items::Items,
    page,
};

pub(crate) use edit::edit;

/// A page of the playlists that the user sees.
pub(crate) async fn list(session: &Session, items: &Items, request: &PageRequest) -> Result<Page> {
    let answer = all(session).await?;
    let listed = answer.object("playlists").list("playlist").filter_map(|playlist| item(session, items, playlist));
    let listed: Vec<_> = listed.map(Item::Playlist).collect();
    let total = Some(listed.len() as u64);
    let part = page::part(listed, request.cursor.as_deref(), request.limit)?;
    Ok(Page { items: part.rows.into(), next: part.next, total, ..Page::default() })
}

async fn all(session: &Session) -> Result<Answer> {
    session.call("getPlaylists", Vec::new()).await.map_err(|f| f.into_error("the playlists"))
}

fn item(session: &Session, items: &Items, playlist: Fields<'_>) -> Option<Playlist> {
    let mut item = items.playlist(playlist, &session.credentials.username)?;
    item.version = entries::version(playlist);
    Some(item)
}

/// A page of a playlist's entries. Servers answer all of them at once.
pub(crate) async fn items(session: &Session, items: &Items, request: &PlaylistItems) -> Result<PlaylistPage> {
    let answer = read(session, &request.uri).await?;
    let playlist = answer.object("playlist");
    let version = Some(entries::version_of_all(playlist));
    let part = page::part(entries::all(playlist, items), request.page.cursor.as_deref(), request.page.limit)?;
    Ok(PlaylistPage { entries: part.rows.into(), next: part.next, version })
}

/// A playlist with its entries.
async fn read(session: &Session, uri: &Uri) -> Result<Answer> {
    if uri.kind() != Kind::Playlist {
        return Err(ProviderError::not_found(uri));
    }
    let answer = session.one("getPlaylist", &uri.native_id(), "the playlist").await?;
    if answer.object("playlist").id("id").is_none() {
        return Err(ProviderError::not_found("the playlist"));
    }
    Ok(answer)
}

/// A playlist as it is now.
async fn now(session: &Session, items: &Items, uri: &Uri) -> Result<Playlist> {
    let answer = read(session, uri).await?;
    item(session, items, answer.object("playlist")).ok_or_else(|| ProviderError::not_found("the playlist"))
}

/// Makes a playlist.
pub(crate) async fn create(session: &Session, items: &Items, request: &PlaylistCreate) -> Result<Playlist> {
    if request.collaborative {
        return Err(no_collaboration());
    }
    let before = ids(&all(session).await?);
    let made = session.call("createPlaylist", vec![("name", request.name.clone())]).await;
    let made = made.map_err(|f| f.into_error("the playlist"))?;
    let id = match made.object("playlist").id("id") {
        Some(id) => id,
        None => newest(session, &request.name, &before).await?,
    };
    let uri = session.server.cx.uri(Kind::Playlist, &id)?;
    let details = details(None, request.description.as_deref(), request.public);
    if !details.is_empty()
        && let Err(failure) = change(session, &uri, details).await
    {
        // It is made: what it lacks, its details say. An error would have it made twice.
        tracing::warn!("the details of a new playlist were not taken: {}", failure.message);
    }
    now(session, items, &uri).await
}

fn ids(answer: &Answer) -> HashSet<String> {
    answer.object("playlists").list("playlist").filter_map(|playlist| playlist.id("id")).collect()
}

/// Old servers do not say which playlist they made: it is the one that was not there before.
async fn newest(session: &Session, name: &str, before: &HashSet<String>) -> Result<String> {
    let answer = all(session).await?;
    let new = answer.object("playlists").list("playlist").filter_map(|playlist| {
        let id = playlist.id("id").filter(|id| !before.contains(id))?;
        Some((playlist.name("name").as_deref() == Some(name), playlist.time("created"), id))
    });
    let lost = || ProviderError::new(ErrorKind::BadUpstream, "the server does not list the playlist that it made");
    new.max().map(|(_, _, id)| id).ok_or_else(|| lost().with_code("playlist_lost"))
}

/// Changes a playlist's details.
pub(crate) async fn update(session: &Session, items: &Items, request: &PlaylistUpdate) -> Result<Playlist> {
    if request.collaborative == Some(true) {
        return Err(no_collaboration());
    }
    let uri = &request.playlist.uri;
    // Of one that is not there some servers say nothing when they are told to change it.
    let before = now(session, items, uri).await?;
    let details = details(request.name.as_deref(), request.description.as_deref(), request.public);
    if details.is_empty() {
        return Ok(before);
    }
    change(session, uri, details).await?;
    now(session, items, uri).await
}

fn details<'a>(name: Option<&str>, description: Option<&str>, public: Option<bool>) -> Vec<(&'a str, String)> {
    let mut details: Vec<_> = name.map(|name| ("name", name.to_owned())).into_iter().collect();
    details.extend(description.map(|text| ("comment", text.to_owned())));
    details.extend(public.map(|public| ("public", public.to_string())));
    details
}

async fn change(session: &Session, uri: &Uri, details: Vec<(&str, String)>) -> Result<()> {
    let id = ("playlistId", uri.native_id());
    let params = [details, vec![id.clone()]].concat();
    let mut changed = session.call("updatePlaylist", params.clone()).await;
    if changed.as_ref().is_err_and(|failure| failure.is_vague()) && is_empty(session, uri).await? {
        // supysonic fails with one that never had an entry; once its entries were written, even none, it does not.
        session.call("createPlaylist", vec![id]).await.map_err(|f| f.into_error("the playlist"))?;
        changed = session.call("updatePlaylist", params).await;
    }
    changed.map(drop).map_err(|f| f.into_error("the playlist"))
}

async fn is_empty(session: &Session, uri: &Uri) -> Result<bool> {
    Ok(read(session, uri).await?.object("playlist").list("entry").next().is_none())
}

fn no_collaboration() -> ProviderError {
    ProviderError::unsupported("playlists that others can edit").with_code("no_collaboration")
}

/// Deletes a playlist.
pub(crate) async fn delete(session: &Session, key: &ItemKey) -> Result<()> {
    if key.uri.kind() != Kind::Playlist {
        return Err(ProviderError::not_found(&key.uri));
    }
    let id = key.uri.native_id();
    if let Err(failure) = session.call("deletePlaylist", vec![("id", id.clone())]).await {
        // A generic error may mean anything: that there is no such playlist, only the list of all says.
        let gone = failure.is_vague() && !ids(&all(session).await?).contains(&id);
        return Err(if gone { ProviderError::not_found("the playlist") } else { failure.into_error("the playlist") });
    }
    if let Err(error) = edit::forget(session, &key.uri).await {
        tracing::warn!("what is remembered of a deleted playlist cannot be deleted: {error}");
    }
    Ok(())
}
