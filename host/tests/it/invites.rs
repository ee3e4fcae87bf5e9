//! Invitations to register.

use reqwest::Method;
use serde_json::{Value, json};
use zotify_host::db;

use crate::support::{PASSWORD, Reply, TestApp};

async fn start() -> TestApp {
    TestApp::with("[auth]\nregistration = \"invite\"\n").await.admin().await
}

async fn invite(host: &TestApp, body: Value) -> Value {
    host.post("/api/admin/invites", &body).await.expect(201)
}

async fn register(host: &TestApp, name: &str, code: &Value) -> Reply {
    host.post("/api/auth/register", &json!({"username": name, "password": PASSWORD, "invite": code})).await
}

async fn list(host: &TestApp) -> Vec<Value> {
    host.get("/api/admin/invites").await.expect(200)["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn an_invitation_makes_one_user() {
    let host = start().await;
    let reply = host.post("/api/admin/invites", &json!({"note": "for Anna"})).await;
    assert_eq!(reply.header("cache-control"), "no-store");
    let made = reply.expect(201);
    let code = &made["code"];
    assert!(code.as_str().unwrap().starts_with("zti_"));
    assert_eq!((&made["state"], &made["role"], &made["note"]), (&json!("open"), &json!("user"), &json!("for Anna")));
    // What is wrong with the rest of a request does not use it up.
    let short = json!({"username": "anna", "password": "short", "invite": code});
    host.post("/api/auth/register", &short).await.expect_problem(422, "validation_failed");
    register(&host, "root-of-tests", code).await.expect_problem(409, "name_taken");
    let user = register(&host, "anna", code).await.expect(201);
    assert_eq!(user["role"], "user");
    register(&host, "ben", code).await.expect_problem(403, "invite_used");
    host.sign_in("anna").await;
    let rows = list(&host).await;
    assert_eq!((&rows[0]["state"], &rows[0]["used_by"]), (&json!("used"), &user["id"]));
    assert!(!rows[0].to_string().contains(code.as_str().unwrap()));
    let actions: Vec<String> =
        sqlx::query_scalar("SELECT action FROM audit_log WHERE action LIKE 'invite.%' ORDER BY seq")
            .fetch_all(host.app.db.read())
            .await
            .unwrap();
    assert_eq!(actions, ["invite.created", "invite.used"]);
}

#[tokio::test]
async fn of_two_at_once_one_gets_in() {
    let host = start().await;
    let code = invite(&host, json!({})).await["code"].clone();
    let names: Vec<_> = (0..6).map(|n| format!("guest-{n}")).collect();
    let replies = futures::future::join_all(names.iter().map(|name| register(&host, name, &code))).await;
    let statuses: Vec<_> = replies.iter().map(|reply| reply.status.as_u16()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    for refused in replies.iter().filter(|reply| reply.status != 201) {
        refused.expect_problem(403, "invite_used");
    }
}

#[tokio::test]
async fn unknown_ended_and_revoked_invitations_open_nothing() {
    let host = start().await;
    for nonsense in [json!(""), json!("zti_x"), json!(format!("zti_{}", "A".repeat(43))), json!("x".repeat(5000))] {
        register(&host, "anna", &nonsense).await.expect_problem(403, "invite_invalid");
    }
    let old = invite(&host, json!({"expires_in_s": 60})).await;
    let mut tx = host.app.db.write().await.unwrap();
    sqlx::query("UPDATE invites SET expires_at = expires_at - 61000").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    register(&host, "anna", &old["code"]).await.expect_problem(403, "invite_expired");
    assert_eq!(list(&host).await[0]["state"], "expired");
    let taken_back = invite(&host, json!({})).await;
    let path = format!("/api/admin/invites/{}", taken_back["id"].as_str().unwrap());
    assert_eq!(host.send(host.request(Method::DELETE, &path)).await.status, 204);
    host.send(host.request(Method::DELETE, &path)).await.expect_problem(404, "invite_not_found");
    host.send(host.request(Method::DELETE, "/api/admin/invites/x")).await.expect_problem(404, "invite_not_found");
    register(&host, "anna", &taken_back["code"]).await.expect_problem(403, "invite_invalid");
    host.post("/api/auth/register", &json!({"username": "anna", "password": PASSWORD}))
        .await
        .expect_problem(403, "invite_required");
}

#[tokio::test]
async fn an_admin_is_invited_only_on_purpose() {
    let host = start().await;
    let code = invite(&host, json!({"role": "admin", "expires_in_s": 3600})).await["code"].clone();
    assert_eq!(register(&host, "anna", &code).await.expect(201)["role"], "admin");
    for (body, code) in [
        (json!({"role": "root"}), "invalid_body"),
        (json!({"expires_in_s": 59}), "validation_failed"),
        (json!({"expires_in_s": 2_592_001}), "validation_failed"),
        (json!({"note": "x".repeat(201)}), "validation_failed"),
        (json!({"note": "a\0b"}), "validation_failed"),
        (json!({"uses": 2}), "invalid_body"),
    ] {
        host.post("/api/admin/invites", &body).await.expect_problem(422, code);
    }
}

#[tokio::test]
async fn who_is_no_admin_any_more_invites_none() {
    let host = start().await;
    for (n, change) in [Some(json!({"role": "user"})), Some(json!({"disabled": true})), None].into_iter().enumerate() {
        let name = format!("admin-{n}");
        host.make_user(&name, true).await;
        let token = host.sign_in(&name).await;
        let make = async |role: &str| {
            let request = host.request_as(&token, Method::POST, "/api/admin/invites").json(&json!({"role": role}));
            host.send(request).await.expect(201)["code"].clone()
        };
        let (admin, user) = (make("admin").await, make("user").await);
        let maker = db::users::find_by_name(host.app.db.read(), &name).await.unwrap().unwrap().id;
        let path = format!("/api/admin/users/{maker}");
        match &change {
            Some(change) => host.patch(&path, change).await.expect(200),
            None => json!(host.delete(&path).await.status.as_u16()),
        };
        register(&host, "mallory", &admin).await.expect_problem(403, "invite_invalid");
        assert!(!list(&host).await.iter().any(|row| row["role"] == "admin"), "it is not listed as an open one");
        if change.is_some() {
            host.patch(&path, &json!({"role": "admin", "disabled": false})).await.expect(200);
            register(&host, "mallory", &admin).await.expect_problem(403, "invite_invalid");
        }
        register(&host, &format!("guest-{n}"), &user).await.expect(201);
    }
}

#[tokio::test]
async fn an_admins_invitation_that_nobody_withdrew_counts_no_longer_than_its_maker() {
    let host = start().await;
    let code = invite(&host, json!({"role": "admin"})).await["code"].clone();
    for (sql, status) in [
        ("UPDATE users SET role = 'user' WHERE name = 'root-of-tests'", 403),
        ("UPDATE users SET role = 'admin', disabled = 1 WHERE name = 'root-of-tests'", 403),
        ("UPDATE invites SET created_by = NULL", 403),
        ("UPDATE users SET disabled = 0", 403),
        ("UPDATE invites SET created_by = (SELECT id FROM users WHERE name = 'root-of-tests')", 201),
    ] {
        let mut tx = host.app.db.write().await.unwrap();
        sqlx::query(sql).execute(&mut *tx).await.unwrap();
        if status == 403 {
            let hash: String = sqlx::query_scalar("SELECT hash FROM invites").fetch_one(&mut *tx).await.unwrap();
            assert!(db::invites::take(&mut tx, &hash, db::now_ms()).await.unwrap().is_none(), "{sql}");
        }
        tx.commit().await.unwrap();
        assert_eq!(register(&host, "anna", &code).await.status, status, "{sql}");
    }
}

#[tokio::test]
async fn invitations_are_for_admins_to_make_and_worth_nothing_where_registration_is_closed() {
    let mut host = TestApp::start().await.admin().await;
    let code = invite(&host, json!({})).await["code"].clone();
    register(&host, "ben", &code).await.expect_problem(403, "registration_closed");
    host.become_user("anna").await;
    host.get("/api/admin/invites").await.expect_problem(403, "admin_required");
    host.post("/api/admin/invites", &json!({})).await.expect_problem(403, "admin_required");
}

#[tokio::test]
async fn invitations_are_paged() {
    let host = start().await;
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(invite(&host, json!({})).await["id"].clone());
    }
    made.sort_by_key(|id| std::cmp::Reverse(id.to_string()));
    let first = host.get("/api/admin/invites?limit=2").await.expect(200);
    let cursor = first["meta"]["next_cursor"].as_str().unwrap();
    let second = host.get(&format!("/api/admin/invites?limit=2&cursor={cursor}")).await.expect(200);
    let rows = [&first["data"], &second["data"]].into_iter().flat_map(|rows| rows.as_array().unwrap());
    assert_eq!(rows.map(|row| row["id"].clone()).collect::<Vec<_>>(), made);
    assert!(second["meta"]["next_cursor"].is_null());
}
