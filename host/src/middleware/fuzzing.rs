//! What fuzz targets reach of this module.

use std::net::IpAddr;

use axum::http::HeaderMap;

use super::client::{self, Client};
use crate::config::Config;

/// Who asks, given the connection's own address and the headers.
pub fn identify(config: &Config, peer: IpAddr, headers: &HeaderMap) -> Client {
    client::identify(config, peer, headers)
}
