//! Connecting accounts on the pages, through every kind of step.

use std::time::Instant;

use reqwest::Method;

use super::{Browser, attribute};
use crate::{
    flows::{asking, connect, execute, returned},
    starred::Starred,
    support::{PATIENCE, TestApp},
};

/// Starts a flow; answers its page's path.
async fn start(browser: &Browser<'_>) -> String {
    browser.sent("/ui/connect", &[("provider", "stars")]).await
}

/// The address that the service sends the browser back to.
async fn back(host: &TestApp, flow: &str, code: &str) -> String {
    let id = flow.rsplit('/').next().unwrap();
    returned(&host.get(&format!("/api/accounts/flows/{id}")).await.expect(200), code)
}

/// The page of the account that a flow made.
async fn done(browser: &Browser<'_>, flow: &str) -> String {
    let page = browser.page(flow).await;
    assert!(page.contains("The account is connected"), "{page}");
    attribute(&page, "href", "/ui/accounts/")
}

#[tokio::test]
async fn an_account_is_connected_step_by_step() {
    let stars = asking("'form', 'external', 'progress'").await;
    let host = &stars.host;
    let admin = Browser::of(host, "root-of-tests").await;
    let choice = admin.page("/ui/connect").await;
    assert!(choice.contains("value=\"stars\"") && !choice.contains("value=\"local\""), "{choice}");
    let flow = start(&admin).await;
    let form = admin.page(&flow).await;
    for part in ["type=\"password\"", "type=\"checkbox\"", "<h2>Sign in</h2>", "As at the service.", " required"] {
        assert!(form.contains(part), "no {part} in {form}");
    }
    let values = format!("{flow}/values");
    let wrong = admin.post(&values, &[("value.name", "A"), ("value.password", "sesame")]).await;
    assert_eq!(wrong.status, 422);
    let page = wrong.text();
    assert!(page.contains("aria-invalid=\"true\"") && page.contains("id=\"field-0-error\""), "{page}");
    assert!(page.contains("value=\"A\"") && !page.contains("sesame"), "{page}");
    let refused = admin.sent(&values, &[("value.name", "anna"), ("value.password", "wrong")]).await;
    let page = admin.page(&refused).await;
    assert!(page.contains("the name or the password is wrong") && page.contains("value=\"anna\""), "{page}");

    admin.sent(&values, &[("value.name", "anna"), ("value.password", "sesame"), ("value.stay", "true")]).await;
    let external = admin.page(&flow).await;
    assert!(attribute(&external, "href", "https://service.example/authorize").contains("state="), "{external}");
    assert!(external.contains("rel=\"noopener noreferrer\"") && external.contains("copy the whole address"));
    assert_eq!(admin.get(&format!("{flow}/news")).await.status, 204, "nobody came back yet");
    let url = back(host, &flow, "anna").await;
    for (bad, words) in
        [("nonsense", "wrong_address"), (&*url.replace("state=", "state=x"), "belongs to another sign-in")]
    {
        let refused = admin.post(&format!("{flow}/returned"), &[("url", bad)]).await;
        assert_eq!(refused.status, 400, "{words}");
        assert!(refused.text().contains("id=\"problem\"") && refused.text().contains("name=\"url\""));
    }
    admin.sent(&format!("{flow}/returned"), &[("url", &url)]).await;
    assert!(admin.page(&format!("{flow}/news")).await.contains("WXYZ"), "the other tab goes on");
    let waiting = admin.page(&flow).await;
    assert!(waiting.contains("WXYZ") && waiting.contains("hx-trigger=\"submit, load delay:"), "{waiting}");
    let (mut page, started) = (waiting, Instant::now());
    while page.contains("WXYZ") {
        assert!(started.elapsed() < PATIENCE, "{page}");
        admin.sent(&format!("{flow}/poll"), &[]).await;
        page = admin.page(&flow).await;
    }
    let account = admin.page(&done(&admin, &flow).await).await;
    for part in ["anna at the stars", "works", "likes, plays", "Sign in again", "Unlink"] {
        assert!(account.contains(part), "no {part} in {account}");
    }
}

#[tokio::test]
async fn somebody_signs_in_again_and_unlinks() {
    let stars = asking("'form'").await;
    let host = &stars.host;
    let admin = Browser::of(host, "root-of-tests").await;
    let values = [("value.name", "anna"), ("value.password", "sesame")];
    let flow = start(&admin).await;
    admin.sent(&format!("{flow}/values"), &values).await;
    let path = done(&admin, &flow).await;
    let id = path.rsplit('/').next().unwrap();

    let again = admin.sent("/ui/connect", &[("provider", "stars"), ("account", id)]).await;
    let other = admin.post(&format!("{again}/values"), &[("value.name", "bert"), ("value.password", "sesame")]).await;
    assert_eq!(other.status, 409, "{}", other.text());
    let again = admin.sent("/ui/connect", &[("provider", "stars"), ("account", id)]).await;
    admin.sent(&format!("{again}/values"), &values).await;
    assert_eq!(done(&admin, &again).await, path);

    assert_eq!(admin.sent(&path, &[("label", "Mine <b>"), ("pull_every_s", "3600")]).await, path);
    let page = admin.page(&path).await;
    assert!(page.contains("Mine &#60;b&#62;") && page.contains("value=\"3600\" selected"), "{page}");
    assert_eq!(admin.post(&path, &[("label", ""), ("pull_every_s", "1")]).await.status, 422);
    assert_eq!(admin.sent(&format!("{path}/check"), &[]).await, path);

    host.make_user("eve", false).await;
    let eve = Browser::of(host, "eve").await;
    for request in [eve.request(Method::GET, &path), eve.request(Method::GET, &flow)] {
        assert_eq!(host.send(request).await.status, 404);
    }
    assert_eq!(eve.post(&format!("{path}/unlink"), &[]).await.status, 404);
    let confirm = admin.page(&format!("{path}/unlink")).await;
    assert!(confirm.contains("Its sign-in is erased at once") && confirm.contains("Keep it"), "{confirm}");
    assert_eq!(admin.sent(&format!("{path}/unlink"), &[]).await, "/ui");
    assert_eq!(admin.get(&path).await.status, 404);
}

