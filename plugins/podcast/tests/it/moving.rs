//! Feeds that move, and feeds that go: the show stays the same one.

use std::collections::BTreeSet;

use zotify_plugin_api::prelude::*;

use crate::{
    publisher::{Page, rss},
    support::{HOUR, Mirror, ONE, Rig, TWO},
};

const THREE: &str = "https://three.example.org/feed";

async fn pulled() -> (Rig, Mirror) {
    let rig = Rig::following(&[ONE]).await;
    rig.web.feed(ONE, &rss("One", "", 0..3));
    let mut mirror = Mirror::default();
    rig.pull(&mut mirror).await;
    rig.later(HOUR);
    (rig, mirror)
}

fn uris(mirror: &Mirror) -> BTreeSet<String> {
    mirror.items.keys().cloned().collect()
}

#[tokio::test]
async fn a_permanent_redirect_is_followed_for_good() {
    for status in [301, 308] {
        let (rig, mut mirror) = pulled().await;
        let before = uris(&mirror);
        rig.web.put(ONE, Page::Redirect(status, TWO.into()));
        rig.web.put(TWO, Page::Redirect(status, THREE.into()));
        rig.web.feed(THREE, &rss("One", "", 0..4));
        rig.pull(&mut mirror).await;
        assert!(before.is_subset(&uris(&mirror)), "the same show and the same episodes");
        assert_eq!(mirror.items.len(), before.len() + 1);
        let there = rig.host.requests().into_iter().rfind(|request| request.url == THREE).unwrap();
        assert!(there.headers.iter().all(|(name, _)| name != "if-none-match"), "what the old address said is not its");
        rig.later(2 * HOUR);
        rig.pull(&mut mirror).await;
        assert_eq!((rig.asked(ONE), rig.asked(THREE)), (2, 2), "the old address is not asked any more");
        assert_eq!(mirror.told(), 0);
        assert_eq!(rig.show(THREE).await, rig.show(ONE).await, "known by its new address, too");
    }
}

#[tokio::test]
async fn a_temporary_one_is_followed_this_time() {
    for status in [302, 303, 307] {
        let (rig, mut mirror) = pulled().await;
        rig.web.put(ONE, Page::Redirect(status, TWO.into()));
        rig.web.put(TWO, Page::Redirect(301, THREE.into()));
        rig.web.feed(THREE, &rss("One", "", 0..4));
        rig.pull(&mut mirror).await;
        assert_eq!(mirror.episodes().len(), 4);
        rig.later(2 * HOUR);
        rig.pull(&mut mirror).await;
        assert_eq!((rig.asked(ONE), mirror.told()), (3, 0));
    }
}

#[tokio::test]
async fn a_feed_that_says_it_moved_is_believed_where_there_is_one() {
    let (rig, mut mirror) = pulled().await;
    let moved = format!("<itunes:new-feed-url>{TWO}</itunes:new-feed-url>");
    rig.web.feed(ONE, &rss("One", &moved, 0..3));
    rig.pull(&mut mirror).await;
    assert_eq!((mirror.skipped(), mirror.episodes().len()), (vec![], 3), "there is nothing yet");
    rig.later(2 * HOUR);
    rig.web.feed(ONE, &rss("One", &moved, 0..4));
    rig.web.feed(TWO, &rss("One", &moved, 0..5));
    rig.pull(&mut mirror).await;
    assert_eq!((mirror.shows().len(), mirror.episodes().len()), (1, 5));
    rig.later(3 * HOUR);
    rig.pull(&mut mirror).await;
    assert_eq!((rig.asked(ONE), mirror.told()), (3, 0));
    // Two that name each other are read once each, whatever they say.
    let back = format!("<itunes:new-feed-url>{ONE}</itunes:new-feed-url>");
    rig.web.feed(ONE, &rss("One", &moved, 0..6));
    rig.web.feed(TWO, &rss("One", &back, 0..6));
    rig.later(4 * HOUR);
    let before = rig.host.requests().len();
    rig.pull(&mut mirror).await;
    assert_eq!((rig.host.requests().len() - before, mirror.episodes().len()), (2, 6));
}

#[tokio::test]
async fn circles_and_bad_redirects_end() {
    for (to, code) in [
        (ONE, "redirect_loop"),
        ("file:///etc/passwd", "bad_redirect"),
        ("", "redirect_loop"),
        ("http://one.example.org/feed", "redirect_unprotected"),
        ("http://", "bad_redirect"),
    ] {
        let (rig, mut mirror) = pulled().await;
        rig.web.put(ONE, Page::Redirect(301, to.into()));
        rig.pull(&mut mirror).await;
        assert_eq!(mirror.skipped(), [("One", code)], "{to}");
        assert!(rig.asked(ONE) <= 7);
        assert_eq!(mirror.episodes().len(), 3);
        rig.web.feed(ONE, &rss("One", "", 0..4));
        rig.later(2 * HOUR);
        rig.pull(&mut mirror).await;
        assert_eq!(mirror.episodes().len(), 4, "it is still asked where it was");
    }
}

#[tokio::test]
async fn a_feed_that_is_gone_stays_and_is_marked() {
    let (rig, mut mirror) = pulled().await;
    rig.web.put(ONE, Page::Status(410, vec![]));
    rig.pull(&mut mirror).await;
    assert_eq!(mirror.completeness(), &Completeness::Complete);
    assert_eq!((mirror.skipped(), mirror.items.len()), (vec![("One", "gone")], 4));
    let checked = rig.provider.check(crate::support::call(())).await.unwrap();
    assert_eq!(checked.warnings, ["One: the publisher took the feed away."]);
    rig.later(24 * HOUR);
    rig.pull(&mut mirror).await;
    assert_eq!((rig.asked(ONE), mirror.items.len()), (2, 4), "it is not asked every time");
    assert_eq!(mirror.skipped(), [("One", "gone")], "and still marked");
    rig.later(9 * 24 * HOUR);
    rig.web.feed(ONE, &rss("One", "", 0..4));
    rig.pull(&mut mirror).await;
    assert_eq!((rig.asked(ONE), mirror.items.len()), (3, 5), "it came back after all");
    assert!(rig.provider.check(crate::support::call(())).await.unwrap().warnings.is_empty());
}

/// Everything is told anew while a feed is gone: what it once listed must not be taken away for that.
#[tokio::test]
async fn a_fresh_run_takes_nothing_away_for_a_feed_that_is_gone() {
    let (rig, mut mirror) = pulled().await;
    rig.web.put(ONE, Page::Status(410, vec![]));
    mirror.token = None;
    rig.pull(&mut mirror).await;
    assert_eq!((mirror.pages[0].listing, mirror.items.len()), (Listing::Everything, 4));
    rig.later(30 * 24 * HOUR);
    rig.pull(&mut mirror).await;
    assert_eq!((mirror.completeness(), mirror.items.len()), (&Completeness::Complete, 4));
}

/// Some publishers give all episodes new guids when they change their software.
#[tokio::test]
async fn episodes_with_new_guids_are_the_same_episodes() {
    let (rig, mut mirror) = pulled().await;
    rig.web.feed(ONE, &rss("One", "", 0..4).replace("guid-", "urn:new:"));
    rig.pull(&mut mirror).await;
    assert_eq!((mirror.episodes().len(), mirror.titles().len()), (4, 4));
    assert_eq!(mirror.pages.iter().map(|page| page.moved.len()).sum::<usize>(), 3);
    rig.later(2 * HOUR);
    rig.pull(&mut mirror).await;
    assert_eq!(mirror.told(), 0);
}
