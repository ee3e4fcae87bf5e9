//! Changes of playlists, with what the service refuses.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Playlist, find, head, may_open};
use crate::{
    call::{Answer, Call, Reply, ok},
    state::State,
};

/// Rows in a playlist.
const ROWS: usize = 11_000;

/// Checks that the user may change the contents, and that the token was granted it.
fn changeable<'a>(state: &'a mut State, call: &Call, owner_only: bool) -> Result<&'a mut Playlist, Reply> {
    let playlist = find(state, call)?;
    let may = if owner_only { playlist.owner == call.user } else { may_open(state, playlist, call.user) };
    if !may {
        return Err(Reply::refused(403, "You cannot edit a playlist you don't own"));
    }
    let scope = if playlist.public { "playlist-modify-public" } else { "playlist-modify-private" };
    if !call.granted(&[scope]) {
        return Err(Reply::refused(403, "Insufficient client scope"));
    }
    state.playlists.get_mut(&call.id).ok_or_else(|| Reply::refused(404, "Resource not found"))
}

/// What a body says about a playlist, within the service's bounds.
struct Details {
    name: Option<String>,
    description: Option<String>,
    public: Option<bool>,
    collaborative: Option<bool>,
}

fn details(body: &Value) -> Result<Details, Reply> {
    let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
    let flag = |key: &str| body.get(key).and_then(Value::as_bool);
    let name = text("name");
    if name.as_ref().is_some_and(|name| name.trim().is_empty() || name.chars().count() > 100) {
        return Err(Reply::refused(400, "Invalid playlist name"));
    }
    let description = text("description");
    if description.as_ref().is_some_and(|text| text.contains(['\n', '\r']) || text.chars().count() > 300) {
        return Err(Reply::refused(400, "Invalid description"));
    }
    let (public, collaborative) = (flag("public"), flag("collaborative"));
    if collaborative == Some(true) && public != Some(false) {
        return Err(Reply::refused(400, "Collaborative playlists can only be private"));
    }
    Ok(Details { name, description, public, collaborative })
}

/// `POST /me/playlists`.
pub(crate) fn create(state: &mut State, call: &Call) -> Answer {
    let body = call.object()?;
    let details = details(&body)?;
    let name = details.name.ok_or_else(|| Reply::refused(400, "Missing required field: name"))?;
    let public = details.public.unwrap_or(true);
    if !call.granted(&[if public { "playlist-modify-public" } else { "playlist-modify-private" }]) {
        return Err(Reply::refused(403, "Insufficient client scope"));
    }
    let id = state.fresh("", 22);
    let mut playlist = Playlist::new(id.clone(), call.user, name);
    // What is left out becomes the word.
    playlist.description = details.description.unwrap_or_else(|| "null".to_owned());
    playlist.public = public;
    playlist.collaborative = details.collaborative.unwrap_or_default();
    playlist.touch();
    state.playlists.insert(id.clone(), playlist);
    state.users[call.user].playlists.insert(0, id.clone());
    let mut value = state.playlists.get(&id).map(|playlist| head(state, playlist)).unwrap_or_default();
    let list = if state.options.legacy { "tracks" } else { "items" };
    let path = format!("/v1/playlists/{id}/{list}");
    value[list] =
        crate::shape::page(&state.base, &path, &[], crate::shape::Slice { offset: 0, limit: 100, total: 0 }, vec![]);
    Ok(Reply::json(201, value))
}

/// `PUT /playlists/{id}`.
pub(crate) fn change(state: &mut State, call: &Call) -> Answer {
    let body = call.object()?;
    let details = details(&body)?;
    if details.description.as_deref() == Some("") {
        return Err(Reply::refused(400, "Invalid description"));
    }
    let playlist = changeable(state, call, true)?;
    if let Some(name) = details.name {
        playlist.name = name;
    }
    if let Some(description) = details.description {
        playlist.description = description;
    }
    playlist.public = details.public.unwrap_or(playlist.public);
    playlist.collaborative = details.collaborative.unwrap_or(playlist.collaborative);
    playlist.touch();
    Ok(Reply::empty(200))
}

/// A list of URIs of a body, each of something that can be added.
fn uris(state: &State, list: Option<&Value>) -> Result<Vec<String>, Reply> {
    let list = list.and_then(Value::as_array).ok_or_else(|| Reply::refused(400, "No uris provided"))?;
    if list.len() > 100 {
        return Err(Reply::refused(400, "You can add a maximum of 100 tracks per request."));
    }
    let mut uris = Vec::with_capacity(list.len());
    for uri in list {
        let uri = uri.as_str().unwrap_or_default();
        let addable = uri.starts_with("spotify:track:") || uri.starts_with("spotify:episode:");
        if !addable {
            return Err(Reply::refused(400, &format!("Invalid track uri: {uri}")));
        }
        if state.catalogue.find(uri).is_none() {
            return Err(Reply::refused(400, "Payload contains a non-existing ID"));
        }
        uris.push(uri.to_owned());
    }
    Ok(uris)
}

fn snapshot(playlist: &Playlist) -> Value {
    json!({"snapshot_id": playlist.snapshot()})
}

/// `POST /playlists/{id}/items`: at the end, or at a position. What is there already is added again.
pub(crate) fn add(state: &mut State, call: &Call) -> Answer {
    let body = call.object()?;
    let uris = uris(state, body.get("uris"))?;
    let now = state.now_ms();
    let playlist = changeable(state, call, false)?;
    let end = playlist.rows.len();
    let at = match body.get("position") {
        None | Some(Value::Null) => end,
        Some(at) => at
            .as_u64()
            .and_then(|at| usize::try_from(at).ok())
            .filter(|at| *at <= end)
            .ok_or_else(|| Reply::refused(400, "Index out of bounds"))?,
    };
    if end + uris.len() > ROWS {
        return Err(Reply::refused(403, "Playlist size limit reached"));
    }
    playlist.insert(at, &uris, call.user, now);
    playlist.touch();
    Ok(Reply::json(201, snapshot(playlist)))
}

