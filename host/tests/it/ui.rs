//! The pages under `/ui`, as a browser gets them. What scripts do there is tried by `.ci/ui`, in one.

mod connect;

use reqwest::{Method, RequestBuilder};
use serde_json::json;
use zotify_host::db;

use crate::{
    library::{music, scanned},
    support::{PASSWORD, Reply, TestApp},
};

const HTML: &str = "text/html; charset=utf-8";

/// Somebody with a browser, who signed in on the page.
struct Browser<'a> {
    host: &'a TestApp,
    cookie: String,
}

/// Fills in the sign-in form.
async fn sign_in(host: &TestApp, name: &str, password: &str, next: &str) -> Reply {
    let form = [("username", name), ("password", password), ("next", next)];
    host.send(host.anonymous(Method::POST, "/ui/sign-in").header("origin", &host.base).form(&form)).await
}

impl<'a> Browser<'a> {
    async fn of(host: &'a TestApp, name: &str) -> Self {
        let reply = sign_in(host, name, PASSWORD, "").await;
        assert_eq!((reply.status.as_u16(), reply.header("location")), (303, "/ui"), "{}", reply.text());
        let cookie = reply.header("set-cookie").split(';').next().unwrap().to_owned();
        Self { host, cookie }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.host.anonymous(method, path).header("cookie", &self.cookie)
    }

    async fn get(&self, path: &str) -> Reply {
        self.host.send(self.request(Method::GET, path)).await
    }

    /// The text of a page.
    async fn page(&self, path: &str) -> String {
        let reply = self.get(path).await;
        assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, HTML), "{path}: {}", reply.text());
        reply.text()
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> Reply {
        self.host.send(self.request(Method::POST, path).header("origin", &self.host.base).form(form)).await
    }

    /// Sends a form that leads to another page; answers where.
    async fn sent(&self, path: &str, form: &[(&str, &str)]) -> String {
        let reply = self.post(path, form).await;
        assert_eq!(reply.status, 303, "{path}: {}", reply.text());
        reply.header("location").to_owned()
    }
}

/// The value of the first attribute that begins like this.
fn attribute(page: &str, name: &str, start: &str) -> String {
    let start = format!(" {name}=\"{start}");
    let at = page.find(&start).unwrap_or_else(|| panic!("no{start} in {page}"));
    let value = page[at..].split('"').nth(1).unwrap();
    value.replace("&#38;", "&").replace("&amp;", "&")
}

async fn user_id(host: &TestApp, name: &str) -> String {
    db::users::find_by_name(host.app.db.read(), name).await.unwrap().unwrap().id
}

#[tokio::test]
async fn whoever_is_not_signed_in_is_asked_to_and_comes_back() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    let first = host.send(host.anonymous(Method::GET, "/").header("accept", "text/html,*/*;q=0.8")).await;
    assert_eq!((first.status.as_u16(), first.header("location")), (303, "/ui"));
    host.send(host.anonymous(Method::GET, "/")).await.expect_problem(404, "route_not_found");
    let away = host.send(host.anonymous(Method::GET, "/ui/search?q=a%20b")).await;
    assert_eq!(away.status, 303);
    let path = away.header("location").to_owned();
    let next = "/ui/search?q=a%20b";
    let form = host.send(host.anonymous(Method::GET, &path)).await;
    assert!(form.status == 200 && form.text().contains(&format!("name=\"next\" value=\"{next}\"")), "{}", form.text());
    let wrong = sign_in(&host, "anna", "not this one", next).await;
    assert_eq!((wrong.status.as_u16(), wrong.header("content-type")), (401, HTML));
    assert!(wrong.text().contains("the name or the password is wrong") && wrong.text().contains(next));
    assert!(!wrong.text().contains("not this one") && wrong.header("set-cookie").is_empty());
    let right = sign_in(&host, "anna", PASSWORD, next).await;
    assert_eq!((right.status.as_u16(), right.header("location")), (303, next));
    for elsewhere in ["https://evil.example", "//evil.example/ui", "/\\evil.example", "/api/user/profile"] {
        assert_eq!(sign_in(&host, "anna", PASSWORD, elsewhere).await.header("location"), "/ui", "{elsewhere}");
    }
}

