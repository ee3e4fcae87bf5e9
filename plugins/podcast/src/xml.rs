//! Reading of XML that anybody may have written: one pass, no tree, and a limit on everything.
//!
//! Entities that a document declares are never looked at, so they cannot grow. Elements and attributes beyond the limits
//! are passed over or end the reading; broken markup ends it too, and what was read before stays.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};

use crate::text;

/// How deep elements may lie in one another.
const MAX_DEPTH: usize = 64;
/// The attributes that are looked at of one element.
const MAX_ATTRIBUTES: usize = 64;
/// The longest text of one element that is kept, in bytes.
const MAX_TEXT: usize = 64 << 10;
/// How much of a document is searched for its encoding, in bytes.
const PROLOGUE: usize = 256;

/// Why a document cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The markup is no XML, or ends in the middle.
    Malformed,
    /// Elements lie too deep in one another.
    TooDeep,
}

/// The vocabularies that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ns {
    /// Without a prefix: the format's own.
    Own,
    Atom,
    Content,
    DublinCore,
    Itunes,
    Media,
    Podcast,
    Rdf,
    Other,
}

impl Ns {
    fn of_uri(uri: &str) -> Option<Self> {
        let uri = uri.trim().trim_end_matches('/').to_ascii_lowercase();
        let uri = uri.split_once("://").map_or(uri.as_str(), |(_, rest)| rest);
        Some(match uri {
            "www.w3.org/2005/atom" => Self::Atom,
            "purl.org/rss/1.0/modules/content" => Self::Content,
            "purl.org/dc/elements/1.1" => Self::DublinCore,
            "www.itunes.com/dtds/podcast-1.0.dtd" => Self::Itunes,
            "search.yahoo.com/mrss" => Self::Media,
            "podcastindex.org/namespace/1.0"
            | "github.com/podcastindex-org/podcast-namespace/blob/main/docs/1.0.md" => Self::Podcast,
            "www.w3.org/1999/02/22-rdf-syntax-ns#" => Self::Rdf,
            "purl.org/rss/1.0" => Self::Own,
            _ => return None,
        })
    }

    /// What a prefix usually stands for: many feeds use one without saying what it is.
    fn of_prefix(prefix: &str) -> Self {
        match prefix {
            "atom" | "atom10" | "a10" => Self::Atom,
            "content" => Self::Content,
            "dc" => Self::DublinCore,
            "itunes" => Self::Itunes,
            "media" => Self::Media,
            "podcast" => Self::Podcast,
            "rdf" => Self::Rdf,
            _ => Self::Other,
        }
    }
}

/// The start of an element.
pub(crate) struct Element<'a> {
    pub(crate) ns: Ns,
    start: BytesStart<'a>,
}

impl Element<'_> {
    /// The name without its prefix.
    pub(crate) fn name(&self) -> &str {
        let name = self.start.name().0;
        name.rsplit_once(':').map_or(name, |(_, local)| local)
    }

    /// The value of an attribute.
    pub(crate) fn attribute(&self, name: &str) -> Option<String> {
        self.attributes().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn attributes(&self) -> impl Iterator<Item = (String, String)> {
        // Without checks: they compare each attribute with every other one.
        let mut attributes = self.start.html_attributes();
        attributes.with_checks(false);
        attributes.take(MAX_ATTRIBUTES).flatten().map(|attribute| {
            let mut value = String::new();
            unescape(&attribute.value, &mut value);
            (attribute.key.0.to_owned(), value)
        })
    }
}

/// Resolves what XML and HTML name; what they do not stays as it is.
fn unescape(raw: &str, out: &mut String) {
    let mut rest = raw;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let end = rest.bytes().take(32).position(|b| b == b';');
        match end.filter(|end| text::resolve(&rest[..*end], out).is_some()) {
            Some(end) => rest = &rest[end + 1..],
            None => out.push('&'),
        }
    }
    out.push_str(rest);
}

/// A document that is being read.
pub(crate) struct Xml<'a> {
    reader: Reader<&'a [u8]>,
    depth: usize,
    prefixes: Vec<(String, Ns)>,
}

