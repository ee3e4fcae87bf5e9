//! What users played.

use reqwest::Method;
use serde_json::{Value, json};
use zotify_host::db;

use crate::{
    library::{all, music, scanned, text},
    starred::{Starred, events},
    support::{Reply, TestApp},
};

const PATH: &str = "/api/user/history";

async fn plays(host: &TestApp, query: &str) -> Vec<Value> {
    host.get(&format!("{PATH}{query}")).await.expect(200)["data"].as_array().unwrap().clone()
}

async fn play(host: &TestApp, uri: &str, at: &str) -> Reply {
    host.post(PATH, &json!({"uri": uri, "played_at": at})).await
}

async fn delete(host: &TestApp, path: &str) -> Reply {
    host.send(host.request(Method::DELETE, &format!("{PATH}{path}"))).await
}

async fn record(host: &TestApp, on: bool) {
    let request = host.request(Method::PATCH, "/api/user/preferences").json(&json!({ "record_history": on }));
    host.send(request).await.expect(200);
}

fn times(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| &text(row, "played_at")[..19]).collect()
}

fn at(minute: u32) -> String {
    format!("2026-05-01T08:{minute:02}:00Z")
}

#[tokio::test]
async fn plays_are_kept_with_their_times() {
    let music = music();
    let host = scanned(music.path()).await;
    let track = all(&host, "tracks").await[0].clone();
    let uri = text(&track, "uri");
    let body = json!({"uri": uri, "played_at": "2026-05-01T10:00:00+02:00", "heard_ms": 1234});
    let first = host.post(PATH, &body).await.expect(201);
    assert_eq!((text(&first, "played_at"), &first["heard_ms"]), ("2026-05-01T08:00:00.000Z", &json!(1234)));
    assert_eq!((&first["source"], &first["item"]["title"]), (&json!("client"), &track["title"]));
    assert_eq!(host.post(PATH, &body).await.expect(200), first, "the same play twice is one");
    play(&host, uri, "2026-05-01T08:00:10Z").await.expect(201);
    let now = host.post(PATH, &json!({ "uri": uri })).await.expect(201);
    assert!(text(&now, "played_at") > "2026-05-01T09", "it is now where nothing is said: {now}");
    let rows = plays(&host, "").await;
    assert_eq!((rows.len(), &rows[0]["id"], &rows[2]["id"]), (3, &now["id"], &first["id"]), "newest first");
    let recorded = events(&host, "play.recorded").await;
    assert_eq!((recorded.len(), recorded[0].0.as_deref()), (3, Some(uri)));
}

#[tokio::test]
async fn plays_are_found_by_time_item_and_provider_page_by_page() {
    let music = music();
    let host = scanned(music.path()).await;
    let tracks = all(&host, "tracks").await;
    for minute in 0..6 {
        play(&host, text(&tracks[minute as usize % 2], "uri"), &at(minute)).await.expect(201);
    }
    let count = async |query: String| plays(&host, &query).await.len();
    assert_eq!(count(format!("?since={}", at(2))).await, 4);
    assert_eq!(count(format!("?since={}&until={}", at(2), at(4))).await, 2, "the end is left out");
    assert_eq!(count(format!("?uri={}", text(&tracks[1], "uri"))).await, 3);
    assert_eq!((count("?provider=local".into()).await, count("?provider=other".into()).await), (6, 0));
    let page = host.get(&format!("{PATH}?limit=4")).await.expect(200);
    let rest = plays(&host, &format!("?limit=4&cursor={}", text(&page["meta"], "next_cursor"))).await;
    let mut all = page["data"].as_array().unwrap().clone();
    all.extend(rest);
    let wanted: Vec<_> = (0..6).rev().map(|minute| at(minute)[..19].to_owned()).collect();
    assert_eq!(times(&all), wanted);
    for query in ["?since=yesterday", "?until=2026", "?provider=Not%20one", "?sinse=2026-05-01T08:00:00Z"] {
        let reply = host.get(&format!("{PATH}{query}")).await;
        assert_eq!(reply.status, 400, "{query}: {}", reply.text());
    }
    host.get(&format!("{PATH}?uri=nonsense")).await.expect_problem(400, "invalid_uri");
}

#[tokio::test]
async fn what_nobody_can_have_played_is_refused() {
    let music = music();
    let host = scanned(music.path()).await;
    let uri = text(&all(&host, "tracks").await[0], "uri").to_owned();
    let soon = |seconds| (chrono::Utc::now() + chrono::TimeDelta::seconds(seconds)).to_rfc3339();
    for time in
        [soon(600), "1969-12-31T23:59:59Z".into(), "yesterday".into(), String::new(), "2026-02-30T00:00:00Z".into()]
    {
        let problem = play(&host, &uri, &time).await.expect_problem(422, "validation_failed");
        assert_eq!(problem["errors"][0]["field"], "played_at", "{time}");
    }
    play(&host, &uri, &soon(200)).await.expect(201);
    host.post(PATH, &json!({"uri": uri, "heard_ms": 604_800_001})).await.expect_problem(422, "validation_failed");
    host.post(PATH, &json!({"uri": uri, "heard_ms": -1})).await.expect_problem(422, "invalid_body");
    host.post(PATH, &json!({"uri": uri, "volume": 11})).await.expect_problem(422, "invalid_body");
    host.post(PATH, &json!({"uri": "x".repeat(1000)})).await.expect_problem(422, "validation_failed");
    host.post(PATH, &json!({"uri": "nonsense"})).await.expect_problem(400, "invalid_uri");
    let album = text(&all(&host, "albums").await[0], "uri").to_owned();
    play(&host, &album, &at(0)).await.expect_problem(404, "wrong_kind");
    play(&host, "local:track:nothing", &at(0)).await.expect_problem(404, "item_not_found");
    assert_eq!(plays(&host, "").await.len(), 1);
}

