//! A server in memory, old or new, with the manners of real ones.

use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Map, Value, json};
use zotify_plugin_api::{
    Result,
    service::{HttpRequest, HttpResponse},
};

/// What a server is like.
#[derive(Clone, Debug)]
pub(crate) struct Manners {
    /// Speaks OpenSubsonic, with tokens; an old one knows passwords only.
    pub(crate) modern: bool,
    /// Answers an empty search with everything.
    pub(crate) searches_all: bool,
    /// Answers created playlists.
    pub(crate) answers_created: bool,
    /// Refuses to star what is starred.
    pub(crate) stars_once: bool,
    /// Stars the last of several tracks only, and says nothing of those that it does not have.
    pub(crate) stars_last: bool,
    /// Fails to change a playlist whose entries were never written.
    pub(crate) fails_unwritten: bool,
    /// Adds what it has, and says nothing of the rest.
    pub(crate) passes_over: bool,
    /// The most entries of a playlist; it says nothing of those that it leaves out.
    pub(crate) most_entries: usize,
    pub(crate) extensions: Vec<&'static str>,
    /// The most rows of a page, whatever is asked for.
    pub(crate) most: usize,
    pub(crate) roles: Value,
}

impl Manners {
    pub(crate) fn modern() -> Self {
        Self {
            modern: true,
            searches_all: true,
            answers_created: true,
            stars_once: false,
            stars_last: false,
            fails_unwritten: false,
            passes_over: false,
            most_entries: usize::MAX,
            extensions: vec![],
            most: 500,
            roles: json!({"streamRole": true, "downloadRole": true, "playlistRole": true}),
        }
    }

