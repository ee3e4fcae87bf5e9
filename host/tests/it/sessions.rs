//! Sessions: replayed refreshes, lists, browsers' cookies, the password.

use reqwest::Method;
use serde_json::{Value, json};
use zotify_host::{
    db::{self, Tx},
    events::{self, Event},
};

use crate::support::{PASSWORD, Reply, TestApp, somebody_waits};

async fn login(host: &TestApp, name: &str) -> Value {
    host.post("/api/auth/login", &json!({"username": name, "password": PASSWORD})).await.expect(200)
}

fn token(grant: &Value) -> &str {
    grant["access_token"].as_str().unwrap()
}

async fn ask(host: &TestApp, method: Method, path: &str, token: &str) -> Reply {
    host.send(host.request_with(token, method, path)).await
}

async fn refresh(host: &TestApp, grant: &Value, key: Option<&str>) -> Reply {
    let request =
        host.request(Method::POST, "/api/auth/refresh").json(&json!({"refresh_token": grant["refresh_token"]}));
    host.send(match key {
        Some(key) => request.header("idempotency-key", key),
        None => request,
    })
    .await
}

async fn execute(host: &TestApp, sql: &'static str) {
    let mut tx = host.app.db.write().await.unwrap();
    sqlx::query(sql).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    host.app.recent_sessions.forget();
}

/// Actions and outcomes in the audit log, with what is not personal.
async fn audit(host: &TestApp, action: &str) -> Vec<(String, Value)> {
    let sql = "SELECT outcome, data FROM audit_log WHERE action = $1 ORDER BY seq";
    let rows: Vec<(String, String)> =
        sqlx::query_as(sql).bind(action.to_owned()).fetch_all(host.app.db.read()).await.unwrap();
    rows.into_iter().map(|(outcome, data)| (outcome, serde_json::from_str(&data).unwrap())).collect()
}

#[tokio::test]
async fn a_lost_reply_is_given_again_under_the_same_key() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    let first = login(&host, "anna").await;
    let second = refresh(&host, &first, Some("one")).await;
    assert_eq!(second.header("cache-control"), "no-store");
    let second = second.expect(200);
    let again = refresh(&host, &first, Some("one")).await.expect(200);
    assert_eq!(second["refresh_token"], again["refresh_token"]);
    ask(&host, Method::GET, "/api/auth/status", token(&again)).await.expect(200);
    // The next one under the same key is another.
    let third = refresh(&host, &second, Some("one")).await.expect(200);
    assert_ne!(second["refresh_token"], third["refresh_token"]);
    // The successor is spent, so the client had the reply: whoever comes now has a copy.
    refresh(&host, &first, Some("one")).await.expect_problem(401, "refresh_token_reused");
    refresh(&host, &third, Some("two")).await.expect_problem(401, "session_revoked");
    let reused = audit(&host, "session.refresh_reused").await;
    assert!(reused.len() == 1 && reused[0].0 == "refused", "{reused:?}");
}

#[tokio::test]
async fn no_reply_is_given_again_without_the_key_or_too_late() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    for other in [None, Some("another")] {
        let grant = login(&host, "anna").await;
        refresh(&host, &grant, Some("one")).await.expect(200);
        refresh(&host, &grant, other).await.expect_problem(401, "refresh_token_reused");
    }
    let grant = login(&host, "anna").await;
    refresh(&host, &grant, Some("one")).await.expect(200);
    execute(&host, "UPDATE refresh_tokens SET used_at = used_at - 61000").await;
    refresh(&host, &grant, Some("one")).await.expect_problem(401, "refresh_token_reused");
    let grant = login(&host, "anna").await;
    for bad in ["", "a b", &"x".repeat(201)] {
        refresh(&host, &grant, Some(bad)).await.expect_problem(400, "invalid_idempotency_key");
    }
    refresh(&host, &grant, None).await.expect(200);
}

#[tokio::test]
async fn the_same_refresh_many_times_at_once_is_one() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    let grant = login(&host, "anna").await;
    let replies = futures::future::join_all((0..8).map(|_| refresh(&host, &grant, Some("one")))).await;
    let tokens: std::collections::BTreeSet<_> =
        replies.iter().map(|reply| reply.expect(200)["refresh_token"].to_string()).collect();
    assert_eq!(tokens.len(), 1);
}

async fn session_id(host: &TestApp, grant: &Value) -> String {
    let status = ask(host, Method::GET, "/api/auth/status", token(grant)).await.expect(200);
    status["session_id"].as_str().unwrap().to_owned()
}

