//! The page that services send browsers back to.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    flows::{asking, count, returned, start},
    support::{PASSWORD, Reply, TestApp},
};

const CALLBACK: &str = "/api/auth/stars/callback";

/// The cookie of a browser that somebody signed in with.
async fn cookie(host: &TestApp, name: &str) -> String {
    let body = json!({"username": name, "password": PASSWORD, "kind": "ui"});
    let reply = host.send(host.anonymous(Method::POST, "/api/auth/login").json(&body)).await;
    reply.header("set-cookie").split(';').next().unwrap().to_owned()
}

async fn open(host: &TestApp, cookie: &str, query: &str) -> Reply {
    let request = host.anonymous(Method::GET, &format!("{CALLBACK}?{query}"));
    let reply = host.send(if cookie.is_empty() { request } else { request.header("cookie", cookie) }).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.header("content-type").starts_with("text/html"));
    assert_eq!(reply.header("cache-control"), "no-store");
    let policy = reply.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("form-action 'self'"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(reply.header("referrer-policy"), "same-origin");
    reply
}

fn query(flow: &Value, code: &str) -> String {
    returned(flow, code).split_once('?').unwrap().1.to_owned()
}

/// Sends the page's form.
async fn send(host: &TestApp, cookie: &str, origin: &str, query: &str) -> Reply {
    let request = host.anonymous(Method::POST, CALLBACK).header("cookie", cookie).header("origin", origin);
    host.send(request.form(&[("query", query)])).await
}

#[tokio::test]
async fn the_page_asks_and_its_form_links() {
    let stars = asking("\"external\"").await;
    let host = &stars.host;
    let flow = start(host).await;
    let query = query(&flow, "anna");
    let stranger = open(host, "", &query).await.text();
    assert!(stranger.contains("Nobody is signed in") && !stranger.contains("<form"), "{stranger}");
    let cookie = cookie(host, "root-of-tests").await;
    let page = open(host, &cookie, &query).await.text();
    assert!(page.contains("Link to root-of-tests") && page.contains("method=\"post\""), "{page}");
    assert!(page.contains(&query.replace('&', "&#38;")), "{page}");
    assert_eq!(count(host, "accounts WHERE remote_key IS NOT NULL").await, 0, "looking links nothing");

    send(host, &cookie, "https://evil.example", &query).await.expect_problem(403, "csrf");
    let silent = host.anonymous(Method::POST, CALLBACK).header("cookie", cookie.as_str()).form(&[("query", &query)]);
    host.send(silent).await.expect_problem(403, "csrf");
    assert_eq!(count(host, "accounts WHERE remote_key IS NOT NULL").await, 0);
    let linked = send(host, &cookie, &host.base, &query).await;
    assert!(linked.status == 200 && linked.text().contains("is linked"), "{}", linked.text());
    assert_eq!(count(host, "accounts WHERE remote_key = 'anna'").await, 1);
    assert!(open(host, &cookie, &query).await.text().contains("does not work any more"), "once");
    assert!(send(host, &cookie, &host.base, &query).await.text().contains("does not work any more"));
}

#[tokio::test]
async fn nobody_can_link_into_another_users_flow() {
    let stars = asking("\"external\"").await;
    let host = &stars.host;
    let flow = start(host).await;
    host.make_user("victim", false).await;
    let cookie = cookie(host, "victim").await;
    let query = query(&flow, "eve");
    let page = open(host, &cookie, &query).await.text();
    assert!(page.contains("does not work any more") && !page.contains("root-of-tests"), "no hint whose it is: {page}");
    assert_eq!(page, open(host, &cookie, "code=eve&state=nothing").await.text());
    assert!(send(host, &cookie, &host.base, &query).await.text().contains("does not work any more"));
    assert_eq!(count(host, "accounts WHERE remote_key IS NOT NULL").await, 0);
}

#[tokio::test]
async fn nothing_of_the_address_becomes_markup() {
    let stars = asking("\"external\"").await;
    let host = &stars.host;
    let cookie = cookie(host, "root-of-tests").await;
    let flow = start(host).await;
    let own = query(&flow, "anna");
    for evil in ["%22%3E%3Cscript%3Ealert(1)%3C/script%3E", "\"><script>alert(1)</script>", "'><img src=x>"] {
        for query in [format!("{own}&x={evil}"), format!("state={evil}"), format!("{evil}={evil}"), evil.to_owned()] {
            for cookie in ["", &cookie] {
                let page = open(host, cookie, &query).await.text();
                assert!(
                    !page.contains("<script") && !page.contains("<img") && !page.contains("\"><"),
                    "{query}: {page}"
                );
            }
            let page = send(host, &cookie, &host.base, &format!("state={evil}")).await.text();
            assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
        }
    }
    let long = open(host, &cookie, &format!("{own}&x={}", "y".repeat(9000))).await.text();
    assert!(long.len() < 2000, "{long}");
    // The provider's name comes from the address, too.
    let request = host.anonymous(Method::GET, "/api/auth/%3Cscript%3E/callback?state=x").header("cookie", &cookie);
    let page = host.send(request).await.text();
    assert!(!page.contains("<script"), "{page}");
}

#[tokio::test]
async fn a_refusal_is_not_asked_about_but_passed_on() {
    let stars = asking("\"external\"").await;
    let host = &stars.host;
    let flow = start(host).await;
    let query = query(&flow, "anna").replace("code=anna", "error=access_denied");
    let cookie = cookie(host, "root-of-tests").await;
    let page = open(host, &cookie, &query).await.text();
    assert!(page.contains("Nothing was linked") && !page.contains("Link to"), "{page}");
    let flow = format!("/api/accounts/flows/{}", flow["id"].as_str().unwrap());
    assert_eq!(host.get(&flow).await.expect(200)["state"], "open", "looking changes nothing");
    let told = send(host, &cookie, &host.base, &query).await.text();
    assert!(told.contains("was not linked") && told.contains("access was refused at the service"), "{told}");
    assert_eq!(host.get(&flow).await.expect(200)["problem"]["code"], "access_denied");
}
