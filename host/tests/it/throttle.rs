//! Guessing over many networks and over many names.

use reqwest::Method;
use serde_json::json;

use crate::support::{PASSWORD, Reply, TestApp};

async fn start() -> TestApp {
    let host = TestApp::configured("trusted_proxies = [\"127.0.0.1/32\"]", "").await;
    host.make_user("anna", false).await;
    host.make_user("ben", false).await;
    host
}

async fn login(host: &TestApp, name: &str, password: &str, address: &str) -> Reply {
    let body = json!({"username": name, "password": password});
    let request = host.request(Method::POST, "/api/auth/login").header("x-forwarded-for", address);
    host.send(request.json(&body)).await
}

/// As if so many had failed.
async fn failed(host: &TestApp, name: &str, address: &str, failures: i64) {
    let mut tx = host.app.db.write().await.unwrap();
    let sql = "UPDATE sign_in_failures SET failures = $3 WHERE name_key = $1 AND address = $2";
    let query = sqlx::query(sql).bind(name.to_owned()).bind(address.to_owned()).bind(failures);
    assert_eq!(query.execute(&mut *tx).await.unwrap().rows_affected(), 1);
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn many_networks_give_no_more_guesses_at_one_name() {
    let host = start().await;
    login(&host, "anna", PASSWORD, "192.0.2.1").await.expect(200);
    login(&host, "anna", "not the password", "192.0.2.2").await.expect_problem(401, "invalid_credentials");
    failed(&host, "anna", "", 115).await;
    login(&host, "anna", "not the password", "192.0.2.3").await.expect_problem(401, "invalid_credentials");
    let blocked = login(&host, "anna", PASSWORD, "192.0.2.4").await;
    blocked.expect_problem(429, "too_many_attempts");
    assert!(blocked.header("retry-after").parse::<u64>().unwrap() > 60);
    // From where she signed in before, she still can; and others can anyway.
    login(&host, "anna", PASSWORD, "192.0.2.1").await.expect(200);
    login(&host, "ben", PASSWORD, "192.0.2.4").await.expect(200);
}

#[tokio::test]
async fn one_network_cannot_try_a_password_on_everybody() {
    let host = start().await;
    login(&host, "ben", PASSWORD, "192.0.2.1").await.expect(200);
    login(&host, "somebody", "not the password", "192.0.2.1").await.expect_problem(401, "invalid_credentials");
    failed(&host, "", "192.0.2.1", 115).await;
    login(&host, "another", "not the password", "192.0.2.1").await.expect_problem(401, "invalid_credentials");
    login(&host, "anna", PASSWORD, "192.0.2.1").await.expect_problem(429, "too_many_attempts");
    login(&host, "", "", "192.0.2.1").await.expect_problem(429, "too_many_attempts");
    login(&host, "ben", PASSWORD, "192.0.2.1").await.expect(200);
    login(&host, "anna", PASSWORD, "192.0.2.2").await.expect(200);
}

#[tokio::test]
async fn an_empty_name_is_a_name_like_others() {
    let host = start().await;
    for _ in 0..10 {
        login(&host, "", "x", "192.0.2.1").await.expect_problem(401, "invalid_credentials");
    }
    login(&host, "", "x", "192.0.2.1").await.expect_problem(429, "too_many_attempts");
    login(&host, "anna", PASSWORD, "192.0.2.1").await.expect(200);
}

#[tokio::test]
async fn a_disabled_user_looks_like_nobody_without_the_password() {
    let host = start().await;
    let mut tx = host.app.db.write().await.unwrap();
    sqlx::query("UPDATE users SET disabled = 1 WHERE name = 'anna'").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let mut disabled =
        login(&host, "anna", "not the password", "192.0.2.1").await.expect_problem(401, "invalid_credentials");
    let mut nobody =
        login(&host, "nobody", "not the password", "192.0.2.1").await.expect_problem(401, "invalid_credentials");
    disabled["request_id"].take();
    nobody["request_id"].take();
    assert_eq!(disabled, nobody);
    login(&host, "anna", PASSWORD, "192.0.2.1").await.expect_problem(401, "user_disabled");
}
