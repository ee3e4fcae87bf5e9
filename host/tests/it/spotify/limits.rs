//! Quotas, rate limits and refusals.

use spotify_simulator::Forbidden;

use super::*;

/// Behaviour 5: the day's quota is used up.
#[tokio::test]
async fn a_quota_gates_all_accounts_of_the_app_and_outlives_a_restart() {
    let mut lab = Lab::new(small()).await;
    let first = lab.account.clone();
    lab.host.become_user("anna").await;
    let second = lab.connect("ünï user#2").await;
    lab.calm().await;
    lab.rule("GET", "^/v1/me$", Effect::QuotaExceeded { retry_after_s: 48_925 });
    lab.account = second.clone();
    let started = std::time::Instant::now();
    let reply = lab.check().await;
    let problem = reply.expect_problem(429, "provider_rate_limited");
    assert!(text(&problem, "detail").contains("quota"), "{problem:#}");
    assert!(reply.header("retry-after").parse::<u64>().unwrap() > 40_000);
    assert!(started.elapsed() < std::time::Duration::from_secs(20), "nobody sleeps so long");
    lab.simulator.forget_requests();
    let lab = lab.restarted().await;
    let lab = Lab { account: first, ..lab };
    lab.check().await.expect_problem(429, "provider_rate_limited");
    assert!(lab.simulator.requests().is_empty(), "{:#?}", lab.simulator.requests());
}

/// Behaviour 7: four kinds of refusal, and the five meanings of 403, each with a code of its own.
#[tokio::test]
async fn refusals_are_told_apart() {
    let lab = Lab::new(small()).await;
    let refusals = [
        (Forbidden::Premium, "premium_required", "Premium"),
        (Forbidden::NotRegistered, "user_not_allowed", "User Management"),
        (Forbidden::Scope, "scope_missing", "sign in again"),
        (Forbidden::Removed, "endpoint_removed", "development mode"),
    ];
    for (why, code, words) in refusals {
        lab.rule("GET", "^/v1/me$", Effect::Forbidden { why });
        let account = lab.check().await.expect(200);
        assert_eq!((&account["state"], &account["state_code"]), (&json!("restricted"), &json!(code)), "{account:#}");
        assert!(text(&account, "state_detail").contains(words), "{account:#}");
        // Searching says the same to whoever searches.
        lab.rule("GET", "^/v1/search", Effect::Forbidden { why });
        let found = lab.host.get(&format!("/api/search?q={code}&scope=catalog&kinds=track")).await.expect(200);
        let part = &found["meta"]["providers"]["spotify"];
        assert!(text(part, "detail").contains(words), "{found:#}");
        assert_eq!((text(part, "code"), text(part, "provider_code")), ("provider_restricted", code), "{found:#}");
        // So does the problem of a request that concerns one thing only.
        lab.rule("GET", "^/v1/tracks/", Effect::Forbidden { why });
        let unknown = format!("/api/items/spotify:track:{:0>22}", code.replace('_', ""));
        let problem = lab.host.get(&unknown).await.expect_problem(403, "provider_restricted");
        assert_eq!(problem["provider_code"], code, "{problem:#}");
    }
    assert_eq!(lab.check().await.expect(200)["state"], "ok", "and it is over when the service says so");
    lab.simulator.rule(Rule::new("GET", "^/v1/me$", Effect::Html { status: 502 }).times(0));
    lab.check().await.expect_problem(503, "provider_unavailable");
    lab.simulator.clear_rules();
    lab.rule("PUT", "/playlists/", Effect::Forbidden { why: Forbidden::NotOwner });
    let playlist = format!("/api/playlists/spotify:playlist:{}", lab.playlist(0));
    let problem = lab.host.patch(&playlist, &json!({"name": "Mine"})).await.expect_problem(403, "provider_restricted");
    assert!(text(&problem, "detail").contains("owner"), "{problem:#}");
    assert_eq!(problem["provider_code"], "not_owner", "{problem:#}");
}

/// A budget of the configuration holds for what the plugin asks.
#[tokio::test]
async fn the_configured_budget_is_kept_to() {
    let simulator = Held::start(small()).await;
    let plugins = Bench::new().with("zotify_plugin_spotify");
    let config = configuration(&plugins, &simulator, "window_requests = 100\nwindow_s = 3600\ndaily_requests = 6");
    let host = TestApp::with(&config).await.admin().await;
    let mut lab = Lab { host, simulator, plugins, account: String::new() };
    lab.started().await;
    lab.account = lab.connect(USER).await;
    let until = |jobs: &Value| {
        jobs["data"].as_array().unwrap().iter().any(|job| job["state"] == "waiting" || job["state"] == "failed")
    };
    lab.host.until("/api/jobs?kind=library.pull", until).await;
    for n in 0..10 {
        lab.host.get(&format!("/api/search?q=x{n}&scope=catalog&kinds=track")).await.expect(200);
    }
    assert!(lab.simulator.api_calls() <= 6, "{}", lab.simulator.api_calls());
}
