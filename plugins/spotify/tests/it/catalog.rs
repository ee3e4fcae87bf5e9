//! Looking things up, and what addresses name.

use serde_json::{Value, json};
use zotify_plugin_api::{
    ArtworkRequest, CapabilityState, Children, ErrorKind, Get, Item, Kind, MediaSource, PageRequest, Provider as _,
    Relation, Resolve, ResolveBy, Search, capability,
};

use crate::support::{World, answer, call, id, ok, path, query, track, uri};

fn text(text: &str) -> zotify_plugin_api::Call<Resolve> {
    call(Resolve { by: ResolveBy::Text { text: text.into() } })
}

#[tokio::test]
async fn search_asks_for_ten_and_passes_over_null_rows() {
    let world = World::new();
    world.hook(|request, _| {
        (path(request) == "/search").then(|| {
            assert_eq!(query(request, "limit").as_deref(), Some("10"));
            let playlists = json!({"items": [null, null], "next": null, "total": 900});
            ok(&json!({"tracks": {"items": [track(1), null, track(2)], "next": "x"}, "playlists": playlists}))
        })
    });
    let search = |cursor: Option<&str>| Search {
        query: "a & b".into(),
        kinds: vec![Kind::Playlist, Kind::Track],
        page: PageRequest { cursor: cursor.map(str::to_owned), limit: 50 },
    };
    let page = world.spotify.search(call(search(None))).await.unwrap();
    assert_eq!((page.items.rows.len(), page.next.as_deref()), (2, Some("10")));
    assert_eq!(query(&world.host.requests()[0], "type").as_deref(), Some("track,playlist"));
    let last = world.spotify.search(call(search(Some("980")))).await.unwrap();
    assert_eq!(last.next.as_deref(), Some("990"));
    assert!(world.spotify.search(call(search(Some("990")))).await.unwrap().next.is_none());
}

#[tokio::test]
async fn what_development_mode_leaves_out_is_not_missed() {
    let world = World::new();
    world.next(1, "/tracks/", || {
        ok(&json!({"uri": format!("spotify:track:{}", id(1)), "name": null, "duration_ms": 1234.6, "artists": [null, {}],
            "album": {"name": "A", "images": null, "release_date": "0000"}, "external_ids": {"isrc": "us-abc-12-34567"},
            "track": true, "popularity": "high"}))
    });
    let item = world.spotify.get(call(Get { uri: uri(Kind::Track, 1), locator: None })).await.unwrap();
    let Item::Track(track) = item else { panic!("no track") };
    assert_eq!((track.duration_ms, track.isrc.as_deref()), (Some(1235), Some("USABC1234567")));
    assert_eq!((track.release_date, track.artists.len(), track.album.unwrap().title.as_str()), (None, 0, "A"));
}

#[tokio::test]
async fn a_track_that_stands_in_for_the_saved_one_is_the_saved_one() {
    let world = World::new();
    world.next(1, "/tracks/", || {
        let mut other = track(2);
        other["linked_from"] = json!({"type": "track", "id": id(1), "uri": format!("spotify:track:{}", id(1))});
        ok(&other)
    });
    let item = world.spotify.get(call(Get { uri: uri(Kind::Track, 1), locator: None })).await.unwrap();
    assert_eq!(item.uri(), &uri(Kind::Track, 1));
}

