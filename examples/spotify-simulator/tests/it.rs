//! The simulator as a client sees it.

#![expect(clippy::unwrap_used, reason = "a test ends where its preparation fails")]

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use spotify_simulator::{Change, Effect, Options, RefreshToken, Rule, Simulator};
use url::Url;

const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters";
const REDIRECT: &str = "http://127.0.0.1:8080/callback";
const SCOPES: &str = "user-library-read user-library-modify user-follow-read user-follow-modify playlist-read-private \
    playlist-modify-private playlist-modify-public ugc-image-upload user-read-recently-played";

/// A simulator and a client of it.
struct Lab {
    simulator: Simulator,
    client: Client,
    access: String,
    refresh: String,
}

fn consent(simulator: &Simulator, scopes: &str) -> String {
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
    let pairs = [
        ("response_type", "code"),
        ("client_id", "client"),
        ("redirect_uri", REDIRECT),
        ("scope", scopes),
        ("state", "s"),
        ("code_challenge_method", "S256"),
        ("code_challenge", &challenge),
    ];
    Url::parse_with_params(&format!("{}/authorize", simulator.accounts_base()), pairs).unwrap().into()
}

fn code(simulator: &Simulator, scopes: &str) -> String {
    let back = Url::parse(&simulator.agree(&consent(simulator, scopes), "listener").unwrap()).unwrap();
    back.query_pairs().find(|(key, _)| key == "code").unwrap().1.into_owned()
}

impl Lab {
    async fn new(options: Options) -> Self {
        let simulator = Simulator::start(options).await.unwrap();
        let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let mut lab = Self { simulator, client, access: String::new(), refresh: String::new() };
        let (status, tokens) = lab.exchange(&code(&lab.simulator, SCOPES), VERIFIER).await;
        assert_eq!(status, 200, "{tokens}");
        lab.access = tokens["access_token"].as_str().unwrap().to_owned();
        lab.refresh = tokens["refresh_token"].as_str().unwrap().to_owned();
        lab
    }

    async fn token(&self, form: &[(&str, &str)]) -> (u16, Value) {
        let request = self.client.post(format!("{}/api/token", self.simulator.accounts_base())).form(form);
        let reply = request.send().await.unwrap();
        (reply.status().as_u16(), reply.json().await.unwrap())
    }

    async fn exchange(&self, code: &str, verifier: &str) -> (u16, Value) {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("client_id", "client"),
            ("code_verifier", verifier),
        ];
        self.token(&form).await
    }

    async fn renew(&self, token: &str) -> (u16, Value) {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", "client")]).await
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let request =
            self.client.request(method, format!("{}{path}", self.simulator.api_base())).bearer_auth(&self.access);
        let request = body.into_iter().fold(request, |request, body| request.json(&body));
        let reply = request.send().await.unwrap();
        let status = reply.status().as_u16();
        let bytes = reply.bytes().await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into()))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, value) = self.ask(Method::GET, path, None).await;
        assert_eq!(status, 200, "{value}");
        value
    }
}

fn small() -> Options {
    Options { tracks: 120, playlists: 12, users: 2, ..Options::default() }
}

#[tokio::test]
async fn codes_are_checked_and_used_once() {
    let lab = Lab::new(small()).await;
    let good = code(&lab.simulator, SCOPES);
    let (status, answer) = lab.exchange(&good, "another-verifier-of-at-least-forty-three-chars").await;
    assert_eq!((status, &answer["error"]), (400, &json!("invalid_grant")), "{answer}");
    assert_eq!(lab.exchange(&good, VERIFIER).await.0, 400, "a failed exchange uses the code up");
    let late = code(&lab.simulator, SCOPES);
    lab.simulator.change(&Change::Advance { seconds: 700 });
    assert_eq!(lab.exchange(&late, VERIFIER).await.1["error_description"], "Authorization code expired");
}

