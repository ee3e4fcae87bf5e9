//! Checks what a plugin returned. A bad item is dropped and named; a bad optional field is left out; everything has a limit.

use chrono::{DateTime, Datelike as _, NaiveDate, SecondsFormat, Utc};
use zotify_plugin_api::{Album, Artist, ArtistRef, Artwork, Episode, Item, Kind, Playlist, Show, Track, Uri};

/// The longest title or name, in bytes.
const MAX_TEXT: usize = 1000;
/// The longest description, in bytes.
const MAX_DESCRIPTION: usize = 8000;
/// The longest locator, in bytes.
const MAX_LOCATOR: usize = 8192;
/// The most artists, genres, composers or pictures of one item.
const MAX_LIST: usize = 50;

/// Why an item was dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The item's URI.
    pub name: String,
    /// A stable code.
    pub code: &'static str,
    /// One sentence for people.
    pub detail: String,
}

/// Checks an item of the given instance and brings it within the limits.
///
/// # Errors
/// When the item cannot be kept.
pub fn clean(item: &mut Item, instance: &str) -> Result<(), Dropped> {
    let (uri, kind) = (item.uri().clone(), item.kind());
    check(&uri, kind, instance).map_err(|(code, detail)| Dropped { name: uri.to_string(), code, detail })?;
    let locator = match item {
        Item::Track(x) => track(x),
        Item::Album(x) => album(x),
        Item::Artist(x) => artist(x),
        Item::Playlist(x) => playlist(x),
        Item::Show(x) => show(x),
        Item::Episode(x) => episode(x),
        _ => {
            let detail = "this version of the host does not know the item's kind".to_owned();
            return Err(Dropped { name: uri.to_string(), code: "unknown_kind", detail });
        }
    };
    if locator.as_ref().is_some_and(|l| l.len() > MAX_LOCATOR || l.contains('\0')) {
        let detail = format!("its locator is longer than {MAX_LOCATOR} bytes or holds a NUL");
        return Err(Dropped { name: uri.to_string(), code: "invalid_locator", detail });
    }
    Ok(())
}

/// Checks that a URI is one that the instance may speak of.
pub fn check(uri: &Uri, kind: Kind, instance: &str) -> Result<(), (&'static str, String)> {
    if uri.instance() != instance {
        return Err(("foreign_uri", format!("the URI is not one of {instance}")));
    }
    if uri.kind() != kind {
        return Err(("wrong_kind", format!("the URI is that of a {}, the item is a {kind}", uri.kind())));
    }
    Ok(())
}

fn track(x: &mut Track) -> &Option<String> {
    let instance = x.uri.instance().to_owned();
    text(&mut x.title, MAX_TEXT);
    artists(&mut x.artists, &instance);
    if let Some(album) = &mut x.album {
        text(&mut album.title, MAX_TEXT);
        reference(&mut album.uri, Kind::Album, &instance);
    }
    texts(&mut x.genres);
    texts(&mut x.composers);
    date(&mut x.release_date);
    isrc(&mut x.isrc);
    mbid(&mut x.mbid);
    pictures(&mut x.artwork);
    time(&mut x.added_at);
    web_url(&mut x.web_url);
    if let Some(gain) = &mut x.replay_gain {
        // JSON has no infinities.
        for figure in [&mut gain.track, &mut gain.album] {
            figure.take_if(|g| !g.gain_db.is_finite());
            if let Some(g) = figure {
                g.peak.take_if(|peak| !peak.is_finite());
            }
        }
    }
    &x.locator
}

fn album(x: &mut Album) -> &Option<String> {
    text(&mut x.title, MAX_TEXT);
    artists(&mut x.artists, x.uri.instance());
    texts(&mut x.genres);
    date(&mut x.release_date);
    mbid(&mut x.mbid);
    x.upc.take_if(|upc| !(6..=14).contains(&upc.len()) || !upc.bytes().all(|b| b.is_ascii_digit()));
    pictures(&mut x.artwork);
    time(&mut x.added_at);
    web_url(&mut x.web_url);
    &x.locator
}

fn artist(x: &mut Artist) -> &Option<String> {
    text(&mut x.name, MAX_TEXT);
    optional(&mut x.sort_name, MAX_TEXT);
    texts(&mut x.genres);
    mbid(&mut x.mbid);
    pictures(&mut x.artwork);
    time(&mut x.added_at);
    web_url(&mut x.web_url);
    &x.locator
}

