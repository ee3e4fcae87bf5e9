//! Ids of shows and episodes, which outlive moves.
//!
//! A show is known by the address that it was first followed by, an episode by its `guid` within the show. Both are
//! hashed: addresses may hold a subscriber's secret, and guids hold anything. The hash is a cryptographic one, so that
//! nobody makes up a feed that passes for another.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use url::Url;

/// The bytes of a hash: enough that nobody finds two of the same, and no padding in base64.
const BYTES: usize = 15;
/// The longest address that is kept, in bytes.
pub(crate) const MAX_URL: usize = 2000;

/// The hash that a show or an episode is known by. As text, 20 characters that may stand in a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id(pub(crate) [u8; BYTES]);

impl Id {
    /// The id of what a text names.
    pub(crate) fn of(text: &str) -> Self {
        let mut id = [0; BYTES];
        id.copy_from_slice(&Sha256::digest(text.as_bytes())[..BYTES]);
        Self(id)
    }

    /// The id of the show that was first followed by an address. Whether that is encrypted makes no other show.
    pub(crate) fn of_feed(url: &Url) -> Self {
        let text = url.as_str();
        Self::of(text.split_once("://").map_or(text, |(_, rest)| rest))
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// What stands in an episode's URI: its show, and the episode.
pub(crate) fn episode(show: Id, episode: Id) -> String {
    format!("{show}.{episode}")
}

/// Show and episode of an episode's id.
pub(crate) fn parse_episode(text: &str) -> Option<(Id, Id)> {
    let (show, episode) = text.split_once('.')?;
    Some((Id::parse(show)?, Id::parse(episode)?))
}

/// The address of a feed as somebody wrote it, in its one spelling; none where it is no web address.
pub(crate) fn feed_url(text: &str) -> Option<Url> {
    let text = text.trim();
    // What browsers and players once called feeds.
    let rest = ["feed:", "pcast:", "itpc:", "podcast:"].iter().find_map(|scheme| {
        let (head, rest) = text.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    let text = match rest {
        Some(rest) if rest.starts_with("//") => format!("https:{rest}"),
        Some(rest) => rest.to_owned(),
        None => text.to_owned(),
    };
    web_url(&text)
}

/// A web address without its fragment, if it is one.
pub(crate) fn web_url(text: &str) -> Option<Url> {
    let fits = text.len() <= MAX_URL && !text.chars().any(char::is_control);
    let mut url = Url::parse(text.trim()).ok().filter(|_| fits)?;
    url.set_fragment(None);
    let web = matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|host| !host.is_empty());
    (web && url.as_str().len() <= MAX_URL).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feeds_are_spelled_in_many_ways() {
        let id = |text: &str| Id::of_feed(&feed_url(text).unwrap()).to_string();
        let one = id("https://feeds.example.org/show");
        for same in [
            "http://feeds.example.org/show",
            "feed://feeds.example.org/show",
            "FEED:https://feeds.example.org/show",
            " https://Feeds.Example.Org:443/show#top ",
            "itpc://feeds.example.org/show",
        ] {
            assert_eq!(id(same), one, "{same}");
        }
        assert_ne!(id("https://feeds.example.org/show?x"), one);
        assert_eq!(Id::parse(&one).unwrap().to_string(), one);
        for bad in ["", "show", "file:///etc/passwd", "data:text/xml,x", "https://", "feed:javascript:x", "ftp://a/b"] {
            assert_eq!(feed_url(bad), None, "{bad}");
        }
        assert_eq!(feed_url(&format!("https://a.example/{}", "x".repeat(MAX_URL))), None);
    }

    #[test]
    fn ids_of_episodes_name_their_show() {
        let (show, guid) = (Id::of("show"), Id::of("guid"));
        assert_eq!(parse_episode(&episode(show, guid)), Some((show, guid)));
        let bad = ["", ".", "a.b", &show.to_string(), &format!("{show}.{guid}.{guid}")].map(parse_episode);
        assert_eq!(bad, [None; 5]);
    }
}
