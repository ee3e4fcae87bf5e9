//! Playlists: reading, and the rules of changing them.

mod edits;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

pub(crate) use edits::{add, change, create, remove, reorder_or_replace, upload};

use crate::{
    call::{Answer, Call, Reply, ok},
    catalogue::images_of,
    content::uri,
    random::{Random, base62},
    shape::{Shape, page},
    state::{EPOCH_MS, State, time},
};

/// A playlist.
#[derive(Debug)]
pub(crate) struct Playlist {
    pub(crate) id: String,
    /// Position of the user.
    pub(crate) owner: usize,
    pub(crate) name: String,
    /// As it was given; answers escape it for HTML.
    pub(crate) description: String,
    pub(crate) public: bool,
    pub(crate) collaborative: bool,
    pub(crate) rows: Vec<Row>,
    pub(crate) image: Option<Vec<u8>>,
    /// How many pictures were uploaded: each has another address.
    pub(crate) uploads: usize,
    /// Snapshots and the rows that each had, oldest first.
    pub(crate) versions: Vec<(String, Vec<u64>)>,
    next_key: u64,
}

/// A row of a playlist.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Which row it is, wherever it moves.
    pub(crate) key: u64,
    pub(crate) uri: String,
    pub(crate) added_ms: i64,
    pub(crate) added_by: usize,
}

/// How many older versions can be named by a request.
const VERSIONS: usize = 20;

impl Playlist {
    pub(crate) fn new(id: String, owner: usize, name: String) -> Self {
        Self {
            id,
            owner,
            name,
            description: String::new(),
            public: false,
            collaborative: false,
            rows: Vec::new(),
            image: None,
            uploads: 0,
            versions: Vec::new(),
            next_key: 0,
        }
    }

    /// Puts rows in at a position.
    pub(crate) fn insert(&mut self, at: usize, uris: &[String], by: usize, now_ms: i64) {
        let first = self.next_key;
        self.next_key += uris.len() as u64;
        let rows =
            uris.iter().zip(first..).map(|(uri, key)| Row { key, uri: uri.clone(), added_ms: now_ms, added_by: by });
        let rows: Vec<_> = rows.collect();
        self.rows.splice(at..at, rows);
    }

    /// Gives what is there now a snapshot.
    pub(crate) fn touch(&mut self) {
        let n = self.versions.last().map_or(0, |(snapshot, _)| version(snapshot) + 1);
        let snapshot = STANDARD.encode(format!("{n},{}", base62(&mut Random::new(n, &self.id, 0), 32)));
        self.versions.push((snapshot, self.rows.iter().map(|row| row.key).collect()));
        if self.versions.len() > VERSIONS {
            self.versions.remove(0);
        }
    }

    pub(crate) fn snapshot(&self) -> &str {
        self.versions.last().map_or("", |(snapshot, _)| snapshot)
    }
}

fn version(snapshot: &str) -> u64 {
    let bytes = STANDARD.decode(snapshot).unwrap_or_default();
    String::from_utf8_lossy(&bytes).split(',').next().and_then(|n| n.parse().ok()).unwrap_or_default()
}

/// The playlists that a user starts with: most are their own.
pub(crate) fn make(state: &mut State, user: usize) {
    let stranger = state.options.users;
    for n in 0..state.options.playlists {
        let mut random = Random::new(state.options.seed, "playlist", user * 100_000 + n);
        let owner = if n % 10 == 3 { stranger } else { user };
        let name = format!("{} {}", random.pick(&["Songs for", "Best of", "Rain &", "After"]), random.pick(&NAMES));
        let mut playlist = Playlist::new(base62(&mut random, 22), owner, format!("{name} {n}"));
        if n % 4 == 0 {
            playlist.description = format!("It's <{name}> & \"more\"");
        }
        playlist.public = n % 3 == 0;
        let uris = contents(state, n, &mut random);
        let added = EPOCH_MS - i64::try_from(n).unwrap_or_default() * 86_400_000;
        playlist.insert(0, &uris, owner, added);
        playlist.touch();
        state.users[user].playlists.push(playlist.id.clone());
        state.playlists.insert(playlist.id.clone(), playlist);
    }
    if user > 0 && state.options.playlists > 0 {
        collaborate(state, user);
    }
}

const NAMES: [&str; 6] = ["Sunday", "the Train", "Running", "Nobody", "the Kitchen", "Winter"];

/// The user before this one can change a playlist of this one.
fn collaborate(state: &mut State, user: usize) {
    let id = state.users[user].playlists[0].clone();
    state.users[user - 1].playlists.push(id.clone());
    if let Some(playlist) = state.playlists.get_mut(&id) {
        playlist.public = false;
        playlist.collaborative = true;
    }
}

fn contents(state: &State, n: usize, random: &mut Random) -> Vec<String> {
    let all = &state.catalogue;
    let size = match n {
        0 => 130,
        1 => 0,
        _ => 5 + random.below(75),
    };
    let mut uris: Vec<_> = (0..size).map(|_| uri("track", &all.tracks[random.below(all.tracks.len())].id)).collect();
    if n % 10 == 5 && !all.episodes.is_empty() {
        uris.insert(2, uri("episode", &all.episodes[random.below(all.episodes.len())].id));
    }
    if n % 10 == 7 {
        let again = uris[0].clone();
        uris.insert(3, again.clone());
        uris.push(again);
    }
    if n % 10 == 9 && !state.options.tame {
        uris.insert(1, "spotify:local:A+Friend:Demo+Tape:Untitled+%26+Unfinished:191".to_owned());
    }
    uris
}

/// `&`, `<`, `>` and quotes as HTML writes them.
pub(crate) fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#x27;")
}

