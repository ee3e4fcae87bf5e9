//! API keys: their whole life, what they open, and who may manage them.

mod bootstrap;

use std::time::Instant;

use reqwest::Method;
use serde_json::{Value, json};
use zotify_host::{
    audit::Actor,
    auth::{Credential, keys::manage, scopes, signed},
    db::{self, api_keys::Filter},
    events::{self, Event},
    privacy,
};

use crate::{
    library::{all, music, scanned, text},
    support::{PATIENCE, Reply, TestApp, somebody_waits},
};

const STATUS: &str = "/api/auth/status";

/// Makes a key for who is signed in; answers the reply that shows it.
async fn make(host: &TestApp, scopes: &[&str]) -> Value {
    host.post("/api/user/keys", &json!({ "name": "ci", "scopes": scopes })).await.expect(201)
}

fn secret(key: &Value) -> &str {
    text(key, "key")
}

fn path(key: &Value) -> String {
    format!("/api/user/keys/{}", text(key, "id"))
}

/// Asks with a key until it is refused with a code.
async fn until_refused(host: &TestApp, key: &str, code: &str) {
    let started = Instant::now();
    let reply = loop {
        let reply = host.by_key(key, STATUS).await;
        if reply.status != 200 {
            break reply;
        }
        assert!(started.elapsed() < PATIENCE, "the key works on");
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    };
    reply.expect_problem(401, code);
}

async fn execute(host: &TestApp, sql: &'static str) {
    let mut tx = host.app.db.write().await.unwrap();
    sqlx::query(sql).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    host.app.recent_keys.forget();
    host.app.recent_sessions.forget();
}

/// Action, data and personal part of what is on record, in order.
async fn audited(host: &TestApp) -> Vec<(String, String, String)> {
    sqlx::query_as(
        "SELECT a.action, a.data, p.data AS personal FROM audit_log a JOIN audit_personal p ON p.seq = a.seq
         WHERE a.action LIKE 'api_key.%' ORDER BY a.seq",
    )
    .fetch_all(host.app.db.read())
    .await
    .unwrap()
}

#[tokio::test]
async fn a_key_opens_what_its_scopes_say_until_it_is_revoked() {
    let host = TestApp::start().await.admin().await;
    let reply = host
        .post("/api/user/keys", &json!({"name": "Zoe\u{308}", "scopes": ["profile", "library:read", "profile"]}))
        .await;
    assert_eq!(reply.header("cache-control"), "no-store");
    let key = reply.expect(201);
    assert_eq!((text(&key, "name"), text(&key, "state"), &key["expires_at"]), ("Zoë", "active", &Value::Null));
    assert_eq!(key["scopes"], json!(["profile", "library:read"]));
    assert_eq!((secret(&key).len(), &secret(&key)[..12]), (47, text(&key, "prefix")));

    let status = host.by_key(secret(&key), STATUS).await.expect(200);
    assert_eq!((&status["scopes"], &status["session_id"]), (&key["scopes"], &Value::Null));
    assert_eq!(status["name"], "root-of-tests");
    host.by_key(secret(&key), "/api/library/stats").await.expect(200);
    host.by_key(secret(&key), "/api/jobs").await.expect_problem(403, "insufficient_scope");
    let both = host.request(Method::GET, STATUS).header("x-api-key", secret(&key));
    host.send(both).await.expect_problem(400, "several_credentials");

    // Shown once.
    for reply in [host.get("/api/user/keys").await, host.get(&path(&key)).await, host.get("/api/admin/keys").await] {
        assert!(
            reply.status == 200 && reply.text().contains(text(&key, "prefix")) && !reply.text().contains(secret(&key))
        );
    }
    assert_eq!(host.patch(&path(&key), &json!({"name": "mine"})).await.expect(200)["name"], "mine");
    assert_eq!(host.delete(&path(&key)).await.status, 204);
    host.by_key(secret(&key), STATUS).await.expect_problem(401, "api_key_revoked");
    let gone = host.get(&path(&key)).await.expect(200);
    assert_eq!((text(&gone, "state"), gone["revoked_at"].is_string()), ("revoked", true));
    assert_eq!(host.delete(&path(&key)).await.status, 204, "once is enough");
    host.patch(&path(&key), &json!({"name": "x"})).await.expect_problem(409, "api_key_revoked");
    host.post(&format!("{}/rotate", path(&key)), &json!({})).await.expect_problem(409, "api_key_revoked");

    let record = audited(&host).await;
    let actions: Vec<_> = record.iter().map(|(action, ..)| action.as_str()).collect();
    assert_eq!(actions, ["api_key.created", "api_key.changed", "api_key.revoked"]);
    for (_, data, personal) in &record {
        assert!(data.contains(text(&key, "id")) && data.contains("\"via\":\"session\""), "{data}");
        assert!(
            !data.contains("Zoë") && !data.contains("mine") && !personal.contains(secret(&key)),
            "{data} {personal}"
        );
    }
    assert!(record[0].2.contains("Zoë"), "{}", record[0].2);
    let events = db::events::after(host.app.db.read(), 0, 1000).await.unwrap();
    let events: Vec<_> = events.iter().filter(|e| e.kind.starts_with("api_key.")).collect();
    assert_eq!(events.iter().map(|e| e.kind.as_str()).collect::<Vec<_>>(), actions);
    assert!(events.iter().all(|e| e.user_id.is_some() && !e.data.contains(secret(&key))));
}