#[tokio::test]
async fn plays_are_deleted_by_whose_they_are() {
    let music = music();
    let mut host = scanned(music.path()).await;
    let uri = text(&all(&host, "tracks").await[0], "uri").to_owned();
    for minute in 0..5 {
        play(&host, &uri, &at(minute)).await.expect(201);
    }
    let id = text(&plays(&host, "").await[0], "id").to_owned();
    host.become_user("anna").await;
    assert!(plays(&host, "").await.is_empty());
    delete(&host, &format!("/{id}")).await.expect_problem(404, "play_not_found");
    delete(&host, "/nonsense").await.expect_problem(404, "play_not_found");
    assert_eq!(delete(&host, "").await.status, 204, "nothing to clear");
    let host = host.sign_in_again().await;
    assert_eq!(delete(&host, &format!("/{id}")).await.status, 204);
    delete(&host, &format!("/{id}")).await.expect_problem(404, "play_not_found");
    assert_eq!(delete(&host, &format!("?since={}&until={}", at(1), at(3))).await.status, 204);
    assert_eq!(times(&plays(&host, "").await), [&at(3)[..19], &at(0)[..19]]);
    delete(&host, "?since=yesterday").await.expect_problem(400, "invalid_query");
    assert_eq!(delete(&host, "").await.status, 204);
    assert!(plays(&host, "").await.is_empty());
    let gone: Vec<_> =
        events(&host, "history.deleted").await.into_iter().map(|(_, data)| data["count"].clone()).collect();
    assert_eq!(gone, [json!(1), json!(2), json!(2)], "how many, and not which");
}

#[tokio::test]
async fn the_oldest_make_room() {
    let music = music();
    let mut host = TestApp::with(&format!(
        "[quotas]\nplays = 3\n[providers.local]\nplugin = \"local\"\nsettings = {{ folders = [{:?}] }}\n",
        music.path()
    ))
    .await
    .admin()
    .await;
    host.until("/api/sync/runs", |runs| runs["data"][0]["state"] == "applied").await;
    let uri = text(&all(&host, "tracks").await[0], "uri").to_owned();
    for minute in 0..5 {
        play(&host, &uri, &at(minute)).await.expect(201);
    }
    assert_eq!(times(&plays(&host, "").await), [&at(4)[..19], &at(3)[..19], &at(2)[..19]]);
    let recorded = events(&host, "play.recorded").await.len();
    play(&host, &uri, &at(1)).await.expect_problem(403, "quota_exceeded");
    assert_eq!(times(&plays(&host, "").await), [&at(4)[..19], &at(3)[..19], &at(2)[..19]], "nothing went for it");
    assert_eq!(events(&host, "play.recorded").await.len(), recorded);
    host.become_user("anna").await;
    play(&host, &uri, &at(0)).await.expect(201);
    assert_eq!(plays(&host, "").await.len(), 1, "each has their own room");
}

#[tokio::test]
async fn a_history_that_is_off_takes_nothing() {
    let played = "played = [[\"1\", \"2026-05-01T08:00:00Z\"]]";
    let stars = Starred::with(&format!("saved = 3, {played}"), "").await;
    assert_eq!(times(&plays(&stars.host, "").await), [&at(0)[..19]]);
    record(&stars.host, false).await;
    play(&stars.host, "stars:track:1", &at(5)).await.expect_problem(409, "history_off");
    let played = "played = [[\"1\", \"2026-05-01T08:00:00Z\"], [\"2\", \"2026-05-01T09:00:00Z\"]]";
    let stars = stars.again(&format!("saved = 3, {played}")).await;
    stars.sync().await;
    assert_eq!(plays(&stars.host, "").await.len(), 1, "nothing is taken over");
    record(&stars.host, true).await;
    stars.sync().await;
    assert_eq!(plays(&stars.host, "").await.len(), 1, "nor later, what was played while it was off");
    play(&stars.host, "stars:track:1", &at(5)).await.expect(201);
}

