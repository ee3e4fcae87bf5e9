//! `X-Forwarded-*`: believed of trusted proxies only, and never past the nearest stranger. The input is the last byte of
//! the peer's address, and values of headers, one in a line.
#![no_main]

mod support;

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::LazyLock,
};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use zotify_host::{config::Config, middleware::fuzzing::identify};

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let toml = "server.trusted_proxies = ['10.0.0.0/8', 'fd00::/8']";
    Config::parse(toml, Path::new("/srv")).unwrap()
});

fuzz_target!(|data: &[u8]| {
    let (peer, rest) = support::choice(data);
    let peer = IpAddr::from([if peer & 1 == 0 { 10 } else { 192 }, 0, 2, peer]);
    let mut headers = HeaderMap::new();
    for line in support::lines(rest) {
        let (name, value) = match line.split_first() {
            Some((b'/', _)) => ("x-forwarded-prefix", line),
            Some((b'=', rest)) => ("forwarded", rest),
            _ => ("x-forwarded-for", line),
        };
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    let client = identify(&CONFIG, peer, &headers);
    assert_eq!(client.ip, client.ip.to_canonical());
    let sane = |b: u8| b.is_ascii_alphanumeric() || b"/-_.~".contains(&b);
    assert!(client.prefix.len() <= 128 && client.prefix.bytes().all(sane), "{}", client.prefix);
    assert!(client.prefix.is_empty() || (client.prefix.starts_with('/') && !client.prefix.starts_with("//")));
    assert!(!client.prefix.ends_with('/'), "paths are put behind it");
    if !CONFIG.server.trusts(peer) {
        assert_eq!((client.ip, client.prefix.as_str()), (peer, ""));
    } else if client.ip != peer {
        assert!(nearest(&headers).is_some_and(|hops| hops == client.ip));
    }
});

/// The last address of the lists that no proxy of ours has; none where something else stands behind it.
fn nearest(headers: &HeaderMap) -> Option<IpAddr> {
    let lists: Vec<_> = headers.get_all("x-forwarded-for").iter().map(|v| v.to_str().unwrap_or("?")).collect();
    let mut hops: Vec<_> = lists.join(",").split(',').map(|hop| hop.trim().to_owned()).collect();
    loop {
        let hop = hops.pop()?;
        let ip: IpAddr = hop.parse().or_else(|_| hop.parse::<SocketAddr>().map(|a| a.ip())).ok()?;
        if !CONFIG.server.trusts(ip) {
            return Some(ip.to_canonical());
        }
    }
}