/// Puts something in the outbox and commits, as who else changes sessions does.
async fn tell_and_commit(mut tx: Tx) {
    let event = Event { kind: "session.ended", subject: None, user: None, data: json!({}) };
    events::emit(&mut tx, event).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn used_refresh_tokens_are_forgotten_when_a_session_of_their_time_would_have_ended() {
    let host = TestApp::with("[auth]\nsession_days = 7\n").await;
    host.make_user("anna", false).await;
    let first = login(&host, "anna").await;
    let second = refresh(&host, &first, None).await.expect(200);
    execute(&host, "UPDATE refresh_tokens SET used_at = used_at - 8 * 86400000").await;
    let third = refresh(&host, &second, None).await.expect(200);
    let count: i64 = sqlx::query_scalar("SELECT CAST(COUNT(*) AS BIGINT) FROM refresh_tokens")
        .fetch_one(host.app.db.read())
        .await
        .unwrap();
    assert_eq!(count, 2, "the fresh one and the one before it");
    refresh(&host, &first, None).await.expect_problem(401, "invalid_refresh_token");
    ask(&host, Method::GET, "/api/auth/status", token(&third)).await.expect(200);
    refresh(&host, &second, None).await.expect_problem(401, "refresh_token_reused");
}

#[tokio::test]
async fn a_refresh_and_the_removal_of_its_session_do_not_wait_for_each_other() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    let grant = login(&host, "anna").await;
    let id = session_id(&host, &grant).await;
    let mut tx = host.app.db.write().await.unwrap();
    db::sessions::revoke(&mut tx, &id).await.unwrap();
    let removal = async {
        somebody_waits(&mut tx).await;
        sqlx::query("DELETE FROM sessions WHERE id = $1").bind(id.clone()).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    };
    let (reply, ()) = tokio::join!(refresh(&host, &grant, None), removal);
    reply.expect_problem(401, "invalid_refresh_token");
}

#[tokio::test]
async fn sessions_are_listed_and_ended() {
    let mut host = TestApp::start().await;
    host.make_user("ben", false).await;
    let foreign = login(&host, "ben").await;
    let foreign = ask(&host, Method::GET, "/api/auth/status", token(&foreign)).await.expect(200)["session_id"].clone();
    host.become_user("anna").await;
    let other = login(&host, "anna").await;
    let third = login(&host, "anna").await;
    let list = host.get("/api/auth/sessions").await.expect(200);
    let rows = list["data"].as_array().unwrap();
    assert_eq!(rows.len(), 3);
    let current: Vec<_> = rows.iter().map(|row| row["current"].as_bool().unwrap()).collect();
    assert_eq!(current, [false, false, true], "the newest first");
    assert!(rows.iter().all(|row| row["address"] == "127.0.0.1" && row["kind"] == "api"));
    let page = host.get("/api/auth/sessions?limit=2").await.expect(200);
    let cursor = page["meta"]["next_cursor"].as_str().unwrap();
    let next = host.get(&format!("/api/auth/sessions?limit=2&cursor={cursor}")).await.expect(200);
    assert!(next["data"][0] == rows[2] && next["meta"]["next_cursor"].is_null(), "{next}");

    let delete = async |id: &str| host.send(host.request(Method::DELETE, &format!("/api/auth/sessions/{id}"))).await;
    for unknown in [foreign.as_str().unwrap(), "01KAZ6V1RJQ6Y0M3ZC5M8D2N4T", "x"] {
        delete(unknown).await.expect_problem(404, "session_not_found");
    }
    let id = rows[1]["id"].as_str().unwrap();
    assert_eq!(delete(id).await.status, 204);
    delete(id).await.expect_problem(404, "session_not_found");
    ask(&host, Method::GET, "/api/auth/status", token(&other)).await.expect_problem(401, "session_revoked");
    ask(&host, Method::GET, "/api/auth/status", token(&third)).await.expect(200);
    let ended = host.send(host.request(Method::DELETE, "/api/auth/sessions")).await.expect(200);
    assert_eq!(ended, json!({"sessions_ended": 1}));
    ask(&host, Method::GET, "/api/auth/status", token(&third)).await.expect_problem(401, "session_revoked");
    assert_eq!(host.get("/api/auth/sessions").await.expect(200)["data"].as_array().unwrap().len(), 1);
    assert_eq!(audit(&host, "session.ended").await.len(), 2);
}

