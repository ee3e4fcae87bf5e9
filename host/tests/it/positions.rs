//! How far users are in what they play.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    library::{all, music, scanned, text},
    support::{Reply, TestApp},
};

const PATH: &str = "/api/user/positions";

async fn put(host: &TestApp, uri: &str, body: &Value) -> Reply {
    host.send(host.request(Method::PUT, &format!("{PATH}/{uri}")).json(body)).await
}

async fn delete(host: &TestApp, uri: &str) -> Reply {
    host.delete(&format!("{PATH}/{uri}")).await
}

async fn list(host: &TestApp, query: &str) -> Value {
    host.get(&format!("{PATH}{query}")).await.expect(200)
}

fn uris(page: &Value) -> Vec<&str> {
    page["data"].as_array().unwrap().iter().map(|row| text(row, "uri")).collect()
}

async fn uris_of_tracks(host: &TestApp) -> Vec<String> {
    all(host, "tracks").await.iter().map(|track| text(track, "uri").to_owned()).collect()
}

#[tokio::test]
async fn a_position_is_kept_until_a_later_one() {
    let music = music();
    let host = scanned(music.path()).await;
    let track = all(&host, "tracks").await[0].clone();
    let uri = text(&track, "uri");
    host.get(&format!("{PATH}/{uri}")).await.expect_problem(404, "position_not_found");
    let first = put(&host, uri, &json!({"position_ms": 61_500, "at": "2026-05-01T10:00:00+02:00"})).await.expect(200);
    assert_eq!(
        (&first["uri"], &first["position_ms"], &first["finished"]),
        (&json!(uri), &json!(61_500), &json!(false))
    );
    assert_eq!((text(&first, "updated_at"), &first["item"]["title"]), ("2026-05-01T08:00:00.000Z", &track["title"]));
    assert_eq!(host.get(&format!("{PATH}/{uri}")).await.expect(200), first);
    // A player that was offline tells late of where it was.
    let late = put(&host, uri, &json!({"position_ms": 5, "at": "2026-05-01T07:59:59Z"})).await.expect(200);
    assert_eq!(late, first, "the later position stays");
    let now = put(&host, uri, &json!({"position_ms": 180_000, "finished": true})).await.expect(200);
    assert_eq!((&now["position_ms"], &now["finished"]), (&json!(180_000), &json!(true)));
    assert!(text(&now, "updated_at") > "2026-05-01T09", "it is now where nothing is said: {now}");
    assert_eq!(delete(&host, uri).await.status, 204);
    delete(&host, uri).await.expect_problem(404, "position_not_found");
    host.get(&format!("{PATH}/{uri}")).await.expect_problem(404, "position_not_found");
}

#[tokio::test]
async fn positions_are_listed_latest_first_page_by_page() {
    let music = music();
    let host = scanned(music.path()).await;
    let tracks = uris_of_tracks(&host).await;
    assert!(tracks.len() >= 3);
    for (minute, uri) in tracks.iter().enumerate() {
        let at = format!("2026-05-01T08:{minute:02}:00Z");
        put(&host, uri, &json!({"position_ms": 1000, "at": at, "finished": minute == 0})).await.expect(200);
    }
    let wanted: Vec<_> = tracks.iter().rev().map(String::as_str).collect();
    let page = list(&host, "?limit=2").await;
    assert_eq!((uris(&page), &page["meta"]["limit"]), (wanted[..2].to_vec(), &json!(2)));
    let rest = list(&host, &format!("?limit=200&cursor={}", text(&page["meta"], "next_cursor"))).await;
    assert_eq!(uris(&rest), wanted[2..]);
    assert_eq!(rest["meta"]["next_cursor"], Value::Null);
    assert_eq!(uris(&list(&host, "?finished=true").await), [tracks[0].as_str()]);
    assert_eq!(list(&host, "?finished=false&limit=200").await["data"].as_array().unwrap().len(), tracks.len() - 1);
    for query in ["?finished=perhaps", "?limit=0", "?cursor=x", "?sort=title"] {
        let reply = host.get(&format!("{PATH}{query}")).await;
        assert_eq!(reply.status, 400, "{query}: {}", reply.text());
    }
}

#[tokio::test]
async fn a_wrong_position_says_what_is_wrong() {
    let music = music();
    let host = scanned(music.path()).await;
    let uri = uris_of_tracks(&host).await.remove(0);
    for body in [
        json!({"position_ms": -1}),
        json!({"position_ms": 604_800_001}),
        json!({"position_ms": 1, "at": "yesterday"}),
        json!({"position_ms": 1, "at": "2999-01-01T00:00:00Z"}),
        json!({"position_ms": 1, "at": "1969-12-31T23:59:59Z"}),
        json!({"position_ms": 1, "speed": 2}),
        json!({}),
    ] {
        let reply = put(&host, &uri, &body).await;
        assert_eq!(reply.status, 422, "{body}: {}", reply.text());
    }
    let album = all(&host, "albums").await[0].clone();
    put(&host, text(&album, "uri"), &json!({"position_ms": 1})).await.expect_problem(404, "wrong_kind");
    host.get(&format!("{PATH}/{}", text(&album, "uri"))).await.expect_problem(404, "wrong_kind");
    delete(&host, text(&album, "uri")).await.expect_problem(404, "wrong_kind");
    put(&host, "local:track:nobody", &json!({"position_ms": 1})).await.expect_problem(404, "item_not_found");
    assert_eq!(uris(&list(&host, "").await), Vec::<&str>::new(), "nothing is kept of all that");
}

#[tokio::test]
async fn positions_are_the_users_own() {
    let music = music();
    let mut host = scanned(music.path()).await;
    let uri = uris_of_tracks(&host).await.remove(0);
    put(&host, &uri, &json!({"position_ms": 7000})).await.expect(200);
    host.become_user("anna").await;
    assert_eq!(uris(&list(&host, "").await), Vec::<&str>::new());
    host.get(&format!("{PATH}/{uri}")).await.expect_problem(404, "position_not_found");
    put(&host, &uri, &json!({"position_ms": 1})).await.expect(200);
    assert_eq!(delete(&host, &uri).await.status, 204);
    let host = host.sign_in_again().await;
    assert_eq!(host.get(&format!("{PATH}/{uri}")).await.expect(200)["position_ms"], 7000);
}
