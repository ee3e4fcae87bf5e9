//! The server: each request is written down, hit by the rules that fit it, and answered.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, Uri, request::Parts},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt as _;

use crate::{
    call::Reply,
    change, contract,
    exchange::Exchange,
    journal::Entry,
    routes::pairs,
    rules::{Armed, Effect, Forbidden, Rule, edit},
    state::State,
};

/// What all requests share.
pub(crate) struct Service {
    state: Mutex<State>,
}

/// The connection is closed without an answer.
#[derive(Debug)]
struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dropped on purpose")
    }
}

impl std::error::Error for Dropped {}

impl Service {
    pub(crate) fn new(state: State) -> Self {
        Self { state: Mutex::new(state) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a rule. An error says what is wrong with its pattern.
    pub(crate) fn rule(&self, rule: Rule) -> Result<(), String> {
        let armed = Armed::new(rule).map_err(|error| error.to_string())?;
        self.state().rules.push(armed);
        Ok(())
    }

    /// Writes a request down, and collects what the rules do to it.
    fn arrived(&self, parts: &Parts, body: &[u8]) -> (u64, Vec<Effect>) {
        let mut state = self.state();
        let path_and_query = parts.uri.path_and_query().map_or("/", |p| p.as_str());
        let page = page_of(parts);
        let armed = state.rules.iter_mut();
        let effects: Vec<_> =
            armed.filter_map(|rule| rule.hit(parts.method.as_str(), path_and_query, page)).flatten().collect();
        let entry = entry(&state, parts, body, !effects.is_empty());
        (state.journal.write(entry), effects)
    }
}

fn header<'a>(parts: &'a Parts, name: &str) -> &'a str {
    parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Which page of a list is asked for, from 1.
fn page_of(parts: &Parts) -> usize {
    let query = pairs(parts.uri.query().unwrap_or_default());
    let number = |name: &str| query.iter().find(|(key, _)| key == name).and_then(|(_, n)| n.parse::<usize>().ok());
    number("offset").unwrap_or_default() / number("limit").unwrap_or(20).max(1) + 1
}

fn entry(state: &State, parts: &Parts, body: &[u8], hit: bool) -> Entry {
    let path = parts.uri.path();
    let operation = path.strip_prefix("/v1").and_then(|path| contract::operation(parts.method.as_str(), path));
    let own = ["/authorize", "/api/token"].contains(&path) || path.starts_with("/image/");
    let own =
        own.then(|| format!("{} {}", parts.method, if path.starts_with("/image/") { "/image/{id}" } else { path }));
    let token = header(parts, "authorization").trim_start_matches("Bearer ");
    Entry {
        n: 0,
        at_ms: state.now_ms(),
        method: parts.method.to_string(),
        path: path.to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        operation: operation.map(|o| format!("{} {}", o.method, o.path)).or(own),
        deprecated: operation.is_some_and(|o| o.deprecated),
        user: state.access.get(token).map(|access| state.users[access.user].id.clone()),
        content_type: header(parts, "content-type").to_owned(),
        body: String::from_utf8_lossy(&body[..body.len().min(64 << 10)]).into_owned(),
        status: 0,
        hit,
    }
}

/// Accepts connections until the task is aborted.
pub(crate) async fn serve(listener: TcpListener, service: Arc<Service>, router: Router) -> Infallible {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                tokio::spawn(connection(stream, Arc::clone(&service), router.clone()));
            }
            // Out of file descriptors, for example: others may be closed meanwhile.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn connection(stream: TcpStream, service: Arc<Service>, router: Router) {
    let handle = service_fn(move |request| {
        let (service, router) = (Arc::clone(&service), router.clone());
        async move { answer(&service, router, request).await }
    });
    // A client that goes away is no error here.
    let _ = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), handle).await;
}

async fn answer(service: &Service, router: Router, request: Request<Incoming>) -> Result<Response, Dropped> {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(Body::new(body), 1 << 20).await else {
        return Ok(Reply::refused(413, "Too large").into_response());
    };
    if parts.uri.path().starts_with("/_control") {
        return Ok(work(router, parts, body).await);
    }
    let (n, effects) = service.arrived(&parts, &body);
    let exchange = Exchange::begin(&parts, &body, !effects.is_empty());
    let response = played(service, router, parts, body, &effects).await;
    if let Ok(response) = &response {
        service.state().journal.answered(n, response.status().as_u16());
    }
    match exchange.filter(|_| service.state().exchanges.is_some()) {
        Some(exchange) => recorded(service, exchange, response).await,
        None => response,
    }
}

/// Does what a request asks for, with the effects of rules.
async fn played(
    service: &Service,
    router: Router,
    mut parts: Parts,
    body: Bytes,
    effects: &[Effect],
) -> Result<Response, Dropped> {
    for effect in effects {
        before(service, effect, &mut parts).await?;
    }
    let old_snapshot = old_snapshot(service, parts.uri.path());
    let canned = effects.iter().find_map(canned);
    let mut response = match canned {
        Some(reply) => reply.into_response(),
        None => work(router, parts, body).await,
    };
    for effect in effects {
        response = after(response, effect, old_snapshot.as_deref()).await?;
    }
    Ok(response)
}

/// Keeps a request with its answer. That of a rule stays as it is, since it may be made to break off.
async fn recorded(
    service: &Service,
    mut exchange: Exchange,
    response: Result<Response, Dropped>,
) -> Result<Response, Dropped> {
    let response = match response {
        Ok(response) if !exchange.hit => {
            let (status, headers, bytes) = read(response).await;
            let content_type = headers.get("content-type").and_then(|value| value.to_str().ok()).map(str::to_owned);
            (exchange.status, exchange.content_type, exchange.answer) = (status.as_u16(), content_type, bytes.clone());
            Ok((status, headers, bytes).into_response())
        }
        response => response,
    };
    if let Some(exchanges) = &mut service.state().exchanges {
        exchanges.push(exchange);
    }
    response
}

