//! Music and servers that others made, where `make peers` fetched them.

mod subsonic;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use reqwest::Method;
use serde_json::Value;

use crate::support::TestApp;

/// What the local provider takes for audio.
const AUDIO: [&str; 16] =
    ["mp3", "flac", "ogg", "oga", "opus", "m4a", "m4b", "mp4", "aac", "wav", "aiff", "aif", "ape", "wv", "mpc", "spx"];

/// The folder of a peer; none where it was not fetched.
fn peer(name: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("ZOTIFY_FIXTURES")?).join(name);
    assert!(folder.is_dir(), "{} was not fetched", folder.display());
    Some(folder)
}

async fn scanned(folder: &Path) -> TestApp {
    let settings =
        format!("[providers.local]\nplugin = \"local\"\nsettings = {{ folders = [\"{}\"] }}\n", folder.display());
    let host = TestApp::with(&settings).await.admin().await;
    host.until("/api/sync/runs", |runs| runs["data"][0]["state"] == "applied").await;
    host
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found
}

/// Each of the tracks is another file of the folder, also when it is read in two ranges; none of the files is left.
async fn byte_identical(host: &TestApp, folder: &Path, tracks: &[Value]) {
    let mut on_disk: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    for file in files(folder, "ogg") {
        *on_disk.entry(std::fs::read(file).unwrap()).or_default() += 1;
    }
    assert_eq!(tracks.len(), on_disk.values().sum::<usize>());
    for track in tracks {
        assert!(track["artists"][0]["name"].is_string() && track["album"]["title"].is_string(), "{track}");
        let path = format!("/api/tracks/{}/media", track["uri"].as_str().unwrap());
        let get = |range: &str| host.send(host.request(Method::GET, &path).header("range", range));
        let (mut first, second) = (get("bytes=0-99999").await, get("bytes=100000-").await);
        assert_eq!((first.status.as_u16(), second.status.as_u16()), (206, 206));
        first.bytes.extend(second.bytes);
        let left = on_disk.get_mut(&first.bytes).unwrap_or_else(|| panic!("{track} is not a file of the disk"));
        *left -= 1;
    }
    assert!(on_disk.values().all(|left| *left == 0));
}

/// A whole album collection of real Ogg Vorbis: every file is a track with artist and title, and its bytes arrive as
/// they are, also in two ranges.
#[tokio::test]
async fn singularity_music_is_served_byte_identical() {
    let Some(folder) = peer("singularity-music") else { return };
    let host = scanned(&folder).await;
    let tracks = host.get("/api/library/tracks?limit=200").await.expect(200);
    byte_identical(&host, &folder, tracks["data"].as_array().unwrap()).await;
}

/// Odd and damaged files: nothing panics, every skip is named with its reason, the rest is in the library.
#[tokio::test]
async fn odd_files_are_read_or_named() {
    for name in ["mutagen", "beets"] {
        let Some(folder) = peer(name) else { return };
        let audio: usize = AUDIO.iter().map(|extension| files(&folder, extension).len()).sum();
        let host = scanned(&folder).await;
        let tracks = host.get("/api/library/tracks?limit=200").await.expect(200)["data"].as_array().unwrap().len();
        let runs = host.get("/api/sync/runs").await.expect(200);
        let run = host.get(&format!("/api/sync/runs/{}", runs["data"][0]["id"].as_str().unwrap())).await.expect(200);
        let skipped = run["skipped"].as_array().unwrap();
        let named = |s: &Value| s["name"].as_str().is_some_and(|n| !n.is_empty()) && s["code"].is_string();
        assert!(skipped.iter().all(named), "{skipped:#?}");
        assert_eq!(tracks + skipped.len(), audio, "{name}: every file is a track or named: {skipped:#?}");
        let provider = host.get("/api/providers/local").await.expect(200);
        assert_eq!((&provider["state"], &provider["restarts"]), (&"started".into(), &0.into()), "{provider:#}");
    }
}
