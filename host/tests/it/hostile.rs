//! What becomes of the host, of other requests and of the plugin itself when a plugin misbehaves.

use std::time::{Duration, Instant};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};
use zotify_host::providers::State;
use zotify_plugin_api::{ErrorKind, StreamRequest};

use crate::{
    lab::{Bench, Lab},
    support::{PATIENCE, TestApp},
};

/// Short limits, and nothing is given up for failing.
const QUICK: &str = "call_timeout_s = 2\ngrace_s = 1\nbreaker = { failures = 1000 }\nquarantine = { crashes = 1000 }";
/// What a call may take that ends at its deadline, with the grace, and patience for a machine that has much to do.
const AT_MOST: Duration = Duration::from_secs(2 + 1 + 10);
const IN_PROCESS: &str = "isolation = \"in-process\"";
/// Answers that are none, whichever way the plugin runs.
const NO_ANSWERS: [(&str, ErrorKind); 8] = [
    ("answer nothing", ErrorKind::BadUpstream),
    ("answer garbage", ErrorKind::BadUpstream),
    ("answer text", ErrorKind::BadUpstream),
    ("answer length", ErrorKind::BadUpstream),
    ("answer deep", ErrorKind::BadUpstream),
    ("answer large", ErrorKind::TooLarge),
    ("huge", ErrorKind::TooLarge),
    ("answer error-garbage", ErrorKind::Internal),
];

/// A hostile instance and a good one beside it, with lines for the section of the first.
async fn beside_a_good_one(plugins: &str, instance: &str) -> Lab {
    let toml = format!(
        "{plugins}\n[providers.bad]\nplugin = \"hostile\"\n{instance}\n\
         [providers.good]\nplugin = \"minimal\"\nsettings = {{ title = \"Song\" }}\n\
         [providers.inside]\nplugin = \"minimal\"\nisolation = \"in-process\"\nsettings = {{ title = \"Song\" }}\n"
    );
    Bench::new().with("hostile_plugin").with("minimal_provider").start(&toml).await
}

