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
    /// Whether the caller uses HTTPS, as the public URL or a trusted proxy says.
    pub https: bool,
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

pub(super) fn identify(config: &Config, peer: IpAddr, headers: &HeaderMap) -> Client {
    let trusted = |ip: IpAddr| config.server.trusts(ip);
    let configured = config.server.public_url.as_ref().map(|url| url.path().trim_end_matches('/').to_owned());
    let public = config.server.public_url.as_ref().is_some_and(|url| url.scheme() == "https");
    if !trusted(peer) {
        return Client { ip: peer, prefix: configured.unwrap_or_default(), https: public };
    }
    let https = public || headers.get("x-forwarded-proto").is_some_and(|scheme| scheme.as_bytes() == b"https");
    let ip = forwarded_for(headers, trusted).unwrap_or(peer);
    let prefix = configured.or_else(|| forwarded_prefix(headers)).unwrap_or_default();
    Client { ip, prefix, https }
}

/// The nearest address that is not a proxy of ours. Everything before it may be made up, and so may what stands before
/// something that is no address: that is not looked past.
fn forwarded_for(headers: &HeaderMap, trusted: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let lists = headers.get_all("x-forwarded-for").iter().map(|value| value.to_str().unwrap_or_default());
    let hops: Vec<_> = lists.flat_map(|list| list.split(',')).map(address).collect();
    hops.into_iter().rev().map_while(|ip| ip).find(|ip| !trusted(*ip))
}

/// An address as proxies write it: some add a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let ip = text.parse().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    ip.ok().map(|ip| ip.to_canonical())
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
        let unknown = || Self { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), prefix: String::new(), https: false };
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(unknown))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn found(lists: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for list in lists {
            headers.append("x-forwarded-for", HeaderValue::from_static(list));
        }
        let trusted = |ip: IpAddr| ip.to_string().starts_with("10.");
        forwarded_for(&headers, trusted).map(|ip| ip.to_string())
    }

    #[test]
    fn the_nearest_stranger_is_the_client() {
        for (lists, client) in [
            (&["192.0.2.1"][..], Some("192.0.2.1")),
            (&["198.51.100.9, 192.0.2.1, 10.0.0.2"], Some("192.0.2.1")),
            (&["198.51.100.9", "192.0.2.1"], Some("192.0.2.1")),
            (&["192.0.2.1:4711"], Some("192.0.2.1")),
            (&["[2001:db8::1]:4711"], Some("2001:db8::1")),
            (&["::ffff:192.0.2.1"], Some("192.0.2.1")),
            (&["10.0.0.3, 10.0.0.2"], None),
            (&[], None),
        ] {
            assert_eq!(found(lists).as_deref(), client, "{lists:?}");
        }
    }

    #[test]
    fn nothing_before_nonsense_is_believed() {
        for lists in [&["198.51.100.9, unknown"][..], &["198.51.100.9, _hidden, 10.0.0.2"], &["198.51.100.9,"]] {
            assert_eq!(found(lists), None, "{lists:?}");
        }
    }
}
