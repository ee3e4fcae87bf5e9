//! `/me`: the profile, what is saved and followed, and what was played.

use serde_json::{Value, json};

use crate::{
    call::{Answer, Call, Reply, ok},
    random::is_id,
    state::{State, time},
};

/// `GET /me`.
pub(crate) fn me(state: &mut State, call: &Call) -> Answer {
    let user = &state.users[call.user];
    let mut me = state.shape().user_ref(&user.id);
    me["account_id"] = json!(user.account_id);
    me["display_name"] = json!(user.name);
    me["images"] = json!([]);
    if state.options.legacy {
        me["country"] = json!("DE");
        me["email"] = json!("listener@example.invalid");
        me["product"] = json!("premium");
        me["explicit_content"] = json!({"filter_enabled": false, "filter_locked": false});
        me["followers"] = json!({"href": null, "total": 3});
    }
    ok(me)
}

pub(crate) fn tracks(state: &mut State, call: &Call) -> Answer {
    saved(state, call, "track")
}

pub(crate) fn albums(state: &mut State, call: &Call) -> Answer {
    saved(state, call, "album")
}

pub(crate) fn shows(state: &mut State, call: &Call) -> Answer {
    saved(state, call, "show")
}

pub(crate) fn episodes(state: &mut State, call: &Call) -> Answer {
    saved(state, call, "episode")
}

/// A page of what is saved of a kind, newest first.
fn saved(state: &State, call: &Call, kind: &'static str) -> Answer {
    let all = &state.users[call.user].saved[kind];
    let slice = call.slice(all.len())?;
    let shape = state.shape();
    let rows = all.iter().skip(slice.offset).take(slice.limit).map(|row| {
        let listed = state.relinked.get(&row.uri).unwrap_or(&row.uri);
        let item = shape.item(listed).filter(|_| !state.hidden.contains(&row.uri));
        json!({"added_at": time(row.added_ms), kind: item})
    });
    ok(call.page(&state.base, slice, rows.collect()))
}

/// `GET /me/following`: artists after one that is named.
pub(crate) fn following(state: &mut State, call: &Call) -> Answer {
    if call.query("type") != Some("artist") {
        return Err(Reply::refused(400, "Invalid type"));
    }
    let limit = call.number("limit", 20, 1, 50)?;
    let all = &state.users[call.user].saved["artist"];
    let start = match call.query("after") {
        None => 0,
        Some(after) => all.iter().position(|row| row.uri.ends_with(after)).map_or(all.len(), |n| n + 1),
    };
    let part: Vec<_> = all.iter().skip(start).take(limit).collect();
    let last = part.last().filter(|_| start + limit < all.len()).and_then(|row| row.uri.rsplit(':').next());
    let at = |after: &str| format!("{}/v1/me/following?type=artist&limit={limit}{after}", state.base);
    let mut page = json!({
        "href": at(""),
        "limit": limit,
        "next": last.map(|id| at(&format!("&after={id}"))),
        "cursors": {"after": last},
        "total": all.len(),
        "items": part.iter().map(|row| state.shape().item(&row.uri).filter(|_| !state.hidden.contains(&row.uri))).collect::<Vec<_>>(),
    });
    if state.options.tame && last.is_none() {
        // The contract has no null here.
        if let Some(page) = page.as_object_mut() {
            page.remove("next");
            page.insert("cursors".into(), json!({}));
        }
    }
    ok(json!({"artists": page}))
}

/// The URIs of a request about the library, each of a kind that it may name and that the token may change.
fn uris(state: &State, call: &Call, change: bool) -> Result<Vec<String>, Reply> {
    if !call.body.is_empty() && call.query("uris").is_none() {
        return Err(Reply::refused(400, "Missing required field: uris"));
    }
    let list = call.query("uris").filter(|list| !list.is_empty());
    let list = list.ok_or_else(|| Reply::refused(400, "Missing required field: uris"))?;
    let uris: Vec<_> = list.split(',').map(str::to_owned).collect();
    if uris.len() > 40 {
        return Err(Reply::refused(400, "Too many uris requested"));
    }
    for uri in &uris {
        let parts: Vec<_> = uri.split(':').collect();
        let ["spotify", kind, id] = parts[..] else { return Err(Reply::refused(400, &format!("Invalid uri: {uri}"))) };
        let scopes: &[&str] = match kind {
            "track" | "album" | "episode" | "show" => &["user-library-modify", "user-library-read"],
            "artist" if change && state.options.no_artists_in_library => &[],
            "artist" | "user" => &["user-follow-modify", "user-follow-read"],
            "playlist" => &["playlist-modify-public", "playlist-modify-private", "playlist-read-private"],
            _ => &[],
        };
        let scopes = if change { scopes.split_last().map_or(&[][..], |(_, rest)| rest) } else { scopes };
        if scopes.is_empty() || kind != "user" && !is_id(id) {
            return Err(Reply::refused(400, &format!("Invalid uri: {uri}")));
        }
        if !call.granted(scopes) {
            return Err(Reply::refused(403, "Insufficient client scope"));
        }
    }
    Ok(uris)
}

