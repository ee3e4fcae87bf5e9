//! What a feed says, whatever its format.
//!
//! Read in one pass over the markup rather than by a library for feeds of all sorts: podcasts need what those leave out
//! (where a feed moved, what of an episode is explicit, lengths of `M:S`), one bad value must not cost the whole feed, and
//! a document of 16 MiB must stay within bounds of memory and time whatever it is made of.

mod atom;
mod json;
mod rss;
mod values;

use std::collections::HashSet;

use url::Url;

use crate::{
    ids::{Id, web_url},
    text,
    xml::{self, Broken, Ns, Xml},
};

/// The episodes that are read of one feed.
pub(crate) const MAX_EPISODES: usize = 20_000;
/// The longest guid that is looked at, in bytes.
const MAX_GUID: usize = 4096;

/// A podcast.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Feed {
    pub(crate) title: Option<String>,
    pub(crate) publisher: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) explicit: Option<bool>,
    pub(crate) image: Option<String>,
    pub(crate) link: Option<String>,
    /// Where it says that it has moved to.
    pub(crate) moved_to: Option<Url>,
    /// Newest first.
    pub(crate) episodes: Vec<Episode>,
    /// Why not all of it could be read.
    pub(crate) damage: Option<Damage>,
}

/// Why not all of a feed could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// The markup breaks off or is broken somewhere.
    Broken,
    /// There are more episodes than are read.
    TooMany,
}

/// An episode.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Episode {
    guid: String,
    pub(crate) title: Option<String>,
    pub(crate) description: Option<String>,
    /// The audio; none where the feed names something that is no web address.
    pub(crate) audio: Option<Enclosure>,
    pub(crate) duration_ms: Option<u64>,
    /// Seconds since 1970-01-01 UTC.
    pub(crate) published: Option<i64>,
    pub(crate) season: Option<u32>,
    pub(crate) number: Option<u32>,
    pub(crate) explicit: Option<bool>,
    pub(crate) image: Option<String>,
    pub(crate) link: Option<String>,
}

/// Where an episode's audio lies.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Enclosure {
    pub(crate) url: String,
    pub(crate) content_type: String,
    pub(crate) size: Option<u64>,
}

impl Episode {
    /// What it is known by within its show.
    pub(crate) fn id(&self) -> Id {
        let url = self.audio.as_ref().map(|audio| audio.url.as_str());
        match (self.guid.as_str(), url) {
            ("", Some(url)) => Id::of(url),
            ("", None) => Id::of(&format!("{:?} {:?}", self.title, self.published)),
            (guid, _) => Id::of(guid),
        }
    }
}

/// Why something is no feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAFeed {
    /// A web page.
    WebPage,
    /// Markup that breaks before anything was read.
    Malformed,
    /// Something else.
    Unknown,
}

/// Reads a feed. `base` is the address that it came from, `now` the time in seconds since 1970-01-01 UTC.
pub(crate) fn parse(bytes: &[u8], content_type: Option<&str>, base: &Url, now: i64) -> Result<Feed, NotAFeed> {
    let text = xml::decode(bytes, content_type);
    let start = text.trim_start_matches(|c: char| c.is_whitespace() || c.is_control() || c == '\u{feff}');
    let mut feed = match start.chars().next() {
        Some('{') => json::parse(start, base)?,
        Some('<') => markup(start, base)?,
        _ => return Err(NotAFeed::Unknown),
    };
    for episode in &mut feed.episodes {
        episode.published = episode.published.filter(|at| values::is_sane(*at, now));
    }
    let mut seen = HashSet::new();
    feed.episodes.retain(|episode| seen.insert(episode.id()));
    // A stable order, so that feeds which begin with the oldest, or name no times, keep their own within a day.
    feed.episodes.sort_by_key(|episode| std::cmp::Reverse(episode.published));
    Ok(feed)
}

fn markup(text: &str, base: &Url) -> Result<Feed, NotAFeed> {
    if text.get(..14).is_some_and(|start| start.eq_ignore_ascii_case("<!doctype html")) {
        return Err(NotAFeed::WebPage);
    }
    let mut xml = Xml::new(text);
    let root = xml.child(0).ok().flatten().ok_or(NotAFeed::Malformed)?;
    let mut feed = Feed::default();
    let read = match (root.ns, root.name()) {
        (_, name) if name.eq_ignore_ascii_case("html") => return Err(NotAFeed::WebPage),
        (Ns::Own, "rss") | (Ns::Rdf, "RDF") => rss::read(&mut xml, base, &mut feed),
        (Ns::Own | Ns::Atom, "feed") => atom::read(&mut xml, base, &mut feed).map(|()| true),
        _ => return Err(NotAFeed::Unknown),
    };
    match read {
        Ok(true) => Ok(feed),
        Ok(false) => Err(NotAFeed::Unknown),
        // What was read until then is as good as it ever was.
        Err(Broken::Malformed | Broken::TooDeep) if feed.title.is_some() || !feed.episodes.is_empty() => {
            feed.damage = Some(Damage::Broken);
            Ok(feed)
        }
        Err(_) => Err(NotAFeed::Malformed),
    }
}

/// What is read of an entry of any format until it is an episode.
#[derive(Default)]
struct Draft {
    episode: Episode,
    /// Descriptions, the best last.
    notes: [Option<String>; 3],
    /// What it encloses: address, type and size as they are written.
    enclosures: Vec<[Option<String>; 3]>,
}

/// How good a description is.
#[derive(Clone, Copy)]
enum Note {
    Short = 0,
    Summary = 1,
    Full = 2,
}

impl Draft {
    fn note(&mut self, rank: Note, text: &str) {
        let place = &mut self.notes[rank as usize];
        if place.is_none() {
            *place = text::description(text);
        }
    }

    fn guid(&mut self, text: &str) {
        let text = text.trim();
        self.episode.guid = text[..text.floor_char_boundary(MAX_GUID)].to_owned();
    }

    fn enclose(&mut self, url: Option<String>, content_type: Option<String>, size: Option<String>) {
        if self.enclosures.len() < 16 {
            self.enclosures.push([url, content_type, size]);
        }
    }

    /// The episode; none where no audio is enclosed, which is a post in a blog.
    fn finish(mut self, base: &Url) -> Option<Episode> {
        let (mut read, mut unreadable) = (Vec::new(), false);
        for [url, content_type, size] in &self.enclosures {
            let url = url.as_deref().and_then(|url| linked(url, base));
            let content_type = values::media_type(content_type.as_deref(), url.as_ref());
            // Posts in blogs enclose their pictures.
            if !values::is_media(&content_type) {
                continue;
            }
            let size = size.as_deref().and_then(|size| size.trim().parse().ok()).filter(|size| *size > 1);
            match url {
                Some(url) => read.push(Enclosure { url: url.into(), content_type, size }),
                None => unreadable = true,
            }
        }
        if read.is_empty() && !unreadable {
            return None;
        }
        let rank = |audio: &Enclosure| match audio.content_type.split('/').next() {
            Some("audio") => 0,
            Some("video") => 1,
            _ => 2,
        };
        self.episode.audio = read.into_iter().min_by_key(rank);
        // Shows often write one sentence as their summary; the longer text says more.
        let [short, summary, full] = self.notes;
        self.episode.description = full.or(summary).or(short);
        Some(self.episode)
    }
}

/// An address of a feed, made whole; none where it is no web address.
fn linked(text: &str, base: &Url) -> Option<Url> {
    let text = text.trim();
    let whole = if text.contains("://") { web_url(text) } else { None };
    whole.or_else(|| web_url(base.join(text).ok()?.as_str()))
}

#[cfg(test)]
mod tests;
