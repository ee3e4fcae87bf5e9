//! Changes of the library and of playlists.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::*;

/// Behaviour 16: at most forty URIs at once, in the query, and a result for each.
#[tokio::test]
async fn forty_one_tracks_are_saved_in_two_calls() {
    let lab = Lab::new(small()).await;
    let all = lab.simulator.saved("ünï user#2", "track");
    let held = lab.simulator.saved(USER, "track");
    let new: Vec<_> = all.into_iter().filter(|uri| !held.contains(uri)).take(41).collect();
    assert_eq!(new.len(), 41);
    lab.simulator.forget_requests();
    let answer = lab.host.patch("/api/library", &json!({"add": new})).await.expect(200);
    let results = answer["data"].as_array().unwrap();
    assert_eq!(results.len(), 41);
    assert!(results.iter().all(|result| result["status"] == "added"), "{answer:#}");
    let puts: Vec<_> =
        lab.simulator.requests().into_iter().filter(|e| e.operation.as_deref() == Some("PUT /me/library")).collect();
    assert_eq!(puts.len(), 2);
    assert!(puts.iter().all(|put| put.body.is_empty() && put.query.starts_with("uris=")), "{puts:#?}");
    assert!(new.iter().all(|uri| lab.simulator.saved(USER, "track").contains(uri)));
    // What the host has not heard of comes with the next pull.
    assert_eq!(lab.pull().await["completeness"], "complete");
    assert_eq!(lab.library("tracks").await, lab.saved("track"));
}

/// Behaviour 16: one of the calls fails.
#[tokio::test]
async fn each_uri_has_its_own_result_when_a_call_fails() {
    let lab = Lab::new(small()).await;
    let held = lab.simulator.saved(USER, "track");
    let gone: Vec<_> = held[..60].to_vec();
    lab.simulator.rule(Rule::new("DELETE", "^/v1/me/library", Effect::Html { status: 500 }).skip(1).times(0));
    let answer = lab.host.patch("/api/library", &json!({"remove": gone})).await.expect(200);
    let count = |status| answer["data"].as_array().unwrap().iter().filter(|r| r["status"] == status).count();
    assert_eq!((count("removed"), count("failed")), (40, 20), "{answer:#}");
    for result in answer["data"].as_array().unwrap() {
        let there = lab.simulator.saved(USER, "track").iter().any(|uri| uri == text(result, "uri"));
        assert_eq!(there, result["status"] == "failed", "{result}");
    }
    assert_eq!(lab.library("tracks").await, lab.saved("track"));
}

/// The version of a playlist, as edits must name it.
async fn version(lab: &Lab, id: &str) -> String {
    let reply = lab.host.get(&format!("/api/playlists/spotify:playlist:{id}/items?limit=200")).await;
    reply.header("etag").to_owned()
}

async fn ops(lab: &Lab, id: &str, ops: Value) -> Reply {
    let path = format!("/api/playlists/spotify:playlist:{id}/items");
    let version = version(lab, id).await;
    lab.host.send(lab.host.request(Method::PATCH, &path).header("if-match", version).json(&json!({"ops": ops}))).await
}

/// Behaviour 17: Spotify can only remove all copies; one goes all the same.
#[tokio::test]
async fn one_of_three_copies_goes_and_two_stay() {
    let lab = Lab::new(small()).await;
    let id = lab.playlist(7);
    let mut wanted = lab.simulator.rows(&id);
    let copy = wanted[0].clone();
    assert_eq!(wanted.iter().filter(|uri| **uri == copy).count(), 3);
    let rows = lab.entries(&id).await;
    ops(&lab, &id, json!([{"op": "remove", "entries": [rows[3]["entry_id"]]}])).await.expect(200);
    wanted.remove(3);
    assert_eq!(lab.simulator.rows(&id), wanted);
    assert_eq!(uris(&lab.entries(&id).await), wanted);
}

/// Takes one of three copies away while something is wrong; the rows that should come of it.
async fn without_one_copy(lab: &Lab, effects: &[(&str, Effect)]) -> (Vec<String>, Value) {
    let id = lab.playlist(7);
    let mut wanted = lab.simulator.rows(&id);
    let (rows, copy) = (lab.entries(&id).await, wanted.remove(3));
    assert_eq!(wanted.iter().filter(|uri| **uri == copy).count(), 2);
    for (method, effect) in effects {
        lab.simulator.rule(Rule::new(method, &format!("^/v1/playlists/{id}/items"), effect.clone()).times(0));
    }
    let answer = ops(lab, &id, json!([{"op": "remove", "entries": [rows[3]["entry_id"]]}])).await.expect(200);
    lab.simulator.clear_rules();
    (wanted, answer)
}