#[tokio::test]
async fn children_know_their_parent_on_every_page() {
    let world = World::new();
    world.hook(|request, _| {
        let simple = |n| {
            let mut track = track(n);
            track.as_object_mut().unwrap().remove("external_ids");
            track
        };
        match path(request).as_str() {
            p if p.ends_with("/tracks") => {
                let rows: Vec<Value> = (50..60).map(simple).collect();
                Some(ok(&json!({"items": rows, "offset": 50, "total": 60})))
            }
            p if p.starts_with("/albums/") => {
                let rows: Vec<Value> = (0..50).map(simple).collect();
                Some(ok(&json!({"type": "album", "uri": format!("spotify:album:{}", id(9)), "name": "Long",
                    "release_date": "1981", "tracks": {"items": rows, "offset": 0, "limit": 50, "total": 60}})))
            }
            p if p.ends_with("/albums") => {
                assert_eq!(query(request, "limit").as_deref(), Some("10"));
                Some(ok(&json!({"items": [], "total": 0})))
            }
            _ => None,
        }
    });
    let children = |kind, n, relation, cursor| {
        let page = PageRequest { cursor, limit: 0 };
        call(Children { uri: uri(kind, n), relation, locator: None, page })
    };
    let first = world.spotify.children(children(Kind::Album, 9, Relation::AlbumTracks, None)).await.unwrap();
    let second =
        world.spotify.children(children(Kind::Album, 9, Relation::AlbumTracks, first.next.clone())).await.unwrap();
    assert_eq!((first.items.rows.len(), second.items.rows.len(), second.next), (50, 10, None));
    for item in first.items.rows.iter().chain(&second.items.rows) {
        let Item::Track(track) = item else { panic!("no track") };
        assert_eq!(track.album.as_ref().unwrap().title, "Long");
        assert_eq!(track.release_date.as_deref(), Some("1981"));
    }
    assert_eq!(world.log().len(), 2);
    world.spotify.children(children(Kind::Artist, 9, Relation::ArtistAlbums, None)).await.unwrap();
    let error = world.spotify.children(children(Kind::Track, 9, Relation::AlbumTracks, None)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn plays_are_listed_by_time() {
    let world = World::new();
    world.next(1, "/me/player/recently-played", || {
        let rows = json!([{"played_at": "2026-01-02T00:00:00.123Z", "track": track(1)}, null, {"track": track(2)}]);
        ok(&json!({"items": rows, "cursors": {"before": "1767312000123", "after": "1"}}))
    });
    let page = world.spotify.history(call(PageRequest::default())).await.unwrap();
    assert_eq!((page.plays.rows.len(), page.next.as_deref()), (1, Some("1767312000123")));
    world.next(1, "/me/player/recently-played", || ok(&json!({"items": [], "cursors": null})));
    let next = PageRequest { cursor: page.next, limit: 0 };
    assert!(world.spotify.history(call(next)).await.unwrap().next.is_none());
    assert_eq!(query(&world.host.requests()[1], "before").as_deref(), Some("1767312000123"));
}

#[tokio::test]
async fn pictures_come_from_spotify_only() {
    let world = World::new();
    let ask =
        |locator: &str| call(ArtworkRequest { uri: uri(Kind::Album, 1), locator: Some(locator.into()), size: None });
    let source = world.spotify.artwork(ask("https://i.scdn.co/image/ab")).await.unwrap();
    assert!(matches!(source, MediaSource::Http(source) if source.headers.is_empty()));
    for locator in [
        "http://i.scdn.co/image/ab",
        "https://scdn.co.evil.example/x",
        "https://evilscdn.co/x",
        "file:///etc/passwd",
        "x",
    ] {
        assert_eq!(world.spotify.artwork(ask(locator)).await.unwrap_err().kind, ErrorKind::NotFound, "{locator}");
    }
}

#[tokio::test]
async fn short_links_are_followed_within_spotify_and_without_a_token() {
    let world = World::new();
    world.hook(|request, _| {
        let to = match request.url.as_str() {
            "https://spotify.link/good" => "https://spotify.app.link/x".to_owned(),
            "https://spotify.app.link/x" => format!("https://open.spotify.com/intl-de/track/{}?si=1", id(1)),
            "https://spotify.link/evil" => "https://evil.example.org/".to_owned(),
            "https://spotify.link/plain" => format!("http://open.spotify.com/track/{}", id(1)),
            "https://spotify.link/circle" => "https://spotify.link/circle".to_owned(),
            url if url.starts_with("https://api.spotify.com/v1/tracks/") => return Some(ok(&track(1))),
            url => panic!("{url} was asked"),
        };
        assert!(request.no_redirects && !request.headers.iter().any(|(name, _)| name == "authorization"));
        let mut response = answer(302, "").unwrap();
        response.headers.push(("location".into(), to));
        Some(Ok(response))
    });
    let found = world.spotify.resolve(text("https://spotify.link/good")).await.unwrap();
    assert_eq!(found.items.rows[0].uri(), &uri(Kind::Track, 1));
    for link in ["evil", "plain", "circle"] {
        let error = world.spotify.resolve(text(&format!("https://spotify.link/{link}"))).await.unwrap_err();
        assert_eq!(error.code.as_deref(), Some("link_refused"), "{link}");
    }
}

#[tokio::test]
async fn an_address_is_known_although_spotify_cannot_be_asked() {
    let world = World::new();
    world.next(usize::MAX, "", || answer(503, ""));
    let found = world.spotify.resolve(text(&format!("spotify:album:{}", id(4)))).await.unwrap();
    assert_eq!((found.uri, found.items.rows.len()), (Some(uri(Kind::Album, 4)), 0));
    assert_eq!(
        world.spotify.resolve(text("https://example.org/")).await.unwrap(),
        zotify_plugin_api::Resolved::default()
    );
}

#[tokio::test]
async fn an_isrc_names_only_what_says_so() {
    let world = World::new();
    world.next(1, "/search", || ok(&json!({"tracks": {"items": [track(1), track(2), null]}})));
    let isrc = "USABC0000002".to_owned();
    let found = world.spotify.resolve(call(Resolve { by: ResolveBy::Isrc { isrc } })).await.unwrap();
    assert_eq!(found.items.rows.iter().map(Item::uri).collect::<Vec<_>>(), [&uri(Kind::Track, 2)]);
    assert_eq!(query(&world.host.requests()[0], "q").as_deref(), Some("isrc:USABC0000002"));
}

#[tokio::test]
async fn a_check_says_what_was_not_granted() {
    let world = World::new();
    assert!(world.spotify.check(call(())).await.unwrap().capabilities.is_empty());
    world.sign_in(&["user-library-read", "playlist-read-private", "playlist-modify-private"]);
    let checked = world.spotify.check(call(())).await.unwrap();
    assert_eq!(checked.account_name.as_deref(), Some("Me"));
    let restricted = CapabilityState::Restricted { code: "scope_missing".into() };
    for name in [capability::LIBRARY_TRACKS_ADD, capability::LIBRARY_ARTISTS_READ, capability::PLAYLISTS_IMAGE] {
        assert_eq!(checked.capabilities.get(name), Some(&restricted), "{name}");
    }
    for name in [capability::LIBRARY_TRACKS_READ, capability::PLAYLISTS_ITEMS_ADD, capability::CATALOG_SEARCH] {
        assert_eq!(checked.capabilities.get(name), None, "{name}");
    }
}
