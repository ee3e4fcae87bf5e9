//! Lists of podcasts as players exchange them: OPML, or addresses line by line.

use std::fmt::Write as _;

use crate::{
    ids::feed_url,
    store::{MAX_SHOWS, Seed},
    text,
    xml::Xml,
};

/// Why a list cannot be taken over; for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) String);

/// The feeds of an OPML document, in its order.
pub(crate) fn read(document: &str) -> Result<Vec<Seed>, Refused> {
    let refused = |why: &str| Refused(format!("The OPML {why}."));
    let mut xml = Xml::new(document.trim_start());
    let root = xml.child(0).ok().flatten().ok_or_else(|| refused("is no XML"))?;
    if !root.name().eq_ignore_ascii_case("opml") {
        return Err(refused("is none: its first element is not <opml>"));
    }
    let mut seeds: Vec<Seed> = Vec::new();
    while let Some(outline) = xml.descendant().map_err(|_| refused("is broken XML"))? {
        let Some(url) = outline.attribute("xmlUrl").and_then(|url| feed_url(&url)) else { continue };
        let title = outline.attribute("text").or_else(|| outline.attribute("title"));
        let seed = Seed { url: url.into(), title: title.and_then(|title| text::title(&title)) };
        if seeds.len() == MAX_SHOWS {
            return Err(refused(&format!("has more than {MAX_SHOWS} podcasts")));
        }
        seeds.push(seed);
    }
    if seeds.is_empty() { Err(refused("names no podcast")) } else { Ok(seeds) }
}

/// The feeds that stand in a text line by line.
pub(crate) fn lines(text: &str) -> Result<Vec<Seed>, Refused> {
    let lines = text.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty());
    let seed = |(n, line): (usize, &str)| match feed_url(line) {
        Some(url) => Ok(Seed { url: url.into(), title: None }),
        None => Err(Refused(format!("Line {} is no address of a feed; it has to begin with https://.", n + 1))),
    };
    let seeds: Vec<Seed> = lines.enumerate().take(MAX_SHOWS + 1).map(seed).collect::<Result<_, _>>()?;
    match seeds.len() > MAX_SHOWS {
        true => Err(Refused(format!("These are more than {MAX_SHOWS} addresses."))),
        false => Ok(seeds),
    }
}

/// An OPML document of feeds.
pub(crate) fn write<'a>(feeds: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<opml version=\"2.0\">\n");
    out.push_str("<head><title>Podcasts</title></head>\n<body>\n");
    for (url, title) in feeds {
        let (url, title) = (escape(url), escape(title));
        // Writing to a string cannot fail.
        let _ = writeln!(out, "<outline type=\"rss\" text=\"{title}\" xmlUrl=\"{url}\"/>");
    }
    out.push_str("</body>\n</opml>\n");
    out
}

fn escape(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_players_are_read_and_written() {
        let text = r#"<?xml version="1.0"?><opml version="1.0"><head><title>x</title></head><body>
            <outline text="Folder"><outline type="rss" text="A &amp; B" xmlUrl="https://a.example/f?x=1&amp;y=2"/></outline>
            <outline title="C" xmlurl="feed://c.example/f"></outline><outline text="no feed"/>
            <outline text="bad" xmlUrl="file:///etc/passwd"/></body></opml>"#;
        let seeds = read(text).unwrap();
        let seed = |url: &str, title: &str| Seed { url: url.into(), title: Some(title.into()) };
        assert_eq!(seeds, [seed("https://a.example/f?x=1&y=2", "A & B"), seed("https://c.example/f", "C")]);
        let written = write(seeds.iter().map(|seed| (seed.url.as_str(), seed.title.as_deref().unwrap_or_default())));
        assert_eq!(read(&written).unwrap(), seeds);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, word) in [
            ("", "no XML"),
            ("<rss/>", "<opml>"),
            ("<opml><body></opml>", "broken"),
            ("<opml><body/></opml>", "no podcast"),
            (&format!("<opml>{}", "<outline>".repeat(1000)), "broken"),
            (&format!("<opml>{}</opml>", "<outline xmlUrl='https://a.example/'/>".repeat(MAX_SHOWS + 1)), "more than"),
        ] {
            assert!(read(text).unwrap_err().0.contains(word), "{:.60}: {:?}", text, read(text));
        }
        assert_eq!(lines("https://a.example/f\n\n  feed://b.example/g \r\n").unwrap().len(), 2);
        assert!(lines("https://a.example/f\nnothing").unwrap_err().0.starts_with("Line 2"));
        assert!(lines(&"https://a.example/f\n".repeat(MAX_SHOWS + 1)).is_err());
        assert_eq!(lines(" \n").unwrap(), []);
    }
}
