//! Which version of a playlist is read, and which is changed.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    editable::Editable,
    flows::execute,
    library::text,
    support::{Reply, TestApp},
};

const PATH: &str = "/api/playlists/ed:playlist:p1";

/// Two accounts of one user that hold a playlist under one address, with other entries.
async fn two() -> Editable {
    let editable = Editable::with("").await;
    editable.connect("root-of-tests", "bcct").await;
    for (account, tracks) in [("acct", ["ed:track:1", "ed:track:2"]), ("bcct", ["ed:track:3", "ed:track:4"])] {
        let body = json!({"name": account, "account": account});
        let made = editable.host.post("/api/playlists", &body).await;
        assert_eq!(made.header("location"), PATH);
        made.expect(201);
        let items = format!("{PATH}/items?account={account}");
        editable.host.post(&items, &json!({"uris": tracks})).await.expect(200);
    }
    editable
}

async fn read(host: &TestApp, account: &str) -> (String, Vec<String>, String) {
    let name = text(&host.get(&format!("{PATH}{account}")).await.expect(200), "name").to_owned();
    let page = host.get(&format!("{PATH}/items{account}")).await;
    let tag = page.header("etag").to_owned();
    let page = page.expect(200);
    let titles = page["data"].as_array().unwrap().iter().map(|row| text(&row["item"], "title").to_owned());
    (name, titles.collect(), tag)
}

#[tokio::test]
async fn the_account_that_is_named_is_read_and_changed() {
    let editable = two().await;
    for (account, titles) in [("acct", ["One", "Two"]), ("bcct", ["Three", "Four"])] {
        let query = format!("?account={account}");
        let (name, found, tag) = read(&editable.host, &query).await;
        assert_eq!((name.as_str(), found), (account, titles.map(str::to_owned).to_vec()));
        let change = json!({"description": account});
        let path = format!("{PATH}{query}");
        editable.send(Method::PATCH, &path, Some(&tag), change).await.expect(200);
        assert_eq!(editable.host.get(&path).await.expect(200)["description"], account);
    }
    // Nobody could tell which one a change means; whoever only reads gets one all the same.
    editable.host.patch(PATH, &json!({"name": "x"})).await.expect_problem(409, "account_ambiguous");
    assert_eq!(read(&editable.host, "").await.0, "acct");
    for path in [PATH.to_owned(), format!("{PATH}/items")] {
        editable.host.get(&format!("{path}?account=none")).await.expect_problem(404, "account_not_found");
    }
    let other = "/api/playlists/local:playlist:1?account=acct";
    editable.host.get(other).await.expect_problem(400, "invalid_query");
}

#[tokio::test]
async fn what_a_follower_reads_is_what_the_owner_changes() {
    let editable = two().await;
    // The first of the two only follows it.
    let follow = "UPDATE items SET doc = REPLACE(doc, '\"editable\":true', '\"editable\":false')
                  WHERE uri = 'ed:playlist:p1' AND library = (SELECT id FROM libraries WHERE account_id = 'acct')";
    execute(&editable.host, follow).await;
    let (name, titles, tag) = read(&editable.host, "").await;
    assert_eq!((name.as_str(), titles), ("bcct", vec!["Three".to_owned(), "Four".to_owned()]));
    editable.send(Method::PATCH, PATH, Some(&tag), json!({"description": "by its items' tag"})).await.expect(200);
    let tag = editable.host.get(PATH).await.header("etag").to_owned();
    editable.send(Method::PATCH, PATH, Some(&tag), json!({"description": "by its own"})).await.expect(200);
    assert_eq!(read(&editable.host, "?account=acct").await.0, "acct", "the follower's is there to be read");
}

async fn image(editable: &Editable, path: &str, tag: &str) -> Reply {
    let request = editable.host.request(Method::PUT, &format!("{path}/image")).header("content-type", "image/png");
    editable.host.send(request.header("if-match", tag).body(b"\x89PNG\r\n\x1a\n".to_vec())).await
}

#[tokio::test]
async fn nothing_is_done_to_another_version_than_the_one_that_is_named() {
    let editable = Editable::with("").await;
    let (path, old) = editable.playlist(&[1]).await;
    editable.host.post(&format!("{path}/items"), &json!({"uris": ["ed:track:2"]})).await.expect(200);
    image(&editable, &path, &old).await.expect_problem(412, "version_mismatch");
    assert_eq!(editable.kept("acct", "image/p1").await, None);
    editable.send(Method::DELETE, &path, Some(&old), Value::Null).await.expect_problem(412, "version_mismatch");
    editable.sync().await;
    editable.host.get(&path).await.expect(200);
    let now = editable.host.get(&path).await.header("etag").to_owned();
    assert_eq!(image(&editable, &path, &now).await.status, 204);
    assert!(editable.kept("acct", "image/p1").await.is_some());
    let now = editable.host.get(&path).await.header("etag").to_owned();
    assert_eq!(editable.send(Method::DELETE, &path, Some(&now), Value::Null).await.status, 204);
    editable.host.get(&path).await.expect_problem(404, "item_not_found");
}

#[tokio::test]
async fn entries_are_named_by_web_addresses_too() {
    let editable = Editable::with("").await;
    let (path, _) = editable.playlist(&[1]).await;
    let items = format!("{path}/items");
    let web = |n: u32| format!("https://editable.example/track/{n}");
    editable.host.post(&items, &json!({"uris": [web(3), "ed:track:2"], "position": 0})).await.expect(200);
    assert_eq!(editable.titles(&path).await, ["Three", "Two", "One"]);
    editable.send(Method::PUT, &items, None, json!({"uris": [web(4), web(5)]})).await.expect(200);
    let tag = editable.host.get(&items).await.header("etag").to_owned();
    let ops = json!({"ops": [{"op": "add", "uris": [web(1)]}]});
    editable.send(Method::PATCH, &items, Some(&tag), ops).await.expect(200);
    assert_eq!(editable.titles(&path).await, ["Four", "Five", "One"]);

    let asked = editable.asked("acct", "resolve").await;
    let nowhere: Vec<_> = (0..12).map(|n| format!("https://elsewhere.example/{n}")).collect();
    let problem = editable.host.post(&items, &json!({"uris": nowhere})).await.expect_problem(422, "validation_failed");
    let codes: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|error| text(error, "code")).collect();
    assert_eq!(codes, [["item_not_found"; 10].as_slice(), ["budget_deferred"; 2].as_slice()].concat());
    assert_eq!(editable.asked("acct", "resolve").await - asked, 10);
    let long = json!({"uris": [format!("https://editable.example/{}", "x".repeat(2000))]});
    let problem = editable.host.post(&items, &long).await.expect_problem(422, "validation_failed");
    assert_eq!(
        (&problem["errors"][0]["field"], &problem["errors"][0]["code"]),
        (&json!("uris[0]"), &json!("invalid_uri"))
    );
    let album = json!({"uris": ["https://editable.example/album/a1"]});
    let problem = editable.host.post(&items, &album).await.expect_problem(422, "validation_failed");
    assert_eq!(problem["errors"][0]["code"], "wrong_kind");
    assert_eq!(editable.titles(&path).await, ["Four", "Five", "One"], "nothing was done");
}

#[tokio::test]
async fn an_account_of_another_provider_makes_no_playlist() {
    let editable = Editable::with("").await;
    let body = json!({"name": "Mix", "account": "acct", "provider": "local"});
    let problem = editable.host.post("/api/playlists", &body).await.expect_problem(422, "validation_failed");
    assert_eq!(problem["errors"][0]["field"], "account", "{problem}");
}
