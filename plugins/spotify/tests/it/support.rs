//! A small Spotify in memory, and the plugin connected to it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use serde_json::{Value, json};
use url::Url;
use zotify_plugin_api::{
    AccountContext, Call, ErrorKind, ItemKey, Kind, Provider as _, ProviderError, Result, Uri,
    service::{HttpRequest, HttpResponse},
    testing::{self, FakeHost},
};
use zotify_plugin_spotify::{Settings, Spotify, endpoints::SCOPES};

pub(crate) const ACCOUNT: &str = "acc1";
pub(crate) const ME: &str = "me";
const HOUR_MS: i64 = 3_600_000;

/// Looks at a request first: answers it, or leaves it to the service.
type Hook = Box<dyn FnMut(&HttpRequest, &mut Service) -> Option<Result<HttpResponse>> + Send>;

/// The service's state.
#[derive(Default)]
pub(crate) struct Service {
    /// Rows by path: `/me/tracks`, …; artists as they are.
    pub lists: BTreeMap<&'static str, Vec<Value>>,
    pub playlists: BTreeMap<String, List>,
    /// The body of the next answers of the token endpoint, and its status.
    pub token: (u16, Value),
    pub access: String,
    pub saved: Vec<String>,
    writes: u32,
}

/// A playlist; none of its rows are shown where it is somebody else's.
#[derive(Default)]
pub(crate) struct List {
    pub rows: Vec<Value>,
    pub hidden: bool,
}

pub(crate) struct World {
    pub host: FakeHost,
    pub spotify: Arc<Spotify>,
    service: Arc<Mutex<Service>>,
    hooks: Arc<Mutex<Vec<Hook>>>,
}

/// An id of 22 characters.
pub(crate) fn id(n: usize) -> String {
    format!("{n:022}")
}

pub(crate) fn uri(kind: Kind, n: usize) -> Uri {
    Uri::new("spotify", kind, &id(n)).unwrap()
}

pub(crate) fn key(kind: Kind, n: usize) -> ItemKey {
    ItemKey { uri: uri(kind, n), locator: None }
}

pub(crate) fn track(n: usize) -> Value {
    json!({
        "type": "track", "id": id(n), "uri": format!("spotify:track:{}", id(n)), "name": format!("Track {n}"),
        "duration_ms": 200_000, "is_local": false, "explicit": false, "disc_number": 1, "track_number": n + 1,
        "artists": [{"type": "artist", "id": id(7), "uri": format!("spotify:artist:{}", id(7)), "name": "Artist"}],
        "external_ids": {"isrc": format!("USABC{n:07}")},
    })
}

/// A row of a list of saved items, the older the smaller the number.
pub(crate) fn saved(n: usize) -> Value {
    json!({"added_at": format!("20{:02}-01-01T00:00:{:02}Z", n / 60 % 100, n % 60), "track": track(n)})
}

/// A row of a playlist.
pub(crate) fn row(n: usize) -> Value {
    json!({"added_at": "2026-01-01T00:00:00Z", "is_local": false, "item": track(n), "track": true})
}

pub(crate) fn answer(status: u16, body: impl Into<Vec<u8>>) -> Result<HttpResponse> {
    Ok(HttpResponse { status, headers: Vec::new(), body: body.into() })
}

pub(crate) fn ok(value: &Value) -> Result<HttpResponse> {
    answer(200, value.to_string())
}

/// The connection broke before an answer came.
pub(crate) fn broken() -> Result<HttpResponse> {
    Err(ProviderError::new(ErrorKind::Timeout, "the service did not answer in time"))
}

pub(crate) fn path(request: &HttpRequest) -> String {
    Url::parse(&request.url).unwrap().path().trim_start_matches("/v1").to_owned()
}

