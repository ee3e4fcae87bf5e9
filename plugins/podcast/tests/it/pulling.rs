//! Reading the library: what changed, once, whatever is killed in between.

use serde_json::json;
use zotify_plugin_api::prelude::*;

use crate::{
    publisher::{Page, rss},
    support::{HOUR, Mirror, ONE, Rig, TWO, is_partial},
};

#[tokio::test]
async fn everything_once_then_only_what_is_new() {
    let rig = Rig::following(&[ONE, TWO]).await;
    rig.web.feed(ONE, &rss("One", "", 0..3));
    rig.web.feed(TWO, &rss("Two", "<itunes:explicit>yes</itunes:explicit>", 10..12));
    let mut mirror = Mirror::default();
    rig.pull(&mut mirror).await;
    assert_eq!((mirror.shows().len(), mirror.episodes().len()), (2, 5));
    assert_eq!((mirror.completeness(), mirror.pages[0].listing), (&Completeness::Complete, Listing::Everything));
    let episode = mirror.episodes().into_iter().find(|episode| episode.title == "Episode 10").unwrap();
    assert_eq!(episode.show.as_ref().unwrap().title, "Two");
    assert_eq!((episode.duration_ms, episode.explicit, episode.playable), (Some(600_000), Some(true), Some(true)));
    assert_eq!(episode.release_date.as_deref(), Some("2000-01-11"));
    assert_eq!(episode.added_at.as_deref(), Some("2000-01-11T08:00:00Z"));
    assert_eq!(episode.description.as_deref(), Some("About 10"));
    assert_eq!(episode.audio.as_ref().unwrap().size, Some(9_600_010));
    assert!(episode.artwork.is_empty(), "the show's picture does for it");
    let show = mirror.shows().into_iter().find(|show| show.title == "Two").unwrap();
    assert_eq!((show.publisher.as_deref(), show.episode_count), (Some("Two people"), Some(2)));
    assert_eq!(show.artwork[0].locator, "https://cdn.example.org/Two.jpg");

    rig.later(HOUR);
    rig.web.feed(TWO, &rss("Two", "<itunes:explicit>yes</itunes:explicit>", 10..13));
    rig.pull(&mut mirror).await;
    assert_eq!((mirror.episodes().len(), mirror.told()), (6, 2), "the show's count, and one episode");
    assert_eq!((rig.asked(ONE), rig.asked(TWO)), (2, 2));
    let last = rig.host.requests().into_iter().rfind(|request| request.url == ONE).unwrap();
    assert!(last.headers.iter().any(|(name, _)| name == "if-none-match"));
}

#[tokio::test]
async fn unchanged_feeds_take_no_work() {
    let rig = Rig::following(&[ONE, TWO]).await;
    rig.web.feed(ONE, &rss("One", "", 0..3));
    // This publisher has no validators.
    rig.web.put(TWO, Page::Feed { text: rss("Two", "", 0..3), etag: None });
    let mut mirror = Mirror::default();
    rig.pull(&mut mirror).await;
    rig.pull(&mut mirror).await;
    assert_eq!((rig.asked(ONE), rig.asked(TWO)), (1, 1), "asked a moment ago");
    rig.later(HOUR);
    let rig = rig.restarted();
    rig.pull(&mut mirror).await;
    assert_eq!((rig.asked(ONE), rig.asked(TWO)), (2, 2));
    assert_eq!((mirror.pages.len(), mirror.told()), (1, 0));
    assert_eq!(mirror.pages[0].listing, Listing::Changes);
    assert_eq!(mirror.episodes().len(), 6);
}

#[tokio::test]
async fn a_feed_of_ten_thousand_comes_in_pages() {
    let rig = Rig::following(&[ONE]).await;
    rig.web.feed(ONE, &rss("One", "", 0..10_000));
    let mut mirror = Mirror::default();
    rig.pull(&mut mirror).await;
    assert_eq!(mirror.episodes().len(), 10_000);
    assert!(mirror.pages.len() > 5, "{} pages", mirror.pages.len());
    assert_eq!((mirror.told(), rig.asked(ONE)), (10_001, 1), "each once, of a feed that was read once");
    for page in &mirror.pages {
        assert!(zotify_plugin_api::wire::encode(page).unwrap().len() < 1 << 20);
    }
    rig.later(HOUR);
    let mut items: Vec<usize> = (0..10_001).collect();
    items.rotate_right(1);
    rig.web.feed(ONE, &rss("One", "", items));
    rig.pull(&mut mirror).await;
    assert_eq!((mirror.told(), mirror.episodes().len()), (2, 10_001));
}

