//! What users set for themselves.

use reqwest::Method;
use serde_json::{Value, json};
use zotify_host::{
    db,
    preferences::{self, Channel, EVENT_TYPES},
};

use crate::support::{Reply, TestApp};

const PATH: &str = "/api/user/preferences";

async fn patch(host: &TestApp, body: &Value) -> Reply {
    host.send(host.request(Method::PATCH, PATH).json(body)).await
}

async fn user_id(host: &TestApp, name: &str) -> String {
    db::users::find_by_name(host.app.db.read(), name).await.unwrap().unwrap().id
}

#[tokio::test]
async fn nothing_set_is_the_usual() {
    let host = TestApp::start().await.admin().await;
    let all = host.get(PATH).await.expect(200);
    assert_eq!((&all["theme"], &all["language"], &all["time_zone"]), (&json!("system"), &json!("en"), &json!("UTC")));
    assert_eq!((&all["notifications_enabled"], &all["record_history"]), (&json!(true), &json!(true)));
    assert_eq!(all["notifications"].as_object().unwrap().len(), EVENT_TYPES.len());
    assert_eq!(all["notifications"]["download.failed"], json!({"in_app": true, "push": true}));
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_null_takes_it_back() {
    let host = TestApp::start().await.admin().await;
    let body = json!({"theme": "dark", "language": "PT-br", "time_zone": "Europe/Lisbon",
        "notifications": {"sync.finished": {"push": true}, "download.failed": {"in_app": false, "push": false}}});
    let changed = patch(&host, &body).await.expect(200);
    assert_eq!((&changed["theme"], &changed["language"]), (&json!("dark"), &json!("pt-BR")));
    assert_eq!(changed["notifications"]["sync.finished"], json!({"in_app": false, "push": true}));
    let body = json!({"language": null, "notifications": {"sync.finished": null, "download.failed": {"push": null}}});
    patch(&host, &body).await.expect(200);
    let now = host.get(PATH).await.expect(200);
    assert_eq!(
        (&now["theme"], &now["language"], &now["time_zone"]),
        (&json!("dark"), &json!("en"), &json!("Europe/Lisbon"))
    );
    assert_eq!(now["notifications"]["sync.finished"], json!({"in_app": false, "push": false}));
    assert_eq!(
        now["notifications"]["download.failed"],
        json!({"in_app": false, "push": true}),
        "only one was taken back"
    );
    patch(&host, &json!({"notifications": null, "theme": null, "time_zone": null})).await.expect(200);
    let fresh = TestApp::start().await.admin().await;
    assert_eq!(host.get(PATH).await.json(), fresh.get(PATH).await.json());
}

#[tokio::test]
async fn the_master_switch_is_what_later_notifications_ask() {
    let mut host = TestApp::start().await.admin().await;
    host.become_user("anna").await;
    let anna = user_id(&host, "anna").await;
    let wants = async |event: &str| preferences::wants(&host.app.db, &anna, event, Channel::InApp).await.unwrap();
    assert!(wants("download.failed").await && !wants("library.changed").await);
    patch(&host, &json!({"notifications": {"library.changed": {"in_app": true}}})).await.expect(200);
    assert!(wants("library.changed").await);
    patch(&host, &json!({"notifications_enabled": false})).await.expect(200);
    assert!(!wants("library.changed").await && !wants("download.failed").await);
    // What is set for each event is still there when the switch is on again.
    assert_eq!(host.get(PATH).await.json()["notifications"]["library.changed"]["in_app"], true);
    patch(&host, &json!({"notifications_enabled": null})).await.expect(200);
    assert!(wants("library.changed").await);
    let root = user_id(&host, "root-of-tests").await;
    assert!(!preferences::wants(&host.app.db, &root, "library.changed", Channel::InApp).await.unwrap(), "hers alone");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let host = TestApp::start().await.admin().await;
    for (body, field) in [
        (json!({"language": "en_US"}), "language"),
        (json!({"language": "x".repeat(1000)}), "language"),
        (json!({"time_zone": "../../etc/passwd"}), "time_zone"),
        (json!({"time_zone": "UTC\u{0}"}), "time_zone"),
        (json!({"theme": "dark", "notifications": {"no.such": {"push": true}}}), "notifications.no.such"),
    ] {
        let problem = patch(&host, &body).await.expect_problem(422, "validation_failed");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    for body in [
        json!({"theme": "mauve"}),
        json!({"thme": "dark"}),
        json!({"notifications": {"job.finished": {"pigeon": true}}}),
        json!({"notifications": {"job.finished": {"push": "yes"}}}),
        json!({"notifications_enabled": 1}),
    ] {
        patch(&host, &body).await.expect_problem(422, "invalid_body");
    }
    let many: serde_json::Map<_, _> = (0..5000).map(|n| (format!("event.{n}"), json!({"push": true}))).collect();
    let problem = patch(&host, &json!({ "notifications": many })).await.expect_problem(422, "validation_failed");
    assert!(problem["errors"].as_array().unwrap().len() <= 100);
    let twice = r#"{"theme": "dark", "theme": "light"}"#;
    let request = host.request(Method::PATCH, PATH).header("content-type", "application/json").body(twice);
    host.send(request).await.expect_problem(422, "invalid_body");
    assert_eq!(host.get(PATH).await.json()["theme"], "system");
}

#[tokio::test]
async fn a_change_is_an_event_and_no_change_is_none() {
    let host = TestApp::start().await.admin().await;
    let root = user_id(&host, "root-of-tests").await;
    let told = async || {
        let all = db::events::after(host.app.db.read(), 0, 1000).await.unwrap();
        all.iter().filter(|e| e.kind == "user.preferences_changed" && e.user_id.as_ref() == Some(&root)).count()
    };
    patch(&host, &json!({"theme": "light"})).await.expect(200);
    assert_eq!(told().await, 1);
    patch(&host, &json!({"theme": "light"})).await.expect(200);
    patch(&host, &json!({})).await.expect(200);
    assert_eq!(told().await, 1);
}

#[test]
fn the_manual_names_every_event_type() {
    let page = include_str!("../../../docs/manual/preferences.md");
    for event in EVENT_TYPES {
        let tick = |on| if on { "yes" } else { "no" };
        let row = format!("| `{}` | {} | {} | {} |", event.name, event.text, tick(event.in_app), tick(event.push));
        assert!(page.contains(&row), "the page lacks: {row}");
    }
}