    pub(crate) fn old() -> Self {
        Self {
            modern: false,
            searches_all: false,
            answers_created: false,
            stars_once: true,
            fails_unwritten: true,
            ..Self::modern()
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Song {
    pub(crate) id: String,
    pub(crate) album: usize,
    pub(crate) starred: Option<&'static str>,
}

#[derive(Clone, Debug)]
pub(crate) struct List {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) comment: String,
    pub(crate) public: bool,
    pub(crate) songs: Vec<String>,
    pub(crate) written: bool,
}

pub(crate) struct State {
    pub(crate) manners: Manners,
    pub(crate) password: String,
    pub(crate) songs: Vec<Song>,
    pub(crate) albums: usize,
    pub(crate) lists: Vec<List>,
    pub(crate) changed: u64,
    pub(crate) scanning: bool,
    pub(crate) scrobbles: Vec<(String, String)>,
    /// Answers everything so.
    pub(crate) broken: Option<(u16, &'static str, String)>,
    made: usize,
}

/// Clones are the same server.
#[derive(Clone)]
pub(crate) struct Server(Arc<Mutex<State>>);

/// A request's parameters.
struct Params(Vec<(String, String)>);

impl Params {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(n, _)| n == name).map(|(_, value)| value.clone()).collect()
    }

    fn number(&self, name: &str) -> usize {
        self.get(name).and_then(|n| n.parse().ok()).unwrap_or(0)
    }
}

type Answer = Result<Value, (u64, String)>;

impl Server {
    /// Albums of ten tracks each.
    pub(crate) fn new(manners: Manners, albums: usize) -> Self {
        let song = |n: usize| Song { id: format!("so-{n}"), album: n / 10, starred: None };
        Self(Arc::new(Mutex::new(State {
            manners,
            password: "sesame".into(),
            songs: (0..albums * 10).map(song).collect(),
            albums,
            lists: Vec::new(),
            changed: 1,
            scanning: false,
            scrobbles: Vec::new(),
            broken: None,
            made: 0,
        })))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let mut state = self.state();
        if let Some((status, content_type, body)) = &state.broken {
            return response(*status, content_type, body.clone());
        }
        let url = url::Url::parse(&request.url).unwrap();
        let mut pairs: Vec<_> = url.query_pairs().into_owned().collect();
        pairs.extend(url::form_urlencoded::parse(&request.body).into_owned());
        let (params, method) =
            (Params(pairs), url.path().rsplit('/').next().unwrap().trim_end_matches(".view").to_owned());
        assert_eq!(url.path(), format!("/rest/{method}.view"));
        assert_eq!(params.get("f"), Some("json"));
        let answered = if method == "getOpenSubsonicExtensions" && state.manners.modern {
            let list: Vec<_> = state.manners.extensions.iter().map(|e| json!({"name": e, "versions": [1]})).collect();
            Ok(json!({"openSubsonicExtensions": list}))
        } else {
            state.authorize(&params).and_then(|()| state.method(&method, &params))
        };
        let mut body = json!({"version": if state.manners.modern { "1.16.1" } else { "1.12.0" }});
        if state.manners.modern {
            body["openSubsonic"] = true.into();
            body["type"] = "test".into();
        }
        match answered {
            Ok(Value::Object(fields)) => {
                body["status"] = "ok".into();
                body.as_object_mut().unwrap().extend(fields);
            }
            Ok(picture) => return response(200, "image/png", picture.as_str().unwrap().to_owned()),
            Err((code, message)) => {
                body["status"] = "failed".into();
                body["error"] = json!({"code": code, "message": message});
            }
        }
        response(200, "application/json", json!({"subsonic-response": body}).to_string())
    }
}

fn response(status: u16, content_type: &str, body: String) -> HttpResponse {
    HttpResponse { status, headers: vec![("content-type".into(), content_type.into())], body: body.into_bytes() }
}

fn failed(code: u64, message: &str) -> (u64, String) {
    (code, message.to_owned())
}

impl State {
    fn authorize(&self, params: &Params) -> Result<(), (u64, String)> {
        if let Some(key) = params.get("apiKey") {
            if params.get("u").is_some() {
                return Err(failed(43, "conflicting"));
            }
            return if key == "key-of-alice" { Ok(()) } else { Err(failed(44, "Invalid API key")) };
        }
        let wrong = failed(40, "Wrong username or password.");
        if params.get("u") != Some("alice") {
            return Err(wrong);
        }
        let right = match (params.get("t"), params.get("s"), params.get("p")) {
            (Some(token), Some(salt), None) if self.manners.modern => {
                use md5::Digest as _;
                let digest = md5::Md5::digest(format!("{}{salt}", self.password));
                token == digest.iter().map(|b| format!("{b:02x}")).collect::<String>()
            }
            (_, _, Some(password)) => {
                let hex: String = self.password.bytes().map(|b| format!("{b:02x}")).collect();
                password == format!("enc:{hex}")
            }
            _ => return Err(failed(10, "A required parameter is missing.")),
        };
        if right { Ok(()) } else { Err(wrong) }
    }

    fn method(&mut self, method: &str, params: &Params) -> Answer {
        match method {
            "ping" => Ok(json!({})),
            "tokenInfo" => Ok(json!({"tokenInfo": {"username": "alice"}})),
            "getUser" => Ok(json!({"user": self.manners.roles})),
            "getMusicFolders" => Ok(json!({"musicFolders": {"musicFolder": [{"id": 1, "name": "Music"}]}})),
            "getScanStatus" if self.manners.modern => Ok(json!({"scanStatus":
                {"scanning": self.scanning, "count": self.songs.len(), "lastScan": format!("scan-{}", self.changed)}})),
            "getScanStatus" => Err(failed(50, "User is not authorized for the given operation.")),
            "getIndexes" => Ok(json!({"indexes": {"lastModified": self.changed, "ignoredArticles": "The"}})),
            "search3" => Ok(self.search(params)),
            "getArtists" => Ok(json!({"artists": {"index": {"name": "A", "artist": [self.artist()]}}})),
            "getAlbumList2" => {
                let page = params.number("size").min(self.manners.most);
                let list: Vec<_> =
                    (0..self.albums).skip(params.number("offset")).take(page).map(|n| self.album(n)).collect();
                Ok(json!({"albumList2": {"album": list}}))
            }
            "getAlbum" => self.whole_album(params),
            "getArtist" => {
                let mut artist = self.artist();
                artist["album"] = (0..self.albums).map(|n| self.album(n)).collect();
                Ok(json!({"artist": artist}))
            }
            "getSong" => Ok(json!({"song": self.song(self.find(params.get("id").unwrap_or_default())?)})),
            "getStarred2" => {
                let list: Vec<_> = self.songs.iter().filter(|s| s.starred.is_some()).map(|s| self.song(s)).collect();
                Ok(json!({"starred2": {"song": list}}))
            }
            "star" | "unstar" => self.star(method == "star", params),
            "scrobble" => {
                let song = self.find(params.get("id").unwrap_or_default())?.id.clone();
                self.scrobbles.push((song, params.get("time").unwrap_or_default().to_owned()));
                Ok(json!({}))
            }
            "getCoverArt" if params.get("id") == Some("al-0") => Ok("a picture".into()),
            "getCoverArt" => Err(failed(0, "TypeError: expected str, not NoneType")),
            _ => self.playlists(method, params),
        }
    }

