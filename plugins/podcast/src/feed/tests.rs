//! Feeds of all formats, broken ones and hostile ones.

use super::*;

const NOW: i64 = 1_780_000_000;

fn base() -> Url {
    Url::parse("https://feeds.example.org/show/rss.xml").unwrap()
}

fn read(text: &str) -> Result<Feed, NotAFeed> {
    parse(text.as_bytes(), None, &base(), NOW)
}

fn rss(items: &str) -> String {
    format!("<rss version='2.0'><channel><title>T</title>{items}</channel></rss>")
}

const PODCAST: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:i="http://www.itunes.com/dtds/podcast-1.0.dtd" xmlns:content="http://purl.org/rss/1.0/modules/content/"
 xmlns:podcast="https://podcastindex.org/namespace/1.0">
<channel>
  <title>Night Trains &amp; Others</title>
  <link>https://trains.example.org</link>
  <description><![CDATA[<p>All about <b>trains</b>.</p>]]></description>
  <i:author>Rail People</i:author>
  <i:explicit>no</i:explicit>
  <image><url>/small.png</url><title>no title of the show</title><link>https://elsewhere.example</link></image>
  <i:image href="https://trains.example.org/cover.jpg"/>
  <i:new-feed-url>https://new.example.org/rss</i:new-feed-url>
  <podcast:person role="A Role Of Our Own">Somebody</podcast:person>
  <item>
    <title>Two</title>
    <guid isPermaLink="false"> ep-2 </guid>
    <pubDate>Thu, 21 May 2026 12:00:00 GMT</pubDate>
    <enclosure url="/audio/2.mp3?a=1&amp;b=2" length="12345" type="audio/mp3"/>
    <i:duration>45:30</i:duration>
    <i:season>1</i:season><i:episode>2</i:episode>
    <i:explicit>true</i:explicit>
    <i:image href="/two.jpg"/>
    <description>Short</description>
    <content:encoded><![CDATA[Long &amp; <a href="https://x.example">linked</a>]]></content:encoded>
    <link>https://trains.example.org/2</link>
  </item>
  <item><title>A post without audio</title><guid>post</guid></item>
  <item>
    <title>Three</title>
    <pubDate>Fri, 22 May 2026 12:00:00 GMT</pubDate>
    <enclosure url="https://cdn.example.org/3.m4a" length="0" type=""/>
  </item>
</channel></rss>"#;

#[test]
fn a_podcast_is_read() {
    let feed = read(PODCAST).unwrap();
    assert_eq!(feed.title.as_deref(), Some("Night Trains & Others"));
    assert_eq!(feed.description.as_deref(), Some("All about trains."));
    assert_eq!((feed.publisher.as_deref(), feed.explicit), (Some("Rail People"), Some(false)));
    assert_eq!(feed.image.as_deref(), Some("https://trains.example.org/cover.jpg"));
    assert_eq!(feed.link.as_deref(), Some("https://trains.example.org/"));
    assert_eq!(feed.moved_to.as_ref().map(Url::as_str), Some("https://new.example.org/rss"));
    assert_eq!(feed.damage, None);
    let [three, two] = feed.episodes.as_slice() else { panic!("{:?}", feed.episodes) };
    let expected = Episode {
        guid: "ep-2".into(),
        title: Some("Two".into()),
        description: Some("Long & linked".into()),
        audio: Some(Enclosure {
            url: "https://feeds.example.org/audio/2.mp3?a=1&b=2".into(),
            content_type: "audio/mpeg".into(),
            size: Some(12345),
        }),
        duration_ms: Some(2_730_000),
        published: Some(1_779_364_800),
        season: Some(1),
        number: Some(2),
        explicit: Some(true),
        image: Some("https://feeds.example.org/two.jpg".into()),
        link: Some("https://trains.example.org/2".into()),
    };
    assert_eq!(*two, expected);
    assert_eq!(two.id(), Id::of("ep-2"));
    assert_eq!(three.id(), Id::of("https://cdn.example.org/3.m4a"), "known by its audio where it has no guid");
    let audio = three.audio.as_ref().unwrap();
    assert_eq!((audio.content_type.as_str(), audio.size), ("audio/mp4", None));
}

#[test]
fn atom_and_json_say_the_same() {
    let atom = r#"<feed xmlns="http://www.w3.org/2005/Atom"><title>T</title><subtitle>S</subtitle>
        <author><name>A</name><email>a@b.example</email></author><logo>/logo.png</logo>
        <link rel="self" href="/self"/><link href="https://t.example/"/>
        <entry><id>e1</id><title type="html">One &amp;amp; only</title><updated>2026-05-21T12:00:00Z</updated>
          <content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>Text <b>bold</b></p></div></content>
          <link rel="enclosure" type="audio/ogg" length="77" href="/1.ogg"/><link rel="alternate" href="/1"/></entry></feed>"#;
    let json = r#"{"version": "https://jsonfeed.org/version/1.1", "title": "T", "description": "S", "icon": "/logo.png",
        "home_page_url": "https://t.example/", "authors": [{"name": "A"}], "items": [7, {"id": "e1", "title": "One & only",
        "content_html": "<p>Text <b>bold</b></p>", "date_published": "2026-05-21T12:00:00Z", "url": "/1",
        "attachments": [{"url": "/1.ogg", "mime_type": "audio/ogg", "size_in_bytes": 77, "duration_in_seconds": 90}]}]}"#;
    let (atom, json) = (read(atom).unwrap(), read(json).unwrap());
    assert_eq!(atom.episodes[0].title.as_deref(), Some("One & only"));
    assert_eq!(json.episodes[0].duration_ms, Some(90_000));
    let mut same = json.clone();
    same.episodes[0].duration_ms = None;
    assert_eq!(atom, same);
}

