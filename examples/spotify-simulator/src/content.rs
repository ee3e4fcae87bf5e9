//! What there is to hear: artists, albums, tracks, shows and episodes, made from a seed.

use std::{collections::HashMap, ops::Range};

use crate::{
    options::Options,
    random::{Random, base62},
};

/// An artist.
#[derive(Debug)]
pub(crate) struct Artist {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) genres: Vec<&'static str>,
}

/// An album.
#[derive(Debug)]
pub(crate) struct Album {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) artist: usize,
    pub(crate) tracks: Range<usize>,
    pub(crate) released: String,
    pub(crate) upc: String,
}

/// A track.
#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) album: usize,
    pub(crate) artists: Vec<usize>,
    pub(crate) number: usize,
    pub(crate) duration_ms: usize,
    pub(crate) explicit: bool,
    pub(crate) isrc: String,
}

/// A show.
#[derive(Debug)]
pub(crate) struct Show {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) publisher: String,
    pub(crate) episodes: Range<usize>,
}

/// An episode of a show.
#[derive(Debug)]
pub(crate) struct Episode {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) show: usize,
    pub(crate) duration_ms: usize,
    pub(crate) released: String,
}

/// Where something is in the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Artist(usize),
    Album(usize),
    Track(usize),
    Show(usize),
    Episode(usize),
}

/// Everything, each kind by position.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    pub(crate) artists: Vec<Artist>,
    pub(crate) albums: Vec<Album>,
    pub(crate) tracks: Vec<Track>,
    pub(crate) shows: Vec<Show>,
    pub(crate) episodes: Vec<Episode>,
    by_uri: HashMap<String, Item>,
}

const FIRST: &[&str] = &[
    "Velvet",
    "Paper",
    "Northern",
    "Broken",
    "Silver",
    "Quiet",
    "Electric",
    "Salt",
    "Golden",
    "Hollow",
    "Distant",
    "Blue",
    "Wild",
    "Second",
    "Midnight",
    "Señor",
    "Åska",
    "Kleine",
    "Été",
    "Иней",
    "夜明けの",
    "O'Neil &",
];
const SECOND: &[&str] = &[
    "Harbour",
    "Lanterns",
    "Machine",
    "Garden",
    "Letters",
    "Weather",
    "Radio",
    "Coast",
    "Engines",
    "Mirrors",
    "Parade",
    "Static",
    "Rivers",
    "Signal",
    "Cathedral",
    "Swimmers",
    "Orchard",
    "Atlas",
    "Fieldnotes",
    "Tides",
];
const GENRES: &[&str] = &["indie rock", "ambient", "jazz", "techno", "folk", "soul", "modern classical", "hip hop"];

impl Catalogue {
    /// As much as the users' libraries and playlists need, and a little more.
    pub(crate) fn new(options: &Options) -> Self {
        let mut all = Self::default();
        let tracks = options.tracks + options.tracks / 4 + 200;
        while all.tracks.len() < tracks
            || all.albums.len() < options.albums + 20
            || all.artists.len() < options.artists + 10
        {
            all.add_artist(options.seed);
        }
        for _ in 0..options.shows.max(options.episodes / 10) + 4 {
            all.add_show(options.seed);
        }
        all.index();
        all
    }

    fn add_artist(&mut self, seed: u64) {
        let n = self.artists.len();
        let mut random = Random::new(seed, "artist", n);
        let name = format!("{} {}", random.pick(FIRST), random.pick(SECOND));
        let genres = vec![random.pick(GENRES)];
        self.artists.push(Artist { id: base62(&mut random, 22), name, genres });
        for _ in 0..1 + random.below(4) {
            self.add_album(n, &mut random);
        }
    }

    fn add_album(&mut self, artist: usize, random: &mut Random) {
        let first = self.tracks.len();
        let name =
            format!("{} {}", random.pick(SECOND), random.pick(&["in Winter", "I", "(Deluxe)", "at Home", "No. 5"]));
        for number in 1..=[1, 2, 9, 11, 12][random.below(5)] {
            let guest = random.below(self.artists.len());
            let artists = if guest != artist && random.below(6) == 0 { vec![artist, guest] } else { vec![artist] };
            self.tracks.push(Track {
                id: base62(random, 22),
                name: format!("{} {}", random.pick(FIRST), random.pick(SECOND)),
                album: self.albums.len(),
                artists,
                number,
                duration_ms: 95_000 + random.below(260_000),
                explicit: random.below(12) == 0,
                isrc: format!("QZSIM{}{:05}", 10 + random.below(16), self.tracks.len() % 100_000),
            });
        }
        let year = 1967 + random.below(59);
        let released = match random.below(6) {
            0 => format!("{year}"),
            1 => format!("{year}-{:02}", 1 + random.below(12)),
            _ => format!("{year}-{:02}-{:02}", 1 + random.below(12), 1 + random.below(28)),
        };
        let upc = format!("{:012}", random.next() % 1_000_000_000_000);
        self.albums.push(Album {
            id: base62(random, 22),
            name,
            artist,
            tracks: first..self.tracks.len(),
            released,
            upc,
        });
    }

    fn add_show(&mut self, seed: u64) {
        let n = self.shows.len();
        let mut random = Random::new(seed, "show", n);
        let first = self.episodes.len();
        for number in 1..=8 + random.below(30) {
            self.episodes.push(Episode {
                id: base62(&mut random, 22),
                name: format!("{number}: {} {}", random.pick(FIRST), random.pick(SECOND)),
                show: n,
                duration_ms: 900_000 + random.below(4_000_000),
                released: format!("2025-{:02}-{:02}", 1 + random.below(12), 1 + random.below(28)),
            });
        }
        let name = format!("The {} Hour", random.pick(SECOND));
        let publisher = format!("{} Media", random.pick(FIRST));
        self.shows.push(Show { id: base62(&mut random, 22), name, publisher, episodes: first..self.episodes.len() });
    }

    fn index(&mut self) {
        let artists = self.artists.iter().enumerate().map(|(n, a)| (uri("artist", &a.id), Item::Artist(n)));
        let albums = self.albums.iter().enumerate().map(|(n, a)| (uri("album", &a.id), Item::Album(n)));
        let tracks = self.tracks.iter().enumerate().map(|(n, t)| (uri("track", &t.id), Item::Track(n)));
        let shows = self.shows.iter().enumerate().map(|(n, s)| (uri("show", &s.id), Item::Show(n)));
        let episodes = self.episodes.iter().enumerate().map(|(n, e)| (uri("episode", &e.id), Item::Episode(n)));
        self.by_uri = artists.chain(albums).chain(tracks).chain(shows).chain(episodes).collect();
    }

    /// What a URI names.
    pub(crate) fn find(&self, uri: &str) -> Option<Item> {
        self.by_uri.get(uri).copied()
    }
}

/// The URI of an id.
pub(crate) fn uri(kind: &str, id: &str) -> String {
    format!("spotify:{kind}:{id}")
}
