//! A real music library, from files on the disk to bytes over HTTP.

use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{TestApp, demo_folder};

/// A copy of the demo library that a test may change.
pub fn music() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy(&demo_folder(), dir.path());
    dir
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

fn configuration(music: &Path, isolation: &str) -> String {
    let folder = music.display();
    format!(
        "[providers.local]\nplugin = \"local\"\nisolation = \"{isolation}\"\nsettings = {{ folders = [\"{folder}\"] }}\n"
    )
}

/// A signed-in host that has scanned a library.
pub async fn scanned(music: &Path) -> TestApp {
    let host = TestApp::with(&configuration(music, "process")).await.admin().await;
    host.until("/api/providers/local", |provider| provider["state"] == "started").await;
    host.until("/api/sync/runs", |runs| runs["data"][0]["state"] == "applied").await;
    host
}

pub async fn all(host: &TestApp, kind: &str) -> Vec<Value> {
    host.get(&format!("/api/library/{kind}?limit=200")).await.expect(200)["data"].as_array().unwrap().clone()
}

async fn track(host: &TestApp, title: &str) -> Value {
    all(host, "tracks").await.into_iter().find(|t| t["title"] == title).unwrap_or_else(|| panic!("no {title}"))
}

pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value:#}"))
}

fn titles(page: &Value, key: &str) -> Vec<String> {
    page["data"].as_array().unwrap().iter().map(|row| text(row, key).to_owned()).collect()
}

/// The file that the demo library has for a title.
fn file(music: &Path, name: &str) -> PathBuf {
    let mut folders = vec![music.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.to_string_lossy().contains(name) => return path,
                false => {}
            }
        }
    }
    panic!("no file {name}")
}

#[tokio::test]
async fn tags_arrive_as_they_are() {
    let music = music();
    let host = scanned(music.path()).await;
    assert_eq!(all(&host, "tracks").await.len(), 10);
    let mut albums: Vec<_> = all(&host, "albums").await.iter().map(|a| text(a, "title").to_owned()).collect();
    albums.sort();
    assert_eq!(albums, ["Test Tones, Volume 1", "Κύματα", "正弦波の夜"]);

    let night = track(&host, "Νύχτα").await;
    assert_eq!(night["kind"], "track");
    assert_eq!(night["provider"], "local");
    let artists: Vec<_> = night["artists"].as_array().unwrap().iter().map(|a| text(a, "name")).collect();
    assert_eq!(artists, ["Ελένη Ταλάντωση", "波形楽団"]);
    assert_eq!((night["album"]["title"].as_str(), night["track_number"].as_u64()), (Some("Κύματα"), Some(3)));
    assert_eq!(night["release_date"], "2024-03-21");
    assert!((2_300..2_600).contains(&night["duration_ms"].as_u64().unwrap()), "{night}");

    let dawn = track(&host, "Αυγή").await;
    assert!(text(&dawn, "isrc").starts_with("XXZTF26"));
    assert_eq!(text(&dawn, "mbid").len(), 36);
    assert!(dawn["replay_gain"]["track"]["gain_db"].is_number(), "{dawn}");
    let slash = track(&host, "Resistance Is Useful").await;
    assert_eq!(slash["artists"][0]["name"], "AC/Ohm");
    let rain = track(&host, "雨のフーリエ変換").await;
    assert_eq!((rain["disc_number"].as_u64(), rain["track_number"].as_u64()), (Some(2), Some(1)));
}

#[tokio::test]
async fn in_process_serves_the_same_library() {
    let music = music();
    let isolated = scanned(music.path()).await;
    let trusting = TestApp::with(&configuration(music.path(), "in-process")).await.admin().await;
    trusting.until("/api/sync/runs", |runs| runs["data"][0]["state"] == "applied").await;
    let without_times = |mut tracks: Vec<Value>| {
        for track in &mut tracks {
            track.as_object_mut().unwrap().remove("added_at");
        }
        tracks
    };
    assert_eq!(without_times(all(&isolated, "tracks").await), without_times(all(&trusting, "tracks").await));
}