/// A playlist that a path names.
pub(crate) fn find<'a>(state: &'a State, call: &Call) -> Result<&'a Playlist, Reply> {
    if !crate::random::is_id(&call.id) {
        return Err(Reply::refused(400, "Invalid base62 id"));
    }
    state.playlists.get(&call.id).ok_or_else(|| Reply::refused(404, "Resource not found"))
}

/// Whether a user owns a playlist or works on it.
pub(crate) fn may_open(state: &State, playlist: &Playlist, user: usize) -> bool {
    playlist.owner == user || playlist.collaborative && state.users[user].playlists.contains(&playlist.id)
}

/// A playlist without its rows.
pub(crate) fn head(state: &State, playlist: &Playlist) -> Value {
    let Shape { base, .. } = state.shape();
    let owner = &state.users[playlist.owner];
    let mut named = state.shape().user_ref(&owner.id);
    named["display_name"] = json!(owner.name);
    json!({
        "type": "playlist",
        "id": playlist.id,
        "uri": uri("playlist", &playlist.id),
        "href": format!("{base}/v1/playlists/{}", playlist.id),
        "external_urls": {"spotify": format!("https://open.spotify.com/playlist/{}", playlist.id)},
        "name": playlist.name,
        "description": escaped(&playlist.description),
        "public": playlist.public,
        "collaborative": playlist.collaborative,
        "owner": named,
        "snapshot_id": playlist.snapshot(),
        "images": images_of(state, &playlist.id),
        "primary_color": null,
    })
}

/// Under what name a playlist's rows stand, and a row's content.
fn words(state: &State) -> (&'static str, &'static str) {
    if state.options.legacy { ("tracks", "track") } else { ("items", "item") }
}

/// A playlist in a list. Presence of a total says nothing about who may read the rows.
pub(crate) fn row(state: &State, playlist: &Playlist) -> Value {
    let mut row = head(state, playlist);
    let (list, _) = words(state);
    let href = format!("{}/v1/playlists/{}/{list}", state.base, playlist.id);
    row[list] = json!({"href": href, "total": playlist.rows.len()});
    row
}

/// Playlists whose name fits, for search.
pub(crate) fn like(state: &State, fits: impl Fn(&str) -> bool) -> Vec<Value> {
    let found = state.playlists.values().filter(|playlist| fits(&playlist.name)).map(|playlist| row(state, playlist));
    // The service leaves holes where a playlist of its own would be.
    let hole =
        |(n, row): (usize, Value)| if !state.options.tame && n % 4 == 1 { vec![Value::Null, row] } else { vec![row] };
    found.enumerate().flat_map(hole).collect()
}

/// A row's content. Without `additional_types=episode` an episode is not shown.
fn content(state: &State, row: &Row, call: &Call) -> Value {
    let shape = state.shape();
    if row.uri.starts_with("spotify:local:") {
        return Shape::local(&row.uri);
    }
    let with_episodes = call.query("additional_types").is_some_and(|types| types.split(',').any(|t| t == "episode"));
    if row.uri.starts_with("spotify:episode:") && !with_episodes {
        return Value::Null;
    }
    let listed = state.relinked.get(&row.uri).unwrap_or(&row.uri);
    shape.item(listed).unwrap_or_default()
}

fn rows(state: &State, playlist: &Playlist, call: &Call, offset: usize, limit: usize) -> Vec<Value> {
    let (_, word) = words(state);
    let row = |row: &Row| {
        let by = state.shape().user_ref(&state.users[row.added_by].id);
        json!({
            "added_at": time(row.added_ms),
            "added_by": by,
            "is_local": row.uri.starts_with("spotify:local:"),
            "primary_color": null,
            word: content(state, row, call),
        })
    };
    playlist.rows.iter().skip(offset).take(limit).map(row).collect()
}

/// `GET /me/playlists`.
pub(crate) fn mine(state: &mut State, call: &Call) -> Answer {
    let ids = &state.users[call.user].playlists;
    let slice = call.slice(ids.len())?;
    let part = ids.iter().skip(slice.offset).take(slice.limit).filter_map(|id| state.playlists.get(id));
    let hidden = |playlist: &Playlist| state.hidden.contains(&uri("playlist", &playlist.id));
    let row = |playlist: &Playlist| if hidden(playlist) { Value::Null } else { row(state, playlist) };
    ok(call.page(&state.base, slice, part.map(row).collect()))
}

/// `GET /playlists/{id}`: with its first hundred rows, where the user may see them.
pub(crate) fn one(state: &mut State, call: &Call) -> Answer {
    let playlist = find(state, call)?;
    let mut value = head(state, playlist);
    if state.options.legacy {
        value["followers"] = json!({"href": null, "total": 1});
    }
    let (list, _) = words(state);
    if state.options.legacy || may_open(state, playlist, call.user) {
        let path = format!("/v1/playlists/{}/{list}", playlist.id);
        let slice = crate::shape::Slice { offset: 0, limit: 100, total: playlist.rows.len() };
        value[list] = page(&state.base, &path, &[], slice, rows(state, playlist, call, 0, 100));
    }
    ok(value)
}

/// `GET /playlists/{id}/items`.
pub(crate) fn items(state: &mut State, call: &Call) -> Answer {
    let playlist = find(state, call)?;
    if !state.options.legacy && !may_open(state, playlist, call.user) {
        return Err(Reply::refused(403, "Forbidden"));
    }
    let slice = call.slice(playlist.rows.len())?;
    ok(call.page(&state.base, slice, rows(state, playlist, call, slice.offset, slice.limit)))
}

/// `GET /playlists/{id}/images`.
pub(crate) fn images(state: &mut State, call: &Call) -> Answer {
    find(state, call)?;
    ok(images_of(state, &call.id))
}
