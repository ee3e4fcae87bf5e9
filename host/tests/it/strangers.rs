//! What users must not see of each other, and what hostile requests must not do.

use base64::Engine as _;
use serde_json::{Value, json};
use zotify_host::db;

use crate::library::{all, music, scanned, text};

#[tokio::test]
async fn one_users_account_does_not_exist_for_others() {
    let music = music();
    let mut host = scanned(music.path()).await;
    // What everybody sees becomes the admin's own.
    let id = db::users::find_by_name(host.app.db.read(), "root-of-tests").await.unwrap().unwrap().id;
    let mut tx = host.app.db.write().await.unwrap();
    sqlx::query("UPDATE accounts SET owner = $1").bind(id.clone()).execute(&mut *tx).await.unwrap();
    sqlx::query("UPDATE jobs SET user_id = $1").bind(id).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();

    let first = async |kind: &str| text(&all(&host, kind).await[0], "uri").to_owned();
    let (track, album, artist) = (first("tracks").await, first("albums").await, first("artists").await);
    let playlist = first("playlists").await;
    let run = host.get("/api/sync/runs").await.expect(200)["data"][0].clone();
    let (run, account) = (text(&run, "id").to_owned(), text(&run, "account").to_owned());
    let job = text(&host.get("/api/jobs").await.expect(200)["data"][0], "id").to_owned();
    let gets = [
        (format!("/api/items/{track}"), "item_not_found"),
        (format!("/api/tracks/{track}"), "item_not_found"),
        (format!("/api/tracks/{track}/media"), "item_not_found"),
        (format!("/api/artwork/{track}"), "item_not_found"),
        (format!("/api/albums/{album}"), "item_not_found"),
        (format!("/api/albums/{album}/tracks"), "item_not_found"),
        (format!("/api/artists/{artist}/albums"), "item_not_found"),
        (format!("/api/playlists/{playlist}"), "item_not_found"),
        (format!("/api/playlists/{playlist}/items"), "item_not_found"),
        (format!("/api/playlists/{playlist}/export"), "item_not_found"),
        (format!("/api/library/tracks?account={account}"), "account_not_found"),
        (format!("/api/search?q=a&account={account}"), "account_not_found"),
        (format!("/api/sync/runs?account={account}"), "account_not_found"),
        (format!("/api/sync/runs/{run}"), "run_not_found"),
        (format!("/api/jobs/{job}"), "job_not_found"),
    ];
    let lists = ["/api/library/tracks", "/api/library/albums", "/api/playlists", "/api/sync/runs", "/api/jobs"];
    // The owner sees all of it: else the rest would prove nothing.
    for (path, _) in gets.iter().filter(|(path, _)| !path.contains("artwork")) {
        assert_eq!(host.get(path).await.status, 200, "{path}");
    }
    host.become_user("stranger").await;
    for (path, code) in &gets {
        host.get(path).await.expect_problem(404, code);
    }
    for path in lists {
        assert_eq!(host.get(path).await.expect(200)["data"], json!([]), "{path}");
    }
    let post = async |path: String, body: Value| host.post(&path, &body).await;
    post(format!("/api/tracks/{track}/media-url"), json!({})).await.expect_problem(404, "item_not_found");
    post(format!("/api/sync/runs/{run}/apply"), json!({})).await.expect_problem(404, "run_not_found");
    post(format!("/api/jobs/{job}/cancel"), json!({})).await.expect_problem(404, "job_not_found");
    post("/api/sync".into(), json!({"accounts": [account]})).await.expect_problem(404, "account_not_found");
    assert_eq!(post("/api/sync".into(), json!({})).await.expect(202)["data"], json!([]));
    let contains = post("/api/library/contains".into(), json!({"uris": [track]})).await.expect(200);
    assert_eq!(contains["data"][0]["contained"], false);
    let batch = post("/api/tracks/batch".into(), json!({"uris": [track]})).await.expect(200);
    assert_eq!(batch["data"][0]["error"]["code"], "item_not_found");
    assert_eq!(host.get("/api/library/stats").await.expect(200)["totals"]["tracks"], 0);
}

#[tokio::test]
async fn hostile_queries_are_refused_by_name() {
    let music = music();
    let host = scanned(music.path()).await;
    let forged = |list: &str, key: Value| {
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json!([list, key]).to_string())
    };
    let title = "library:track:Title:false";
    let added = "library:track:AddedAt:false";
    for (path, code) in [
        (format!("/api/library/tracks?q={}", "a.".repeat(20_000)), "invalid_query"),
        (format!("/api/library/tracks?genre={}", "g".repeat(60_000)), "invalid_query"),
        (format!("/api/library/tracks?cursor={}", forged(title, json!([1, "x"]))), "invalid_cursor"),
        (format!("/api/library/tracks?cursor={}", forged(title, json!(["a\u{0}", "x"]))), "invalid_cursor"),
        (format!("/api/library/tracks?sort=added_at&cursor={}", forged(added, json!(["a", "x"]))), "invalid_cursor"),
        (format!("/api/library/tracks?cursor={}", forged(title, json!({"a": 1}))), "invalid_cursor"),
        ("/api/artwork/local:track:x?size=0".into(), "invalid_query"),
        ("/api/artwork/local:track:x?size=4000000000".into(), "invalid_query"),
        ("/api/tracks/local:track:x/media?max_bitrate=0".into(), "invalid_query"),
    ] {
        host.get(&path).await.expect_problem(400, code);
    }
    for text in ["\"", "*", "' OR 1=1 --", "NEAR(a b)", "title:x", "a\u{0}b", "\u{fffd}", "-", "(", "%", "_", "\\"] {
        let query = reqwest::Url::parse_with_params("http://x/", [("q", text)]).unwrap().query().unwrap().to_owned();
        for path in ["/api/search", "/api/library/tracks", "/api/playlists"] {
            let reply = host.get(&format!("{path}?{query}")).await;
            assert!([200, 400].contains(&reply.status.as_u16()), "{path} {text:?}: {}", reply.text());
        }
    }
    let account = host.get("/api/sync/runs").await.expect(200)["data"][0]["account"].clone();
    let many: Vec<_> = (0..501).map(|n| n.to_string()).collect();
    host.post("/api/sync", &json!({"accounts": many})).await.expect_problem(422, "validation_failed");
    let jobs = host.post("/api/sync", &json!({"accounts": vec![account; 300]})).await.expect(202);
    assert_eq!(jobs["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn users_are_told_no_paths_of_the_server() {
    let music = music();
    let mut host = scanned(music.path()).await;
    let track = text(&all(&host, "tracks").await[0], "uri").to_owned();
    let playlist = text(&all(&host, "playlists").await[0], "uri").to_owned();
    host.become_user("stranger").await;
    let path = music.path().display().to_string();
    std::fs::remove_dir_all(music.path()).unwrap();
    let jobs = host.post("/api/sync", &json!({})).await.expect(202);
    let job = format!("/api/jobs/{}", text(&jobs["data"][0], "job_id"));
    // The run ends as a partial one, which says why.
    host.until(&job, |job| job["state"] == "succeeded").await;
    assert_eq!(host.get("/api/sync/runs").await.expect(200)["data"][0]["completeness"], "partial");
    let (track, playlist) = (format!("/api/tracks/{track}/media"), format!("/api/playlists/{playlist}/items"));
    for path_of in [&job, "/api/sync/runs", "/api/providers/local", "/health", &track, &playlist] {
        let reply = host.get(path_of).await.text();
        assert!(!reply.contains(&path), "{path_of} tells {path}: {reply}");
    }
}
