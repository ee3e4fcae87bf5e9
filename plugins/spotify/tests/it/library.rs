//! Pulls: how many requests they take, what they remember, and when they remove nothing.

use serde_json::{Value, json};
use zotify_plugin_api::{
    Completeness, ErrorKind, ItemKey, Kind, LibraryChanges, LibraryEdit, LibraryPage, LikesEdit, Listing, PageRequest,
    Provider as _,
};

use crate::support::{World, answer, call, id, key, path, query, saved, uri};

struct Pulled {
    pages: Vec<LibraryPage>,
    tracks: Vec<String>,
}

impl Pulled {
    fn last(&self) -> &LibraryPage {
        self.pages.last().unwrap()
    }

    fn partial(&self) -> Option<&str> {
        match &self.last().completeness {
            Completeness::Partial { code, .. } => Some(code),
            _ => None,
        }
    }
}

async fn pull(world: &World, since: Option<String>) -> Pulled {
    let mut pages: Vec<LibraryPage> = Vec::new();
    loop {
        let cursor = pages.last().and_then(|page| page.next.clone());
        if !pages.is_empty() && cursor.is_none() {
            break;
        }
        let page = world.spotify.library_changes(call(LibraryChanges { since: since.clone(), cursor: cursor.clone() }));
        match page.await {
            Ok(page) => pages.push(page),
            // As a job does: again from the same place.
            Err(error) if error.kind == ErrorKind::RateLimited => {}
            Err(error) => panic!("{error}"),
        }
        assert!(pages.len() < 500);
    }
    let items = pages.iter().flat_map(|page| &page.upsert.rows);
    let tracks = items.filter(|item| item.kind() == Kind::Track).map(|item| item.uri().id().to_owned()).collect();
    Pulled { pages, tracks }
}

fn with_tracks(count: usize) -> World {
    let world = World::new();
    world.service().lists.insert("/me/tracks", (0..count).rev().map(saved).collect());
    world
}

fn ids(range: impl IntoIterator<Item = usize>) -> Vec<String> {
    range.into_iter().map(id).collect()
}

#[tokio::test]
async fn ten_thousand_tracks_take_205_requests_and_survive_a_limit_on_page_37() {
    let world = with_tracks(10_000);
    let mut times = 1;
    world.hook(move |request, _| {
        let hit = times > 0 && query(request, "offset").as_deref() == Some("1800");
        hit.then(|| {
            times -= 1;
            let mut response = answer(429, "")?;
            response.headers.push(("retry-after".into(), "30".into()));
            Ok(response)
        })
    });
    let pulled = pull(&world, None).await;
    world.spotify.playlists(call(PageRequest::default())).await.unwrap();
    assert_eq!(pulled.tracks, ids((0..10_000).rev()));
    assert_eq!(pulled.partial(), None);
    let forecast = pulled.pages[0].forecast.unwrap();
    assert_eq!((forecast.requests, forecast.items), (205, 10_000));
    // One of them was the refused one.
    assert_eq!(world.log().len(), 205 + 1);
    assert_eq!(world.count("GET /me"), 0);
}

#[tokio::test]
async fn later_runs_read_what_came_and_nothing_else() {
    let world = with_tracks(300);
    let token = pull(&world, None).await.last().sync_token.clone();
    let before = world.log().len();
    let nothing = pull(&world, token.clone()).await;
    assert_eq!((nothing.last().listing, nothing.tracks.len()), (Listing::Changes, 0));
    assert_eq!(world.log().len(), before + 5);
    // Three came, and later more than a page of them.
    world.service().lists.insert("/me/tracks", (0..303).rev().map(saved).collect());
    let three = pull(&world, token.clone()).await;
    assert_eq!((three.last().listing, three.tracks), (Listing::Changes, ids((300..303).rev())));
    world.service().lists.insert("/me/tracks", (0..420).rev().map(saved).collect());
    let before = world.log().len();
    let many = pull(&world, token.clone()).await;
    assert_eq!((many.last().listing, many.tracks.clone()), (Listing::Changes, ids((300..420).rev())));
    assert_eq!(world.log().len(), before + 5 + 1 + 2);
    // One went from further down: only a whole walk tells which.
    world.service().lists.get_mut("/me/tracks").unwrap().remove(200);
    let all = pull(&world, many.last().sync_token.clone()).await;
    assert_eq!((all.last().listing, all.tracks.len(), all.partial()), (Listing::Everything, 419, None));
}

#[tokio::test]
async fn lists_of_one_page_are_compared_without_a_walk() {
    let world = with_tracks(200);
    let artist = |n| json!({"type": "artist", "id": id(n), "uri": format!("spotify:artist:{}", id(n)), "name": "A"});
    world.service().lists.insert("/me/following", (0..10).map(artist).collect());
    let token = pull(&world, None).await.last().sync_token.clone();
    let artists = [1, 2, 30, 3, 4, 5, 6, 7, 8, 9].map(artist);
    world.service().lists.insert("/me/following", artists.into());
    let pulled = pull(&world, token).await;
    assert_eq!(pulled.last().listing, Listing::Changes);
    assert_eq!(pulled.last().removed, [uri(Kind::Artist, 0)]);
    let added: Vec<_> = pulled.last().upsert.rows.iter().map(|item| item.uri().clone()).collect();
    assert_eq!(added, [uri(Kind::Artist, 30)]);
}