/// Kills plugin and host at every page in turn: what was answered and not stored is told again.
#[tokio::test]
async fn nothing_is_lost_whatever_is_killed() {
    for kill in 0.. {
        let mut rig = Rig::following(&[ONE, TWO]).await;
        rig.web.feed(ONE, &rss("One", "", 0..3000));
        rig.web.feed(TWO, &rss("Two", "", 0..2000));
        let mut mirror = Mirror::default();
        let (mut cursor, mut n, mut pages) = (None::<String>, 0, Vec::new());
        loop {
            let page = rig.page(None, cursor.as_deref()).await.unwrap();
            if n == kill {
                // The answer came to nobody; the feed changes, and all is asked again by another process.
                rig = rig.restarted();
                rig.web.feed(ONE, &rss("One", "", 0..3001));
                n += 1;
                continue;
            }
            n += 1;
            mirror.store(&page);
            cursor.clone_from(&page.next);
            pages.push(page);
            if cursor.is_none() {
                break;
            }
        }
        mirror.pages = pages;
        mirror.finish();
        if n <= kill {
            assert!(kill > 3, "a run of {n} pages was tried at all of them");
            break;
        }
        rig.later(HOUR);
        rig.pull(&mut mirror).await;
        assert_eq!(mirror.episodes().len(), 5001, "killed at page {kill}");
        rig.later(2 * HOUR);
        rig.pull(&mut mirror).await;
        assert_eq!(mirror.told(), 0, "killed at page {kill}");
    }
}

/// A run that nobody goes on with, and another one in its place.
#[tokio::test]
async fn an_abandoned_run_is_told_again() {
    let rig = Rig::following(&[ONE]).await;
    rig.web.feed(ONE, &rss("One", "", 0..3));
    let mut mirror = Mirror::default();
    rig.pull(&mut mirror).await;
    rig.later(HOUR);
    rig.web.feed(ONE, &rss("One", "", 0..5));
    let lost = rig.page(mirror.token.as_deref(), None).await.unwrap();
    assert_eq!(lost.upsert.rows.len(), 3);
    rig.pull(&mut mirror).await;
    assert_eq!((mirror.told(), mirror.episodes().len()), (3, 5), "although it was answered already");
    rig.later(2 * HOUR);
    rig.pull(&mut mirror).await;
    assert_eq!(mirror.told(), 0);
}

#[tokio::test]
async fn a_host_that_forgot_gets_everything_again() {
    let rig = Rig::following(&[ONE]).await;
    rig.web.feed(ONE, &rss("One", "", 0..3));
    let mut mirror = Mirror::default();
    rig.pull(&mut mirror).await;
    for token in [None, Some("nonsense".to_owned()), Some("1-OTHER.3".to_owned())] {
        let mut empty = Mirror { token, ..Mirror::default() };
        rig.pull(&mut empty).await;
        assert_eq!((empty.episodes().len(), empty.pages[0].listing), (3, Listing::Everything));
    }
    let stale = rig.page(None, Some("1-OTHER.c.1.2.3")).await;
    assert_eq!(crate::support::code(stale), (ErrorKind::InvalidRequest, "cursor_invalid".into()));
}