#[tokio::test]
async fn a_rotation_leaves_the_former_secret_for_a_while() {
    let host = TestApp::start().await.admin().await;
    let first = make(&host, &["profile"]).await;
    let rotate = format!("{}/rotate", path(&first));
    let second = host.post(&rotate, &json!({})).await;
    assert_eq!(second.header("cache-control"), "no-store");
    let second = second.expect(200);
    assert_eq!(first["id"], second["id"]);
    assert!(second["former_expires_at"].is_string(), "{second}");
    for key in [&first, &second] {
        host.by_key(secret(key), STATUS).await.expect(200);
    }
    // Without a body too; the one before the former ends at once.
    let third = host.send(host.request(Method::POST, &rotate)).await.expect(200);
    host.by_key(secret(&first), STATUS).await.expect_problem(401, "api_key_expired");
    for key in [&second, &third] {
        host.by_key(secret(key), STATUS).await.expect(200);
    }
    let fourth = host.post(&rotate, &json!({"overlap_s": 0})).await.expect(200);
    for key in [&second, &third] {
        host.by_key(secret(key), STATUS).await.expect_problem(401, "api_key_expired");
    }
    host.by_key(secret(&first), STATUS).await.expect_problem(401, "invalid_api_key");
    assert_eq!(host.get(&path(&first)).await.expect(200)["prefix"], fourth["prefix"]);
    for overlap in [json!(-1), json!(604_801)] {
        host.post(&rotate, &json!({"overlap_s": overlap})).await.expect_problem(422, "validation_failed");
    }
    // Two at once leave one newest secret, and one that ends.
    let body = json!({});
    let (left, right) = tokio::join!(host.post(&rotate, &body), host.post(&rotate, &body));
    let both = [left.expect(200), right.expect(200)];
    for key in &both {
        host.by_key(secret(key), STATUS).await.expect(200);
    }
    host.by_key(secret(&fourth), STATUS).await.expect_problem(401, "api_key_expired");
    assert_eq!(host.get("/api/user/keys").await.expect(200)["data"].as_array().unwrap().len(), 1);
    assert_eq!(host.delete(&path(&first)).await.status, 204);
    for key in &both {
        host.by_key(secret(key), STATUS).await.expect_problem(401, "api_key_revoked");
    }
}

