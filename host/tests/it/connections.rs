//! Clients that misbehave on the wire: slow, silent, broken, greedy. The host lets go of them and goes on.

use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    library::{all, music, text},
    support::{PATIENCE, TestApp},
};

/// Limits that a test does not wait long for.
const IMPATIENT: &str = "header_timeout_s = 1\nidle_timeout_s = 2\nwrite_timeout_s = 1";

/// A connection without a client's manners.
struct Wire(TcpStream);

impl Wire {
    async fn to(host: &TestApp) -> Self {
        Self(TcpStream::connect(host.base.trim_start_matches("http://")).await.unwrap())
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Everything until the host lets go, which it must.
    async fn rest(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut part = vec![0; 64 << 10];
        let read = async {
            // A connection that is reset has ended too.
            while let Ok(size @ 1..) = self.0.read(&mut part).await {
                all.extend_from_slice(&part[..size]);
            }
        };
        assert!(tokio::time::timeout(PATIENCE, read).await.is_ok(), "the host holds on to the connection");
        all
    }

    /// The head of an answer.
    async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = tokio::time::timeout(PATIENCE, self.0.read_u8()).await.expect("an answer");
            head.push(byte.unwrap_or_else(|error| panic!("{error} after {}", String::from_utf8_lossy(&head))));
        }
        String::from_utf8(head).unwrap()
    }
}

