//! Playlists that several nodes change at once.

use std::time::Duration;

use futures::future::join_all;
use serde_json::json;

use super::on_postgres;
use crate::{editable::Editable, support::PATIENCE};

#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_one_changes_a_playlist_at_a_time() {
    if !on_postgres() {
        return;
    }
    let a = Editable::with("").await;
    let b = a.beside().await;
    let (path, _) = a.playlist(&[]).await;
    // The provider reads the playlist, changes it and writes it: of two at once, one would be lost.
    let items = format!("{path}/items");
    let add = json!({"uris": ["ed:track:1"]});
    let added =
        join_all((0..20).map(|n| if n % 2 == 0 { a.host.post(&items, &add) } else { b.post(&items, &add) })).await;
    added.iter().for_each(|reply| drop(reply.expect(200)));
    assert_eq!(a.titles(&path).await.len(), 20);
    assert_eq!(b.get(&format!("{items}?limit=200")).await.expect(200)["data"].as_array().unwrap().len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_holds_on_all_nodes_until_it_is_dropped() {
    if !on_postgres() {
        return;
    }
    let a = Editable::with("").await;
    let b = a.beside().await;
    let (on_a, on_b) = (&a.host.app, &b.app);
    let held = on_a.playlist_edits.lock(on_a, "it").await.unwrap();
    let wait = tokio::time::timeout(Duration::from_millis(300), on_b.playlist_edits.lock(on_b, "it")).await;
    assert!(wait.is_err(), "the other node waits");
    on_b.playlist_edits.lock(on_b, "another").await.unwrap();
    drop(held);
    let freed = tokio::time::timeout(PATIENCE, on_b.playlist_edits.lock(on_b, "it")).await;
    assert!(freed.unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lock_of_a_node_that_is_gone_runs_out() {
    if !on_postgres() {
        return;
    }
    let a = Editable::with("").await;
    let app = &a.host.app;
    let mut tx = app.db.write().await.unwrap();
    zotify_host::db::state::take_lease(&mut tx, "it", "a node that is gone", 0).await.unwrap();
    tx.commit().await.unwrap();
    let wait = tokio::time::timeout(Duration::from_millis(300), app.playlist_edits.lock(app, "it")).await;
    assert!(wait.is_err(), "nobody knows yet that it is gone");
    let mut tx = app.db.write().await.unwrap();
    sqlx::query("UPDATE host_state SET updated_at = updated_at - 15000 WHERE key = 'lease.it'")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let freed = tokio::time::timeout(PATIENCE, app.playlist_edits.lock(app, "it")).await;
    assert!(freed.unwrap().is_ok());
}
