//! Connections over REST: how they stand, what of them can be changed, and unlinking.

use serde_json::{Value, json};
use zotify_host::{accounts, db::now_ms, mirror};

use crate::{
    flows::{asking, connect, count, execute},
    starred::{Starred, events},
    support::TestApp,
};

fn path(account: &str) -> String {
    format!("/api/accounts/{account}")
}

async fn get(host: &TestApp, account: &str) -> Value {
    host.get(&path(account)).await.expect(200)
}

/// A host whose provider is like something, with an account that was read.
async fn with(connect_settings: &str) -> (Starred, String) {
    let stars = Starred::with(&format!("saved = 3, connect = {{ steps = [\"form\"], {connect_settings} }}"), "").await;
    let account = connect(&stars.host, "anna").await;
    stars.calm().await;
    (stars, account)
}

#[tokio::test]
async fn lists_hold_the_callers_own_and_the_shared_ones() {
    let mut stars = asking("\"form\"").await;
    let mine = connect(&stars.host, "mine").await;
    stars.host.become_user("anna").await;
    let host = &stars.host;
    let ids = async |query: &str| {
        let page = host.get(&format!("/api/accounts{query}")).await.expect(200);
        let ids: Vec<_> =
            page["data"].as_array().unwrap().iter().map(|a| a["id"].as_str().unwrap().to_owned()).collect();
        (ids, page["meta"]["next_cursor"].as_str().map(str::to_owned))
    };
    assert!(!ids("").await.0.contains(&mine));
    let own = [connect(host, "first").await, connect(host, "second").await];
    let all = ids("").await.0;
    assert!(own.iter().all(|id| all.contains(id)), "{all:?}");
    let (first, next) = ids("?limit=1").await;
    let mut paged = first;
    let mut next = next;
    while let Some(cursor) = next {
        let (more, after) = ids(&format!("?limit=1&cursor={cursor}")).await;
        paged.extend(more);
        next = after;
    }
    assert_eq!(paged, all);
    host.get("/api/accounts?cursor=nonsense").await.expect_problem(400, "invalid_cursor");
    host.get(&path(&mine)).await.expect_problem(404, "account_not_found");
    host.get(&path("a%00b")).await.expect_problem(404, "account_not_found");
}

#[tokio::test]
async fn an_admin_sees_how_everybodys_accounts_stand_and_no_more() {
    let mut stars = asking("\"form\"").await;
    stars.host.become_user("anna").await;
    let account = connect(&stars.host, "secretname").await;
    stars.host.get("/api/admin/accounts").await.expect_problem(403, "admin_required");
    let host = stars.host.sign_in_again().await;
    let reply = host.get("/api/admin/accounts").await;
    let page = reply.expect(200);
    let row = page["data"].as_array().unwrap().iter().find(|row| row["id"] == account).unwrap();
    assert_eq!((&row["user_name"], &row["provider"], &row["state"]), (&json!("anna"), &json!("stars"), &json!("ok")));
    assert!(!reply.text().contains("secretname"), "{page:#}");
    assert_eq!(count(&host, "audit_log WHERE action = 'accounts.read'").await, 1);
}

#[tokio::test]
async fn label_and_schedule_can_be_changed() {
    let (stars, account) = with("").await;
    let host = &stars.host;
    let change = async |body: Value| host.patch(&path(&account), &body).await;
    let next = async || get(host, &account).await["next_pull_at"].as_str().map(str::to_owned);
    let before = next().await.unwrap();
    let changed = change(json!({"label": " Annas "})).await.expect(200);
    assert_eq!((&changed["label"], &changed["pull_every_s"]), (&json!("Annas"), &Value::Null));
    assert_eq!(next().await.as_ref(), Some(&before));
    assert_eq!(change(json!({"pull_every_s": 600})).await.expect(200)["pull_every_s"], 600);
    assert!(next().await.unwrap() < before);
    assert_eq!(change(json!({"pull_every_s": 0})).await.expect(200)["next_pull_at"], Value::Null);
    assert_eq!(change(json!({"pull_every_s": null})).await.expect(200)["pull_every_s"], Value::Null);
    assert!(next().await.is_some());
    for body in [
        json!({"label": ""}),
        json!({"label": "   "}),
        json!({"label": "a\nb"}),
        json!({"label": "x".repeat(101)}),
        json!({"pull_every_s": 299}),
        json!({"pull_every_s": -1}),
        json!({"pull_every_s": 31_536_001}),
    ] {
        change(body).await.expect_problem(422, "validation_failed");
    }
    change(json!({"state": "ok"})).await.expect_problem(422, "invalid_body");
    assert_eq!(count(host, "audit_log WHERE action = 'account.changed'").await, 4);
}