#[tokio::test]
async fn the_session_ends_at_sign_out() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    let anna = Browser::of(&host, "anna").await;
    let home = anna.page("/ui").await;
    assert!(home.contains(">anna</a>") && home.contains("Sign out"), "{home}");
    let out = anna.post("/ui/sign-out", &[]).await;
    assert_eq!((out.status.as_u16(), out.header("location")), (303, "/ui/sign-in"));
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(anna.get("/ui").await.header("location"), "/ui/sign-in");
    // The script is told to leave the page instead of showing the form in it.
    let scripted = host.send(anna.request(Method::GET, "/ui/jobs").header("hx-request", "true")).await;
    assert_eq!((scripted.status.as_u16(), scripted.header("hx-redirect")), (204, "/ui/sign-in?next=%2Fui%2Fjobs"));
}

#[tokio::test]
async fn forms_of_other_sites_do_nothing() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    let anna = Browser::of(&host, "anna").await;
    for (name, value) in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"), ("x-other", "1")] {
        let request = anna.request(Method::POST, "/ui/sign-out").header(name, value);
        let refused = host.send(request.form(&[("a", "b")])).await;
        assert_eq!((refused.status.as_u16(), refused.header("content-type")), (403, HTML), "{name}");
        assert!(refused.text().contains("csrf") && refused.text().contains(refused.header("x-request-id")));
    }
    anna.page("/ui").await;
    let form = [("username", "anna"), ("password", PASSWORD)];
    let request = host.anonymous(Method::POST, "/ui/sign-in").header("origin", "https://evil.example").form(&form);
    let refused = host.send(request).await;
    assert!(refused.status == 403 && refused.header("set-cookie").is_empty());
}

#[tokio::test]
async fn browsers_are_told_to_be_careful_on_every_page() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    let anna = Browser::of(&host, "anna").await;
    for path in
        ["/ui/sign-in", "/ui", "/ui/search", "/ui/nothing", "/ui/jobs/x", "/ui/assets/ui.js", "/ui/search?limit=0"]
    {
        let reply = anna.get(path).await;
        let policy = reply.header("content-security-policy");
        assert!(policy.contains("script-src 'self';") && policy.contains("style-src 'self';"), "{path}: {policy}");
        assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        // Without a referrer, browsers would not say where a form comes from.
        assert_eq!(reply.header("referrer-policy"), "same-origin", "{path}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        if reply.header("content-type") == HTML {
            assert_eq!(reply.header("cache-control"), "no-store", "{path}");
            let text = reply.text();
            assert!(!text.contains("<style") && !text.contains(" style="), "{path}: {text}");
            assert!(text.matches("<script").count() == text.matches("<script src=").count(), "{path}: {text}");
        }
    }
}

#[tokio::test]
async fn problems_are_pages() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    let anna = Browser::of(&host, "anna").await;
    for (method, path, status, code) in [
        (Method::GET, "/ui/nothing", 404, "route_not_found"),
        (Method::GET, "/ui/jobs/01ARZ3NDEKTSV4RRFFQ69G5FAV", 404, "job_not_found"),
        (Method::GET, "/ui/playlists/none", 400, "invalid_uri"),
        (Method::GET, "/ui/albums/local:album:none", 404, "item_not_found"),
        (Method::GET, "/ui/search?q=a&kind=song", 400, "invalid_query"),
        (Method::GET, "/ui/search?q=a&cursor=x", 400, "invalid_cursor"),
        (Method::DELETE, "/ui/jobs", 405, "method_not_allowed"),
    ] {
        let reply = host.send(anna.request(method, path).header("origin", &host.base)).await;
        assert_eq!((reply.status.as_u16(), reply.header("content-type")), (status, HTML), "{path}");
        assert!(reply.text().contains(code) && reply.text().contains("<h1"), "{path}: {}", reply.text());
    }
    // Beside the pages, they stay what programs read.
    anna.get("/api/nothing").await.expect_problem(404, "route_not_found");
}

