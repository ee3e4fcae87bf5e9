//! Makes items of what servers answer.

use zotify_plugin_api::prelude::*;

use crate::fields::Fields;

/// The longest description of a playlist, in bytes.
const MAX_DESCRIPTION: usize = 4000;
/// The most artists of a track or album.
const MAX_ARTISTS: usize = 10;

/// Makes items of one instance.
#[derive(Clone)]
pub(crate) struct Items(pub(crate) Context);

impl Items {
    fn reference(&self, kind: Kind, id: Option<String>) -> Option<Uri> {
        self.0.uri(kind, &id?).ok()
    }

    /// A track; none for what is none, or has no usable id.
    pub(crate) fn track(&self, song: Fields<'_>) -> Option<Track> {
        if song.flag("isDir") == Some(true) || song.flag("isVideo") == Some(true) {
            return None;
        }
        let uri = self.0.uri(Kind::Track, &song.id("id")?).ok()?;
        let album =
            song.name("album").map(|title| AlbumRef { title, uri: self.reference(Kind::Album, song.id("albumId")) });
        Some(Track {
            artists: self.artists(song, "artists"),
            album,
            duration_ms: song.number::<u64>("duration").map(|seconds| seconds.saturating_mul(1000)),
            disc_number: song.number("discNumber").filter(|n| *n > 0),
            track_number: song.number("track").filter(|n| *n > 0),
            release_date: year(song),
            genres: genres(song),
            composers: composers(song),
            isrc: song.texts("isrc").into_iter().next(),
            mbid: song.text("musicBrainzId", 64),
            explicit: match song.text("explicitStatus", 16).as_deref() {
                Some("explicit") => Some(true),
                Some("clean") => Some(false),
                _ => None,
            },
            playable: Some(true),
            replay_gain: replay_gain(song),
            audio: audio(song),
            artwork: artwork(song),
            added_at: song.time("created"),
            ..Track::new(uri, song.name("title").or_else(|| song.name("name")).unwrap_or_else(|| "?".into()))
        })
    }

    /// An album; none where it has no usable id.
    pub(crate) fn album(&self, album: Fields<'_>) -> Option<Album> {
        let uri = self.0.uri(Kind::Album, &album.id("id")?).ok()?;
        let date = album.object("originalReleaseDate").or_else(|| album.object("releaseDate")).and_then(date);
        Some(Album {
            artists: self.artists(album, "artists"),
            release_date: date.or_else(|| year(album)),
            genres: genres(album),
            track_count: album.number("songCount"),
            mbid: album.text("musicBrainzId", 64),
            compilation: album.flag("isCompilation"),
            artwork: artwork(album),
            added_at: album.time("created"),
            ..Album::new(uri, album.name("name").or_else(|| album.name("title")).unwrap_or_else(|| "?".into()))
        })
    }

    /// An artist; none where it has no usable id.
    pub(crate) fn artist(&self, artist: Fields<'_>) -> Option<Artist> {
        let uri = self.0.uri(Kind::Artist, &artist.id("id")?).ok()?;
        Some(Artist {
            sort_name: artist.name("sortName"),
            mbid: artist.text("musicBrainzId", 64),
            artwork: artwork(artist),
            ..Artist::new(uri, artist.name("name").unwrap_or_else(|| "?".into()))
        })
    }

    /// A playlist, as a user sees it; none where it has no usable id.
    pub(crate) fn playlist(&self, playlist: Fields<'_>, user: &str) -> Option<Playlist> {
        let uri = self.0.uri(Kind::Playlist, &playlist.id("id")?).ok()?;
        let owner = playlist.name("owner");
        let own = owner.as_ref().is_none_or(|owner| owner.eq_ignore_ascii_case(user));
        Some(Playlist {
            description: playlist.text("comment", MAX_DESCRIPTION),
            public: playlist.flag("public"),
            editable: !playlist.flag("readonly").unwrap_or(!own),
            item_count: playlist.number("songCount"),
            artwork: artwork(playlist),
            added_at: playlist.time("created"),
            owner,
            ..Playlist::new(uri, playlist.name("name").unwrap_or_else(|| "?".into()))
        })
    }

    /// The credited artists: OpenSubsonic names them one by one, others all in one text.
    fn artists(&self, item: Fields<'_>, list: &str) -> Vec<ArtistRef> {
        let named = item.list(list).filter_map(|artist| {
            let uri = self.reference(Kind::Artist, artist.id("id"));
            Some(ArtistRef { name: artist.name("name")?, uri })
        });
        let named: Vec<_> = named.take(MAX_ARTISTS).collect();
        if !named.is_empty() {
            return named;
        }
        let uri = self.reference(Kind::Artist, item.id("artistId"));
        item.name("artist").map(|name| ArtistRef { name, uri }).into_iter().collect()
    }
}

fn year(item: Fields<'_>) -> Option<String> {
    item.number::<u32>("year").filter(|year| (1000..=9999).contains(year)).map(|year| year.to_string())
}

/// A date of OpenSubsonic, which may lack the day or the month.
fn date(date: Fields<'_>) -> Option<String> {
    let year = year(date)?;
    let part = |name: &str, most: u32| date.number::<u32>(name).filter(|n| (1..=most).contains(n));
    Some(match (part("month", 12), part("day", 31)) {
        (Some(month), Some(day)) => format!("{year}-{month:02}-{day:02}"),
        (Some(month), None) => format!("{year}-{month:02}"),
        _ => year,
    })
}

