//! How often one may ask, what browsers are told, and the routes that have a successor.

use reqwest::Method;
use serde_json::json;

use crate::support::{Reply, TestApp};

fn standing(reply: &Reply) -> (u64, u64, u64) {
    let number =
        |name: &str| -> u64 { reply.header(name).parse().unwrap_or_else(|_| panic!("{name}: {:?}", reply.headers)) };
    let (limit, remaining) = (number("ratelimit-limit"), number("ratelimit-remaining"));
    assert_eq!(reply.header("ratelimit-policy"), format!("{limit};w=60"));
    (limit, remaining, number("ratelimit-reset"))
}

#[tokio::test]
async fn a_user_has_so_many_requests_a_minute_whatever_the_credential() {
    let host = TestApp::with("[quotas]\nrequests_per_minute = 10").await;
    host.make_user("anna", false).await;
    host.make_user("bert", false).await;
    let other = host.sign_in("bert").await;
    let (one, two) = (host.sign_in("anna").await, host.sign_in("anna").await);
    let ask = async |token: &str| host.send(host.request(Method::GET, "/api/auth/status").bearer_auth(token)).await;
    for n in 0..10 {
        let reply = ask(if n % 2 == 0 { &one } else { &two }).await;
        reply.expect(200);
        let (limit, remaining, reset_s) = standing(&reply);
        assert_eq!(limit, 10);
        // What trickles in meanwhile counts.
        assert!((9 - n..=10).contains(&remaining), "{remaining} after {n}");
        assert!((1..=60).contains(&reset_s), "{reset_s}");
    }
    let mut refused = ask(&one).await;
    // On a slow machine one more may have trickled in.
    for _ in 0..20 {
        if refused.status == 429 {
            break;
        }
        refused = ask(&two).await;
    }
    refused.expect_problem(429, "rate_limited");
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=6).contains(&wait), "{wait}");
    assert_eq!(standing(&refused).1, 0);
    // Others go on, and so does what is not the API.
    ask(&other).await.expect(200);
    assert_eq!(host.get("/health/live").await.header("ratelimit-limit"), "");
    host.stop().await;
}

#[tokio::test]
async fn an_address_has_so_many_requests_and_fewer_sign_ins() {
    let limits = "[limits]\nrequests_per_minute_per_address = 30\nsign_ins_per_minute_per_address = 5";
    let proxied = TestApp::configured("trusted_proxies = [\"127.0.0.1/32\"]", limits).await;
    let from = async |host: &TestApp, address: &str, method: Method, path: &str| {
        let request = host.request(method, path).header("x-forwarded-for", address);
        host.send(request.json(&json!({"username": "nobody at all", "password": "x"}))).await
    };
    let sign_in = async |address: &str| from(&proxied, address, Method::POST, "/api/auth/login").await;
    let refused = async |address: &str, at_most: u32| {
        for n in 0..=at_most {
            if sign_in(address).await.status == 429 {
                return n;
            }
        }
        panic!("{at_most} sign-ins were not too many");
    };
    assert!(refused("192.0.2.1", 10).await >= 5);
    let reply = sign_in("192.0.2.1").await;
    reply.expect_problem(429, "rate_limited");
    assert_eq!(standing(&reply).0, 5);
    // What is no sign-in still goes, until the address has used up everything.
    let mut asked = 0;
    while from(&proxied, "192.0.2.1", Method::GET, "/api/auth/status").await.status != 429 {
        asked += 1;
        assert!(asked < 100, "there is no end");
    }
    assert!(asked >= 10, "{asked}");
    // A neighbour is somebody else; an IPv6 network of /64 is one.
    assert_eq!(sign_in("192.0.2.2").await.status, 401);
    assert!(refused("2001:db8::1", 10).await >= 5);
    assert_eq!(sign_in("2001:db8::2").await.status, 429);
    assert_eq!(sign_in("2001:db8:0:1::2").await.status, 401);
    proxied.stop().await;

    // Who is no trusted proxy can't be somebody else at each request.
    let direct = TestApp::with(limits).await;
    let mut codes = Vec::new();
    for n in 0..12 {
        codes.push(from(&direct, &format!("192.0.2.{n}"), Method::POST, "/api/auth/login").await.status.as_u16());
    }
    assert!(codes.contains(&429), "{codes:?}");
    direct.stop().await;
}

