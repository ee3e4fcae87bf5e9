//! Sign-in, sessions, users.

use std::time::Duration;

use axum::{Router, body::Body, http::Request, routing::get};
use reqwest::Method;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use zotify_host::{auth, db};

use crate::support::{PATIENCE, Reply, TestApp, somebody_waits};

async fn login(host: &TestApp, name: &str, password: &str) -> Reply {
    host.post("/api/auth/login", &json!({"username": name, "password": password})).await
}

async fn ask(host: &TestApp, path: &str, token: &str) -> Reply {
    host.send(host.request(Method::GET, path).bearer_auth(token)).await
}

fn token(grant: &Value, name: &str) -> String {
    grant[name].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn registration_is_closed_unless_configured() {
    let body = json!({"username": "anna", "password": "correct horse"});
    let closed = TestApp::start().await;
    closed.post("/api/auth/register", &body).await.expect_problem(403, "registration_closed");
    let invite = TestApp::with("[auth]\nregistration = \"invite\"\n").await;
    invite.post("/api/auth/register", &body).await.expect_problem(403, "invite_required");
}

#[tokio::test]
async fn a_registered_user_signs_in_by_any_spelling_of_the_name() {
    let host = TestApp::with("[auth]\nregistration = \"open\"\n").await;
    let body = json!({"username": "Zoë", "password": "correct horse", "email": "zoe@example.org"});
    let user = host.post("/api/auth/register", &body).await.expect(201);
    assert_eq!(
        (&user["name"], &user["role"], &user["email"]),
        (&json!("Zoë"), &json!("user"), &json!("zoe@example.org"))
    );
    assert!(!user.to_string().contains("argon2"));
    host.post("/api/auth/register", &body).await.expect_problem(409, "name_taken");
    let grant = login(&host, "ZOE\u{308}", "correct horse").await;
    assert_eq!(grant.header("cache-control"), "no-store");
    let grant = grant.expect(200);
    assert_eq!((&grant["token_type"], &grant["expires_in"]), (&json!("bearer"), &json!(900)));
    let status = ask(&host, "/api/auth/status", &token(&grant, "access_token")).await.expect(200);
    assert_eq!((&status["user_id"], &status["role"]), (&user["id"], &json!("user")));
    let scopes = status["scopes"].as_array().unwrap();
    assert!(scopes.contains(&json!("library:write")) && !scopes.contains(&json!("admin")), "{status}");
}

#[tokio::test]
async fn bad_registrations_name_every_field() {
    let host = TestApp::with("[auth]\nregistration = \"open\"\n").await;
    let body = json!({"username": " x", "password": "short", "email": "nobody"});
    let problem = host.post("/api/auth/register", &body).await.expect_problem(422, "validation_failed");
    let fields: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|e| e["field"].clone()).collect();
    assert_eq!(fields, ["username", "email", "password"]);
    let huge = json!({"username": "anna", "password": "x".repeat(1_000_000)});
    host.post("/api/auth/register", &huge).await.expect_problem(413, "body_too_large");
    let long = json!({"username": "anna", "password": "x".repeat(1025)});
    host.post("/api/auth/register", &long).await.expect_problem(422, "validation_failed");
    host.post("/api/auth/register", &json!({"username": "anna"})).await.expect_problem(422, "invalid_body");
    host.post("/api/auth/register", &json!({"username": "a\u{0}nna", "password": "correct horse"}))
        .await
        .expect_problem(422, "validation_failed");
}

