//! Spotify's provider through the host's own API, with the simulator as the service.

mod big;
mod contract;
mod edits;
mod limits;
mod lists;
mod peers;
mod pull;
mod redirect;
mod rows;
mod tokens;

use contract::Held;
use reqwest::Method;
use serde_json::{Value, json};
use spotify_simulator::{Change, Effect, Options, Rule, Simulator};

use crate::{
    lab::Bench,
    library::text,
    support::{Reply, TestApp},
};

/// The simulator's first user.
const USER: &str = "listener";

/// A host, the simulated service, and the folder that the plugin is in.
struct Lab {
    host: TestApp,
    simulator: Held,
    plugins: Bench,
    /// The account of the admin.
    account: String,
}

/// A small library, which a pull reads with few calls.
fn small() -> Options {
    Options {
        users: 2,
        tracks: 120,
        albums: 12,
        shows: 3,
        episodes: 12,
        artists: 12,
        playlists: 10,
        ..Options::default()
    }
}

/// What the plugin asks for, and gets.
const PERMISSIONS: &str = r#"permissions = ["hosts:api.spotify.com", "hosts:accounts.spotify.com", "hosts:*.scdn.co",
"hosts:*.spotifycdn.com", "hosts:spotify.link", "hosts:spotify.app.link", "hosts:open.spotify.com"]"#;

/// A host's configuration. The budget is out of the way unless a test is about it.
fn configuration(plugins: &Bench, simulator: &Simulator, budget: &str) -> String {
    let budget = if budget.is_empty() { "window_requests = 0\ndaily_requests = 0" } else { budget };
    format!(
        "[plugins]\ndirectories = [{:?}]\n[providers.spotify]\nplugin = \"spotify\"\n{PERMISSIONS}\n\
         settings = {{ client_id = \"tests\", accounts_base = \"{}\", \
         api_base = \"{}\", short_link_base = \"{}\" }}\n[providers.spotify.budget]\n{budget}\n",
        plugins.path("plugins"),
        simulator.accounts_base(),
        simulator.api_base(),
        simulator.short_link_base()
    )
}

impl Lab {
    /// A host whose admin has connected the simulator's first user, and whose library was read once.
    async fn new(options: Options) -> Self {
        let lab = Self::prepared(options, |_| {}).await;
        lab.calm().await;
        lab
    }

    /// As [`Lab::new`], with something done to the simulator before it is asked anything.
    async fn prepared(options: Options, prepare: impl FnOnce(&Simulator)) -> Self {
        let simulator = Held::start(options).await;
        prepare(&simulator);
        let plugins = Bench::new().with("zotify_plugin_spotify");
        let host = TestApp::with(&configuration(&plugins, &simulator, "")).await.admin().await;
        let mut lab = Self { host, simulator, plugins, account: String::new() };
        lab.started().await;
        lab.account = lab.connect(USER).await;
        lab
    }

    async fn started(&self) {
        self.host.until("/api/providers/spotify", |provider| provider["state"] == "started").await;
    }

    /// The caller connects an account of the simulator, through the steps that a person takes.
    async fn connect(&self, user: &str) -> String {
        let flow = self.flow(user).await;
        assert_eq!(flow["state"], "done", "{flow:#}");
        text(&flow["step"], "account").to_owned()
    }

    async fn flow(&self, user: &str) -> Value {
        let flow = self.host.post("/api/accounts/flows", &json!({"provider": "spotify"})).await.expect(201);
        assert_eq!(flow["step"]["type"], "external", "{flow:#}");
        let back = self.simulator.agree(text(&flow["step"], "url"), user).unwrap();
        self.host.post(&format!("/api/accounts/flows/{}", text(&flow, "id")), &json!({"url": back})).await.expect(200)
    }

    /// The same host after a restart.
    async fn restarted(self) -> Self {
        let Self { host, simulator, plugins, account } = self;
        let dir = host.stop().await;
        let host = TestApp::at(dir, "", &configuration(&plugins, &simulator, "")).await.sign_in_again().await;
        let lab = Self { host, simulator, plugins, account };
        lab.started().await;
        lab
    }

    /// Waits until no job is left to do.
    async fn calm(&self) {
        let ended = |job: &Value| ["succeeded", "failed", "cancelled"].contains(&text(job, "state"));
        self.host.until("/api/jobs?limit=200", |jobs| jobs["data"].as_array().unwrap().iter().all(ended)).await;
    }

    /// Reads the account anew; the run that came of it.
    async fn pull(&self) -> Value {
        self.host.post("/api/sync", &json!({"accounts": [self.account]})).await.expect(202);
        self.calm().await;
        self.last_run().await
    }

    /// The newest run, with what it skipped.
    async fn last_run(&self) -> Value {
        let runs = self.host.get(&format!("/api/sync/runs?account={}", self.account)).await.expect(200);
        self.host.get(&format!("/api/sync/runs/{}", text(&runs["data"][0], "id"))).await.expect(200)
    }