#[tokio::test]
async fn every_reply_tells_browsers_to_be_careful() {
    let host = TestApp::configured("public_url = \"https://music.example.org\"", "").await;
    for path in ["/ping", "/openapi.json", "/docs/", "/api/auth/status", "/nowhere"] {
        let reply = host.get(path).await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("strict-transport-security", "max-age=31536000"),
        ] {
            assert_eq!(reply.header(name), value, "{path} {name}");
        }
        let policy = reply.header("content-security-policy");
        let expected = if path == "/docs/" { "default-src 'self'" } else { "default-src 'none'" };
        assert!(policy.starts_with(expected) && policy.ends_with("frame-ancestors 'none'"), "{path}: {policy}");
    }
    host.stop().await;
    let plain = TestApp::start().await;
    assert_eq!(plain.get("/ping").await.header("strict-transport-security"), "");
    plain.stop().await;
}

#[tokio::test]
async fn pages_of_other_origins_may_call_where_the_configuration_names_them() {
    let preflight = async |host: &TestApp, origin: &str| {
        let request = host.request(Method::OPTIONS, "/api/library/tracks").header("origin", origin);
        let request = request.header("access-control-request-method", "GET");
        host.send(request.header("access-control-request-headers", "authorization,x-api-key")).await
    };
    let closed = TestApp::start().await;
    let reply = preflight(&closed, "https://app.example.org").await;
    assert_eq!((reply.status.as_u16(), reply.header("access-control-allow-origin")), (405, ""));
    closed.stop().await;

    let host = TestApp::configured("cors_origins = [\"https://app.example.org\", \"http://localhost:5173\"]", "").await;
    for origin in ["https://app.example.org", "http://localhost:5173"] {
        let reply = preflight(&host, origin).await;
        assert_eq!((reply.status.as_u16(), reply.header("access-control-allow-origin")), (200, origin));
        assert!(reply.header("access-control-allow-headers").contains("x-api-key"), "{:?}", reply.headers);
        assert_eq!(reply.header("access-control-allow-credentials"), "", "cookies stay at home");
        let reply = host.send(host.request(Method::GET, "/api/auth/status").header("origin", origin)).await;
        reply.expect_problem(401, "missing_credentials");
        assert_eq!(reply.header("access-control-allow-origin"), origin, "problems can be read too");
        assert!(reply.header("access-control-expose-headers").contains("ratelimit-remaining"));
    }
    let reply = preflight(&host, "https://evil.example.org").await;
    assert_eq!(reply.header("access-control-allow-origin"), "");
    host.stop().await;

    let open = TestApp::configured("cors_origins = [\"*\"]", "").await;
    let reply = preflight(&open, "https://any.example.org").await;
    assert_eq!(reply.header("access-control-allow-origin"), "*");
    open.stop().await;
}

#[tokio::test]
async fn an_old_route_answers_as_before_and_names_its_successor() {
    let host = TestApp::start().await.admin().await;
    let reply = host.post("/api/sync/trigger", &json!({})).await;
    reply.expect(202);
    assert_eq!(reply.header("deprecation"), "@1795305600");
    assert_eq!(reply.header("sunset"), "Mon, 22 Nov 2027 00:00:00 GMT");
    assert_eq!(reply.header("link"), "</api/sync>; rel=\"successor-version\"");
    let document = host.get("/openapi.json").await.expect(200);
    assert_eq!(document["paths"]["/api/sync/trigger"]["post"]["deprecated"], true);
    assert!(document["paths"]["/api/sync"]["post"]["deprecated"].is_null());
    assert_eq!(host.post("/api/sync", &json!({})).await.header("deprecation"), "");
    host.stop().await;
}