#[tokio::test]
async fn what_a_key_is_made_from_is_checked() {
    let mut host = TestApp::start().await;
    host.become_user("anna").await;
    let base = json!({"name": "ci", "scopes": ["profile"]});
    for (field, value, code) in [
        ("name", json!(""), "too_short"),
        ("name", json!("x".repeat(65)), "too_long"),
        ("name", json!("x".repeat(100_000)), "too_long"),
        ("name", json!("a\u{0}b"), "invalid_characters"),
        ("name", json!("a\nb"), "invalid_characters"),
        ("scopes", json!([]), "too_short"),
        ("scopes", json!(["profile", "library:delete"]), "unknown_scope"),
        ("scopes", json!([""]), "unknown_scope"),
        ("expires_in_s", json!(59), "out_of_range"),
        ("expires_in_s", json!(-1), "out_of_range"),
        ("expires_in_s", json!(i64::MAX), "out_of_range"),
    ] {
        let mut body = base.clone();
        body[field] = value;
        let problem = host.post("/api/user/keys", &body).await.expect_problem(422, "validation_failed");
        assert_eq!((&problem["errors"][0]["field"], &problem["errors"][0]["code"]), (&json!(field), &json!(code)));
    }
    let problem = host.post("/api/user/keys", &json!({"name": "", "scopes": [], "expires_in_s": 0})).await;
    assert_eq!(problem.expect_problem(422, "validation_failed")["errors"].as_array().unwrap().len(), 3);
    for body in [
        json!({"name": "ci"}),
        json!({"name": "ci", "scopes": "profile"}),
        json!({"name": "ci", "scopes": ["profile"], "owner": "ben"}),
        json!({"name": null, "scopes": ["profile"]}),
        json!({"name": "ci", "scopes": ["profile"], "expires_in_s": 1.5}),
    ] {
        host.post("/api/user/keys", &body).await.expect_problem(422, "invalid_body");
    }
    let twice = r#"{"name": "a", "name": "b", "scopes": ["profile"]}"#;
    let twice = host.request(Method::POST, "/api/user/keys").header("content-type", "application/json").body(twice);
    assert_eq!(host.send(twice).await.status, 422);
    let admin = host.post("/api/user/keys", &json!({"name": "ci", "scopes": ["profile", "admin"]})).await;
    assert!(text(&admin.expect_problem(403, "scope_not_held"), "detail").contains("admin"));
    assert_eq!(host.get("/api/user/keys").await.expect(200)["data"], json!([]), "nothing was made");

    let key = path(&make(&host, &["profile"]).await);
    for at in [json!("2001-01-01T00:00:00Z"), json!("9999-01-01T00:00:00Z"), json!("tomorrow"), json!("")] {
        host.patch(&key, &json!({"expires_at": at})).await.expect_problem(422, "validation_failed");
    }
    host.patch(&key, &json!({"scopes": ["profile"]})).await.expect_problem(422, "invalid_body");
    assert_eq!(host.patch(&key, &json!({})).await.expect(200)["name"], "ci");
    for id in ["x", "01KAZ6V1RJQ6Y0M3ZC5M8D2N4T", "%00"] {
        host.get(&format!("/api/user/keys/{id}")).await.expect_problem(404, "key_not_found");
    }
}

#[tokio::test]
async fn what_is_no_key_opens_nothing() {
    let host = TestApp::start().await.admin().await;
    let key = make(&host, &["profile"]).await;
    let key = secret(&key);
    host.by_key(key, STATUS).await.expect(200);
    let other_end = format!("{}{}", &key[..46], if key.ends_with('A') { 'B' } else { 'A' });
    let unknown = format!("ztf_{}", "A".repeat(43));
    for bad in ["", "x", &other_end, &unknown, &key[..12], &format!("{key}="), &key.to_uppercase(), &"k".repeat(10_000)]
    {
        host.by_key(bad, STATUS).await.expect_problem(401, "invalid_api_key");
    }
    let bytes = host.anonymous(Method::GET, STATUS).header("x-api-key", b"ztf_\xff".as_slice());
    host.send(bytes).await.expect_problem(401, "invalid_api_key");
}

#[tokio::test]
async fn keys_manage_no_keys() {
    let host = TestApp::start().await.admin().await;
    let key = make(&host, &scopes::ALL).await;
    for (method, path) in [
        (Method::GET, "/api/user/keys".to_owned()),
        (Method::POST, "/api/user/keys".into()),
        (Method::GET, path(&key)),
        (Method::PATCH, path(&key)),
        (Method::DELETE, path(&key)),
        (Method::POST, format!("{}/rotate", path(&key))),
        (Method::GET, "/api/admin/keys".into()),
        (Method::DELETE, format!("/api/admin/keys/{}", text(&key, "id"))),
    ] {
        let body = json!({"name": "more", "scopes": ["profile"]});
        let body = if path.ends_with("/rotate") || method == Method::PATCH { json!({}) } else { body };
        let request = host.anonymous(method.clone(), &path).header("x-api-key", secret(&key)).json(&body);
        let reply: Reply = host.send(request).await;
        assert_eq!(reply.status, 403, "{method} {path}: {}", reply.text());
        reply.expect_problem(403, "session_required");
    }
    host.by_key(secret(&key), STATUS).await.expect(200);
}