pub(crate) fn query(request: &HttpRequest, name: &str) -> Option<String> {
    let url = Url::parse(&request.url).unwrap();
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

pub(crate) fn provider(host: &FakeHost, settings: &Value) -> Result<Spotify> {
    Spotify::new(host.context("spotify"), serde_json::from_value::<Settings>(settings.clone()).unwrap())
}

impl World {
    /// An account that is signed in, whose access token lasts another hour.
    pub(crate) fn new() -> Self {
        let host = FakeHost::default();
        let spotify = Arc::new(provider(&host, &json!({"client_id": "client"})).unwrap());
        let service = Service { access: "access-1".into(), ..Service::default() };
        let world = Self { host, spotify, service: Arc::new(Mutex::new(service)), hooks: Arc::default() };
        let (service, hooks) = (Arc::clone(&world.service), Arc::clone(&world.hooks));
        world.host.serve(move |request| {
            let mut service = service.lock().unwrap();
            let hooked = hooks.lock().unwrap().iter_mut().find_map(|hook| hook(&request, &mut service));
            hooked.unwrap_or_else(|| service.serve(&request))
        });
        world.sign_in(SCOPES);
        world
    }

    pub(crate) fn sign_in(&self, scopes: &[&str]) {
        let credentials = json!({
            "client_id": "client", "access_token": "access-1", "refresh_token": "refresh-1", "expires_at_ms": HOUR_MS,
            "scopes": scopes, "user_id": ME,
        });
        self.host.set_credentials(ACCOUNT, credentials.to_string());
    }

    /// What the vault holds now.
    pub(crate) fn credentials(&self) -> Value {
        serde_json::from_str(&self.host.credentials(ACCOUNT).unwrap().credentials).unwrap()
    }

    pub(crate) fn service(&self) -> MutexGuard<'_, Service> {
        self.service.lock().unwrap()
    }

    pub(crate) fn hook(
        &self,
        hook: impl FnMut(&HttpRequest, &mut Service) -> Option<Result<HttpResponse>> + Send + 'static,
    ) {
        self.hooks.lock().unwrap().push(Box::new(hook));
    }

    /// Answers so many requests of a path this way; an empty path is every one of the Web API.
    pub(crate) fn next(
        &self,
        times: usize,
        on: &'static str,
        reply: impl Fn() -> Result<HttpResponse> + Send + 'static,
    ) {
        let mut left = times;
        self.hook(move |request, _| {
            let fits = left > 0 && path(request).starts_with(on) && !request.url.contains("/api/token");
            fits.then(|| {
                left -= 1;
                reply()
            })
        });
    }

    /// Methods and paths of the requests so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.host.requests().iter().map(|request| format!("{} {}", request.method, path(request))).collect()
    }

    pub(crate) fn count(&self, line: &str) -> usize {
        self.log().iter().filter(|have| *have == line).count()
    }

    pub(crate) fn playlist(&self, n: usize, rows: Vec<Value>) {
        self.service().playlists.insert(id(n), List { rows, hidden: false });
    }

    /// The tracks of a playlist, by number.
    pub(crate) fn contents(&self, n: usize) -> Vec<String> {
        let service = self.service();
        service.playlists[&id(n)]
            .rows
            .iter()
            .map(|row| uri_of(row).rsplit(':').next().unwrap().trim_start_matches('0').to_owned())
            .collect()
    }
}

/// A call for the account.
pub(crate) fn call<T>(request: T) -> Call<T> {
    Call { account: Some(AccountContext { id: ACCOUNT.into() }), ..testing::call(request) }
}

fn uri_of(row: &Value) -> &str {
    row["item"]["uri"].as_str().unwrap_or_default()
}

