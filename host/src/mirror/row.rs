//! Turns a cleaned item into the row that the mirror keeps.

use zotify_plugin_api::{self as contract, ArtistRef, Artwork, Kind, Uri};

use super::{clean::parse_time, clean::rfc3339, fold};
use crate::api::model;

/// An item as the mirror keeps it: the API's document beside the keys to sort, filter and find it by.
#[derive(Clone, Debug)]
pub struct Row {
    /// The item's address.
    pub uri: Uri,
    /// Folded title or name.
    pub title_key: String,
    /// Artist, release, album and place, folded into one key that keeps albums together.
    pub artist_key: String,
    /// `YYYY`, `YYYY-MM` or `YYYY-MM-DD`, else empty.
    pub release_date: String,
    /// When it came into the library.
    pub added_at: i64,
    /// The album of a track, the show of an episode, else empty.
    pub parent_uri: String,
    /// The place among its parent's children.
    pub seq: i64,
    /// Length, 0 where unknown.
    pub duration_ms: i64,
    /// 1, 0, or -1 where unknown.
    pub playable: i64,
    /// Recording code.
    pub isrc: Option<String>,
    /// MusicBrainz id.
    pub mbid: Option<String>,
    /// Folded genres between bars.
    pub genres: String,
    /// What the provider needs to find it again.
    pub locator: Option<String>,
    /// Its pictures with their locators, as JSON.
    pub artwork: Option<String>,
    /// Folded words.
    pub search_text: String,
    /// The API's document.
    pub doc: String,
    /// URIs of its artists, in order.
    pub artists: Vec<String>,
    /// A playlist's version.
    pub version: Option<String>,
}

impl Row {
    /// Makes the row. `added_at` stands in where the provider does not say since when the item is in the library.
    /// None for kinds that this build does not know.
    pub fn new(mut item: contract::Item, added_at: i64) -> Option<Self> {
        let added = added_field(&mut item)?;
        let added_at = added.as_deref().and_then(parse_time).unwrap_or(added_at);
        *added = Some(rfc3339(added_at));
        let mut row = Self::keys(&item, added_at)?;
        let doc = model::Item::from_contract(item)?;
        row.doc = serde_json::to_string(&doc).ok()?;
        Some(row)
    }

    /// About how many bytes it takes.
    pub fn size(&self) -> usize {
        let texts = [&self.doc, &self.search_text, &self.title_key, &self.artist_key, &self.genres, &self.parent_uri];
        let optional = [self.artwork.as_ref(), self.locator.as_ref()];
        let optional = optional.into_iter().flatten().map(String::len).sum::<usize>();
        let artists = self.artists.iter().map(String::len).sum::<usize>();
        size_of::<Self>() + texts.into_iter().map(String::len).sum::<usize>() + optional + artists
    }

    fn keys(item: &contract::Item, added_at: i64) -> Option<Self> {
        let mut row = Self::blank(item.uri().clone(), added_at);
        match item {
            contract::Item::Track(x) => row.track(x),
            contract::Item::Album(x) => {
                row.title(&x.title, artists_of(&x.artists));
                row.by(&x.artists, x.release_date.as_ref(), &x.title);
                row.found_again(x.locator.as_ref(), &x.artwork);
                row.genres = bars(&x.genres);
                row.mbid.clone_from(&x.mbid);
            }
            contract::Item::Artist(x) => {
                row.title(&x.name, x.sort_name.as_deref());
                row.title_key = fold::key(x.sort_name.as_ref().unwrap_or(&x.name));
                row.artist_key.clone_from(&row.title_key);
                row.found_again(x.locator.as_ref(), &x.artwork);
                row.genres = bars(&x.genres);
                row.mbid.clone_from(&x.mbid);
            }
            contract::Item::Playlist(x) => {
                row.title(&x.name, x.owner.as_deref());
                row.found_again(x.locator.as_ref(), &x.artwork);
                row.version.clone_from(&x.version);
            }
            contract::Item::Show(x) => {
                row.title(&x.title, x.publisher.as_deref());
                row.artist_key = x.publisher.as_deref().map(fold::key).unwrap_or_default();
                row.found_again(x.locator.as_ref(), &x.artwork);
            }
            contract::Item::Episode(x) => row.episode(x),
            _ => return None,
        }
        Some(row)
    }

    fn blank(uri: Uri, added_at: i64) -> Self {
        Self {
            uri,
            title_key: String::new(),
            artist_key: String::new(),
            release_date: String::new(),
            added_at,
            parent_uri: String::new(),
            seq: 0,
            duration_ms: 0,
            playable: -1,
            isrc: None,
            mbid: None,
            genres: String::new(),
            locator: None,
            artwork: None,
            search_text: String::new(),
            doc: String::new(),
            artists: Vec::new(),
            version: None,
        }
    }