    fn find(&self, id: &str) -> Result<&Song, (u64, String)> {
        let missing = || match self.manners.modern {
            true => failed(70, "Song not found"),
            false => failed(0, "ValueError: badly formed hexadecimal UUID string"),
        };
        self.songs.iter().find(|song| song.id == id).ok_or_else(missing)
    }

    fn artist(&self) -> Value {
        json!({"id": "ar-0", "name": "Artist", "albumCount": self.albums})
    }

    fn album(&self, n: usize) -> Value {
        json!({"id": format!("al-{n}"), "name": format!("Album {n:05}"), "artist": "Artist", "artistId": "ar-0",
            "songCount": 10, "coverArt": format!("al-{n}"), "created": "2020-01-02T03:04:05"})
    }

    fn song(&self, song: &Song) -> Value {
        let mut value = json!({"id": song.id, "title": format!("Title of {}", song.id), "artist": "Artist",
            "artistId": "ar-0", "album": format!("Album {:05}", song.album), "albumId": format!("al-{}", song.album),
            "suffix": "ogg", "contentType": "audio/ogg", "bitRate": 192, "duration": "60", "size": 5, "isDir": false});
        if let Some(starred) = song.starred {
            value["starred"] = starred.into();
        }
        value
    }

    fn whole_album(&self, params: &Params) -> Answer {
        let number = params.get("id").and_then(|id| id.strip_prefix("al-")?.parse().ok());
        let number: usize = number.filter(|n| *n < self.albums).ok_or_else(|| failed(70, "Album not found"))?;
        let mut album = self.album(number);
        album["song"] = self.songs.iter().filter(|s| s.album == number).map(|s| self.song(s)).collect();
        Ok(json!({"album": album}))
    }

    fn search(&self, params: &Params) -> Value {
        let query = params.get("query").unwrap_or_default().to_lowercase();
        if query.is_empty() && !self.manners.searches_all {
            return json!({"searchResult3": {}});
        }
        let page = |all: Vec<Value>, count: &str, offset: &str| {
            let field = |v: &Value| v.get("title").or(v.get("name")).unwrap().as_str().unwrap().to_lowercase();
            let matches = all.into_iter().filter(|v| field(v).contains(&query));
            matches.skip(params.number(offset)).take(params.number(count).min(self.manners.most)).collect::<Vec<_>>()
        };
        let songs = self.songs.iter().map(|s| self.song(s)).collect();
        let mut found = Map::new();
        for (name, rows) in [
            ("artist", page(vec![self.artist()], "artistCount", "artistOffset")),
            ("album", page((0..self.albums).map(|n| self.album(n)).collect(), "albumCount", "albumOffset")),
            ("song", page(songs, "songCount", "songOffset")),
        ] {
            if !rows.is_empty() {
                found.insert(name.into(), rows.into());
            }
        }
        json!({"searchResult3": found})
    }