#[tokio::test]
async fn the_last_use_is_known_without_a_refresh() {
    let mut host = TestApp::start().await;
    host.become_user("anna").await;
    execute(&host, "UPDATE sessions SET last_used_at = last_used_at - 600000").await;
    let now = db::now_ms();
    host.until("/api/auth/sessions", |list| {
        let last = list["data"][0]["last_used_at"].as_str().unwrap();
        chrono::DateTime::parse_from_rfc3339(last).unwrap().timestamp_millis() > now - 60_000
    })
    .await;
}

#[tokio::test]
async fn a_further_sign_in_ends_the_session_that_was_longest_unused() {
    let host = TestApp::with("[quotas]\nsessions = 2\n").await;
    host.make_user("anna", false).await;
    let (first, second) = (login(&host, "anna").await, login(&host, "anna").await);
    // The first is used later than the second.
    execute(&host, "UPDATE sessions SET last_used_at = last_used_at - 5000").await;
    let first = refresh(&host, &first, None).await.expect(200);
    let third = login(&host, "anna").await;
    ask(&host, Method::GET, "/api/auth/status", token(&second)).await.expect_problem(401, "session_revoked");
    for open in [&first, &third] {
        ask(&host, Method::GET, "/api/auth/status", token(open)).await.expect(200);
    }
}

#[tokio::test]
async fn a_sign_in_that_ends_several_sessions_waits_for_nobody_who_waits_for_it() {
    let host = TestApp::with("[quotas]\nsessions = 3\n").await;
    host.make_user("anna", false).await;
    let grants = [login(&host, "anna").await, login(&host, "anna").await, login(&host, "anna").await];
    // The later one was signed in, the earlier it is ended.
    execute(&host, "UPDATE users SET quota = '{\"sessions\":1}' WHERE name = 'anna'").await;
    let first = session_id(&host, &grants[0]).await;
    let mut tx = host.app.db.write().await.unwrap();
    db::sessions::revoke(&mut tx, &first).await.unwrap();
    let other = async {
        somebody_waits(&mut tx).await;
        tell_and_commit(tx).await;
    };
    let (last, ()) = tokio::join!(login(&host, "anna"), other);
    for grant in &grants {
        ask(&host, Method::GET, "/api/auth/status", token(grant)).await.expect_problem(401, "session_revoked");
    }
    ask(&host, Method::GET, "/api/auth/status", token(&last)).await.expect(200);
    let ended = audit(&host, "session.ended").await;
    assert_eq!(ended.len(), 2, "{ended:?}");
    for (outcome, data) in ended {
        assert_eq!((outcome.as_str(), &data["reason"]), ("ok", &json!("too_many")));
        assert!(data["session"].is_string() && data["session"] != json!(first), "{data}");
    }
}

