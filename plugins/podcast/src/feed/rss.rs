//! RSS 2.0 with what podcasts add to it; RSS 0.9x and 1.0 look alike from here.

use url::Url;

use super::{Damage, Draft, Feed, MAX_EPISODES, Note, linked, values};
use crate::{
    ids::feed_url,
    text,
    xml::{Broken, Element, Ns, Xml},
};

/// Reads the children of `rss` or `RDF`. Whether there is a channel among them.
pub(super) fn read(xml: &mut Xml<'_>, base: &Url, feed: &mut Feed) -> Result<bool, Broken> {
    let (depth, mut found) = (xml.depth(), false);
    while let Some(element) = xml.child(depth)? {
        match (element.ns, element.name()) {
            (Ns::Own, "channel") => {
                channel(xml, base, feed)?;
                found = true;
            }
            // RSS 1.0 has them beside the channel.
            (Ns::Own, "item") => item(xml, base, feed)?,
            _ => {}
        }
        if feed.damage.is_some() {
            break;
        }
    }
    Ok(found)
}

fn channel(xml: &mut Xml<'_>, base: &Url, feed: &mut Feed) -> Result<(), Broken> {
    let depth = xml.depth();
    while let Some(element) = xml.child(depth)? {
        match (element.ns, element.name()) {
            (Ns::Own, "item") => item(xml, base, feed)?,
            (Ns::Own, "image") => picture(xml, base, feed)?,
            (Ns::Itunes, "image") => {
                feed.image = picture_of(&element, base).or(feed.image.take());
            }
            _ => about(xml, &element, base, feed)?,
        }
        if feed.damage.is_some() {
            return Ok(());
        }
    }
    Ok(())
}

/// What a channel says of itself in a plain text.
fn about(xml: &mut Xml<'_>, element: &Element<'_>, base: &Url, feed: &mut Feed) -> Result<(), Broken> {
    match (element.ns, element.name()) {
        (Ns::Own, "title") => feed.title = text::title(&xml.text()?).or(feed.title.take()),
        (Ns::Own, "description") => feed.description = text::description(&xml.text()?).or(feed.description.take()),
        (Ns::Itunes, "summary") => feed.description = feed.description.take().or(text::description(&xml.text()?)),
        (Ns::Itunes, "author") => feed.publisher = text::title(&xml.text()?).or(feed.publisher.take()),
        (Ns::Own, "managingEditor") | (Ns::DublinCore, "creator" | "publisher") => {
            feed.publisher = feed.publisher.take().or(text::title(&xml.text()?));
        }
        (Ns::Itunes, "explicit") => feed.explicit = values::explicit(&xml.text()?).or(feed.explicit),
        (Ns::Itunes, "new-feed-url") => feed.moved_to = feed_url(&xml.text()?),
        (Ns::Own, "link") => feed.link = feed.link.take().or(linked(&xml.text()?, base).map(String::from)),
        _ => {}
    }
    Ok(())
}

fn picture(xml: &mut Xml<'_>, base: &Url, feed: &mut Feed) -> Result<(), Broken> {
    let depth = xml.depth();
    while let Some(element) = xml.child(depth)? {
        if (element.ns, element.name()) == (Ns::Own, "url") {
            // That of iTunes is the larger one.
            feed.image = feed.image.take().or(linked(&xml.text()?, base).map(String::from));
        }
    }
    Ok(())
}

fn picture_of(element: &Element<'_>, base: &Url) -> Option<String> {
    linked(&element.attribute("href").or_else(|| element.attribute("url"))?, base).map(String::from)
}

fn item(xml: &mut Xml<'_>, base: &Url, feed: &mut Feed) -> Result<(), Broken> {
    if feed.episodes.len() == MAX_EPISODES {
        feed.damage = Some(Damage::TooMany);
        return Ok(());
    }
    let (depth, mut draft) = (xml.depth(), Draft::default());
    while let Some(element) = xml.child(depth)? {
        match (element.ns, element.name()) {
            (Ns::Own, "enclosure") => {
                draft.enclose(element.attribute("url"), element.attribute("type"), element.attribute("length"));
            }
            (Ns::Media, "content") => media(&element, &mut draft),
            (Ns::Media, "group") => group(xml, &mut draft)?,
            (Ns::Itunes, "image") => draft.episode.image = picture_of(&element, base).or(draft.episode.image),
            (Ns::Media, "thumbnail") => draft.episode.image = draft.episode.image.or(picture_of(&element, base)),
            _ => field(xml, &element, base, &mut draft)?,
        }
    }
    feed.episodes.extend(draft.finish(base));
    Ok(())
}

fn group(xml: &mut Xml<'_>, draft: &mut Draft) -> Result<(), Broken> {
    let depth = xml.depth();
    while let Some(element) = xml.child(depth)? {
        if (element.ns, element.name()) == (Ns::Media, "content") {
            media(&element, draft);
        }
    }
    Ok(())
}

/// Media of another vocabulary count only where they are audio or video: most are pictures.
fn media(element: &Element<'_>, draft: &mut Draft) {
    let said = element.attribute("type").or_else(|| Some(format!("{}/", element.attribute("medium")?)));
    let listened = said.as_deref().is_some_and(|said| said.starts_with("audio/") || said.starts_with("video/"));
    if let Some(url) = element.attribute("url").filter(|_| listened) {
        draft.enclose(Some(url), element.attribute("type"), element.attribute("fileSize"));
        let seconds = element.attribute("duration").and_then(|text| values::duration_ms(&text));
        draft.episode.duration_ms = draft.episode.duration_ms.or(seconds);
    }
}

fn field(xml: &mut Xml<'_>, element: &Element<'_>, base: &Url, draft: &mut Draft) -> Result<(), Broken> {
    let episode = &mut draft.episode;
    match (element.ns, element.name()) {
        (Ns::Own, "title") => episode.title = text::title(&xml.text()?).or(episode.title.take()),
        (Ns::Itunes, "title") => episode.title = episode.title.take().or(text::title(&xml.text()?)),
        (Ns::Own, "guid") => draft.guid(&xml.text()?),
        (Ns::Own, "description") => draft.note(Note::Summary, &xml.text()?),
        (Ns::Content, "encoded") => draft.note(Note::Full, &xml.text()?),
        (Ns::Itunes, "summary" | "subtitle") => draft.note(Note::Short, &xml.text()?),
        (Ns::Own, "pubDate") | (Ns::DublinCore, "date") => {
            episode.published = values::time(&xml.text()?).or(episode.published);
        }
        (Ns::Itunes, "duration") => episode.duration_ms = values::duration_ms(&xml.text()?).or(episode.duration_ms),
        (Ns::Itunes | Ns::Podcast, "season") => episode.season = values::number(&xml.text()?).or(episode.season),
        (Ns::Itunes | Ns::Podcast, "episode") => episode.number = values::number(&xml.text()?).or(episode.number),
        (Ns::Itunes, "explicit") => episode.explicit = values::explicit(&xml.text()?).or(episode.explicit),
        (Ns::Own, "link") => episode.link = episode.link.take().or(linked(&xml.text()?, base).map(String::from)),
        _ => {}
    }
    Ok(())
}
