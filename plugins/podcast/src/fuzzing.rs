//! What fuzz targets reach of this crate.

use url::Url;

use crate::{feed, ids, opml, text};

/// What is told of an episode.
#[derive(Clone, Debug)]
pub struct Episode {
    /// What it is known by within its show.
    pub id: String,
    /// Its texts: title and description.
    pub texts: Vec<String>,
    /// Its addresses: audio, picture, page.
    pub addresses: Vec<String>,
    /// Seconds since 1970-01-01 UTC.
    pub published: Option<i64>,
}

/// The title and the episodes of a feed in any format, if it is one.
pub fn feed(bytes: &[u8], content_type: Option<&str>, base: &Url, now: i64) -> Option<(Option<String>, Vec<Episode>)> {
    let feed = feed::parse(bytes, content_type, base, now).ok()?;
    let episode = |episode: feed::Episode| Episode {
        id: episode.id().to_string(),
        texts: episode.title.into_iter().chain(episode.description).collect(),
        addresses: episode.audio.map(|audio| audio.url).into_iter().chain(episode.image).chain(episode.link).collect(),
        published: episode.published,
    };
    Some((feed.title, feed.episodes.into_iter().map(episode).collect()))
}

/// The addresses and titles of a list of podcasts, and the document that is written of them.
pub fn opml(document: &str) -> Option<(Vec<(String, Option<String>)>, String)> {
    let seeds = opml::read(document).ok()?;
    let written = opml::write(seeds.iter().map(|seed| (seed.url.as_str(), seed.title.as_deref().unwrap_or(&seed.url))));
    Some((seeds.into_iter().map(|seed| (seed.url, seed.title)).collect(), written))
}

/// An address as it is kept, and the same read once more.
pub fn address(text: &str) -> Option<(Url, Option<Url>)> {
    let url = ids::feed_url(text)?;
    let again = ids::feed_url(url.as_str());
    Some((url, again))
}

/// A title as it is kept.
pub fn title(text: &str) -> Option<String> {
    text::title(text)
}
