//! Connecting accounts through setup flows.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Row as _};
use url::Url;
use zotify_host::db::credentials;

use crate::{
    backup::{on_postgres, program, success},
    starred::Starred,
    support::{Reply, TestApp},
};

const FLOWS: &str = "/api/accounts/flows";

/// A host whose provider asks for some steps.
pub async fn asking(steps: &str) -> Starred {
    Starred::with(&format!("connect = {{ steps = [{steps}] }}"), "").await
}

pub async fn start(host: &TestApp) -> Value {
    host.post(FLOWS, &json!({"provider": "stars"})).await.expect(201)
}

pub async fn answer(host: &TestApp, flow: &Value, body: &Value) -> Reply {
    host.post(&format!("{FLOWS}/{}", flow["id"].as_str().unwrap()), body).await
}

pub fn form(name: &str) -> Value {
    json!({"values": {"name": name, "password": "sesame"}})
}

/// The address that the service sends the browser back to.
pub fn returned(flow: &Value, code: &str) -> String {
    let url = Url::parse(flow["step"]["url"].as_str().unwrap_or_else(|| panic!("{flow:#}"))).unwrap();
    let of = |name: &str| url.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
    let query = [("code", code.to_owned()), ("state", of("state"))];
    Url::parse_with_params(&of("redirect_uri"), query).unwrap().into()
}

/// Connects an account with nothing but a form; answers its id.
pub async fn connect(host: &TestApp, name: &str) -> String {
    let flow = start(host).await;
    let done = answer(host, &flow, &form(name)).await.expect(200);
    done["step"]["account"].as_str().unwrap_or_else(|| panic!("{done:#}")).to_owned()
}

/// How many rows there are.
pub async fn count(host: &TestApp, table_and_condition: &str) -> i64 {
    let sql = format!("SELECT COUNT(*) FROM {table_and_condition}");
    sqlx::query(AssertSqlSafe(sql)).fetch_one(host.app.db.read()).await.unwrap().get(0)
}

pub async fn execute(host: &TestApp, sql: &str) {
    let mut tx = host.app.db.write().await.unwrap();
    sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut *tx).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    tx.commit().await.unwrap();
    host.app.recent_accounts.forget();
}

#[tokio::test]
async fn a_flow_of_all_steps_ends_with_an_account_whose_library_is_read() {
    let stars = Starred::with("saved = 2, connect = { lasts_ms = 15552000000 }", "").await;
    let host = &stars.host;
    let flow = start(host).await;
    assert_eq!(
        (&flow["state"], &flow["provider"], &flow["step"]["type"]),
        (&json!("open"), &json!("stars"), &json!("form"))
    );
    assert_eq!(flow["step"]["schema"]["properties"]["password"]["writeOnly"], true, "{flow:#}");

    let wrong =
        answer(host, &flow, &json!({"values": {"name": "anna", "password": "wrong", "stay": true}})).await.expect(200);
    assert_eq!(wrong["step"]["error"], "the name or the password is wrong");
    assert_eq!(
        wrong["step"]["values"],
        json!({"name": "anna", "stay": true}),
        "what is no secret need not be typed again"
    );
    let asked = answer(host, &flow, &form("anna")).await.expect(200);
    assert_eq!((&asked["step"]["type"], &asked["step"]["paste_back"]), (&json!("external"), &json!(true)), "{asked:#}");
    assert!(asked["step"]["redirect"].as_str().unwrap().ends_with("/api/auth/stars/callback"), "{asked:#}");

    let waiting = answer(host, &flow, &json!({"url": returned(&asked, "anna")})).await.expect(200);
    assert_eq!(
        (&waiting["step"]["type"], &waiting["step"]["code"]),
        (&json!("progress"), &json!("WXYZ")),
        "{waiting:#}"
    );
    answer(host, &flow, &json!({})).await.expect(200);
    let done = poll(host, &flow).await;
    let account = done["step"]["account"].as_str().unwrap_or_else(|| panic!("{done:#}"));
    assert_eq!(host.get(&format!("{FLOWS}/{}", text(&flow, "id"))).await.expect(200), done);
    stars.calm().await;
    let row = host.get(&format!("/api/accounts/{account}")).await.expect(200);
    assert_eq!(
        (&row["state"], &row["label"], &row["owned_by_me"]),
        (&json!("ok"), &json!("anna at the stars"), &json!(true))
    );
    assert_eq!((&row["counts"]["tracks"], &row["completeness"]), (&json!(2), &json!("complete")), "{row:#}");
    assert_eq!(row["scopes"], json!(["likes", "plays"]));
    assert!(row["sign_in_again_by"].as_str().unwrap() > row["authorized_at"].as_str().unwrap(), "{row:#}");
    assert!(row["next_pull_at"].is_string() && row["checked_at"].is_string(), "{row:#}");

    let sealed = credentials::sealed(host.app.db.read(), account).await.unwrap().unwrap();
    assert!(!String::from_utf8_lossy(&sealed).contains("token-of-anna"));
    let plain = host.app.secrets.open(&credentials::context(account), &sealed).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&plain).unwrap(), json!({"token": "token-of-anna", "again": false}));
    assert_eq!(
        count(host, "setup_flows WHERE sealed IS NOT NULL OR state_hash IS NOT NULL").await,
        0,
        "nothing is kept"
    );
    assert_eq!(count(host, "events WHERE type = 'account.connected'").await, 1);
    assert_eq!(count(host, "audit_log WHERE action = 'account.connected'").await, 1);
}

