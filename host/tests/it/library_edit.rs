//! Saving items at their providers.

use serde_json::{Value, json};

use crate::{
    editable::Editable,
    library::{all, music, scanned, text},
    starred::events,
    support::Reply,
};

async fn edit(editable: &Editable, body: Value) -> Reply {
    editable.host.patch("/api/library", &body).await
}

fn statuses(answer: &Value) -> Vec<(&str, &str)> {
    let rows = answer["data"].as_array().unwrap().iter();
    rows.map(|row| (text(row, "uri"), row["code"].as_str().unwrap_or_else(|| text(row, "status")))).collect()
}

#[tokio::test]
async fn what_is_saved_is_in_the_library_at_once_and_liked() {
    let editable = Editable::with("saved = 1").await;
    let answer = edit(&editable, json!({"add": ["ed:track:2", "ed:track:1", "ed:album:a1"]})).await.expect(200);
    let expected = [("ed:track:2", "added"), ("ed:track:1", "unchanged"), ("ed:album:a1", "added")];
    assert_eq!(statuses(&answer), expected);
    assert_eq!(editable.saved().await, ["ed:track:1", "ed:track:2"]);
    assert_eq!(editable.host.get("/api/library/albums").await.expect(200)["data"][0]["title"], "First");
    let found = editable.host.until("/api/search?q=two", |page| page["data"][0]["uri"] == "ed:track:2").await;
    assert_eq!(found["data"].as_array().unwrap().len(), 1);
    let liked = editable.host.get("/api/user/liked").await.expect(200);
    assert!(liked["data"].as_array().unwrap().iter().any(|row| row["uri"] == "ed:track:2"), "{liked:#}");
    editable.sync().await;
    assert_eq!(editable.saved().await, ["ed:track:1", "ed:track:2"], "the provider has it, too");

    let answer = edit(&editable, json!({"remove": ["ed:track:2", "ed:track:1", "ed:track:5"]})).await.expect(200);
    let expected = [("ed:track:2", "removed"), ("ed:track:1", "removed"), ("ed:track:5", "unchanged")];
    assert_eq!(statuses(&answer), expected);
    assert!(editable.saved().await.is_empty());
    let liked = editable.host.get("/api/user/liked").await.expect(200);
    assert!(liked["data"].as_array().unwrap().is_empty(), "{liked:#}");
    let told = events(&editable.host, "library.changed").await;
    assert!(told.iter().any(|(_, data)| data["removed"] == 3), "{told:?}");
}

#[tokio::test]
async fn one_item_that_fails_takes_nothing_from_the_others() {
    let editable = Editable::with("refused = [\"3\"]").await;
    let add = json!(["ed:track:3", "ed:track:99", "ed:playlist:x", "ed:track:1", "nonsense", "other:track:1"]);
    let answer = edit(&editable, json!({"add": add, "remove": ["ed:track:4"]})).await.expect(200);
    let expected = [
        ("ed:track:3", "provider_restricted"),
        ("ed:track:99", "item_not_found"),
        ("ed:playlist:x", "unsupported"),
        ("ed:track:1", "added"),
        ("nonsense", "invalid_uri"),
        ("other:track:1", "account_required"),
        ("ed:track:4", "unchanged"),
    ];
    assert_eq!(statuses(&answer), expected);
    assert_eq!(answer["data"][0]["provider_code"], "item_refused", "the provider's own reason: {answer:#}");
    assert!(answer["data"][3].get("provider_code").is_none(), "{answer:#}");
    assert_eq!(editable.saved().await, ["ed:track:1"]);
    let body = json!({"add": ["ed:track:1"], "remove": ["ed:track:1"]});
    edit(&editable, body).await.expect_problem(422, "validation_failed");
    let many: Vec<_> = (0..501).map(|n| format!("ed:track:{n}")).collect();
    edit(&editable, json!({"add": many})).await.expect_problem(422, "validation_failed");
    edit(&editable, json!({"added": []})).await.expect_problem(422, "invalid_body");
}

#[tokio::test]
async fn many_items_take_few_questions() {
    let editable = Editable::with("").await;
    let many: Vec<_> = (1..=300).map(|n| format!("ed:track:{n}")).collect();
    let answer = edit(&editable, json!({"add": many})).await.expect(200);
    assert_eq!(statuses(&answer).iter().filter(|(_, status)| *status == "added").count(), 5);
    let asked = (editable.asked("acct", "library_edit").await, editable.asked("acct", "get").await);
    assert_eq!(asked, (3, 5), "a hundred at a time, and those that the mirror did not know");
}