#[tokio::test]
async fn flows_that_fail_or_are_given_up_say_so() {
    let stars = asking("'external'").await;
    let host = &stars.host;
    let admin = Browser::of(host, "root-of-tests").await;
    let flow = start(&admin).await;
    let url = back(host, &flow, "refused").await;
    admin.sent(&format!("{flow}/returned"), &[("url", &url)]).await;
    let page = admin.page(&flow).await;
    assert!(page.contains("not for you") && page.contains("Start anew"), "{page}");
    let flow = start(&admin).await;
    assert_eq!(admin.sent(&format!("{flow}/cancel"), &[]).await, "/ui");
    assert_eq!(admin.get(&flow).await.status, 404);
    let nowhere = admin.post("/ui/connect", &[("provider", "nowhere")]).await;
    assert!(nowhere.status == 404 && nowhere.text().contains("provider_not_found"));
    assert_eq!(admin.post("/ui/connect", &[("provider", "stars"), ("account", "x")]).await.status, 404);
}

#[tokio::test]
async fn an_account_that_has_to_sign_in_again_says_so_at_home() {
    let stars = Starred::with("connect = { steps = ['form'], works = 'expired' }", "").await;
    let admin = Browser::of(&stars.host, "root-of-tests").await;
    let flow = start(&admin).await;
    admin.sent(&format!("{flow}/values"), &[("value.name", "anna"), ("value.password", "sesame")]).await;
    let path = done(&admin, &flow).await;
    admin.sent(&format!("{path}/check"), &[]).await;
    let home = admin.page("/ui").await;
    assert!(home.contains("wants you to sign in again") && home.contains(">Sign in again<"), "{home}");
    let account = admin.page(&path).await;
    assert!(account.contains("Press “Sign in again”") && !account.contains("POST /api"), "{account}");
    assert!(home.contains("the service wants somebody to sign in again"), "{home}");
}

#[tokio::test]
async fn each_account_says_what_is_read_and_asked_of_its_own() {
    let budget = "[providers.stars.budget]\nwindow_requests = 45\ndaily_requests = 1000\n";
    let stars = Starred::with("connect = { steps = ['form'] }", budget).await;
    let host = &stars.host;
    let admin = Browser::of(host, "root-of-tests").await;
    let (one, other) = (connect(host, "anna").await, connect(host, "bert").await);
    let ended = |job: &serde_json::Value| job["finished_at"].is_string();
    host.until("/api/jobs?limit=200", |jobs| jobs["data"].as_array().unwrap().iter().all(ended)).await;
    assert!(!admin.page("/ui").await.contains("hx-trigger"), "nothing is followed");
    execute(
        host,
        &format!(
            "INSERT INTO jobs (id, kind, payload, dedupe_key, user_id, subject, state, priority, run_at, attempts,
               max_attempts, created_at, progress_done, progress_total, message)
             SELECT '01ARZ3NDEKTSV4RRFFQ69G5FAV', 'library.pull', '{{}}', 'library.pull:{one}', id, 'stars', 'waiting', 0,
               9000000000000, 1, 5, 1, 7, 30, 'halfway' FROM users WHERE name = 'root-of-tests'"
        ),
    )
    .await;
    let home = admin.page("/ui").await;
    assert_eq!(home.matches("It is to be read at 2255-").count(), 1, "{home}");
    assert!(home.contains(&format!("id=\"sync-{one}\" class=\"quiet\" disabled")), "{home}");
    assert!(home.contains(&format!("id=\"sync-{other}\" class=\"quiet\">")), "{home}");
    let page = admin.page(&format!("/ui/accounts/{one}")).await;
    for part in ["value=\"7\" max=\"30\"", "7 of 30", "halfway", "/ui/jobs/01ARZ3NDEKTSV4RRFFQ69G5FAV", "every 20s"] {
        assert!(page.contains(part), "no {part} in {page}");
    }
    for part in ["At a time: 0 used, 45 left.", "In 24 hours: 0 used, 1000 left."] {
        assert!(page.contains(part), "no {part} in {page}");
    }
    let page = admin.page(&format!("/ui/accounts/{other}")).await;
    assert!(!page.contains("<progress") && !page.contains("hx-trigger") && page.contains("complete"), "{page}");
}
