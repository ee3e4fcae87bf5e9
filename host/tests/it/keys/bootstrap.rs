//! The key that the configuration names.

use zotify_host::config::Config;

use super::*;

fn bootstrap(key: &str) -> String {
    format!("[auth]\nbootstrap_admin_key = \"{key}\"")
}

const FIRST: &str = "ztf_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";
const SECOND: &str = "ztf_9876543210abcdefghijklmnopqrstuvwxyzABCDEFG";

#[tokio::test]
async fn the_bootstrap_key_sets_a_host_up() {
    let host = TestApp::with(&bootstrap(FIRST)).await;
    let status = host.by_key(FIRST, STATUS).await.expect(200);
    assert_eq!((text(&status, "name"), &status["scopes"]), ("admin", &json!(scopes::ALL)));
    // It makes keys and looks at them, but is a key everywhere else.
    let request = |method, path: &str| host.anonymous(method, path).header("x-api-key", FIRST);
    let body = json!({"name": "ci", "scopes": ["profile"]});
    let made = host.send(request(Method::POST, "/api/user/keys").json(&body)).await.expect(201);
    host.by_key(secret(&made), STATUS).await.expect(200);
    host.send(request(Method::POST, "/api/auth/logout")).await.expect_problem(403, "session_required");
    host.by_key(FIRST, "/api/admin/keys").await.expect_problem(403, "session_required");
    let list = host.by_key(FIRST, "/api/user/keys").await.expect(200);
    let own = list["data"].as_array().unwrap().iter().find(|key| key["bootstrap"] == true).unwrap().clone();
    assert_eq!((text(&own, "name"), text(&own, "prefix")), ("bootstrap", &FIRST[..12]));
    let rotate = format!("{}/rotate", path(&own));
    host.send(request(Method::POST, &rotate)).await.expect_problem(409, "bootstrap_key");
    host.send(request(Method::PATCH, &path(&own)).json(&json!({"name": "x"})))
        .await
        .expect_problem(409, "bootstrap_key");
    let record = audited(&host).await;
    assert!(record[0].1.contains("\"via\":\"host\"") && record[0].1.contains("\"bootstrap\":true"), "{record:?}");
    assert!(record[1].1.contains("\"via\":\"bootstrap_key\""), "{record:?}");
    assert!(!format!("{record:?}").contains(FIRST));

    // The same at the next start; another one ends it, and it stays so.
    let host = TestApp::at(host.stop().await, "", &bootstrap(FIRST)).await;
    host.by_key(FIRST, STATUS).await.expect(200);
    let host = TestApp::at(host.stop().await, "", &bootstrap(SECOND)).await;
    host.by_key(SECOND, STATUS).await.expect(200);
    host.by_key(FIRST, STATUS).await.expect_problem(401, "api_key_revoked");
    let host = TestApp::at(host.stop().await, "", "").await;
    host.by_key(SECOND, STATUS).await.expect_problem(401, "api_key_revoked");
    let host = TestApp::at(host.stop().await, "", &bootstrap(FIRST)).await;
    host.by_key(FIRST, STATUS).await.expect_problem(401, "api_key_revoked");
    host.by_key(secret(&made), STATUS).await.expect(200);
    assert_eq!(audited(&host).await.iter().filter(|(action, ..)| action == "api_key.revoked").count(), 2);
}

#[tokio::test]
async fn a_bootstrap_key_that_went_with_its_user_does_not_come_back() {
    let host = TestApp::with(&bootstrap(FIRST)).await.admin().await;
    let owner = host.by_key(FIRST, STATUS).await.expect(200);
    assert_eq!(host.delete(&format!("/api/admin/users/{}", text(&owner, "user_id"))).await.status, 204);
    let host = TestApp::at(host.stop().await, "", &bootstrap(FIRST)).await;
    host.by_key(FIRST, STATUS).await.expect_problem(401, "invalid_api_key");
    // Another one opens what the next admin may.
    let host = TestApp::at(host.stop().await, "", &bootstrap(SECOND)).await;
    assert_eq!(host.by_key(SECOND, STATUS).await.expect(200)["name"], "root-of-tests");
}

#[test]
fn a_bootstrap_key_has_the_right_form_and_is_random() {
    let dir = tempfile::tempdir().unwrap();
    let parse = |mode: &str, key: &str| {
        let text = format!("[server]\nmode = \"{mode}\"\n{}", bootstrap(key));
        Config::parse(&text, dir.path()).map(drop).map_err(|errors| errors.to_string())
    };
    for bad in ["hunter2hunter2", "ztf_short", &FIRST[4..], &format!("{FIRST}x"), &FIRST.replace('A', "+"), ""] {
        let said = parse("prod", bad).unwrap_err();
        assert!(said.contains("auth.bootstrap_admin_key") && said.contains("zotify-host key generate"), "{said}");
        assert!(bad.is_empty() || !said.contains(bad), "{said}");
    }
    let typed = format!("ztf_{}", "a".repeat(43));
    assert!(parse("prod", &typed).unwrap_err().contains("not random"));
    assert!(parse("dev", &typed).is_ok());
    assert!(parse("prod", FIRST).is_ok());
}