/// Asks until there is news.
async fn poll(host: &TestApp, flow: &Value) -> Value {
    for _ in 0..600 {
        let now = answer(host, flow, &json!({})).await.expect(200);
        if now["state"] != "open" {
            return now;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("it is never done");
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value:#}"))
}

#[tokio::test]
async fn values_must_fit_the_form() {
    let stars = asking("\"form\"").await;
    let host = &stars.host;
    let flow = start(host).await;
    for (values, fields) in [
        (json!({}), &["values.name", "values.password"][..]),
        (json!({"name": "a", "password": "sesame"}), &["values.name"]),
        (json!({"name": "Anna", "password": "sesame"}), &["values.name"]),
        (json!({"name": 7, "password": "sesame"}), &["values.name"]),
        (json!({"name": "anna", "password": "sesame", "stay": "yes"}), &["values.stay"]),
        (json!({"name": "anna", "password": "sesame", "more": 1}), &["values.more"]),
        (json!({"name": "anna", "password": "x".repeat(10_000)}), &["values.password"]),
        (json!({"name": "anna", "password": "se\0same"}), &["values.password"]),
    ] {
        let problem = answer(host, &flow, &json!({"values": values})).await.expect_problem(422, "validation_failed");
        let found: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|e| text(e, "field")).collect();
        assert_eq!(found, fields, "{problem:#}");
        assert!(!problem.to_string().contains("sesame"), "{problem}");
    }
    answer(host, &flow, &json!({"values": ["anna"]})).await.expect_problem(422, "validation_failed");
    answer(host, &flow, &json!({"values": {}, "url": "http://127.0.0.1/"})).await.expect_problem(422, "invalid_body");
    answer(host, &flow, &json!({"value": {}})).await.expect_problem(422, "invalid_body");
    answer(host, &flow, &json!({"url": "http://127.0.0.1/?state=x"})).await.expect_problem(409, "flow_moved_on");
    assert_eq!(answer(host, &flow, &json!({})).await.expect(200)["step"]["type"], "form", "it still waits");
    assert_eq!(answer(host, &flow, &form("anna")).await.expect(200)["state"], "done");
    answer(host, &flow, &form("anna")).await.expect_problem(409, "flow_ended");
}

#[tokio::test]
async fn what_may_not_be_started_is_refused() {
    let mut stars = asking("\"form\"").await;
    let account = connect(&stars.host, "anna").await;
    let start = async |host: &TestApp, body: Value| host.post(FLOWS, &body).await;
    let host = &mut stars.host;
    start(host, json!({"provider": "nothing"})).await.expect_problem(404, "provider_not_found");
    start(host, json!({"provider": "stars", "account": "nothing"})).await.expect_problem(404, "account_not_found");
    start(host, json!({"provider": "stars", "label": ""})).await.expect_problem(422, "validation_failed");
    for label in ["a\nb", "   ", "\u{a0}"] {
        start(host, json!({"provider": "stars", "label": label})).await.expect_problem(422, "validation_failed");
    }
    start(host, json!({"provider": "stars", "owner": "me"})).await.expect_problem(422, "invalid_body");
    host.become_user("anna").await;
    start(host, json!({"provider": "stars", "shared": true})).await.expect_problem(403, "admin_required");
    start(host, json!({"provider": "stars", "account": account})).await.expect_problem(404, "account_not_found");
    for _ in 0..20 {
        start(host, json!({"provider": "stars"})).await.expect(201);
    }
    start(host, json!({"provider": "stars"})).await.expect_problem(409, "too_many_flows");
    execute(
        host,
        "UPDATE setup_flows SET expires_at = 1 WHERE id = (SELECT MIN(id) FROM setup_flows WHERE state = 'open')",
    )
    .await;
    start(host, json!({"provider": "stars"})).await.expect(201);
}

#[tokio::test]
async fn a_flow_is_its_users_alone() {
    let mut stars = asking("\"external\"").await;
    let flow = start(&stars.host).await;
    let path = format!("{FLOWS}/{}", text(&flow, "id"));
    let url = returned(&flow, "anna");
    stars.host.become_user("eve").await;
    let host = &stars.host;
    host.get(&path).await.expect_problem(404, "flow_not_found");
    host.post(&path, &json!({"url": url})).await.expect_problem(404, "flow_not_found");
    host.delete(&path).await.expect_problem(404, "flow_not_found");
    host.post("/api/auth/stars/callback", &json!({"url": url})).await.expect_problem(404, "flow_not_found");
    host.get(&format!("{FLOWS}/nonsense")).await.expect_problem(404, "flow_not_found");
    let own = start(host).await;
    answer(host, &own, &json!({"url": url})).await.expect_problem(400, "invalid_state");
    let host = stars.host.sign_in_again().await;
    assert_eq!(host.delete(&path).await.status, 204);
    host.get(&path).await.expect_problem(404, "flow_not_found");
    host.delete(&path).await.expect_problem(404, "flow_not_found");
}

#[tokio::test]
async fn an_address_counts_once_and_in_time() {
    let stars = asking("\"external\"").await;
    let host = &stars.host;
    let flow = start(host).await;
    let state = text(&flow["step"], "url").to_owned();
    for (url, status, code) in [
        ("nonsense".to_owned(), 400, "wrong_address"),
        (state, 400, "wrong_address"),
        (returned(&flow, "anna").replace("/stars/", "/others/"), 400, "wrong_address"),
        (returned(&flow, "anna").replace("http://", "ftp://"), 400, "wrong_address"),
        (returned(&flow, &"x".repeat(9000)), 400, "wrong_address"),
        (returned(&flow, "anna") + "x", 400, "invalid_state"),
        (returned(&flow, "anna").replace("state=", "stat="), 400, "invalid_state"),
    ] {
        answer(host, &flow, &json!({"url": url})).await.expect_problem(status, code);
    }
    // Whatever name the browser has for this host.
    let url = returned(&flow, "anna").replace("127.0.0.1", "localhost");
    assert_eq!(answer(host, &flow, &json!({"url": url})).await.expect(200)["state"], "done");
    answer(host, &flow, &json!({"url": url})).await.expect_problem(409, "flow_ended");
    host.post("/api/auth/stars/callback", &json!({"url": url})).await.expect_problem(404, "flow_not_found");

    let late = start(host).await;
    execute(host, "UPDATE setup_flows SET expires_at = 1").await;
    let url = returned(&late, "anna");
    answer(host, &late, &json!({"url": url})).await.expect_problem(409, "flow_ended");
    host.post("/api/auth/stars/callback", &json!({"url": url})).await.expect_problem(404, "flow_not_found");
    let seen = answer(host, &late, &json!({})).await.expect(200);
    assert_eq!((&seen["state"], &seen["problem"]["code"]), (&json!("failed"), &json!("flow_expired")));
}

#[tokio::test]
async fn a_failure_that_may_pass_leaves_the_flow_open() {
    let stars = asking("\"external\"").await;
    let host = &stars.host;
    let flow = start(host).await;
    let failed = answer(host, &flow, &json!({"url": returned(&flow, "away")})).await.expect(200);
    assert_eq!(
        (&failed["state"], &failed["problem"]["code"]),
        (&json!("open"), &json!("provider_unavailable")),
        "{failed:#}"
    );
    assert_eq!(failed["step"], flow["step"], "the same address may be sent again");
    let done = answer(host, &flow, &json!({"url": returned(&flow, "anna")})).await.expect(200);
    assert_eq!((&done["state"], &done["problem"]), (&json!("done"), &Value::Null), "{done:#}");

    let flow = start(host).await;
    let refused = answer(host, &flow, &json!({"url": returned(&flow, "refused")})).await.expect(200);
    assert_eq!((&refused["state"], &refused["problem"]["code"]), (&json!("failed"), &json!("not_allowlisted")));
    assert_eq!(refused["step"], Value::Null);

    let flow = start(host).await;
    let url = returned(&flow, "anna").replace("code=anna", "error=access_denied");
    let denied = answer(host, &flow, &json!({"url": url})).await.expect(200);
    assert_eq!((&denied["state"], &denied["problem"]["code"]), (&json!("failed"), &json!("access_denied")));
    assert!(text(&denied["problem"], "detail").contains("refused"), "{denied:#}");
    assert_eq!(count(host, "setup_flows WHERE state = 'failed' AND sealed IS NOT NULL").await, 0);
}

#[tokio::test]
async fn no_flow_starts_where_the_provider_answers_nonsense() {
    for (steps, status, code) in [
        ("\"deep\"", 502, "provider_failed"),
        ("\"script\"", 502, "provider_failed"),
        ("\"elsewhere\"", 502, "provider_failed"),
        ("\"away\"", 503, "provider_unavailable"),
    ] {
        let stars = asking(steps).await;
        stars.host.post(FLOWS, &json!({"provider": "stars"})).await.expect_problem(status, code);
        assert_eq!(count(&stars.host, "setup_flows").await, 0, "{steps}");
    }
}

#[tokio::test]
async fn of_two_answers_at_once_one_counts() {
    let stars = asking("\"external\"").await;
    let host = &stars.host;
    let flow = start(host).await;
    let body = json!({"url": returned(&flow, "anna")});
    let replies = futures::future::join_all((0..8).map(|_| answer(host, &flow, &body))).await;
    let done = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(done, 1, "{:?}", replies.iter().map(Reply::text).collect::<Vec<_>>());
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        let problem = reply.expect(409);
        assert!(["flow_moved_on", "flow_ended"].contains(&text(&problem, "code")), "{problem}");
    }
    assert_eq!(count(host, "accounts WHERE remote_key = 'anna'").await, 1);
}

