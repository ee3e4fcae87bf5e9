//! What admins do about users.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{sync::oneshot, time::sleep};
use zotify_host::{
    audit::Actor,
    auth::{
        Role,
        keys::NewSecret,
        users::{Change, change},
    },
    db::{self, Dialect},
    privacy::erasure,
};

use crate::support::{PASSWORD, PATIENCE, Reply, TestApp};

async fn id(host: &TestApp, name: &str) -> String {
    db::users::find_by_name(host.app.db.read(), name).await.unwrap().unwrap().id
}

/// A host without the admin that its first start made.
async fn with_one_admin() -> TestApp {
    let host = TestApp::start().await.admin().await;
    assert_eq!(delete(&host, &id(&host, "admin").await).await.status, 204);
    host
}

async fn patch(host: &TestApp, id: &str, body: Value) -> Reply {
    host.send(host.request(Method::PATCH, &format!("/api/admin/users/{id}")).json(&body)).await
}

async fn delete(host: &TestApp, id: &str) -> Reply {
    host.send(host.request(Method::DELETE, &format!("/api/admin/users/{id}"))).await
}

async fn status(host: &TestApp, token: &str) -> Reply {
    host.send(host.request_with(token, Method::GET, "/api/auth/status")).await
}

#[tokio::test]
async fn a_password_that_the_host_made_is_good_once() {
    let host = TestApp::start().await.admin().await;
    let body = json!({"name": "anna", "email": "anna@example.org", "quota": {"sessions": 3}});
    let reply = host.post("/api/admin/users", &body).await;
    assert_eq!(reply.header("cache-control"), "no-store");
    let user = reply.expect(201);
    assert_eq!(
        (&user["must_change_password"], &user["role"], &user["quota"]["sessions"]),
        (&json!(true), &json!("user"), &json!(3))
    );
    let password = user["password"].as_str().unwrap();
    let login = json!({"username": "anna", "password": password});
    let grant = host.post("/api/auth/login", &login).await.expect(200);
    let access = grant["access_token"].as_str().unwrap();
    let ask = |method: Method, path: &str| host.request_with(access, method, path);
    host.send(ask(Method::GET, "/api/user/profile")).await.expect_problem(403, "password_change_required");
    host.send(ask(Method::GET, "/api/auth/status")).await.expect(200);
    let change = json!({"current_password": password, "new_password": "battery staple"});
    host.send(ask(Method::POST, "/api/auth/password").json(&change)).await.expect(200);
    host.send(ask(Method::GET, "/api/user/profile")).await.expect(200);
    let seen = host.get(&format!("/api/admin/users/{}", user["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(seen["must_change_password"], false);
    assert!(seen["last_sign_in_at"].is_string() && seen.get("password_hash").is_none(), "{seen}");
}

#[tokio::test]
async fn users_are_made_with_checked_fields() {
    let host = TestApp::start().await.admin().await;
    let make = async |body: Value| host.post("/api/admin/users", &body).await;
    let user = make(json!({"name": "anna", "password": PASSWORD, "role": "admin"})).await.expect(201);
    assert_eq!((&user["password"], &user["must_change_password"]), (&Value::Null, &json!(false)));
    make(json!({"name": "ANNA"})).await.expect_problem(409, "name_taken");
    for body in [
        json!({"name": "x"}),
        json!({"name": "a\0nna"}),
        json!({"name": "ben", "password": "short"}),
        json!({"name": "ben", "email": "nobody"}),
        json!({"name": "ben", "quota": {"sessions": 0}}),
        json!({"name": "ben", "quota": {"requests_per_minute": 9}}),
        json!({"name": "ben", "quota": {"likes": 10_000_001}}),
    ] {
        make(body).await.expect_problem(422, "validation_failed");
    }
    for body in [
        json!({}),
        json!({"name": "ben", "admin": true}),
        json!({"name": "ben", "quota": {"sessions": -1}}),
        json!({"name": "ben", "quota": [3]}),
    ] {
        make(body).await.expect_problem(422, "invalid_body");
    }
}

#[tokio::test]
async fn users_are_found_by_name_role_and_state() {
    let host = TestApp::start().await.admin().await;
    for name in ["anna", "Annabel", "ben_1", "benx1"] {
        host.make_user(name, false).await;
    }
    patch(&host, &id(&host, "anna").await, json!({"disabled": true})).await.expect(200);
    let names = async |query: &str| {
        let list = host.get(&format!("/api/admin/users{query}")).await.expect(200);
        let rows = list["data"].as_array().unwrap();
        rows.iter().map(|user| user["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("?q=ANNA").await, ["anna", "Annabel"]);
    assert_eq!(names("?q=n_1").await, ["ben_1"], "no wildcards");
    assert_eq!(names("?q=%25").await, Vec::<String>::new());
    assert_eq!(names("?role=admin").await, ["admin", "root-of-tests"]);
    assert_eq!(names("?disabled=true").await, ["anna"]);
    assert_eq!(names("?disabled=false&q=anna").await, ["Annabel"]);
    host.get("/api/admin/users?role=root").await.expect_problem(400, "invalid_query");
    host.get(&format!("/api/admin/users?q={}", "x".repeat(65))).await.expect_problem(400, "invalid_query");
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = host.get(&format!("/api/admin/users?limit=2{cursor}")).await.expect(200);
        all.extend(page["data"].as_array().unwrap().iter().map(|user| user["name"].as_str().unwrap().to_owned()));
        let Some(next) = page["meta"]["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    all.sort();
    assert_eq!(all, ["Annabel", "admin", "anna", "ben_1", "benx1", "root-of-tests"]);
}

#[tokio::test]
async fn disabling_ends_the_sessions_and_enabling_brings_none_back() {
    let host = TestApp::start().await.admin().await;
    host.make_user("anna", false).await;
    let (anna, access) = (id(&host, "anna").await, host.sign_in("anna").await);
    status(&host, &access).await.expect(200);
    assert_eq!(patch(&host, &anna, json!({"disabled": true})).await.expect(200)["disabled"], true);
    assert_eq!(status(&host, &access).await.status, 401);
    patch(&host, &anna, json!({"disabled": false})).await.expect(200);
    status(&host, &access).await.expect_problem(401, "session_revoked");
    host.sign_in("anna").await;
}

#[tokio::test]
async fn roles_and_quotas_change_at_once() {
    let host = TestApp::start().await.admin().await;
    host.make_user("anna", false).await;
    let (anna, access) = (id(&host, "anna").await, host.sign_in("anna").await);
    assert_eq!(status(&host, &access).await.expect(200)["role"], "user");
    patch(&host, &anna, json!({"role": "admin"})).await.expect(200);
    assert_eq!(status(&host, &access).await.expect(200)["role"], "admin");
    let user = patch(&host, &anna, json!({"role": "user", "quota": {"likes": 5}})).await.expect(200);
    assert_eq!(
        (&user["role"], &user["quota"]["likes"], &user["quota"]["plays"]),
        (&json!("user"), &json!(5), &Value::Null)
    );
    assert_eq!(patch(&host, &anna, json!({})).await.expect(200)["quota"]["likes"], 5);
    assert_eq!(patch(&host, &anna, json!({"quota": null})).await.expect(200)["quota"]["likes"], Value::Null);
    patch(&host, &anna, json!({"quota": {"sessions": 0}})).await.expect_problem(422, "validation_failed");
    patch(&host, &anna, json!({"quota": [null, null]})).await.expect_problem(422, "invalid_body");
    patch(&host, &anna, json!({"name": "other"})).await.expect_problem(422, "invalid_body");
    for unknown in ["01KAZ6V1RJQ6Y0M3ZC5M8D2N4T", "x"] {
        patch(&host, unknown, json!({"role": "admin"})).await.expect_problem(404, "user_not_found");
        delete(&host, unknown).await.expect_problem(404, "user_not_found");
        host.get(&format!("/api/admin/users/{unknown}")).await.expect_problem(404, "user_not_found");
    }
    let actions: Vec<String> =
        sqlx::query_scalar("SELECT action FROM audit_log WHERE action LIKE 'user.%' ORDER BY seq")
            .fetch_all(host.app.db.read())
            .await
            .unwrap();
    assert_eq!(actions.iter().filter(|action| *action == "user.role_changed").count(), 2, "{actions:?}");
}

#[tokio::test]
async fn the_last_admin_stays() {
    let host = with_one_admin().await;
    let root = id(&host, "root-of-tests").await;
    for change in [json!({"role": "user"}), json!({"disabled": true})] {
        patch(&host, &root, change).await.expect_problem(409, "last_admin");
    }
    delete(&host, &root).await.expect_problem(409, "last_admin");
    // One who can't sign in does not count.
    host.make_user("anna", true).await;
    patch(&host, &id(&host, "anna").await, json!({"disabled": true})).await.expect(200);
    patch(&host, &root, json!({"role": "user"})).await.expect_problem(409, "last_admin");
    patch(&host, &id(&host, "anna").await, json!({"disabled": false})).await.expect(200);
    patch(&host, &root, json!({"role": "user"})).await.expect(200);
}

#[tokio::test]
async fn two_admins_cannot_remove_each_other_at_once() {
    for round in 0..5 {
        let host = with_one_admin().await;
        host.make_user("anna", true).await;
        let (root, anna) = (id(&host, "root-of-tests").await, id(&host, "anna").await);
        let access = host.sign_in("anna").await;
        let by_anna = host.request_with(&access, Method::PATCH, &format!("/api/admin/users/{root}"));
        let by_anna = host.send(by_anna.json(&json!({"role": "user"})));
        let (a, b) = tokio::join!(by_anna, patch(&host, &anna, json!({"disabled": round % 2 == 0, "role": "user"})));
        let won = [&a, &b].iter().filter(|reply| reply.status == 200).count();
        assert_eq!(won, 1, "{} {}", a.text(), b.text());
        let sql = "SELECT CAST(COUNT(*) AS BIGINT) FROM users WHERE role = 'admin' AND disabled = 0";
        let admins: i64 = sqlx::query_scalar(sql).fetch_one(host.app.db.read()).await.unwrap();
        assert_eq!(admins, 1);
    }
}

#[tokio::test]
async fn an_admin_who_is_being_erased_does_not_count() {
    let host = with_one_admin().await;
    host.make_user("anna", true).await;
    let (root, anna) = (id(&host, "root-of-tests").await, id(&host, "anna").await);
    let mut erasing = host.app.db.write().await.unwrap();
    erasure::begin(&mut erasing, &root).await.unwrap();
    let (app, (started, process)) = (host.app.clone(), oneshot::channel());
    let demoting = tokio::spawn(async move {
        let mut tx = app.db.write().await.unwrap();
        if app.db.dialect() == Dialect::Postgres {
            let sql = "SELECT CAST(pg_backend_pid() AS BIGINT)";
            started.send(sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut *tx).await.unwrap()).unwrap();
        }
        let role = Change { role: Some(Role::User), ..Change::default() };
        let changed = change(&mut tx, &anna, role, Actor::COMMAND).await;
        tx.commit().await.unwrap();
        changed
    });
    // SQLite has one writer. On PostgreSQL the second transaction is under way, and has to wait for the first.
    if host.app.db.dialect() == Dialect::Postgres {
        let process = process.await.unwrap();
        let waits = "SELECT CAST(COUNT(*) AS BIGINT) FROM pg_locks WHERE NOT granted AND pid = $1";
        let since = Instant::now();
        while !demoting.is_finished()
            && sqlx::query_scalar::<_, i64>(waits).bind(process).fetch_one(host.app.db.read()).await.unwrap() == 0
        {
            assert!(since.elapsed() < PATIENCE, "it neither waits nor ends");
            sleep(Duration::from_millis(5)).await;
        }
    }
    erasing.commit().await.unwrap();
    assert_eq!(demoting.await.unwrap().unwrap_err().code(), "last_admin");
}

#[tokio::test]
async fn a_deleted_user_is_gone_with_all_that_was_theirs() {
    let host = TestApp::start().await.admin().await;
    host.make_user("anna", false).await;
    let (anna, access) = (id(&host, "anna").await, host.sign_in("anna").await);
    assert_eq!(delete(&host, &anna).await.status, 204);
    assert_eq!(status(&host, &access).await.status, 401);
    host.get(&format!("/api/admin/users/{anna}")).await.expect_problem(404, "user_not_found");
    let sql = "SELECT CAST(COUNT(*) AS BIGINT) FROM sessions WHERE user_id = $1";
    let sessions: i64 = sqlx::query_scalar(sql).bind(anna.clone()).fetch_one(host.app.db.read()).await.unwrap();
    assert_eq!(sessions, 0);
    host.make_user("anna", false).await;
    assert_ne!(id(&host, "anna").await, anna);
}

#[tokio::test]
async fn who_looked_at_users_is_on_record() {
    let host = TestApp::start().await.admin().await;
    host.make_user("anna", false).await;
    let anna = id(&host, "anna").await;
    let (user, of_anna) = (format!("/api/admin/users/{anna}"), format!("?user={anna}"));
    for path in [
        "/api/admin/users?q=ann&role=user",
        &user,
        "/api/admin/sessions?limit=5",
        &format!("/api/admin/sessions{of_anna}"),
        &format!("/api/admin/sessions?user={}", "x".repeat(3000)),
        "/api/admin/keys",
        &format!("/api/admin/keys{of_anna}"),
        "/api/admin/invites",
    ] {
        host.get(path).await.expect(200);
    }
    host.get(&format!("/api/admin/users/{}", ulid::Ulid::nil())).await.expect_problem(404, "user_not_found");
    let log = host.get("/api/admin/audit?limit=200").await.expect(200);
    let mut read: Vec<_> = log["data"].as_array().unwrap().iter().collect();
    read.retain(|entry| entry["action"].as_str().is_some_and(|action| action.ends_with(".read")));
    read.reverse();
    let told: Vec<_> =
        read.iter().map(|entry| (entry["action"].as_str().unwrap(), &entry["data"], &entry["user"]["id"])).collect();
    let (of_anna, of_all) = (&json!(anna), &Value::Null);
    let expected = [
        ("users.read", &json!({"users": 1}), of_all),
        ("users.read", &json!({"users": 1}), of_anna),
        ("sessions.read", &json!({"sessions": 1}), of_all),
        ("sessions.read", &json!({"sessions": 0}), of_anna),
        ("sessions.read", &json!({"sessions": 0}), of_all),
        ("keys.read", &json!({"keys": 0}), of_all),
        ("keys.read", &json!({"keys": 0}), of_anna),
        ("invites.read", &json!({"invites": 0}), of_all),
    ];
    assert_eq!(told, expected);
    let root = id(&host, "root-of-tests").await;
    assert!(read.iter().all(|entry| entry["actor"]["id"] == root), "{read:#?}");
    assert_eq!(read[0]["personal"]["details"], json!({"q": "ann", "role": "user", "disabled": null}));
}

#[tokio::test]
async fn users_are_for_admins_who_signed_in() {
    let mut host = TestApp::start().await.admin().await;
    let root = id(&host, "root-of-tests").await;
    let new = NewSecret::generate().unwrap();
    let mut tx = host.app.db.write().await.unwrap();
    sqlx::query(
        "INSERT INTO api_keys (id, user_id, name, scopes, created_at) VALUES ('k', $1, 'k', 'admin profile', 0)",
    )
    .bind(root.clone())
    .execute(&mut *tx)
    .await
    .unwrap();
    sqlx::query("INSERT INTO api_key_secrets (prefix, key_id, hash, created_at) VALUES ($1, 'k', $2, 0)")
        .bind(new.prefix.clone())
        .bind(new.hash.clone())
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    host.sign_out();
    let operations = [
        (Method::GET, "/api/admin/users".to_owned()),
        (Method::POST, "/api/admin/users".to_owned()),
        (Method::GET, format!("/api/admin/users/{root}")),
        (Method::PATCH, format!("/api/admin/users/{root}")),
        (Method::DELETE, format!("/api/admin/users/{root}")),
        (Method::GET, "/api/admin/invites".to_owned()),
        (Method::GET, "/api/admin/sessions".to_owned()),
        (Method::DELETE, "/api/auth/sessions".to_owned()),
    ];
    for (method, path) in &operations {
        let request =
            host.request(method.clone(), path).header("x-api-key", &new.secret).json(&json!({"name": "anna"}));
        let request = if *method == Method::PATCH { request.json(&json!({"disabled": true})) } else { request };
        host.send(request).await.expect_problem(403, "session_required");
    }
    host.become_user("anna").await;
    for (method, path) in &operations[..7] {
        let request = host.request(method.clone(), path).json(&json!({"name": "ben"}));
        host.send(request).await.expect_problem(403, "admin_required");
    }
}
