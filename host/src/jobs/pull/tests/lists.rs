//! What a pull stored, as lists, playlists and searches show it.

use std::collections::BTreeMap;

use zotify_plugin_api::PlaylistPage;

use super::*;
use crate::mirror::entries::Entries;

fn entry(id: &str, item: Option<Track>) -> PlaylistEntry {
    PlaylistEntry { entry_id: id.into(), added_at: None, item: item.map(Item::Track), title: Some("as written".into()) }
}

#[tokio::test]
async fn playlists_keep_order_doubles_and_what_cannot_be_found() {
    let world = World::new().await;
    let mut list = Playlist::new(uri("fake:playlist:1"), "List");
    list.version = Some("v1".into());
    let entries = vec![
        entry("e1", Some(track(1, "thin"))),
        entry("e2", Some(track("elsewhere", "Not in the library"))),
        entry("e3", None),
        entry("e4", Some(track(1, "thin"))),
        entry("e5", Some(Track::new(uri("other:track:1"), "Foreign"))),
    ];
    let mut pull = world.pull(None).await;
    pull.store_library(page([track(1, "One")]), None).await.unwrap();
    pull.store_playlists(Page { items: vec![Item::Playlist(list)].into(), ..Page::default() }, None).await.unwrap();
    let due = playlists::next_due(world.app.db.read(), &world.account.id, &pull.at.run).await.unwrap().unwrap();
    let mut read = Entries::default();
    let entries = PlaylistPage { entries: entries.into(), ..PlaylistPage::default() };
    read.page(entries, &world.account.instance).unwrap();
    pull.store_entries(&due, read).await.unwrap();
    let next = playlists::next_due(world.app.db.read(), &world.account.id, &pull.at.run).await.unwrap();
    assert!(next.is_none(), "the same version is not read twice");
    pull.finish().await.unwrap();

    let mut rows: Vec<Value> = Vec::new();
    let mut after = -1;
    loop {
        let part = items::entries(&world.app.db, &world.account.id, "fake:playlist:1", after, 2).await.unwrap();
        rows.extend(serde_json::from_str::<Vec<Value>>(&format!("[{}]", part.json)).unwrap());
        match part.last {
            Some((items::Key::Int(position), _)) => after = position,
            _ => break,
        }
    }
    let shown: Vec<_> = rows.iter().map(|row| row["item"]["title"].as_str().unwrap()).collect();
    assert_eq!(shown, ["One", "Not in the library", "as written", "One", "Foreign"]);
    let kinds: Vec<_> = rows.iter().map(|row| row["item"]["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["track", "track", "unknown", "track", "unknown"]);
    assert_eq!(rows[3]["entry_id"], "e4");
    assert_eq!(world.titles().await, ["One"], "what only a playlist names is not in the library");
    assert!(world.doc("fake:track:elsewhere").await.is_some());
    assert!(world.search("Not in", &["track"], 10).await.is_empty());

    // A list with a hole in it says nothing of what it does not name; the library is another list.
    let mut pull = world.pull(None).await;
    pull.store_library(page([track(1, "One")]), None).await.unwrap();
    let skipped = Skipped { name: "a playlist".into(), code: "empty_row".into(), detail: String::new() };
    let completeness = Completeness::Partial { code: "unreadable_rows".into(), detail: "one is empty".into() };
    let holed = Page { skipped: vec![skipped], completeness, ..Page::default() };
    pull.store_playlists(holed, Some("2".into())).await.unwrap();
    pull.store_playlists(Page::default(), None).await.unwrap();
    pull.finish().await.unwrap();
    let run = pull_runs::find(world.app.db.read(), std::slice::from_ref(&world.account.id), &pull.at.run)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((run.completeness.as_deref(), run.code.as_deref()), (Some("partial"), Some("unreadable_rows")));
    assert_eq!(run.counts.skipped, 1);
    assert!(world.doc("fake:playlist:1").await.is_some());

    // The playlist goes, and with it what only it named.
    let mut pull = world.pull(None).await;
    pull.store_library(page([track(1, "One")]), None).await.unwrap();
    pull.store_playlists(Page::default(), None).await.unwrap();
    pull.finish().await.unwrap();
    assert!(world.doc("fake:playlist:1").await.is_none());
    assert!(world.doc("fake:track:elsewhere").await.is_none());
}

#[tokio::test]
async fn what_was_saved_and_is_in_a_playlist_only_leaves_the_library() {
    let world = World::new().await;
    let list = Playlist { version: Some("v1".into()), ..Playlist::new(uri("fake:playlist:1"), "List") };
    let playlists = || Page { items: vec![Item::Playlist(list.clone())].into(), ..Page::default() };
    let mut pull = world.pull(None).await;
    pull.store_library(page(many(2)), None).await.unwrap();
    pull.store_playlists(playlists(), None).await.unwrap();
    let due = playlists::next_due(world.app.db.read(), &world.account.id, &pull.at.run).await.unwrap().unwrap();
    let mut read = Entries::default();
    let entries = vec![entry("e1", Some(track(0, "song 0000")))];
    read.page(PlaylistPage { entries: entries.into(), ..PlaylistPage::default() }, &world.account.instance).unwrap();
    pull.store_entries(&due, read).await.unwrap();
    pull.finish().await.unwrap();

    let mut pull = world.pull(None).await;
    pull.can.saved = true;
    pull.store_library(page([]), None).await.unwrap();
    pull.store_playlists(playlists(), None).await.unwrap();
    pull.finish().await.unwrap();
    assert!(world.titles().await.is_empty());
    assert!(world.doc("fake:track:0").await.is_some());
    assert!(world.doc("fake:track:1").await.is_none());
}

#[tokio::test]
async fn new_items_among_known_ones_get_their_artists() {
    let world = World::new().await;
    let by = |n, artist: &str| {
        let mut track = track(n, &format!("song {n}"));
        track.artists = vec![ArtistRef { name: artist.into(), uri: Some(uri(&format!("fake:artist:{artist}"))) }; 2];
        track
    };
    let count = async |artist: &str| {
        let artist = Some(format!("fake:artist:{artist}"));
        let filter = Filter { kind: Some("track"), artist, ..Filter::default() };
        let slice = Slice { order: Order::Title, descending: false, after: None, limit: 500 };
        items::list(&world.app.db, &world.sources(), &filter, &slice).await.unwrap().count
    };
    world.run(page((0..150).map(|n| by(n, "first")))).await;
    assert_eq!(count("first").await, 150);
    // New ones stand before, among and after those that are known.
    world.run(page((0..380).rev().map(|n| by(n, if n % 2 == 0 { "first" } else { "second" })))).await;
    assert_eq!((count("first").await, count("second").await), (190, 190));
}

#[tokio::test]
async fn pages_follow_each_other_in_every_order() {
    let world = World::new().await;
    let tracks = (0..57).map(|n| {
        let mut track = track(n, &format!("{} {}", ["same", "other", "Ünique"][n % 3], n % 5));
        track.artists =
            vec![ArtistRef { name: format!("artist {}", n % 4), uri: Some(uri(&format!("fake:artist:{}", n % 4))) }];
        track.release_date = (n % 7 != 0).then(|| format!("{}", 1990 + n % 11));
        track.added_at = Some(format!("2024-01-{:02}T00:00:00Z", 1 + n % 9));
        track.genres = vec![["Rock", "Post-Rock"][n % 2].to_owned()];
        track.genres.extend((n % 10 == 0).then(|| ["\\", "%", "_", "!"][n / 10 % 4].to_owned()));
        track
    });
    world.run(page(tracks)).await;
    let filter = Filter { kind: Some("track"), ..Filter::default() };
    for order in [Order::Title, Order::Artist, Order::AddedAt, Order::ReleaseDate] {
        let mut both: Vec<Vec<String>> = Vec::new();
        for descending in [false, true] {
            let slice = |after, limit| Slice { order, descending, after, limit };
            let whole = items::list(&world.app.db, &world.sources(), &filter, &slice(None, 200)).await.unwrap();
            assert_eq!((whole.count, &whole.last), (57, &None));
            let (mut parts, mut after) = (Vec::new(), None);
            loop {
                let part = items::list(&world.app.db, &world.sources(), &filter, &slice(after, 10)).await.unwrap();
                assert!(part.count <= 10);
                parts.push(part.json);
                after = part.last;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(parts.len(), 6);
            assert_eq!(parts.join(","), whole.json, "{order:?}");
            let docs: Vec<crate::api::model::Track> = serde_json::from_str(&format!("[{}]", whole.json)).unwrap();
            both.push(docs.iter().map(|track| track.uri.to_string()).collect());
        }
        both[1].reverse();
        assert_eq!(both[0], both[1], "{order:?}");
    }
    let count = async |filter: Filter| {
        let slice = Slice { order: Order::Title, descending: false, after: None, limit: 200 };
        items::list(&world.app.db, &world.sources(), &filter, &slice).await.unwrap().count
    };
    let tracks = || Filter { kind: Some("track"), ..Filter::default() };
    assert_eq!(count(Filter { genre: Some("rock".into()), ..tracks() }).await, 29);
    // What means something in a pattern is taken as it is.
    for (genre, found) in [("\\", 2), ("%", 2), ("_", 1), ("!", 1), ("r_ck", 0), ("", 0)] {
        assert_eq!(count(Filter { genre: Some(genre.into()), ..tracks() }).await, found, "{genre}");
    }
    assert_eq!(count(Filter { artist: Some("fake:artist:0".into()), ..tracks() }).await, 15);
    let years = Filter { released_from: Some("1990".into()), released_before: Some("1991".into()), ..tracks() };
    assert_eq!(count(years).await, 5);
    let words = crate::mirror::fold::Query::parse("artist UNIQUE");
    assert_eq!(count(Filter { words, ..tracks() }).await, 19);
}

#[tokio::test]
async fn searching_finds_words_in_any_order_and_titles_first() {
    let world = World::new().await;
    let song = |id: &str, title: &str, artist: &str| {
        let artists = vec![ArtistRef { name: artist.into(), uri: None }];
        Track { artists, ..track(id, title) }
    };
    let mut start = page([
        song("1", "Björk Song", "Nobody"),
        song("2", "Jóga", "Björk"),
        song("3", "Thunderstruck", "AC/DC"),
        song("4", "Don't Stop Me Now", "Queen"),
        song("5", "Stop", "Spice Girls"),
        song("6", "正弦波の夜", "波形楽団"),
        song("7", "\" OR 1=1 --", "Robert'); DROP TABLE items;"),
        song("8", "Ocean 🌊", "÷"),
        song("9", "🌊🌊", "NEAR(x) _fake*"),
    ]);
    start.upsert.rows.push(Item::Artist(zotify_plugin_api::Artist::new(uri("fake:artist:b"), "Björk")));
    world.run(start).await;
    let all = ["track", "album", "artist", "playlist"];
    let expected: BTreeMap<&str, Vec<&str>> = BTreeMap::from([
        ("bjork", vec!["Björk", "Björk Song", "Jóga"]),
        ("BJÖ", vec!["Björk", "Björk Song", "Jóga"]),
        ("joga bjork", vec!["Jóga"]),
        ("acdc", vec!["Thunderstruck"]),
        ("ac/dc", vec!["Thunderstruck"]),
        ("dont stop", vec!["Don't Stop Me Now"]),
        ("stop", vec!["Stop", "Don't Stop Me Now"]),
        ("弦波", vec!["正弦波の夜"]),
        ("drop table", vec!["\" OR 1=1 --"]),
        ("nothing at all", vec![]),
        ("* OR \"", vec!["\" OR 1=1 --"]),
        ("\u{0}", vec![]),
        ("🌊", vec!["🌊🌊", "Ocean 🌊"]),
        ("÷", vec!["Ocean 🌊"]),
        ("🌊 ocean", vec!["Ocean 🌊"]),
        ("near(x) ^words : {a} -", vec![]),
        ("NEAR(x)", vec!["🌊🌊"]),
    ]);
    for (query, titles) in expected {
        for limit in [1, 2, 50] {
            assert_eq!(world.search(query, &all, limit).await, titles, "{query}");
        }
    }
    assert_eq!(world.search("bjork", &["artist"], 10).await, ["Björk"]);
    // What changes is found by its new words only.
    world.run(LibraryPage { listing: Listing::Changes, ..page([song("5", "Wannabe", "Spice Girls")]) }).await;
    assert_eq!(world.search("stop", &all, 10).await, ["Don't Stop Me Now"]);
    assert_eq!(world.search("wannabe", &all, 10).await, ["Wannabe"]);
}

/// Prints what a large library costs: `cargo test -p zotify-host --lib -- --ignored --nocapture large`.
#[tokio::test]
#[ignore = "takes a while and proves nothing by itself: its figures are for people"]
async fn a_large_library_in_figures() {
    use std::time::Instant;
    const TRACKS: usize = 100_000;
    let world = World::new().await;
    let words =
        ["love", "night", "blue", "river", "stone", "light", "dance", "fire", "heart", "lonely", "street", "moon"];
    let word = |n: usize| words[n % words.len()];
    let tracks = |from: usize| {
        (from..from + 400).map(move |n| {
            let mut song = track(n, &format!("{} {} {n}", word(n / 7), word(n / 3)));
            song.artists = vec![ArtistRef {
                name: format!("{} band {}", word(n / 11), n % 900),
                uri: Some(uri(&format!("fake:artist:{}", n % 900))),
            }];
            let album = n / 12;
            let title = format!("{} nights {album}", word(album));
            song.album = Some(AlbumRef { title, uri: Some(uri(&format!("fake:album:{album}"))) });
            song.track_number = Some(1 + (n % 12) as u32);
            song
        })
    };
    for round in ["first", "again"] {
        let mut pull = world.pull(None).await;
        pull.can.playlists = false;
        let started = Instant::now();
        for from in (0..TRACKS).step_by(400) {
            let next = (from + 400 < TRACKS).then(|| from.to_string());
            pull.store_library(page(tracks(from)), next).await.unwrap();
        }
        pull.finish().await.unwrap();
        println!("{round}: {:.0} tracks/s", TRACKS as f64 / started.elapsed().as_secs_f64());
    }
    let all = ["track", "album", "artist", "playlist", "show", "episode"];
    for query in ["love", "l", "lov", "stone river", "band 17", "99999", "nothing"] {
        let started = Instant::now();
        let wanted = Wanted { text: query, kinds: &all };
        let (part, _) = items::search(&world.app.db, &world.sources(), &wanted, None, 50).await.unwrap();
        println!("search {query:?}: {} in {:?}", part.count, started.elapsed());
    }
    let mut slice = Slice { order: Order::Title, descending: false, after: None, limit: 50 };
    let filter = Filter { kind: Some("track"), ..Filter::default() };
    for after in [None, Some((items::Key::Text("stone".into()), 0))] {
        slice.after = after;
        let started = Instant::now();
        items::list(&world.app.db, &world.sources(), &filter, &slice).await.unwrap();
        println!("page: {:?}", started.elapsed());
    }
    let words = crate::mirror::fold::Query::parse("love");
    let started = Instant::now();
    items::list(&world.app.db, &world.sources(), &Filter { words, ..filter.clone() }, &slice).await.unwrap();
    println!("filtered page: {:?}", started.elapsed());
    let started = Instant::now();
    items::children(&world.app.db, &world.sources(), "fake:album:5000", None, 50).await.unwrap();
    println!("album: {:?}", started.elapsed());
}