/// `PUT /me/library`: saves and follows.
pub(crate) fn save(state: &mut State, call: &Call) -> Answer {
    if !call.body.is_empty() {
        return Err(Reply::refused(400, "Unexpected body"));
    }
    let uris = uris(state, call, true)?;
    let known = |uri: &String| {
        uri.starts_with("spotify:user:")
            || state.catalogue.find(uri).is_some()
            || uri.strip_prefix("spotify:playlist:").is_some_and(|id| state.playlists.contains_key(id))
    };
    if let Some(unknown) = uris.iter().find(|uri| !known(uri)) {
        return Err(Reply::refused(404, &format!("Non existing id: '{unknown}'")));
    }
    for uri in &uris {
        state.save(call.user, uri);
    }
    Ok(Reply::empty(200))
}

/// `DELETE /me/library`: removes and unfollows; what is not there is no error.
pub(crate) fn remove(state: &mut State, call: &Call) -> Answer {
    if !call.body.is_empty() {
        return Err(Reply::refused(400, "Unexpected body"));
    }
    for uri in uris(state, call, true)? {
        state.unsave(call.user, &uri);
    }
    Ok(Reply::empty(200))
}

/// `GET /me/library/contains`: whether each is there, in the order of the request.
pub(crate) fn contains(state: &mut State, call: &Call) -> Answer {
    let uris = uris(state, call, false)?;
    ok(uris.iter().map(|uri| Value::Bool(state.holds(call.user, uri))).collect())
}

/// `GET /me/player/recently-played`: the last fifty, by time.
pub(crate) fn played(state: &mut State, call: &Call) -> Answer {
    let limit = call.number("limit", 20, 1, 50)?;
    let ms = |name| {
        call.query(name).map(|ms| ms.parse::<i64>().map_err(|_| Reply::refused(400, &format!("Invalid {name}"))))
    };
    let (before, after) = (ms("before").transpose()?, ms("after").transpose()?);
    if before.is_some() && after.is_some() {
        return Err(Reply::refused(400, "Can't specify both before and after"));
    }
    let plays = &state.users[call.user].plays;
    let wanted = |at: i64| before.is_none_or(|before| at < before) && after.is_none_or(|after| at > after);
    let found: Vec<_> = plays.iter().filter(|(at, _)| wanted(*at)).collect();
    let part =
        if after.is_some() { &found[found.len().saturating_sub(limit)..] } else { &found[..limit.min(found.len())] };
    let shape = state.shape();
    let time = |ms: i64| chrono::DateTime::from_timestamp_millis(ms).unwrap_or_default();
    let row = |(at, track): &&(i64, usize)| {
        let played = time(*at).to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let album = shape.album_row(shape.all.tracks[*track].album);
        let context = json!({"type": "album", "uri": album["uri"], "href": album["href"], "external_urls": album["external_urls"]});
        json!({"track": shape.track(*track), "played_at": played, "context": context})
    };
    let rows: Vec<_> = part.iter().map(row).collect();
    let at = |cursor: String| format!("{}/v1/me/player/recently-played?limit={limit}{cursor}", state.base);
    let mut page = json!({"href": at(String::new()), "limit": limit, "items": rows});
    if let (Some((newest, _)), Some((oldest, _))) = (part.first(), part.last()) {
        page["next"] = json!(at(format!("&before={oldest}")));
        page["cursors"] = json!({"after": newest.to_string(), "before": oldest.to_string()});
    }
    ok(page)
}

/// `GET /me/top/tracks`: some of what is saved.
pub(crate) fn top_tracks(state: &mut State, call: &Call) -> Answer {
    top(state, call, "track")
}

/// `GET /me/top/artists`.
pub(crate) fn top_artists(state: &mut State, call: &Call) -> Answer {
    top(state, call, "artist")
}

fn top(state: &State, call: &Call, kind: &'static str) -> Answer {
    if call.query("time_range").is_some_and(|range| !["short_term", "medium_term", "long_term"].contains(&range)) {
        return Err(Reply::refused(400, "Invalid time range"));
    }
    let all = &state.users[call.user].saved[kind];
    let slice = call.slice(all.len().min(100))?;
    let shape = state.shape();
    let rows = all.iter().take(slice.total).skip(slice.offset).take(slice.limit).filter_map(|row| shape.item(&row.uri));
    ok(call.page(&state.base, slice, rows.collect()))
}
