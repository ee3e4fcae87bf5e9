//! What stands under `settings` in the configuration.

use std::net::IpAddr;

use url::{Host, Url};
use zotify_plugin_api::prelude::*;

/// The longest name of a client.
const MAX_CLIENT: usize = 64;
/// Endings of names that are only given out within a local network.
const LOCAL_NAMES: [&str; 5] = [".local", ".lan", ".internal", ".home.arpa", ".localhost"];

/// Settings of a server.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The server's address as the browser shows it, such as `https://music.example.org`; `/rest` is added where it is
    /// missing.
    #[schemars(length(min = 8, max = 2000))]
    pub url: String,
    /// What this host calls itself at the server, which lists it under that name (`zotify` by default).
    #[serde(default)]
    #[schemars(length(min = 1, max = 64))]
    pub client: Option<String>,
    /// The highest bit rate in kbit/s at which anything is played: what is stored with more is converted by the server.
    /// None plays the audio as it is stored.
    #[serde(default)]
    #[schemars(range(min = 8, max = 10000))]
    pub max_bitrate: Option<u32>,
}

impl Settings {
    /// The address that the names of methods are appended to, ending in `/rest/`.
    ///
    /// # Errors
    /// `invalid_request` with the code `settings_invalid`, for anything that is no plain web address.
    pub fn base(&self) -> Result<Url> {
        let mut url = Url::parse(self.url.trim()).map_err(|_| invalid("url: not a web address"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(invalid("url: must start with http:// or https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("url: must hold no name or password; each account signs in by itself"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("url: must have no ? or #"));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        let path = if path.ends_with("/rest") { path } else { format!("{path}/rest") };
        url.set_path(&format!("{path}/"));
        Ok(url)
    }

    /// Checks what the schema cannot say.
    ///
    /// # Errors
    /// `invalid_request` with the code `settings_invalid`.
    pub fn validate(&self) -> Result<()> {
        self.base()?;
        let named = |name: &String| (1..=MAX_CLIENT).contains(&name.len()) && !name.contains(char::is_control);
        if !self.client.as_ref().is_none_or(named) {
            return Err(invalid("client: 1 to 64 characters"));
        }
        Ok(())
    }
}

fn invalid(text: &str) -> ProviderError {
    ProviderError::invalid(text).with_code("settings_invalid")
}

/// Whether nobody on the internet reads along: it is encrypted, or stays on this machine or in the local network.
pub(crate) fn keeps_passwords(url: &Url) -> bool {
    if url.scheme() == "https" {
        return true;
    }
    match url.host() {
        Some(Host::Ipv4(ip)) => is_local(ip.into()),
        Some(Host::Ipv6(ip)) => is_local(ip.into()),
        // A name without a dot is one of the local network, or of containers beside this one.
        Some(Host::Domain(name)) => !name.contains('.') || LOCAL_NAMES.iter().any(|ending| name.ends_with(ending)),
        None => false,
    }
}

fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => is_local(ip.into()),
            None => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> Settings {
        Settings { url: url.into(), client: None, max_bitrate: None }
    }

    #[test]
    fn addresses_end_in_rest() {
        for (url, base) in [
            ("http://nas:4533", "http://nas:4533/rest/"),
            ("http://nas:4533/", "http://nas:4533/rest/"),
            ("https://a.example/audio", "https://a.example/audio/rest/"),
            ("https://a.example/audio/rest/", "https://a.example/audio/rest/"),
        ] {
            assert_eq!(settings(url).base().unwrap().as_str(), base);
        }
        for bad in ["nas:4533", "ftp://nas", "http://u:p@nas", "http://u@nas", "http://nas/?a=b", "http://nas/#a", ""] {
            assert_eq!(settings(bad).validate().unwrap_err().code.as_deref(), Some("settings_invalid"), "{bad}");
        }
        for client in ["", "a\nb", &"x".repeat(65)] {
            assert!(Settings { client: Some(client.into()), ..settings("http://nas") }.validate().is_err(), "{client}");
        }
    }

    #[test]
    fn passwords_leave_the_local_network_only_encrypted() {
        for fine in [
            "https://music.example.org",
            "http://127.0.0.1:4533",
            "http://[::1]",
            "http://192.168.1.2",
            "http://[fd00::1]",
            "http://[::ffff:10.0.0.1]",
            "http://navidrome:4533",
            "http://nas.local",
        ] {
            assert!(keeps_passwords(&Url::parse(fine).unwrap()), "{fine}");
        }
        for bad in
            ["http://music.example.org", "http://8.8.8.8", "http://[2001:db8::1]", "http://nas.local.example.org"]
        {
            assert!(!keeps_passwords(&Url::parse(bad).unwrap()), "{bad}");
        }
    }
}
