//! Who really asks: behind a trusted proxy, what it says in `X-Forwarded-*`; else the connection's own address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::{
    extract::{ConnectInfo, FromRequestParts, Request, State},
    http::{HeaderMap, request::Parts},
    middleware::Next,
    response::Response,
};

use crate::{AppState, config::Config};

/// The longest path prefix that is taken from a proxy.
const MAX_PREFIX: usize = 128;

/// What is known of the caller's connection.
#[derive(Clone, Debug)]
pub struct Client {
    /// The caller's address.
    pub ip: IpAddr,
    /// The path under which the server is reached, such as `/zotify`; empty at the root.
    pub prefix: String,
}

/// The layer: adds a [`Client`] to the request.
pub async fn layer(State(app): State<AppState>, mut request: Request, next: Next) -> Response {
    // In-process tests have no connection.
    let peer = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |info| info.0.ip().to_canonical());
    let client = identify(&app.config, peer, request.headers());
    request.extensions_mut().insert(client);
    next.run(request).await
}

fn identify(config: &Config, peer: IpAddr, headers: &HeaderMap) -> Client {
    let trusted = |ip: IpAddr| config.server.trusts(ip);
    let configured = config.server.public_url.as_ref().map(|url| url.path().trim_end_matches('/').to_owned());
    if !trusted(peer) {
        return Client { ip: peer, prefix: configured.unwrap_or_default() };
    }
    // The nearest address that is not a proxy of ours; everything before it may be made up.
    let ip = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .filter_map(|address| address.trim().parse::<IpAddr>().ok())
        .rfind(|ip| !trusted(*ip))
        .unwrap_or(peer);
    let prefix = configured.or_else(|| forwarded_prefix(headers)).unwrap_or_default();
    Client { ip, prefix }
}

fn forwarded_prefix(headers: &HeaderMap) -> Option<String> {
    let prefix = headers.get("x-forwarded-prefix")?.to_str().ok()?.trim_end_matches('/');
    let sane = prefix.len() <= MAX_PREFIX
        && prefix.starts_with('/')
        && !prefix.starts_with("//")
        && prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-_.~".contains(&b));
    sane.then(|| prefix.to_owned())
}

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let unknown = || Self { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), prefix: String::new() };
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(unknown))
    }
}