#[tokio::test]
async fn what_left_the_feed_stays_and_what_changed_is_told() {
    let rig = Rig::following(&[ONE]).await;
    rig.web.feed(ONE, &rss("One", "", 0..5));
    let mut mirror = Mirror::default();
    rig.pull(&mut mirror).await;
    rig.later(HOUR);
    rig.web.feed(ONE, &rss("One", "", 3..7).replace("About 4", "All about 4"));
    rig.pull(&mut mirror).await;
    assert_eq!(mirror.episodes().len(), 7, "a feed lists its newest, the library keeps the others");
    assert_eq!(mirror.told(), 4, "the show, two new ones, one that changed");
    assert!(mirror.pages.iter().all(|page| page.removed.is_empty()));
    let changed = mirror.episodes().into_iter().find(|episode| episode.title == "Episode 4").unwrap();
    assert_eq!(changed.description.as_deref(), Some("All about 4"));
}

#[tokio::test]
async fn one_bad_feed_spoils_no_other_and_removes_nothing() {
    let rig = Rig::following(&[ONE, TWO]).await;
    rig.web.feed(ONE, &rss("One", "", 0..3));
    rig.web.put(TWO, Page::Down);
    let mut mirror = Mirror::default();
    rig.pull(&mut mirror).await;
    assert!(is_partial(mirror.completeness()), "{:?}", mirror.completeness());
    assert_eq!(mirror.skipped(), [("two.example.org", "unreachable")]);
    assert_eq!((mirror.shows().len(), mirror.episodes().len()), (2, 3), "the other one stands there by its name");
    assert!(mirror.pages.iter().all(|page| page.skipped.iter().all(|skipped| !skipped.detail.contains("https://"))));

    rig.later(HOUR);
    rig.pull(&mut mirror).await;
    assert_eq!((rig.asked(ONE), mirror.told()), (2, 0), "a partial run is no reason to read the good ones anew");
    let one = rig.host.requests().into_iter().rfind(|request| request.url == ONE).unwrap();
    assert!(one.headers.iter().any(|(name, _)| name == "if-none-match"));

    rig.later(2 * HOUR);
    rig.web.feed(TWO, &rss("Two", "", 10..12));
    rig.pull(&mut mirror).await;
    assert_eq!((mirror.completeness(), mirror.episodes().len()), (&Completeness::Complete, 5));
    let titles: Vec<_> = mirror.shows().into_iter().map(|show| show.title.as_str()).collect();
    assert!(titles.contains(&"Two"), "{titles:?}");
}

/// What is broken for long is known to be so, and holds up nothing any more.
#[tokio::test]
async fn a_feed_that_is_dead_for_days_lets_runs_end() {
    let rig = Rig::following(&[ONE, TWO]).await;
    rig.web.feed(ONE, &rss("One", "", 0..3));
    rig.web.feed(TWO, &rss("Two", "", 10..12));
    let mut mirror = Mirror::default();
    rig.pull(&mut mirror).await;
    rig.web.put(TWO, Page::Status(500, vec![]));
    rig.later(HOUR);
    rig.pull(&mut mirror).await;
    assert!(is_partial(mirror.completeness()));
    rig.later(4 * 24 * HOUR);
    rig.pull(&mut mirror).await;
    assert_eq!(mirror.completeness(), &Completeness::Complete);
    assert_eq!((mirror.skipped(), mirror.episodes().len()), (vec![("Two", "server_error")], 5));
    let checked = rig.provider.check(crate::support::call(())).await.unwrap();
    assert_eq!(checked.warnings, ["Two: the feed's server is out of order."]);
}

#[tokio::test]
async fn a_server_that_asks_to_wait_is_waited_for() {
    let rig = Rig::with(json!({"refresh_minutes": 0}));
    rig.connect(&json!({"feeds": ONE})).await;
    rig.web.put(ONE, Page::Status(429, vec![("retry-after".into(), "7200".into())]));
    let mut mirror = Mirror::default();
    rig.pull(&mut mirror).await;
    assert_eq!(mirror.skipped(), [("one.example.org", "rate_limited")]);
    rig.later(HOUR);
    rig.pull(&mut mirror).await;
    assert_eq!((rig.asked(ONE), is_partial(mirror.completeness())), (1, true));
    rig.later(3 * HOUR);
    rig.web.feed(ONE, &rss("One", "", 0..3));
    rig.pull(&mut mirror).await;
    assert_eq!((rig.asked(ONE), mirror.episodes().len()), (2, 3));
}
