//! Events in the order of their numbers, and their end.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde_json::json;
use zotify_host::{
    db,
    events::{self, Event},
    jobs::clear,
};

use crate::support::{PATIENCE, TestApp};

/// A reader by cursor sees each event once and in order, however long transactions take and whether or not they end well.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_event_is_skipped_by_a_reader() {
    const WRITERS: u64 = 8;
    const EACH: u64 = 40;
    let host = TestApp::start().await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let db = host.app.db.clone();
            tokio::spawn(async move {
                let mut kept = BTreeSet::new();
                for n in 0..EACH {
                    // Spread by arithmetic, so that a failure can be seen again.
                    let dice = (writer * 7919 + n * 104_729) % 13;
                    let mut tx = db.write().await.unwrap();
                    let mark = format!("{writer}-{n}");
                    let event = Event { kind: "test.hammer", subject: Some(&mark), user: None, data: json!({}) };
                    let id = events::emit(&mut tx, event).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(dice % 5)).await;
                    if dice < 4 {
                        drop(tx);
                    } else {
                        tx.commit().await.unwrap();
                        kept.insert((id, mark));
                    }
                }
                kept
            })
        })
        .collect();
    let read = async || {
        let (mut seen, mut cursor, started) = (Vec::new(), 0, Instant::now());
        loop {
            let over = writers.iter().all(tokio::task::JoinHandle::is_finished);
            let page = db::events::after(host.app.db.read(), cursor, 7).await.unwrap();
            if over && page.is_empty() {
                return seen;
            }
            for event in page {
                assert!(event.id > cursor, "in order");
                cursor = event.id;
                if event.kind == "test.hammer" {
                    seen.push((event.id, event.subject.unwrap()));
                }
            }
            assert!(started.elapsed() < PATIENCE);
        }
    };
    let seen = read().await;
    let mut kept = BTreeSet::new();
    for writer in writers {
        kept.extend(writer.await.unwrap());
    }
    assert!(kept.len() > 100);
    assert_eq!(seen, kept.into_iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn old_events_and_jobs_are_cleared_in_batches() {
    let host = TestApp::with("[events]\nretention_days = 2").await.admin().await;
    let now = db::now_ms();
    let mut tx = host.app.db.write().await.unwrap();
    for _ in 0..2500 {
        let event = Event { kind: "test.old", subject: None, user: None, data: json!({}) };
        events::emit(&mut tx, event).await.unwrap();
    }
    let old = "UPDATE events SET created_at = created_at - 3 * 86400000 WHERE type = 'test.old'";
    sqlx::query(old).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = host.app.db.write().await.unwrap();
    let last =
        events::emit(&mut tx, Event { kind: "test.new", subject: None, user: None, data: json!({}) }).await.unwrap();
    tx.commit().await.unwrap();
    clear::clear(&host.app, now).await.unwrap();
    let left = db::events::after(host.app.db.read(), 0, 10_000).await.unwrap();
    assert!(left.iter().all(|event| event.kind != "test.old"), "{}", left.len());
    assert!(left.iter().any(|event| event.id == last));
    // Ids go on even where nothing is left: a reader's cursor stays good.
    clear::clear(&host.app, now + 400 * 86_400_000).await.unwrap();
    assert!(db::events::after(host.app.db.read(), 0, 10).await.unwrap().is_empty());
    let mut tx = host.app.db.write().await.unwrap();
    let next =
        events::emit(&mut tx, Event { kind: "test.new", subject: None, user: None, data: json!({}) }).await.unwrap();
    assert!(next > last);
}