/// Searches the good instances all the while that something else goes on, and answers how it went.
async fn others_go_on<T>(lab: &Lab, body: impl Future<Output = T>) -> T {
    let (done, mut over) = tokio::sync::oneshot::channel::<()>();
    let others = async {
        while over.try_recv() == Err(tokio::sync::oneshot::error::TryRecvError::Empty) {
            for id in ["good", "inside"] {
                assert_eq!(lab.search(id, "Song").await.unwrap(), "Song", "{id}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let body = async {
        let outcome = body.await;
        let _ = done.send(());
        outcome
    };
    tokio::join!(body, others).0
}

#[tokio::test]
async fn every_way_to_fail_a_call_is_a_typed_error_in_time_and_the_plugin_comes_back() {
    let lab = beside_a_good_one(QUICK, "").await;
    for (command, kind) in [
        ("panic", ErrorKind::Panicked),
        ("bomb", ErrorKind::Panicked),
        ("drop", ErrorKind::Panicked),
        ("cancelled", ErrorKind::Timeout),
        ("wait", ErrorKind::Timeout),
        ("doubly", ErrorKind::Crashed),
        ("abort", ErrorKind::Crashed),
        ("exit", ErrorKind::Crashed),
        ("null", ErrorKind::Crashed),
        ("overflow", ErrorKind::Crashed),
        ("devour", ErrorKind::Crashed),
        ("block", ErrorKind::Timeout),
        ("spin", ErrorKind::Timeout),
        ("answer panic", ErrorKind::Crashed),
        ("answer error-large", ErrorKind::TooLarge),
        ("answer error-forever", ErrorKind::RateLimited),
    ]
    .into_iter()
    .chain(NO_ANSWERS)
    {
        let started = Instant::now();
        let error = others_go_on(&lab, lab.command(command)).await.unwrap_err();
        assert_eq!(error.kind, kind, "{command}: {error:?}");
        assert!(started.elapsed() < AT_MOST, "{command} took {:?}", started.elapsed());
        comes_back(&lab, command).await;
    }
    let error = lab.command("answer error-forever").await.unwrap_err();
    assert_eq!(error.code, None, "what is no code is left out");
    assert!(error.retry_after_ms.is_some_and(|ms| ms <= 24 * 3600 * 1000), "{error:?}");
    lab.stop().await;
}

/// Calls the hostile plugin until it answers: behind a call that blocks, others time out until the kill.
async fn comes_back(lab: &Lab, after: &str) {
    let started = Instant::now();
    while let Err(error) = lab.command("echo again").await {
        let meanwhile = matches!(error.kind, ErrorKind::Timeout | ErrorKind::Crashed | ErrorKind::Unavailable);
        assert!(meanwhile && started.elapsed() < PATIENCE, "after {after}: {error:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn inside_the_host_each_survivable_way_is_survived() {
    let lab = beside_a_good_one(QUICK, IN_PROCESS).await;
    for (command, kind) in [
        ("panic", ErrorKind::Panicked),
        ("bomb", ErrorKind::Panicked),
        ("drop", ErrorKind::Panicked),
        ("cancelled", ErrorKind::Timeout),
        ("wait", ErrorKind::Timeout),
    ]
    .into_iter()
    .chain(NO_ANSWERS)
    {
        let error = others_go_on(&lab, lab.command(command)).await.unwrap_err();
        assert_eq!(error.kind, kind, "{command}: {error:?}");
        assert_eq!(lab.command("echo again").await.unwrap(), "again", "after {command}");
    }
    lab.stop().await;
}

#[tokio::test]
async fn constructors_that_fail_are_refusals_and_drops_that_panic_are_survived() {
    for isolation in ["process", "in-process"] {
        let instance = |start: &str| format!("isolation = \"{isolation}\"\nsettings = {{ {start} }}");
        let lab = beside_a_good_one(QUICK, &instance("start = \"panic\"")).await;
        assert_eq!((lab.handle("bad").state(), lab.problem("bad")), (State::Failed, "create_failed"), "{isolation}");
        lab.stop().await;

        let lab = beside_a_good_one(QUICK, &instance("dies_badly = true")).await;
        assert_eq!(lab.command("echo here").await.unwrap(), "here");
        assert!(lab.registry.restart("bad").await, "which drops the first one");
        assert_eq!(others_go_on(&lab, lab.command("echo anew")).await.unwrap(), "anew");

        let handle = lab.handle("bad");
        let mut stream = handle.open_stream(StreamRequest { token: "3:bomb".into(), offset: 0 }).await.unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap().len(), 3);
        drop(stream);
        assert_eq!(others_go_on(&lab, lab.command("echo on")).await.unwrap(), "on");
        lab.stop().await;
    }
}

#[tokio::test]
async fn a_stream_of_too_large_chunks_is_an_error() {
    for isolation in ["process", "in-process"] {
        let lab = Lab::hostile(QUICK, &format!("isolation = \"{isolation}\"")).await;
        for size in ["65537", "104857600"] {
            let request = StreamRequest { token: format!("chunk {size}"), offset: 0 };
            let mut stream = lab.handle("bad").open_stream(request).await.unwrap();
            assert_eq!(stream.next().await.unwrap_err().kind, ErrorKind::TooLarge, "{isolation} {size}");
            assert!(stream.next().await.unwrap().is_none(), "the end");
        }
        comes_back(&lab, "the chunks").await;
        lab.stop().await;
    }
}

#[tokio::test]
async fn instances_that_block_inside_the_host_are_quarantined_alone_and_return_with_their_thread() {
    let blocked = "[providers.bad2]\nplugin = \"hostile\"\nisolation = \"in-process\"\n\
                   [providers.bad3]\nplugin = \"hostile\"\nisolation = \"in-process\"\n";
    let lab = beside_a_good_one(QUICK, &format!("{IN_PROCESS}\n{blocked}")).await;
    // More of them than the host has processors.
    for (id, command) in [("bad", "block"), ("bad2", "spin"), ("bad3", "pause 6000")] {
        assert_eq!(others_go_on(&lab, lab.search(id, command)).await.unwrap_err().kind, ErrorKind::Timeout, "{id}");
        lab.until(id, State::Quarantined).await;
        assert_eq!(lab.problem(id), "blocked");
        assert!(lab.report(id).problem.unwrap().remedy.contains("restart the host"));
        let error = lab.search(id, "echo x").await.unwrap_err();
        assert_eq!((error.kind, error.code.as_deref()), (ErrorKind::Unavailable, Some("quarantined")));
    }
    lab.until("bad3", State::Started).await;
    assert_eq!(lab.search("bad3", "echo here again").await.unwrap(), "here again");
    assert_eq!(lab.handle("bad").state(), State::Quarantined);
    assert!(lab.registry.restart("bad").await);
    assert_eq!(others_go_on(&lab, lab.command("echo anew")).await.unwrap(), "anew", "on another thread");
    lab.stop().await;
}

#[tokio::test]
async fn a_constructor_that_never_ends_holds_nobody_else() {
    for isolation in ["process", "in-process"] {
        let bench = Bench::new().with("hostile_plugin").with("minimal_provider");
        let toml = format!(
            "[providers.bad]\nplugin = \"hostile\"\nisolation = \"{isolation}\"\nsettings.start = \"hang\"\n\
             [providers.good]\nplugin = \"minimal\"\nsettings = {{ title = \"Song\" }}\n"
        );
        let lab = bench.begin(&toml).await;
        lab.until("good", State::Started).await;
        assert_eq!(lab.handle("bad").state(), State::Loading, "it has not been given up yet");
        assert_eq!(lab.search("good", "Song").await.unwrap(), "Song");
        tokio::time::timeout(PATIENCE, lab.handle("good").tried()).await.unwrap();
        tokio::time::timeout(PATIENCE, lab.registry.ready()).await.unwrap();
        assert_eq!(lab.problem("bad"), "start_timeout");
        lab.stop().await;
    }
}

#[tokio::test]
async fn a_plugin_that_dies_at_each_start_does_not_keep_the_others_from_being_ready() {
    let lab = beside_a_good_one("", "settings.start = \"abort\"").await;
    // Ready although the default quarantine is minutes away.
    assert_ne!(lab.handle("bad").state(), State::Started);
    assert_eq!(lab.problem("bad"), "crashed");
    assert_eq!(lab.search("good", "Song").await.unwrap(), "Song");
    lab.stop().await;
}

#[tokio::test]
async fn floods_are_stopped_counted_and_cost_others_nothing() {
    let server = MockServer::start().await;
    Mock::given(path("/")).respond_with(ResponseTemplate::new(200).set_body_string("hello")).mount(&server).await;
    for isolation in ["process", "in-process"] {
        let instance = format!("isolation = \"{isolation}\"\nsettings = {{ server = \"{}\" }}", server.uri());
        let lab = beside_a_good_one("call_timeout_s = 20\nbreaker = { failures = 1000 }", &instance).await;
        assert_eq!(others_go_on(&lab, lab.command("logs")).await.unwrap(), "logged");
        let long = format!("logs {}", "x".repeat(2000));
        assert_eq!(others_go_on(&lab, lab.command(&long)).await.unwrap(), "logged");
        if isolation == "process" {
            assert_eq!(others_go_on(&lab, lab.command("prints")).await.unwrap(), "printed");
        }
        let events = others_go_on(&lab, lab.command("events")).await.unwrap();
        assert!(events.ends_with(" RateLimited"), "{events}");
        let stored = others_go_on(&lab, lab.command("store")).await.unwrap();
        assert_eq!(stored, "256 quota_exceeded", "256 values of 255 KiB are nearly 64 MiB");
        let stores = others_go_on(&lab, lab.command("stores")).await.unwrap();
        let refused: usize = stores.split(' ').next().unwrap().parse().unwrap();
        assert!(refused > 100, "many are refused: {stores}");
        let fetches = others_go_on(&lab, lab.command(&format!("fetches {}", server.uri()))).await.unwrap();
        assert!(fetches.ends_with("Unavailable") && !fetches.starts_with("400 "), "some are: {fetches}");
        assert_eq!(lab.command("echo fine").await.unwrap(), "fine");
        assert_eq!(lab.report("bad").restarts, 0);
        lab.stop().await;
    }
}

#[tokio::test]
async fn calls_of_the_host_that_never_end_are_dropped_with_their_call() {
    for isolation in ["process", "in-process"] {
        let lab = beside_a_good_one(QUICK, &format!("isolation = \"{isolation}\"")).await;
        for _ in 0..2 {
            assert_eq!(others_go_on(&lab, lab.command("sleeps")).await.unwrap_err().kind, ErrorKind::Timeout);
            // What was dropped is cleared away right after the caller has its answer.
            comes_back(&lab, "the calls that never end").await;
            let started = Instant::now();
            while let Err(error) = lab.command("sleep 10").await {
                assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
                assert!(started.elapsed() < PATIENCE, "there is room again");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        lab.stop().await;
    }
}

/// A host with the hostile plugin, the admin signed in.
async fn host(plugins: &str, instance: &str) -> (TestApp, Bench) {
    let bench = Bench::new().with("hostile_plugin").with("minimal_provider");
    let folder = bench.path("plugins");
    let config = format!(
        "[plugins]\ndirectories = [\"{}\"]\n{plugins}\n[providers.bad]\nplugin = \"hostile\"\n{instance}\n\
         [providers.good]\nplugin = \"minimal\"\nsettings = {{ title = \"Song\" }}\n",
        folder.display()
    );
    let host = TestApp::with(&config).await.admin().await;
    tokio::time::timeout(PATIENCE, host.app.providers.ready()).await.unwrap();
    (host, bench)
}

/// How `GET /api/search` of the services went for an instance: its state and code.
async fn searched(host: &TestApp, query: &str) -> (Value, Value) {
    let query: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
    let page = host.get(&format!("/api/search?scope=catalog&q={query}")).await.expect(200);
    let part = &page["meta"]["providers"]["bad"];
    (part["state"].clone(), part["code"].clone())
}

#[tokio::test]
async fn the_list_of_providers_says_what_happened_and_what_to_do() {
    let (host, _bench) = host("call_timeout_s = 2\ngrace_s = 1\nquarantine = { crashes = 3 }", "").await;
    let pair = |state: &str, code: &str| (Value::from(state), Value::from(code));
    assert_eq!(searched(&host, "abort").await, pair("failed", "provider_crashed"));
    let back = host.until("/api/providers/bad", |p| p["state"] == "started").await;
    assert_eq!((&back["restarts"], &back["problem"]["code"]), (&1.into(), &"crashed".into()), "it is still told");
    assert!(back["problem"]["detail"].as_str().unwrap().contains("signal 6"), "{back}");

    assert_eq!(searched(&host, "block").await, pair("failed", "provider_timeout"));
    let back = host.until("/api/providers/bad", |p| p["state"] == "started" && p["restarts"] == 2).await;
    let detail = back["problem"]["detail"].as_str().unwrap();
    assert!(detail.contains("neither ended nor was given up"), "{detail}");

    assert_eq!(searched(&host, "null").await, pair("failed", "provider_crashed"));
    let out = host.until("/api/providers/bad", |p| p["state"] == "quarantined").await;
    assert_eq!(out["problem"]["code"], "crashed");
    assert!(out["problem"]["remedy"].as_str().unwrap().contains("restart the host"), "{out}");
    let page = host.get("/api/search?scope=catalog&q=Song").await.expect(200);
    assert_eq!(page["meta"]["providers"]["good"]["state"], "ok", "{page}");
    host.stop().await;
}

/// The address of an item whose id is any text.
fn uri(kind: &str, id: &str) -> String {
    format!("bad:{kind}:~{}", BASE64_URL_SAFE_NO_PAD.encode(id))
}

#[tokio::test]
async fn items_of_wrong_kinds_and_of_other_instances_reach_no_client() {
    let (host, _bench) = host("", "settings = { library = \"foreign\" }").await;
    for id in ["an-album", "as-album", "another", "foreign"] {
        host.get(&format!("/api/tracks/bad:track:{id}")).await.expect_problem(502, "provider_failed");
    }
    host.get("/api/tracks/bad:track:fine").await.expect(200);
    let children = host.get("/api/albums/bad:album:any/tracks").await.expect(200);
    assert_eq!(uris(&children), ["bad:track:good"], "{children}");
    let run = host
        .until("/api/sync/runs", |runs| runs["data"].as_array().unwrap().iter().any(|run| is_done(run, "bad")))
        .await;
    let run = run["data"].as_array().unwrap().iter().find(|run| is_done(run, "bad")).unwrap().clone();
    assert_eq!(run["state"], "applied", "{run}");
    let tracks = host.get("/api/library/tracks").await.expect(200);
    let own = |uri: &&str| !uri.starts_with("good:");
    assert_eq!(uris(&tracks).into_iter().filter(own).collect::<Vec<_>>(), ["bad:track:good"], "{tracks}");
    host.stop().await;
}

fn uris(page: &Value) -> Vec<&str> {
    page["data"].as_array().unwrap().iter().map(|item| item["uri"].as_str().unwrap()).collect()
}

fn is_done(run: &Value, instance: &str) -> bool {
    run["provider"] == instance && run["state"] != "running"
}

#[tokio::test]
async fn libraries_that_never_end_are_given_up() {
    for (library, code) in [("same", "cursor_repeats"), ("circle", "cursor_repeats"), ("endless", "endless_library")] {
        let (host, _bench) = host("", &format!("settings = {{ library = \"{library}\" }}")).await;
        let failed = |run: &Value| is_done(run, "bad") && run["state"] == "failed";
        let runs = host.until("/api/sync/runs", |runs| runs["data"].as_array().unwrap().iter().any(failed)).await;
        let run = runs["data"].as_array().unwrap().iter().find(|run| failed(run)).unwrap();
        assert_eq!(run["code"], code, "{run}");
        host.stop().await;
    }
}

/// What a client gets that asks for the audio of a track whose source is named by its id.
async fn media(host: &TestApp, source: &str) -> crate::support::Reply {
    host.get(&format!("/api/tracks/{}/media", uri("track", source))).await
}

#[tokio::test]
async fn sources_lead_to_no_file_that_was_not_granted() {
    let bench = Bench::new();
    let base = bench.path("").canonicalize().unwrap();
    let music = base.join("music");
    std::fs::create_dir(&music).unwrap();
    std::fs::write(music.join("a.flac"), "audio").unwrap();
    std::fs::write(base.join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink(base.join("secret"), music.join("link")).unwrap();
    std::os::unix::fs::symlink(&base, music.join("up")).unwrap();
    nix::unistd::mkfifo(&music.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (host, _bench) = host("", &format!("settings = {{ folders = [\"{}\"] }}", music.display())).await;
    let at = |path: &str| format!("file {}/{path}", music.display());
    let good = media(&host, &at("a.flac")).await;
    assert_eq!((good.status.as_u16(), good.text().as_str()), (200, "audio"));
    let secret = format!("file {}/secret", base.display());
    for source in [
        secret.as_str(),
        &at("../secret"),
        &at("link"),
        &at("up/secret"),
        &at("pipe"),
        "file /dev/zero",
        "file /proc/self/environ",
        "file /etc/passwd",
        "file a.flac",
        "file ",
    ] {
        let answer = media(&host, source).await;
        answer.expect_problem(502, "provider_failed");
        assert!(!answer.text().contains("secret\""), "{source}");
    }
    host.stop().await;
}

#[tokio::test]
async fn sources_lead_to_no_address_that_was_not_granted() {
    let (home, away) = (MockServer::start().await, MockServer::start().await);
    let port = away.address().port();
    let redirect = |to: String| ResponseTemplate::new(302).insert_header("location", to);
    Mock::given(path("/a")).respond_with(ResponseTemplate::new(200).set_body_string("audio")).mount(&home).await;
    for (place, to) in [
        ("/away", format!("{}/b", away.uri())),
        ("/name", format!("http://localhost:{port}/b")),
        ("/six", format!("http://[::ffff:127.0.0.1]:{port}/b")),
        ("/number", format!("http://2130706433:{port}/b")),
        ("/file", "file:///etc/passwd".to_owned()),
    ] {
        Mock::given(path(place)).respond_with(redirect(to)).mount(&home).await;
    }
    let (host, _bench) = host("", &format!("settings = {{ server = \"{}\" }}", home.uri())).await;
    let good = media(&host, &format!("http {}/a", home.uri())).await;
    assert_eq!((good.status.as_u16(), good.text().as_str()), (200, "audio"));
    for place in ["/away", "/name", "/six", "/number", "/file"] {
        media(&host, &format!("http {}{place}", home.uri())).await.expect_problem(502, "provider_failed");
    }
    for address in [
        format!("{}/b", away.uri()),
        format!("http://localhost:{port}/b"),
        format!("http://0:{port}/b"),
        "http://169.254.169.254/latest/meta-data".into(),
        "http://example.org/".into(),
        "gopher://127.0.0.1/".into(),
        "file:///etc/passwd".into(),
    ] {
        media(&host, &format!("http {address}")).await.expect_problem(502, "provider_failed");
    }
    assert!(away.received_requests().await.unwrap().is_empty());
    host.stop().await;
}

#[tokio::test]
async fn what_fails_before_the_first_byte_is_a_problem_and_no_cut_answer() {
    let (host, _bench) = host("stream_idle_s = 1\nquarantine = { crashes = 1000 }", "").await;
    for (source, status, code) in [
        ("stream 0:abort", 502, "provider_crashed"),
        ("stream 0:fail", 503, "provider_unavailable"),
        ("stream 0:wait", 504, "provider_timeout"),
        ("stream chunk 65537", 502, "provider_failed"),
    ] {
        host.until("/api/providers/bad", |provider| provider["state"] == "started").await;
        let problem = media(&host, source).await.expect_problem(status, code);
        assert!(!problem["detail"].as_str().unwrap().contains("not running"), "{source}: {problem}");
    }
    let empty = media(&host, "stream 0").await;
    assert_eq!((empty.status.as_u16(), empty.bytes.len()), (200, 0));

    // Once bytes are out the status is, too: all that is left is to end before the end, and never to look whole.
    for source in ["stream 3:fail", "stream 3:abort"] {
        let path = format!("/api/tracks/{}/media", uri("track", source));
        let mut answer = host.request(reqwest::Method::GET, &path).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{source}");
        assert_eq!(&answer.chunk().await.unwrap().unwrap()[..], [0, 1, 2], "{source}");
        assert!(answer.chunk().await.is_err(), "{source}");
    }
    host.stop().await;
}

#[tokio::test]
async fn a_service_that_breaks_off_before_the_first_byte_is_a_problem() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 4096]).await;
            let head = b"HTTP/1.1 200 OK\r\ncontent-type: audio/flac\r\ncontent-length: 5\r\n\r\n";
            let _ = socket.write_all(head).await;
        }
    });
    let (host, _bench) = host("", &format!("settings = {{ server = \"http://{address}\" }}")).await;
    media(&host, &format!("http http://{address}/a")).await.expect_problem(502, "provider_failed");
    host.stop().await;
    service.abort();
}