/// The questions that one request may cause are used up by addresses that nobody knows.
#[tokio::test]
async fn what_could_not_be_looked_up_at_once_a_job_looks_up() {
    let editable = Editable::with("refused = [\"3\"]").await;
    let pulls = async || {
        let jobs = editable.host.get("/api/jobs?kind=library.pull&limit=200").await.expect(200);
        jobs["data"].as_array().unwrap().len()
    };
    let before = pulls().await;
    let mut items: Vec<_> = (0..9).map(|n| format!("https://editable.example/track/9{n}")).collect();
    items.extend(["ed:track:2".into(), "ed:track:4".into(), "ed:track:3".into()]);
    let answer = edit(&editable, json!({"add": items})).await.expect(200);
    let expected = [("ed:track:2", "added"), ("ed:track:4", "added"), ("ed:track:3", "provider_restricted")];
    assert_eq!(statuses(&answer)[9..], expected, "{answer:#}");
    let found = editable.host.until("/api/library/tracks", |page| page["data"].as_array().unwrap().len() == 2).await;
    assert!(found["data"].as_array().unwrap().iter().any(|row| row["title"] == "Four"), "{found:#}");
    editable.calm().await;
    let jobs = editable.host.get("/api/jobs?kind=library.fetch").await.expect(200);
    assert_eq!((jobs["data"].as_array().unwrap().len(), &jobs["data"][0]["state"]), (1, &json!("succeeded")));
    assert_eq!(pulls().await, before, "and no pull was needed");
    assert_eq!(editable.saved().await, ["ed:track:2", "ed:track:4"]);
}

#[tokio::test]
async fn a_web_address_is_as_good_as_a_uri() {
    let editable = Editable::with("").await;
    let body = json!({"add": ["https://editable.example/track/2", "https://elsewhere.example/track/2"]});
    let answer = edit(&editable, body).await.expect(200);
    let expected = [("ed:track:2", "added"), ("https://elsewhere.example/track/2", "item_not_found")];
    assert_eq!(statuses(&answer), expected);
}

#[tokio::test]
async fn what_cannot_be_changed_is_refused_with_a_reason() {
    let music = music();
    let host = scanned(music.path()).await;
    let track = text(&all(&host, "tracks").await[0], "uri").to_owned();
    let answer = host.patch("/api/library", &json!({"remove": [track]})).await.expect(200);
    assert_eq!(statuses(&answer), [(track.as_str(), "unsupported")], "{answer:#}");

    let editable = Editable::with("").await;
    editable.restrict("library.tracks.add").await;
    let answer = edit(&editable, json!({"add": ["ed:track:1", "ed:album:a1"]})).await.expect(200);
    assert_eq!(statuses(&answer), [("ed:track:1", "unsupported"), ("ed:album:a1", "added")]);
    assert!(text(&answer["data"][0], "detail").contains("premium_required"));
    assert_eq!(answer["data"][0]["provider_code"], "premium_required");
}

#[tokio::test]
async fn the_account_is_chosen_and_shared_ones_are_read_only() {
    let mut editable = Editable::with("saved = 1").await;
    editable.connect("root-of-tests", "second").await;
    let answer = edit(&editable, json!({"add": ["ed:track:4"]})).await.expect(200);
    assert_eq!(statuses(&answer), [("ed:track:4", "account_ambiguous")]);
    let detail = text(&answer["data"][0], "detail");
    assert!(detail.contains("acct") && detail.contains("second"), "{detail}");
    let answer = edit(&editable, json!({"remove": ["ed:track:1"]})).await.expect(200);
    assert_eq!(statuses(&answer), [("ed:track:1", "removed")], "only one of them holds it");
    let answer = editable.host.patch("/api/library?account=second", &json!({"add": ["ed:track:4"]})).await.expect(200);
    assert_eq!(statuses(&answer), [("ed:track:4", "added")]);
    let reply = editable.host.patch("/api/library?account=none", &json!({"add": ["ed:track:4"]})).await;
    reply.expect_problem(404, "account_not_found");

    editable.connect(None, "shared").await;
    editable.host.become_user("anna").await;
    let answer = edit(&editable, json!({"add": ["ed:track:4"]})).await.expect(200);
    assert_eq!(statuses(&answer), [("ed:track:4", "admin_required")]);
    let reply = editable.host.patch("/api/library?account=shared", &json!({"add": ["ed:track:4"]})).await;
    reply.expect_problem(403, "admin_required");
    let reply = editable.host.patch("/api/library?account=acct", &json!({"add": ["ed:track:4"]})).await;
    reply.expect_problem(404, "account_not_found");
    editable.connect("anna", "hers").await;
    let answer = edit(&editable, json!({"add": ["ed:track:4"]})).await.expect(200);
    assert_eq!(statuses(&answer), [("ed:track:4", "added")], "her own is meant");
}