impl<'a> Xml<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let mut reader = Reader::from_str(text);
        let config = reader.config_mut();
        config.expand_empty_elements = true;
        config.allow_dangling_amp = true;
        config.check_end_names = true;
        Self { reader, depth: 0, prefixes: Vec::new() }
    }

    /// How deep the reader is: 0 outside the root.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// The next element within the one that lies at a depth; none at that one's end. What was not read of the element
    /// before is passed over.
    pub(crate) fn child(&mut self, depth: usize) -> Result<Option<Element<'a>>, Broken> {
        loop {
            match self.event()? {
                Event::Start(start) if self.depth == depth + 1 => return Ok(Some(self.element(start))),
                Event::End(_) if self.depth < depth => return Ok(None),
                Event::Eof if depth == 0 => return Ok(None),
                Event::Eof => return Err(Broken::Malformed),
                _ => {}
            }
        }
    }

    /// The next element, however deep; none at the document's end.
    pub(crate) fn descendant(&mut self) -> Result<Option<Element<'a>>, Broken> {
        loop {
            match self.event()? {
                Event::Start(start) => return Ok(Some(self.element(start))),
                Event::Eof if self.depth == 0 => return Ok(None),
                Event::Eof => return Err(Broken::Malformed),
                _ => {}
            }
        }
    }

    /// The text of the element that was begun last, with that of all elements in it, to its end.
    pub(crate) fn text(&mut self) -> Result<String, Broken> {
        let (depth, mut out) = (self.depth, String::new());
        loop {
            match self.event()? {
                Event::Text(text) => push(&mut out, &text),
                Event::CData(text) => push(&mut out, &text),
                Event::GeneralRef(name) if out.len() < MAX_TEXT && text::resolve(&name, &mut out).is_none() => {
                    out.push('&');
                    push(&mut out, &name);
                    out.push(';');
                }
                Event::Start(_) => push(&mut out, " "),
                Event::End(_) if self.depth < depth => return Ok(out),
                Event::Eof => return Err(Broken::Malformed),
                _ => {}
            }
        }
    }

    fn event(&mut self) -> Result<Event<'a>, Broken> {
        let event = self.reader.read_event().map_err(|_| Broken::Malformed)?;
        match &event {
            Event::Start(_) if self.depth == MAX_DEPTH => return Err(Broken::TooDeep),
            Event::Start(_) => self.depth += 1,
            Event::End(_) => self.depth -= 1,
            _ => {}
        }
        Ok(event)
    }

    fn element(&mut self, start: BytesStart<'a>) -> Element<'a> {
        let mut element = Element { ns: Ns::Own, start };
        // Feeds say at their root or channel what their prefixes stand for; elsewhere the usual meaning is taken.
        if self.depth <= 2 {
            self.declare(&element);
        }
        element.ns = match element.start.name().0.rsplit_once(':') {
            None => Ns::Own,
            Some((prefix, _)) => self.meaning(prefix),
        };
        element
    }

    fn declare(&mut self, element: &Element<'_>) {
        for (name, uri) in element.attributes() {
            if let Some(prefix) = name.strip_prefix("xmlns:")
                && self.prefixes.len() < MAX_ATTRIBUTES
            {
                let ns = Ns::of_uri(&uri).unwrap_or(Ns::Other);
                self.prefixes.push((prefix.to_owned(), ns));
            }
        }
    }

    fn meaning(&self, prefix: &str) -> Ns {
        let declared = self.prefixes.iter().rev().find(|(name, _)| name == prefix).map(|(_, ns)| *ns);
        declared.unwrap_or_else(|| Ns::of_prefix(prefix))
    }
}

fn push(out: &mut String, text: &str) {
    let room = MAX_TEXT.saturating_sub(out.len());
    out.push_str(&text[..text.floor_char_boundary(room)]);
}

/// A document's text, by its byte order mark, its declaration, or what came with it; what it says wrongly of being UTF-8
/// is taken for what it then usually is.
pub(crate) fn decode<'a>(bytes: &'a [u8], content_type: Option<&str>) -> Cow<'a, str> {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return encoding.decode_without_bom_handling(&bytes[mark..]).0;
    }
    let declared = declared(bytes).filter(|encoding| encoding.is_ascii_compatible());
    let sent = content_type.and_then(charset).filter(|encoding| encoding.is_ascii_compatible());
    let encoding = declared.or(sent).unwrap_or(UTF_8);
    if encoding != UTF_8 {
        return encoding.decode_without_bom_handling(bytes).0;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        // One bad byte in a long text is a slip, many are another encoding.
        Err(_) if slips(bytes) => String::from_utf8_lossy(bytes),
        Err(_) => sent.filter(|sent| *sent != UTF_8).unwrap_or(WINDOWS_1252).decode_without_bom_handling(bytes).0,
    }
}