#[tokio::test]
async fn admins_see_and_end_all_sessions() {
    let host = TestApp::start().await.admin().await;
    host.make_user("anna", false).await;
    let grant = login(&host, "anna").await;
    let status = ask(&host, Method::GET, "/api/auth/status", token(&grant)).await.expect(200);
    let (user, id) = (status["user_id"].as_str().unwrap(), status["session_id"].as_str().unwrap());
    assert_eq!(host.get("/api/admin/sessions").await.expect(200)["data"].as_array().unwrap().len(), 2);
    let list = host.get(&format!("/api/admin/sessions?user={user}")).await.expect(200);
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    assert_eq!((&list["data"][0]["id"], &list["data"][0]["user_name"]), (&json!(id), &json!("anna")));
    let path = format!("/api/admin/sessions/{id}");
    ask(&host, Method::DELETE, &path, token(&grant)).await.expect_problem(403, "admin_required");
    ask(&host, Method::GET, "/api/admin/sessions", token(&grant)).await.expect_problem(403, "admin_required");
    assert_eq!(host.send(host.request(Method::DELETE, &path)).await.status, 204);
    ask(&host, Method::GET, "/api/auth/status", token(&grant)).await.expect_problem(401, "session_revoked");
    host.send(host.request(Method::DELETE, &path)).await.expect_problem(404, "session_not_found");
    let ended = audit(&host, "session.ended").await;
    assert_eq!((ended.len(), &ended[0].1["reason"]), (1, &json!("revoked_by_admin")));
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions() {
    let mut host = TestApp::start().await;
    host.become_user("anna").await;
    let other = login(&host, "anna").await;
    let change = async |current: &str, new: &str| {
        host.post("/api/auth/password", &json!({"current_password": current, "new_password": new})).await
    };
    change("not the password", "battery staple").await.expect_problem(403, "wrong_password");
    for (new, code) in [("short", "too_short"), (PASSWORD, "same_as_before"), ("nul\0nul\0nul", "invalid_characters")] {
        let problem = change(PASSWORD, new).await.expect_problem(422, "validation_failed");
        assert_eq!(
            (&problem["errors"][0]["field"], &problem["errors"][0]["code"]),
            (&json!("new_password"), &json!(code))
        );
    }
    assert_eq!(change(PASSWORD, "battery staple").await.expect(200), json!({"sessions_ended": 1}));
    ask(&host, Method::GET, "/api/auth/status", token(&other)).await.expect_problem(401, "session_revoked");
    host.get("/api/auth/status").await.expect(200);
    let sign_in = async |password: &str| {
        host.post("/api/auth/login", &json!({"username": "anna", "password": password})).await.status.as_u16()
    };
    assert_eq!((sign_in(PASSWORD).await, sign_in("battery staple").await), (401, 200));
    let audited: Vec<_> = audit(&host, "user.password_changed").await.into_iter().map(|(outcome, _)| outcome).collect();
    assert_eq!(audited, ["refused", "ok"]);
}

#[tokio::test]
async fn wrong_current_passwords_count_as_failed_sign_ins() {
    let mut host = TestApp::start().await;
    host.become_user("anna").await;
    let body = json!({"current_password": "not the password", "new_password": "battery staple"});
    let mut codes = Vec::new();
    for _ in 0..11 {
        codes.push(host.post("/api/auth/password", &body).await.status.as_u16());
    }
    assert_eq!((codes[9], codes[10]), (403, 429));
    let login = host.post("/api/auth/login", &json!({"username": "anna", "password": PASSWORD})).await;
    login.expect_problem(429, "too_many_attempts");
}

/// Signs in as a browser; answers `name=value` of the cookie.
async fn browse(host: &TestApp, name: &str) -> (String, Reply) {
    let body = json!({"username": name, "password": PASSWORD, "kind": "ui"});
    let reply = host.post("/api/auth/login", &body).await;
    let cookie = reply.header("set-cookie").split(';').next().unwrap().to_owned();
    (cookie, reply)
}

#[tokio::test]
async fn a_browser_has_a_cookie_and_no_token() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    let (cookie, reply) = browse(&host, "anna").await;
    let header = reply.header("set-cookie").to_owned();
    for part in ["zotify_session=", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=43200"] {
        assert!(header.contains(part), "{header}");
    }
    assert!(!header.contains("Secure"));
    let body = reply.expect(200);
    assert_eq!((&body["user"]["name"], &body["expires_in"]), (&json!("anna"), &json!(43200)));
    assert!(body.get("access_token").is_none() && body.get("refresh_token").is_none());
    let with = |method: Method, path: &str| host.request(method, path).header("cookie", &cookie);
    let status = host.send(with(Method::GET, "/api/auth/status")).await.expect(200);
    assert_eq!(status["name"], "anna");
    let list = host.send(with(Method::GET, "/api/auth/sessions")).await.expect(200);
    assert_eq!((&list["data"][0]["kind"], &list["data"][0]["current"]), (&json!("ui"), &json!(true)));
    // The database holds no more than a hash of it.
    let value = cookie.split_once('=').unwrap().1;
    let stored: Vec<String> =
        sqlx::query_scalar("SELECT cookie_hash FROM sessions").fetch_all(host.app.db.read()).await.unwrap();
    assert!(stored.len() == 1 && stored[0] != value);

    let logout = host.send(with(Method::POST, "/api/auth/logout").header("origin", &host.base)).await;
    assert!(logout.status == 204 && logout.header("set-cookie").contains("Max-Age=0"));
    host.send(with(Method::GET, "/api/auth/status")).await.expect_problem(401, "session_revoked");
}