#[tokio::test]
async fn a_check_says_what_the_account_may_do() {
    let (stars, account) = with("restricted = [\"likes.write\"]").await;
    let host = &stars.host;
    let checked = host.post(&format!("{}/check", path(&account)), &json!({})).await.expect(200);
    let capabilities = &checked["capabilities"];
    assert_eq!(capabilities["likes.write"], json!({"state": "restricted", "code": "premium_required"}), "{checked:#}");
    assert_eq!(capabilities["likes.read"], json!({"state": "available"}), "{checked:#}");
    assert_eq!((&checked["state"], &checked["remedy"]), (&json!("ok"), &Value::Null));
}

#[tokio::test]
async fn a_check_tells_accounts_that_do_not_work() {
    let (stars, account) = with("").await;
    let check = format!("{}/check", path(&account));
    let stars = stars.again("connect = { works = \"restricted\" }").await;
    let checked = stars.host.post(&check, &json!({})).await.expect(200);
    assert_eq!((&checked["state"], &checked["state_code"]), (&json!("restricted"), &json!("not_allowlisted")));
    assert!(checked["remedy"].is_string() && checked["state_detail"].is_string(), "{checked:#}");

    let stars = stars.again("connect = { works = \"away\" }").await;
    stars.host.post(&check, &json!({})).await.expect_problem(503, "provider_unavailable");
    assert_eq!(get(&stars.host, &account).await["state"], "restricted", "nothing new is known");

    let stars = stars.again("connect = { works = \"expired\" }").await;
    let host = &stars.host;
    for _ in 0..2 {
        let checked = host.post(&check, &json!({})).await.expect(200);
        assert_eq!((&checked["state"], &checked["state_code"]), (&json!("auth_required"), &json!("grant_ended")));
        assert_eq!(checked["next_pull_at"], Value::Null, "{checked:#}");
    }
    assert_eq!(
        events(host, "account.auth_required").await.iter().filter(|(of, _)| of.as_ref() == Some(&account)).count(),
        1
    );
}

#[tokio::test]
async fn a_pull_that_needs_a_sign_in_says_so() {
    let (stars, account) = with("").await;
    let stars = stars.again("connect = { works = \"expired\" }").await;
    let host = &stars.host;
    host.post("/api/sync", &json!({"accounts": [account]})).await.expect(202);
    stars.calm().await;
    assert_eq!(stars.ended("library.pull").await.1.as_deref(), Some("account_auth_required"));
    let row = get(host, &account).await;
    assert_eq!((&row["state"], &row["state_code"]), (&json!("auth_required"), &json!("grant_ended")));
    assert_eq!(row["counts"]["tracks"], 3, "what was read stays");
    // Nobody asks the service again by itself.
    execute(host, &format!("UPDATE accounts SET next_pull_at = 1, last_pull_at = 1 WHERE id = '{account}'")).await;
    let account = accounts::find(&host.app.db, &account).await.unwrap().unwrap();
    assert!(!mirror::schedule::is_due(&host.app, &account, now_ms()));
}

