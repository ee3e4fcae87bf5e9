//! JSON Feed.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, SeqAccess, Visitor},
};
use url::Url;

use super::{Damage, Draft, Feed, MAX_EPISODES, NotAFeed, Note, linked, values};
use crate::text;

#[derive(Deserialize)]
struct Document {
    version: String,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    home_page_url: Option<String>,
    #[serde(default)]
    icon: Option<String>,
    #[serde(default)]
    author: Option<Author>,
    #[serde(default)]
    authors: Bounded<Author, 50>,
    #[serde(default)]
    items: Bounded<Item, { MAX_EPISODES + 1 }>,
}

#[derive(Deserialize)]
struct Author {
    #[serde(default)]
    name: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    /// A text, by the standard; others write numbers.
    #[serde(default)]
    id: serde_json::Value,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    summary: Option<String>,
    #[serde(default)]
    content_html: Option<String>,
    #[serde(default)]
    content_text: Option<String>,
    #[serde(default)]
    image: Option<String>,
    #[serde(default)]
    date_published: Option<String>,
    #[serde(default)]
    attachments: Bounded<Attachment, 16>,
}

#[derive(Deserialize)]
struct Attachment {
    url: String,
    #[serde(default)]
    mime_type: Option<String>,
    #[serde(default)]
    size_in_bytes: Option<f64>,
    #[serde(default)]
    duration_in_seconds: Option<f64>,
}

/// The first so many of a list. The rest is read past, never kept, and entries that are something else are left out.
struct Bounded<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> Default for Bounded<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Bounded<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T, const MAX: usize>(Vec<T>);
        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for List<T, MAX> {
            type Value = Bounded<T, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(Bounded(self.0))
            }

            fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Self::Value, A::Error> {
                while self.0.len() < MAX {
                    match seq.next_element()? {
                        Some(Lenient::Good(item)) => self.0.push(item),
                        Some(Lenient::Other(_)) => {}
                        None => return Ok(Bounded(self.0)),
                    }
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Bounded(self.0))
            }
        }
        deserializer.deserialize_any(List(Vec::new()))
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Lenient<T> {
    Good(T),
    Other(IgnoredAny),
}

/// Reads a whole document.
pub(super) fn parse(text: &str, base: &Url) -> Result<Feed, NotAFeed> {
    let document: Document = serde_json::from_str(text).map_err(|_| NotAFeed::Unknown)?;
    if !document.version.contains("jsonfeed.org/version/") {
        return Err(NotAFeed::Unknown);
    }
    let author = document.author.into_iter().chain(document.authors.0).find_map(|author| author.name);
    let too_many = document.items.0.len() > MAX_EPISODES;
    let address = |text: Option<String>| text.and_then(|text| linked(&text, base)).map(String::from);
    Ok(Feed {
        title: document.title.and_then(|title| text::title(&title)),
        publisher: author.and_then(|name| text::title(&name)),
        description: document.description.and_then(|description| text::description(&description)),
        image: address(document.icon),
        link: address(document.home_page_url),
        episodes: document.items.0.into_iter().take(MAX_EPISODES).filter_map(|item| episode(item, base)).collect(),
        damage: too_many.then_some(Damage::TooMany),
        ..Feed::default()
    })
}

fn episode(item: Item, base: &Url) -> Option<super::Episode> {
    let mut draft = Draft::default();
    match &item.id {
        serde_json::Value::String(id) => draft.guid(id),
        serde_json::Value::Number(id) => draft.guid(&id.to_string()),
        _ => {}
    }
    let notes = [(Note::Short, item.summary), (Note::Summary, item.content_text), (Note::Full, item.content_html)];
    for (rank, note) in notes {
        if let Some(note) = note {
            draft.note(rank, &note);
        }
    }
    let seconds = |attachment: &Attachment| values::duration_ms(&attachment.duration_in_seconds?.to_string());
    draft.episode.duration_ms = item.attachments.0.iter().find_map(seconds);
    draft.episode.title = item.title.and_then(|title| text::title(&title));
    draft.episode.published = item.date_published.and_then(|date| values::time(&date));
    draft.episode.image = item.image.and_then(|image| linked(&image, base)).map(String::from);
    draft.episode.link = item.url.and_then(|url| linked(&url, base)).map(String::from);
    for attachment in item.attachments.0 {
        draft.enclose(Some(attachment.url), attachment.mime_type, attachment.size_in_bytes.map(|n| n.to_string()));
    }
    draft.finish(base)
}
