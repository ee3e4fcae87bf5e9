//! Reading libraries anew, what waits for confirmation, and the corners of catalogue requests.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{TestApp, demo_library};

const FILES: usize = 40;

/// A folder with copies of one song.
fn copies() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let song = demo_library().into_iter().find(|file| file.extension().is_some_and(|e| e == "flac")).unwrap();
    for n in 0..FILES {
        std::fs::copy(&song, dir.path().join(format!("{n:02}.flac"))).unwrap();
    }
    dir
}

async fn scanned(music: &Path) -> TestApp {
    let settings = format!("{{ folders = [\"{}\"], watch = false }}", music.display());
    let host =
        TestApp::with(&format!("[providers.local]\nplugin = \"local\"\nsettings = {settings}\n")).await.admin().await;
    host.until("/api/library/stats", |stats| stats["totals"]["tracks"] == FILES).await;
    host.until("/api/sync/runs", |runs| runs["data"][0]["state"] == "applied").await;
    host
}

async fn sync(host: &TestApp) -> Value {
    let runs = host.get("/api/sync/runs").await.expect(200)["data"].as_array().unwrap().len();
    let started = host.post("/api/sync", &json!({})).await.expect(202);
    assert_eq!(started["data"][0]["provider"], "local");
    assert!(started["data"][0]["job_id"].is_string());
    let ended = |page: &Value| page["data"].as_array().unwrap().len() > runs && page["data"][0]["state"] != "running";
    host.until("/api/sync/runs", ended).await["data"][0].clone()
}

#[tokio::test]
async fn a_large_removal_waits_for_an_admin() {
    let music = copies();
    let mut host = scanned(music.path()).await;
    for n in 10..FILES {
        std::fs::remove_file(music.path().join(format!("{n:02}.flac"))).unwrap();
    }
    let run = sync(&host).await;
    assert_eq!((&run["state"], &run["counts"]["removed"]), (&json!("held"), &json!(0)), "{run:#}");
    let path = format!("/api/sync/runs/{}", run["id"].as_str().unwrap());
    let detail = host.get(&path).await.expect(200);
    assert_eq!(detail["plan"]["kinds"]["track"], 30, "{detail:#}");
    let stats = host.get("/api/library/stats").await.expect(200);
    assert_eq!((&stats["totals"]["tracks"], &stats["totals"]["missing"]), (&json!(FILES), &json!(30)));
    let missing = host.get("/api/library/tracks?missing=true&limit=200").await.expect(200);
    assert_eq!(missing["data"].as_array().unwrap().len(), 30);

    host.become_user("listener").await;
    host.post(&format!("{path}/apply"), &json!({})).await.expect_problem(403, "admin_required");
    let host = host.sign_in_again().await;
    let applied = host.post(&format!("{path}/apply"), &json!({})).await.expect(200);
    assert_eq!((&applied["state"], &applied["counts"]["removed"]), (&json!("applied"), &json!(30)));
    assert_eq!(host.get("/api/library/stats").await.expect(200)["totals"]["tracks"], 10);
    host.post(&format!("{path}/apply"), &json!({})).await.expect_problem(409, "run_not_held");
    // A later run neither brings them back nor asks again.
    let next = sync(&host).await;
    assert_eq!((&next["state"], &next["counts"]["removed"]), (&json!("applied"), &json!(0)));
}

