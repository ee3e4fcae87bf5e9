//! The account that is meant where several could be, as its user prefers.

use serde_json::{Value, json};

use crate::{
    editable::Editable,
    library::text,
    support::{Reply, TestApp},
};

const PATH: &str = "/api/user/preferences";

async fn prefer(host: &TestApp, accounts: Value) -> Reply {
    host.patch(PATH, &json!({"default_accounts": accounts})).await
}

async fn add(host: &TestApp, track: &str) -> String {
    let answer = host.patch("/api/library", &json!({"add": [track]})).await.expect(200);
    let result = &answer["data"][0];
    result["code"].as_str().unwrap_or_else(|| text(result, "status")).to_owned()
}

#[tokio::test]
async fn the_preferred_account_is_the_one_that_is_meant() {
    let editable = Editable::with("").await;
    let host = &editable.host;
    editable.connect("root-of-tests", "second").await;
    assert_eq!(add(host, "ed:track:1").await, "account_ambiguous");
    let new = json!({"name": "Mix"});
    host.post("/api/playlists", &new).await.expect_problem(409, "account_ambiguous");
    host.get("/api/search?scope=catalog&q=t").await.expect(200);
    assert_eq!((editable.asked("acct", "search").await, editable.asked("second", "search").await), (1, 0));

    let set = prefer(host, json!({"ed": "second"})).await.expect(200);
    assert_eq!(set["default_accounts"], json!({"ed": "second"}));
    assert_eq!(add(host, "ed:track:1").await, "added");
    let written = (editable.asked("acct", "library_edit").await, editable.asked("second", "library_edit").await);
    assert_eq!(written, (0, 1));
    let made = host.post("/api/playlists", &new).await.expect(201);
    let holder = "SELECT l.account_id FROM items i JOIN libraries l ON l.id = i.library WHERE i.uri = $1";
    let holder = sqlx::query_scalar::<_, String>(holder).bind(text(&made, "uri").to_owned());
    assert_eq!(holder.fetch_all(host.app.db.read()).await.unwrap(), ["second"]);
    host.get("/api/search?scope=catalog&q=t").await.expect(200);
    assert_eq!((editable.asked("acct", "search").await, editable.asked("second", "search").await), (1, 1));
    let answer = host.patch("/api/library?account=acct", &json!({"add": ["ed:track:3"]})).await.expect(200);
    assert_eq!(answer["data"][0]["status"], "added", "who names one means that one");
    assert_eq!(editable.asked("acct", "library_edit").await, 1);

    prefer(host, json!({"ed": null})).await.expect(200);
    assert_eq!(add(host, "ed:track:2").await, "account_ambiguous", "and null takes it back");
}

#[tokio::test]
async fn only_accounts_that_the_user_has_can_be_preferred() {
    let mut editable = Editable::with("").await;
    editable.connect(None, "shared").await;
    for (wrong, field) in [
        (json!({"ed": "nobodys"}), "default_accounts.ed"),
        (json!({"local": "acct"}), "default_accounts.local"),
        (json!({"ed": "acct", "unknown": "acct"}), "default_accounts.unknown"),
    ] {
        let problem = prefer(&editable.host, wrong).await.expect_problem(422, "validation_failed");
        assert_eq!(problem["errors"][0]["field"], field, "{problem:#}");
    }
    prefer(&editable.host, json!("acct")).await.expect_problem(422, "invalid_body");
    assert_eq!(editable.host.get(PATH).await.expect(200)["default_accounts"], json!({}), "nothing was kept");
    prefer(&editable.host, json!({"ed": "acct"})).await.expect(200);
    prefer(&editable.host, json!({"ed": "shared"})).await.expect(200);
    assert_eq!(add(&editable.host, "ed:track:1").await, "added");
    assert_eq!(editable.asked("shared", "library_edit").await, 1, "an admin may prefer what all share");

    editable.host.become_user("anna").await;
    prefer(&editable.host, json!({"ed": "acct"})).await.expect_problem(422, "validation_failed");
    prefer(&editable.host, json!({"ed": "shared"})).await.expect(200);
    assert_eq!(add(&editable.host, "ed:track:2").await, "admin_required", "a preference is no permission");
}

#[tokio::test]
async fn an_account_that_goes_away_is_nobodys_preference_any_more() {
    let editable = Editable::with("").await;
    let second = "01K9Z3N8Q4V6XJ2M7R5T0WYBCD";
    editable.connect("root-of-tests", second).await;
    prefer(&editable.host, json!({"ed": second})).await.expect(200);
    editable.host.patch(PATH, &json!({"theme": "dark"})).await.expect(200);
    assert_eq!(editable.host.delete(&format!("/api/accounts/{second}")).await.status, 204);
    let now = editable.host.get(PATH).await.expect(200);
    assert_eq!((&now["default_accounts"], &now["theme"]), (&json!({}), &json!("dark")));
    assert_eq!(add(&editable.host, "ed:track:1").await, "added", "one is left");
}