#[tokio::test]
async fn signing_in_again_keeps_the_account() {
    let stars = asking("\"form\"").await;
    let host = &stars.host;
    let account = connect(host, "anna").await;
    assert_eq!(connect(host, "anna").await, account, "the same account is not connected twice");
    assert_ne!(connect(host, "ben").await, account, "a user may have several");
    let again = json!({"provider": "stars", "account": account, "label": "Annas"});
    // Dead, too: a pull that is still under way would else find that all is well.
    execute(host, &format!("UPDATE account_credentials SET dead_code = 'x' WHERE account_id = '{account}'")).await;
    execute(host, &format!("UPDATE accounts SET state = 'auth_required', state_code = 'x' WHERE id = '{account}'"))
        .await;
    let flow = host.post(FLOWS, &again).await.expect(201);
    assert_eq!((&flow["account"], &flow["shared"]), (&json!(account), &json!(false)));
    answer(host, &flow, &form("carl")).await.expect_problem(409, "other_account");
    let seen = answer(host, &flow, &json!({})).await.expect(200);
    assert_eq!((&seen["state"], &seen["problem"]["code"]), (&json!("failed"), &json!("other_account")));
    let state = host.get(&format!("/api/accounts/{account}")).await.expect(200);
    assert_eq!((&state["state"], state["remedy"].is_string()), (&json!("auth_required"), true));

    let flow = host.post(FLOWS, &again).await.expect(201);
    assert_eq!(answer(host, &flow, &form("anna")).await.expect(200)["step"]["account"], account);
    let now = host.get(&format!("/api/accounts/{account}")).await.expect(200);
    assert_eq!(
        (&now["state"], &now["label"], &now["remedy"]),
        (&json!("ok"), &json!("Annas"), &Value::Null),
        "{now:#}"
    );
    let sealed = credentials::sealed(host.app.db.read(), &account).await.unwrap().unwrap();
    let plain = host.app.secrets.open(&credentials::context(&account), &sealed).unwrap();
    assert!(String::from_utf8(plain).unwrap().contains("\"again\":true"), "the plugin saw the old ones");
    assert_eq!(count(host, "account_credentials WHERE version = 3").await, 1);
}

