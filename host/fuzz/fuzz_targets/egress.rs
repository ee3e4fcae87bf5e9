//! The way out to the network: no address is reached that is not granted, none of a private network by a public grant,
//! and no credential follows a redirect. The input is an address, and headers in the lines after it.
#![no_main]

mod support;

use std::{net::IpAddr, sync::LazyLock};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use reqwest::Url;
use zotify_host::providers::{
    Egress,
    egress::fuzzing::{Route, is_public, received, sendable},
};

static NOTHING: LazyLock<Egress> = LazyLock::new(|| Egress::granting(&[], &[], false));
static NAMES: LazyLock<Egress> = LazyLock::new(|| Egress::granting(&["*.example.org", "api.example.net"], &[], false));
static PUBLIC: LazyLock<Egress> = LazyLock::new(|| Egress::granting(&[], &[], true));
static ORIGINS: LazyLock<Egress> =
    LazyLock::new(|| Egress::granting(&[], &[("192.0.2.7", 4533), ("nas.local", 80), ("[fd00::1]", 443)], false));

fuzz_target!(|data: &[u8]| {
    let mut lines = support::lines(data).map(|line| String::from_utf8_lossy(line).into_owned());
    let first = lines.next().unwrap_or_default();
    let base = Url::parse("https://api.example.net/v1/").unwrap();
    for url in [Url::parse(&first), base.join(&first)].into_iter().flatten() {
        routes(&url);
    }
    headers(lines.filter_map(|line| line.split_once(':').map(|(n, v)| (n.to_owned(), v.trim().to_owned()))).collect());
});

fn routes(url: &Url) {
    assert_eq!(NOTHING.route(url), None);
    let host = url.host_str().unwrap_or_default();
    let web = matches!(url.scheme(), "http" | "https");
    let name_granted = host == "api.example.net" || host.ends_with(".example.org");
    assert_eq!(NAMES.route(url), (web && name_granted).then_some(Route::Public), "{url}");
    if PUBLIC.route(url).is_some() {
        assert!(web && !host.is_empty());
        let literal = host.trim_matches(['[', ']']).parse::<IpAddr>();
        assert!(literal.is_err() || literal.is_ok_and(|ip| plainly_public(ip) && is_public(ip)), "{url}");
    }
    let origin = (host, url.port_or_known_default());
    let by_admin = [("192.0.2.7", Some(4533)), ("nas.local", Some(80)), ("[fd00::1]", Some(443))].contains(&origin);
    assert_eq!(ORIGINS.route(url), (web && by_admin).then_some(Route::Anywhere), "{url}");
}

/// What every list of special addresses agrees on.
fn plainly_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            !(ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified() || ip.is_multicast())
        }
        IpAddr::V6(ip) => {
            !(ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_multicast()
                || ip.is_unique_local()
                || ip.is_unicast_link_local())
        }
    }
}

fn headers(pairs: Vec<(String, String)>) {
    let mut answer = HeaderMap::new();
    for (name, value) in &pairs {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
            answer.append(name, value);
        }
    }
    assert_eq!(received(&answer).len(), answer.len());
    let Ok((sent, foreign)) = sendable(&pairs) else { return };
    assert_eq!(sent.len(), pairs.len());
    for name in ["host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"] {
        assert!(!sent.contains_key(name), "{name}");
    }
    for name in ["authorization", "cookie", "proxy-authorization", "x-api-key", "x-emby-token"] {
        assert!(!foreign.contains_key(name), "{name}");
    }
    assert!(foreign.len() <= sent.len());
}
