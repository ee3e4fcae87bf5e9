//! What holds for every request.

use reqwest::Method;
use serde_json::json;
use zotify_host::api::page;

use crate::{
    crash::{Host, free_port, run},
    support::{TestApp, database, demo_folder},
};

#[tokio::test]
async fn probes_answer() {
    let host = TestApp::start().await;
    assert_eq!(host.get("/ping").await.text(), "pong");
    assert_eq!(host.get("/health/live").await.expect(200)["status"], "ok");
    let ready = host.get("/health/ready").await.expect(200);
    assert_eq!(ready["checks"]["database"]["status"], "ok");
    let version = host.get("/version").await.expect(200);
    assert_eq!(version["api_versions"], json!(["2026-11-22"]));
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let host = TestApp::start().await;
    host.get("/nothing/here").await.expect_problem(404, "route_not_found");
    host.get("/api/nothing").await.expect_problem(404, "route_not_found");
    let reply = host.send(host.request(Method::DELETE, "/ping")).await;
    reply.expect_problem(405, "method_not_allowed");
    assert!(reply.header("allow").contains("GET"), "{}", reply.header("allow"));
}

#[tokio::test]
async fn request_ids_are_kept_or_made() {
    let host = TestApp::start().await;
    let reply = host.send(host.request(Method::GET, "/nope").header("x-request-id", "my-id.1")).await;
    assert_eq!(reply.expect_problem(404, "route_not_found")["request_id"], "my-id.1");
    for bad in ["", "with space", "<script>", &"x".repeat(65)] {
        let reply = host.send(host.request(Method::GET, "/ping").header("x-request-id", bad)).await;
        assert_eq!(reply.header("x-request-id").len(), 26, "{bad}");
    }
}

#[tokio::test]
async fn versions_are_negotiated() {
    let host = TestApp::start().await;
    let ask = |version| host.request(Method::GET, "/ping").header("zotify-api-version", version);
    let reply = host.send(ask("2026-11-22")).await;
    assert_eq!((reply.status.as_u16(), reply.header("zotify-api-version")), (200, "2026-11-22"));
    host.send(ask("1999-01-01")).await.expect_problem(400, "unsupported_api_version");
    assert_eq!(host.get("/ping").await.header("zotify-api-version"), "2026-11-22");
}

#[tokio::test]
async fn json_has_entity_tags() {
    let host = TestApp::start().await;
    let first = host.get("/version").await;
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    let again = host.send(host.request(Method::GET, "/version").header("if-none-match", &tag)).await;
    assert_eq!((again.status.as_u16(), again.bytes.len(), again.header("etag")), (304, 0, tag.as_str()));
    let other = host.send(host.request(Method::GET, "/version").header("if-none-match", "\"other\"")).await;
    assert_eq!(other.status, 200);
    assert!(host.get("/nope").await.header("etag").is_empty());
}

#[tokio::test]
async fn bad_bodies_are_problems() {
    let host = TestApp::start().await;
    let login = || host.request(Method::POST, "/api/auth/login");
    let typed = |kind: &'static str, body: &'static str| login().header("content-type", kind).body(body);
    host.send(typed("application/json", "{")).await.expect_problem(400, "invalid_json");
    host.send(typed("application/json", "[1]")).await.expect_problem(422, "invalid_body");
    host.send(typed("text/plain", "x")).await.expect_problem(415, "unsupported_media_type");
    let huge = "x".repeat(host.app.config.server.max_body_bytes + 1);
    let reply = host.send(login().header("content-type", "application/json").body(huge)).await;
    reply.expect_problem(413, "body_too_large");
}

#[tokio::test]
async fn large_replies_are_compressed() {
    let host = TestApp::start().await;
    let plain = host.get("/openapi.json").await;
    let reply = host.send(host.request(Method::GET, "/openapi.json").header("accept-encoding", "gzip")).await;
    // The test client does not decompress what it asked for by hand.
    assert_eq!(reply.header("content-encoding"), "gzip");
    assert!(reply.bytes.len() < plain.bytes.len() / 2);
}