#[tokio::test]
async fn a_password_that_has_to_be_changed_is_changed_first() {
    let host = TestApp::start().await.admin().await;
    host.make_user("anna", false).await;
    let id = user_id(&host, "anna").await;
    host.patch(&format!("/api/admin/users/{id}"), &json!({"must_change_password": true})).await.expect(200);
    let anna = Browser::of(&host, "anna").await;
    for path in ["/ui", "/ui/search", "/ui/jobs"] {
        let reply = anna.get(path).await;
        assert_eq!((reply.status.as_u16(), reply.header("location")), (303, "/ui/password"), "{path}");
    }
    assert!(anna.page("/ui/password").await.contains("At least 8 characters"));
    let change = async |current: &str, new: &str, repeated: &str| {
        anna.post("/ui/password", &[("current_password", current), ("new_password", new), ("repeated", repeated)]).await
    };
    for (form, status, words) in [
        ((PASSWORD, "another long one", "another longer one"), 422, "differ"),
        ((PASSWORD, "short", "short"), 422, "at least 8"),
        (("a wrong one", "another long one", "another long one"), 403, "the current password is not this one"),
    ] {
        let refused = change(form.0, form.1, form.2).await;
        assert_eq!(refused.status, status, "{words}");
        assert!(refused.text().contains(words), "{}", refused.text());
        assert!(![form.0, form.1].iter().any(|secret| refused.text().contains(&format!("\"{secret}\""))));
    }
    let changed = change(PASSWORD, "another long one", "another long one").await;
    assert_eq!((changed.status.as_u16(), changed.header("location")), (303, "/ui"), "{}", changed.text());
    anna.page("/ui").await;
}

#[tokio::test]
async fn what_comes_from_outside_is_text_and_nothing_else() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    let anna = Browser::of(&host, "anna").await;
    let odd = "\"><script>alert(1)</script>'&";
    let shown = host.send(anna.request(Method::GET, "/ui/search").query(&[("q", odd), ("scope", odd)])).await;
    assert!(shown.status == 200 && !shown.text().contains("<script>"), "{}", shown.text());
    let refused = sign_in(&host, odd, odd, odd).await;
    assert!(refused.status == 401 && !refused.text().contains("<script>"), "{}", refused.text());
    let lost = host.send(anna.request(Method::GET, "/ui/%3Cscript%3Ealert(1)%3C/script%3E")).await;
    assert!(lost.status == 404 && !lost.text().contains("<script>"), "{}", lost.text());
}

#[tokio::test]
async fn the_library_is_found_and_can_be_played() {
    let music = music();
    let host = scanned(music.path()).await;
    host.make_user("anna", false).await;
    let anna = Browser::of(&host, "anna").await;
    let home = anna.page("/ui").await;
    assert!(home.contains("Local files") && home.contains("tracks") && home.contains("Sync now"), "{home}");
    for scope in ["library", "catalog"] {
        let found = anna.page(&format!("/ui/search?q=sawtooth&kind=track&scope={scope}")).await;
        assert!(found.contains("Sawtooth Serenade") && found.contains("Test Tones, Volume 1"), "{scope}: {found}");
        let media = attribute(&found, "href", "/api/tracks/");
        let audio = anna.get(&media).await;
        assert!(audio.status == 200 && audio.header("content-type").starts_with("audio/"), "{media}");
        let picture = anna.get(&attribute(&found, "src", "/api/artwork/")).await;
        assert!(picture.status == 200 && picture.header("content-type").starts_with("image/"));
    }
    let more = anna.page("/ui/search?q=t&limit=1").await;
    let next = attribute(&more, "href", "/ui/search?");
    assert_ne!(anna.page(&next).await, more);
    let albums = anna.page("/ui/search?q=test+tones&kind=album").await;
    let album = anna.page(&attribute(&albums, "href", "/ui/albums/")).await;
    assert!(album.contains("Sawtooth Serenade") && album.contains("data-play="), "{album}");
    let lists = anna.page("/ui/playlists").await;
    let list = anna.page(&attribute(&lists, "href", "/ui/playlists/")).await;
    assert!(list.contains("data-play="), "{list}");
    assert!(anna.page("/ui/search?q=nothingofthis").await.contains("Nothing was found"));
}

#[tokio::test]
async fn a_sync_is_started_and_followed() {
    let music = music();
    let host = scanned(music.path()).await;
    host.make_user("anna", false).await;
    let anna = Browser::of(&host, "anna").await;
    let account = attribute(&anna.page("/ui").await, "href", "/ui/accounts/").rsplit('/').next().unwrap().to_owned();
    assert_eq!(anna.sent("/ui/sync", &[("account", &account)]).await, "/ui");
    host.until("/api/jobs", |jobs| jobs["data"].as_array().unwrap().iter().all(|job| job["state"] == "succeeded"))
        .await;
    let jobs = anna.page("/ui/jobs").await;
    assert!(jobs.matches("Reading a library").count() >= 2 && !jobs.contains("hx-get"), "{jobs}");
    let job = anna.page(&attribute(&jobs, "href", "/ui/jobs/")).await;
    assert!(job.contains("succeeded") && job.contains("Log"), "{job}");
    let foreign = anna.post("/ui/sync", &[("account", "01ARZ3NDEKTSV4RRFFQ69G5FAV")]).await;
    assert!(foreign.status == 404 && foreign.text().contains("account_not_found"));
}

