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
    reply.expect_problem(429, "quota_exceeded");
    assert!(reply.header("retry-after").parse::<u64>().unwrap() > 40_000);
    assert!(started.elapsed() < std::time::Duration::from_secs(20), "nobody sleeps so long");
    lab.simulator.forget_requests();
    let lab = lab.restarted().await;
    let lab = Lab { account: first, ..lab };
    lab.check().await.expect_problem(429, "quota_exceeded");
    assert!(lab.simulator.requests().is_empty(), "{:#?}", lab.simulator.requests());
}

/// Behaviour 7: four kinds of refusal, and the five meanings of 403.
#[tokio::test]
async fn refusals_are_told_apart() {
    let lab = Lab::new(small()).await;
    let refusals = [
        (Effect::Forbidden { why: Forbidden::Premium }, "premium_required", "Premium"),
        (Effect::Forbidden { why: Forbidden::NotRegistered }, "user_not_allowed", "User Management"),
        (Effect::Forbidden { why: Forbidden::Scope }, "scope_missing", "sign in again"),
        (Effect::Forbidden { why: Forbidden::Removed }, "endpoint_removed", "development mode"),
        (Effect::Html { status: 502 }, "service_error", "502"),
    ];
    for (n, (effect, code, words)) in refusals.into_iter().enumerate() {
        lab.simulator.clear_rules();
        lab.simulator.rule(Rule::new("GET", "^/v1/search", effect).times(0));
        let found = lab.host.get(&format!("/api/search?q=word{n}&scope=catalog")).await.expect(200);
        let spotify = &found["meta"]["providers"]["spotify"];
        assert_eq!(spotify["code"], code, "{found:#}");
        assert!(spotify["detail"].as_str().unwrap_or_default().contains(words), "{found:#}");
    }
    lab.simulator.clear_rules();
    lab.rule("PUT", "/playlists/", Effect::Forbidden { why: Forbidden::NotOwner });
    let playlist = format!("/api/playlists/spotify:playlist:{}", lab.playlist(0));
    lab.host.patch(&playlist, &json!({"name": "Mine"})).await.expect_problem(403, "not_owner");
}

/// A budget of the configuration holds for what the plugin asks.
#[tokio::test]
async fn the_configured_budget_is_kept_to() {
    let simulator = Simulator::start(small()).await.unwrap();
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
