//! Access tokens: expiry, refresh, and what ends a sign-in.

use serde_json::json;
use zotify_plugin_api::{ErrorKind, Get, Kind, PageRequest, Provider as _};

use crate::support::{ACCOUNT, World, answer, call, uri};

const EXPIRED: i64 = 10 * 3_600_000;

#[tokio::test]
async fn a_refresh_that_names_no_refresh_token_keeps_the_old_one() {
    for token in [json!({}), json!({"refresh_token": ""})] {
        let world = World::new();
        for round in 2..4 {
            let mut body = token.clone();
            body["access_token"] = json!(format!("access-{round}"));
            body["expires_in"] = json!(3600);
            world.service().token = (200, body);
            world.service().access = format!("access-{round}");
            world.host.set_now_ms(EXPIRED * round);
            world.spotify.playlists(call(PageRequest::default())).await.unwrap();
        }
        let sent: Vec<String> = (world.host.requests().iter())
            .filter(|request| request.url.contains("/api/token"))
            .map(|request| String::from_utf8(request.body.clone()).unwrap())
            .collect();
        assert_eq!(sent.len(), 2);
        assert!(sent.iter().all(|form| form.contains("refresh_token=refresh-1")), "{sent:?}");
        assert_eq!(world.credentials()["access_token"], "access-3");
    }
}

#[tokio::test]
async fn a_sign_in_that_ended_is_asked_for_once_and_then_no_request_is_made() {
    let world = World::new();
    world.service().token = (400, json!({"error": "invalid_grant", "error_description": "Refresh token revoked"}));
    world.host.set_now_ms(EXPIRED);
    for _ in 0..3 {
        let error = world.spotify.playlists(call(PageRequest::default())).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::AuthRequired);
    }
    assert_eq!(world.log(), ["POST /api/token"]);
    assert_eq!(world.host.ended(ACCOUNT).unwrap().0, "sign_in_ended");
}

#[tokio::test]
async fn faults_of_the_accounts_service_keep_the_sign_in() {
    let world = World::new();
    world.host.set_now_ms(EXPIRED);
    for (status, body, kind) in [
        (500, json!("<html>"), ErrorKind::Unavailable),
        (400, json!({"error": "invalid_client"}), ErrorKind::Restricted),
        (200, json!({"token_type": "Bearer"}), ErrorKind::BadUpstream),
    ] {
        world.service().token = (status, body);
        let error = world.spotify.playlists(call(PageRequest::default())).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
    }
    assert!(world.host.ended(ACCOUNT).is_none());
    world.service().token = (200, json!({"access_token": "access-1", "expires_in": 3600}));
    world.spotify.playlists(call(PageRequest::default())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_calls_with_an_expired_token_cause_one_refresh() {
    let world = World::new();
    world.service().token =
        (200, json!({"access_token": "access-2", "refresh_token": "refresh-2", "expires_in": 3600}));
    world.service().access = "access-2".into();
    let calls = (0..20).map(|_| {
        let spotify = world.spotify.clone();
        tokio::spawn(async move { spotify.playlists(call(PageRequest::default())).await })
    });
    for one in calls.collect::<Vec<_>>() {
        one.await.unwrap().unwrap();
    }
    assert_eq!(world.count("POST /api/token"), 1);
    assert_eq!(world.credentials()["refresh_token"], "refresh-2");
}

#[tokio::test]
async fn a_rotated_token_is_in_the_vault_before_it_is_used() {
    let world = World::new();
    world.service().token =
        (200, json!({"access_token": "access-2", "refresh_token": "refresh-2", "expires_in": 3600}));
    world.service().access = "access-2".into();
    world.host.set_now_ms(EXPIRED);
    world.spotify.playlists(call(PageRequest::default())).await.unwrap();
    let calls = world.host.calls();
    let put = calls.iter().position(|name| name == "vault.put").unwrap();
    let last_request = calls.iter().rposition(|name| name == "http.send").unwrap();
    assert!(put < last_request, "{calls:?}");
}

#[tokio::test]
async fn a_token_that_spotify_overlooks_is_sent_again_and_not_refreshed() {
    let world = World::new();
    let overlooked = || answer(401, r#"{"error":{"status":401,"message":"Access token missing"}}"#);
    world.next(1, "", overlooked);
    world.spotify.playlists(call(PageRequest::default())).await.unwrap();
    assert_eq!(world.log(), ["GET /me/playlists", "GET /me/playlists"]);
    // For ever: one new token is tried, and nobody is signed out.
    world.service().token = (200, json!({"access_token": "access-1", "expires_in": 3600}));
    world.next(usize::MAX, "", overlooked);
    let error = world.spotify.playlists(call(PageRequest::default())).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_deref()), (ErrorKind::Unavailable, Some("token_missing")));
    assert_eq!(world.count("POST /api/token"), 1);
    assert!(world.host.ended(ACCOUNT).is_none());
}

#[tokio::test]
async fn waits_are_short_and_the_quota_is_told_at_once() {
    let world = World::new();
    let limited = |after: &'static str, body: &'static str| {
        move || {
            let mut response = answer(429, body)?;
            response.headers.push(("retry-after".into(), after.into()));
            Ok(response)
        }
    };
    world.next(1, "", limited("2", ""));
    world.spotify.playlists(call(PageRequest::default())).await.unwrap();
    assert_eq!(world.log().len(), 2);
    world.next(1, "", limited("48925", r#"{"error":{"status":429,"message":"x","reason":"QUOTA_EXCEEDED"}}"#));
    let error = world.spotify.playlists(call(PageRequest::default())).await.unwrap_err();
    assert_eq!((error.kind, error.retry_after_ms), (ErrorKind::RateLimited, Some(48_925_000)));
    assert_eq!(error.code.as_deref(), Some("quota_exceeded"));
    assert_eq!(world.log().len(), 3);
}

#[tokio::test]
async fn faults_are_tried_again_within_the_deadline() {
    let world = World::new();
    world.next(2, "", || answer(502, "<html>Bad Gateway</html>"));
    world.spotify.playlists(call(PageRequest::default())).await.unwrap();
    assert_eq!(world.log().len(), 3);
    // A body that broke off, too.
    world.next(1, "", || answer(200, r#"{"items": [{"#));
    world.spotify.playlists(call(PageRequest::default())).await.unwrap();
    world.next(1, "", || answer(503, ""));
    let mut hurried = call(PageRequest::default());
    hurried.deadline_ms = 2500;
    let before = world.log().len();
    assert_eq!(world.spotify.playlists(hurried).await.unwrap_err().kind, ErrorKind::Unavailable);
    assert_eq!(world.log().len(), before + 1);
}

#[tokio::test]
async fn requests_name_their_budget_and_errors_hold_no_token() {
    let world = World::new();
    let mut background = call(Get { uri: uri(Kind::Track, 1), locator: None });
    background.background = true;
    let error = world.spotify.get(background).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(!error.message.contains("access-1"));
    let budget = world.host.requests()[0].budget.clone().unwrap();
    assert_eq!((budget.window.as_str(), budget.account.as_deref(), budget.background), ("client", Some(ACCOUNT), true));
}