#[tokio::test]
async fn sign_in_takes_the_oauth_form() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    let form = |fields: &[(&str, &str)]| host.request(Method::POST, "/api/auth/login").form(fields);
    let password = ("password", "a long enough password");
    let grant = host.send(form(&[("grant_type", "password"), ("username", "anna"), password])).await.expect(200);
    assert!(token(&grant, "refresh_token").starts_with("ztr_"));
    host.send(form(&[("username", "anna"), password])).await.expect(200);
    let client = [("scope", "profile"), ("client_id", "player"), ("client_secret", "none")];
    let full = [&[("grant_type", "password"), ("username", "anna"), password], client.as_slice()].concat();
    let grant = host.send(form(&full)).await.expect(200);
    let next = |grant_type: &str| {
        let token = ("refresh_token", grant["refresh_token"].as_str().unwrap());
        let fields = [&[("grant_type", grant_type), token], client.as_slice()].concat();
        host.request(Method::POST, "/api/auth/refresh").form(&fields)
    };
    host.send(next("password")).await.expect_problem(400, "unsupported_grant_type");
    host.send(next("refresh_token")).await.expect(200);
    host.send(form(&[("username", "anna"), password, ("kin", "ui")])).await.expect_problem(422, "invalid_body");
    host.send(form(&[("grant_type", "client_credentials"), ("username", "anna"), password]))
        .await
        .expect_problem(400, "unsupported_grant_type");
    host.send(form(&[("username", "anna")])).await.expect_problem(422, "invalid_body");
}

#[tokio::test]
async fn unknown_fields_and_secrets_of_the_wrong_type_are_refused_and_not_repeated() {
    let host = TestApp::with("[auth]\nregistration = \"open\"\n").await.admin().await;
    for (path, body, field) in [
        ("/api/auth/login", json!({"username": "anna", "password": 12_345_678}), "password"),
        ("/api/auth/login", json!({"username": "anna", "password": {"12345678": null}}), "password"),
        ("/api/auth/login", json!({"username": "anna", "password": null}), "password"),
        ("/api/auth/refresh", json!({"refresh_token": 12_345_678}), "refresh_token"),
        ("/api/auth/register", json!({"username": "anna", "password": -12_345_678}), "password"),
        ("/api/auth/register", json!({"username": "anna", "password": "x", "invite": 12_345_678.5}), "invite"),
        ("/api/auth/password", json!({"current_password": "x", "new_password": ["12345678"]}), "new_password"),
        ("/api/auth/password", json!({"current_password": 12_345_678, "new_password": "x"}), "current_password"),
        ("/api/admin/users", json!({"name": "anna", "password": 12_345_678}), "password"),
    ] {
        let problem = host.post(path, &body).await.expect_problem(422, "invalid_body");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(&format!("{field}: must be a string")) && !detail.contains("12345678"), "{detail}");
    }
    let half = r#"{"username": "anna", "password": "1234"#;
    let half = host.anonymous(Method::POST, "/api/auth/login").header("content-type", "application/json").body(half);
    host.send(half).await.expect_problem(400, "invalid_json");
    for (path, body) in [
        ("/api/auth/login", json!({"username": "anna", "password": "x", "Kind": "ui"})),
        ("/api/auth/refresh", json!({"refresh_token": "ztr_x", "key": "1"})),
    ] {
        host.post(path, &body).await.expect_problem(422, "invalid_body");
    }
}

#[tokio::test]
async fn unknown_users_and_wrong_passwords_look_alike() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    let mut wrong = login(&host, "anna", "not the password").await.expect_problem(401, "invalid_credentials");
    for (name, password) in [("nobody", "not the password"), ("a\u{0}nna", "x"), ("", ""), ("anna", &"x".repeat(2000))]
    {
        let mut other = login(&host, name, password).await.expect_problem(401, "invalid_credentials");
        wrong["request_id"].take();
        other["request_id"].take();
        assert_eq!(wrong, other);
    }
}

#[tokio::test]
async fn only_good_tokens_are_taken() {
    let host = TestApp::start().await;
    let reply = host.get("/api/auth/status").await;
    reply.expect_problem(401, "missing_credentials");
    assert_eq!(reply.header("www-authenticate"), "Bearer realm=\"zotify\"");
    for bad in ["", "x", "a.b.c", &"x".repeat(5000)] {
        ask(&host, "/api/auth/status", bad).await.expect_problem(401, "invalid_token");
    }
    let twice = host.request(Method::GET, "/api/auth/status").bearer_auth("a").bearer_auth("b");
    host.send(twice).await.expect_problem(400, "several_credentials");
    let basic = host.request(Method::GET, "/api/auth/status").basic_auth("anna", Some("x"));
    host.send(basic).await.expect_problem(401, "invalid_token");
    // A token of another host, whose keys are others.
    let other = TestApp::start().await;
    other.make_user("anna", false).await;
    let foreign = other.sign_in("anna").await;
    ask(&other, "/api/auth/status", &foreign).await.expect(200);
    ask(&host, "/api/auth/status", &foreign).await.expect_problem(401, "token_foreign");
}