#[tokio::test]
async fn likes_are_the_saved_tracks() {
    let editable = Editable::with("saved = 2").await;
    let liked = async |editable: &Editable| {
        let page = editable.host.get("/api/user/liked").await.expect(200);
        let mut uris: Vec<_> = page["data"].as_array().unwrap().iter().map(|row| text(row, "uri").to_owned()).collect();
        uris.sort();
        uris
    };
    assert_eq!(liked(&editable).await, ["ed:track:1", "ed:track:2"], "after the first pull");
    crate::starred::like(&editable.host, "ed:track:3").await.expect(200);
    assert_eq!(editable.saved().await, ["ed:track:1", "ed:track:2", "ed:track:3"], "a like saves");
    crate::starred::unlike(&editable.host, "ed:track:1").await;
    assert_eq!(editable.saved().await, ["ed:track:2", "ed:track:3"], "and taking it back does not");
    editable.sync().await;
    assert_eq!(liked(&editable).await, ["ed:track:2", "ed:track:3"]);
    assert_eq!(editable.saved().await, ["ed:track:2", "ed:track:3"]);
}

#[tokio::test]
async fn a_pull_tells_what_it_takes() {
    let editable = Editable::with("saved = 2").await;
    let run = editable.host.get("/api/sync/runs").await.expect(200)["data"][0].clone();
    assert_eq!(run["forecast"], json!({"requests": 3, "items": 2}), "{run:#}");
    let jobs = editable.host.get("/api/jobs?limit=200").await.expect(200)["data"].as_array().unwrap().len();
    let dry = editable.host.post("/api/sync", &json!({"dry_run": true})).await.expect(200);
    assert_eq!((&dry["data"][0]["forecast"], &dry["data"][0]["job_id"]), (&run["forecast"], &Value::Null));
    let after = editable.host.get("/api/jobs?limit=200").await.expect(200)["data"].as_array().unwrap().len();
    assert_eq!(after, jobs, "nothing was queued");
    let reply = editable.host.post("/api/sync", &json!({"direction": "two-way"})).await;
    reply.expect_problem(422, "unsupported");
}

#[tokio::test]
async fn an_account_that_must_sign_in_again_says_so() {
    let state = async |editable: &Editable| {
        let db = editable.host.app.db.read();
        let account = zotify_host::db::accounts::find(db, "acct").await.unwrap().unwrap();
        (account.state, account.state_code)
    };
    let editable = Editable::with("saved = 2").await.again("saved = 2, trouble = { signed_out = true }").await;
    editable.sync().await;
    assert_eq!(state(&editable).await, ("auth_required".into(), Some("sign_in_expired".into())));
    assert_eq!(events(&editable.host, "account.auth_required").await.len(), 1, "told once");
    let jobs = editable.host.get("/api/jobs?kind=library.pull").await.expect(200);
    let error = &jobs["data"][0]["error"];
    let codes = (text(error, "code"), text(error, "provider_code"));
    assert_eq!(codes, ("account_auth_required", "sign_in_expired"), "{jobs:#}");
    assert_eq!(editable.saved().await.len(), 2, "what was known stays");
    let editable = editable.again("saved = 2").await;
    editable.sync().await;
    assert_eq!(state(&editable).await, ("ok".into(), None));
}

#[tokio::test]
async fn a_play_is_told_to_its_provider_once() {
    let editable = Editable::with("saved = 1, trouble = { refused_plays = 2 }").await;
    let play = json!({"uri": "ed:track:1", "played_at": "2026-05-01T07:00:00Z"});
    editable.host.post("/api/user/history", &play).await.expect(201);
    editable.host.post("/api/user/history", &play).await.expect(200);
    editable.calm().await;
    assert_eq!(editable.asked("acct", "history_add").await, 3, "refused twice, then taken");
    assert!(editable.kept("acct", "play/2026-05-01T07:00:00.000Z").await.is_some());

    let editable = editable.again("saved = 1, trouble = { lose_answers = true }").await;
    let play = json!({"uri": "ed:track:1", "played_at": "2026-05-02T07:00:00Z"});
    editable.host.post("/api/user/history", &play).await.expect(201);
    editable.calm().await;
    assert_eq!(editable.asked("acct", "history_add").await, 4, "one whose answer was lost is not told again");
}