#[tokio::test]
async fn search_finds_words_without_accents_and_by_their_start() {
    let music = music();
    let host = scanned(music.path()).await;
    for (query, title) in [
        ("νυχτα", "Νύχτα"),
        ("NÚXTA", ""),
        ("フーリエ", "雨のフーリエ変換"),
        ("oscil", "Duet for Two Oscillators"),
        ("bjork", "Sawtooth Serenade"),
    ] {
        let url = format!(
            "/api/search?kinds=track&q={}",
            percent_encoding::utf8_percent_encode(query, percent_encoding::NON_ALPHANUMERIC)
        );
        let found = host.get(&url).await.expect(200);
        match title {
            "" => assert_eq!(found["data"], json!([]), "{query}"),
            title => assert!(titles(&found, "title").contains(&title.to_owned()), "{query}: {found:#}"),
        }
        assert_eq!(found["meta"]["providers"]["local"]["state"], "ok");
    }
    host.get("/api/search").await.expect_problem(400, "invalid_query");
    host.get("/api/search?q=%20").await.expect_problem(400, "invalid_query");
    host.get("/api/search?q=x&kinds=song").await.expect_problem(400, "invalid_query");
    for hostile in ["%22", "*", "a%20AND", "NEAR(", "-x", "%27%3B--", "%00", "%5C"] {
        let reply = host.get(&format!("/api/search?q={hostile}")).await;
        assert!([200, 400].contains(&reply.status.as_u16()), "{hostile}: {}", reply.text());
    }
}