#[tokio::test]
async fn signing_out_ends_both_tokens_at_once() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    let grant = login(&host, "anna", "a long enough password").await.expect(200);
    let access = token(&grant, "access_token");
    let other = host.sign_in("anna").await;
    let reply = host.send(host.request(Method::POST, "/api/auth/logout").bearer_auth(&access)).await;
    assert_eq!(reply.status, 204);
    ask(&host, "/api/auth/status", &access).await.expect_problem(401, "session_revoked");
    let body = json!({"refresh_token": grant["refresh_token"]});
    host.post("/api/auth/refresh", &body).await.expect_problem(401, "session_revoked");
    ask(&host, "/api/auth/status", &other).await.expect(200);
}

#[tokio::test]
async fn refresh_tokens_rotate_and_a_copy_ends_the_session() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    let first = login(&host, "anna", "a long enough password").await.expect(200);
    let refresh =
        async |grant: &Value| host.post("/api/auth/refresh", &json!({"refresh_token": grant["refresh_token"]})).await;
    let second = refresh(&first).await.expect(200);
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    ask(&host, "/api/auth/status", &token(&second, "access_token")).await.expect(200);
    refresh(&first).await.expect_problem(401, "refresh_token_reused");
    ask(&host, "/api/auth/status", &token(&second, "access_token")).await.expect_problem(401, "session_revoked");
    refresh(&second).await.expect_problem(401, "session_revoked");
    for bad in ["", "x", "ztr_x", &"ztr_".repeat(100)] {
        let reply = host.post("/api/auth/refresh", &json!({"refresh_token": bad})).await;
        reply.expect_problem(401, "invalid_refresh_token");
    }
}

#[tokio::test]
async fn of_many_refreshes_at_once_one_wins() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    let grant = login(&host, "anna", "a long enough password").await.expect(200);
    let body = json!({"refresh_token": grant["refresh_token"]});
    let replies = futures::future::join_all((0..8).map(|_| host.post("/api/auth/refresh", &body))).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 1);
}

#[tokio::test]
async fn a_disabled_user_is_out_at_once() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    let access = host.sign_in("anna").await;
    let mut tx = host.app.db.write().await.unwrap();
    sqlx::query("UPDATE users SET disabled = 1 WHERE name = 'anna'").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    ask(&host, "/api/auth/status", &access).await.expect_problem(401, "user_disabled");
    login(&host, "anna", "a long enough password").await.expect_problem(401, "user_disabled");
    login(&host, "anna", "not the password").await.expect_problem(401, "invalid_credentials");
}

#[tokio::test]
async fn a_role_changed_elsewhere_is_seen_within_a_second() {
    let host = TestApp::start().await;
    host.make_user("anna", true).await;
    let access = host.sign_in("anna").await;
    let role = async || ask(&host, "/api/auth/status", &access).await.expect(200)["role"].clone();
    assert_eq!(role().await, "admin");
    let mut tx = host.app.db.write().await.unwrap();
    sqlx::query("UPDATE users SET role = 'user' WHERE name = 'anna'").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let changed = async {
        while role().await != "user" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, changed).await.unwrap();
}

