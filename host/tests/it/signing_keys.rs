//! Keys that sign access tokens: they change, and nobody is signed out.

use std::process::Command;

use reqwest::Method;
use zotify_host::{
    audit::Actor,
    auth::{
        Tokens,
        tokens::keys::{self, keep},
    },
};

use crate::support::TestApp;

async fn status(host: &TestApp, token: &str) -> u16 {
    host.send(host.request(Method::GET, "/api/auth/status").bearer_auth(token)).await.status.as_u16()
}

async fn count(host: &TestApp) -> i64 {
    let sql = "SELECT CAST(COUNT(*) AS BIGINT) FROM signing_keys";
    sqlx::query_scalar(sql).fetch_one(host.app.db.read()).await.unwrap()
}

async fn execute(host: &TestApp, sql: &'static str) {
    let mut tx = host.app.db.write().await.unwrap();
    sqlx::query(sql).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn tokens_of_before_and_after_a_rotation_are_good_on_every_node() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    let before = host.sign_in("anna").await;
    let claims = host.app.tokens.check(&before).unwrap();
    // As another node does it: this one has yet to hear of the key.
    keys::rotate(&host.app.db, &host.app.secrets, false, Actor::HOST).await.unwrap();
    let node = Tokens::load(&host.app.db, &host.app.secrets).await.unwrap();
    let (after, _) = node.issue(&claims.sub, &claims.sid, 15).unwrap();
    assert_eq!(node.check(&before).unwrap().sid, claims.sid);
    assert_eq!((status(&host, &after).await, status(&host, &before).await), (200, 200));
    assert_eq!(count(&host).await, 2);
}

#[tokio::test]
async fn revoked_keys_are_worth_nothing_and_sessions_stay() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    let body = serde_json::json!({"username": "anna", "password": crate::support::PASSWORD});
    let grant = host.post("/api/auth/login", &body).await.expect(200);
    keys::rotate(&host.app.db, &host.app.secrets, true, Actor::HOST).await.unwrap();
    keep(&host.app).await.unwrap();
    let access = grant["access_token"].as_str().unwrap();
    let refused = host.send(host.request(Method::GET, "/api/auth/status").bearer_auth(access)).await;
    refused.expect_problem(401, "token_foreign");
    let body = serde_json::json!({"refresh_token": grant["refresh_token"]});
    let next = host.post("/api/auth/refresh", &body).await.expect(200);
    assert_eq!(status(&host, next["access_token"].as_str().unwrap()).await, 200);
}

#[tokio::test]
async fn old_keys_make_room_for_new_ones_and_go_later() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    let before = host.sign_in("anna").await;
    keep(&host.app).await.unwrap();
    assert_eq!(count(&host).await, 1, "a young key stays");
    execute(&host, "UPDATE signing_keys SET created_at = created_at - CAST(31 AS BIGINT) * 86400000").await;
    // Of two nodes that see it at once, one makes the key.
    let (a, b) = tokio::join!(keep(&host.app), keep(&host.app));
    a.and(b).unwrap();
    assert_eq!((count(&host).await, status(&host, &before).await), (2, 200));
    let kinds: Vec<String> = sqlx::query_scalar("SELECT action FROM audit_log WHERE action = 'signing_key.rotated'")
        .fetch_all(host.app.db.read())
        .await
        .unwrap();
    assert_eq!(kinds.len(), 1);
    execute(&host, "UPDATE signing_keys SET created_at = created_at - CAST(26 AS BIGINT) * 3600000").await;
    keep(&host.app).await.unwrap();
    assert_eq!((count(&host).await, status(&host, &before).await), (1, 401));
}

#[tokio::test]
async fn the_command_rotates_the_key_of_a_running_host() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    let before = host.sign_in("anna").await;
    let output = Command::new(env!("CARGO_BIN_EXE_zotify-host"))
        .args(["token-key", "rotate", "--config"])
        .arg(host.dir.path().join("zotify.toml"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("still verify"), "{said}");
    assert_eq!((count(&host).await, status(&host, &before).await), (2, 200));
    keep(&host.app).await.unwrap();
    let after = host.sign_in("anna").await;
    assert_eq!(status(&host, &after).await, 200);
    assert_ne!(before.split('.').next(), after.split('.').next(), "the header names another key");
}

#[tokio::test]
async fn a_second_node_takes_the_first_ones_tokens() {
    // With SQLite there is one node.
    if std::env::var_os("ZOTIFY_TEST_DATABASE_URL").is_none() {
        return;
    }
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    let before = host.sign_in("anna").await;
    let node = host.beside("").await;
    keys::rotate(&host.app.db, &host.app.secrets, false, Actor::HOST).await.unwrap();
    keep(&node.app).await.unwrap();
    let after = node.sign_in("anna").await;
    for token in [&before, &after] {
        assert_eq!((status(&host, token).await, status(&node, token).await), (200, 200));
    }
}

#[tokio::test]
async fn tokens_for_something_else_are_refused_although_the_key_is_right() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    let claims = host.app.tokens.check(&host.sign_in("anna").await).unwrap();
    let (kid, sealed): (String, Vec<u8>) =
        sqlx::query_as("SELECT kid, sealed FROM signing_keys").fetch_one(host.app.db.read()).await.unwrap();
    let key = host.app.secrets.open(&format!("signing_keys:{kid}"), &sealed).unwrap();
    let key = jsonwebtoken::EncodingKey::from_secret(&key);
    let sign = |algorithm, change: &dyn Fn(&mut serde_json::Value)| {
        let mut claims = serde_json::to_value(&claims).unwrap();
        change(&mut claims);
        let header = jsonwebtoken::Header { kid: Some(kid.clone()), ..jsonwebtoken::Header::new(algorithm) };
        jsonwebtoken::encode(&header, &claims, &key).unwrap()
    };
    let hs256 = jsonwebtoken::Algorithm::HS256;
    assert_eq!(status(&host, &sign(hs256, &|_| ())).await, 200);
    for (token, code) in [
        (sign(hs256, &|claims| claims["aud"] = "another".into()), "token_wrong_audience"),
        (sign(hs256, &|claims| claims["iss"] = "another".into()), "token_wrong_audience"),
        (sign(hs256, &|claims| claims["exp"] = 1.into()), "token_expired"),
        (sign(hs256, &|claims| claims["sub"] = "another".into()), "session_revoked"),
        (sign(hs256, &|claims| claims["sid"] = "another".into()), "session_revoked"),
        (sign(hs256, &|claims| claims["exp"] = "soon".into()), "invalid_token"),
        (sign(jsonwebtoken::Algorithm::HS512, &|_| ()), "invalid_token"),
    ] {
        let request = host.request(Method::GET, "/api/auth/status").bearer_auth(token);
        host.send(request).await.expect_problem(401, code);
    }
}
