//! Rate budgets: what a service said is kept, and what is counted is shared fairly.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};
use wiremock::{Request, ResponseTemplate};
use zotify_host::providers::Lane::{self, Interactive};
use zotify_plugin_api::{ErrorKind, ProviderError};

use crate::{
    support::TestApp,
    tokens::{Service, ask, configuration, connect, execute, host, number, plugins, started},
};

fn code(answer: Result<String, ProviderError>) -> String {
    let error = answer.unwrap_err();
    assert_eq!(error.kind, ErrorKind::RateLimited, "{error:?}");
    error.code.unwrap_or_default()
}

async fn shared(host: &TestApp) -> Vec<Value> {
    let report = host.get("/api/providers/tokens").await.expect(200);
    report["budget"]["shared"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_is_used_up_is_not_asked_again_after_a_restart_neither() {
    let service = Service::start().await;
    let (host, plugins) = host(&service, "").await;
    for (id, client, developer) in [("a", "c1", "d1"), ("b", "c2", "d1"), ("c", "c3", "d2")] {
        connect(&host, "tokens", id, &service.credentials(client, developer, true)).await;
        assert_eq!(ask(&host, "tokens", id, Interactive, "x").await.unwrap(), "heard");
    }
    service.answer(|_| {
        let body = json!({ "error": { "status": 429, "reason": "QUOTA_EXCEEDED" } });
        Some(ResponseTemplate::new(429).insert_header("retry-after", "48925").set_body_json(body))
    });
    let error = ask(&host, "tokens", "a", Interactive, "x").await.unwrap_err();
    assert_eq!((error.kind, error.retry_after_ms), (ErrorKind::RateLimited, Some(48_925_000)));
    service.answer(|_| None);
    let asked = service.asked("/api").await;
    for account in ["a", "b"] {
        let error = ask(&host, "tokens", account, Interactive, "x").await.unwrap_err();
        assert!(error.retry_after_ms.is_some_and(|ms| (40_000_000..=48_925_000).contains(&ms)), "{error:?}");
        assert_eq!(code(Err(error)), "quota_exceeded");
    }
    let problem = host.get("/api/items/tokens:track:1").await;
    problem.expect_problem(429, "provider_rate_limited");
    assert!(problem.header("retry-after").parse::<u64>().unwrap() > 40_000);
    assert_eq!(service.asked("/api").await, asked);
    assert_eq!(ask(&host, "tokens", "c", Interactive, "x").await.unwrap(), "heard", "another developer's");
    let told = "SELECT CAST(COUNT(*) AS BIGINT) FROM events WHERE type = 'provider.quota_exceeded'
                AND data LIKE '%\"provider\":\"tokens\"%'";
    assert_eq!(number(&host, told).await, 1);

    let dir = host.stop().await;
    let toml = configuration(&plugins, &service.instance("tokens", ""));
    let host = TestApp::at(dir, "", &toml).await.sign_in_again().await;
    started(&host, "tokens").await;
    let asked = service.asked("/api").await;
    assert_eq!(code(ask(&host, "tokens", "b", Interactive, "x").await), "quota_exceeded");
    assert_eq!(service.asked("/api").await, asked);
    let codes: Vec<_> = shared(&host).await.iter().map(|shared| shared["blocked_code"].clone()).collect();
    assert_eq!(codes.iter().filter(|code| **code == "quota_exceeded").count(), 2, "{codes:?}");
    execute(&host, "UPDATE budgets SET blocked_until = 1 WHERE blocked_until IS NOT NULL").await;
    assert_eq!(ask(&host, "tokens", "b", Interactive, "x").await.unwrap(), "heard");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_refusal_holds_back_all_who_share_the_window() {
    let service = Service::start().await;
    let (host, _plugins) = host(&service, "").await;
    for (id, client) in [("a", "c1"), ("b", "c1"), ("c", "c2")] {
        connect(&host, "tokens", id, &service.credentials(client, "d", true)).await;
    }
    service.answer(|_| Some(ResponseTemplate::new(429).insert_header("retry-after", "59.5")));
    assert_eq!(ask(&host, "tokens", "a", Interactive, "x").await.unwrap_err().retry_after_ms, Some(59_500));
    service.answer(|_| None);
    assert_eq!(code(ask(&host, "tokens", "b", Interactive, "x").await), "cooldown");
    assert_eq!(ask(&host, "tokens", "c", Interactive, "x").await.unwrap(), "heard", "another window");
    assert_eq!(service.asked("/api").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_without_a_time_make_waits_longer_until_one_is_heard() {
    let service = Service::start().await;
    let (host, _plugins) = host(&service, "").await;
    connect(&host, "tokens", "a", &service.credentials("c", "d", true)).await;
    service.answer(|_| Some(ResponseTemplate::new(429)));
    let strikes = "SELECT MAX(strikes) FROM budgets";
    let wait = "SELECT CAST(MAX(blocked_until - updated_at) AS BIGINT) FROM budgets";
    for (struck, ms) in [(1, 1000), (2, 2000), (3, 4000)] {
        assert_eq!(code(ask(&host, "tokens", "a", Interactive, "x").await), "");
        assert_eq!((number(&host, strikes).await, number(&host, wait).await), (struck, ms));
        execute(&host, "UPDATE budgets SET blocked_until = 1 WHERE blocked_until IS NOT NULL").await;
    }
    service.answer(|_| None);
    assert_eq!(ask(&host, "tokens", "a", Interactive, "x").await.unwrap(), "heard");
    assert_eq!(number(&host, strikes).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_leave_room_for_those_who_wait() {
    let service = Service::start().await;
    let (host, _plugins) = host(&service, "budget = { window_requests = 5, window_s = 86400 }").await;
    connect(&host, "tokens", "a", &service.credentials("c", "d", true)).await;
    for _ in 0..4 {
        assert_eq!(ask(&host, "tokens", "a", Lane::Job, "x").await.unwrap(), "heard");
    }
    assert_eq!(code(ask(&host, "tokens", "a", Lane::Job, "x").await), "budget_window");
    assert_eq!(ask(&host, "tokens", "a", Interactive, "x").await.unwrap(), "heard");
    assert_eq!(code(ask(&host, "tokens", "a", Interactive, "x").await), "budget_window");
    assert_eq!(service.asked("/api").await, 5);
    let window = &shared(&host).await[0]["window"];
    assert_eq!((&window["limit"], &window["used"]), (&json!(5), &json!(5)));
    let budget = host.get("/api/providers/tokens").await.expect(200)["budget"].clone();
    assert_eq!((&budget["window_s"], &budget["daily_requests"]), (&json!(86400.0), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_shared_fairly_and_leaves_room_for_those_who_wait() {
    let service = Service::start().await;
    let (host, _plugins) = host(&service, "budget = { window_requests = 0, daily_requests = 250 }").await;
    for id in ["a", "b"] {
        connect(&host, "tokens", id, &service.credentials("c", "d", true)).await;
        assert_eq!(ask(&host, "tokens", id, Interactive, "x").await.unwrap(), "heard");
    }
    let used = async |account: &str, used: i64, background: i64| {
        let sql =
            format!("UPDATE budget_use SET used = {used}, background = {background} WHERE account_id = '{account}'");
        execute(&host, &sql).await;
    };
    let job = async |account| ask(&host, "tokens", account, Lane::Job, "x").await;
    // A day of 200 requests in the background, for two.
    used("a", 99, 99).await;
    assert_eq!(job("a").await.unwrap(), "heard");
    assert_eq!(code(job("a").await), "budget_daily");
    assert_eq!(job("b").await.unwrap(), "heard", "the other one has its own share");
    assert_eq!(ask(&host, "tokens", "a", Interactive, "x").await.unwrap(), "heard");
    // The owners asked themselves: all in the background waits.
    used("b", 150, 5).await;
    assert_eq!(code(job("b").await), "budget_daily");
    // Nor may one of them use up the other's part of the whole day.
    used("b", 124, 5).await;
    assert_eq!(ask(&host, "tokens", "b", Interactive, "x").await.unwrap(), "heard");
    assert_eq!(code(ask(&host, "tokens", "b", Interactive, "x").await), "budget_daily");
    used("a", 124, 99).await;
    assert_eq!(ask(&host, "tokens", "a", Interactive, "x").await.unwrap(), "heard");
    assert_eq!(code(ask(&host, "tokens", "a", Interactive, "x").await), "budget_daily");
    let daily = &shared(&host).await[0]["daily"];
    assert_eq!((&daily["limit"], &daily["used"], &daily["remaining"]), (&json!(250), &json!(250), &json!(0)));
    assert!(daily["resets_at"].is_string());
    // What is older than a day does not count.
    execute(&host, "UPDATE budget_use SET hour = hour - 26").await;
    assert_eq!(job("a").await.unwrap(), "heard");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_asked_to_wait_goes_on_where_it_was_however_often() {
    let service = Service::start().await;
    let (host, _plugins) = host(&service, "").await;
    connect(&host, "tokens", "a", &service.credentials("c", "d", true)).await;
    // More refusals than a job has attempts, each before another page.
    let (pages, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (served, struck) = (Arc::clone(&pages), Arc::clone(&refused));
    service.answer(move |request: &Request| {
        if struck.load(Ordering::Relaxed) <= served.load(Ordering::Relaxed) {
            struck.fetch_add(1, Ordering::Relaxed);
            return Some(ResponseTemplate::new(429).insert_header("retry-after", "1"));
        }
        let n = served.fetch_add(1, Ordering::Relaxed);
        assert!(n == 0 || request.url.path().ends_with(&format!("page{n}")), "{}", request.url);
        let next = (n < 7).then(|| format!("page{}", n + 1));
        Some(ResponseTemplate::new(200).set_body_json(json!({ "titles": [format!("t{n}")], "next": next })))
    });
    host.post("/api/sync", &json!({ "direction": "pull" })).await.expect(202);
    let waiting = host
        .until("/api/jobs?kind=library.pull", |page| {
            page["data"].as_array().is_some_and(|jobs| jobs.iter().any(|job| job["state"] == "waiting"))
        })
        .await;
    let message = waiting["data"][0]["progress"]["message"].as_str().unwrap();
    assert!(message.contains("wait until 20"), "{message}");
    let page = host
        .until("/api/jobs?kind=library.pull", |page| {
            page["data"].as_array().is_some_and(|jobs| {
                !jobs.is_empty() && jobs.iter().all(|job| matches!(job["state"].as_str(), Some("succeeded" | "failed")))
            })
        })
        .await;
    let job = &page["data"][0];
    assert_eq!((&job["state"], &job["attempts"]), (&json!("succeeded"), &json!(1)), "{job:#}");
    assert_eq!((pages.load(Ordering::Relaxed), refused.load(Ordering::Relaxed)), (8, 8), "no page was read twice");
    let stored = "SELECT CAST(COUNT(*) AS BIGINT) FROM items WHERE uri LIKE 'tokens:%'";
    assert_eq!(number(&host, stored).await, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_only_asks_to_wait_is_given_up_in_the_end() {
    let service = Service::start().await;
    let plugins = plugins();
    let config = configuration(&plugins, &service.instance("tokens", ""));
    let config = config.replacen("[plugins]", "[plugins]\nmax_wait_s = 2", 1);
    let host = TestApp::with(&config).await.admin().await;
    started(&host, "tokens").await;
    let id = "01K9Z3N8Q4V6XJ2M7R5T0WYBCD";
    let account = format!("/api/accounts/{id}");
    connect(&host, "tokens", id, &service.credentials("c", "d", true)).await;
    service.answer(|_| Some(ResponseTemplate::new(429).insert_header("retry-after", "1")));
    host.post("/api/sync", &json!({ "direction": "pull" })).await.expect(202);
    let page = host.until("/api/jobs?kind=library.pull", |page| page["data"][0]["state"] == "failed").await;
    let error = &page["data"][0]["error"];
    assert_eq!(error["code"], "provider_throttled", "{page:#}");
    let now = host.get(&account).await.expect(200);
    let state = (&now["state"], &now["state_code"]);
    assert_eq!(state, (&json!("failed"), &json!("provider_throttled")), "{now:#}");
    let run = host.get("/api/sync/runs").await.expect(200)["data"][0].clone();
    assert_eq!((&run["state"], &run["code"]), (&json!("failed"), &json!("provider_throttled")), "{run:#}");

    service.answer(|_| Some(ResponseTemplate::new(200).set_body_json(json!({ "titles": ["t"] }))));
    host.post("/api/sync", &json!({ "direction": "pull" })).await.expect(202);
    host.until(&account, |account| account["state"] == "ok" && account["state_code"].is_null()).await;
}