/// Behaviour 17, broken off between the removal and the putting back: what is lost is named, and comes back.
#[tokio::test]
async fn copies_that_could_not_be_put_back_are_named_and_come_back() {
    let wait = Effect::TooManyRequests { retry_after: Some("1".into()) };
    let broken_off = async |method: &str, effect: Effect| {
        let effects = &[(method, effect)];
        let lab = Lab::new(small()).await;
        let id = lab.playlist(7);
        let (wanted, answer) = without_one_copy(&lab, effects).await;
        assert_eq!(answer["results"][0]["status"], "failed", "{effects:?}: {answer:#}");
        let refused: Vec<_> = answer["refused"].as_array().unwrap().iter().map(|row| text(row, "uri")).collect();
        assert_eq!(refused, [wanted[0].as_str(), &wanted[0]], "{effects:?}: {answer:#}");
        // Reading the playlist again for the answer may have brought them back already.
        for _ in 0..2 {
            lab.pull().await;
            assert_eq!(lab.simulator.rows(&id), wanted, "{effects:?}: each came back once");
            assert_eq!(uris(&lab.entries(&id).await), wanted, "{effects:?}");
        }
    };
    tokio::join!(broken_off("POST", wait), broken_off("POST", Effect::Refuse), broken_off("DELETE", Effect::Drop));
}

/// Behaviour 17: answers that got lost on the way do not even need that.
#[tokio::test]
async fn copies_are_put_back_once_when_answers_get_lost() {
    let lab = Lab::new(small()).await;
    let (wanted, answer) = without_one_copy(&lab, &[("POST", Effect::Drop)]).await;
    assert_eq!(answer["results"][0]["status"], "done", "{answer:#}");
    assert_eq!(lab.simulator.rows(&lab.playlist(7)), wanted);
}

