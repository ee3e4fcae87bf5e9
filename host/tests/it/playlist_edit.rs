//! Changing playlists at their providers.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    editable::Editable,
    library::{music, scanned, text},
    starred::events,
};

#[tokio::test]
async fn a_playlist_is_made_changed_and_deleted() {
    let editable = Editable::with("").await;
    let body = json!({"name": " Night drive ", "description": "Quiet", "public": true});
    let made = editable.host.post("/api/playlists", &body).await;
    assert_eq!(made.header("location"), "/api/playlists/ed:playlist:p1");
    let path = made.header("location").to_owned();
    let made = made.expect(201);
    assert_eq!(
        (&made["name"], &made["description"], &made["public"]),
        (&json!("Night drive"), &json!("Quiet"), &json!(true))
    );
    assert_eq!(editable.host.get("/api/playlists").await.expect(200)["data"][0]["name"], "Night drive");

    let body = json!({"name": "Day drive", "description": ""});
    let changed = editable.send(Method::PATCH, &path, None, body).await.expect(200);
    assert_eq!((&changed["name"], changed.get("description")), (&json!("Day drive"), None));
    assert_eq!(editable.host.get(&path).await.expect(200)["name"], "Day drive");
    editable.send(Method::PATCH, &path, None, json!({})).await.expect_problem(422, "validation_failed");
    editable.send(Method::PATCH, &path, None, json!({"name": "  "})).await.expect_problem(422, "validation_failed");
    let stale = editable.send(Method::PATCH, &path, Some("\"other\""), json!({"name": "x"})).await;
    stale.expect_problem(412, "version_mismatch");
    editable.sync().await;
    assert_eq!(editable.host.get(&path).await.expect(200)["name"], "Day drive", "the provider has it so");

    assert_eq!(editable.host.delete(&path).await.status, 204);
    editable.host.get(&path).await.expect_problem(404, "item_not_found");
    assert!(editable.host.get("/api/playlists").await.expect(200)["data"].as_array().unwrap().is_empty());
    let told: Vec<_> = events(&editable.host, "playlist.changed").await;
    let told: Vec<_> = told.iter().map(|(_, data)| text(data, "change")).collect();
    assert_eq!(told, ["created", "updated", "deleted"]);
}

#[tokio::test]
async fn entries_are_added_moved_and_removed_by_their_ids() {
    let editable = Editable::with("").await;
    let (path, tag) = editable.playlist(&[1, 2, 1, 3]).await;
    assert_eq!(editable.titles(&path).await, ["One", "Two", "One", "Three"]);
    let ids: Vec<String> = editable.entries(&path).await.into_iter().map(|(id, _)| id).collect();
    let ops = json!({"ops": [
        {"op": "move", "entries": [ids[3], ids[0]], "before": ids[1]},
        {"op": "remove", "entries": [ids[2]]},
        {"op": "add", "uris": ["ed:track:4", "ed:track:4"], "before": ids[1]},
    ]});
    let items = format!("{path}/items");
    editable.send(Method::PATCH, &items, None, ops.clone()).await.expect_problem(428, "precondition_required");
    let reply = editable.send(Method::PATCH, &items, Some(&tag), ops.clone()).await;
    let next = reply.header("etag").to_owned();
    let answer = reply.expect(200);
    assert_eq!(answer["results"], json!([{"status": "done"}, {"status": "done"}, {"status": "done"}]));
    assert_eq!(answer["playlist"]["item_count"], 5);
    assert_eq!(editable.titles(&path).await, ["Three", "One", "Four", "Four", "Two"]);
    editable.send(Method::PATCH, &items, Some(&tag), ops).await.expect_problem(412, "version_mismatch");

    // Tags of reads are as good, whatever the page.
    let page = editable.host.get(&format!("{items}?limit=1")).await;
    let read = page.header("etag").to_owned();
    assert_ne!(read, next);
    let unchanged = editable.host.request(Method::GET, &format!("{items}?limit=1")).header("if-none-match", &read);
    assert_eq!(editable.host.send(unchanged).await.status, 304);
    let first = editable.entries(&path).await[0].0.clone();
    let reply = editable.send(Method::DELETE, &format!("{items}/{first}"), Some(&read), Value::Null).await;
    reply.expect(200);
    assert_eq!(editable.titles(&path).await, ["One", "Four", "Four", "Two"]);
    editable.host.delete(&format!("{items}/{first}")).await.expect_problem(404, "entry_not_found");

    editable.host.post(&items, &json!({"uris": ["ed:track:5"], "position": 1})).await.expect(200);
    assert_eq!(editable.titles(&path).await, ["One", "Five", "Four", "Four", "Two"]);
    editable.send(Method::PUT, &items, None, json!({"uris": ["ed:track:2"]})).await.expect(200);
    assert_eq!(editable.titles(&path).await, ["Two"]);
    editable.send(Method::PUT, &items, None, json!({"uris": []})).await.expect(200);
    assert!(editable.titles(&path).await.is_empty());
    editable.sync().await;
    assert!(editable.titles(&path).await.is_empty());
}