#[tokio::test]
async fn the_page_asks_and_takes_no_for_an_answer() {
    let lab = Lab::new(small()).await;
    let address = consent(&lab.simulator, "user-library-read");
    let page = lab.client.get(&address).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("Agree") && page.contains("user-library-read"), "{page}");
    let form = |answer: &str| format!("{}&user=listener&answer={answer}", address.split_once('?').unwrap().1);
    for (answer, wanted) in [("agree", "code="), ("cancel", "error=access_denied")] {
        let request = lab.client.post(format!("{}/authorize", lab.simulator.accounts_base())).body(form(answer));
        let reply = request.send().await.unwrap();
        let location = reply.headers()["location"].to_str().unwrap().to_owned();
        assert!(
            location.starts_with(REDIRECT) && location.contains(wanted) && location.contains("state=s"),
            "{location}"
        );
    }
    for bad in ["http://localhost:8080/callback", "http://192.168.1.2/callback", "nonsense"] {
        let other =
            address.replace(&url::form_urlencoded::byte_serialize(REDIRECT.as_bytes()).collect::<String>(), bad);
        assert_eq!(lab.client.get(other).send().await.unwrap().status(), 400, "{bad}");
    }
}

#[tokio::test]
async fn refresh_tokens_live_six_months_and_rotate_on_demand() {
    let lab = Lab::new(small()).await;
    let (_, first) = lab.renew(&lab.refresh).await;
    assert!(first["access_token"].is_string() && first.get("refresh_token").is_none(), "{first}");
    lab.simulator.change(&Change::RefreshTokens { how: RefreshToken::Empty });
    assert_eq!(lab.renew(&lab.refresh).await.1["refresh_token"], "");
    lab.simulator.change(&Change::RefreshTokens { how: RefreshToken::Rotate });
    let (_, rotated) = lab.renew(&lab.refresh).await;
    let next = rotated["refresh_token"].as_str().unwrap();
    assert_eq!(lab.renew(&lab.refresh).await.1["error"], "invalid_grant", "the old one is used up");
    assert_eq!(lab.renew(next).await.0, 200);
    lab.simulator.change(&Change::RefreshTokens { how: RefreshToken::Absent });
    lab.simulator.change(&Change::Advance { seconds: 183 * 86_400 });
    assert_eq!(lab.renew(next).await.1["error"], "invalid_grant");
    assert_eq!(lab.ask(Method::GET, "/me", None).await.0, 401);
}

#[tokio::test]
async fn it_is_as_strict_as_the_service() {
    let lab = Lab::new(small()).await;
    let playlist = lab.simulator.playlists("listener")[0].clone();
    let items = format!("/playlists/{playlist}/items");
    let many = |n: usize| vec!["spotify:track:0000000000000000000000"; n];
    let library = |n: usize| format!("/me/library?uris={}", many(n).join(","));
    let track = lab.simulator.saved("listener", "track")[0].clone();
    for (method, path, body, status) in [
        (Method::GET, "/me/tracks?limit=51", None, 400),
        (Method::GET, "/search?q=a&type=track&limit=11", None, 400),
        (Method::GET, "/me/following", None, 400),
        (Method::GET, "/tracks/short", None, 400),
        (Method::GET, "/tracks/0000000000000000000000", None, 404),
        (Method::GET, "/tracks?ids=0000000000000000000000", None, 403),
        (Method::PUT, "/me/tracks?ids=0000000000000000000000", None, 403),
        (Method::PUT, &library(41), None, 400),
        (Method::PUT, "/me/library", Some(json!({"uris": [track]})), 400),
        (Method::PUT, "/me/library?uris=spotify:local:a:b:c:1", None, 400),
        (Method::POST, &items, Some(json!({"uris": many(101)})), 400),
        (Method::POST, &items, Some(json!({"uris": ["spotify:local:a:b:c:1"]})), 400),
        (Method::DELETE, &items, Some(json!({"tracks": [{"uri": track}]})), 400),
        (Method::DELETE, &items, Some(json!({"items": [{"uri": track}], "snapshot_id": "MTc"})), 400),
        (Method::PUT, &items, Some(json!({"uris": [], "range_start": 0, "insert_before": 1})), 400),
        (Method::PUT, &format!("/playlists/{playlist}"), Some(json!({"description": ""})), 400),
        (Method::POST, "/me/playlists", Some(json!({"name": "x", "collaborative": true})), 400),
        (Method::GET, "/me/top/tracks", None, 403),
    ] {
        let (found, answer) = lab.ask(method.clone(), path, body).await;
        assert_eq!(found, status, "{method} {path}: {answer}");
        assert_eq!(answer["error"]["status"], status, "{method} {path}: {answer}");
    }
    assert_eq!(lab.simulator.requests().iter().filter(|request| request.deprecated).count(), 2);
}