#[tokio::test]
async fn bad_requests_are_told_apart() {
    let music = copies();
    let host = scanned(music.path()).await;
    for (path, status, code) in [
        ("/api/library/songs", 404, "unknown_kind"),
        ("/api/library/tracks?providers=nobody", 400, "invalid_query"),
        ("/api/library/tracks?account=nobody", 404, "account_not_found"),
        ("/api/library/tracks?album=local:track:1", 400, "invalid_query"),
        ("/api/library/tracks?album=x", 400, "invalid_uri"),
        ("/api/library/tracks?year_from=x", 400, "invalid_query"),
        ("/api/library/tracks?q=%20-%2D%21", 400, "invalid_query"),
        ("/api/search?q=x&scope=everywhere", 400, "invalid_query"),
        ("/api/search?q=x&cursor=AAAA", 400, "invalid_cursor"),
        ("/api/sync/runs/nonsense", 404, "run_not_found"),
        ("/api/sync/runs?state=odd", 400, "invalid_query"),
        ("/api/playlists/local:playlist:none", 404, "item_not_found"),
        ("/api/playlists/local:playlist:none/items", 404, "item_not_found"),
        ("/api/playlists/local:track:none/items", 404, "wrong_kind"),
        ("/api/artists/local:artist:none/albums", 404, "item_not_found"),
        ("/api/tracks/local:album:x/media", 404, "wrong_kind"),
        ("/api/tracks/nobody:track:x/media", 404, "item_not_found"),
        ("/api/tracks/local:track:none/media?format=../x", 400, "invalid_query"),
    ] {
        let reply = host.get(path).await;
        assert_eq!(reply.status.as_u16(), status, "{path}: {}", reply.text());
        reply.expect_problem(status, code);
    }
    // A symbol is a word.
    host.get("/api/library/tracks?q=%E2%98%85").await.expect(200);
    let push = json!({"direction": "two-way"});
    host.post("/api/sync", &push).await.expect_problem(422, "unsupported");
    host.post("/api/sync", &json!({"accounts": ["x"]})).await.expect_problem(404, "account_not_found");
    host.post("/api/sync", &json!({"account": "x"})).await.expect_problem(422, "invalid_body");
    host.post("/api/library/contains", &json!({"uris": []})).await.expect_problem(422, "validation_failed");
    let tracks = host.get("/api/library/tracks?limit=1").await.expect(200);
    let uri = tracks["data"][0]["uri"].as_str().unwrap();
    let link = format!("/api/tracks/{uri}/media-url");
    host.post(&link, &json!({"expires_in_s": 1})).await.expect_problem(422, "validation_failed");
}

#[tokio::test]
async fn a_catalogue_search_asks_libraries_that_have_no_catalogue() {
    let music = copies();
    let host = scanned(music.path()).await;
    let (mut uris, mut cursor) = (std::collections::BTreeSet::new(), String::new());
    loop {
        let url = format!("/api/search?scope=catalog&kinds=track&limit=15&q=%CE%B1%CF%85%CE%B3%CE%B7{cursor}");
        let page = host.get(&url).await.expect(200);
        for row in page["data"].as_array().unwrap() {
            assert!(uris.insert(row["uri"].as_str().unwrap().to_owned()), "an item stands on one page only");
        }
        match page["meta"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(uris.len(), FILES);
}

#[tokio::test]
async fn a_file_that_vanished_is_not_found_and_one_that_left_the_folder_is_not_served() {
    let music = copies();
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret.flac");
    std::fs::copy(music.path().join("00.flac"), &secret).unwrap();
    let host = scanned(music.path()).await;
    let tracks = host.get("/api/library/tracks?limit=200").await.expect(200);
    let mut statuses = Vec::new();
    for n in 0..FILES {
        std::fs::remove_file(music.path().join(format!("{n:02}.flac"))).unwrap();
        if n % 2 == 0 {
            std::os::unix::fs::symlink(&secret, music.path().join(format!("{n:02}.flac"))).unwrap();
        }
    }
    for track in tracks["data"].as_array().unwrap() {
        let path = format!("/api/tracks/{}/media", track["uri"].as_str().unwrap());
        let reply = host.send(host.request(Method::GET, &path)).await;
        assert!(!reply.status.is_success(), "{}", reply.status);
        statuses.push(reply.status.as_u16());
    }
    assert!(statuses.iter().all(|status| [404, 502].contains(status)), "{statuses:?}");
}