#[tokio::test]
async fn documentation_is_offline_and_relative() {
    let host = TestApp::start().await;
    let redirect = host.get("/docs").await;
    assert_eq!((redirect.status.as_u16(), redirect.header("location")), (308, "docs/"));
    let page = host.get("/docs/").await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html"));
    assert!(!page.text().contains("http://") && !page.text().contains("https://"), "{}", page.text());
    assert!(host.get("/docs/swagger-initializer.js").await.text().contains("../openapi.json"));
    host.get("/docs/none.js").await.expect_problem(404, "route_not_found");
}

#[tokio::test]
async fn only_trusted_proxies_set_the_prefix() {
    let ask = |host: &TestApp| host.request(Method::GET, "/openapi.json").header("x-forwarded-prefix", "/zotify");
    let stranger = TestApp::start().await;
    assert_eq!(stranger.send(ask(&stranger)).await.json()["servers"][0]["url"], "/");
    let trusting = TestApp::configured("trusted_proxies = [\"127.0.0.1/32\"]", "").await;
    assert_eq!(trusting.send(ask(&trusting)).await.json()["servers"][0]["url"], "/zotify");
    let sly = trusting.request(Method::GET, "/openapi.json").header("x-forwarded-prefix", "//evil.example");
    assert_eq!(trusting.send(sly).await.json()["servers"][0]["url"], "/");
}

/// The suite runs on the database that it is asked to run on.
#[tokio::test]
async fn the_database_is_the_wanted_one() {
    let host = TestApp::start().await;
    let postgres = std::env::var_os("ZOTIFY_TEST_DATABASE_URL").is_some();
    assert_eq!(host.app.db.dialect() == zotify_host::db::Dialect::Postgres, postgres);
}

#[tokio::test]
async fn paths_that_are_no_text_are_problems() {
    let host = TestApp::start().await.admin().await;
    for path in ["/api/jobs/%ff", "/api/sync/runs/%ff", "/api/library/%ff", "/api/providers/%ff", "/api/tracks/%ff"] {
        host.get(path).await.expect_problem(400, "invalid_path");
    }
    host.get("/docs/%ff").await.expect_problem(400, "invalid_path");
}

/// In a process of its own, as a log is one for all of a process.
#[tokio::test]
async fn no_level_of_the_log_holds_queries_or_credentials() {
    let dir = tempfile::tempdir().unwrap();
    let (port, log) = (free_port(), dir.path().join("log"));
    let database = database(dir.path()).await;
    let config = format!("[server]\nmode = \"dev\"\nlisten = \"127.0.0.1:{port}\"\n{database}");
    std::fs::write(dir.path().join("zotify.toml"), config).unwrap();
    run(dir.path(), &["user", "create", "tester", "--admin", "--password-stdin"], "a long enough password\n");
    let mut host = Host::start_with(dir.path(), port, |command| {
        command.env("RUST_LOG", "trace").stderr(std::fs::File::create(&log).unwrap());
    })
    .await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let (media, login) = ("/api/tracks/local:track:x/media", format!("{}/api/auth/login", host.base));
    let body = json!({"username": "anna", "password": "PASSWORD"});
    for request in [
        client.get(format!("{}{media}?sig=SIGNATURE", host.base)).bearer_auth("CREDENTIAL"),
        client.post(login).json(&body),
    ] {
        assert_eq!(request.send().await.unwrap().status(), 401);
    }
    // With a session the database is asked, which is logged, and with that the request.
    host.get(&format!("{media}?sig=SIGNATURE")).await;
    host.kill();
    let text = std::fs::read_to_string(log).unwrap();
    assert!(text.contains("DEBUG") && text.contains(media), "{} lines", text.lines().count());
    for secret in ["SIGNATURE", "CREDENTIAL", "PASSWORD", "a long enough password", &host.token] {
        assert_eq!(text.lines().find(|line| line.contains(secret)), None, "{secret} is logged");
    }
}

#[tokio::test]
async fn a_body_of_optional_fields_may_be_left_out() {
    let host = TestApp::start().await.admin().await;
    let sync = || host.request(Method::POST, "/api/sync");
    host.send(sync()).await.expect(202);
    host.send(sync().header("content-type", "application/json")).await.expect(202);
    host.post("/api/sync", &json!(null)).await.expect(202);
    host.send(sync().body("{}")).await.expect_problem(415, "unsupported_media_type");
    host.post("/api/sync", &json!({"direction": "sideways"})).await.expect_problem(422, "invalid_body");
    host.send(host.request(Method::POST, "/api/tracks/batch")).await.expect_problem(415, "unsupported_media_type");
}