#[tokio::test]
async fn signing_in_again_mends_credentials_that_cannot_be_read() {
    let stars = asking("\"form\"").await;
    let host = &stars.host;
    let account = connect(host, "anna").await;
    let mut tx = host.app.db.write().await.unwrap();
    let damage = sqlx::query("UPDATE account_credentials SET sealed = $1 WHERE account_id = $2");
    damage.bind(b"no seal".to_vec()).bind(account.clone()).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let flow = host.post(FLOWS, &json!({"provider": "stars", "account": account})).await.expect(201);
    let done = answer(host, &flow, &form("anna")).await.expect(200);
    assert_eq!((&done["state"], &done["step"]["account"]), (&json!("done"), &json!(account)), "{done:#}");
    let sealed = credentials::sealed(host.app.db.read(), &account).await.unwrap().unwrap();
    let plain = host.app.secrets.open(&credentials::context(&account), &sealed).unwrap();
    assert!(String::from_utf8(plain).unwrap().contains("\"again\":false"), "the plugin saw none");
}

#[tokio::test]
async fn a_flow_that_was_started_is_named_by_its_address() {
    let stars = asking("\"form\"").await;
    let host = &stars.host;
    let started = host.post(FLOWS, &json!({"provider": "stars", "label": "  Annas  "})).await;
    let flow = started.expect(201);
    assert_eq!(started.header("location"), format!("{FLOWS}/{}", text(&flow, "id")));
    assert_eq!(host.get(started.header("location")).await.expect(200)["id"], flow["id"]);
    let done = answer(host, &flow, &form("anna")).await.expect(200);
    let account = host.get(&format!("/api/accounts/{}", text(&done["step"], "account"))).await.expect(200);
    assert_eq!(account["label"], "Annas");
}