#[tokio::test]
async fn a_key_is_worth_what_its_user_is() {
    let host = TestApp::start().await.admin().await;
    let key = make(&host, &["profile", "admin"]).await;
    let scopes = async || host.by_key(secret(&key), STATUS).await.expect(200)["scopes"].clone();
    assert_eq!(scopes().await, json!(["profile", "admin"]));
    let renamed = host.patch("/api/user/profile", &json!({"name": "Root of Tests"})).await.expect(200);
    assert_eq!(host.by_key(secret(&key), STATUS).await.expect(200)["name"], renamed["name"], "at once");
    host.patch("/api/user/profile", &json!({"name": "root-of-tests"})).await.expect(200);
    execute(&host, "UPDATE users SET role = 'user' WHERE name = 'root-of-tests'").await;
    assert_eq!(scopes().await, json!(["profile"]));
    execute(&host, "UPDATE users SET disabled = 1 WHERE name = 'root-of-tests'").await;
    host.by_key(secret(&key), STATUS).await.expect_problem(401, "user_disabled");
    execute(&host, "UPDATE users SET disabled = 0, role = 'admin' WHERE name = 'root-of-tests'").await;
    assert_eq!(scopes().await, json!(["profile", "admin"]));
}

#[tokio::test]
async fn a_key_ends_in_time_and_its_use_is_noted() {
    let host = TestApp::start().await.admin().await;
    let body = json!({"name": "ci", "scopes": ["profile"], "expires_in_s": 60});
    let key = host.post("/api/user/keys", &body).await.expect(201);
    assert!(key["expires_at"].is_string() && key["last_used_at"].is_null(), "{key}");
    let status = host.by_key(secret(&key), STATUS).await.expect(200);
    assert_eq!(status["expires_at"], key["expires_at"]);
    host.until(&path(&key), |key| key["last_used_at"].is_string()).await;
    let soon = zotify_host::api::rfc3339(db::now_ms() + 300);
    let patched = host.patch(&path(&key), &json!({"expires_at": soon})).await.expect(200);
    assert_eq!(patched["expires_at"], soon);
    until_refused(&host, secret(&key), "api_key_expired").await;
    assert_eq!(host.get(&path(&key)).await.expect(200)["state"], "expired");
    host.post(&format!("{}/rotate", path(&key)), &json!({})).await.expect_problem(409, "api_key_expired");
    let patched = host.patch(&path(&key), &json!({"expires_at": null})).await.expect(200);
    assert_eq!((&patched["expires_at"], &patched["state"]), (&Value::Null, &json!("active")));
    host.by_key(secret(&key), STATUS).await.expect(200);
}

#[tokio::test]
async fn there_are_as_many_keys_as_the_quota_says() {
    let host = TestApp::with("[quotas]\napi_keys = 3").await.admin().await;
    let body = json!({"name": "ci", "scopes": ["profile"]});
    let (a, b, c, d, e) = tokio::join!(
        host.post("/api/user/keys", &body),
        host.post("/api/user/keys", &body),
        host.post("/api/user/keys", &body),
        host.post("/api/user/keys", &body),
        host.post("/api/user/keys", &body),
    );
    let (made, refused): (Vec<_>, Vec<_>) = [a, b, c, d, e].into_iter().partition(|reply| reply.status == 201);
    assert_eq!(made.len(), 3);
    for reply in refused {
        assert!(text(&reply.expect_problem(403, "quota_exceeded"), "detail").contains("3 API keys"));
    }
    assert_eq!(host.delete(&path(&made[0].json())).await.status, 204);
    make(&host, &["profile"]).await;
    // Revoked ones are forgotten after a while.
    execute(&host, "UPDATE api_keys SET revoked_at = 1 WHERE revoked_at IS NOT NULL").await;
    assert_eq!(host.get("/api/user/keys").await.expect(200)["data"].as_array().unwrap().len(), 4);
    privacy::clear(&host.app, db::now_ms()).await.unwrap();
    assert_eq!(host.delete(&path(&made[1].json())).await.status, 204);
    make(&host, &["profile"]).await;
    let page = host.get("/api/user/keys?limit=3").await.expect(200);
    let next =
        host.get(&format!("/api/user/keys?limit=3&cursor={}", text(&page["meta"], "next_cursor"))).await.expect(200);
    let ids: Vec<_> = [&page, &next].into_iter().flat_map(|page| page["data"].as_array().unwrap()).collect();
    assert_eq!((ids.len(), next["meta"]["next_cursor"].is_null()), (4, true));
    assert!(!ids.iter().any(|key| key["id"] == made[0].json()["id"]));
    assert!(ids.windows(2).all(|pair| text(pair[0], "created_at") >= text(pair[1], "created_at")));
}

