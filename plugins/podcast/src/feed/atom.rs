//! Atom.

use url::Url;

use super::{Damage, Draft, Feed, MAX_EPISODES, Note, linked, values};
use crate::{
    text,
    xml::{Broken, Element, Ns, Xml},
};

/// Reads the children of `feed`.
pub(super) fn read(xml: &mut Xml<'_>, base: &Url, feed: &mut Feed) -> Result<(), Broken> {
    let depth = xml.depth();
    while let Some(element) = xml.child(depth)? {
        match (element.ns, element.name()) {
            (Ns::Own | Ns::Atom, "entry") if feed.episodes.len() == MAX_EPISODES => {
                feed.damage = Some(Damage::TooMany);
                return Ok(());
            }
            (Ns::Own | Ns::Atom, "entry") => entry(xml, base, feed)?,
            (Ns::Own | Ns::Atom, "title") => feed.title = text::title(&xml.text()?).or(feed.title.take()),
            (Ns::Own | Ns::Atom, "subtitle") => {
                feed.description = text::description(&xml.text()?).or(feed.description.take());
            }
            (Ns::Own | Ns::Atom, "author") => feed.publisher = name(xml)?.or(feed.publisher.take()),
            (Ns::Own | Ns::Atom, "logo") => {
                feed.image = linked(&xml.text()?, base).map(String::from).or(feed.image.take());
            }
            (Ns::Own | Ns::Atom, "icon") => {
                feed.image = feed.image.take().or(linked(&xml.text()?, base).map(String::from));
            }
            (Ns::Own | Ns::Atom, "link") if is_page(&element) => {
                feed.link = feed.link.take().or(href(&element, base));
            }
            (Ns::Itunes, "image") => feed.image = href(&element, base).or(feed.image.take()),
            (Ns::Itunes, "explicit") => feed.explicit = values::explicit(&xml.text()?).or(feed.explicit),
            _ => {}
        }
    }
    Ok(())
}

fn href(element: &Element<'_>, base: &Url) -> Option<String> {
    linked(&element.attribute("href")?, base).map(String::from)
}

/// Whether a link leads to the page of what it stands in.
fn is_page(element: &Element<'_>) -> bool {
    element.attribute("rel").is_none_or(|rel| rel == "alternate")
}

fn name(xml: &mut Xml<'_>) -> Result<Option<String>, Broken> {
    let (depth, mut found) = (xml.depth(), None);
    while let Some(element) = xml.child(depth)? {
        if element.name() == "name" {
            found = text::title(&xml.text()?);
        }
    }
    Ok(found)
}

fn entry(xml: &mut Xml<'_>, base: &Url, feed: &mut Feed) -> Result<(), Broken> {
    let (depth, mut draft) = (xml.depth(), Draft::default());
    let mut updated = None;
    while let Some(element) = xml.child(depth)? {
        let episode = &mut draft.episode;
        match (element.ns, element.name()) {
            (Ns::Own | Ns::Atom, "link") if element.attribute("rel").as_deref() == Some("enclosure") => {
                draft.enclose(element.attribute("href"), element.attribute("type"), element.attribute("length"));
            }
            (Ns::Own | Ns::Atom, "link") if is_page(&element) => {
                episode.link = episode.link.take().or(href(&element, base));
            }
            (Ns::Own | Ns::Atom, "title") => episode.title = text::title(&xml.text()?).or(episode.title.take()),
            (Ns::Own | Ns::Atom, "id") => draft.guid(&xml.text()?),
            (Ns::Own | Ns::Atom, "summary") => draft.note(Note::Summary, &xml.text()?),
            (Ns::Own | Ns::Atom, "content") => draft.note(Note::Full, &xml.text()?),
            (Ns::Own | Ns::Atom, "published") => episode.published = values::time(&xml.text()?).or(episode.published),
            (Ns::Own | Ns::Atom, "updated") => updated = values::time(&xml.text()?),
            (Ns::Itunes, "image") => episode.image = href(&element, base).or(episode.image.take()),
            (Ns::Itunes, "duration") => episode.duration_ms = values::duration_ms(&xml.text()?),
            (Ns::Itunes | Ns::Podcast, "season") => episode.season = values::number(&xml.text()?),
            (Ns::Itunes | Ns::Podcast, "episode") => episode.number = values::number(&xml.text()?),
            (Ns::Itunes, "explicit") => episode.explicit = values::explicit(&xml.text()?),
            _ => {}
        }
    }
    draft.episode.published = draft.episode.published.or(updated);
    feed.episodes.extend(draft.finish(base));
    Ok(())
}