#[tokio::test]
async fn the_library_can_be_walked_changed_and_asked() {
    let lab = Lab::new(small()).await;
    let mut seen = Vec::new();
    for offset in [0, 50, 100] {
        let page = lab.get(&format!("/me/tracks?limit=50&offset={offset}")).await;
        seen.extend(
            page["items"].as_array().unwrap().iter().map(|row| row["track"]["uri"].as_str().unwrap().to_owned()),
        );
    }
    assert_eq!(seen, lab.simulator.saved("listener", "track"));
    let new = lab.simulator.unsaved_track("listener").unwrap();
    let path = format!("/me/library?uris={new}");
    for _ in 0..2 {
        assert_eq!(lab.ask(Method::PUT, &path, None).await.0, 200);
    }
    assert_eq!(lab.simulator.saved("listener", "track").iter().filter(|uri| **uri == new).count(), 1);
    let contains = format!("/me/library/contains?uris={new},{}", seen[3]);
    assert_eq!(lab.get(&contains).await, json!([true, true]));
    assert_eq!(lab.ask(Method::DELETE, &path, None).await.0, 200);
    assert_eq!(lab.get(&contains).await, json!([false, true]));
    // Listed as another one, it goes by either name.
    lab.simulator.change(&Change::Relink { from: seen[3].clone(), to: new.clone() });
    let listed = lab.get("/me/tracks?limit=1&offset=3").await;
    assert_eq!(listed["items"][0]["track"]["uri"], json!(new));
    let isrc = |uri: &str| lab.simulator.item(uri).unwrap()["external_ids"]["isrc"].clone();
    assert_eq!(isrc(&new), isrc(&seen[3]));
    assert_eq!(lab.ask(Method::DELETE, &path, None).await.0, 200);
    assert_eq!(lab.get(&contains).await, json!([false, false]));
}

#[tokio::test]
async fn playlists_change_as_the_service_changes_them() {
    let lab = Lab::new(small()).await;
    let (status, made) = lab.ask(Method::POST, "/me/playlists", Some(json!({"name": "x", "public": false}))).await;
    assert_eq!((status, &made["description"]), (201, &json!("null")));
    let id = made["id"].as_str().unwrap();
    let items = format!("/playlists/{id}/items");
    let [a, b, c] = std::array::from_fn(|n| lab.simulator.saved("listener", "track")[n].clone());
    lab.ask(Method::POST, &items, Some(json!({"uris": [a, b, a, c]}))).await;
    let old = lab.get(&format!("/playlists/{id}")).await["snapshot_id"].clone();
    lab.ask(Method::POST, &items, Some(json!({"uris": [c], "position": 0}))).await;
    // Positions are those of the version that is named.
    let moved = json!({"range_start": 1, "insert_before": 4, "snapshot_id": old});
    assert_eq!(lab.ask(Method::PUT, &items, Some(moved)).await.0, 200);
    assert_eq!(lab.simulator.rows(id), [c.clone(), a.clone(), a.clone(), c.clone(), b.clone()]);
    lab.ask(Method::DELETE, &items, Some(json!({"items": [{"uri": a, "positions": [1]}]}))).await;
    assert_eq!(lab.simulator.rows(id), [c.clone(), c, b], "every copy goes");
    assert_eq!(lab.ask(Method::DELETE, &format!("/me/library?uris=spotify:playlist:{id}"), None).await.0, 200);
    assert!(!lab.simulator.playlists("listener").contains(&id.to_owned()));
    assert_eq!(lab.get(&format!("/playlists/{id}")).await["id"], id, "it can still be read");
}

