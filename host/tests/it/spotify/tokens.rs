//! Access and refresh tokens.

use spotify_simulator::RefreshToken;

use super::*;

const TWO_HOURS: Change = Change::Advance { seconds: 7_200 };

/// Behaviour 1: since July 2026 a refresh answers no refresh token, or an empty one.
#[tokio::test]
async fn a_refresh_without_a_refresh_token_keeps_the_old_one() {
    let lab = Lab::new(small()).await;
    for (n, how) in [RefreshToken::Absent, RefreshToken::Empty, RefreshToken::Same].into_iter().enumerate() {
        lab.simulator.change(&Change::RefreshTokens { how });
        for again in 0..2 {
            lab.simulator.change(&TWO_HOURS);
            assert_eq!(lab.check().await.expect(200)["state"], "ok", "{how:?}");
            assert_eq!(lab.refreshes(), 2 * n + again + 1, "{how:?}");
        }
    }
}

/// Behaviour 2: the service refuses the refresh token.
#[tokio::test]
async fn a_dead_refresh_token_is_tried_once() {
    let lab = Lab::new(small()).await;
    lab.simulator.change(&Change::Revoke { user: USER.into() });
    lab.simulator.forget_requests();
    lab.pull().await;
    let state = lab.state().await;
    assert_eq!(state["state"], "auth_required", "{state:#}");
    assert_eq!(lab.refreshes(), 1);
    lab.simulator.forget_requests();
    lab.pull().await;
    lab.check().await;
    assert!(lab.simulator.requests().is_empty(), "nothing is asked until somebody signs in again");
    // The same account, signed in again.
    let flow =
        lab.host.post("/api/accounts/flows", &json!({"provider": "spotify", "account": lab.account})).await.expect(201);
    let back = lab.simulator.agree(text(&flow["step"], "url"), USER).unwrap();
    let path = format!("/api/accounts/flows/{}", text(&flow, "id"));
    let flow = lab.host.post(&path, &json!({"url": back})).await.expect(200);
    assert_eq!(flow["step"]["account"], json!(lab.account), "{flow:#}");
    lab.calm().await;
    assert_eq!(lab.state().await["state"], "ok");
}

/// Behaviour 2, six months after the consent.
#[tokio::test]
async fn a_sign_in_ends_after_six_months() {
    let lab = Lab::new(small()).await;
    lab.simulator.change(&Change::Advance { seconds: 183 * 86_400 });
    lab.check().await;
    assert_eq!(lab.state().await["state"], "auth_required");
    assert_eq!(lab.refreshes(), 1);
}

/// Behaviour 3: a refresh token that can be used once.
#[tokio::test]
async fn twenty_expired_calls_refresh_once() {
    let lab = Lab::new(small()).await;
    lab.simulator.change(&Change::RefreshTokens { how: RefreshToken::Rotate });
    lab.simulator.change(&Change::ExpireTokens);
    // The refresh takes so long that all find the token expired.
    lab.rule("POST", "^/api/token", Effect::Latency { ms: 300 });
    let search = async |n: usize| {
        let found = lab.host.get(&format!("/api/search?q=r{n}&scope=catalog&kinds=track")).await.expect(200);
        assert_eq!(found["meta"]["providers"]["spotify"]["state"], "ok", "{found:#}");
    };
    futures::future::join_all((0..20).map(search)).await;
    assert_eq!(lab.refreshes(), 1);
}

/// Behaviour 3 on two nodes, which share a database and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_expired_calls_on_two_nodes_refresh_once() {
    if std::env::var_os("ZOTIFY_TEST_DATABASE_URL").is_none() {
        return;
    }
    let lab = Lab::new(small()).await;
    let other = lab.host.beside(&configuration(&lab.plugins, &lab.simulator, "")).await;
    other.until("/api/providers/spotify", |provider| provider["state"] == "started").await;
    lab.simulator.change(&Change::RefreshTokens { how: RefreshToken::Rotate });
    for round in 1..=2 {
        lab.simulator.change(&Change::ExpireTokens);
        lab.rule("POST", "^/api/token", Effect::Latency { ms: 300 });
        let search = async |n: usize| {
            let node = if n.is_multiple_of(2) { &lab.host } else { &other };
            let found = node.get(&format!("/api/search?q=r{round}x{n}&scope=catalog&kinds=track")).await.expect(200);
            assert_eq!(found["meta"]["providers"]["spotify"]["state"], "ok", "{found:#}");
        };
        futures::future::join_all((0..20).map(search)).await;
        // The other node's second refresh would need the token that the first one's has used up.
        assert_eq!(lab.refreshes(), round);
    }
    let refused =
        lab.simulator.requests().into_iter().filter(|entry| entry.path == "/api/token" && entry.status != 200);
    assert_eq!(refused.count(), 0);
    assert!(lab.simulator.count("GET /search") >= 40);
}

/// Behaviour 3: the new token is kept before it is used, so that an end in between loses nothing.
#[tokio::test]
async fn a_rotated_refresh_token_outlives_a_restart() {
    let lab = Lab::new(small()).await;
    lab.simulator.change(&Change::RefreshTokens { how: RefreshToken::Rotate });
    lab.simulator.change(&Change::ExpireTokens);
    lab.simulator.forget_requests();
    lab.rule("GET", "^/v1/me$", Effect::Latency { ms: 0 });
    // The refreshed token's first use never ends.
    lab.simulator.rule(Rule::new("GET", "^/v1/me$", Effect::Latency { ms: 600_000 }).skip(1));
    let check = {
        let path = format!("{}/api/accounts/{}/check", lab.host.base, lab.account);
        let request = lab.host.request(Method::POST, path.trim_start_matches(&lab.host.base));
        tokio::spawn(request.send())
    };
    let started = std::time::Instant::now();
    while lab.simulator.count("GET /me") < 2 {
        assert!(started.elapsed() < crate::support::PATIENCE, "{:#?}", lab.simulator.requests());
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    check.abort();
    lab.simulator.clear_rules();
    let lab = lab.restarted().await;
    lab.simulator.change(&Change::ExpireTokens);
    assert_eq!(lab.check().await.expect(200)["state"], "ok", "{:#?}", lab.simulator.requests());
    assert_eq!(lab.refreshes(), 2);
}

/// Behaviour 4: a good token is overlooked now and then.
#[tokio::test]
async fn an_overlooked_token_is_tried_again_as_it_is() {
    let lab = Lab::new(small()).await;
    lab.simulator.forget_requests();
    lab.rule("GET", "^/v1/me$", Effect::TokenMissing);
    assert_eq!(lab.check().await.expect(200)["state"], "ok");
    assert_eq!((lab.simulator.count("GET /me"), lab.refreshes()), (2, 0));
}
