//! Signing in at accounts services that others wrote, and answers that a machine made of the contract, where `make peers`
//! fetched them.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Client, header::LOCATION};
use url::Url;

use super::*;
use crate::{crash::free_port, support::PATIENCE};

/// A program that is stopped when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The folder of a peer; none where peers are not asked for.
fn peer(name: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("ZOTIFY_FIXTURES")?).join(name);
    assert!(folder.is_dir(), "{} was not fetched", folder.display());
    Some(folder)
}

fn client() -> Client {
    Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

async fn answers(url: &str) {
    let (client, started) = (client(), Instant::now());
    while client.get(url).send().await.is_err() {
        assert!(started.elapsed() < PATIENCE * 2, "{url} does not answer");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A host whose accounts service is a peer, and the peer's log.
struct Peers {
    lab: Lab,
    accounts: String,
    redirect: String,
    log: tempfile::NamedTempFile,
    _peer: Running,
}

impl Peers {
    async fn new(kind: &str) -> Option<Self> {
        let folder = peer(kind)?;
        let port = free_port();
        let accounts = format!("http://127.0.0.1:{port}");
        let simulator = Held::unjudged(Options { any_token: true, ..small() }).await;
        let plugins = Bench::new().with("zotify_plugin_spotify");
        let config = configuration(&plugins, &simulator, "").replace(&simulator.accounts_base(), &accounts);
        let config = config.replace(&format!("{accounts}/v1"), &simulator.api_base()).replace("\"tests\"", "\"peer\"");
        let host = TestApp::with(&config).await.admin().await;
        let lab = Lab { host, simulator, plugins, account: String::new() };
        lab.started().await;

        // Where the browser comes back to is registered at the service before.
        let flow = lab.host.post("/api/accounts/flows", &json!({"provider": "spotify"})).await.expect(201);
        let redirect = text(&flow["step"], "redirect").to_owned();
        let log = tempfile::NamedTempFile::new().unwrap();
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../.ci/accounts-peer.mjs");
        let mut command = Command::new("node");
        command.arg(script).arg(kind).arg(folder).arg(port.to_string()).arg(&redirect);
        let child = command.stdout(log.reopen().unwrap()).stderr(Stdio::null()).spawn().unwrap();
        let peer = Running(child);
        answers(&accounts).await;
        Some(Self { lab, accounts, redirect, log, _peer: peer })
    }

    /// Starts a flow; its id and the address of the service's page.
    async fn begin(&self) -> (String, String) {
        let flow = self.lab.host.post("/api/accounts/flows", &json!({"provider": "spotify"})).await.expect(201);
        (text(&flow, "id").to_owned(), text(&flow["step"], "url").to_owned())
    }

    async fn finish(&self, flow: &str, back: &str) -> Value {
        self.lab.host.post(&format!("/api/accounts/flows/{flow}"), &json!({"url": back})).await.expect(200)
    }

    /// How many times the token endpoint said this.
    fn told(&self, line: &str) -> usize {
        std::fs::read_to_string(self.log.path()).unwrap().lines().filter(|told| *told == line).count()
    }

    /// What a browser and its user do: follow, sign in, agree, until the service sends them back.
    async fn browse(&self, url: &str) -> String {
        let client = client();
        let mut cookies: std::collections::BTreeMap<String, String> = Default::default();
        let mut request = client.get(url);
        for _ in 0..12 {
            let header = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
            let reply = request.header("cookie", header).send().await.unwrap();
            for cookie in reply.headers().get_all("set-cookie") {
                let pair = cookie.to_str().unwrap().split(';').next().unwrap();
                let (name, value) = pair.split_once('=').unwrap();
                cookies.insert(name.into(), value.into());
            }
            if let Some(location) = reply.headers().get(LOCATION) {
                let next = Url::parse(&self.accounts).unwrap().join(location.to_str().unwrap()).unwrap();
                if next.as_str().starts_with(&self.redirect) {
                    return next.into();
                }
                request = client.get(next);
                continue;
            }
            let action = reply.url().clone();
            let page = reply.text().await.unwrap();
            let prompt = if page.contains("value=\"login\"") { "login" } else { "consent" };
            assert!(page.contains(&format!("value=\"{prompt}\"")), "{page}");
            request = client.post(action).form(&[("prompt", prompt), ("login", "listener"), ("password", "any")]);
        }
        panic!("the service does not come to an end");
    }
}

#[tokio::test]
async fn signs_in_at_peers_and_refreshes() {
    for kind in ["oauth2-mock-server", "oidc-provider"] {
        let Some(mut peers) = Peers::new(kind).await else { return };
        let (flow, url) = peers.begin().await;
        let back = peers.browse(&url).await;
        let flow = peers.finish(&flow, &back).await;
        assert_eq!(flow["state"], "done", "{kind}: {flow:#}");
        assert_eq!(peers.told("authorization_code 200"), 1, "{kind}");
        peers.lab.account = text(&flow["step"], "account").to_owned();
        peers.lab.calm().await;
        assert_eq!(peers.lab.library("tracks").await, peers.lab.saved("track"), "{kind}");
        // The token was about to expire all along.
        let before = peers.told("refresh_token 200");
        assert!(before > 0, "{kind}");
        for n in 1..=2 {
            assert_eq!(peers.lab.check().await.expect(200)["state"], "ok", "{kind}");
            assert!(peers.told("refresh_token 200") >= before + n, "{kind}");
        }
        assert_eq!(peers.told("refresh_token 400"), 0, "{kind}: a used refresh token was sent");
    }
}

#[tokio::test]
async fn peers_refuse_what_is_not_theirs() {
    for kind in ["oauth2-mock-server", "oidc-provider"] {
        let Some(peers) = Peers::new(kind).await else { return };
        // The code of one flow with the verifier of another.
        let ((first, first_url), (_, second_url)) = (peers.begin().await, peers.begin().await);
        let (back, other) = (peers.browse(&first_url).await, peers.browse(&second_url).await);
        let code =
            |back: &str| Url::parse(back).unwrap().query_pairs().find(|(k, _)| k == "code").unwrap().1.into_owned();
        let flow = peers.finish(&first, &back.replace(&code(&back), &code(&other))).await;
        assert_ne!(flow["state"], "done", "{kind}: {flow:#}");
        assert!(flow["problem"]["code"].is_string(), "{kind}: {flow:#}");
        assert_eq!(peers.told("authorization_code 200"), 0, "{kind}");
    }
}

/// Everything that the plugin asks for and is answered, held to the published contract in both directions. The simulator
/// has the shape that the document describes.
#[tokio::test]
async fn a_tour_keeps_to_the_contract() {
    let Some(folder) = peer("prism") else { return };
    let document = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/spotify-simulator/openapi.yml");
    let simulator = Held::unjudged(Options { legacy: true, tame: true, users: 1, ..small() }).await;
    let port = free_port();
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new(folder.join("node_modules/.bin/prism"));
    command.args(["proxy", "--errors", "-h", "127.0.0.1", "-p"]).arg(port.to_string()).arg(document);
    command.arg(simulator.api_base()).stdout(log.reopen().unwrap()).stderr(Stdio::null());
    let _prism = Running(command.spawn().unwrap());
    answers(&format!("http://127.0.0.1:{port}/me")).await;
    let plugins = Bench::new().with("zotify_plugin_spotify");
    let config = configuration(&plugins, &simulator, "");
    let host = TestApp::with(&config.replace(&simulator.api_base(), &format!("http://127.0.0.1:{port}"))).await;
    let mut lab = Lab { host: host.admin().await, simulator, plugins, account: String::new() };
    lab.started().await;
    lab.account = lab.connect(USER).await;
    lab.calm().await;
    assert_eq!(lab.last_run().await["completeness"], "complete");

    let [track, album, artist, show] =
        ["track", "album", "artist", "show"].map(|kind| lab.simulator.saved(USER, kind)[0].clone());
    let other = lab.simulator.unsaved_track(USER).unwrap();
    for path in [
        format!("/api/items/{other}"),
        format!("/api/albums/{album}/tracks"),
        format!("/api/artists/{artist}/albums"),
        format!("/api/shows/{show}/episodes"),
        "/api/search?q=ri&scope=catalog".to_owned(),
    ] {
        lab.host.get(&path).await.expect(200);
    }
    let answer = lab.host.patch("/api/library", &json!({"add": [other], "remove": [track]})).await.expect(200);
    assert!(answer["data"].as_array().unwrap().iter().all(|row| row["status"] != "failed"), "{answer:#}");
    let body = json!({"name": "Made here", "description": "words", "public": false, "account": lab.account});
    let made = lab.host.post("/api/playlists", &body).await.expect(201);
    let path = format!("/api/playlists/{}", text(&made, "uri"));
    let added = lab.host.post(&format!("{path}/items"), &json!({"uris": [track, other, track]})).await;
    assert!(added.status.is_success(), "{}", added.text());
    let rows = lab.entries(text(&made, "uri").rsplit(':').next().unwrap()).await;
    let gone = lab.host.delete(&format!("{path}/items/{}", text(&rows[1], "entry_id"))).await;
    assert!(gone.status.is_success(), "{}", gone.text());
    let put = lab.host.request(Method::PUT, &format!("{path}/image")).header("content-type", "image/jpeg");
    let put = lab.host.send(put.body(b"\xff\xd8\xff\xe0\x00\x10JFIF\x00".to_vec())).await;
    assert!(put.status.is_success(), "{}", put.text());
    lab.host.patch(&path, &json!({"name": "Other", "description": "other words"})).await.expect(200);
    assert!(lab.host.delete(&path).await.status.is_success());

    let told = std::fs::read_to_string(log.path()).unwrap();
    let violations: Vec<_> = told.lines().filter(|line| line.to_lowercase().contains("violation")).collect();
    assert!(violations.is_empty(), "{violations:#?}");
    // What the judge refused never arrived, or arrived and was not passed on as it was.
    assert!(lab.simulator.requests().iter().all(|entry| entry.status < 400), "{:#?}", lab.simulator.requests());
    assert!(lab.simulator.api_calls() > 25, "{}", lab.simulator.api_calls());
}

/// What a machine makes of the contract is read without a fault: no panic, no answer 500, the plugin goes on.
#[tokio::test]
async fn made_up_answers_break_nothing() {
    let Some(folder) = peer("prism") else { return };
    let document = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/spotify-simulator/openapi.yml");
    for seed in ["1", "2", "3", "4", "5"] {
        let port = free_port();
        let mut command = Command::new(folder.join("node_modules/.bin/prism"));
        command.args(["mock", "-d", "--seed", seed, "--json-schema-faker-fillProperties", "false", "-h", "127.0.0.1"]);
        command.arg("-p").arg(port.to_string()).arg(&document).stdout(Stdio::null()).stderr(Stdio::null());
        let _prism = Running(command.spawn().unwrap());
        answers(&format!("http://127.0.0.1:{port}/me")).await;
        let simulator = Held::unjudged(small()).await;
        let plugins = Bench::new().with("zotify_plugin_spotify");
        let config = configuration(&plugins, &simulator, "");
        let config = config.replace(&simulator.api_base(), &format!("http://127.0.0.1:{port}"));
        let host = TestApp::with(&config).await.admin().await;
        let lab = Lab { host, simulator, plugins, account: String::new() };
        lab.started().await;
        // A profile that was made up may have no id, which ends the flow with a reason.
        let flow = lab.flow(USER).await;
        assert!(["done", "failed"].contains(&text(&flow, "state")), "{flow:#}");
        for path in ["/api/search?q=x&scope=catalog", "/api/items/spotify:track:4uLU6hMCjMI75M1A2tKUQC"] {
            let reply = lab.host.get(path).await;
            assert_ne!(reply.status.as_u16(), 500, "seed {seed}, {path}: {}", reply.text());
        }
        let jobs = lab.host.get("/api/jobs?limit=50").await.expect(200);
        let panics = |job: &Value| job["error"]["code"].as_str().is_some_and(|code| code.contains("panic"));
        assert!(!jobs["data"].as_array().unwrap().iter().any(panics), "seed {seed}: {jobs:#}");
        let provider = lab.host.get("/api/providers/spotify").await.expect(200);
        assert_eq!(
            (&provider["state"], &provider["restarts"]),
            (&json!("started"), &json!(0)),
            "seed {seed}: {provider:#}"
        );
    }
}