fn genres(item: Fields<'_>) -> Vec<String> {
    let named = item.names("genres", "name");
    if named.is_empty() { item.texts("genre") } else { named }
}

fn composers(song: Fields<'_>) -> Vec<String> {
    let composes = |c: &Fields<'_>| c.text("role", 32).is_some_and(|role| role.eq_ignore_ascii_case("composer"));
    let named: Vec<_> = song
        .list("contributors")
        .filter(composes)
        .filter_map(|c| c.object("artist")?.name("name"))
        .take(MAX_ARTISTS)
        .collect();
    if named.is_empty() { song.texts("displayComposer") } else { named }
}

fn replay_gain(song: Fields<'_>) -> Option<ReplayGain> {
    let tags = song.object("replayGain")?;
    let gain = |gain: &str, peak: &str| Some(Gain { gain_db: tags.float(gain)?, peak: tags.float(peak) });
    let found = ReplayGain { track: gain("trackGain", "trackPeak"), album: gain("albumGain", "albumPeak") };
    (found != ReplayGain::default()).then_some(found)
}

fn audio(song: Fields<'_>) -> Option<Audio> {
    Some(Audio {
        content_type: song.text("contentType", 64)?,
        size: song.number("size"),
        bitrate: song.number("bitRate").filter(|n| *n > 0),
        sample_rate: song.number("samplingRate").filter(|n| *n > 0),
        channels: song.number("channelCount").filter(|n| *n > 0),
        bit_depth: song.number("bitDepth").filter(|n| *n > 0),
    })
}

fn artwork(item: Fields<'_>) -> Vec<Artwork> {
    item.id("coverArt").map(|locator| Artwork { locator, width: None, height: None }).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use zotify_plugin_api::testing;

    use super::*;

    fn items() -> Items {
        Items(testing::context("sub").0)
    }

    #[test]
    fn old_and_new_servers_describe_tracks() {
        let old = json!({"id": 7, "title": "T", "artist": "A & B", "artistId": "ar", "album": "X", "albumId": "al",
            "duration": "276", "track": "3", "year": 2012, "genre": "Ambient", "contentType": "audio/ogg", "size": "99",
            "created": "2012-12-14T22:49:58", "coverArt": "mf-7"});
        let track = items().track(Fields(&old)).unwrap();
        assert_eq!(track.uri.as_str(), "sub:track:7");
        assert_eq!(track.artists, [ArtistRef { name: "A & B".into(), uri: "sub:artist:ar".parse().ok() }]);
        assert_eq!((track.duration_ms, track.track_number), (Some(276_000), Some(3)));
        assert_eq!(
            (track.release_date.as_deref(), track.genres.as_slice()),
            (Some("2012"), &["Ambient".to_owned()][..])
        );
        assert_eq!(track.audio.unwrap().size, Some(99));
        let new = json!({"id": "a/b", "title": "T", "artist": "A; B", "isrc": ["GBAYE0601498"], "explicitStatus": "explicit",
            "artists": [{"id": "1", "name": "A"}, {"id": "2", "name": "B"}, {"id": "3"}], "genres": [{"name": "Rock"}],
            "contributors": [{"role": "composer", "artist": {"name": "C"}}, {"role": "x"}], "bitDepth": 16,
            "replayGain": {"trackGain": -6.5, "albumGain": "bad"}});
        let track = items().track(Fields(&new)).unwrap();
        assert_eq!(track.uri.native_id(), "a/b");
        assert_eq!(track.artists.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(), ["A", "B"]);
        assert_eq!((track.isrc.as_deref(), track.explicit), (Some("GBAYE0601498"), Some(true)));
        assert_eq!((track.genres, track.composers), (vec!["Rock".to_owned()], vec!["C".to_owned()]));
        assert_eq!(
            track.replay_gain.unwrap(),
            ReplayGain { track: Some(Gain { gain_db: -6.5, peak: None }), album: None }
        );
    }

    #[test]
    fn what_is_no_track_is_none() {
        for none in [
            json!({}),
            json!({"id": ""}),
            json!({"id": {"a": 1}}),
            json!({"id": "1", "isDir": true}),
            json!({"id": "1", "isVideo": "true"}),
            json!({"id": "x".repeat(401)}),
            Value::Null,
            json!([1]),
        ] {
            assert!(items().track(Fields(&none)).is_none(), "{none}");
        }
        assert_eq!(items().track(Fields(&json!({"id": "1"}))).unwrap().title, "?");
    }

    #[test]
    fn others_playlists_are_not_editable() {
        let of = |value: Value| items().playlist(Fields(&value), "alice").unwrap().editable;
        assert!(of(json!({"id": "1", "owner": "Alice"})) && of(json!({"id": "1"})));
        assert!(!of(json!({"id": "1", "owner": "bob"})) && !of(json!({"id": "1", "owner": "alice", "readonly": true})));
    }

    #[test]
    fn dates_may_lack_parts() {
        let of = |value: Value| {
            items().album(Fields(&json!({"id": "1", "year": 1990, "releaseDate": value}))).unwrap().release_date
        };
        assert_eq!(of(json!({"year": 1991, "month": 2, "day": 3})).as_deref(), Some("1991-02-03"));
        assert_eq!(of(json!({"year": 1991, "month": 13})).as_deref(), Some("1991"));
        assert_eq!(of(json!({})).as_deref(), Some("1990"));
    }
}
