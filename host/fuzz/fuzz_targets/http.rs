//! The whole host behind its layers, asked by an admin: no request is answered by a fault of the host's own, and every
//! refusal is a problem document, or within `/ui` a page. The input is a request: method and path, headers, an empty line,
//! a body.
#![no_main]

use std::{path::Path, sync::LazyLock};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri},
};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt as _;
use zotify_host::{
    App, AppState, accounts,
    auth::{Credential, Principal, Role, Scopes},
    config::Config,
    db::{items, users},
    mirror::Row,
    server,
};
use zotify_plugin_api::{Item, Kind, Track, Uri as ItemUri};

static HOST: LazyLock<Host> = LazyLock::new(Host::start);

struct Host {
    runtime: Runtime,
    service: Router,
    admin: Principal,
    _folder: tempfile::TempDir,
}

impl Host {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (app, admin) = runtime.block_on(start(folder.path()));
        Self { runtime, service: server::service(app), admin, _folder: folder }
    }
}

async fn start(folder: &Path) -> (AppState, Principal) {
    let app = App::start(Config::parse("", folder).unwrap()).await.unwrap().app;
    let user = users::list(app.db.read()).await.unwrap().remove(0);
    let mut tx = app.db.write().await.unwrap();
    let account = accounts::ensure_shared(&mut tx, "local").await.unwrap().id;
    let uri = |n: u32| ItemUri::new("local", Kind::Track, &n.to_string()).unwrap();
    let rows: Vec<_> =
        (0..5).filter_map(|n| Row::new(Item::Track(Track::new(uri(n), format!("Song {n}"))), 0)).collect();
    items::upsert(&mut tx, &account, "run", true, &rows).await.unwrap();
    tx.commit().await.unwrap();
    let admin = Principal {
        user_id: user.id,
        name: user.name,
        role: Role::Admin,
        scopes: Scopes::of_role(Role::Admin),
        credential: Credential::Session { id: "session".into(), signed_in_at: i64::MAX },
        expires_at: None,
    };
    (app, admin)
}

fuzz_target!(|data: &[u8]| {
    if let Some(request) = request(data) {
        HOST.runtime.block_on(check(request));
    }
});

/// The request that an input describes; none where no HTTP server would pass it on.
fn request(data: &[u8]) -> Option<Request<Body>> {
    let (head, body) = match data.windows(2).position(|two| two == b"\n\n") {
        Some(at) => (&data[..at], data[at + 2..].to_vec()),
        None => (data, Vec::new()),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut first = lines.next()?.splitn(2, |byte| *byte == b' ');
    let method = Method::from_bytes(first.next()?).ok()?;
    let uri = Uri::try_from(first.next()?).ok().filter(|uri| uri.path().starts_with('/'))?;
    // Passwords are hashed slowly on purpose.
    let slow = ["/api/auth", "/ui/sign-in", "/ui/password"];
    if method == Method::POST && slow.iter().any(|path| uri.path().starts_with(path)) {
        return None;
    }
    let mut request = Request::new(Body::from(body));
    *request.headers_mut() = headers(lines);
    (*request.method_mut(), *request.uri_mut()) = (method, uri);
    request.extensions_mut().insert(HOST.admin.clone());
    Some(request)
}

fn headers<'a>(lines: impl Iterator<Item = &'a [u8]>) -> HeaderMap {
    let header = |line: &[u8]| {
        let at = line.iter().position(|byte| *byte == b':')?;
        let value = HeaderValue::from_bytes(line[at + 1..].trim_ascii()).ok()?;
        Some((HeaderName::from_bytes(&line[..at]).ok()?, value))
    };
    lines.filter_map(header).collect()
}

async fn check(request: Request<Body>) {
    let asked = format!("{} {}", request.method(), request.uri());
    let is_head = request.method() == Method::HEAD;
    let is_page = request.uri().path() == "/ui" || request.uri().path().starts_with("/ui/");
    let response = HOST.service.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, 64 << 20).await.expect("a body that ends");
    assert!(parts.headers.contains_key("x-request-id"), "{asked}");
    let busy = parts.status == StatusCode::SERVICE_UNAVAILABLE;
    assert!(!parts.status.is_server_error() || busy, "{asked}: {}", String::from_utf8_lossy(&bytes));
    let kind = parts.headers.get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    if is_head || parts.headers.contains_key("content-encoding") {
        return;
    }
    let json = || serde_json::from_slice::<serde_json::Value>(&bytes).unwrap_or_else(|e| panic!("{asked}: {e}"));
    if is_page && kind.starts_with("text/html") {
        let page = String::from_utf8_lossy(&bytes);
        assert!(page.trim_start().starts_with('<') && page.trim_end().ends_with("</html>"), "{asked}: {page}");
    } else if parts.status.is_client_error() || busy {
        assert_eq!(kind, "application/problem+json", "{asked}: {}", parts.status);
        let problem = json();
        assert_eq!(problem["status"], parts.status.as_u16(), "{asked}");
        assert!(problem["code"].is_string() && problem["detail"].is_string(), "{asked}");
    } else if kind == "application/json" {
        json();
    }
}
