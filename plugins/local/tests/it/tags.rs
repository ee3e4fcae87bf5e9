use lofty::tag::ItemKey as Key;
use zotify_plugin_api::{Gain, ReplayGain};

use crate::{files::write, support::Library};

const MBID: &str = "0b0ea7d0-70c5-4e7c-b35a-8d0f6e1e2b3c";
const OTHER: &str = "1b0ea7d0-70c5-4e7c-b35a-8d0f6e1e2b3c";

#[tokio::test]
async fn everything_that_a_file_says_is_told() {
    for (extension, content_type, duration, bits) in [
        ("flac", "audio/flac", 1000, Some(16)),
        ("mp3", "audio/mpeg", 1045, None),
        ("wav", "audio/wav", 100, Some(16)),
        ("opus", "audio/ogg", 1000, None),
    ] {
        let mut library = Library::new();
        let tags = [
            (Key::TrackTitle, "Title"),
            (Key::TrackArtist, "One & Two"),
            (Key::TrackArtists, "One"),
            (Key::TrackArtists, "Two"),
            (Key::MusicBrainzArtistId, MBID),
            (Key::MusicBrainzArtistId, OTHER),
            (Key::AlbumTitle, "Album"),
            (Key::AlbumArtist, "AC/DC"),
            (Key::TrackNumber, "3"),
            (Key::DiscNumber, "2"),
            (Key::DiscTotal, "4"),
            (Key::RecordingDate, "1999-05-31"),
            (Key::Genre, "Rock"),
            (Key::Genre, "Pop"),
            (Key::Composer, "Somebody"),
            (Key::Isrc, "us-s1z-99-00001"),
            (Key::MusicBrainzReleaseId, OTHER),
            (Key::FlagCompilation, "1"),
            (Key::ReplayGainTrackGain, "-6.50 dB"),
            (Key::ReplayGainTrackPeak, "0.5"),
        ];
        write(&library.path(&format!("x.{extension}")), 1, &tags);
        let run = library.scan().await;
        assert_eq!(run.skipped, []);

        let track = library.track("Title");
        let names: Vec<_> = track.artists.iter().map(|artist| artist.name.as_str()).collect();
        assert_eq!(names, ["One", "Two"], "{extension}");
        assert_eq!(track.album.as_ref().unwrap().title, "Album");
        assert_eq!((track.track_number, track.disc_number), (Some(3), Some(2)), "{extension}");
        assert_eq!(track.release_date.as_deref(), Some("1999-05-31"), "{extension}");
        assert_eq!(track.genres, ["Rock", "Pop"], "{extension}");
        assert_eq!(track.composers, ["Somebody"]);
        assert_eq!(track.isrc.as_deref(), Some("USS1Z9900001"));
        let gain = ReplayGain { track: Some(Gain { gain_db: -6.5, peak: Some(0.5) }), album: None };
        assert_eq!(track.replay_gain, Some(gain), "{extension}");
        let audio = track.audio.as_ref().unwrap();
        assert_eq!(audio.content_type, content_type);
        assert_eq!(audio.bit_depth, bits, "{extension}");
        assert!(audio.sample_rate.is_some() && audio.channels.is_some() && audio.size.is_some());
        assert!(track.duration_ms.unwrap().abs_diff(duration) <= 3, "{extension}: {:?}", track.duration_ms);

        let album = library.albums()[0].clone();
        assert_eq!(track.album.as_ref().unwrap().uri.as_ref(), Some(&album.uri));
        assert_eq!(album.artists[0].name, "AC/DC");
        assert_eq!((album.mbid.as_deref(), album.compilation), (Some(OTHER), Some(true)));
        assert_eq!((album.track_count, album.disc_count), (Some(1), Some(4)), "{extension}");
        let mbids: Vec<_> = library.artists().iter().map(|a| (a.name.clone(), a.mbid.clone())).collect();
        assert!(mbids.contains(&("One".into(), Some(MBID.into()))), "{extension}: {mbids:?}");
        assert!(mbids.contains(&("AC/DC".into(), None)), "{extension}: {mbids:?}");
        assert_eq!(mbids.len(), 3);
    }
}

#[tokio::test]
async fn r128_gains_are_converted() {
    let mut library = Library::new();
    let tags = [(Key::TrackTitle, "T"), (Key::R128TrackGain, "-1280"), (Key::R128AlbumGain, "256")];
    write(&library.path("x.opus"), 1, &tags);
    library.scan().await;
    let gain = library.track("T").replay_gain.clone().unwrap();
    assert_eq!(gain.track.unwrap().gain_db, 0.0);
    assert_eq!(gain.album.unwrap().gain_db, 6.0);
}

#[tokio::test]
async fn untagged_files_are_called_what_their_paths_say() {
    let mut library = Library::new();
    write(&library.path("Artist/Album/03 - Some Song.wav"), 1, &[]);
    write(&library.path("Artist/Boxed/CD2/1-04 Other_Song.mp3"), 2, &[]);
    write(&library.path("loose.flac"), 3, &[]);
    write(&library.path("Downloads/Unsorted/just a name.wav"), 4, &[]);
    library.scan().await;

    let song = library.track("Some Song");
    assert_eq!(song.track_number, Some(3));
    assert_eq!(song.artists[0].name, "Artist");
    assert_eq!(song.album.as_ref().unwrap().title, "Album");
    let other = library.track("Other Song");
    assert_eq!((other.disc_number, other.track_number), (Some(1), Some(4)));
    assert_eq!(other.album.as_ref().unwrap().title, "Boxed");
    for title in ["loose", "just a name"] {
        assert!(library.track(title).album.is_none() && library.track(title).artists.is_empty());
    }
}

#[tokio::test]
async fn discs_in_folders_of_their_own_are_one_album() {
    let mut library = Library::new();
    for disc in ["1", "2"] {
        for (n, artist) in ["A", "B"].into_iter().enumerate() {
            let tags = [
                (Key::AlbumTitle, "Box"),
                (Key::TrackArtist, artist),
                (Key::DiscNumber, disc),
                (Key::TrackTitle, artist),
            ];
            write(&library.path(&format!("Box/CD{disc}/{n}.wav")), n as u8, &tags);
        }
    }
    library.scan().await;
    let albums = library.albums();
    assert_eq!(albums.len(), 1);
    assert_eq!((albums[0].track_count, albums[0].disc_count), (Some(4), Some(2)));
    assert_eq!(albums[0].artists[0].name, "Various Artists");
}

#[tokio::test]
async fn endless_tags_are_cut() {
    let mut library = Library::new();
    let long = "ü".repeat(200_000);
    let mut tags = vec![(Key::TrackTitle, long.as_str()), (Key::AlbumTitle, long.as_str())];
    let many: Vec<String> = (0..500).map(|n| format!("{n} {}", &long[..2998])).collect();
    tags.extend(many.iter().map(|genre| (Key::Genre, genre.as_str())));
    write(&library.path("x.flac"), 1, &tags);
    write(&library.path("y.mp3"), 1, &[(Key::TrackTitle, "a\u{1}b\u{7f}\u{9b}c \r\n")]);
    library.scan().await;
    let track = library.tracks().into_iter().find(|t| t.title.starts_with('ü')).unwrap();
    assert_eq!(track.title.chars().count(), 1000);
    assert!(track.genres.len() <= 20 && track.genres.iter().all(|g| g.chars().count() <= 300));
    assert_eq!(library.track("abc").title, "abc");
}
