//! The erasure of a user.

use super::*;
use crate::crash::{Host, free_port, run};

async fn erase(host: &TestApp) -> Value {
    host.send(host.request(Method::DELETE, "/api/privacy/data")).await.expect(202)
}

#[tokio::test]
async fn an_erasure_leaves_nothing() {
    let mut host = TestApp::start().await;
    let (id, other) = (make(&host, "kanaria").await, make(&host, "finchfink").await);
    host.make_user("chief", true).await;
    let before = dump(&host.app.db).await;
    let held: BTreeSet<_> =
        before.iter().filter(|(_, row)| holds(row, "kanaria") || holds(row, &id)).map(|(t, _)| t).collect();
    let fixture: BTreeSet<_> =
        COLUMNS.iter().map(|(table, _, _)| *table).filter(|table| *table != "audit_personal").collect();
    let unfilled: Vec<_> = fixture.iter().filter(|table| !held.iter().any(|held| held == *table)).collect();
    assert!(unfilled.is_empty(), "the fixture has nothing in {unfilled:?}");
    host = host.signed_in("kanaria").await;
    host.get("/api/privacy/data").await.expect(200);
    let erasure = erase(&host).await;
    host.get("/api/auth/status").await.expect_problem(401, "session_revoked");
    host.sign_out();
    let path = format!("/api/privacy/receipts/{}", erasure["receipt"].as_str().unwrap());
    let status = host.until(&path, |status| status["state"] == "erased").await;
    assert_eq!(status.as_object().unwrap().len(), 3, "{status}");
    assert!(status["requested_at"].is_string() && status["erased_at"].is_string());
    let host = host.signed_in("chief").await;
    host.until(&format!("/api/jobs/{}", erasure["job"].as_str().unwrap()), |job| job["state"] == "succeeded").await;
    let after = dump(&host.app.db).await;
    let left: Vec<_> = after.iter().filter(|(_, row)| holds(row, "kanaria") || holds(row, &id)).collect();
    // Whose the invite was that the user came with is gone; its row is not the user's.
    let left: Vec<_> =
        left.into_iter().filter(|(table, row)| !(table == "invites" && row.contains("invite-of-"))).collect();
    assert!(left.is_empty(), "{left:#?}");
    let of_other = |rows: &[(String, String)]| {
        rows.iter().filter(|(_, row)| holds(row, "finchfink") || holds(row, &other)).count()
    };
    assert_eq!(of_other(&after), of_other(&before), "somebody else's is as it was");
    assert_eq!(host.get("/api/admin/audit/verify").await.expect(200)["fault"], Value::Null);
    let entries = host.get("/api/admin/audit?action=privacy.").await.expect(200);
    let tombstone =
        entries["data"].as_array().unwrap().iter().find(|entry| entry["action"] == "privacy.erased").unwrap().clone();
    assert_eq!(tombstone["data"]["receipt"], erasure["receipt"]);
    let request = entries["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["action"] == "privacy.erasure_requested")
        .unwrap()
        .clone();
    assert_eq!((&request["actor"], &request["personal"]), (&Value::Null, &Value::Null));
    host.make_user("kanaria", false).await;
}

#[tokio::test]
async fn an_erasure_wants_a_recent_sign_in_and_another_admin() {
    let mut host = TestApp::start().await;
    let mut tx = host.app.db.write().await.unwrap();
    sqlx::query("DELETE FROM users").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    host = host.admin().await;
    let delete = async |host: &TestApp| host.send(host.request(Method::DELETE, "/api/privacy/data")).await;
    delete(&host).await.expect_problem(409, "last_admin");
    host.get("/api/auth/status").await.expect(200);
    host.make_user("second", true).await;
    let mut tx = host.app.db.write().await.unwrap();
    sqlx::query("UPDATE sessions SET created_at = created_at - 600000").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    host.app.recent_sessions.forget();
    delete(&host).await.expect_problem(403, "reauthentication_required");
    let host = host.sign_in_again().await;
    let job = erase(&host).await["job"].as_str().unwrap().to_owned();
    let host = host.signed_in("second").await;
    host.until(&format!("/api/jobs/{job}"), |job| job["state"] == "succeeded").await;
    host.get("/api/privacy/receipts/x").await.expect_problem(404, "receipt_not_found");
    host.get(&format!("/api/privacy/receipts/{}", "x".repeat(5000))).await.expect_problem(404, "receipt_not_found");
    delete(&host).await.expect_problem(409, "last_admin");
}

/// A job of users that does not end: an erasure waits for it.
const ENDLESS: &str = "UPDATE jobs SET state = 'running', lease_owner = 'x', lease_until = 9000000000000,
    finished_at = NULL WHERE user_id IS NOT NULL";

#[tokio::test]
async fn who_is_being_erased_can_not_be_enabled_again() {
    let mut host = TestApp::start().await;
    let id = make(&host, "kanaria").await;
    execute(&host, ENDLESS).await;
    host.make_user("chief", true).await;
    host = host.signed_in("kanaria").await;
    let job = erase(&host).await["job"].as_str().unwrap().to_owned();
    let host = host.signed_in("chief").await;
    let user = format!("/api/admin/users/{id}");
    host.patch(&user, &json!({"disabled": false})).await.expect_problem(409, "user_being_erased");
    assert_eq!(host.patch(&user, &json!({"role": "user"})).await.expect(200)["disabled"], true);
    execute(&host, "DELETE FROM jobs WHERE user_id IS NOT NULL").await;
    host.until(&format!("/api/jobs/{job}"), |job| job["state"] == "succeeded").await;
    host.patch(&user, &json!({"disabled": false})).await.expect_problem(404, "user_not_found");
}

#[tokio::test]
async fn what_is_written_while_an_erasure_goes_on_is_erased_with_the_user() {
    let host = TestApp::start().await;
    let (id, other) = (make(&host, "kanaria").await, make(&host, "finchfink").await);
    do_to(&host, &id, &id).await;
    do_to(&host, &other, &other).await;
    let mut tx = host.app.db.write().await.unwrap();
    // All of the fixture stands for what came after the rest had been erased.
    db::privacy::finish(&mut tx, &id, "receipt", "job", "{}").await.unwrap();
    tx.commit().await.unwrap();
    let rows = dump(&host.app.db).await;
    for table in ["events", "audit_personal", "sign_in_failures"] {
        let held = |word: &str| rows.iter().filter(|(in_table, row)| in_table == table && holds(row, word)).count();
        assert_eq!(held("kanaria") + held(&id), 0, "{table}");
        assert!(held("finchfink") + held(&other) > 0, "{table}");
    }
}

#[tokio::test]
async fn an_erasure_that_was_cut_off_knows_whose_notes_to_remove() {
    let mut host = TestApp::start().await;
    let id = make(&host, "kanaria").await;
    host.make_user("chief", true).await;
    host = host.signed_in("kanaria").await;
    // It gets as far as the likes, when the accounts are gone already.
    execute(&host, "ALTER TABLE likes RENAME TO likes_elsewhere").await;
    let job = erase(&host).await["job"].as_str().unwrap().to_owned();
    let host = host.signed_in("chief").await;
    let path = format!("/api/jobs/{job}");
    host.until(&path, |job| job["error"]["code"] == "database_error").await;
    assert!(db::privacy::accounts(host.app.db.read(), &id).await.unwrap().is_empty());
    let mut tx = host.app.db.write().await.unwrap();
    // What a plugin wrote that was in the middle of a call.
    let put = [(b"key".to_vec(), Some(b"a late token".to_vec()))].into();
    let scope = db::plugin_kv::Scope { instance: "nas", account: "kanaria-account" };
    db::plugin_kv::put_many(&mut tx, scope, &put).await.unwrap();
    tx.commit().await.unwrap();
    execute(&host, "ALTER TABLE likes_elsewhere RENAME TO likes").await;
    execute(&host, "UPDATE jobs SET run_at = 0 WHERE kind = 'privacy.erase'").await;
    host.until(&path, |job| job["state"] == "succeeded").await;
    let rows = dump(&host.app.db).await;
    let left: Vec<_> = rows.iter().filter(|(_, row)| holds(row, "kanaria-account")).collect();
    assert!(left.is_empty(), "{left:#?}");
}

#[tokio::test]
async fn a_user_that_an_admin_deletes_leaves_no_notes_of_plugins() {
    let host = TestApp::start().await.admin().await;
    let (id, _) = (make(&host, "kanaria").await, make(&host, "finchfink").await);
    assert_eq!(host.delete(&format!("/api/admin/users/{id}")).await.status, 204);
    let rows = dump(&host.app.db).await;
    let notes: Vec<_> = rows.iter().filter(|(table, _)| table == "plugin_kv").collect();
    assert_eq!(notes.len(), 1, "{notes:#?}");
    assert!(holds(&notes[0].1, "finchfink"), "{notes:#?}");
}

#[tokio::test]
async fn an_erasure_can_not_be_cancelled() {
    let mut host = TestApp::start().await;
    make(&host, "kanaria").await;
    execute(&host, ENDLESS).await;
    host.make_user("chief", true).await;
    host = host.signed_in("kanaria").await;
    let job = erase(&host).await["job"].as_str().unwrap().to_owned();
    let host = host.signed_in("chief").await;
    let cancel = host.send(host.request(Method::POST, &format!("/api/jobs/{job}/cancel"))).await;
    cancel.expect_problem(409, "job_not_cancellable");
}

#[tokio::test]
async fn an_erasure_that_was_killed_is_finished_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    std::fs::write(dir.path().join("zotify.toml"), format!("[server]\nlisten = \"127.0.0.1:{port}\"\n")).unwrap();
    run(dir.path(), &["user", "create", "tester", "--admin", "--password-stdin"], "a long enough password\n");
    run(dir.path(), &["user", "create", "anna", "--password-stdin"], "a long enough password\n");
    let open = async || Db::connect(&format!("sqlite://{}/data/zotify.db", dir.path().display())).await.unwrap();
    let database = open().await;
    let mut tx = database.write().await.unwrap();
    sqlx::query(
        "INSERT INTO plays SELECT 'play-' || n, (SELECT id FROM users WHERE name = 'anna'), 'local:track:x', n, NULL, 'client'
         FROM (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 150000) SELECT n FROM c)",
    )
    .execute(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    database.close().await;

    let mut first = Host::start(dir.path(), port).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let body = json!({"username": "anna", "password": "a long enough password"});
    let login = client.post(format!("{}/api/auth/login", first.base)).json(&body).send().await.unwrap();
    let token = login.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned();
    let request = client.delete(format!("{}/api/privacy/data", first.base)).bearer_auth(token);
    let erasure: Value = request.send().await.unwrap().json().await.unwrap();
    let path = format!("/api/jobs/{}", erasure["job"].as_str().unwrap());
    first.until(&path, |job| job["progress"]["done"].as_u64() > Some(0) || job["state"] == "succeeded").await;
    first.kill();

    let database = open().await;
    let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM plays").fetch_one(database.read()).await.unwrap();
    database.close().await;
    assert!(left > 0, "the erasure ended before it could be killed");

    let second = Host::start(dir.path(), port).await;
    let receipt = format!("/api/privacy/receipts/{}", erasure["receipt"].as_str().unwrap());
    second.until(&receipt, |status| status["state"] == "erased").await;
    let database = open().await;
    let rows = dump(&database).await;
    assert!(!rows.iter().any(|(_, row)| holds(row, "anna") || holds(row, "play-")), "something is left");
    assert_eq!(second.get("/api/admin/audit/verify").await["ok"], true);
}