    fn star(&mut self, star: bool, params: &Params) -> Answer {
        let ids = params.all("id");
        let skipped = if self.manners.stars_last { ids.len().saturating_sub(1) } else { 0 };
        for id in &ids[skipped..] {
            if self.manners.stars_last && self.find(id).is_err() {
                continue;
            }
            if star && self.find(id)?.starred.is_some() && self.manners.stars_once {
                return Err(failed(0, &format!("Track {id} already starred")));
            }
            let song = self.songs.iter_mut().find(|s| s.id == *id).ok_or_else(|| failed(70, "Song not found"))?;
            song.starred = star.then_some("2026-03-04T05:06:07.000Z");
        }
        Ok(json!({}))
    }

    fn list(&mut self, id: Option<&str>) -> Result<&mut List, (u64, String)> {
        self.lists.iter_mut().find(|list| Some(list.id.as_str()) == id).ok_or_else(|| failed(70, "Playlist not found"))
    }

    fn listed(&self, list: &List) -> Value {
        let mut value = json!({"id": list.id, "name": list.name, "owner": list.owner, "comment": list.comment,
            "public": list.public, "songCount": list.songs.len(), "duration": list.songs.len() * 60,
            "created": "2026-01-01T00:00:00"});
        if self.manners.modern {
            value["changed"] = format!("2026-01-01T00:00:{:02}.{}Z", self.made % 60, list.songs.concat().len()).into();
        }
        value
    }

    fn playlists(&mut self, method: &str, params: &Params) -> Answer {
        self.made += 1;
        let songs = |state: &Self, name: &str| -> Result<Vec<String>, (u64, String)> {
            let found = params.all(name).into_iter().map(|id| state.find(&id).map(|song| song.id.clone()));
            if state.manners.passes_over { Ok(found.flatten().collect()) } else { found.collect() }
        };
        match method {
            "getPlaylists" => {
                Ok(json!({"playlists": {"playlist": self.lists.iter().map(|l| self.listed(l)).collect::<Value>()}}))
            }
            "getPlaylist" => {
                self.made -= 1;
                let list = self.list(params.get("id"))?.clone();
                let mut value = self.listed(&list);
                let entries = list.songs.iter().map(|id| self.song(self.find(id).unwrap()));
                value["entry"] = entries.collect();
                Ok(json!({"playlist": value}))
            }
            "createPlaylist" => {
                let songs = songs(self, "songId")?;
                if let Some(id) = params.get("playlistId") {
                    let list = self.list(Some(id))?;
                    (list.songs, list.written) = (songs, true);
                    return Ok(json!({}));
                }
                let list = List {
                    id: format!("pl-{}", self.made),
                    name: params.get("name").unwrap().to_owned(),
                    owner: "alice".into(),
                    comment: String::new(),
                    public: false,
                    written: !songs.is_empty(),
                    songs,
                };
                self.lists.push(list.clone());
                Ok(if self.manners.answers_created { json!({"playlist": self.listed(&list)}) } else { json!({}) })
            }
            "updatePlaylist" => {
                let added = songs(self, "songIdToAdd")?;
                let removed: Vec<usize> = params.all("songIndexToRemove").iter().map(|n| n.parse().unwrap()).collect();
                let (fails_unwritten, most) = (self.manners.fails_unwritten, self.manners.most_entries);
                let list = self.list(params.get("playlistId"))?;
                if fails_unwritten && !list.written && added.is_empty() {
                    return Err(failed(0, "InternalServerError: 500 Internal Server Error"));
                }
                list.written = true;
                let mut at = 0;
                list.songs.retain(|_| {
                    at += 1;
                    !removed.contains(&(at - 1))
                });
                list.songs.extend(added);
                list.songs.truncate(most);
                list.name = params.get("name").unwrap_or(&list.name).to_owned();
                list.comment = params.get("comment").unwrap_or(&list.comment).to_owned();
                list.public = params.get("public").map_or(list.public, |public| public == "true");
                Ok(json!({}))
            }
            "deletePlaylist" => {
                let id = self.list(params.get("id"))?.id.clone();
                self.lists.retain(|list| list.id != id);
                Ok(json!({}))
            }
            _ => Err(failed(0, "Unknown method")),
        }
    }
}
