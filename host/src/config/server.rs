//! `[server]`.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::text;

/// How strict the host is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// For work on one's own machine: weak keys are accepted.
    Dev,
    /// For everything else.
    #[default]
    Prod,
}

/// The HTTP server and where the host keeps its data.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// How strict the host is: `prod` refuses weak keys, `dev` accepts them.
    pub mode: Mode,
    /// The address and port to listen at. `0.0.0.0:8080` listens on all IPv4 addresses, `[::]:8080` on all.
    #[serde(with = "text")]
    #[schemars(with = "String", extend("format" = "socket-address"))]
    pub listen: SocketAddr,
    /// The URL that clients use, with the prefix that a reverse proxy adds, such as
    /// `https://music.example.org/zotify`. Without it links are made relative to the request.
    #[serde(with = "text::option")]
    #[schemars(with = "Option<String>", extend("format" = "http-url"))]
    pub public_url: Option<Url>,
    /// The folder for the database, keys and copies of plugins. Relative to the configuration file.
    #[schemars(with = "String", length(min = 1))]
    pub data_dir: PathBuf,
    /// The reverse proxies whose `X-Forwarded-*` headers are believed, as networks such as `127.0.0.1/32`.
    #[serde(with = "text::list")]
    #[schemars(with = "Vec<String>", extend("items" = {"type": "string", "format": "network"}))]
    pub trusted_proxies: Vec<IpNet>,
    /// Web pages of other origins that may call the API from a browser, such as `https://app.example.org`; `*` for all.
    /// They send a token or a key: cookies are not accepted from elsewhere.
    #[schemars(length(max = 100), extend("items" = {"type": "string", "format": "origin"}))]
    pub cors_origins: Vec<String>,
    /// The largest request body, in bytes.
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    pub max_body_bytes: usize,
    /// How long a request may take before it is answered with an error, in seconds. Media is not cut off by it.
    #[schemars(range(min = 1, max = 3600))]
    pub request_timeout_s: u64,
    /// How many connections are served at once; more wait until one ends. No more than the limit of open files allows.
    #[schemars(range(min = 16, max = 1_048_576))]
    pub max_connections: usize,
    /// How many of them one address may have; more are closed. An IPv6 network of /64 counts as one address. Trusted
    /// proxies have no limit of their own.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub max_connections_per_address: usize,
    /// How long a client may take to send the head of a request, or may pause within a body, in seconds.
    #[schemars(range(min = 1, max = 3600))]
    pub header_timeout_s: u64,
    /// How long a connection may stay open without a request, in seconds. Longer than a proxy in front keeps it.
    #[schemars(range(min = 1, max = 86_400))]
    pub idle_timeout_s: u64,
    /// How long a client may leave a part of an answer unread before it is cut off, in seconds. A player that was
    /// paused for longer asks for the rest again.
    #[schemars(range(min = 1, max = 86_400))]
    pub write_timeout_s: u64,
    /// How long a stop waits for open requests and running jobs, in seconds.
    #[schemars(range(max = 600))]
    pub shutdown_grace_s: u64,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            mode: Mode::Prod,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            public_url: None,
            data_dir: "data".into(),
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
            max_body_bytes: 1024 * 1024,
            request_timeout_s: 30,
            max_connections: 4096,
            max_connections_per_address: 256,
            header_timeout_s: 10,
            idle_timeout_s: 180,
            write_timeout_s: 60,
            shutdown_grace_s: 10,
        }
    }
}

impl Server {
    /// Whether forwarding headers from this peer are believed.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        // A dual-stack socket reports IPv4 peers as ::ffff:a.b.c.d.
        let peer = peer.to_canonical();
        self.trusted_proxies.iter().any(|network| network.contains(&peer))
    }
}