async fn work(router: Router, parts: Parts, body: Bytes) -> Response {
    match router.oneshot(Request::from_parts(parts, Body::from(body))).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// The snapshot that a playlist had before its current one.
fn old_snapshot(service: &Service, path: &str) -> Option<String> {
    let id = path.strip_prefix("/v1/playlists/")?.split('/').next()?;
    let state = service.state();
    let versions = &state.playlists.get(id)?.versions;
    versions.iter().rev().nth(1).map(|(snapshot, _)| snapshot.clone())
}

async fn before(service: &Service, effect: &Effect, parts: &mut Parts) -> Result<(), Dropped> {
    match effect {
        Effect::Refuse => return Err(Dropped),
        Effect::Latency { ms } => tokio::time::sleep(Duration::from_millis(*ms)).await,
        // Whoever wrote the rule sees in the log that nothing changed.
        Effect::Change(change) => _ = change::apply(&mut service.state(), change),
        Effect::EchoLimit { limit } => {
            let mut query = pairs(parts.uri.query().unwrap_or_default());
            query.retain(|(name, _)| name != "limit");
            query.push(("limit".to_owned(), limit.to_string()));
            let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
            if let Ok(uri) = format!("{}?{query}", parts.uri.path()).parse::<Uri>() {
                parts.uri = uri;
            }
        }
        _ => {}
    }
    Ok(())
}

/// The answer of an effect that comes instead of the work.
fn canned(effect: &Effect) -> Option<Reply> {
    let plain = "text/plain; charset=utf-8";
    Some(match effect {
        Effect::Reply { status, headers, body } => {
            let reply = Reply {
                status: *status,
                headers: Vec::new(),
                body: crate::call::Body::Bytes(plain, body.clone().into_bytes()),
            };
            headers.iter().fold(reply, |reply, (name, value)| reply.with(name, value))
        }
        Effect::TooManyRequests { retry_after } => {
            let reply = Reply::refused(429, "API rate limit exceeded");
            retry_after.iter().fold(reply, |reply, value| reply.with("retry-after", value))
        }
        Effect::QuotaExceeded { retry_after_s } => {
            let error = json!({"status": 429, "message": "Too many requests", "reason": "QUOTA_EXCEEDED"});
            Reply::json(429, json!({"error": error})).with("retry-after", &retry_after_s.to_string())
        }
        Effect::TokenMissing => Reply::refused(401, "Access token missing"),
        Effect::Forbidden { why } => match why {
            Forbidden::Premium => Reply::text(
                403,
                plain,
                "Active premium subscription required for the owner of the app. If you recently purchased one, please wait.",
            ),
            Forbidden::NotRegistered => Reply::text(403, plain, "User not registered in the Developer Dashboard"),
            Forbidden::Scope => Reply::refused(403, "Insufficient client scope"),
            Forbidden::NotOwner => Reply::refused(403, "You cannot edit a playlist you don't own"),
            Forbidden::Removed => Reply::empty(403),
        },
        Effect::Html { status } => Reply::text(
            *status,
            "text/html",
            "<html><head><title>Error</title></head><body><h1>Error: Server Error</h1></body></html>",
        ),
        Effect::InvalidGrant => {
            Reply::json(400, json!({"error": "invalid_grant", "error_description": "Refresh token revoked"}))
        }
        _ => return None,
    })
}

async fn after(response: Response, effect: &Effect, old_snapshot: Option<&str>) -> Result<Response, Dropped> {
    match effect {
        Effect::Drop => Err(Dropped),
        Effect::Truncate { bytes, break_connection } => Ok(truncated(response, *bytes, *break_connection).await),
        Effect::NullRows { .. }
        | Effect::NullItems { .. }
        | Effect::GhostEpisodes { .. }
        | Effect::BothKeys
        | Effect::Next { .. }
        | Effect::Total { .. }
        | Effect::Set { .. }
        | Effect::Remove { .. }
        | Effect::OldSnapshot
        | Effect::UnknownSnapshot => Ok(edited(response, effect, old_snapshot).await),
        _ => Ok(response),
    }
}

async fn read(response: Response) -> (StatusCode, axum::http::HeaderMap, Bytes) {
    let (mut parts, body) = response.into_parts();
    parts.headers.remove("content-length");
    (parts.status, parts.headers, axum::body::to_bytes(body, 16 << 20).await.unwrap_or_default())
}

async fn edited(response: Response, effect: &Effect, old_snapshot: Option<&str>) -> Response {
    let (status, headers, bytes) = read(response).await;
    let bytes = match serde_json::from_slice(&bytes) {
        Ok(mut value) => {
            edit(&mut value, effect, old_snapshot);
            Bytes::from(value.to_string())
        }
        Err(_) => bytes,
    };
    (status, headers, bytes).into_response()
}

async fn truncated(response: Response, bytes: usize, break_connection: bool) -> Response {
    let (status, headers, whole) = read(response).await;
    let part = whole.slice(..bytes.min(whole.len()));
    if !break_connection {
        return (status, headers, part).into_response();
    }
    let parts = stream::iter([Ok(part)]).chain(stream::once(async {
        // The first part is on its way before the connection breaks.
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(Dropped)
    }));
    let mut response = (status, headers, Body::from_stream(parts)).into_response();
    response.headers_mut().insert("content-length", whole.len().into());
    response
}