    fn title<'a>(&mut self, title: &'a str, also: impl IntoIterator<Item = &'a str>) {
        self.title_key = fold::key(title);
        self.search_text = fold::search_text(std::iter::once(title).chain(also));
    }

    fn by(&mut self, artists: &[ArtistRef], release_date: Option<&String>, album: &str) {
        self.release_date = release_date.cloned().unwrap_or_default();
        let artist = artists.first().map(|a| fold::key(&a.name)).unwrap_or_default();
        // A unit separator sorts before everything that a key can hold.
        self.artist_key = format!("{artist}\u{1f}{}\u{1f}{}", self.release_date, fold::key(album));
        self.artists = artists.iter().filter_map(|a| a.uri.as_ref().map(Uri::to_string)).collect();
    }

    fn found_again(&mut self, locator: Option<&String>, artwork: &[Artwork]) {
        self.locator = locator.cloned();
        self.artwork = (!artwork.is_empty()).then(|| serde_json::to_string(artwork).ok()).flatten();
    }

    fn track(&mut self, x: &contract::Track) {
        let album = x.album.as_ref();
        let album_title = album.map(|a| a.title.as_str());
        self.title(&x.title, artists_of(&x.artists).chain(album_title));
        self.by(&x.artists, x.release_date.as_ref(), album_title.unwrap_or_default());
        self.found_again(x.locator.as_ref(), &x.artwork);
        self.parent_uri = album.and_then(|a| a.uri.as_ref()).map(Uri::to_string).unwrap_or_default();
        self.seq = i64::from(x.disc_number.unwrap_or(1)) * 100_000 + i64::from(x.track_number.unwrap_or(0));
        self.artist_key.push_str(&format!("\u{1f}{:09}", self.seq));
        self.duration_ms = duration(x.duration_ms);
        self.playable = x.playable.map_or(-1, i64::from);
        self.isrc.clone_from(&x.isrc);
        self.mbid.clone_from(&x.mbid);
        self.genres = bars(&x.genres);
    }

    fn episode(&mut self, x: &contract::Episode) {
        let show = x.show.as_ref();
        self.title(&x.title, show.map(|s| s.title.as_str()));
        self.found_again(x.locator.as_ref(), &x.artwork);
        self.release_date = x.release_date.clone().unwrap_or_default();
        self.artist_key = show.map(|s| fold::key(&s.title)).unwrap_or_default();
        self.parent_uri = show.and_then(|s| s.uri.as_ref()).map(Uri::to_string).unwrap_or_default();
        self.seq = newest_first(&self.release_date, x.episode_number);
        self.duration_ms = duration(x.duration_ms);
        self.playable = x.playable.map_or(-1, i64::from);
    }

    /// What the item is.
    pub fn kind(&self) -> Kind {
        self.uri.kind()
    }
}

fn added_field(item: &mut contract::Item) -> Option<&mut Option<String>> {
    Some(match item {
        contract::Item::Track(x) => &mut x.added_at,
        contract::Item::Album(x) => &mut x.added_at,
        contract::Item::Artist(x) => &mut x.added_at,
        contract::Item::Playlist(x) => &mut x.added_at,
        contract::Item::Show(x) => &mut x.added_at,
        contract::Item::Episode(x) => &mut x.added_at,
        _ => return None,
    })
}

fn artists_of(artists: &[ArtistRef]) -> impl Iterator<Item = &str> {
    artists.iter().map(|artist| artist.name.as_str())
}

fn bars(genres: &[String]) -> String {
    let folded: String = genres.iter().map(|genre| format!("{}|", fold::key(genre))).collect();
    if folded.is_empty() { folded } else { format!("|{folded}") }
}

fn duration(ms: Option<u64>) -> i64 {
    ms.and_then(|ms| i64::try_from(ms).ok()).unwrap_or(0)
}

/// Smaller for later days, and on one day for higher numbers.
fn newest_first(release_date: &str, number: Option<u32>) -> i64 {
    let mut digits: String = release_date.chars().filter(char::is_ascii_digit).collect();
    digits.extend(std::iter::repeat_n('0', 8usize.saturating_sub(digits.len())));
    let day: i64 = digits.parse().unwrap_or(0);
    (99_999_999 - day) * 100_000 + (99_999 - i64::from(number.unwrap_or(0).min(99_999)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use zotify_plugin_api::{AlbumRef, Track};

    #[test]
    fn a_track_becomes_a_row_and_a_document() {
        let mut track = Track::new("local:track:1".parse().unwrap(), "Für Élise");
        track.artists = vec![ArtistRef { name: "AC/DC".into(), uri: Some("local:artist:1".parse().unwrap()) }];
        track.album = Some(AlbumRef { title: "Best".into(), uri: Some("local:album:1".parse().unwrap()) });
        track.disc_number = Some(2);
        track.track_number = Some(3);
        track.genres = vec!["New Wave".into(), "Rock".into()];
        track.artwork = vec![Artwork { locator: "secret/path.jpg".into(), width: Some(600), height: None }];
        let row = Row::new(contract::Item::Track(track), 1_000).unwrap();
        assert_eq!(row.title_key, "fur elise");
        assert_eq!(row.search_text, "fur elise acdc ac dc best");
        assert_eq!((row.parent_uri.as_str(), row.seq), ("local:album:1", 200_003));
        assert_eq!(row.genres, "|new wave|rock|");
        assert_eq!(row.artists, ["local:artist:1"]);
        let doc: model::Track = serde_json::from_str(&row.doc).unwrap();
        assert_eq!(doc.added_at.as_deref(), Some("1970-01-01T00:00:01Z"));
        assert_eq!(doc.artwork[0].url, "/api/artwork/local:track:1?size=600");
        assert!(!row.doc.contains("secret"), "locators stay in the host");
    }

    #[test]
    fn episodes_sort_newest_first() {
        let newer = newest_first("2024-03-02", Some(7));
        assert!(newer < newest_first("2024-03-02", Some(6)));
        assert!(newer < newest_first("2024-03", None));
        assert!(newest_first("2023", None) < newest_first("", None));
    }
}