#[tokio::test]
async fn guessing_is_slowed_down_per_name() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    host.make_user("ben", false).await;
    for _ in 0..9 {
        login(&host, "anna", "not the password").await.expect_problem(401, "invalid_credentials");
    }
    // A right password in between forgives them.
    login(&host, "anna", "a long enough password").await.expect(200);
    let mut blocked = None;
    for _ in 0..16 {
        let reply = login(&host, "Anna", "not the password").await;
        if reply.status == 429 {
            blocked = Some(reply);
            break;
        }
    }
    let blocked = blocked.expect("no guess was refused");
    blocked.expect_problem(429, "too_many_attempts");
    assert!(blocked.header("retry-after").parse::<u64>().unwrap() >= 1);
    login(&host, "ben", "a long enough password").await.expect(200);
}

#[tokio::test]
async fn other_addresses_of_one_network_give_no_more_guesses() {
    let host = TestApp::configured("trusted_proxies = [\"127.0.0.1/32\"]", "").await;
    host.make_user("anna", false).await;
    let guess = async |address: String| {
        let body = json!({"username": "anna", "password": "not the password"});
        let request = host.request(Method::POST, "/api/auth/login").header("x-forwarded-for", address);
        host.send(request.json(&body)).await.status.as_u16()
    };
    for n in 0..10 {
        assert_eq!(guess(format!("2001:db8:1:2::{n:x}")).await, 401);
    }
    assert_eq!(guess("2001:db8:1:2:ffff::1".into()).await, 429);
    assert_eq!(guess("2001:db8:1:3::1".into()).await, 401);
}

#[tokio::test]
async fn many_guesses_at_once_are_no_way_around() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    let guesses = (0..30).map(|_| login(&host, "anna", "not the password"));
    let replies = futures::future::join_all(guesses).await;
    let answered = replies.iter().filter(|reply| reply.status == 401).count();
    assert_eq!(answered, 10, "{:?}", replies.iter().map(|reply| reply.status.as_u16()).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_profile_can_be_changed() {
    let mut host = TestApp::start().await;
    host.make_user("ben", false).await;
    host.become_user("anna").await;
    let patch = async |body: Value| host.send(host.request(Method::PATCH, "/api/user/profile").json(&body)).await;
    let profile = patch(json!({"name": "Anna-Lena", "email": "anna@example.org"})).await.expect(200);
    assert_eq!((&profile["name"], &profile["email"]), (&json!("Anna-Lena"), &json!("anna@example.org")));
    assert_eq!(patch(json!({})).await.expect(200)["email"], "anna@example.org");
    assert_eq!(patch(json!({"email": null})).await.expect(200)["email"], Value::Null);
    assert_eq!(host.get("/api/user/profile").await.expect(200)["name"], "Anna-Lena");
    patch(json!({"name": "BEN"})).await.expect_problem(409, "name_taken");
    patch(json!({"role": "admin"})).await.expect_problem(422, "invalid_body");
    let problem = patch(json!({"name": "x", "email": "nobody"})).await.expect_problem(422, "validation_failed");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn two_changes_of_the_profile_at_once_are_both_made() {
    let mut host = TestApp::start().await;
    host.become_user("anna").await;
    let id = token(&host.get("/api/user/profile").await.expect(200), "id");
    let mut tx = host.app.db.write().await.unwrap();
    db::state::lock(&mut tx, &format!("users.{id}")).await.unwrap();
    db::users::update_profile(&mut tx, &id, "anna", "anna", Some("anna@example.org")).await.unwrap();
    let other = async {
        somebody_waits(&mut tx).await;
        tx.commit().await.unwrap();
    };
    let name = json!({"name": "Anna-Lena"});
    let (patched, ()) = tokio::join!(async { host.patch("/api/user/profile", &name).await.expect(200) }, other);
    assert_eq!((&patched["name"], &patched["email"]), (&json!("Anna-Lena"), &json!("anna@example.org")));
}

#[tokio::test]
async fn the_first_admins_password_is_not_left_behind() {
    let gone = async |host: &TestApp| {
        let file = host.app.data_dir().join("admin-password");
        let removed = async {
            while file.exists() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, removed).await.unwrap();
        file
    };
    let host = TestApp::start().await;
    // As another node does at the first sign-in.
    let mut tx = host.app.db.write().await.unwrap();
    db::state::remove(&mut tx, "auth.first_admin").await.unwrap();
    tx.commit().await.unwrap();
    let file = gone(&host).await;
    // As where the host stops between the sign-in and the removal.
    let dir = host.stop().await;
    std::fs::write(file, "a password\n").unwrap();
    gone(&TestApp::at(dir, "", "").await).await;
}

#[tokio::test]
async fn the_first_admins_password_is_a_file_until_the_first_sign_in() {
    let host = TestApp::start().await;
    let printed = auth::bootstrap_admin(&host.app).await.unwrap();
    let file = host.app.data_dir().join("admin-password");
    let password = std::fs::read_to_string(&file).unwrap().trim().to_owned();
    assert!(password.len() >= 20 && printed.is_none_or(|printed| printed == password));
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions()) & 0o777, 0o600);
    assert!(auth::bootstrap_admin(&host.app).await.unwrap().is_none());
    login(&host, "admin", "not the password").await.expect_problem(401, "invalid_credentials");
    assert!(file.exists());
    let grant = login(&host, "admin", &password).await.expect(200);
    assert!(!file.exists());
    assert_eq!(ask(&host, "/api/auth/status", &token(&grant, "access_token")).await.expect(200)["role"], "admin");
}

