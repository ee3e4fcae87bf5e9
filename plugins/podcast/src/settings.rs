//! What stands under `settings` in the configuration.

use std::time::Duration;

use url::Url;
use zotify_plugin_api::prelude::*;

/// The most origins of one instance.
const MAX_ORIGINS: usize = 64;
/// The longest contact, in bytes.
const MAX_CONTACT: usize = 200;
/// The largest feed that can be allowed: as much as the host hands over of an answer.
const MOST_MB: u32 = 16;
/// The longest time between two looks at a feed, in minutes: a week.
const LONGEST_REFRESH: u32 = 7 * 24 * 60;

/// Settings of podcasts. Each of them may be left out.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// A feed is not asked for again sooner than so many minutes after the last time, however often the library is read.
    #[serde(default = "refresh")]
    #[schemars(range(max = 10080))]
    pub refresh_minutes: u32,
    /// The largest feed that is read, in MiB.
    #[serde(default = "largest")]
    #[schemars(range(min = 1, max = 16))]
    pub max_feed_mb: u32,
    /// How publishers can reach you, an e-mail or web address: they read it in the name that this program gives itself.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub contact: Option<String>,
    /// Origins in your own network that feeds and their audio may lie at, such as `http://nas.local:8080`. All public
    /// addresses may be reached anyway, and no other private ones.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub local_origins: Vec<String>,
}

fn refresh() -> u32 {
    15
}

fn largest() -> u32 {
    8
}

impl Settings {
    /// Checks what the schema cannot say.
    ///
    /// # Errors
    /// `invalid_request` with the code `settings_invalid`.
    pub fn validate(&self) -> Result<()> {
        let invalid = |text: &str| Err(ProviderError::invalid(text).with_code("settings_invalid"));
        if self.refresh_minutes > LONGEST_REFRESH {
            return invalid("refresh_minutes: at most 10080, a week");
        }
        if !(1..=MOST_MB).contains(&self.max_feed_mb) {
            return invalid("max_feed_mb: from 1 to 16");
        }
        let fits = |contact: &str| {
            contact.len() <= MAX_CONTACT
                && contact.bytes().all(|b| b == b' ' || b.is_ascii_graphic() && !b"()".contains(&b))
        };
        if self.contact.as_deref().is_some_and(|contact| !fits(contact)) {
            return invalid("contact: at most 200 printable ASCII characters, without brackets");
        }
        let web = |origin: &String| {
            Url::parse(origin).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some())
        };
        if self.local_origins.len() > MAX_ORIGINS || !self.local_origins.iter().all(web) {
            return invalid("local_origins: at most 64 http or https addresses, such as http://nas.local:8080");
        }
        Ok(())
    }

    /// What this program calls itself to publishers.
    pub(crate) fn user_agent(&self) -> String {
        let name = concat!("zotify-podcast/", env!("CARGO_PKG_VERSION"));
        match self.contact.as_deref().map(str::trim).filter(|contact| !contact.is_empty()) {
            Some(contact) => format!("{name} (+{contact})"),
            None => name.to_owned(),
        }
    }

    /// The largest feed, in bytes.
    pub(crate) fn max_bytes(&self) -> usize {
        (self.max_feed_mb as usize) << 20
    }

    /// How long what is known of a feed is good enough.
    pub(crate) fn refresh(&self) -> Duration {
        Duration::from_secs(u64::from(self.refresh_minutes) * 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_has_to_be_set() {
        let settings: Settings = serde_json::from_str("{}").unwrap();
        settings.validate().unwrap();
        assert_eq!((settings.max_bytes(), settings.refresh().as_secs()), (8 << 20, 900));
        assert_eq!(settings.user_agent(), concat!("zotify-podcast/", env!("CARGO_PKG_VERSION")));
        let named: Settings = serde_json::from_str(r#"{"contact": "mailto:me@example.org"}"#).unwrap();
        assert!(named.user_agent().ends_with(" (+mailto:me@example.org)"));
    }

    #[test]
    fn names_what_is_wrong() {
        for (json, word) in [
            (r#"{"refresh_minutes": 10081}"#, "refresh_minutes"),
            (r#"{"max_feed_mb": 0}"#, "max_feed_mb"),
            (r#"{"max_feed_mb": 17}"#, "max_feed_mb"),
            (r#"{"contact": "a\r\nb"}"#, "contact"),
            (r#"{"contact": "a (b)"}"#, "contact"),
            (r#"{"local_origins": ["nas.local"]}"#, "local_origins"),
            (r#"{"local_origins": ["file:///etc"]}"#, "local_origins"),
        ] {
            let error = serde_json::from_str::<Settings>(json).unwrap().validate().unwrap_err();
            assert_eq!(error.code.as_deref(), Some("settings_invalid"));
            assert!(error.message.starts_with(word), "{}", error.message);
        }
        assert!(serde_json::from_str::<Settings>(r#"{"refresh": 1}"#).is_err());
    }
}