#[tokio::test]
async fn a_shared_account_is_the_admins_to_change() {
    let mut stars = asking("\"form\"").await;
    let host = &mut stars.host;
    let flow = host.post(FLOWS, &json!({"provider": "stars", "shared": true, "label": "House"})).await.expect(201);
    let done = answer(host, &flow, &form("house")).await.expect(200);
    let path = format!("/api/accounts/{}", text(&done["step"], "account"));
    let own = connect(host, "house").await;
    assert!(!path.ends_with(&own), "the same account of the service may be both");
    host.become_user("anna").await;
    let seen = host.get(&path).await.expect(200);
    assert_eq!((&seen["shared"], &seen["owned_by_me"], &seen["label"]), (&json!(true), &json!(false), &json!("House")));
    host.patch(&path, &json!({"label": "Mine"})).await.expect_problem(403, "admin_required");
    host.delete(&path).await.expect_problem(403, "admin_required");
    let again = json!({"provider": "stars", "account": text(&seen, "id")});
    host.post(FLOWS, &again).await.expect_problem(403, "admin_required");
    host.get(&format!("/api/accounts/{own}")).await.expect_problem(404, "account_not_found");
}

#[tokio::test]
async fn the_short_way_answers_the_address_to_open() {
    let stars = asking("\"external\"").await;
    let host = &stars.host;
    let reply = host.get("/api/auth/stars/login").await;
    assert_eq!(reply.header("cache-control"), "no-store");
    let login = reply.expect(200);
    assert_eq!(login["authorization_url"], login["flow"]["step"]["url"], "{login:#}");
    let url = returned(&login["flow"], "anna");
    let callback = "/api/auth/stars/callback";
    host.post(callback, &json!({"url": url, "more": 1})).await.expect_problem(422, "invalid_body");
    host.post(callback, &json!({"url": "https://elsewhere.example/"})).await.expect_problem(404, "flow_not_found");
    host.post("/api/auth/others/callback", &json!({"url": url})).await.expect_problem(404, "flow_not_found");
    let done = host.post(callback, &json!({"url": url})).await.expect(200);
    assert_eq!(done["state"], "done");
    let account = text(&done["step"], "account");
    let again = host.get(&format!("/api/auth/stars/login?account={account}")).await.expect(200);
    assert_eq!(again["flow"]["account"], account);
    host.get("/api/auth/nothing/login").await.expect_problem(404, "provider_not_found");
    host.send(host.anonymous(Method::GET, "/api/auth/stars/login")).await.expect_problem(401, "missing_credentials");
}