#[tokio::test]
async fn followed_artists_are_walked_by_cursor() {
    let world = World::new();
    let artist = |n| json!({"type": "artist", "id": id(n), "uri": format!("spotify:artist:{}", id(n)), "name": "A"});
    world.service().lists.insert("/me/following", (0..120).map(artist).collect());
    let pulled = pull(&world, None).await;
    let names: Vec<String> =
        pulled.pages.iter().flat_map(|page| &page.upsert.rows).map(|item| item.uri().id().to_owned()).collect();
    assert_eq!((names, pulled.partial()), (ids(0..120), None));
    assert_eq!(world.count("GET /me/following"), 3);
}

#[tokio::test]
async fn a_library_that_changes_on_the_way_removes_nothing() {
    for change in [199_usize, 201] {
        let world = with_tracks(200);
        world.hook(move |request, service| {
            if query(request, "offset").as_deref() == Some("100") {
                service.lists.insert("/me/tracks", (0..change).rev().map(saved).collect());
            }
            None
        });
        let pulled = pull(&world, None).await;
        assert_eq!(pulled.partial(), Some("library_changed"), "{change}");
        assert!(pulled.last().sync_token.is_none());
    }
}

#[tokio::test]
async fn rows_without_an_item_are_named_and_keep_the_run_partial() {
    let world = with_tracks(3);
    world.service().lists.insert("/me/albums", vec![Value::Null]);
    let ghost = json!({"added_at": null, "episode": {"id": null, "uri": null, "name": null, "release_date": "0000"}});
    world.service().lists.insert("/me/episodes", vec![ghost]);
    let pulled = pull(&world, None).await;
    assert_eq!((pulled.tracks.len(), pulled.partial()), (3, Some("unreadable_rows")));
    assert_eq!(pulled.last().skipped.len(), 2);
}

#[tokio::test]
async fn a_foreign_next_page_and_a_smaller_one_than_asked_for_lose_nothing() {
    let world = with_tracks(70);
    world.hook(|request, service| {
        // Never more than 18 rows, whatever is asked for.
        (path(request) == "/me/tracks").then(|| {
            let offset: usize = query(request, "offset").unwrap().parse().unwrap();
            let rows: Vec<&Value> = service.lists["/me/tracks"].iter().skip(offset).take(18).collect();
            let next = "https://evil.example.org/v1/me/tracks?offset=7";
            let body = json!({"items": rows, "total": 70, "limit": 18, "offset": offset, "next": next});
            answer(200, body.to_string())
        })
    });
    let pulled = pull(&world, None).await;
    assert_eq!(
        (pulled.tracks.clone(), pulled.last().completeness.clone()),
        (ids((0..70).rev()), Completeness::Complete)
    );
    assert!(world.host.requests().iter().all(|request| request.url.starts_with("https://api.spotify.com/v1/")));
}

#[tokio::test]
async fn lists_that_are_not_granted_are_left_out() {
    let world = with_tracks(3);
    world.sign_in(&["user-library-read"]);
    let pulled = pull(&world, None).await;
    assert_eq!((pulled.tracks.len(), pulled.partial()), (3, Some("scope_missing")));
    assert_eq!(world.count("GET /me/following"), 0);
}

#[tokio::test]
async fn cursors_of_others_are_refused() {
    let world = with_tracks(3);
    for cursor in ["", "{}", "null", "[[[[", r#"{"version": 9}"#] {
        let request = LibraryChanges { since: None, cursor: Some(cursor.into()) };
        let error = world.spotify.library_changes(call(request)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidRequest, "{cursor}");
    }
    assert!(world.log().is_empty());
}

#[tokio::test]
async fn forty_one_items_are_saved_in_two_requests() {
    let world = World::new();
    let add = (0..41).map(|n| key(Kind::Track, n)).collect();
    let edited = world.spotify.library_edit(call(LibraryEdit { add, remove: Vec::new() })).await.unwrap();
    assert!(edited.results.rows.len() == 41 && edited.results.rows.iter().all(|result| result.error.is_none()));
    assert_eq!(world.log(), ["PUT /me/library", "PUT /me/library"]);
    let sent = &world.host.requests()[0];
    assert!(sent.body.is_empty() && sent.url.contains("uris=spotify%3Atrack%3A") && sent.url.contains("%2C"));
    assert_eq!(world.service().saved.len(), 41);
}

#[tokio::test]
async fn one_bad_item_does_not_spoil_the_others() {
    let world = World::new();
    let short = ItemKey { uri: "spotify:track:x".parse().unwrap(), locator: None };
    let add = vec![key(Kind::Track, 1), key(Kind::Album, 666), key(Kind::Show, 3), short];
    let edited = world.spotify.library_edit(call(LibraryEdit { add, remove: Vec::new() })).await.unwrap();
    let failed: Vec<_> = edited.results.rows.iter().filter(|result| result.error.is_some()).collect();
    assert_eq!((edited.results.rows.len(), failed.len(), world.service().saved.len()), (4, 2, 2));
    let remove = vec![key(Kind::Track, 1)];
    world.spotify.likes_edit(call(LikesEdit { add: Vec::new(), remove })).await.unwrap();
    assert_eq!(world.service().saved.len(), 1);
    // Artists may be refused for what they are.
    let add = vec![key(Kind::Artist, 666)];
    let edited = world.spotify.library_edit(call(LibraryEdit { add, remove: Vec::new() })).await.unwrap();
    assert_eq!(edited.results.rows[0].error.as_ref().unwrap().kind, ErrorKind::Unsupported);
}