#[tokio::test]
async fn what_is_wrong_with_a_request_stands_in_its_fields() {
    let editable = Editable::with("").await;
    let (path, tag) = editable.playlist(&[1]).await;
    let items = format!("{path}/items");
    let ops = json!({"ops": [
        {"op": "add", "uris": ["ed:track:1", "local:track:1", "ed:album:a1", "x"]},
        {"op": "remove", "entries": []},
    ]});
    let problem = editable.send(Method::PATCH, &items, Some(&tag), ops).await.expect_problem(422, "validation_failed");
    let fields: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|e| (text(e, "field"), text(e, "code"))).collect();
    let expected = [
        ("ops[0].uris[1]", "foreign_uri"),
        ("ops[0].uris[2]", "wrong_kind"),
        ("ops[0].uris[3]", "invalid_uri"),
        ("ops[1].entries", "invalid"),
    ];
    assert_eq!(fields, expected);
    let many = |n: usize| json!({"uris": vec!["ed:track:1"; n]});
    editable.host.post(&items, &many(1001)).await.expect_problem(422, "validation_failed");
    let ops: Vec<_> = (0..3).map(|_| json!({"op": "add", "uris": vec!["ed:track:1"; 400]})).collect();
    let reply = editable.send(Method::PATCH, &items, Some(&tag), json!({"ops": ops})).await;
    reply.expect_problem(422, "validation_failed");
    let ops = json!({"ops": vec![json!({"op": "remove", "entries": ["e1"]}); 101]});
    editable.send(Method::PATCH, &items, Some(&tag), ops).await.expect_problem(422, "validation_failed");
    let ops = json!({"ops": [{"op": "shuffle"}]});
    editable.send(Method::PATCH, &items, Some(&tag), ops).await.expect_problem(422, "invalid_body");
    let ops = json!({"ops": [{"op": "move", "entries": ["none"]}]});
    editable.send(Method::PATCH, &items, Some(&tag), ops).await.expect_problem(404, "entry_not_found");
    assert_eq!(editable.titles(&path).await, ["One"], "nothing was done");
    editable.host.post(&items, &many(1000)).await.expect(200);
    let page = editable.host.get(&format!("{items}?limit=200")).await.expect(200);
    assert_eq!(page["data"].as_array().unwrap().len(), 200);
}

#[tokio::test]
async fn nothing_half_done_is_hidden() {
    let editable = Editable::with("refused = [\"3\"], trouble = { no_moves = true }").await;
    let (path, tag) = editable.playlist(&[1, 2]).await;
    let items = format!("{path}/items");
    let ids: Vec<String> = editable.entries(&path).await.into_iter().map(|(id, _)| id).collect();
    let moved = json!({"op": "move", "entries": [ids[1]], "before": ids[0]});
    let alone = editable.send(Method::PATCH, &items, Some(&tag), json!({"ops": [moved]})).await;
    alone.expect_problem(422, "unsupported");
    let (_, tag) = (editable.titles(&path).await, editable.host.get(&items).await.header("etag").to_owned());
    let add = json!({"op": "add", "uris": ["ed:track:3", "ed:track:4"]});
    let remove = json!({"op": "remove", "entries": [ids[0]]});
    let reply = editable.send(Method::PATCH, &items, Some(&tag), json!({"ops": [add, moved, remove]})).await;
    let answer = reply.expect(200);
    let results: Vec<_> = answer["results"].as_array().unwrap().iter().map(|one| text(one, "status")).collect();
    assert_eq!(results, ["done", "failed", "not_tried"], "{answer:#}");
    assert_eq!(answer["results"][1]["code"], "unsupported");
    assert_eq!(
        (&answer["refused"][0]["uri"], &answer["refused"][0]["code"]),
        (&json!("ed:track:3"), &json!("provider_restricted"))
    );
    assert_eq!(editable.titles(&path).await, ["One", "Two", "Four"]);
}

#[tokio::test]
async fn somebody_elses_change_is_not_overwritten() {
    let editable = Editable::with("").await;
    let (path, tag) = editable.playlist(&[2, 3]).await;
    let editable = editable.again("trouble = { others_edit = true }").await;
    let items = format!("{path}/items");
    let first = editable.entries(&path).await[0].0.clone();
    let ops = json!({"ops": [{"op": "remove", "entries": [first]}]});
    editable.send(Method::PATCH, &items, Some(&tag), ops).await.expect_problem(412, "version_mismatch");
    assert_eq!(editable.titles(&path).await, ["One", "Two", "Three"], "and the mirror has the change already");
    assert_ne!(editable.host.get(&items).await.header("etag").split('.').next(), tag.strip_suffix('"'));
}

