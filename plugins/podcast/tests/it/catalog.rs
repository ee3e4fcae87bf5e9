//! Single items, the episodes of shows, and addresses.

use zotify_plugin_api::prelude::*;

use crate::{
    publisher::{Page, rss},
    support::{HOUR, ONE, Rig, TWO, call, code},
};

fn get(uri: &Uri) -> Call<Get> {
    call(Get { uri: uri.clone(), locator: None })
}

#[tokio::test]
async fn episodes_come_newest_first_and_new_ones_move_none() {
    let rig = Rig::following(&[ONE]).await;
    rig.web.feed(ONE, &rss("One", "", 0..120));
    let show = rig.show(ONE).await;
    let first = rig.episodes(&show, None, 50).await.unwrap();
    assert_eq!((first.items.rows.len(), first.total), (50, Some(120)));
    let Item::Episode(newest) = &first.items.rows[0] else { panic!() };
    assert_eq!(newest.title, "Episode 119");
    rig.later(HOUR);
    rig.web.feed(ONE, &rss("One", "", 0..130));
    let (mut titles, mut cursor) = (Vec::new(), first.next);
    while let Some(after) = cursor {
        let page = rig.episodes(&show, Some(after), 50).await.unwrap();
        cursor = page.next;
        titles.extend(page.items.rows.into_iter().map(|item| match item {
            Item::Episode(episode) => episode.title,
            other => panic!("{other:?}"),
        }));
    }
    let expected: Vec<_> = (0..70).rev().map(|n| format!("Episode {n}")).collect();
    assert_eq!(titles, expected);
    assert_eq!(rig.asked(ONE), 2, "once an hour, however many pages");
    assert_eq!(
        code(rig.episodes(&show, Some("x".into()), 0).await),
        (ErrorKind::InvalidRequest, "invalid_cursor".into())
    );
}

#[tokio::test]
async fn single_items_are_found_by_their_uris() {
    let rig = Rig::following(&[]).await;
    rig.web.feed(ONE, &rss("One", "", 0..3));
    let show = rig.show(ONE).await;
    let page = rig.episodes(&show, None, 0).await.unwrap();
    for item in &page.items.rows {
        assert_eq!(rig.provider.get(get(item.uri())).await.unwrap(), *item);
    }
    let Item::Show(found) = rig.provider.get(get(&show)).await.unwrap() else { panic!() };
    assert_eq!((found.title.as_str(), found.added_at), ("One", None));
    for missing in ["pod:show:x", "pod:show:AAAAAAAAAAAAAAAAAAAA", "pod:episode:x", "pod:track:x"] {
        assert_eq!(rig.provider.get(get(&missing.parse().unwrap())).await.unwrap_err().kind, ErrorKind::NotFound);
    }
    let foreign: Uri =
        format!("{}.AAAAAAAAAAAAAAAAAAAA", show.as_str().replace(":show:", ":episode:")).parse().unwrap();
    assert_eq!(rig.provider.get(get(&foreign)).await.unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn what_was_read_a_moment_ago_serves_while_the_publisher_is_down() {
    let rig = Rig::following(&[]).await;
    rig.web.feed(ONE, &rss("One", "", 0..3));
    let show = rig.show(ONE).await;
    rig.web.put(ONE, Page::Down);
    rig.later(HOUR);
    assert_eq!(rig.episodes(&show, None, 0).await.unwrap().items.rows.len(), 3);
    let rig = rig.restarted();
    assert_eq!(code(rig.episodes(&show, None, 0).await), (ErrorKind::InvalidRequest, "unreachable".into()));
}

#[tokio::test]
async fn addresses_that_are_no_feeds_are_nobodys() {
    let rig = Rig::following(&[]).await;
    rig.web.put(ONE, Page::Bytes(b"<!doctype html><html></html>".to_vec(), "text/html"));
    rig.web.put("https://p.example/", Page::Status(403, vec![]));
    for other in [ONE, TWO, "https://p.example/", "spotify:show:x", "hello", "https://", "mailto:a@b.example"] {
        assert_eq!(rig.resolve(other).await.unwrap(), [], "{other}");
    }
    rig.web.put(TWO, Page::Denied);
    let error = rig.resolve(TWO).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_deref()), (ErrorKind::InvalidRequest, Some("address_denied")));
    assert!(!error.message.contains("two.example"), "{}", error.message);
    let isrc = ResolveBy::Isrc { isrc: "GBAYK9700123".into() };
    assert_eq!(rig.provider.resolve(call(Resolve { by: isrc })).await.unwrap(), Resolved::default());
    assert!(rig.host.keys().is_empty(), "nothing is remembered of them: {:?}", rig.host.keys());
}