#[tokio::test]
async fn flows_and_credentials_outlive_a_change_of_the_master_key_but_not_its_loss() {
    if on_postgres() {
        return;
    }
    let settings = "connect = { steps = [\"form\"] }";
    let stars = Starred::with(settings, "").await;
    let (account, flow) = (connect(&stars.host, "anna").await, start(&stars.host).await);
    let stars = stars.again_after(settings, |dir| drop(success(&program(dir, &["secrets", "rotate"])))).await;
    let host = &stars.host;
    let sealed = credentials::sealed(host.app.db.read(), &account).await.unwrap().unwrap();
    assert!(host.app.secrets.open(&credentials::context(&account), &sealed).is_ok());
    assert_eq!(answer(host, &flow, &form("ben")).await.expect(200)["state"], "done");

    let flow = start(host).await;
    let lose = |dir: &std::path::Path| {
        std::fs::remove_file(dir.join("data/secret.key")).unwrap();
        success(&program(dir, &["secrets", "reset", "--yes-lose-sealed"]));
    };
    let stars = stars.again_after(settings, lose).await;
    let host = &stars.host;
    assert_eq!(count(host, "account_credentials").await, 0);
    host.get(&format!("{FLOWS}/{}", text(&flow, "id"))).await.expect_problem(404, "flow_not_found");
    let row = host.get(&format!("/api/accounts/{account}")).await.expect(200);
    assert_eq!((&row["state"], &row["state_code"]), (&json!("auth_required"), &json!("secrets_reset")), "{row:#}");
    let again = host.post(FLOWS, &json!({"provider": "stars", "account": account})).await.expect(201);
    assert_eq!(answer(host, &again, &form("anna")).await.expect(200)["step"]["account"], account);
}