#[tokio::test]
async fn plays_at_a_provider_are_taken_over_once() {
    let stars = Starred::with("saved = 3", "").await;
    let own = play(&stars.host, "stars:track:1", "2026-05-01T08:00:20Z").await.expect(201);
    // Within thirty seconds of the own one; another time; a track that is in no library.
    let played =
        "[\"1\", \"2026-05-01T08:00:00Z\"], [\"1\", \"2026-05-01T08:01:00Z\"], [\"5\", \"2026-05-01T08:02:00Z\"]";
    let stars = stars.again(&format!("saved = 3, played = [{played}]")).await;
    stars.sync().await;
    let rows = plays(&stars.host, "").await;
    assert_eq!(times(&rows), [&at(2)[..19], &at(1)[..19], "2026-05-01T08:00:20"]);
    assert_eq!(
        (&rows[2]["id"], &rows[2]["source"], &rows[1]["source"]),
        (&own["id"], &json!("client"), &json!("stars"))
    );
    assert_eq!((&rows[0]["item"]["kind"], &rows[0]["item"]["title"]), (&json!("track"), &json!("Five")));
    // The other way round: a client tells of what the provider told before.
    assert_eq!(play(&stars.host, "stars:track:5", "2026-05-01T08:02:25Z").await.expect(200)["id"], rows[0]["id"]);
    // What was deleted does not come back.
    assert_eq!(delete(&stars.host, &format!("/{}", text(&rows[1], "id"))).await.status, 204);
    stars.sync().await;
    assert_eq!(times(&plays(&stars.host, "").await), [&at(2)[..19], "2026-05-01T08:00:20"]);
    let merged = events(&stars.host, "history.merged").await;
    assert_eq!(merged, [(Some("stars".into()), json!({"provider": "stars", "added": 2}))]);
}

const PLAYED: &str = "played = [[\"1\", \"2026-05-01T08:00:00Z\"], [\"2\", \"2026-05-01T08:05:00Z\"], \
    [\"3\", \"2026-05-01T08:10:00Z\"]]";

#[tokio::test]
async fn a_deleted_play_does_not_come_back_from_the_provider_that_had_yet_to_tell_of_it() {
    let stars = Starred::with("saved = 3", "").await;
    let play = play(&stars.host, "stars:track:2", "2026-05-01T08:05:20Z").await.expect(201);
    assert_eq!(delete(&stars.host, &format!("/{}", text(&play, "id"))).await.status, 204);
    let kept = async |stars: &Starred| {
        let user = db::users::find_by_name(stars.host.app.db.read(), "root-of-tests").await.unwrap().unwrap().id;
        db::deleted_plays::list(stars.host.app.db.read(), &user).await.unwrap().len()
    };
    assert_eq!(kept(&stars).await, 1);
    let stars = stars.again(&format!("saved = 3, {PLAYED}")).await;
    stars.sync().await;
    assert_eq!(times(&plays(&stars.host, "").await), [&at(10)[..19], &at(0)[..19]]);
    assert_eq!(kept(&stars).await, 0, "the provider is not asked for that time any more");
    stars.sync().await;
    assert_eq!(plays(&stars.host, "").await.len(), 2);
}

#[tokio::test]
async fn a_cleared_history_does_not_come_back_from_a_provider() {
    for (query, left) in [
        (String::new(), vec![]),
        (format!("?until={}", at(10)), vec![at(10)]),
        (format!("?since={}&until={}", at(5), at(10)), vec![at(10), at(0)]),
        (format!("?since={}", at(10)), vec![at(5), at(0)]),
        ("?until=2026-04-01T00:00:00Z".into(), vec![at(10), at(5), at(0)]),
    ] {
        let stars = Starred::with("saved = 3", "").await;
        for n in 1..=3_u32 {
            play(&stars.host, &format!("stars:track:{n}"), &at(n * 5 - 5)).await.expect(201);
        }
        assert_eq!(delete(&stars.host, &query).await.status, 204);
        let stars = stars.again(&format!("saved = 3, {PLAYED}")).await;
        stars.sync().await;
        let left: Vec<_> = left.iter().map(|at| &at[..19]).collect();
        assert_eq!(times(&plays(&stars.host, "").await), left, "{query}");
        // Neither does that undo what the user set.
        assert_eq!(stars.host.get("/api/user/preferences").await.expect(200)["record_history"], true);
    }
}

#[tokio::test]
async fn a_play_follows_its_file_and_outlives_it() {
    let music = music();
    let host = scanned(music.path()).await;
    let track = all(&host, "tracks").await.into_iter().find(|t| t["title"] == "Sawtooth Serenade").unwrap();
    play(&host, text(&track, "uri"), &at(0)).await.expect(201);
    std::fs::rename(music.path().join("Various Artists"), music.path().join("Elsewhere")).unwrap();
    host.post("/api/sync", &json!({})).await.expect(202);
    let moved =
        |page: &Value| page["data"][0]["uri"] != track["uri"] && page["data"][0]["item"]["title"] == track["title"];
    let page = host.until(PATH, moved).await;
    std::fs::remove_dir_all(music.path().join("Elsewhere")).unwrap();
    host.post("/api/sync", &json!({})).await.expect(202);
    let gone = host.until(PATH, |page| page["data"][0]["item"]["kind"] == "unknown").await;
    assert_eq!(
        (&gone["data"][0]["uri"], &gone["data"][0]["item"]["uri"]),
        (&page["data"][0]["uri"], &page["data"][0]["uri"])
    );
}