/// Whether most of what is not ASCII is UTF-8.
fn slips(bytes: &[u8]) -> bool {
    let (mut good, mut bad) = (0usize, 0usize);
    for chunk in bytes.utf8_chunks() {
        good += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        bad += usize::from(!chunk.invalid().is_empty());
    }
    good > bad
}

/// The encoding that an XML declaration names.
fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(PROLOGUE)]);
    let declaration = head.trim_start().strip_prefix("<?xml")?.split("?>").next()?;
    label(declaration.split_once("encoding")?.1)
}

/// The encoding that a `Content-Type` names.
fn charset(content_type: &str) -> Option<&'static Encoding> {
    let at = content_type.to_ascii_lowercase().find("charset")?;
    label(content_type.get(at + "charset".len()..)?)
}

/// The encoding after an equals sign, with quotes or without.
fn label(text: &str) -> Option<&'static Encoding> {
    let value = text.trim_start().strip_prefix('=')?.trim_start().trim_start_matches(['"', '\'']);
    let end = value.find(|c: char| "\"'; \t\r\n".contains(c)).unwrap_or(value.len());
    Encoding::for_label(&value.as_bytes()[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_children_and_passes_over_what_is_not_read() {
        let text = "<!DOCTYPE r [<!ENTITY a 'aaaa'>]><r xmlns:it='http://www.itunes.com/dtds/podcast-1.0.dtd'>x\
                    <it:image href='a&amp;b'/><deep><deep/></deep><!-- c --><t>1 <b>2</b>&a;&amp;<![CDATA[<3>]]></t></r>";
        let mut xml = Xml::new(text);
        assert_eq!(xml.child(0).unwrap().unwrap().name(), "r");
        let image = xml.child(1).unwrap().unwrap();
        assert_eq!((image.ns, image.name(), image.attribute("href").as_deref()), (Ns::Itunes, "image", Some("a&b")));
        assert_eq!(xml.child(1).unwrap().unwrap().name(), "deep");
        assert_eq!(xml.child(1).unwrap().unwrap().name(), "t");
        assert_eq!(xml.text().unwrap(), "1  2&a;&<3>", "an entity of the document's own stays unread");
        assert!(xml.child(1).unwrap().is_none());
        assert!(xml.child(0).unwrap().is_none());
    }

    #[test]
    fn depth_and_breaks_end_the_reading() {
        let mut deep = Xml::new("<r>");
        deep.child(0).unwrap();
        assert_eq!(deep.child(1).err(), Some(Broken::Malformed));
        let text = "<a>".repeat(100_000);
        let mut xml = Xml::new(&text);
        xml.child(0).unwrap();
        assert_eq!(xml.text().err(), Some(Broken::TooDeep));
        let mut crossed = Xml::new("<r><a></b></r>");
        crossed.child(0).unwrap();
        assert!(crossed.child(1).is_ok());
        assert_eq!(crossed.child(1).err(), Some(Broken::Malformed));
    }

    #[test]
    fn encodings_are_those_that_are_named_or_meant() {
        let xml = |encoding: &str| format!("<?xml version='1.0' encoding='{encoding}'?><a>").into_bytes();
        let latin = [xml("ISO-8859-1"), b"\xe4".to_vec()].concat();
        assert!(decode(&latin, None).ends_with('ä'));
        let wrong = [xml("utf-8"), b"\xe4\xf6".to_vec()].concat();
        assert!(decode(&wrong, None).ends_with("äö"), "Latin-1 that says it is UTF-8");
        let slip = [xml("utf-8"), "äöü".as_bytes().to_vec(), b"\xff".to_vec()].concat();
        assert!(decode(&slip, None).ends_with("äöü\u{fffd}"));
        assert_eq!(decode(b"\xfe\xff\x00a", None), "a");
        assert_eq!(decode(b"\xcf\xf0", Some("text/xml; charset=\"windows-1251\"")), "Пр");
        assert_eq!(decode(b"a", Some("text/xml; charset=utf-16")), "a", "what it cannot be");
        assert_eq!(decode(b"\xef\xbb\xbfa", None), "a");
    }
}