#[tokio::test]
async fn a_job_of_somebody_else_is_not_shown_and_ones_own_is_cancelled() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    host.make_user("bert", false).await;
    let (anna, bert) = (Browser::of(&host, "anna").await, Browser::of(&host, "bert").await);
    let id = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let mut tx = host.app.db.write().await.unwrap();
    sqlx::query(
        "INSERT INTO jobs (id, kind, payload, user_id, state, priority, run_at, attempts, max_attempts, created_at)
         VALUES ($1, 'test.wait', '{}', $2, 'waiting', 0, 9000000000000, 0, 1, 1)",
    )
    .bind(id)
    .bind(user_id(&host, "anna").await)
    .execute(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    let path = format!("/ui/jobs/{id}");
    assert_eq!(bert.get(&path).await.status, 404);
    assert_eq!(bert.post(&format!("{path}/cancel"), &[]).await.status, 404);
    for followed in ["/ui/jobs", &path] {
        assert!(anna.page(followed).await.contains("hx-trigger=\"every 20s\""), "seldom, while it waits: {followed}");
    }
    for _ in 0..2 {
        assert_eq!(anna.sent(&format!("{path}/cancel"), &[]).await, "/ui/jobs");
    }
    let jobs = anna.page("/ui/jobs").await;
    assert!(jobs.contains("cancelled") && !jobs.contains("hx-trigger"), "{jobs}");
}

#[tokio::test]
async fn under_a_prefix_all_links_have_it() {
    let host = TestApp::configured("public_url = \"https://music.example.org/zotify\"", "").await;
    host.make_user("anna", false).await;
    let form = [("username", "anna"), ("password", PASSWORD)];
    let request = host.anonymous(Method::POST, "/ui/sign-in").header("origin", "https://music.example.org").form(&form);
    let signed_in = host.send(request).await;
    assert_eq!((signed_in.status.as_u16(), signed_in.header("location")), (303, "/zotify/ui"));
    let cookie = signed_in.header("set-cookie").to_owned();
    assert!(cookie.contains("Path=/zotify") && cookie.contains("Secure"), "{cookie}");
    let anna = Browser { host: &host, cookie: cookie.split(';').next().unwrap().to_owned() };
    for path in ["/ui", "/ui/search", "/ui/jobs", "/ui/password", "/ui/nothing"] {
        let text = anna.get(path).await.text();
        for attribute in ["href=\"", "src=\"", "action=\"", "hx-get=\""] {
            for link in text.split(attribute).skip(1).filter(|link| !link.starts_with('#')) {
                assert!(link.starts_with("/zotify/"), "{path}: {link:.80}");
            }
        }
    }
    let away = host.send(host.anonymous(Method::GET, "/ui/jobs")).await;
    assert_eq!(away.header("location"), "/zotify/ui/sign-in?next=%2Fui%2Fjobs");
}

#[tokio::test]
async fn assets_are_kept_by_browsers_until_they_change() {
    let host = TestApp::start().await;
    for (file, kind) in [
        ("htmx.min.js", "text/javascript; charset=utf-8"),
        ("ui.js", "text/javascript; charset=utf-8"),
        ("ui.css", "text/css; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    ] {
        let path = format!("/ui/assets/{file}");
        let reply = host.send(host.anonymous(Method::GET, &path)).await;
        assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, kind));
        let tag = reply.header("etag").to_owned();
        let again = host.send(host.anonymous(Method::GET, &path).header("if-none-match", tag)).await;
        assert!(again.status == 304 && again.bytes.is_empty(), "{file}");
    }
    assert_eq!(host.send(host.anonymous(Method::GET, "/ui/assets/..%2fui.rs")).await.status, 404);
}

#[tokio::test]
async fn sign_ins_on_the_page_are_counted_as_sign_ins() {
    let host = TestApp::with("[limits]\nsign_ins_per_minute_per_address = 2\n").await;
    host.make_user("anna", false).await;
    for _ in 0..2 {
        assert_eq!(sign_in(&host, "anna", PASSWORD, "").await.status, 303);
    }
    let refused = sign_in(&host, "anna", PASSWORD, "").await;
    assert_eq!((refused.status.as_u16(), refused.header("content-type")), (429, HTML));
    assert!(refused.text().contains("rate_limited") && !refused.header("retry-after").is_empty());
}
