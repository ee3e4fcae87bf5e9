//! What fuzz targets reach of this module.

use std::net::IpAddr;

use reqwest::{Url, header::HeaderMap};
use zotify_plugin_api::Result;

use super::{Clients, Egress, address, headers};
use crate::providers::grants::{Grants, HostRule};

/// How an address may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// At public addresses only.
    Public,
    /// Wherever the name leads.
    Anywhere,
}

impl Egress {
    /// With names of public hosts, origins that an admin wrote, and perhaps all public addresses.
    pub fn granting(names: &[&str], origins: &[(&str, u16)], public_internet: bool) -> Self {
        let names = names.iter().map(|name| HostRule::Name((*name).to_owned()));
        let origins = origins.iter().map(|(host, port)| HostRule::Origin { host: (*host).to_owned(), port: *port });
        let grants = Grants { hosts: names.chain(origins).collect(), public_internet, ..Grants::default() };
        Self::new(Clients::new().expect("a TLS client"), &grants)
    }

    /// How an address may be connected to; none where it may not.
    pub fn route(&self, url: &Url) -> Option<Route> {
        let client = self.client_for(url).ok()?;
        let anywhere = self.clients.as_ref().is_some_and(|clients| std::ptr::eq(client, &raw const clients.anywhere));
        Some(if anywhere { Route::Anywhere } else { Route::Public })
    }
}

/// Whether an address is one of the public internet.
pub fn is_public(ip: IpAddr) -> bool {
    address::is_public(ip)
}

/// The headers of a plugin's request, and those that would follow a redirect to another origin.
pub fn sendable(pairs: &[(String, String)]) -> Result<(HeaderMap, HeaderMap)> {
    let headers = headers::sendable(pairs)?;
    let foreign = headers::for_foreign_origin(&headers);
    Ok((headers, foreign))
}

/// The headers of an answer, as a plugin gets them.
pub fn received(headers: &HeaderMap) -> Vec<(String, String)> {
    headers::received(headers)
}