#[tokio::test]
async fn one_users_keys_do_not_exist_for_others() {
    let mut host = TestApp::start().await;
    host.become_user("anna").await;
    let key = make(&host, &["profile"]).await;
    host.become_user("ben").await;
    assert_eq!(host.get("/api/user/keys").await.expect(200)["data"], json!([]));
    host.get(&path(&key)).await.expect_problem(404, "key_not_found");
    host.patch(&path(&key), &json!({"name": "x"})).await.expect_problem(404, "key_not_found");
    host.delete(&path(&key)).await.expect_problem(404, "key_not_found");
    host.post(&format!("{}/rotate", path(&key)), &json!({})).await.expect_problem(404, "key_not_found");
    host.get("/api/admin/keys").await.expect_problem(403, "admin_required");
    host.delete(&format!("/api/admin/keys/{}", text(&key, "id"))).await.expect_problem(403, "admin_required");
    host.by_key(secret(&key), STATUS).await.expect(200);
}

#[tokio::test]
async fn admins_see_and_revoke_everybodys_keys() {
    let mut host = TestApp::start().await;
    host.become_user("anna").await;
    let annas = make(&host, &["profile"]).await;
    let mut host = host.admin().await;
    let mine = make(&host, &["profile"]).await;
    let list = host.get("/api/admin/keys").await.expect(200);
    assert_eq!(
        (list["data"][0]["id"].clone(), list["data"][1]["id"].clone()),
        (mine["id"].clone(), annas["id"].clone())
    );
    assert_eq!(list["data"][1]["user"]["name"], "anna");
    let id = text(&list["data"][1]["user"], "id").to_owned();
    let filtered = host.get(&format!("/api/admin/keys?user={id}")).await.expect(200);
    assert_eq!((filtered["data"].as_array().unwrap().len(), &filtered["data"][0]["id"]), (1, &annas["id"]));
    for nobody in ["x", "%00", "' OR 1=1"] {
        assert_eq!(host.get(&format!("/api/admin/keys?user={nobody}")).await.expect(200)["data"], json!([]));
    }
    let path = format!("/api/admin/keys/{}", text(&annas, "id"));
    assert_eq!(host.delete(&path).await.status, 204);
    host.by_key(secret(&annas), STATUS).await.expect_problem(401, "api_key_revoked");
    host.delete("/api/admin/keys/nothing").await.expect_problem(404, "key_not_found");
    let record = audited(&host).await;
    assert_eq!(record.last().unwrap().0, "api_key.revoked");
    host.sign_out();
    host.get("/api/admin/keys").await.expect_problem(401, "missing_credentials");
}

#[tokio::test]
async fn links_of_a_key_end_with_it() {
    let music = music();
    let host = scanned(music.path()).await;
    let track = text(&all(&host, "tracks").await[0], "uri").to_owned();
    let key = make(&host, &["catalog:read"]).await;
    let request = host.anonymous(Method::POST, &format!("/api/tracks/{track}/media-url"));
    let link = host.send(request.header("x-api-key", secret(&key)).json(&json!({}))).await.expect(200);
    let link = text(&link, "url").to_owned();
    let link = &link[link.find("/api/").unwrap()..];
    assert_eq!(host.send(host.anonymous(Method::GET, link)).await.status, 200);
    // A key that was given another secret is the same key.
    host.post(&format!("{}/rotate", path(&key)), &json!({"overlap_s": 0})).await.expect(200);
    assert_eq!(host.send(host.anonymous(Method::GET, link)).await.status, 200);
    assert_eq!(host.delete(&path(&key)).await.status, 204);
    host.send(host.anonymous(Method::GET, link)).await.expect_problem(401, "api_key_revoked");
}