#[tokio::test]
async fn a_pull_that_works_again_says_so_once() {
    let (stars, account) = with("").await;
    let host = &stars.host;
    execute(host, &format!("UPDATE accounts SET state = 'auth_required', state_code = 'x' WHERE id = '{account}'"))
        .await;
    let told = async || {
        let all = events(host, "account.changed").await;
        all.into_iter().filter(|(of, data)| of.as_ref() == Some(&account) && data["state"] == "ok").count()
    };
    let before = told().await;
    for _ in 0..2 {
        host.post("/api/sync", &json!({"accounts": [account]})).await.expect(202);
        stars.calm().await;
        assert_eq!(get(host, &account).await["state"], "ok");
        assert_eq!(told().await, before + 1);
    }
}

#[tokio::test]
async fn libraries_are_read_when_they_are_due_and_once() {
    let (stars, id) = with("").await;
    let host = &stars.host;
    let account = async || accounts::find(&host.app.db, &id).await.unwrap().unwrap();
    let pulls = async || count(host, &format!("jobs WHERE kind = 'library.pull' AND payload LIKE '%{id}%'")).await;
    let due = async || mirror::schedule::is_due(&host.app, &account().await, now_ms());
    assert!(!due().await);
    let before = pulls().await;
    mirror::pull_if_due(&host.app, &account().await, false).await.unwrap();
    assert_eq!(pulls().await, before);
    execute(host, &format!("UPDATE accounts SET next_pull_at = 1 WHERE id = '{id}'")).await;
    assert!(due().await);
    let found = account().await;
    let all = futures::future::join_all((0..6).map(|_| mirror::pull_if_due(&host.app, &found, false))).await;
    assert!(all.into_iter().all(|one| one.is_ok()));
    stars.calm().await;
    assert_eq!(pulls().await, before + 1);
    assert!(!due().await, "the next one is later");
    host.patch(&path(&id), &json!({"pull_every_s": 0})).await.expect(200);
    execute(host, &format!("UPDATE accounts SET next_pull_at = 1, last_pull_at = 1 WHERE id = '{id}'")).await;
    assert!(!due().await, "never by itself");
}

#[tokio::test]
async fn unlinking_leaves_nothing() {
    let (stars, account) = with("").await;
    let host = &stars.host;
    execute(host, "DELETE FROM accounts WHERE id = 'acct'").await;
    stars.like("stars:track:1").await.expect(200);
    execute(host, &format!("INSERT INTO plays SELECT 'play-1', owner, 'stars:track:1', 5, NULL, 'stars' FROM accounts WHERE id = '{account}'")).await;
    execute(host, &format!("INSERT INTO plays SELECT 'play-2', owner, 'stars:track:1', 6, NULL, 'client' FROM accounts WHERE id = '{account}'")).await;
    let library = "items i JOIN libraries l ON l.id = i.library WHERE l.account_id = ";
    assert!(count(host, &format!("{library} '{account}'")).await >= 3);
    assert_eq!(count(host, "likes").await, 1);

    assert_eq!(host.delete(&path(&account)).await.status, 204);
    host.get(&path(&account)).await.expect_problem(404, "account_not_found");
    host.delete(&path(&account)).await.expect_problem(404, "account_not_found");
    assert_eq!(count(host, "account_credentials").await, 0, "at once");
    host.post("/api/sync", &json!({"accounts": [account]})).await.expect_problem(404, "account_not_found");
    stars.calm().await;
    assert_eq!(stars.ended("account.unlink").await, ("succeeded".to_owned(), None));
    for (table, left) in [
        (format!("accounts WHERE id = '{account}'"), 0),
        (format!("libraries WHERE account_id = '{account}'"), 0),
        (format!("pull_runs WHERE account_id = '{account}'"), 0),
        (format!("plugin_kv WHERE account = '{account}'"), 0),
        (format!("setup_flows WHERE result = '{account}'"), 0),
        (format!("jobs WHERE kind <> 'account.unlink' AND payload LIKE '%{account}%'"), 0),
        ("likes".to_owned(), 0),
        ("plays".to_owned(), 1),
        ("plugin_kv WHERE account = ''".to_owned(), 1),
        ("audit_log WHERE action = 'account.unlinked'".to_owned(), 1),
        (format!("events WHERE type = 'account.unlinked' AND subject = '{account}'"), 1),
    ] {
        assert_eq!(count(host, &table).await, left, "{table}");
    }
    assert_ne!(connect(host, "anna").await, account, "it can be connected anew");
}