#[tokio::test]
async fn health_says_whether_and_not_who() {
    let host = TestApp::with("[providers.secret-nas]\nplugin = \"nowhere\"").await;
    let health = host.until("/health", |health| health["status"] == "degraded").await;
    assert_eq!(health["checks"]["providers"]["status"], "degraded");
    assert!(!health.to_string().contains("secret-nas"), "{health}");
}

#[tokio::test]
async fn unknown_parameters_are_refused_where_the_api_is() {
    let host = TestApp::start().await.admin().await;
    for path in
        ["/api/jobs?stat=queued", "/api/library/tracks?limit=1&offset=5", "/api/user/profile?x", "/api/providers?%ff"]
    {
        host.get(path).await.expect_problem(400, "unknown_parameter");
    }
    let problem = host.get("/api/jobs?stat=queued").await.json();
    assert!(problem["detail"].as_str().unwrap().ends_with("did you mean state?"), "{problem}");
    host.post("/api/sync?dry_run=true", &json!({})).await.expect_problem(400, "unknown_parameter");
    let head = host.send(host.request(Method::HEAD, "/api/jobs?stat=queued")).await;
    assert_eq!(head.status, 400, "HEAD is held to what GET takes");
    host.get("/api/jobs?limit=1&cursor").await.expect_problem(400, "invalid_cursor");
    assert_eq!(host.get("/ping?_=1730000000").await.text(), "pong", "monitors add what they like");
}

#[tokio::test]
async fn a_pull_of_a_shared_library_is_everybodys_to_see_and_the_admins_to_stop() {
    let folder = demo_folder();
    let local = format!("[providers.local]\nplugin = \"local\"\nsettings = {{ folders = [\"{}\"] }}", folder.display());
    let mut host = TestApp::with(&local).await.admin().await;
    host.become_user("anna").await;
    let jobs = host.until("/api/jobs?kind=library.pull", |jobs| jobs["data"][0]["id"].is_string()).await;
    assert_eq!(jobs["data"][0]["owner"], "host");
    let asked = host.post("/api/sync", &json!({})).await.expect(202);
    let job = format!("/api/jobs/{}", asked["data"][0]["job_id"].as_str().unwrap());
    host.get(&job).await.expect(200);
    host.post(&format!("{job}/cancel"), &json!({})).await.expect_problem(403, "admin_required");
    host.become_user("berta").await;
    host.get(&job).await.expect(200);
    let host = host.sign_in_again().await;
    let stopped = host.post(&format!("{job}/cancel"), &json!({})).await;
    assert!([200, 409].contains(&stopped.status.as_u16()), "an admin may: {}", stopped.text());
}

#[tokio::test]
async fn cursors_of_providers_are_for_one_account_and_list() {
    let host = TestApp::start().await;
    let app = &host.app;
    let sealed = page::seal(app, "account", "list", Some("offset=20".into())).unwrap().unwrap();
    assert_eq!(page::open(app, "account", "list", &sealed).unwrap(), "offset=20");
    assert!(!sealed.contains("b2Zmc2V0"), "what a plugin puts there is not for clients");
    for (account, list, text) in [
        ("another", "list", sealed.as_str()),
        ("account", "another", &sealed),
        ("account", "list", &sealed[1..]),
        ("account", "list", "b2Zmc2V0PTIw"),
        ("account", "list", ""),
    ] {
        assert_eq!(
            page::open(app, account, list, text).unwrap_err().code(),
            "invalid_cursor",
            "{account} {list} {text}"
        );
    }
    assert_eq!(page::seal(app, "account", "list", None).unwrap(), None);
    assert!(page::seal(app, "account", "list", Some("x".repeat(4096))).is_err());
}

#[tokio::test]
async fn the_database_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    // A folder that others may read, as one that an admin made.
    let folder = dir.path().join("data");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let db = zotify_host::db::Db::connect(&format!("sqlite://{}", folder.join("zotify.db").display())).await.unwrap();
    db.migrate().await.unwrap();
    let mut seen = 0;
    for file in std::fs::read_dir(&folder).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", file.file_name());
        seen += 1;
    }
    assert!(seen >= 2, "the database and its log");
    db.close().await;
}