#[tokio::test]
async fn other_sites_cannot_use_the_cookie() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    let (cookie, _) = browse(&host, "anna").await;
    let delete = |name: &'static str, value: &str| {
        host.request(Method::DELETE, "/api/auth/sessions").header("cookie", &cookie).header(name, value)
    };
    host.send(delete("origin", "https://evil.example")).await.expect_problem(403, "csrf");
    host.send(delete("sec-fetch-site", "cross-site")).await.expect_problem(403, "csrf");
    host.send(delete("sec-fetch-site", "same-site")).await.expect_problem(403, "csrf");
    host.send(delete("x-other", "1")).await.expect_problem(403, "csrf");
    host.send(delete("sec-fetch-site", "same-origin")).await.expect(200);
    host.send(delete("origin", &host.base)).await.expect(200);
    // A token is not sent by a browser on its own, so where it comes from does not matter.
    let grant = login(&host, "anna").await;
    let cross = delete("origin", "https://evil.example").bearer_auth(token(&grant));
    host.send(cross).await.expect(200);
    let (cookie, _) = browse(&host, "anna").await;
    // Nor can another site sign a browser in as somebody else.
    let body = json!({"username": "anna", "password": PASSWORD, "kind": "ui"});
    let foreign = host.request(Method::POST, "/api/auth/login").header("origin", "https://evil.example").json(&body);
    let foreign = host.send(foreign).await;
    assert_eq!(foreign.header("set-cookie"), "");
    foreign.expect_problem(403, "csrf");
    let nonsense =
        host.request(Method::GET, "/api/auth/status").header("cookie", format!("zotify_session={}", "A".repeat(43)));
    host.send(nonsense).await.expect_problem(401, "session_revoked");
    host.send(host.request(Method::GET, "/api/auth/status").header("cookie", "zotify_session=x"))
        .await
        .expect_problem(401, "missing_credentials");
    host.send(host.request(Method::GET, "/api/auth/status").header("cookie", cookie)).await.expect(200);
}

#[tokio::test]
async fn a_browsers_session_ends_when_it_is_not_used() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    let (cookie, _) = browse(&host, "anna").await;
    let status = async || host.send(host.request(Method::GET, "/api/auth/status").header("cookie", &cookie)).await;
    execute(&host, "UPDATE sessions SET last_used_at = last_used_at - 59 * 60000").await;
    status().await.expect(200);
    let (cookie, _) = browse(&host, "anna").await;
    execute(&host, "UPDATE sessions SET last_used_at = created_at - 61 * 60000").await;
    let status = async || host.send(host.request(Method::GET, "/api/auth/status").header("cookie", &cookie)).await;
    status().await.expect_problem(401, "session_revoked");
    let grant = login(&host, "anna").await;
    let list = ask(&host, Method::GET, "/api/auth/sessions", token(&grant)).await.expect(200);
    assert!(list["data"].as_array().unwrap().iter().all(|row| row["kind"] == "api" || row["current"] == false));
}

#[tokio::test]
async fn behind_a_proxy_the_cookie_is_for_its_prefix_and_https_alone() {
    let proxied = async |server: &str| {
        let host = TestApp::configured(server, "").await;
        host.make_user("anna", false).await;
        let body = json!({"username": "anna", "password": PASSWORD, "kind": "ui"});
        let request = host.request(Method::POST, "/api/auth/login").json(&body);
        let request = request.header("x-forwarded-proto", "https").header("x-forwarded-prefix", "/zotify");
        host.send(request).await.header("set-cookie").to_owned()
    };
    let trusted = proxied("trusted_proxies = [\"127.0.0.1/32\"]").await;
    assert!(trusted.contains("Secure") && trusted.contains("Path=/zotify"), "{trusted}");
    let stranger = proxied("").await;
    assert!(!stranger.contains("Secure") && stranger.contains("Path=/;"), "{stranger}");
    let public = proxied("public_url = \"https://music.example.org/m\"").await;
    assert!(public.contains("Secure") && public.contains("Path=/m;"), "{public}");
}

#[tokio::test]
async fn sign_ins_are_audited_and_names_are_beside() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    host.post("/api/auth/login", &json!({"username": "Nobody", "password": "secret-guess"})).await;
    let grant = login(&host, "anna").await;
    let id = session_id(&host, &grant).await;
    ask(&host, Method::POST, "/api/auth/logout", token(&grant)).await;
    let created: Vec<_> = audit(&host, "session.created").await;
    assert_eq!(created[0], ("refused".into(), json!({"reason": "invalid_credentials", "via": "session"})));
    assert_eq!((created[1].0.as_str(), &created[1].1["kind"]), ("ok", &json!("api")));
    let ended = audit(&host, "session.ended").await;
    assert_eq!((ended.len(), &ended[0].1["session"], &created[1].1["session"]), (1, &json!(id), &json!(id)));
    let rows: Vec<String> =
        sqlx::query_scalar("SELECT data FROM audit_personal ORDER BY seq").fetch_all(host.app.db.read()).await.unwrap();
    assert!(rows.iter().any(|row| row.contains("nobody") && row.contains("127.0.0.1")), "{rows:?}");
    let chained: Vec<String> =
        sqlx::query_scalar("SELECT data FROM audit_log").fetch_all(host.app.db.read()).await.unwrap();
    assert!(!chained.iter().chain(&rows).any(|row| row.contains("secret-guess") || row.contains(PASSWORD)));
    assert!(!chained.iter().any(|row| row.contains("nobody") || row.contains("127.0.0.1")));
}