#[test]
fn old_formats_and_unnamed_prefixes_are_read() {
    let rdf = "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#' xmlns='http://purl.org/rss/1.0/'>\
        <channel><title>Old</title></channel><item><title>E</title><enclosure url='/a.mp3'/></item></rdf:RDF>";
    assert_eq!(read(rdf).unwrap().episodes.len(), 1);
    let bare = rss("<item><itunes:duration>60</itunes:duration><enclosure url='/a.mp3'/></item>")
        .replace(" version='2.0'", "");
    assert_eq!(read(&bare).unwrap().episodes[0].duration_ms, Some(60_000));
    let foreign = rss("<item><x:title xmlns:x='urn:x'>no</x:title><title>yes</title><enclosure url='/a.mp3'/></item>");
    assert_eq!(read(&foreign).unwrap().episodes[0].title.as_deref(), Some("yes"));
    let media = rss(
        "<item><media:group><media:content url='/b.jpg' medium='image'/><media:content url='/a.mp3' type='audio/mpeg' \
         fileSize='9' duration='61'/></media:group></item>",
    );
    let episode = read(&media).unwrap().episodes.remove(0);
    assert_eq!((episode.audio.unwrap().size, episode.duration_ms), (Some(9), Some(61_000)));
}

#[test]
fn the_best_enclosure_is_taken_and_only_from_the_web() {
    let one = |items: &str| read(&rss(items)).unwrap().episodes.remove(0).audio.map(|audio| audio.url);
    let several = "<item><enclosure url='/a.pdf' type='application/pdf'/><enclosure url='/a.mp4' type='video/mp4'/>\
                   <enclosure url='/a.mp3' type='audio/mpeg'/></item>";
    assert_eq!(one(several).as_deref(), Some("https://feeds.example.org/a.mp3"));
    for bad in
        ["file:///etc/passwd", "data:audio/mpeg;base64,AAAA", "javascript:alert(1)", "", "ftp://a.example/b", "http://"]
    {
        let audio =
            one(&format!("<item><title>x</title><guid>g</guid><enclosure url=\"{bad}\" type='audio/mpeg'/></item>"));
        assert!(audio.is_none_or(|url| url.starts_with("https://feeds.example.org/")), "{bad}");
    }
    assert_eq!(one("<item><guid>g</guid><enclosure url='file:///etc/passwd'/></item>"), None);
    let posts = "<item><enclosure url='/a.jpg' type='image/jpeg'/></item><item><enclosure url='data:,x' type='text/plain'/></item>";
    assert!(read(&rss(posts)).unwrap().episodes.is_empty(), "posts with a picture are no episodes");
}

#[test]
fn absurd_times_and_repeated_guids_are_left_out() {
    let item = |guid: &str, date: &str| {
        format!(
            "<item><guid>{guid}</guid><title>{date}</title><pubDate>{date}</pubDate><enclosure url='/{guid}.mp3'/></item>"
        )
    };
    let feed = read(&rss(&[
        item("a", "Thu, 01 Jan 1970 00:00:00 GMT"),
        item("b", "Thu, 21 May 9999 12:00:00 GMT"),
        item("c", "Thu, 21 May 2026 12:00:00 GMT"),
        item("c", "Fri, 22 May 2026 12:00:00 GMT"),
    ]
    .concat()))
    .unwrap();
    let times: Vec<_> = feed.episodes.iter().map(|episode| (episode.guid.as_str(), episode.published)).collect();
    assert_eq!(times, [("c", Some(1_779_364_800)), ("a", None), ("b", None)]);
}