/// What a host answers to bytes after which the client asks for nothing more.
async fn answer(host: &TestApp, bytes: impl AsRef<[u8]>) -> String {
    let mut wire = Wire::to(host).await;
    // The host may refuse before all is sent.
    let _ = wire.0.write_all(bytes.as_ref()).await;
    String::from_utf8_lossy(&wire.rest().await).into_owned()
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

async fn goes_on(host: &TestApp) {
    assert_eq!(host.get("/ping").await.text(), "pong");
}

#[tokio::test]
async fn slow_and_silent_clients_are_let_go() {
    let host = TestApp::configured(IMPATIENT, "").await;
    let mut silent = Wire::to(&host).await;
    let mut idle = Wire::to(&host).await;
    idle.send("GET /ping HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut slow = Wire::to(&host).await;
    let dripping = async {
        let mut head = "GET /ping HTTP/1.1\r\nHost: x\r\nX-Drip: ".bytes().chain(std::iter::repeat(b'x'));
        // Each byte comes well within the limit; the head as a whole does not.
        while slow.0.write_all(&[head.next().unwrap()]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, dripping).await.is_ok(), "a dripping head keeps the connection");
    assert!(silent.rest().await.is_empty());
    assert!(String::from_utf8_lossy(&idle.rest().await).ends_with("pong"));
    goes_on(&host).await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_a_timeout() {
    let host = TestApp::configured(IMPATIENT, "").await;
    for path in ["/api/auth/login", "/api/auth/refresh"] {
        let head = "Host: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"username\":";
        let late = answer(&host, format!("POST {path} HTTP/1.1\r\n{head}")).await;
        assert_eq!(status(&late), 408, "{late}");
        assert!(late.contains("application/problem+json") && late.contains("\"body_timeout\""), "{late}");
    }
    goes_on(&host).await;
}

/// A host with a track whose audio fits into no buffer.
async fn with_large_audio(server: &str) -> (TestApp, String, tempfile::TempDir) {
    let music = music();
    let data = 96_u32 << 20;
    let mut wav = b"RIFF".to_vec();
    wav.extend((data + 36).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x02\0\x44\xac\0\0\x10\xb1\x02\0\x04\0\x10\0data");
    wav.extend(data.to_le_bytes());
    let file = music.path().join("Endless.wav");
    std::fs::write(&file, wav).unwrap();
    std::fs::File::options().write(true).open(&file).unwrap().set_len(u64::from(data) + 44).unwrap();
    let folder = music.path().display();
    let providers = format!("[providers.local]\nplugin = \"local\"\nsettings = {{ folders = [\"{folder}\"] }}");
    let host = TestApp::configured(server, &providers).await.admin().await;
    host.until("/api/sync/runs", |runs| runs["data"][0]["state"] == "applied").await;
    let tracks = all(&host, "tracks").await;
    let track = tracks.iter().find(|track| text(track, "title") == "Endless").unwrap();
    let link = host.post(&format!("/api/tracks/{}/media-url", text(track, "uri")), &json!({})).await.expect(200);
    let url = text(&link, "url").to_owned();
    (host, url, music)
}

#[tokio::test]
async fn who_leaves_an_answer_unread_is_cut_off() {
    let (host, url, _music) = with_large_audio(IMPATIENT).await;
    let mut wire = Wire::to(&host).await;
    wire.send(format!("GET {url} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    assert_eq!(status(&wire.head().await), 200);
    // What the client's system has taken in by itself can still be read. Nothing is read until the host has given up:
    // another answer, to a client that reads as slowly as it may, is whole.
    let whole = host.get(&url).await;
    assert_eq!(whole.bytes.len(), (96 << 20) + 44);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let open = || procfs_sockets(&wire);
    let started = std::time::Instant::now();
    while open() {
        assert!(started.elapsed() < PATIENCE, "the host waits for the client for ever");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(wire.rest().await.len() < 96 << 20, "the answer went on");
    goes_on(&host).await;
}

/// Whether the other end of a connection is still open, as its system sees it.
fn procfs_sockets(wire: &Wire) -> bool {
    let (ours, theirs) = (wire.0.local_addr().unwrap().port(), wire.0.peer_addr().unwrap().port());
    let wanted = (format!("0100007F:{theirs:04X}"), format!("0100007F:{ours:04X}"));
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    table.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        let ends = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        // 01 is an established connection.
        ends == (wanted.0.as_str(), wanted.1.as_str()) && words.next() == Some("01")
    })
}

#[tokio::test]
async fn what_is_no_http_is_refused_and_the_host_goes_on() {
    let host = TestApp::configured(IMPATIENT, "").await;
    let headers: String = (0..100_000).map(|i| format!("X-{i}: x\r\n")).collect();
    let with = |rest: &str| format!("GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{rest}\r\n").into_bytes();
    let get = |target: &[u8]| [b"GET ", target, b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"].concat();
    let smuggle = "POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n\
                   0\r\n\r\nGET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    for (what, bytes, wanted) in [
        ("garbage", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03TLS here".to_vec(), &[400][..]),
        ("no version", b"GET /ping\r\n\r\n".to_vec(), &[400]),
        ("a version to come", b"GET /ping HTTP/7.3\r\nHost: x\r\n\r\n".to_vec(), &[400]),
        ("many headers", with(&headers), &[431]),
        ("a long header", with(&format!("X-Long: {}\r\n", "x".repeat(1 << 20))), &[431]),
        ("a long target", get(&[b"/".as_slice(), &[b'x'; 1 << 20]].concat()), &[414, 431]),
        ("a NUL in a header", with("X-Nul: a\0b\r\n"), &[400]),
        ("a header over two lines", with("X-Fold: a\r\n b\r\n"), &[400]),
        ("a space before the colon", with("X-Space : a\r\n"), &[400]),
        ("two lengths", with("Content-Length: 1\r\nContent-Length: 2\r\n"), &[400]),
        ("a length that is none", with("Content-Length: -1\r\n"), &[400]),
        ("a length beyond all", with("Content-Length: 99999999999999999999999\r\n"), &[400]),
        ("an unknown encoding", with("Transfer-Encoding: gzip\r\n"), &[400]),
        ("a NUL in the path", get(b"/api/tracks/\0/media"), &[400]),
        ("bytes in the path", get(b"/ping\xff"), &[400, 404]),
        ("bytes in the query", get(b"/api/search?q=\xff\xfe"), &[400, 401]),
        ("an encoded NUL in the path", get(b"/api/jobs/%00"), &[401]),
        ("a path of dots", get(b"/docs/../../../../etc/passwd"), &[404]),
        ("an encoded path of dots", get(b"/docs/%2e%2e%2f%2e%2e%2fetc%2fpasswd"), &[404]),
        ("half a percent sign", get(b"/docs/%"), &[400, 404]),
        ("the absolute form", get(b"http://elsewhere.example/ping"), &[200]),
        (
            "a tunnel",
            b"CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(),
            &[404, 405],
        ),
        ("the asterisk form", b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(), &[404, 405]),
        ("length and encoding", smuggle.as_bytes().to_vec(), &[400, 415]),
        (
            "a broken chunk",
            b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
            Transfer-Encoding: chunked\r\n\r\nZZ\r\n"
                .to_vec(),
            &[400],
        ),
        (
            "an endless chunk size",
            [
                b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
            Transfer-Encoding: chunked\r\n\r\n"
                    .to_vec(),
                vec![b'1'; 100_000],
            ]
            .concat(),
            &[400],
        ),
    ] {
        let said = answer(&host, &bytes).await;
        assert!(wanted.contains(&status(&said)), "{what}: {said:.300}");
        let ours = said.contains("x-request-id");
        assert!(!ours || status(&said) == 200 || said.contains("application/problem+json"), "{what}: {said:.300}");
        goes_on(&host).await;
    }
}

#[tokio::test]
async fn requests_may_follow_each_other_without_waiting() {
    let host = TestApp::configured(IMPATIENT, "").await;
    let requests = "GET /ping HTTP/1.1\r\nHost: x\r\n\r\n".repeat(500);
    let last = "GET /nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let mut wire = Wire::to(&host).await;
    wire.send(requests + last).await;
    let answers = String::from_utf8(wire.rest().await).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 500);
    assert!(answers.rsplit("HTTP/1.1 ").next().unwrap().starts_with("404"), "the last one is answered last");
    // A client that asks on and on and never reads is let go.
    let mut deaf = Wire::to(&host).await;
    let asking = async {
        while deaf.0.write_all(b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n").await.is_ok() {}
    };
    assert!(tokio::time::timeout(PATIENCE, asking).await.is_ok(), "a client that never reads is served for ever");
    goes_on(&host).await;
}

#[tokio::test]
async fn a_client_that_leaves_half_way_is_forgotten() {
    let host = TestApp::configured(IMPATIENT, "").await;
    for request in ["", "GE", "GET /ping HTTP/1.1\r\nHost: x\r\n", "GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let mut wire = Wire::to(&host).await;
        wire.send(request).await;
        wire.0.shutdown().await.unwrap();
        wire.rest().await;
        // And one that leaves without a word.
        let mut wire = Wire::to(&host).await;
        wire.send(request).await;
        drop(wire);
    }
    goes_on(&host).await;
}

#[tokio::test]
async fn an_address_has_its_share_of_connections() {
    let limits = "max_connections_per_address = 4";
    let host = TestApp::configured(limits, "").await;
    let mut kept = Vec::new();
    for _ in 0..4 {
        let mut wire = Wire::to(&host).await;
        wire.send("GET /ping HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert_eq!(status(&wire.head().await), 200);
        kept.push(wire);
    }
    assert!(Wire::to(&host).await.rest().await.is_empty(), "a fifth one is closed");
    drop(kept);
    let started = std::time::Instant::now();
    while status(&answer(&host, "GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await) != 200 {
        assert!(started.elapsed() < PATIENCE, "the places of those who left stay taken");
    }
    let behind = TestApp::configured(&format!("{limits}\ntrusted_proxies = [\"127.0.0.1/32\"]"), "").await;
    let mut kept = Vec::new();
    for _ in 0..9 {
        let mut wire = Wire::to(&behind).await;
        wire.send("GET /ping HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert_eq!(status(&wire.head().await), 200, "a trusted proxy has no limit of its own");
        kept.push(wire);
    }
}

#[tokio::test]
async fn over_the_limit_connections_wait_for_their_turn() {
    let host = TestApp::configured(&format!("{IMPATIENT}\nmax_connections = 16"), "").await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(Wire::to(&host).await);
    }
    goes_on(&host).await;
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `GET http://x/`, in the words of HPACK.
const REQUEST: [u8; 6] = [0x82, 0x84, 0x86, 0x41, 0x01, b'x'];
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[tokio::test]
async fn http2_is_spoken_and_its_abuse_ends() {
    let host = TestApp::configured(IMPATIENT, "").await;
    let client = Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let reply = client.get(format!("{}/ping", host.base)).send().await.unwrap();
    assert_eq!((reply.version(), reply.status().as_u16()), (reqwest::Version::HTTP_2, 200));

    // Requests that are taken back as soon as they are made.
    let mut reset = Wire::to(&host).await;
    reset.send([HTTP2, &frame(4, 0, 0, &[])].concat()).await;
    for stream in (1..40_000_u32).step_by(2) {
        let pair = [frame(1, 5, stream, &REQUEST), frame(3, 0, stream, &8_u32.to_be_bytes())].concat();
        if reset.0.write_all(&pair).await.is_err() {
            break;
        }
    }
    reset.rest().await;
    // Headers that go on and on.
    let mut endless = Wire::to(&host).await;
    endless.send([HTTP2, &frame(4, 0, 0, &[]), &frame(1, 1, 1, &REQUEST)].concat()).await;
    let header = [&[0_u8, 1, b'x', 127, 0x81, 0x7f][..], &[b'x'; 256]].concat();
    let sending = async { while endless.0.write_all(&frame(9, 0, 1, &header)).await.is_ok() {} };
    assert!(tokio::time::timeout(PATIENCE, sending).await.is_ok(), "headers without an end are taken");
    // Nothing after the settings.
    let mut silent = Wire::to(&host).await;
    silent.send([HTTP2, &frame(4, 0, 0, &[])].concat()).await;
    silent.rest().await;
    goes_on(&host).await;
}

#[tokio::test]
async fn http2_streams_that_are_not_read_end() {
    let (host, url, _music) = with_large_audio(IMPATIENT).await;
    let mut wire = Wire::to(&host).await;
    let path = url.as_bytes();
    let length = u8::try_from(path.len() - 127).map(|rest| vec![127, rest]).unwrap_or_else(|_| {
        let rest = path.len() - 127;
        vec![127, u8::try_from(rest % 128).unwrap() | 128, u8::try_from(rest / 128).unwrap()]
    });
    let headers = [&[0x82, 0x86, 0x41, 0x01, b'x', 0x04][..], &length, path].concat();
    // The window of the stream is what a client may be sent without asking for more; it never does.
    wire.send([HTTP2, &frame(4, 0, 0, &[]), &frame(1, 5, 1, &headers)].concat()).await;
    assert!(wire.rest().await.len() < 1 << 20, "more was sent than was asked for");
    goes_on(&host).await;
}

#[tokio::test]
async fn json_bodies_are_objects_and_their_faults_are_named() {
    let host = TestApp::start().await.admin().await;
    let deep = "[".repeat(100_000);
    let send = async |path: &str, kind: &str, body: &str| {
        host.send(host.request(Method::POST, path).header("content-type", kind.to_owned()).body(body.to_owned())).await
    };
    for (kind, body, code, status) in [
        ("application/json", "[]", "invalid_body", 422),
        ("application/json", "[[\"local:track:x\"]]", "invalid_body", 422),
        ("application/json", "\"x\"", "invalid_body", 422),
        ("application/json", "", "invalid_json", 400),
        ("application/json", "[", "invalid_json", 400),
        ("application/json", "{\"uris\": [\"x\"]} {}", "invalid_json", 400),
        ("application/json", "{\"uris\": [], \"uris\": []}", "invalid_body", 422),
        ("application/json", "{\"uri\": []}", "invalid_body", 422),
        ("application/json", deep.as_str(), "invalid_json", 400),
        ("application/jsonp", "{}", "unsupported_media_type", 415),
        ("multipart/form-data", "{}", "unsupported_media_type", 415),
    ] {
        send("/api/tracks/batch", kind, body).await.expect_problem(status, code);
    }
    for kind in ["application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.zotify+json"] {
        let reply = send("/api/tracks/batch", kind, "{\"uris\": [\"local:track:x\"]}").await;
        reply.expect(200);
    }
    send("/api/sync", "application/json", "[]").await.expect_problem(422, "invalid_body");
    send("/api/sync", "application/json", " null ").await.expect(202);
    let problem: Value =
        host.get("/api/tracks/local:track:x?includ=copies").await.expect_problem(400, "unknown_parameter");
    assert!(text(&problem, "detail").contains("has no parameter includ"), "{problem}");
}