#[tokio::test]
async fn albums_list_their_tracks_in_order_over_discs() {
    let music = music();
    let host = scanned(music.path()).await;
    let albums = all(&host, "albums").await;
    let album = albums.iter().find(|a| a["title"] == "正弦波の夜").unwrap();
    let uri = text(album, "uri");
    let tracks = host.get(&format!("/api/albums/{uri}/tracks")).await.expect(200);
    assert_eq!(titles(&tracks, "title"), ["夜明け前", "🌊 Sweep 🌊", "雨のフーリエ変換", "おやすみ"]);
    let artist = text(&album["artists"][0], "uri");
    let of_artist = host.get(&format!("/api/artists/{artist}/albums")).await.expect(200);
    assert!(titles(&of_artist, "title").contains(&"正弦波の夜".to_owned()));

    assert_eq!(host.get(&format!("/api/items/{uri}")).await.expect(200)["uri"], uri);
    assert_eq!(host.get(&format!("/api/albums/{uri}")).await.expect(200)["title"], "正弦波の夜");
    host.get(&format!("/api/tracks/{uri}")).await.expect_problem(404, "wrong_kind");
    host.get("/api/albums/local:album:none").await.expect_problem(404, "item_not_found");
    host.get("/api/albums/nobody:album:none").await.expect_problem(404, "item_not_found");
    host.get("/api/items/nonsense").await.expect_problem(400, "invalid_uri");
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_double() {
    let music = music();
    let host = scanned(music.path()).await;
    for sort in ["title", "-title", "artist", "-added_at", "release_date"] {
        let whole = host.get(&format!("/api/library/tracks?sort={sort}")).await.expect(200);
        let (mut rows, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = host.get(&format!("/api/library/tracks?limit=3&sort={sort}{cursor}")).await.expect(200);
            rows.extend(page["data"].as_array().unwrap().clone());
            match page["meta"]["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(Value::Array(rows), whole["data"], "{sort}");
    }
    host.get("/api/library/tracks?sort=nonsense").await.expect_problem(400, "invalid_query");
    host.get("/api/library/tracks?cursor=nonsense").await.expect_problem(400, "invalid_cursor");
    host.get("/api/library/tracks?limit=0").await.expect_problem(400, "invalid_limit");
    host.get("/api/library/tracks?limit=201").await.expect_problem(400, "invalid_limit");
    let other = host.get("/api/library/tracks?limit=3&sort=title").await.expect(200);
    let cursor = text(&other["meta"], "next_cursor");
    host.get(&format!("/api/library/tracks?sort=artist&cursor={cursor}")).await.expect_problem(400, "invalid_cursor");
}

#[tokio::test]
async fn audio_is_byte_identical_whole_and_in_ranges() {
    let music = music();
    let host = scanned(music.path()).await;
    let bytes = std::fs::read(file(music.path(), "Αυγή")).unwrap();
    let path = format!("/api/tracks/{}/media", text(&track(&host, "Αυγή").await, "uri"));

    let whole = host.get(&path).await;
    assert_eq!((whole.status.as_u16(), &whole.bytes), (200, &bytes));
    assert_eq!((whole.header("content-type"), whole.header("accept-ranges")), ("audio/flac", "bytes"));
    assert_eq!(whole.header("x-content-type-options"), "nosniff");
    let etag = whole.header("etag").to_owned();
    assert!(etag.starts_with('"'), "{etag}");

    let head = host.send(host.request(Method::HEAD, &path)).await;
    assert_eq!((head.status.as_u16(), head.bytes.len()), (200, 0));
    assert_eq!((head.header("content-length"), head.header("etag")), (bytes.len().to_string().as_str(), etag.as_str()));

    let size = bytes.len();
    let last = size - 1;
    for (range, from, to) in [
        ("bytes=0-0", 0, 0),
        ("bytes=100-199", 100, 199),
        ("bytes=1000-", 1000, last),
        ("bytes=-500", size - 500, last),
        ("bytes=5-99999999", 5, last),
    ] {
        let part = host.send(host.request(Method::GET, &path).header("range", range)).await;
        assert_eq!((part.status.as_u16(), part.bytes.as_slice()), (206, &bytes[from..=to]), "{range}");
        assert_eq!(part.header("content-range"), format!("bytes {from}-{to}/{size}"));
    }
    let beyond = host.send(host.request(Method::GET, &path).header("range", format!("bytes={size}-"))).await;
    beyond.expect_problem(416, "range_not_satisfiable");
    assert_eq!(beyond.header("content-range"), format!("bytes */{size}"));

    let conditional = |name: &'static str, value: &str| host.request(Method::GET, &path).header(name, value);
    assert_eq!(host.send(conditional("if-none-match", &etag)).await.status, 304);
    let resumed = host.send(conditional("if-range", &etag).header("range", "bytes=10-19")).await;
    assert_eq!((resumed.status.as_u16(), resumed.bytes.as_slice()), (206, &bytes[10..20]));
    let changed = host.send(conditional("if-range", "\"another\"").header("range", "bytes=10-19")).await;
    assert_eq!((changed.status.as_u16(), changed.bytes.len()), (200, size));
    assert_eq!(host.send(conditional("if-match", "\"another\"")).await.status, 412);
}

#[tokio::test]
async fn signed_links_work_without_headers_and_only_for_their_item() {
    let music = music();
    let host = scanned(music.path()).await;
    let (dawn, night) = (track(&host, "Αυγή").await, track(&host, "Νύχτα").await);
    let link = host.post(&format!("/api/tracks/{}/media-url", text(&dawn, "uri")), &json!({})).await.expect(200);
    let url = text(&link, "url");
    assert!(url.starts_with("/api/tracks/local:track:"), "{url}");
    let plain = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = async |path: &str| plain.get(format!("{}{path}", host.base)).send().await.unwrap();
    let answer = get(url).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.bytes().await.unwrap(), std::fs::read(file(music.path(), "Αυγή")).unwrap());
    assert_eq!(get(&url.replace(text(&dawn, "uri"), text(&night, "uri"))).await.status(), 401);
    let last = if url.ends_with('A') { "B" } else { "A" };
    assert_eq!(get(&format!("{}{last}", &url[..url.len() - 1])).await.status(), 401);
}

#[tokio::test]
async fn pictures_come_from_folders_and_from_tags() {
    let music = music();
    let host = scanned(music.path()).await;
    for title in ["Αυγή", "雨のフーリエ変換"] {
        let track = track(&host, title).await;
        let url = text(&track["artwork"][0], "url");
        let picture = host.get(url).await;
        assert_eq!((picture.status.as_u16(), picture.header("content-type")), (200, "image/jpeg"), "{title}");
        assert!(picture.bytes.starts_with(&[0xff, 0xd8, 0xff]) && picture.bytes.ends_with(&[0xff, 0xd9]));
        let again = host.send(host.request(Method::GET, url).header("if-none-match", picture.header("etag"))).await;
        assert_eq!(again.status, 304);
    }
    let cover = std::fs::read(file(music.path(), "cover.jpg")).unwrap();
    let url = track(&host, "Αυγή").await["artwork"][0]["url"].as_str().unwrap().to_owned();
    assert_eq!(host.get(&url).await.bytes, cover);
    host.get("/api/artwork/local:album:none").await.expect_problem(404, "item_not_found");
}

#[tokio::test]
async fn playlists_keep_order_and_doubles() {
    let music = music();
    let host = scanned(music.path()).await;
    let lists = host.get("/api/playlists").await.expect(200);
    let list = &lists["data"][0];
    assert_eq!(
        (lists["data"].as_array().unwrap().len(), &list["item_count"], &list["editable"]),
        (1, &json!(6), &json!(false))
    );
    let uri = text(list, "uri");
    assert_eq!(host.get(&format!("/api/playlists/{uri}")).await.expect(200)["uri"], uri);

    let items = host.get(&format!("/api/playlists/{uri}/items")).await.expect(200);
    let rows = items["data"].as_array().unwrap();
    let titles: Vec<_> = rows.iter().map(|row| text(&row["item"], "title")).collect();
    assert_eq!(titles, ["Αυγή", "Duet for Two Oscillators", "🌊 Sweep 🌊", "Νύχτα", "おやすみ", "Αυγή"]);
    let positions: Vec<_> = rows.iter().map(|row| row["position"].as_u64().unwrap()).collect();
    assert_eq!(positions, [0, 1, 2, 3, 4, 5]);
    let ids: std::collections::BTreeSet<_> = rows.iter().map(|row| text(row, "entry_id")).collect();
    assert_eq!(ids.len(), 6, "entries of the same track have ids of their own");

    let export = host.get(&format!("/api/playlists/{uri}/export?format=m3u8")).await;
    assert!(export.text().starts_with("#EXTM3U\n"), "{}", export.text());
    assert_eq!(export.text().matches("#EXTINF:").count(), 6);
    assert!(export.header("content-disposition").contains("attachment"));
    let json = host.get(&format!("/api/playlists/{uri}/export?format=json")).await.expect(200);
    assert_eq!(json["items"].as_array().unwrap().len(), 6);
    host.get(&format!("/api/playlists/{uri}/export?format=doc")).await.expect_problem(400, "invalid_query");
}

#[tokio::test]
async fn batch_contains_and_stats_answer_per_item() {
    let music = music();
    let host = scanned(music.path()).await;
    let known = text(&track(&host, "Αυγή").await, "uri").to_owned();
    let uris = json!({"uris": [known, "local:track:none", "nonsense", "nobody:track:x"]});
    let batch = host.post("/api/tracks/batch", &uris).await.expect(200);
    let results = batch["data"].as_array().unwrap();
    assert_eq!(results.len(), 4);
    assert_eq!(results[0]["item"]["title"], "Αυγή");
    assert_eq!(results[1]["error"]["code"], "item_not_found");
    assert_eq!(results[2]["error"]["code"], "invalid_uri");
    let too_many = json!({"uris": vec![known.as_str(); 501]});
    host.post("/api/tracks/batch", &too_many).await.expect_problem(422, "validation_failed");

    let contains = host.post("/api/library/contains", &json!({"uris": [known, "local:track:none"]})).await.expect(200);
    assert_eq!((&contains["data"][0]["contained"], &contains["data"][1]["contained"]), (&json!(true), &json!(false)));
    let stats = host.get("/api/library/stats").await.expect(200);
    assert_eq!(
        (&stats["totals"]["tracks"], &stats["totals"]["albums"], &stats["totals"]["playlists"]),
        (&json!(10), &json!(3), &json!(1))
    );
}

#[tokio::test]
async fn changes_on_the_disk_are_noticed() {
    let music = music();
    let host = scanned(music.path()).await;
    let count = |n: u64| move |stats: &Value| stats["totals"]["tracks"] == n;
    std::fs::copy(file(music.path(), "Νύχτα"), music.path().join("a new one.ogg")).unwrap();
    host.until("/api/library/stats", count(11)).await;
    std::fs::remove_file(music.path().join("a new one.ogg")).unwrap();
    host.until("/api/library/stats", count(10)).await;
}

#[tokio::test]
async fn a_rename_keeps_the_recording_and_changes_its_address() {
    let music = music();
    let host = scanned(music.path()).await;
    let before = track(&host, "Νύχτα").await;
    let from = file(music.path(), "Νύχτα");
    std::fs::rename(&from, from.with_file_name("renamed.ogg")).unwrap();
    let uri = text(&before, "uri").to_owned();
    host.until("/api/library/tracks", |page| !page.to_string().contains(&uri) && titles(page, "title").len() == 10)
        .await;
    let after = track(&host, "Νύχτα").await;
    assert_eq!(after["added_at"], before["added_at"], "the same thing, moved");
}

#[tokio::test]
async fn an_emptied_folder_takes_nothing_away() {
    let music = music();
    let host = scanned(music.path()).await;
    let runs = host.get("/api/sync/runs").await.expect(200)["data"].as_array().unwrap().len();
    for entry in std::fs::read_dir(music.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { std::fs::remove_dir_all(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
    }
    let after = host
        .until("/api/sync/runs", |page| {
            page["data"].as_array().unwrap().len() > runs && page["data"][0]["state"] != "running"
        })
        .await;
    assert_eq!(after["data"][0]["completeness"], "partial", "{after:#}");
    assert_eq!(host.get("/api/library/stats").await.expect(200)["totals"]["tracks"], 10);
}

#[tokio::test]
async fn a_second_start_keeps_everything() {
    let music = music();
    let configuration = configuration(music.path(), "process");
    let host = scanned(music.path()).await;
    let before = all(&host, "tracks").await;
    let dir = host.stop().await;
    let again = TestApp::at(dir, "", &configuration).await;
    let again = again.sign_in_again().await;
    assert_eq!(all(&again, "tracks").await, before);
}

#[tokio::test]
async fn another_user_sees_the_shared_library_and_a_stranger_nothing() {
    let music = music();
    let mut host = scanned(music.path()).await;
    host.become_user("listener").await;
    assert_eq!(all(&host, "tracks").await.len(), 10);
    host.sign_out();
    host.get("/api/library/tracks").await.expect_problem(401, "missing_credentials");
}

#[tokio::test]
async fn numbers_in_queries_have_bounds() {
    let music = music();
    let host = scanned(music.path()).await;
    let count = async |query: &str| {
        let page = host.get(&format!("/api/library/tracks?{query}")).await.expect(200);
        page["data"].as_array().unwrap().len()
    };
    assert_eq!((count("year_to=9999").await, count("year_from=1&year_to=1999").await), (10, 3));
    assert_eq!((count("year_from=9999").await, count("providers=local,").await), (0, 10));
    let uri = text(&track(&host, "Αυγή").await, "uri").to_owned();
    for path in [
        "/api/library/tracks?year_from=0".to_owned(),
        "/api/library/tracks?year_to=10000".to_owned(),
        format!("/api/tracks/{uri}/media?format="),
        format!("/api/tracks/{uri}/media?max_bitrate=7"),
        format!("/api/artwork/{uri}?size=0"),
    ] {
        host.get(&path).await.expect_problem(400, "invalid_query");
    }
}

#[tokio::test]
async fn a_link_needs_no_body_and_what_is_no_track_has_no_audio() {
    let music = music();
    let host = scanned(music.path()).await;
    let uri = text(&track(&host, "Αυγή").await, "uri").to_owned();
    let link = host.send(host.request(Method::POST, &format!("/api/tracks/{uri}/media-url"))).await.expect(200);
    assert!(text(&link, "url").contains("?sig="));
    host.get("/api/episodes/local:episode:x/media").await.expect_problem(404, "item_not_found");
}