#[tokio::test]
async fn sessions_and_tokens_outlive_a_restart() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    let access = host.sign_in("anna").await;
    let host = TestApp::at(host.stop().await, "", "").await;
    ask(&host, "/api/auth/status", &access).await.expect(200);
}

#[tokio::test]
async fn signed_links_open_one_item_for_a_player() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    let access = host.sign_in("anna").await;
    let status = host.send(host.request(Method::GET, "/api/auth/status").bearer_auth(&access)).await.expect(200);
    let id = status["session_id"].as_str().unwrap().to_owned();
    let session = &auth::Credential::Session { id, signed_in_at: 0 };
    let router = Router::new()
        .route(
            "/media/{uri}",
            get(|auth::MediaPrincipal(p): auth::MediaPrincipal| async move {
                p.require("catalog:read").map(|()| format!("{} {}", p.name, p.scopes.contains("library:write")))
            }),
        )
        .with_state(host.app.clone());
    let open = async |path: String| {
        let reply = router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let status = reply.status().as_u16();
        let bytes = axum::body::to_bytes(reply.into_body(), 10_000).await.unwrap();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    };
    let sig = auth::signed::sign(&host.app, session, "local:track:1", db::now_ms() + 60_000);
    assert_eq!(open(format!("/media/local:track:1?sig={sig}")).await, (200, "anna false".into()));
    let (status, body) = open(format!("/media/local:track:2?sig={sig}")).await;
    assert!(status == 401 && body.contains("invalid_signature"), "{body}");
    let old = auth::signed::sign(&host.app, session, "local:track:1", db::now_ms() - 1);
    assert!(open(format!("/media/local:track:1?sig={old}")).await.1.contains("link_expired"));
    assert!(open("/media/local:track:1".into()).await.1.contains("missing_credentials"));
    let disable = async |disabled: i64| {
        let mut tx = host.app.db.write().await.unwrap();
        sqlx::query("UPDATE users SET disabled = $1").bind(disabled).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        // As a node does that changes something itself.
        host.app.recent_sessions.forget();
    };
    disable(1).await;
    assert!(open(format!("/media/local:track:1?sig={sig}")).await.1.contains("user_disabled"));
    disable(0).await;
    host.send(host.request(Method::POST, "/api/auth/logout").bearer_auth(&access)).await;
    assert!(open(format!("/media/local:track:1?sig={sig}")).await.1.contains("session_revoked"), "signing out revokes");
}

