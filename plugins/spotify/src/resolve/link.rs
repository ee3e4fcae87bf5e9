//! The forms that name an item of Spotify's.

use url::Url;
use zotify_plugin_api::prelude::*;

use crate::text::is_id;

/// What a text names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// An item, by kind and id.
    Item(Kind, String),
    /// An address that leads to another one.
    Short(Url),
}

/// Reads a URI or an address; none where it is none of Spotify's.
///
/// # Errors
/// Where it is one of Spotify's, and names nothing that there is here.
pub(super) fn parse(text: &str) -> Result<Option<Link>> {
    let lower = text.get(..10).unwrap_or(text).to_ascii_lowercase();
    if let Some(path) = lower.starts_with("spotify://").then(|| &text[10..]) {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        return segments(&path.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>()).map(Some);
    }
    if lower.starts_with("spotify:") {
        let path = text[8..].split(['?', '#']).next().unwrap_or_default();
        return segments(&path.split(':').collect::<Vec<_>>()).map(Some);
    }
    let url = match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => url,
        // An address as people write it.
        _ => match Url::parse(&format!("https://{text}")) {
            Ok(url) if url.host_str().is_some_and(is_ours) => url,
            _ => return Ok(None),
        },
    };
    // What people paste may still say http; it is looked up by its id, or on https.
    let secure = url.as_str().replacen("http://", "https://", 1);
    Url::parse(&secure).map_or(Ok(None), |url| parse_url(&url))
}

/// Reads an address; none where it is none of Spotify's, or not on https.
///
/// # Errors
/// As [`parse`].
pub(super) fn parse_url(url: &Url) -> Result<Option<Link>> {
    if url.scheme() != "https" || url.port().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Ok(None);
    }
    let parts: Vec<&str> = url.path().split('/').filter(|part| !part.is_empty()).collect();
    match url.host_str() {
        Some("spotify.link" | "spotify.app.link") => Ok(Some(Link::Short(url.clone()))),
        Some("open.spotify.com") if parts.len() == 2 && parts[0] == "s" => Ok(Some(Link::Short(url.clone()))),
        Some("open.spotify.com" | "play.spotify.com") => {
            let parts = without_language(&parts);
            let parts = if parts.first().is_some_and(|part| part.starts_with("embed")) { &parts[1..] } else { parts };
            segments(parts).map(Some)
        }
        Some("link.tospotify.com") => Err(refused("links of link.tospotify.com don't work any more")),
        _ => Ok(None),
    }
}

fn is_ours(host: &str) -> bool {
    matches!(host, "open.spotify.com" | "play.spotify.com" | "spotify.link" | "spotify.app.link" | "link.tospotify.com")
}

fn without_language<'a>(parts: &'a [&'a str]) -> &'a [&'a str] {
    if parts.first().is_some_and(|part| part.starts_with("intl-")) { &parts[1..] } else { parts }
}

fn segments(parts: &[&str]) -> Result<Link> {
    // The old form of playlists names their owner.
    let parts = match parts {
        ["user", _, rest @ ..] if rest.first() == Some(&"playlist") => rest,
        other => other,
    };
    match parts {
        ["local", ..] => Err(refused("this is a file on somebody's disk, which Spotify knows by name only")),
        [kind, id] if is_id(id) => match kind.parse() {
            Ok(kind) => Ok(Link::Item(kind, (*id).to_owned())),
            Err(_) => Err(refused("this names something that is no track, album, artist, playlist, show or episode")),
        },
        _ => Err(refused("this names no item of Spotify's")),
    }
}

fn refused(text: &str) -> ProviderError {
    ProviderError::invalid(text).with_code("link_refused")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4iV5W9uYEdYUVa79Axb7Rh";

    #[test]
    fn every_form_comes_to_the_same_item() {
        for form in [
            "spotify:track:ID",
            "spotify:track:ID?si=x",
            "spotify://track/ID",
            "Spotify:track:ID",
            "https://open.spotify.com/track/ID",
            "http://open.spotify.com/track/ID?si=abc&utm=x#1:23",
            "https://open.spotify.com/intl-de/track/ID",
            "https://open.spotify.com/intl-pt-BR/track/ID/",
            "https://open.spotify.com/embed/track/ID",
            "https://open.spotify.com/embed-legacy/track/ID",
            "https://play.spotify.com/track/ID",
            "open.spotify.com/track/ID",
        ] {
            let found = parse(&form.replace("ID", ID)).unwrap();
            assert_eq!(found, Some(Link::Item(Kind::Track, ID.into())), "{form}");
        }
        for form in ["spotify:user:x:playlist:ID", "https://open.spotify.com/user/x/playlist/ID", "spotify:playlist:ID"]
        {
            assert_eq!(parse(&form.replace("ID", ID)).unwrap(), Some(Link::Item(Kind::Playlist, ID.into())), "{form}");
        }
    }

    #[test]
    fn what_is_not_spotifys_is_left_to_others() {
        for text in [
            "",
            "hello",
            "https://example.org/track/4iV5W9uYEdYUVa79Axb7Rh",
            "https://open.spotify.com.evil.example/track/4iV5W9uYEdYUVa79Axb7Rh",
            "https://user@open.spotify.com/track/4iV5W9uYEdYUVa79Axb7Rh",
            "https://open.spotify.com:444/track/4iV5W9uYEdYUVa79Axb7Rh",
            "ftp://open.spotify.com/track/4iV5W9uYEdYUVa79Axb7Rh",
            "é",
            "spotify",
        ] {
            assert_eq!(parse(text).unwrap(), None, "{text}");
        }
    }

    #[test]
    fn what_names_no_item_is_refused() {
        for text in [
            "spotify:local:a:b:c:12",
            "spotify:user:me:collection",
            "spotify:collection",
            "spotify:audiobook:4iV5W9uYEdYUVa79Axb7Rh",
            "spotify:track:short",
            "https://open.spotify.com/user/somebody",
            "https://open.spotify.com/",
            "https://link.tospotify.com/x",
        ] {
            assert_eq!(parse(text).unwrap_err().code.as_deref(), Some("link_refused"), "{text}");
        }
    }

    #[test]
    fn short_links_are_told_from_items() {
        for text in ["https://spotify.link/abc", "https://open.spotify.com/s/abc", "https://spotify.app.link/abc?_p=c"]
        {
            assert!(matches!(parse(text).unwrap(), Some(Link::Short(_))), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(text in "(spotify:|https://open.spotify.com/|é)?\\PC{0,60}") {
            let _ = parse(&text);
        }
    }
}
