//! Spotify's plugin: its file, its process, and the reading of a large library from the simulator.

use std::time::{Duration, Instant};

use spotify_simulator::{Options, Simulator};
use tokio::runtime::Runtime;

use crate::{
    http::request,
    process::{Host, cpu, memory, plugin},
    report::{Goal, Report},
};

const TRACKS: usize = 10_000;
/// How long starting the plugin, and reading the library, may take.
const PATIENCE: Duration = Duration::from_secs(120);

pub fn rows(report: &mut Report) {
    #[expect(clippy::cast_precision_loss, reason = "files are small")]
    let size = std::fs::metadata(plugin("zotify_plugin_spotify")).expect("the plugin").len() as f64 / 1e6;
    report.row("Spotify's plugin: size of its file", size, "MB", Goal::None);

    let runtime = Runtime::new().expect("a runtime");
    let quiet =
        Options { tracks: TRACKS, albums: 0, artists: 0, shows: 0, episodes: 0, playlists: 0, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(quiet)).expect("the simulator");
    let host = Host::start(&section(&simulator));
    let token = host.sign_in();
    let started = |answer: &serde_json::Value| answer["state"] == "started";
    until(&host, &token, "/api/providers/spotify", started);
    let child = &host.process.family()[1..];
    report.row("Spotify's plugin: memory of its process, idle (PSS)", memory(child), "MB", Goal::None);

    let before = cpu(child);
    let begun = Instant::now();
    connect(&host, &token, &simulator);
    let applied = |answer: &serde_json::Value| answer["data"][0]["state"] == "applied";
    until(&host, &token, "/api/sync/runs", applied);
    let took = begun.elapsed().as_secs_f64();
    // The check and what was played last are jobs of their own.
    let others = ["/v1/me", "/v1/me/player/recently-played"];
    let of_the_pull = |path: &str| path.starts_with("/v1/") && !others.contains(&path);
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    let calls = simulator.requests().iter().filter(|entry| of_the_pull(&entry.path)).count() as f64;
    report.row("10,000 saved tracks: requests to the service", calls, "", Goal::AtMost(205.0));
    report.row("10,000 saved tracks: connecting until all is stored", took, "s", Goal::None);
    report.row("10,000 saved tracks: CPU of the plugin's process", cpu(child) - before, "s", Goal::None);
    report.row("Spotify's plugin: memory after that (PSS)", memory(child), "MB", Goal::None);
}

fn section(simulator: &Simulator) -> String {
    format!(
        "[providers.spotify]\nplugin = \"spotify\"\n\
         settings = {{ client_id = \"bench\", accounts_base = \"{}\", api_base = \"{}\" }}\n\
         [providers.spotify.budget]\nwindow_requests = 0\ndaily_requests = 0\n",
        simulator.accounts_base(),
        simulator.api_base()
    )
}

/// Connects an account as a person does in a browser.
fn connect(host: &Host, token: &str, simulator: &Simulator) {
    let flow = request(&host.address, "POST", "/api/accounts/flows", token, r#"{"provider": "spotify"}"#);
    let page = flow["step"]["url"].as_str().expect("the service's page");
    let back = simulator.agree(page, &simulator.users()[0]).expect("agreed");
    let path = format!("/api/accounts/flows/{}", flow["id"].as_str().expect("an id"));
    let flow = request(&host.address, "POST", &path, token, &serde_json::json!({"url": back}).to_string());
    assert_eq!(flow["state"], "done", "{flow}");
}

/// Asks until the answer is the wanted one.
fn until(host: &Host, token: &str, path: &str, wanted: impl Fn(&serde_json::Value) -> bool) {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = request(&host.address, "GET", path, token, "");
        if wanted(&answer) {
            return;
        }
        assert!(Instant::now() < end, "{path}: {answer}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