/// `DELETE /playlists/{id}/items`: every copy goes, whatever positions are named.
pub(crate) fn remove(state: &mut State, call: &Call) -> Answer {
    let body = call.object()?;
    let list = body.get("items").and_then(Value::as_array);
    let list = list.ok_or_else(|| Reply::refused(400, "Missing required field: items"))?;
    if list.len() > 100 {
        return Err(Reply::refused(400, "You can remove a maximum of 100 items per request."));
    }
    let uris: Vec<_> = list.iter().filter_map(|item| item.get("uri")?.as_str()).map(str::to_owned).collect();
    if let Some(local) =
        uris.iter().find(|uri| !uri.starts_with("spotify:track:") && !uri.starts_with("spotify:episode:"))
    {
        return Err(Reply::refused(400, &format!("Invalid track uri: {local}")));
    }
    // A row that is listed as another track than was added goes by either name.
    let named = |state: &State, uri: &str| {
        uris.iter().any(|u| u == uri) || state.relinked.get(uri).is_some_and(|listed| uris.contains(listed))
    };
    let gone: Vec<_> = find(state, call)?.rows.iter().filter(|row| named(state, &row.uri)).map(|row| row.key).collect();
    let playlist = changeable(state, call, false)?;
    known_version(playlist, &body)?;
    playlist.rows.retain(|row| !gone.contains(&row.key));
    playlist.touch();
    ok(snapshot(playlist))
}

/// The rows of the version that a body names; those of now where it names none.
fn known_version(playlist: &Playlist, body: &Value) -> Result<Vec<u64>, Reply> {
    let Some(wanted) = body.get("snapshot_id").and_then(Value::as_str) else {
        return Ok(playlist.rows.iter().map(|row| row.key).collect());
    };
    let found = playlist.versions.iter().rev().find(|(snapshot, _)| snapshot == wanted);
    found.map(|(_, keys)| keys.clone()).ok_or_else(|| Reply::refused(400, "Missing or bad version tag"))
}

/// `PUT /playlists/{id}/items`: either moves a range, or puts others in the place of all.
pub(crate) fn reorder_or_replace(state: &mut State, call: &Call) -> Answer {
    let body = if call.body.is_empty() { json!({}) } else { call.object()? };
    let by_query = call.query("uris").map(|list| list.split(',').collect::<Vec<_>>()).map(|list| json!(list));
    let list = body.get("uris").or(by_query.as_ref());
    match (list, body.get("range_start")) {
        (Some(list), None) => replace(state, call, list),
        (None, Some(_)) => reorder(state, call, &body),
        _ => Err(Reply::refused(400, "Either uris or range_start is required")),
    }
}

fn replace(state: &mut State, call: &Call, list: &Value) -> Answer {
    let uris = uris(state, Some(list))?;
    let now = state.now_ms();
    let playlist = changeable(state, call, false)?;
    playlist.rows.clear();
    playlist.insert(0, &uris, call.user, now);
    playlist.touch();
    ok(snapshot(playlist))
}

/// Moves rows. Positions are those of the version that is named, before the move.
fn reorder(state: &mut State, call: &Call, body: &Value) -> Answer {
    let playlist = changeable(state, call, false)?;
    let keys = known_version(playlist, body)?;
    let number = |key: &str, default: Option<usize>| match body.get(key) {
        None => default.ok_or_else(|| Reply::refused(400, &format!("Missing required field: {key}"))),
        Some(n) => n
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .ok_or_else(|| Reply::refused(400, &format!("Invalid {key}"))),
    };
    let (start, before, length) =
        (number("range_start", None)?, number("insert_before", None)?, number("range_length", Some(1))?);
    if start.saturating_add(length) > keys.len() || before > keys.len() || length == 0 {
        return Err(Reply::refused(400, "Index out of bounds"));
    }
    let moved = &keys[start..start + length];
    // Before the first row from there on that stays and still is.
    let target =
        keys[before..].iter().find(|key| !moved.contains(key) && playlist.rows.iter().any(|row| row.key == **key));
    let (taken, mut rest): (Vec<_>, Vec<_>) = playlist.rows.drain(..).partition(|row| moved.contains(&row.key));
    let at = target.and_then(|key| rest.iter().position(|row| row.key == *key)).unwrap_or(rest.len());
    rest.splice(at..at, taken);
    playlist.rows = rest;
    playlist.touch();
    ok(snapshot(playlist))
}

/// `PUT /playlists/{id}/images`: a JPEG as base64 text without line ends, 256 KB at most.
pub(crate) fn upload(state: &mut State, call: &Call) -> Answer {
    if !call.content_type.starts_with("image/jpeg") {
        return Err(Reply::refused(415, "Unsupported media type"));
    }
    if call.body.len() > 256 << 10 {
        return Err(Reply::refused(413, "Image too large"));
    }
    let image = STANDARD.decode(&call.body).ok().filter(|bytes| bytes.starts_with(&[0xff, 0xd8]));
    let image = image.ok_or_else(|| Reply::refused(400, "Invalid image"))?;
    let playlist = changeable(state, call, true)?;
    playlist.image = Some(image);
    playlist.uploads += 1;
    Ok(Reply::empty(202))
}