#[tokio::test]
async fn two_changes_of_a_key_at_once_are_both_made() {
    let host = TestApp::start().await.admin().await;
    let key = make(&host, &["profile"]).await;
    let user = host.get(STATUS).await.expect(200)["user_id"].as_str().unwrap().to_owned();
    let mut tx = host.app.db.write().await.unwrap();
    db::state::lock(&mut tx, &format!("api_keys.{user}")).await.unwrap();
    db::api_keys::update(&mut tx, text(&key, "id"), "renamed", None).await.unwrap();
    let rename = async {
        somebody_waits(&mut tx).await;
        tx.commit().await.unwrap();
    };
    let end = json!({"expires_at": zotify_host::api::rfc3339(db::now_ms() + 60_000)});
    let (patched, ()) = tokio::join!(async { host.patch(&path(&key), &end).await.expect(200) }, rename);
    assert_eq!((&patched["name"], &patched["expires_at"]), (&json!("renamed"), &end["expires_at"]));
    assert_eq!(host.get(&path(&key)).await.expect(200), patched);
}

#[tokio::test]
async fn who_revokes_several_keys_waits_for_nobody_who_waits_for_it() {
    let host = TestApp::start().await.admin().await;
    make(&host, &["profile"]).await;
    let last = make(&host, &["profile"]).await;
    let rows = db::api_keys::list(host.app.db.read(), Filter { limit: 9, ..Filter::default() }).await.unwrap();
    let mut other = host.app.db.write().await.unwrap();
    db::api_keys::revoke(&mut other, text(&last, "id"), db::now_ms()).await.unwrap();
    let revoke_all = async {
        let mut tx = host.app.db.write().await.unwrap();
        let revoked = manage::revoke_all(&mut tx, &rows, Actor::COMMAND).await.unwrap();
        tx.commit().await.unwrap();
        revoked
    };
    let tell = async {
        somebody_waits(&mut other).await;
        let event = Event { kind: "api_key.revoked", subject: None, user: None, data: json!({}) };
        events::emit(&mut other, event).await.unwrap();
        other.commit().await.unwrap();
    };
    let (revoked, ()) = tokio::join!(revoke_all, tell);
    assert_eq!(revoked, 1);
    let states = host.get("/api/user/keys").await.expect(200)["data"].clone();
    assert!(states.as_array().unwrap().iter().all(|key| key["state"] == "revoked"), "{states}");
}

#[tokio::test]
async fn other_nodes_see_a_revocation() {
    if std::env::var_os("ZOTIFY_TEST_DATABASE_URL").is_none() {
        return;
    }
    let a = TestApp::start().await.admin().await;
    let b = a.beside("").await;
    let key = make(&a, &["profile"]).await;
    b.by_key(secret(&key), STATUS).await.expect(200);
    let rotated = a.post(&format!("{}/rotate", path(&key)), &json!({"overlap_s": 0})).await.expect(200);
    until_refused(&b, secret(&key), "api_key_expired").await;
    b.by_key(secret(&rotated), STATUS).await.expect(200);
    assert_eq!(b.delete(&path(&key)).await.status, 204);
    until_refused(&a, secret(&rotated), "api_key_revoked").await;
}

#[tokio::test]
async fn a_password_that_has_to_be_changed_holds_keys_and_links_back_too() {
    let mut host = TestApp::start().await.admin().await;
    host.make_user("anna", false).await;
    let token = host.sign_in("anna").await;
    let body = json!({"name": "player", "scopes": ["profile", "catalog:read"]});
    let made = host.send(host.request_with(&token, Method::POST, "/api/user/keys").json(&body)).await.expect(201);
    let key = made["key"].as_str().unwrap();
    host.by_key(key, "/api/user/profile").await.expect(200);
    let me = host.by_key(key, "/api/auth/status").await.expect(200);
    let credential = Credential::Key { id: made["id"].as_str().unwrap().to_owned(), bootstrap: false };
    let sig = signed::sign(&host.app, &credential, "local:track:x", db::now_ms() + 60_000);
    let user = format!("/api/admin/users/{}", me["user_id"].as_str().unwrap());
    host.patch(&user, &json!({"must_change_password": true})).await.expect(200);
    host.by_key(key, "/api/user/profile").await.expect_problem(403, "password_change_required");
    host.by_key(key, "/api/auth/status").await.expect(200);
    host.sign_out();
    let media = host.get(&format!("/api/tracks/local:track:x/media?sig={sig}")).await;
    media.expect_problem(403, "password_change_required");
    host.stop().await;
}