/// Behaviour 17: the host ends between the removal and the putting back.
#[tokio::test]
async fn copies_come_back_after_a_host_that_ended_in_between() {
    let lab = Lab::new(small()).await;
    let id = lab.playlist(7);
    let (rows, mut wanted) = (lab.entries(&id).await, lab.simulator.rows(&id));
    wanted.remove(3);
    lab.simulator.rule(Rule::new("POST", "/items", Effect::Latency { ms: 600_000 }).times(0));
    let path = format!("/api/playlists/spotify:playlist:{id}/items");
    let body = json!({"ops": [{"op": "remove", "entries": [rows[3]["entry_id"]]}]});
    let version = version(&lab, &id).await;
    let edit = tokio::spawn(lab.host.request(Method::PATCH, &path).header("if-match", version).json(&body).send());
    let started = std::time::Instant::now();
    while lab.simulator.count("POST /playlists/{playlist_id}/items") == 0 {
        assert!(started.elapsed() < crate::support::PATIENCE, "{:#?}", lab.simulator.requests());
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    edit.abort();
    let lab = lab.restarted().await;
    lab.simulator.clear_rules();
    let started = std::time::Instant::now();
    // Until the time is over in which somebody could still be at it.
    while lab.simulator.rows(&id) != wanted {
        assert!(started.elapsed() < crate::support::PATIENCE, "{:#?}", lab.simulator.rows(&id));
        lab.pull().await;
    }
    lab.pull().await;
    assert_eq!(lab.simulator.rows(&id), wanted);
    assert_eq!(uris(&lab.entries(&id).await), wanted);
}

#[tokio::test]
async fn rows_are_added_moved_and_removed_under_one_version() {
    let lab = Lab::new(small()).await;
    let id = lab.playlist(2);
    let (rows, mut wanted) = (lab.entries(&id).await, lab.simulator.rows(&id));
    let new = lab.simulator.saved(USER, "track")[0].clone();
    let edits = json!([
        {"op": "remove", "entries": [rows[1]["entry_id"]]},
        {"op": "add", "uris": [new], "before": rows[0]["entry_id"]},
        {"op": "move", "entries": [rows[0]["entry_id"]], "before": rows[3]["entry_id"]},
    ]);
    let answer = ops(&lab, &id, edits).await.expect(200);
    assert!(answer["results"].as_array().unwrap().iter().all(|result| result["status"] == "done"), "{answer:#}");
    let moved = wanted.remove(0);
    wanted.remove(0);
    wanted.insert(0, new);
    wanted.insert(2, moved);
    assert_eq!(lab.simulator.rows(&id), wanted);
    assert_eq!(uris(&lab.entries(&id).await), wanted);
}

/// Behaviour 18: snapshots lag behind, and one that nobody knows comes between.
#[tokio::test]
async fn snapshots_that_lag_make_no_doubles() {
    let lab = Lab::new(small()).await;
    let id = lab.playlist(2);
    let new = lab.simulator.saved(USER, "track")[0].clone();
    let path = format!("/api/playlists/spotify:playlist:{id}/items");
    for effect in [Effect::OldSnapshot, Effect::UnknownSnapshot] {
        lab.simulator.clear_rules();
        lab.simulator.rule(Rule::new("GET", &format!("^/v1/playlists/{id}"), effect).times(0));
        let before = lab.simulator.rows(&id).len();
        let reply = lab.host.post(&path, &json!({"uris": [new]})).await;
        assert!(reply.status.is_success(), "{}", reply.text());
        assert_eq!(lab.simulator.rows(&id).len(), before + 1);
        assert_eq!(uris(&lab.entries(&id).await), lab.simulator.rows(&id));
    }
}

/// Behaviour 18: the answer to an addition is lost, after it was done or before.
#[tokio::test]
async fn a_lost_answer_adds_nothing_twice() {
    let lab = Lab::new(small()).await;
    let id = lab.playlist(2);
    let new = lab.simulator.saved(USER, "track")[0].clone();
    let path = format!("/api/playlists/spotify:playlist:{id}/items");
    for effect in [Effect::Drop, Effect::Refuse, Effect::Html { status: 502 }] {
        let before = lab.simulator.rows(&id).len();
        lab.simulator.clear_rules();
        lab.rule("POST", "/items$", effect.clone());
        let reply = lab.host.post(&path, &json!({"uris": [new]})).await;
        let now = lab.simulator.rows(&id);
        assert!(now.len() <= before + 1, "{effect:?} added it twice: {}", reply.text());
        if matches!(effect, Effect::Drop) {
            reply.expect(200);
        }
        if reply.status.is_success() {
            assert_eq!(now.len(), before + 1, "{effect:?}: {}", reply.text());
        }
        assert_eq!(uris(&lab.entries(&id).await), now, "{effect:?}");
    }
}

/// A playlist's life. What Spotify can't keep is refused before it is asked, and a description that is left out is none.
#[tokio::test]
async fn playlists_are_made_changed_and_left() {
    let lab = Lab::new(small()).await;
    let body = json!({"name": "Made here", "public": false, "account": lab.account});
    let made = lab.host.post("/api/playlists", &body).await.expect(201);
    let uri = text(&made, "uri").to_owned();
    let id = uri.rsplit(':').next().unwrap().to_owned();
    assert!(made["description"].as_str().unwrap_or_default().is_empty(), "{made:#}");
    let path = format!("/api/playlists/{uri}");
    let changed = lab.host.patch(&path, &json!({"description": "Rock & \"roll\""})).await.expect(200);
    assert_eq!(changed["description"], "Rock & \"roll\"", "{changed:#}");
    lab.simulator.forget_requests();
    let refused = lab.host.patch(&path, &json!({"description": ""})).await;
    refused.expect_problem(422, "provider_refused");
    assert_eq!(lab.simulator.count("PUT /playlists/{playlist_id}"), 0);
    assert!(lab.host.delete(&path).await.status.is_success());
    assert!(!lab.simulator.playlists(USER).contains(&id));
    // The service still shows it to whoever knows its id.
    let left = lab.host.get("/api/playlists?limit=200").await.expect(200);
    assert!(left["data"].as_array().unwrap().iter().all(|playlist| playlist["uri"] != uri.as_str()), "{left:#}");
}

/// Extra: 256 KiB are the most for a picture, as base64.
#[tokio::test]
async fn a_picture_that_is_too_large_is_not_sent() {
    let lab = Lab::new(small()).await;
    let path = format!("/api/playlists/spotify:playlist:{}/image", lab.playlist(2));
    let put = |size: usize| {
        let mut jpeg = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00".to_vec();
        jpeg.resize(size, 0);
        lab.host.send(lab.host.request(Method::PUT, &path).header("content-type", "image/jpeg").body(jpeg))
    };
    put(200 << 10).await.expect_problem(422, "provider_refused");
    assert_eq!(lab.simulator.count("PUT /playlists/{playlist_id}/images"), 0);
    let reply = put(100 << 10).await;
    assert!(reply.status.is_success(), "{}", reply.text());
    let sent = lab.simulator.requests().into_iter().find(|e| e.method == "PUT" && e.path.ends_with("/images")).unwrap();
    assert_eq!((sent.status, sent.content_type.as_str()), (202, "image/jpeg"));
    assert!(STANDARD.decode(&sent.body[..1024]).is_ok(), "base64 without line ends");
}