    /// Asks the service about the account.
    async fn check(&self) -> Reply {
        let path = format!("/api/accounts/{}/check", self.account);
        self.host.send(self.host.request(Method::POST, &path)).await
    }

    async fn state(&self) -> Value {
        self.host.get(&format!("/api/accounts/{}", self.account)).await.expect(200)
    }

    /// URIs of the library's items of a kind (`tracks`, `albums`, …), sorted.
    async fn library(&self, kind: &str) -> Vec<String> {
        let (mut uris, mut path) = (Vec::new(), format!("/api/library/{kind}?limit=200"));
        loop {
            let page = self.host.get(&path).await.expect(200);
            uris.extend(page["data"].as_array().unwrap().iter().map(|row| text(row, "uri").to_owned()));
            let Some(cursor) = page["meta"]["next_cursor"].as_str() else { break };
            path = format!("/api/library/{kind}?limit=200&cursor={cursor}");
        }
        uris.sort();
        uris
    }

    /// What the simulator has saved of a kind, sorted.
    fn saved(&self, kind: &str) -> Vec<String> {
        let mut uris = self.simulator.saved(USER, kind);
        uris.sort();
        uris
    }

    /// The rows of a playlist.
    async fn entries(&self, playlist: &str) -> Vec<Value> {
        let path = format!("/api/playlists/spotify:playlist:{playlist}/items?limit=200");
        self.host.get(&path).await.expect(200)["data"].as_array().unwrap().clone()
    }

    /// The id of one of the user's playlists, by its place at the start.
    fn playlist(&self, n: usize) -> String {
        self.simulator.playlists(USER)[n].clone()
    }

    fn rule(&self, method: &str, path: &str, effect: Effect) {
        self.simulator.rule(Rule::new(method, path, effect));
    }

    fn refreshes(&self) -> usize {
        let asked = self.simulator.requests();
        asked
            .iter()
            .filter(|entry| entry.path == "/api/token" && entry.body.contains("grant_type=refresh_token"))
            .count()
    }
}

/// The URIs of playlist rows.
fn uris(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["item"]["uri"].as_str().unwrap_or("-")).collect()
}

#[tokio::test]
async fn an_account_is_connected_and_its_library_read() {
    let lab = Lab::new(small()).await;
    let state = lab.state().await;
    assert_eq!((&state["state"], &state["provider"]), (&json!("ok"), &json!("spotify")), "{state:#}");
    assert!(state["sign_in_again_by"].is_string(), "six months from now: {state:#}");
    for (kind, one) in [("tracks", "track"), ("albums", "album"), ("shows", "show"), ("artists", "artist")] {
        assert_eq!(lab.library(kind).await, lab.saved(one), "{kind}");
    }
    assert_eq!(lab.library("episodes").await, lab.saved("episode"));
    let playlists = lab.host.get("/api/playlists?limit=200").await.expect(200);
    // Ten of their own, and one of another user that they work on.
    assert_eq!(playlists["data"].as_array().unwrap().len(), 11);
    let run = lab.last_run().await;
    assert_eq!((&run["state"], &run["completeness"]), (&json!("applied"), &json!("complete")), "{run:#}");
}

#[tokio::test]
async fn nobody_calls_what_spotify_has_deprecated() {
    let lab = Lab::new(small()).await;
    let track = lab.simulator.saved(USER, "track")[0].clone();
    let other = lab.simulator.unsaved_track(USER).unwrap();
    let album = lab.simulator.saved(USER, "album")[0].clone();
    lab.host.get("/api/search?q=river&scope=catalog").await.expect(200);
    lab.host.get(&format!("/api/items/{other}")).await.expect(200);
    lab.host.get(&format!("/api/albums/{album}/tracks")).await.expect(200);
    lab.host.patch("/api/library", &json!({"add": [other], "remove": [track]})).await.expect(200);
    lab.pull().await;
    let asked = lab.simulator.requests();
    let api: Vec<_> = asked.iter().filter(|entry| entry.path.starts_with("/v1/")).collect();
    assert!(api.len() > 15);
    for entry in api {
        assert!(entry.operation.is_some() && !entry.deprecated, "{} {}", entry.method, entry.path);
    }
}

#[tokio::test]
async fn who_says_no_is_told_so() {
    let lab = Lab::new(small()).await;
    let flow = lab.host.post("/api/accounts/flows", &json!({"provider": "spotify"})).await.expect(201);
    let url = url::Url::parse(text(&flow["step"], "url")).unwrap();
    let state = url.query_pairs().find(|(key, _)| key == "state").unwrap().1.into_owned();
    let back = format!("{}?error=access_denied&state={state}", text(&flow["step"], "redirect"));
    let path = format!("/api/accounts/flows/{}", text(&flow, "id"));
    let flow = lab.host.post(&path, &json!({"url": back})).await.expect(200);
    assert_eq!(flow["state"], "failed", "{flow:#}");
    assert_eq!(flow["problem"]["code"], "access_denied", "{flow:#}");
}
