use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
};

use zotify_plugin_api::{
    prelude::*,
    service::{HttpRequest, HttpResponse},
};

use crate::{server::Manners, support::*};

fn count(items: &[Item], kind: Kind) -> usize {
    items.iter().filter(|item| item.kind() == kind).map(|item| item.uri().clone()).collect::<BTreeSet<_>>().len()
}

#[tokio::test]
async fn everything_is_found_by_whatever_walk() {
    let short = Manners { most: 37, ..Manners::modern() };
    let silent = Manners { searches_all: false, ..Manners::modern() };
    for manners in [Manners::modern(), short, silent, Manners::old()] {
        let (rig, _) = Rig::of(manners.clone(), 45).await;
        let before = rig.host.requests().len();
        let (items, last) = rig.pull(None).await;
        assert_eq!((items.len(), count(&items, Kind::Track)), (1 + 45 + 450, 450), "{manners:?}");
        assert_eq!((count(&items, Kind::Album), count(&items, Kind::Artist)), (45, 1));
        assert_eq!((last.listing, last.completeness), (Listing::Everything, Completeness::Complete));
        let (forecast, made) = (last.forecast.unwrap().requests, rig.requests_after(before).len() as u64);
        if manners.most == 500 {
            assert!(forecast.abs_diff(made) <= 5, "{made} requests, forecast {forecast}: {manners:?}");
        }
        let again = rig.host.requests().len();
        let (items, page) = rig.pull(last.sync_token.clone()).await;
        assert_eq!((items.len(), page.listing, page.sync_token), (0, Listing::Changes, last.sync_token));
        assert!(rig.requests_after(again).len() <= 3, "what did not change is not walked");
    }
}

#[tokio::test]
async fn changes_are_walked_and_noticed() {
    let (rig, server) = Rig::of(Manners::modern(), 30).await;
    let token = rig.pull(None).await.1.sync_token;
    server.state().changed = 2;
    let (items, page) = rig.pull(token.clone()).await;
    assert_eq!((count(&items, Kind::Track), page.listing), (300, Listing::Everything));
    // Under way: nothing may be taken for gone.
    let first = rig.provider.library_changes(call(LibraryChanges::default())).await.unwrap();
    server.state().changed = 3;
    let mut request = LibraryChanges { since: None, cursor: first.next };
    let last = loop {
        let page = rig.provider.library_changes(call(request.clone())).await.unwrap();
        if page.next.is_none() {
            break page;
        }
        request.cursor = page.next;
    };
    let partial = |page: &LibraryPage| match &page.completeness {
        Completeness::Partial { code, .. } => code.clone(),
        other => format!("{other:?}"),
    };
    assert_eq!((partial(&last).as_str(), last.sync_token), ("changed_meanwhile", None));
    server.state().scanning = true;
    assert_eq!(partial(&rig.pull(None).await.1), "scanning");
    server.state().scanning = false;
    // After a week it is looked at all the same.
    let token = rig.pull(None).await.1.sync_token;
    rig.host.set_now_ms(8 * 24 * 3600 * 1000);
    assert_eq!(rig.pull(token).await.1.listing, Listing::Everything);
}

#[tokio::test]
async fn albums_that_cannot_be_read_are_not_taken_for_gone() {
    let partial = |page: &LibraryPage| match &page.completeness {
        Completeness::Partial { code, detail } => format!("{code}: {detail}"),
        other => format!("{other:?}"),
    };
    let (rig, server) = Rig::of(Manners::old(), 45).await;
    let asks = |request: &HttpRequest, album: &str| request.url.ends_with(&format!("id={album}"));
    rig.serve_instead(&server, move |_, request| match request {
        _ if asks(request, "al-3") => vague("database is locked"),
        _ if asks(request, "al-44") => Some(Ok(HttpResponse {
            status: 200,
            headers: vec![],
            body: br#"{"subsonic-response": {"status": "ok"}}"#.to_vec(),
        })),
        _ => None,
    });
    let (items, last) = rig.pull(None).await;
    assert_eq!(count(&items, Kind::Track), 430);
    assert!(partial(&last).starts_with("unreadable_albums: ") && partial(&last).contains(" 2 "), "{}", partial(&last));
    assert_eq!(last.sync_token, None, "the next run reads all again");
    rig.serve_instead(&server, |_, _| None);
    assert_eq!(rig.pull(None).await.1.completeness, Completeness::Complete);
}