#[tokio::test]
async fn an_erasure_that_was_cut_off_is_done_by_the_next_start() {
    let (stars, account) = with("").await;
    // As if the job had been lost.
    execute(&stars.host, &format!("UPDATE accounts SET unlinked_at = 1 WHERE id = '{account}'")).await;
    let stars = stars.again("connect = { steps = [\"form\"] }").await;
    stars.calm().await;
    assert_eq!(stars.ended("account.unlink").await, ("succeeded".to_owned(), None));
    assert_eq!(count(&stars.host, &format!("accounts WHERE id = '{account}'")).await, 0);
}

#[tokio::test]
async fn an_erasure_is_not_cancelled() {
    let (stars, account) = with("").await;
    let host = &stars.host;
    let id = "01M8335M193C5CSBJ3EXN9CW2V";
    execute(
        host,
        &format!(
            "INSERT INTO jobs (id, kind, state, user_id, payload, run_at, max_attempts, created_at)
             SELECT '{id}', 'account.unlink', 'waiting', owner, '{{}}', 9000000000000, 1, 1 FROM accounts WHERE id = '{account}'"
        ),
    )
    .await;
    let path = format!("/api/jobs/{id}/cancel");
    host.send(host.request(reqwest::Method::POST, &path)).await.expect_problem(409, "job_not_cancellable");
    assert_eq!(host.get(&format!("/api/jobs/{id}")).await.expect(200)["state"], "waiting");
}

#[tokio::test]
async fn only_who_is_still_an_admin_ends_what_is_for_all() {
    let stars = asking("\"form\"").await;
    let host = &stars.host;
    let flow = json!({"provider": "stars", "shared": true});
    let flow = host.post("/api/accounts/flows", &flow).await.expect(201);
    host.make_user("another", true).await;
    execute(host, "UPDATE users SET role = 'user' WHERE name = 'root-of-tests'").await;
    host.app.recent_sessions.forget();
    let path = format!("/api/accounts/flows/{}", flow["id"].as_str().unwrap());
    let values = json!({"values": {"name": "anna", "password": "sesame"}});
    host.post(&path, &values).await.expect_problem(403, "admin_required");
}

#[tokio::test]
async fn likes_and_plays_stay_while_another_account_may_hold_them() {
    let (stars, account) = with("").await;
    let host = &stars.host;
    connect(host, "ben").await;
    stars.like("stars:track:1").await.expect(200);
    assert_eq!(host.delete(&path(&account)).await.status, 204);
    stars.calm().await;
    assert_eq!(count(host, "likes").await, 1);
}

#[tokio::test]
async fn unlinking_does_not_wait_for_the_service() {
    let (stars, account) = with("").await;
    let stars = stars.again("connect = { works = \"away\" }").await;
    assert_eq!(stars.host.delete(&path(&account)).await.status, 204);
    assert_eq!(count(&stars.host, "account_credentials").await, 0);
}

#[tokio::test]
async fn what_nobody_signed_in_for_cannot_be_unlinked() {
    let music = crate::library::music();
    let host = crate::library::scanned(music.path()).await;
    let page = host.get("/api/accounts").await.expect(200);
    let account = &page["data"][0];
    assert_eq!(
        (&account["shared"], &account["scopes"], &account["authorized_at"]),
        (&json!(true), &json!([]), &Value::Null)
    );
    let path = path(account["id"].as_str().unwrap());
    host.delete(&path).await.expect_problem(409, "not_connected");
    let flow = json!({"provider": "local"});
    host.post("/api/accounts/flows", &flow).await.expect_problem(422, "unsupported");
    assert_eq!(host.post(&format!("{path}/check"), &json!({})).await.expect(200)["state"], "ok");
}
