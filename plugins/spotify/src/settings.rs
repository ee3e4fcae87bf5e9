//! What stands under `settings` in the configuration.

use url::{Host, Url};
use zotify_plugin_api::prelude::*;

/// Where Spotify's own short links are.
const SHORT_LINKS: &str = "https://spotify.link";
/// The longest client id.
const MAX_CLIENT_ID: usize = 64;

/// Settings of a Spotify provider.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The client id of the app that the household registered at Spotify. Without it every account brings its own.
    #[serde(default)]
    pub client_id: Option<String>,
    /// Where the Web API is.
    #[serde(default = "api_base")]
    pub api_base: String,
    /// Where accounts sign in.
    #[serde(default = "accounts_base")]
    pub accounts_base: String,
    /// Where short links of `spotify.link` are looked up: a proxy, or a stand-in for tests.
    #[serde(default = "short_link_base")]
    pub short_link_base: String,
    /// Where Spotify sends the browser back to, instead of the address that the host offers. It must be registered in the
    /// app exactly like this.
    #[serde(default)]
    pub redirect_uri: Option<String>,
}

fn api_base() -> String {
    "https://api.spotify.com/v1".into()
}

fn accounts_base() -> String {
    "https://accounts.spotify.com".into()
}

fn short_link_base() -> String {
    SHORT_LINKS.into()
}

impl Settings {
    /// Checks what the schema cannot say, and brings the addresses into one form.
    ///
    /// # Errors
    /// `invalid_request` with the code `settings_invalid`.
    pub fn validate(mut self) -> Result<Self> {
        for (name, base) in [
            ("api_base", &mut self.api_base),
            ("accounts_base", &mut self.accounts_base),
            ("short_link_base", &mut self.short_link_base),
        ] {
            let url = Url::parse(base).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            let plain = url.filter(|url| url.query().is_none() && url.fragment().is_none() && !url.cannot_be_a_base());
            let Some(url) = plain else {
                return invalid(&format!("{name}: not an http or https address without a query"));
            };
            *base = url.as_str().trim_end_matches('/').to_owned();
        }
        if self.client_id.as_deref().is_some_and(|id| !is_client_id(id)) {
            return invalid("client_id: at most 64 of A-Z, a-z, 0-9, _ and -");
        }
        if self.redirect_uri.as_deref().is_some_and(|uri| !is_redirect(uri)) {
            return invalid("redirect_uri: https, or http with 127.0.0.1 or [::1]; Spotify takes no other");
        }
        Ok(self)
    }

    /// Where a short link is looked up.
    pub(crate) fn short_link(&self, link: &Url) -> String {
        let path = link.as_str().strip_prefix(SHORT_LINKS).filter(|path| path.starts_with('/'));
        path.map_or_else(|| link.to_string(), |path| format!("{}{path}", self.short_link_base))
    }

    /// The address that a picture of the service may also be at.
    pub(crate) fn is_own_origin(&self, url: &Url) -> bool {
        Url::parse(&self.api_base).is_ok_and(|base| base.origin() == url.origin())
    }
}

fn invalid(text: &str) -> Result<Settings> {
    Err(ProviderError::invalid(text).with_code("settings_invalid"))
}

/// Whether a text may be the client id of an app.
pub(crate) fn is_client_id(text: &str) -> bool {
    (1..=MAX_CLIENT_ID).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// Whether Spotify takes an address to send the browser back to: https, or http at a loopback address, never by the name
/// `localhost`.
pub(crate) fn is_redirect(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    if url.fragment().is_some() {
        return false;
    }
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => true,
        ("http", Some(Host::Ipv4(ip))) => ip.is_loopback(),
        ("http", Some(Host::Ipv6(ip))) => ip.is_loopback(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> Result<Settings> {
        serde_json::from_str::<Settings>(json).unwrap().validate()
    }

    #[test]
    fn names_what_is_wrong() {
        let settings = check(r#"{"api_base": "http://127.0.0.1:9/v1/"}"#).unwrap();
        assert_eq!(settings.api_base, "http://127.0.0.1:9/v1");
        assert_eq!(settings.accounts_base, "https://accounts.spotify.com");
        let link = |text: &str| settings.short_link(&Url::parse(text).unwrap());
        assert_eq!(link("https://spotify.link/a?b"), "https://spotify.link/a?b");
        let settings = check(r#"{"short_link_base": "http://127.0.0.1:9/short/"}"#).unwrap();
        let link = |text: &str| settings.short_link(&Url::parse(text).unwrap());
        assert_eq!(link("https://spotify.link/a?b"), "http://127.0.0.1:9/short/a?b");
        assert_eq!(link("https://spotify.app.link/a"), "https://spotify.app.link/a");
        for (json, word) in [
            (r#"{"api_base": "ftp://x/"}"#, "api_base"),
            (r#"{"accounts_base": "https://x/?a=b"}"#, "accounts_base"),
            (r#"{"client_id": "a b"}"#, "client_id"),
            (r#"{"client_id": ""}"#, "client_id"),
            (r#"{"redirect_uri": "http://localhost:4381/callback"}"#, "redirect_uri"),
            (r#"{"redirect_uri": "http://192.168.1.2/callback"}"#, "redirect_uri"),
        ] {
            let error = check(json).unwrap_err();
            assert_eq!(error.code.as_deref(), Some("settings_invalid"));
            assert!(error.message.starts_with(word), "{}", error.message);
        }
        assert!(check(r#"{"redirect_uri": "http://[::1]:4381/callback"}"#).is_ok());
        assert!(serde_json::from_str::<Settings>(r#"{"client_secret": "x"}"#).is_err());
    }
}