#[tokio::test]
async fn two_changes_under_one_version_are_one_too_many() {
    for settings in ["", "trouble = { no_versions = true }"] {
        let editable = Editable::with(settings).await;
        let (path, tag) = editable.playlist(&[1, 2]).await;
        let items = format!("{path}/items");
        let ids: Vec<String> = editable.entries(&path).await.into_iter().map(|(id, _)| id).collect();
        let remove = |n: usize| json!({"ops": [{"op": "remove", "entries": [ids[n]]}]});
        let (a, b) = tokio::join!(
            editable.send(Method::PATCH, &items, Some(&tag), remove(0)),
            editable.send(Method::PATCH, &items, Some(&tag), remove(1)),
        );
        let mut got = [a.status.as_u16(), b.status.as_u16()];
        got.sort_unstable();
        assert_eq!(got, [200, 412], "{settings}");
        assert_eq!(editable.titles(&path).await.len(), 1);
    }
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_looked_at() {
    let editable = Editable::with("").await;
    let (path, _) = editable.playlist(&[1, 2]).await;
    let editable = editable.again("trouble = { lose_answers = true }").await;
    let items = format!("{path}/items");
    let answer = editable.host.post(&items, &json!({"uris": ["ed:track:3"]})).await.expect(200);
    assert_eq!(answer["results"], json!([{"status": "done"}]));
    assert_eq!(editable.titles(&path).await, ["One", "Two", "Three"]);
    let changed = editable.send(Method::PATCH, &path, None, json!({"name": "Other"})).await.expect(200);
    assert_eq!(changed["name"], "Other");
    let made = editable.host.post("/api/playlists", &json!({"name": "Mix"})).await.expect(201);
    assert_eq!(made["uri"], "ed:playlist:p2");
    assert_eq!(editable.host.delete(&path).await.status, 204);

    let editable = editable.again("trouble = { lose_requests = true }").await;
    let (path, items) = ("/api/playlists/ed:playlist:p2", "/api/playlists/ed:playlist:p2/items");
    let problem =
        editable.host.post(items, &json!({"uris": ["ed:track:3"]})).await.expect_problem(504, "outcome_unknown");
    assert!(text(&problem, "detail").contains("seen now: 0 entries"), "{problem}");
    let lost = editable.send(Method::PATCH, path, None, json!({"name": "Other"})).await;
    lost.expect_problem(504, "outcome_unknown");
    editable.host.post("/api/playlists", &json!({"name": "Mix"})).await.expect_problem(504, "outcome_unknown");
    editable.host.delete(path).await.expect_problem(504, "outcome_unknown");
    assert_eq!(editable.host.get(path).await.expect(200)["name"], "Mix");
}

#[tokio::test]
async fn pictures_are_looked_at_before_they_are_sent_on() {
    let editable = Editable::with("").await;
    let (path, _) = editable.playlist(&[1]).await;
    let put = async |content_type: &str, bytes: Vec<u8>| {
        let request = editable.host.request(Method::PUT, &format!("{path}/image"));
        editable.host.send(request.header("content-type", content_type).body(bytes)).await
    };
    let mut jpeg = vec![0xff, 0xd8, 0xff, 0xe0];
    jpeg.resize(512 << 10, 0);
    assert_eq!(put("image/jpeg", jpeg.clone()).await.status, 204);
    assert!(editable.kept("acct", "image/p1").await.is_some());
    jpeg.push(0);
    put("image/jpeg", jpeg).await.expect_problem(413, "body_too_large");
    put("image/png", vec![0xff, 0xd8, 0xff, 0xe0]).await.expect_problem(422, "invalid_image");
    put("image/gif", b"GIF89a".to_vec()).await.expect_problem(415, "unsupported_media_type");
}

#[tokio::test]
async fn only_owners_and_admins_change_playlists() {
    let mut editable = Editable::with("").await;
    let (path, _) = editable.playlist(&[1]).await;
    editable.connect(None, "shared").await;
    let body = json!({"name": "Shared", "account": "shared"});
    let shared = editable.host.post("/api/playlists", &body).await;
    let shared_path = shared.header("location").to_owned();
    shared.expect(201);
    editable.host.become_user("anna").await;
    let name = json!({"name": "Hers"});
    editable.host.post("/api/playlists", &name).await.expect_problem(403, "admin_required");
    let own = "/api/playlists/ed:playlist:p9";
    editable.send(Method::PATCH, own, None, name.clone()).await.expect_problem(404, "item_not_found");
    // Both accounts number their playlists alike: the one she sees is the shared one.
    assert_eq!(path, shared_path);
    editable.send(Method::PATCH, &path, None, name.clone()).await.expect_problem(403, "admin_required");
    let items = format!("{path}/items");
    editable.host.post(&items, &json!({"uris": ["ed:track:1"]})).await.expect_problem(403, "admin_required");
    editable.host.delete(&path).await.expect_problem(403, "admin_required");

    let music = music();
    let host = scanned(music.path()).await;
    let playlist = host.get("/api/playlists").await.expect(200)["data"][0]["uri"].as_str().unwrap().to_owned();
    let path = format!("/api/playlists/{playlist}");
    host.patch(&path, &name).await.expect_problem(422, "unsupported");
    host.delete(&path).await.expect_problem(422, "unsupported");
    host.post("/api/playlists", &name).await.expect_problem(409, "account_required");
}
