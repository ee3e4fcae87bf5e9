//! Feeds that mean harm, by way of the provider's own methods.

use serde_json::json;
use zotify_plugin_api::prelude::*;

use crate::{
    publisher::{Page, rss},
    support::{HOUR, Mirror, ONE, Rig, TWO},
};

async fn pulled(page: Page) -> (Rig, Mirror) {
    let rig = Rig::with(json!({"max_feed_mb": 1}));
    rig.connect(&json!({"feeds": ONE})).await;
    rig.web.put(ONE, page);
    let mut mirror = Mirror::default();
    rig.pull(&mut mirror).await;
    (rig, mirror)
}

#[tokio::test]
async fn each_is_told_by_a_code_of_its_own() {
    let bytes = |text: &str| Page::Bytes(text.as_bytes().to_vec(), "application/rss+xml");
    let deep = format!("<rss><channel><a>{}", "<b>".repeat(100_000));
    for (page, code) in [
        (bytes(&"x".repeat((1 << 20) + 1)), "too_large"),
        (bytes("<html>"), "web_page"),
        (bytes("nothing"), "not_a_feed"),
        (bytes(""), "not_a_feed"),
        (bytes("<rss><channel></a>"), "malformed"),
        (bytes(&deep), "malformed"),
        (Page::Bytes(vec![0xff; 1000], "text/xml"), "not_a_feed"),
        (Page::Denied, "address_denied"),
        (Page::Down, "unreachable"),
        (Page::Status(401, vec![]), "refused"),
        (Page::Status(404, vec![]), "not_found"),
        (Page::Status(503, vec![]), "server_error"),
        (Page::Status(204, vec![]), "unexpected_status"),
        (Page::Redirect(301, "gopher://x".into()), "bad_redirect"),
    ] {
        let (_, mirror) = pulled(page.clone()).await;
        assert_eq!(mirror.skipped(), [("one.example.org", code)], "{:.80}", format!("{page:?}"));
        assert_eq!(mirror.shows().len(), 1);
    }
}

#[tokio::test]
async fn a_feed_that_breaks_keeps_what_it_had() {
    let rig = Rig::following(&[ONE]).await;
    rig.web.feed(ONE, &rss("One", "", 0..3));
    let mut mirror = Mirror::default();
    rig.pull(&mut mirror).await;
    rig.later(HOUR);
    let broken = rss("One", "", 2..6);
    rig.web.feed(ONE, broken.split_once("</channel>").unwrap().0);
    rig.pull(&mut mirror).await;
    assert_eq!((mirror.skipped(), mirror.episodes().len()), (vec![("One", "damaged")], 6));
    rig.later(2 * HOUR);
    rig.web.put(ONE, Page::Bytes(b"<html></html>".to_vec(), "text/html"));
    rig.pull(&mut mirror).await;
    assert_eq!((mirror.skipped(), mirror.items.len()), (vec![("One", "web_page")], 7));
}

#[tokio::test]
async fn titles_and_times_are_made_harmless() {
    let title = "\u{202e}evil\u{2066}\u{0007} title\u{feff}\n\n";
    let feed = rss("One", "", 0..1).replace("Episode 0", title).replace("01 Jan 2000", "01 Jan 9999");
    let (_, mirror) = pulled(Page::Bytes(feed.into_bytes(), "text/xml")).await;
    let episode = mirror.episodes()[0];
    assert_eq!(episode.title, "evil title");
    assert_eq!((&episode.release_date, &episode.added_at), (&None, &None));
}

/// A feed that answers anew each time, with other ids: what it leaves behind has an end.
#[tokio::test]
async fn a_feed_that_never_stops_is_bounded() {
    let rig = Rig::with(json!({"refresh_minutes": 0, "max_feed_mb": 16}));
    rig.connect(&json!({"feeds": ONE})).await;
    let mut mirror = Mirror::default();
    for run in 0..3i64 {
        let items: String = (0..12_000)
            .map(|n| {
                format!("<item><guid>{run}-{n}</guid><title>{run} {n}</title><enclosure url='/{run}/{n}.mp3'/></item>")
            })
            .collect();
        rig.web.feed(ONE, &format!("<rss version='2.0'><channel><title>One</title>{items}</channel></rss>"));
        rig.later(run * HOUR);
        rig.pull(&mut mirror).await;
    }
    assert_eq!(mirror.episodes().len(), 24_000, "the oldest left");
    assert!(mirror.titles().contains("2 0") && !mirror.titles().contains("0 0"));
    assert!(mirror.pages.iter().all(|page| zotify_plugin_api::wire::encode(page).unwrap().len() < 1 << 20));
}

/// Whatever bytes come, the others' podcasts are read and nothing is taken away.
#[tokio::test]
async fn mutated_feeds_harm_nobody() {
    let rig = Rig::with(json!({"refresh_minutes": 0}));
    rig.connect(&json!({"feeds": format!("{ONE}\n{TWO}")})).await;
    rig.web.feed(TWO, &rss("Two", "", 0..2));
    let good = rss("One", "", 0..20).into_bytes();
    let (mut mirror, mut seed) = (Mirror::default(), 42u64);
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    for run in 0..60 {
        let mut bytes = good.clone();
        for _ in 0..random() % 30 {
            let at = random() % bytes.len();
            match random() % 3 {
                0 => bytes[at] = (random() % 256) as u8,
                1 => drop(bytes.drain(at..(at + random() % 50).min(bytes.len()))),
                _ => bytes.insert(at, b"<>&;'\"]/!\0"[random() % 10]),
            }
        }
        rig.web.put(ONE, Page::Bytes(bytes, "text/xml"));
        rig.later(run * HOUR);
        rig.pull(&mut mirror).await;
        let of_two = mirror.episodes().iter().filter(|e| e.show.as_ref().unwrap().title == "Two").count();
        assert_eq!(of_two, 2, "run {run}");
    }
    rig.web.put(ONE, Page::Bytes(good, "text/xml"));
    rig.later(100 * HOUR);
    rig.pull(&mut mirror).await;
    let whole = (0..20).map(|n| format!("Episode {n}"));
    assert!(whole.into_iter().all(|title| mirror.titles().contains(title.as_str())));
    assert_eq!(*mirror.completeness(), Completeness::Complete);
}