#[tokio::test]
async fn contents_of_others_are_out_of_reach() {
    let lab = Lab::new(small()).await;
    let followed = lab.simulator.playlists("listener")[3].clone();
    assert!(lab.get(&format!("/playlists/{followed}")).await.get("items").is_none());
    assert_eq!(lab.ask(Method::GET, &format!("/playlists/{followed}/items"), None).await.0, 403);
    let legacy = Lab::new(Options { legacy: true, ..small() }).await;
    let whole = legacy.get(&format!("/playlists/{followed}")).await;
    assert!(whole["tracks"]["items"][0]["track"]["popularity"].is_number(), "{whole}");
}

#[tokio::test]
async fn rules_hit_what_they_name() {
    let lab = Lab::new(small()).await;
    let on = |effect| Rule::new("GET", "^/v1/me/tracks", effect);
    lab.simulator.rule(on(Effect::TooManyRequests { retry_after: Some("2".into()) }).page(2));
    lab.get("/me/tracks?limit=50").await;
    assert_eq!(lab.ask(Method::GET, "/me/tracks?limit=50&offset=50", None).await.0, 429);
    lab.get("/me/tracks?limit=50&offset=50").await;
    lab.simulator.clear_rules();

    lab.simulator.rule(
        on(Effect::NullRows { at: vec![1] })
            .and(Effect::Total { by: -7 })
            .and(Effect::Next { url: "http://x/".into() }),
    );
    let page = lab.get("/me/tracks?limit=3").await;
    assert!(page["items"][0].is_object() && page["items"][1].is_null());
    assert_eq!((&page["total"], &page["next"]), (&json!(113), &json!("http://x/")));
    lab.simulator.rule(on(Effect::EchoLimit { limit: 2 }));
    let page = lab.get("/me/tracks?limit=3").await;
    assert_eq!((&page["limit"], page["items"].as_array().unwrap().len()), (&json!(2), 2));
    lab.simulator.rule(on(Effect::TokenMissing).skip(1).times(2));
    let mut found = Vec::new();
    for _ in 0..4 {
        found.push(lab.ask(Method::GET, "/me/tracks", None).await.0);
    }
    assert_eq!(found, [200, 401, 401, 200]);
}

#[tokio::test]
async fn connections_break_after_the_work_was_done() {
    let lab = Lab::new(small()).await;
    let playlist = lab.simulator.playlists("listener")[0].clone();
    let before = lab.simulator.rows(&playlist).len();
    let add = |lab: &Lab| {
        let uris = json!({"uris": [lab.simulator.saved("listener", "track")[0]]});
        let url = format!("{}/playlists/{playlist}/items", lab.simulator.api_base());
        lab.client.post(url).bearer_auth(&lab.access).json(&uris).send()
    };
    for (effect, grown) in
        [(Effect::Refuse, 0), (Effect::Drop, 1), (Effect::Truncate { bytes: 5, break_connection: true }, 2)]
    {
        lab.simulator.rule(Rule::new("POST", "/items$", effect));
        let reply = add(&lab).await;
        let read = match reply {
            Ok(reply) => reply.bytes().await.map(|_| ()),
            Err(error) => Err(error),
        };
        assert!(read.is_err());
        assert_eq!(lab.simulator.rows(&playlist).len(), before + grown);
    }
}
