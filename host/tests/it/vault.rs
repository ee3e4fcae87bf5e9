//! The token vault: who refreshes, who waits, and what becomes of dead credentials.

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::json;
use wiremock::ResponseTemplate;
use zotify_host::{
    db::{
        self, clock,
        credentials::{self, turns},
    },
    providers::Lane::Interactive,
};
use zotify_plugin_api::ErrorKind;

use crate::{
    support::{PATIENCE, TestApp},
    tokens::{Service, ask, configuration, connect, execute, host, kill, number, plugins, started},
};

const LEASES: &str = "SELECT CAST(COUNT(*) AS BIGINT) FROM account_credentials WHERE lease IS NOT NULL";

async fn until_leased(host: &TestApp) {
    let started = Instant::now();
    while number(host, LEASES).await == 0 {
        assert!(started.elapsed() < PATIENCE, "nobody refreshes");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_calls_with_an_old_token_one_refreshes_it() {
    let service = Service::start().await;
    let (host, _plugins) = host(&service, "").await;
    connect(&host, "tokens", "acct", &service.credentials("c", "d", false)).await;
    let answers = join_all((0..20).map(|_| ask(&host, "tokens", "acct", Interactive, "x"))).await;
    assert!(answers.iter().all(|answer| answer.as_deref() == Ok("heard")), "{answers:?}");
    assert_eq!(service.asked("/token").await, 1);
    assert_eq!(ask(&host, "tokens", "acct", Interactive, "vault acct").await.unwrap(), "2");
    let sealed: Vec<u8> =
        sqlx::query_scalar("SELECT sealed FROM account_credentials").fetch_one(host.app.db.read()).await.unwrap();
    let plain = host.app.secrets.open(&credentials::context("acct"), &sealed).unwrap();
    assert!(String::from_utf8(plain).unwrap().contains("refresh-token-of-generation-2"));
    assert!(!String::from_utf8_lossy(&sealed).contains("refresh-token"));
    assert_eq!(number(&host, LEASES).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_refresh_once_between_them() {
    if std::env::var_os("ZOTIFY_TEST_DATABASE_URL").is_none() {
        return;
    }
    let service = Service::start().await;
    let (a, plugins) = host(&service, "").await;
    let b = a.beside(&configuration(&plugins, &service.instance("tokens", ""))).await;
    started(&b, "tokens").await;
    connect(&a, "tokens", "acct", &service.credentials("c", "d", false)).await;
    let answers = join_all((0..20).map(|n| {
        let node = if n % 2 == 0 { &a } else { &b };
        ask(node, "tokens", "acct", Interactive, "x")
    }));
    let answers = answers.await;
    assert!(answers.iter().all(|answer| answer.as_deref() == Ok("heard")), "{answers:?}");
    assert_eq!(service.asked("/token").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_fails_gives_the_turn_to_the_next() {
    let service = Service::start().await;
    let (host, _plugins) = host(&service, "").await;
    connect(&host, "tokens", "acct", &service.credentials("c", "d", false)).await;
    service.refuse(vec![ResponseTemplate::new(503)]);
    let error = ask(&host, "tokens", "acct", Interactive, "x").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert_eq!((number(&host, LEASES).await, service.asked("/token").await), (0, 1));
    assert_eq!(ask(&host, "tokens", "acct", Interactive, "x").await.unwrap(), "heard");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_turn_of_a_killed_plugin_ends_by_itself() {
    let service = Service::start().await;
    let (host, _plugins) = host(&service, "").await;
    connect(&host, "tokens", "acct", &service.credentials("c", "d", false)).await;
    let pid = ask(&host, "tokens", "acct", Interactive, "pid").await.unwrap();
    service.refuse(vec![ResponseTemplate::new(503).set_delay(PATIENCE)]);
    // Killed in the middle; a call that changes nothing may be made once more, and then waits for the turn.
    let (first, ()) = tokio::join!(ask(&host, "tokens", "acct", Interactive, "x"), async {
        until_leased(&host).await;
        kill(&pid).await;
        started(&host, "tokens").await;
        assert_eq!(number(&host, LEASES).await, 1, "nobody gave it back");
        execute(&host, "UPDATE account_credentials SET lease_until = 1").await;
    });
    assert!(first.is_ok() || first.as_ref().is_err_and(|e| e.kind == ErrorKind::Crashed), "{first:?}");
    assert_eq!(ask(&host, "tokens", "acct", Interactive, "x").await.unwrap(), "heard");
    assert_eq!((number(&host, LEASES).await, service.asked("/token").await), (0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_credentials_are_told_once_and_never_used_again() {
    let service = Service::start().await;
    let (host, _plugins) = host(&service, "").await;
    connect(&host, "tokens", "acct", &service.credentials("c", "d", false)).await;
    service.refuse(vec![ResponseTemplate::new(400)]);
    let answers = join_all((0..5).map(|_| ask(&host, "tokens", "acct", Interactive, "x"))).await;
    for answer in answers {
        let error = answer.unwrap_err();
        assert_eq!((error.kind, error.code.as_deref()), (ErrorKind::AuthRequired, Some("invalid_grant")));
    }
    let asked = service.server.received_requests().await.unwrap().len();
    let account = db::accounts::find(host.app.db.read(), "acct").await.unwrap().unwrap();
    let state = (account.state.as_str(), account.state_code.as_deref(), account.state_detail.as_deref());
    assert_eq!(state, ("auth_required", Some("invalid_grant"), Some("The service has withdrawn the sign-in.")));
    let told = "SELECT CAST(COUNT(*) AS BIGINT) FROM events WHERE type = 'account.auth_required' AND subject = 'acct'
                AND data LIKE '%\"provider\":\"tokens\"%'";
    let noted = "SELECT CAST(COUNT(*) AS BIGINT) FROM audit_log WHERE action = 'account.auth_required'";
    assert_eq!((number(&host, told).await, number(&host, noted).await), (1, 1));
    // A job gives up at once, and no call reaches the service.
    host.post("/api/sync", &json!({ "direction": "pull" })).await.expect(202);
    let page = host
        .until("/api/jobs?kind=library.pull", |page| {
            page["data"]
                .as_array()
                .is_some_and(|jobs| !jobs.is_empty() && jobs.iter().all(|job| job["state"] == "failed"))
        })
        .await;
    let job = &page["data"][0];
    assert_eq!((&job["attempts"], &job["error"]["code"]), (&json!(1), &json!("account_auth_required")), "{job:#}");
    assert_eq!(ask(&host, "tokens", "acct", Interactive, "x").await.unwrap_err().kind, ErrorKind::AuthRequired);
    assert_eq!(service.server.received_requests().await.unwrap().len(), asked);
    assert_eq!(host.get("/api/providers/tokens").await.expect(200)["breaker"]["failures"], 0);
    // Signing in again brings it back.
    connect(&host, "tokens", "acct", &service.credentials("c", "d", true)).await;
    assert_eq!(ask(&host, "tokens", "acct", Interactive, "x").await.unwrap(), "heard");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_sees_its_own_accounts_only() {
    let service = Service::start().await;
    let plugins = plugins();
    let instances = format!("{}{}", service.instance("tokens", ""), service.instance("others", ""));
    let host = TestApp::with(&configuration(&plugins, &instances)).await.admin().await;
    started(&host, "others").await;
    connect(&host, "tokens", "acct", &service.credentials("c", "d", true)).await;
    assert_eq!(ask(&host, "tokens", "acct", Interactive, "vault acct").await.unwrap(), "1");
    for account in ["acct", "nobody", &"x".repeat(100)] {
        let error = ask(&host, "others", "acct", Interactive, &format!("vault {account}")).await.unwrap_err();
        assert_eq!((error.kind, error.code.as_deref()), (ErrorKind::NotFound, Some("account_not_found")));
    }
    execute(&host, "DELETE FROM account_credentials").await;
    let error = ask(&host, "tokens", "acct", Interactive, "vault acct").await.unwrap_err();
    assert_eq!((error.kind, error.code.as_deref()), (ErrorKind::AuthRequired, Some("no_credentials")));
}

#[tokio::test(flavor = "multi_thread")]
async fn turns_and_versions_are_fences() {
    let service = Service::start().await;
    let (host, _plugins) = host(&service, "").await;
    connect(&host, "tokens", "acct", "{}").await;
    let mut tx = host.app.db.write().await.unwrap();
    let now = clock::now(&mut tx).await.unwrap();
    let lease = async |tx: &mut db::Tx, version, id: &str, now| {
        turns::take_lease(tx, "acct", version, id, now, now + 1000).await.unwrap()
    };
    let put = async |tx: &mut db::Tx, version, lease: Option<&str>, now| {
        let change = turns::Change { sealed: vec![1], version, lease, scopes: None };
        turns::put(tx, "acct", change, now).await.unwrap()
    };
    let end = async |tx: &mut db::Tx, version, lease: Option<&str>, now| {
        turns::end(tx, "acct", version, lease, ("gone", ""), now).await.unwrap()
    };
    assert!(lease(&mut tx, 1, "first", now).await);
    assert!(!lease(&mut tx, 1, "second", now + 999).await);
    assert!(!put(&mut tx, 1, None, now).await, "another one has the turn");
    assert!(!end(&mut tx, 1, None, now).await, "who has the turn will find out");
    assert!(lease(&mut tx, 1, "second", now + 1000).await, "the first one has ended");
    assert!(!put(&mut tx, 1, Some("first"), now + 1000).await);
    assert!(!end(&mut tx, 1, Some("first"), now + 1000).await);
    turns::give_back(&mut tx, "acct", "first").await.unwrap();
    assert!(put(&mut tx, 1, Some("second"), now + 1000).await);
    assert!(!lease(&mut tx, 1, "third", now + 5000).await, "the credentials are newer");
    assert!(!put(&mut tx, 1, None, now + 5000).await);
    assert!(!end(&mut tx, 1, None, now + 5000).await);
    assert!(put(&mut tx, 2, None, now + 5000).await);
    assert!(end(&mut tx, 3, None, now + 5000).await);
    assert!(!end(&mut tx, 3, None, now + 5000).await, "only once");
    assert!(!lease(&mut tx, 3, "fourth", now + 9000).await);
    assert!(!put(&mut tx, 3, None, now + 9000).await);
}
