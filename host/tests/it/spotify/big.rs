//! Ten thousand tracks.

use std::{process::Stdio, time::Instant};

use spotify_simulator::RefreshToken;

use super::*;
use crate::{
    crash::{Host, free_port, run},
    support::{PATIENCE, offer, plugin},
};

const TRACKS: usize = 10_000;

/// A pull takes few calls, says before how many, and survives a 429 on page 37 and being killed.
#[tokio::test]
async fn ten_thousand_tracks_survive_a_429_and_a_kill() {
    let options = Options {
        tracks: TRACKS,
        albums: 40,
        shows: 10,
        episodes: 40,
        artists: 40,
        playlists: 0,
        refresh_token: RefreshToken::Rotate,
        ..Options::default()
    };
    let simulator = Held::start(options).await;
    let dir = tempfile::tempdir().unwrap();
    offer(&plugin("zotify_plugin_spotify"), &dir.path().join("plugins"));
    let port = free_port();
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:{port}\"\n[providers.spotify]\nplugin = \"spotify\"\n{PERMISSIONS}\nsettings = {{ client_id = \"tests\", \
         accounts_base = \"{}\", api_base = \"{}\" }}\n[providers.spotify.budget]\nwindow_requests = 0\ndaily_requests = 0\n",
        simulator.accounts_base(),
        simulator.api_base()
    );
    std::fs::write(dir.path().join("zotify.toml"), config).unwrap();
    run(dir.path(), &["user", "create", "tester", "--admin", "--password-stdin"], "a long enough password\n");
    let refused = Effect::TooManyRequests { retry_after: Some("1".into()) };
    simulator.rule(Rule::new("GET", "^/v1/me/tracks", refused).page(37));
    // Slow enough that the kill comes in the middle.
    simulator.rule(Rule::new("GET", "^/v1/me/tracks", Effect::Latency { ms: 20 }).times(0));

    let quiet = |command: &mut std::process::Command| _ = command.stderr(Stdio::null());
    let mut host = Host::start_with(dir.path(), port, quiet).await;
    host.until("/api/providers/spotify", |provider| provider["state"] == "started").await;
    let flow = host.post("/api/accounts/flows", &json!({"provider": "spotify"})).await;
    let back = simulator.agree(text(&flow["step"], "url"), USER).unwrap();
    let flow = host.post(&format!("/api/accounts/flows/{}", text(&flow, "id")), &json!({"url": back})).await;
    assert_eq!(flow["state"], "done", "{flow:#}");

    let forecast = |runs: &Value| runs["data"][0]["id"].is_string();
    let runs = host.until("/api/sync/runs", forecast).await;
    let path = format!("/api/sync/runs/{}", text(&runs["data"][0], "id"));
    let run = host.until(&path, |run| run["forecast"]["requests"].is_number()).await;
    assert_eq!(run["state"], "running", "the forecast comes before the end: {run:#}");
    let forecast = run["forecast"]["requests"].as_u64().unwrap();
    let items = run["forecast"]["items"].as_u64().unwrap();
    assert!((TRACKS as u64..TRACKS as u64 + 200).contains(&items), "{run:#}");

    let started = Instant::now();
    while simulator.count("GET /me/tracks") < 80 {
        assert!(started.elapsed() < PATIENCE * 2, "{:#}", host.get("/api/jobs").await);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    host.kill();
    let at_kill = simulator.count("GET /me/tracks");
    assert!((80..200).contains(&at_kill), "{at_kill}");

    let host = Host::start_with(dir.path(), port, quiet).await;
    host.pull(|job| job["state"] == "succeeded").await;
    let run = host.until("/api/sync/runs", |runs| runs["data"][0]["state"] == "applied").await;
    assert_eq!(run["data"][0]["completeness"], "complete", "{run:#}");
    let stats = host.get("/api/library/stats").await;
    assert_eq!(stats["totals"]["tracks"], TRACKS, "{stats:#}");

    // The check and what was played last are jobs of their own.
    let others = ["/v1/me", "/v1/me/player/recently-played"];
    let of_the_pull = |path: &str| path.starts_with("/v1/") && !others.contains(&path);
    let calls = simulator.requests().iter().filter(|entry| of_the_pull(&entry.path)).count();
    // The refused page and what was on its way when the host died are asked for twice.
    assert!(calls <= 205 + 2, "{calls} calls: {:#?}", counts(&simulator));
    assert!(calls as u64 <= forecast + 8 && forecast <= 205, "forecast {forecast}, made {calls}");

    // Likes and plays are read after the library.
    let calm = |jobs: &Value| jobs["data"].as_array().unwrap().iter().all(|job| job["state"] == "succeeded");
    host.until("/api/jobs", calm).await;
    let mut held = Vec::new();
    let mut path = "/api/library/tracks?limit=200".to_owned();
    simulator.forget_requests();
    loop {
        let page = host.get(&path).await;
        held.extend(page["data"].as_array().unwrap().iter().map(|row| text(row, "uri").to_owned()));
        let Some(cursor) = page["meta"]["next_cursor"].as_str() else { break };
        path = format!("/api/library/tracks?limit=200&cursor={cursor}");
    }
    let mut saved = simulator.saved(USER, "track");
    held.sort();
    saved.sort();
    assert!(held == saved, "no row is lost, none is there twice");
    assert_eq!(simulator.api_calls(), 0, "reads ask nobody");
}

fn counts(simulator: &Simulator) -> std::collections::BTreeMap<String, usize> {
    let mut counts = std::collections::BTreeMap::new();
    for entry in simulator.requests() {
        *counts.entry(entry.operation.unwrap_or(entry.path)).or_default() += 1;
    }
    counts
}