#[tokio::test]
async fn what_happened_stands_in_the_outbox() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    let access = host.sign_in("anna").await;
    host.send(host.request(Method::POST, "/api/auth/logout").bearer_auth(&access)).await;
    let events = db::events::after(host.app.db.read(), 0, 1000).await.unwrap();
    let user = db::users::find_by_name(host.app.db.read(), "anna").await.unwrap().unwrap();
    let kinds: Vec<_> =
        events.iter().filter(|e| e.user_id.as_ref() == Some(&user.id)).map(|e| e.kind.as_str()).collect();
    assert_eq!(kinds, ["user.created", "session.created", "session.ended"]);
    assert!(events.windows(2).all(|pair| pair[0].id < pair[1].id));
    assert!(!events.iter().any(|e| e.data.contains("password") || e.data.contains("ztr_")));
}

#[tokio::test]
async fn every_kind_of_bad_token_has_a_problem_of_its_own() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    let good = host.sign_in("anna").await;
    let unsigned = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.", good.split('.').nth(1).unwrap());
    let head = good.split('.').next().unwrap();
    let changed = format!("{head}.eyJzdWIiOiJ4In0.{}", good.split('.').nth(2).unwrap());
    let mut codes = std::collections::BTreeSet::new();
    for (token, code) in [
        (unsigned.as_str(), "token_unsigned"),
        (&good[..good.len() - 5], "token_truncated"),
        (&good[..good.rfind('.').unwrap()], "token_truncated"),
        (&changed, "invalid_token"),
        ("eyJhbGciOiJIUzI1NiIsImtpZCI6IngifQ.e30.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "token_foreign"),
    ] {
        let problem = ask(&host, "/api/auth/status", token).await.expect_problem(401, code);
        assert!(!problem.to_string().contains(token), "no token is repeated");
        codes.insert(problem["detail"].to_string());
    }
    assert_eq!(codes.len(), 4, "each says what is wrong");
}

#[tokio::test]
async fn hostile_bodies_are_refused_with_a_reason() {
    let host = TestApp::with("[auth]\nregistration = \"open\"\n").await;
    host.make_user("anna", false).await;
    let deep = format!("{{\"username\":{}{}}}", "[".repeat(7_000), "]".repeat(7_000));
    let deep_unknown = format!("{{\"x\":{}{}}}", "{\"a\":".repeat(2_000), "1".to_owned() + &"}".repeat(2_000));
    let huge = format!("{{\"username\":\"anna\",\"password\":\"{}\"}}", "x".repeat(1_000_000));
    let cases: [(&str, &str, u16, &str); 9] = [
        (&deep, "application/json", 422, "invalid_body"),
        (&deep_unknown, "application/json", 422, "invalid_body"),
        (&huge, "application/json", 413, "body_too_large"),
        (r#"{"username":"anna","username":"ben","password":"x"}"#, "application/json", 422, "invalid_body"),
        (r#"{"username":"anna","name":"ben","password":"x"}"#, "application/json", 422, "invalid_body"),
        (r#"{"username":"anna","password":"x"}"#, "text/plain", 415, "unsupported_media_type"),
        (r#"{"username":"anna","password":"x"}"#, "application/xml", 415, "unsupported_media_type"),
        (r#"{"username":"anna","password":"#, "application/json", 400, "invalid_json"),
        (r#"["anna","x"]"#, "application/json", 422, "invalid_body"),
    ];
    for path in ["/api/auth/login", "/api/auth/register"] {
        for (body, content_type, status, code) in cases {
            let request = host.request(Method::POST, path).header("content-type", content_type).body(body.to_owned());
            let reply = host.send(request).await;
            let shown: String = body.chars().take(60).collect();
            assert_eq!(reply.status.as_u16(), status, "{path} {shown}: {}", reply.text());
            reply.expect_problem(status, code);
        }
    }
    let nul = json!({"username": "ben", "password": "correct\0horse"});
    host.post("/api/auth/register", &nul).await.expect_problem(422, "validation_failed");
    login(&host, "anna", "a long enough\0 password").await.expect_problem(401, "invalid_credentials");
    let extra = json!({"username": "ben", "password": "correct horse", "role": "admin"});
    host.post("/api/auth/register", &extra).await.expect_problem(422, "invalid_body");
}