fn playlist(x: &mut Playlist) -> &Option<String> {
    text(&mut x.name, MAX_TEXT);
    optional(&mut x.description, MAX_DESCRIPTION);
    optional(&mut x.owner, MAX_TEXT);
    optional(&mut x.version, MAX_TEXT);
    pictures(&mut x.artwork);
    time(&mut x.added_at);
    web_url(&mut x.web_url);
    &x.locator
}

fn show(x: &mut Show) -> &Option<String> {
    text(&mut x.title, MAX_TEXT);
    optional(&mut x.publisher, MAX_TEXT);
    optional(&mut x.description, MAX_DESCRIPTION);
    pictures(&mut x.artwork);
    time(&mut x.added_at);
    web_url(&mut x.web_url);
    &x.locator
}

fn episode(x: &mut Episode) -> &Option<String> {
    let instance = x.uri.instance().to_owned();
    text(&mut x.title, MAX_TEXT);
    if let Some(show) = &mut x.show {
        text(&mut show.title, MAX_TEXT);
        reference(&mut show.uri, Kind::Show, &instance);
    }
    optional(&mut x.description, MAX_DESCRIPTION);
    date(&mut x.release_date);
    pictures(&mut x.artwork);
    time(&mut x.added_at);
    web_url(&mut x.web_url);
    &x.locator
}

/// Takes control characters out and cuts what is too long.
pub fn text(text: &mut String, max: usize) {
    if text.chars().any(char::is_control) {
        *text = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    }
    text.truncate(text.floor_char_boundary(max));
    let trimmed = text.trim();
    if trimmed.len() != text.len() {
        *text = trimmed.to_owned();
    }
}

fn optional(value: &mut Option<String>, max: usize) {
    if let Some(value) = value {
        text(value, max);
    }
    value.take_if(|value| value.is_empty());
}

fn texts(values: &mut Vec<String>) {
    values.truncate(MAX_LIST);
    values.iter_mut().for_each(|value| text(value, MAX_TEXT));
    values.retain(|value| !value.is_empty());
}

fn artists(artists: &mut Vec<ArtistRef>, instance: &str) {
    artists.truncate(MAX_LIST);
    for artist in artists.iter_mut() {
        text(&mut artist.name, MAX_TEXT);
        reference(&mut artist.uri, Kind::Artist, instance);
    }
    artists.retain(|artist| !artist.name.is_empty());
}

fn reference(uri: &mut Option<Uri>, kind: Kind, instance: &str) {
    uri.take_if(|uri| check(uri, kind, instance).is_err());
}

fn pictures(pictures: &mut Vec<Artwork>) {
    pictures.retain(|picture| picture.locator.len() <= MAX_LOCATOR && !picture.locator.contains('\0'));
    pictures.truncate(MAX_LIST);
}

fn date(value: &mut Option<String>) {
    value.take_if(|value| !is_date(value));
}

/// `YYYY`, `YYYY-MM` or `YYYY-MM-DD`.
fn is_date(text: &str) -> bool {
    let full = match text.len() {
        4 => format!("{text}-01-01"),
        7 => format!("{text}-01"),
        10 => text.to_owned(),
        _ => return false,
    };
    // The parser alone would also take signs.
    let digits = |(n, b): (usize, u8)| if n == 4 || n == 7 { b == b'-' } else { b.is_ascii_digit() };
    full.bytes().enumerate().all(digits) && NaiveDate::parse_from_str(&full, "%Y-%m-%d").is_ok()
}

/// Brings a time into one form, so that it sorts and compares as text.
fn time(value: &mut Option<String>) {
    *value = value.take().and_then(|text| parse_time(&text)).map(rfc3339);
}

/// An RFC 3339 time in milliseconds since 1970; none where it falls out of the years 0000 to 9999 in UTC, where it could
/// not be written again.
pub fn parse_time(text: &str) -> Option<i64> {
    let time = DateTime::parse_from_rfc3339(text).ok()?.to_utc();
    (0..=9999).contains(&time.year()).then(|| time.timestamp_millis())
}