impl Service {
    pub(crate) fn serve(&mut self, request: &HttpRequest) -> Result<HttpResponse> {
        if request.url.contains("/api/token") {
            return answer(self.token.0, self.token.1.to_string());
        }
        let bearer = format!("Bearer {}", self.access);
        if !request.headers.iter().any(|(name, value)| name == "authorization" && *value == bearer) {
            return answer(401, r#"{"error":{"status":401,"message":"The access token expired"}}"#);
        }
        let path = path(request);
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        match (request.method.as_str(), &parts[..]) {
            ("GET", ["me"]) => ok(&json!({"id": ME, "account_id": "pseudonym", "display_name": "Me"})),
            ("GET", ["me", "following"]) => self.artists(request),
            ("GET", ["me", ..]) => {
                let rows = self.lists.get(path.as_str()).map_or(&[][..], Vec::as_slice);
                ok(&page(rows, request, 50))
            }
            (method, ["me", "library"]) => self.library(method, request),
            (_, ["playlists", id, ..]) if !self.playlists.contains_key(*id) => answer(404, ""),
            ("GET", ["playlists", id]) => ok(&self.head(id)),
            ("GET", ["playlists", id, "items"]) => {
                let list = &self.playlists[*id];
                if list.hidden { answer(403, "") } else { ok(&page(&list.rows, request, 50)) }
            }
            (method, ["playlists", id, "items"]) => self.write(method, id, request),
            _ => answer(404, r#"{"error":{"status":404,"message":"Resource not found"}}"#),
        }
    }

    fn head(&self, id: &str) -> Value {
        let list = &self.playlists[id];
        let mut head = json!({
            "type": "playlist", "id": id, "uri": format!("spotify:playlist:{id}"), "name": "List", "owner": {"id": ME},
            "snapshot_id": self.snapshot(), "images": null,
        });
        if !list.hidden {
            let rows: Vec<&Value> = list.rows.iter().take(100).collect();
            let next = (list.rows.len() > 100).then_some("https://evil.example.org/next");
            head["items"] = json!({"items": rows, "total": list.rows.len(), "limit": 100, "offset": 0, "next": next});
        }
        head
    }

    pub(crate) fn snapshot(&self) -> String {
        format!("snapshot-{}", self.writes)
    }

    fn library(&mut self, method: &str, request: &HttpRequest) -> Result<HttpResponse> {
        let uris = query(request, "uris").unwrap_or_default();
        let uris: Vec<String> = uris.split(',').map(str::to_owned).collect();
        if uris.len() > 40 || !request.body.is_empty() || uris.iter().any(|uri| uri.ends_with(&id(666))) {
            return answer(400, r#"{"error":{"status":400,"message":"Invalid uris"}}"#);
        }
        match method {
            "PUT" => self.saved.extend(uris),
            _ => self.saved.retain(|uri| !uris.contains(uri)),
        }
        answer(200, "")
    }

    fn artists(&self, request: &HttpRequest) -> Result<HttpResponse> {
        let rows = self.lists.get("/me/following").cloned().unwrap_or_default();
        let after = query(request, "after");
        let start = after.map_or(0, |after| rows.iter().position(|row| row["id"] == json!(after)).map_or(0, |n| n + 1));
        let some: Vec<Value> = rows.iter().skip(start).take(50).cloned().collect();
        let more = start + some.len() < rows.len();
        let after = some.last().filter(|_| more).map(|row| row["id"].clone());
        ok(&json!({"artists": {"items": some, "total": rows.len(), "limit": 50, "cursors": {"after": after}}}))
    }

    /// As Spotify does it: a removal takes every copy, a position is one before the change.
    fn write(&mut self, method: &str, id: &str, request: &HttpRequest) -> Result<HttpResponse> {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let rows = &mut self.playlists.get_mut(id).unwrap().rows;
        let new = |uris: &Value| -> Vec<Value> {
            let number = |uri: &Value| uri.as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap();
            uris.as_array().unwrap().iter().map(|uri| row(number(uri))).collect()
        };
        match method {
            "POST" => {
                let uris = new(&body["uris"]);
                let at = body["position"].as_u64().map_or(rows.len(), |at| usize::try_from(at).unwrap());
                assert!(uris.len() <= 100);
                rows.splice(at..at, uris);
            }
            "DELETE" => {
                let gone: Vec<&str> =
                    body["items"].as_array().unwrap().iter().map(|i| i["uri"].as_str().unwrap()).collect();
                assert!(gone.len() <= 100 && gone.iter().all(|uri| !uri.contains("local")));
                rows.retain(|row| !gone.contains(&uri_of(row)));
            }
            _ if body["uris"].is_array() => *rows = new(&body["uris"]),
            _ => {
                let number = |name: &str| usize::try_from(body[name].as_u64().unwrap()).unwrap();
                let (start, before, len) = (number("range_start"), number("insert_before"), number("range_length"));
                let range: Vec<Value> = rows.drain(start..start + len).collect();
                let at = if before > start { before - len } else { before };
                rows.splice(at..at, range);
            }
        }
        self.writes += 1;
        let status = if method == "POST" { 201 } else { 200 };
        answer(status, json!({"snapshot_id": self.snapshot()}).to_string())
    }
}

/// A page by offset. What it names as the next one is never to be asked.
pub(crate) fn page(rows: &[Value], request: &HttpRequest, most: usize) -> Value {
    let number = |name: &str, none: usize| query(request, name).map_or(none, |text| text.parse().unwrap());
    let (offset, limit) = (number("offset", 0), number("limit", 20));
    assert!(limit <= most, "a limit of {limit}");
    let some: Vec<&Value> = rows.iter().skip(offset).take(limit).collect();
    let next = (offset + limit < rows.len()).then_some("https://api.spotify.com/v1/users/u/removed?offset=1");
    json!({"items": some, "total": rows.len(), "limit": limit, "offset": offset, "next": next})
}
