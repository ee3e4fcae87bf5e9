//! Answers of services' catalogues are remembered for a while, and asked for once.

use futures::future::join_all;

use crate::{editable::Editable, library::text};

const SEARCH: &str = "/api/search?scope=catalog&q=t";

#[tokio::test]
async fn a_search_is_asked_once() {
    let editable = Editable::with("trouble = { slow_ms = 200 }").await;
    let pages = join_all((0..10).map(|_| editable.host.get(SEARCH))).await;
    let first = pages[0].expect(200);
    assert_eq!(first["data"].as_array().unwrap().len(), 2, "{first:#}");
    assert!(pages.iter().all(|page| page.json()["data"] == first["data"]));
    assert_eq!(editable.asked("acct", "search").await, 1, "many at once");
    assert_eq!(editable.host.get(SEARCH).await.expect(200)["data"], first["data"]);
    assert_eq!(editable.asked("acct", "search").await, 1, "and again");
    editable.host.get(&format!("{SEARCH}&kinds=album")).await.expect(200);
    editable.host.get(&format!("{SEARCH}w")).await.expect(200);
    assert_eq!(editable.asked("acct", "search").await, 3, "another question is another one");
}

#[tokio::test]
async fn a_failed_search_is_not_remembered() {
    let editable = Editable::with("trouble = { failing_searches = 1 }").await;
    let failed = editable.host.get(SEARCH).await.expect(200);
    assert_eq!(failed["meta"]["providers"]["ed"]["state"], "failed", "{failed:#}");
    let again = editable.host.get(SEARCH).await.expect(200);
    assert_eq!(
        (again["data"].as_array().unwrap().len(), &again["meta"]["providers"]["ed"]["state"]),
        (2, &"ok".into())
    );
}

#[tokio::test]
async fn what_one_account_asked_another_does_not_see() {
    let mut editable = Editable::with("").await;
    editable.host.get(SEARCH).await.expect(200);
    editable.host.become_user("anna").await;
    editable.connect("anna", "hers").await;
    editable.host.get(SEARCH).await.expect(200);
    assert_eq!((editable.asked("acct", "search").await, editable.asked("hers", "search").await), (1, 1));
}

#[tokio::test]
async fn an_unknown_item_is_asked_for_once() {
    let editable = Editable::with("").await;
    let all = join_all((0..10).map(|_| editable.host.get("/api/items/ed:track:2"))).await;
    assert!(all.iter().all(|reply| reply.json()["title"] == "Two"));
    assert_eq!(editable.asked("acct", "get").await, 1);
    for _ in 0..2 {
        editable.host.get("/api/items/ed:track:99").await.expect_problem(404, "item_not_found");
    }
    assert_eq!(editable.asked("acct", "get").await, 3, "what is not there may come");
}

#[tokio::test]
async fn what_an_account_was_told_goes_with_it() {
    let mut editable = Editable::with("").await;
    let hers = "01K9Z3N8Q4V6XJ2M7R5T0WYBCD";
    editable.host.become_user("anna").await;
    editable.connect("anna", hers).await;
    let ask = async || {
        editable.host.get(SEARCH).await.expect(200);
        editable.host.get("/api/items/ed:track:2").await.expect(200);
        (editable.asked(hers, "search").await, editable.asked(hers, "get").await)
    };
    assert_eq!((ask().await, ask().await), ((1, 1), (1, 1)));
    assert_eq!(editable.host.delete(&format!("/api/accounts/{hers}")).await.status, 204);
    let jobs = "/api/jobs?kind=account.unlink";
    editable.host.until(jobs, |jobs| text(&jobs["data"][0], "state") == "succeeded").await;
    assert_eq!((editable.asked(hers, "search").await, editable.asked(hers, "get").await), (0, 0));
    // The same id once more, as no real account has it: what is remembered would be taken for this one's.
    editable.connect("anna", hers).await;
    assert_eq!(ask().await, (1, 1), "asked anew");
}