/// Milliseconds since 1970 as RFC 3339 UTC, to the second.
pub fn rfc3339(ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(ms).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn isrc(value: &mut Option<String>) {
    if let Some(code) = value {
        code.retain(|c| c != '-' && c != ' ');
        code.make_ascii_uppercase();
    }
    value.take_if(|code| code.len() != 12 || !code.bytes().all(|b| b.is_ascii_alphanumeric()));
}

fn mbid(value: &mut Option<String>) {
    let is_uuid = |id: &str| {
        id.len() == 36
            && id.bytes().enumerate().all(|(n, b)| match n {
                8 | 13 | 18 | 23 => b == b'-',
                _ => b.is_ascii_hexdigit(),
            })
    };
    if let Some(id) = value {
        id.make_ascii_lowercase();
    }
    value.take_if(|id| !is_uuid(id));
}

/// A recording code as it is kept: in upper case, without hyphens.
pub fn isrc_of(text: &str) -> Option<String> {
    let mut value = Some(text.to_owned());
    isrc(&mut value);
    value
}

/// A MusicBrainz id as it is kept: in lower case.
pub fn mbid_of(text: &str) -> Option<String> {
    let mut value = Some(text.to_owned());
    mbid(&mut value);
    value
}

fn web_url(value: &mut Option<String>) {
    let is_web = |text: &str| {
        let scheme = text.starts_with("https://") || text.starts_with("http://");
        // The parser passes over tabs and line ends, which have no business in an address.
        scheme && text.len() <= 2000 && !text.chars().any(char::is_control)
    };
    value.take_if(|text| !is_web(text) || url::Url::parse(text).is_err());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn drops_items_of_others_and_of_the_wrong_kind() {
        let mut foreign = Item::Track(Track::new(uri("other:track:1"), "x"));
        assert_eq!(clean(&mut foreign, "local").unwrap_err().code, "foreign_uri");
        let mut wrong = Item::Track(Track::new(uri("local:album:1"), "x"));
        assert_eq!(clean(&mut wrong, "local").unwrap_err().code, "wrong_kind");
        let mut locator = Track::new(uri("local:track:1"), "x");
        locator.locator = Some("a\0b".into());
        assert_eq!(clean(&mut Item::Track(locator), "local").unwrap_err().code, "invalid_locator");
    }

    #[test]
    fn leaves_bad_fields_out_and_keeps_the_item() {
        let mut track = Track::new(uri("local:track:1"), " Tab\tbed\u{0} ");
        track.release_date = Some("1997-13".into());
        track.isrc = Some("gb-ayk-97-00123".into());
        track.mbid = Some("not-a-uuid".into());
        track.added_at = Some("2026-05-01T10:00:00+02:00".into());
        track.web_url = Some("javascript:alert(1)".into());
        let mut broken = Some("http://example.org/?\na=b".to_owned());
        web_url(&mut broken);
        assert_eq!(broken, None);
        track.artists = vec![ArtistRef { name: "A".into(), uri: Some(uri("other:artist:1")) }];
        track.genres = vec!["x".repeat(3000); 80];
        let mut item = Item::Track(track);
        clean(&mut item, "local").unwrap();
        let Item::Track(track) = item else { unreachable!() };
        assert_eq!(track.title, "Tab bed");
        assert_eq!((track.release_date, track.mbid, track.web_url), (None, None, None));
        assert_eq!(track.isrc.as_deref(), Some("GBAYK9700123"));
        assert_eq!(track.added_at.as_deref(), Some("2026-05-01T08:00:00Z"));
        assert_eq!(track.artists[0].uri, None);
        assert_eq!((track.genres.len(), track.genres[0].len()), (MAX_LIST, MAX_TEXT));
    }

    #[test]
    fn times_can_be_written_again() {
        for (text, expected) in [
            ("0000-01-01T00:00:00Z", Some("0000-01-01T00:00:00Z")),
            ("9999-12-31T23:59:59.9Z", Some("9999-12-31T23:59:59Z")),
            ("0000-01-01T00:00:00+23:59", None),
            ("9999-12-31T23:59:59-23:00", None),
        ] {
            assert_eq!(parse_time(text).map(rfc3339).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn knows_dates() {
        assert!(["1997", "1997-05", "1997-05-21", "2024-02-29"].into_iter().all(is_date));
        assert!(["97", "1997-5", "1997-02-30", "1997-05-21T", "é997", "-997"].into_iter().all(|d| !is_date(d)));
    }
}