#[test]
fn what_is_no_feed_is_told() {
    for (text, why) in [
        ("<!DOCTYPE html><html></html>", NotAFeed::WebPage),
        ("\u{feff} \n<html lang='en'>", NotAFeed::WebPage),
        ("<HTML>", NotAFeed::WebPage),
        ("hello", NotAFeed::Unknown),
        ("", NotAFeed::Unknown),
        ("<opml/>", NotAFeed::Unknown),
        ("<rss version='2.0'></rss>", NotAFeed::Unknown),
        ("<rss", NotAFeed::Malformed),
        ("<rss><channel><a></b>", NotAFeed::Malformed),
        ("{}", NotAFeed::Unknown),
        (r#"{"version": "2", "items": []}"#, NotAFeed::Unknown),
        ("{\"version\": \"https://jsonfeed.org/version/1\", \"items\": [", NotAFeed::Unknown),
    ] {
        assert_eq!(read(text).unwrap_err(), why, "{text}");
    }
}

#[test]
fn a_feed_that_breaks_off_keeps_what_came_before() {
    let whole = rss(&"<item><title>E</title><enclosure url='/a.mp3'/></item>".repeat(2).replacen("a.mp3", "b.mp3", 1));
    let feed = read(whole.split_once("</channel>").unwrap().0).unwrap();
    assert_eq!((feed.episodes.len(), feed.damage), (2, Some(Damage::Broken)));
    let amp = rss("<item><title>Q & A &nbsp; R&eacute;sum&eacute;</title><enclosure url='/a.mp3?x=1&y=2'/></item>");
    let episode = read(&amp).unwrap().episodes.remove(0);
    assert_eq!(episode.title.as_deref(), Some("Q & A Résumé"));
    assert_eq!(episode.audio.unwrap().url, "https://feeds.example.org/a.mp3?x=1&y=2");
}

#[test]
fn hostile_documents_are_read_in_bounds() {
    let mut laughs = String::from("<!DOCTYPE r [<!ENTITY a0 'ha'>");
    for n in 1..30 {
        laughs += &format!("<!ENTITY a{n} '{}'>", format!("&a{};", n - 1).repeat(10));
    }
    let laughs = laughs + "]>" + &rss("<item><title>&a29;</title><enclosure url='/a.mp3'/></item>");
    assert_eq!(read(&laughs).unwrap().episodes[0].title.as_deref(), Some("&a29;"));
    let outside =
        "<!DOCTYPE r [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>".to_owned() + &rss("<description>&x;</description>");
    assert_eq!(read(&outside).unwrap().description.as_deref(), Some("&x;"));
    let deep = rss(&format!("<item>{}</item>", "<a>".repeat(200_000)));
    assert_eq!(read(&deep).unwrap().damage, Some(Damage::Broken));
    let attributes: String = (0..300_000).map(|n| format!(" a{n}='x'")).collect();
    let flood =
        rss(&format!("<item><guid>g</guid><enclosure{attributes} url='/late.mp3'/><enclosure url='/a.mp3'/></item>"));
    let audio = read(&flood).unwrap().episodes.remove(0).audio.unwrap();
    assert_eq!(audio.url, "https://feeds.example.org/a.mp3", "attributes beyond the limit are not looked at");
    let namespaces: String = (0..100_000).map(|n| format!(" xmlns:n{n}='urn:{n}'")).collect();
    assert!(read(&format!("<rss{namespaces}><channel><title>T</title></channel></rss>")).is_ok());
    let long = rss(&format!("<description>{}</description>", "x".repeat(5 << 20)));
    assert!(read(&long).unwrap().description.unwrap().len() <= 4000);
    let items = rss(&"<item/>".repeat(300_000));
    assert_eq!(read(&items).unwrap().episodes.len(), 0);
    let json = format!("{{\"version\": \"https://jsonfeed.org/version/1\", \"x\": {}", "[".repeat(100_000));
    assert_eq!(read(&json).unwrap_err(), NotAFeed::Unknown);
}

#[test]
fn more_episodes_than_are_read_are_told() {
    let many: String = (0..=MAX_EPISODES).map(|n| format!("<item><enclosure url='/{n}.mp3'/></item>")).collect();
    let feed = read(&rss(&many)).unwrap();
    assert_eq!((feed.episodes.len(), feed.damage), (MAX_EPISODES, Some(Damage::TooMany)));
    let items: Vec<String> =
        (0..=MAX_EPISODES).map(|n| format!(r#"{{"attachments": [{{"url": "/{n}.mp3"}}]}}"#)).collect();
    let json = format!(r#"{{"version": "https://jsonfeed.org/version/1", "items": [{}]}}"#, items.join(","));
    let feed = read(&json).unwrap();
    assert_eq!((feed.episodes.len(), feed.damage), (MAX_EPISODES, Some(Damage::TooMany)));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]

    /// Bytes of a good feed that were changed, cut out or doubled.
    #[test]
    fn mutated_feeds_never_panic(
        edits in proptest::collection::vec((0usize..PODCAST.len(), 0u8..4, proptest::prelude::any::<u8>()), 1..40),
    ) {
        let mut bytes = PODCAST.as_bytes().to_vec();
        for (at, how, byte) in edits {
            let at = at % bytes.len().max(1);
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.drain(at..(at + usize::from(byte)).min(bytes.len()))),
                _ => {
                    let part = bytes[at..(at + usize::from(byte)).min(bytes.len())].to_vec();
                    bytes.splice(at..at, part);
                }
            }
            if bytes.is_empty() {
                break;
            }
        }
        if let Ok(feed) = parse(&bytes, None, &base(), NOW) {
            proptest::prop_assert!(feed.episodes.len() < 10);
            for audio in feed.episodes.iter().filter_map(|episode| episode.audio.as_ref()) {
                proptest::prop_assert!(audio.url.starts_with("http"));
            }
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        let _ = parse(&bytes, Some("text/xml; charset=x"), &base(), NOW);
        let _ = parse(&[b"<rss>", bytes.as_slice()].concat(), None, &base(), NOW);
    }
}
