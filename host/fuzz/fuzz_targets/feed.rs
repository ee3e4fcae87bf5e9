//! Podcasts' feeds in every format, and lists of them: ids differ, addresses are the web's, texts hold no control characters.
#![no_main]

use std::{collections::HashSet, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use url::Url;
use zotify_plugin_podcast::fuzzing::{address, feed, opml, title};

static BASE: LazyLock<Url> = LazyLock::new(|| "https://feeds.example.org/show/feed.xml".parse().unwrap());
const NOW: i64 = 1_800_000_000;

fuzz_target!(|data: &[u8]| {
    let whole = feed(data, None, &BASE, NOW);
    if let Some((name, episodes)) = &whole {
        assert!(name.as_deref().is_none_or(is_clean), "{name:?}");
        let ids: HashSet<_> = episodes.iter().map(|episode| &episode.id).collect();
        assert_eq!(ids.len(), episodes.len(), "every episode has an id of its own");
        assert!(episodes.iter().flat_map(|episode| &episode.texts).all(|text| is_clean(text)));
        assert!(episodes.iter().flat_map(|episode| &episode.addresses).all(|address| is_web(address)));
        assert!(episodes.iter().filter_map(|episode| episode.published).all(|at| at <= NOW + 400 * 86_400));
    }
    feed(data, Some("application/rss+xml; charset=windows-1252"), &BASE, NOW);
    let Ok(text) = std::str::from_utf8(data) else { return };
    assert!(title(text).as_deref().is_none_or(is_clean));
    if let Some((url, again)) = address(text) {
        assert!(is_web(url.as_str()) && again == Some(url), "an address is spelled in one way");
    }
    if let Some((seeds, written)) = opml(text) {
        assert!(seeds.iter().all(|(url, _)| is_web(url)));
        let (read, _) = opml(&written).expect("what is written can be read");
        assert!(read.iter().map(|(url, _)| url).eq(seeds.iter().map(|(url, _)| url)));
    }
});

fn is_clean(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|c| c.is_control() && c != '\n')
}

fn is_web(address: &str) -> bool {
    address.len() <= 2000
        && Url::parse(address).is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host())
}