#[tokio::test]
async fn only_what_is_said_twice_by_a_server_that_is_well_is_missing() {
    let (rig, server) = Rig::of(Manners::modern(), 1).await;
    let get = || rig.provider.get(call(Get { uri: track("so-3"), locator: None }));
    let asked = AtomicUsize::new(0);
    rig.serve_instead(&server, move |method, _| {
        let first = method == "getSong" && asked.fetch_add(1, Ordering::Relaxed) == 0;
        first.then(|| vague("database is locked"))?
    });
    assert_eq!(code(get().await).0, ErrorKind::BadUpstream, "the second time it was there");
    rig.serve_instead(&server, |method, _| (method != "ping").then(|| vague("database is locked"))?);
    assert_eq!(code(get().await).0, ErrorKind::BadUpstream, "nothing can be read");
    rig.serve_instead(&server, |method, _| (method == "getSong").then(|| vague("badly formed id"))?);
    assert_eq!(code(get().await).0, ErrorKind::NotFound);
}

#[tokio::test]
async fn senseless_numbers_do_no_harm() {
    let (rig, server) = Rig::of(Manners { searches_all: false, ..Manners::modern() }, 1).await;
    rig.serve_instead(&server, |method, _| {
        let most = u64::MAX;
        let fields = match method {
            "getScanStatus" => format!(r#""scanStatus": {{"scanning": false, "count": {most}, "lastScan": "x"}}"#),
            "getArtists" => format!(
                r#""artists": {{"index": [{{"artist": [
                    {{"id": "1", "name": "a", "albumCount": {most}}}, {{"id": "2", "name": "b", "albumCount": "{most}"}}]}}]}}"#
            ),
            _ => return None,
        };
        let body = format!(r#"{{"subsonic-response": {{"status": "ok", {fields}}}}}"#).into_bytes();
        Some(Ok(HttpResponse { status: 200, headers: vec![], body }))
    });
    let (items, last) = rig.pull(None).await;
    assert_eq!((count(&items, Kind::Track), last.completeness), (10, Completeness::Complete));
    assert_eq!(last.forecast, Some(Forecast { requests: u64::MAX, items: u64::MAX }));
}

#[tokio::test]
async fn cursors_and_tokens_of_others_do_no_harm() {
    let (rig, _) = Rig::of(Manners::modern(), 1).await;
    let request = LibraryChanges { since: None, cursor: Some("{}".into()) };
    assert_eq!(code(rig.provider.library_changes(call(request)).await).1, "invalid_cursor");
    assert_eq!(rig.pull(Some("garbage".into())).await.0.len(), 12);
}

#[tokio::test]
async fn searches_and_single_items() {
    for manners in [Manners::modern(), Manners::old()] {
        let (rig, _) = Rig::of(manners, 30).await;
        let search = |kinds: Vec<Kind>, cursor: Option<String>| {
            let request = Search { query: "so-1".into(), kinds, page: PageRequest { cursor, limit: 50 } };
            rig.provider.search(call(request))
        };
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page = search(vec![Kind::Track], cursor).await.unwrap();
            found.extend(page.items.rows);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!((found.len(), count(&found, Kind::Track)), (111, 111), "1, 10 to 19, 100 to 199");
        assert_eq!(search(vec![Kind::Playlist], None).await.unwrap().items.rows.len(), 0);
        assert!(search(vec![], Some("x".into())).await.is_err());
        let get = |uri: &str| rig.provider.get(call(Get { uri: uri.parse().unwrap(), locator: None }));
        for uri in ["sub:track:so-3", "sub:album:al-2", "sub:artist:ar-0"] {
            assert_eq!(get(uri).await.unwrap().uri().as_str(), uri);
        }
        for uri in ["sub:track:nope", "sub:album:nope", "sub:playlist:nope", "sub:show:1"] {
            assert_eq!(code(get(uri).await).0, ErrorKind::NotFound, "{uri}");
        }
        let children = |uri: &str, relation| {
            let (uri, page) = (uri.parse().unwrap(), PageRequest { cursor: None, limit: 4 });
            rig.provider.children(call(Children { uri, relation, locator: None, page }))
        };
        let page = children("sub:album:al-2", Relation::AlbumTracks).await.unwrap();
        assert_eq!((page.items.rows.len(), page.next.as_deref(), page.total), (4, Some("4"), Some(10)));
        assert_eq!(page.items.rows[0].uri().as_str(), "sub:track:so-20");
        assert_eq!(children("sub:artist:ar-0", Relation::ArtistAlbums).await.unwrap().total, Some(30));
        assert_eq!(code(children("sub:artist:ar-0", Relation::AlbumTracks).await).0, ErrorKind::Unsupported);
        assert_eq!(code(children("sub:album:al-99", Relation::AlbumTracks).await).0, ErrorKind::NotFound);
    }
}
