//! Reading a list of likes while a provider is told of one.

use zotify_plugin_api::Track;

use super::*;
use crate::{
    jobs::pull::tests::World,
    likes::{Outcome, settle},
};

const USER: &str = "user";
const LIKED: &str = "fake:track:1";

/// A pull that has begun, and a like of long ago of which the provider has yet to hear.
async fn begun(liked: i64) -> (World, Pull, LikeRow) {
    let world = World::new().await;
    let mut tx = world.app.db.write().await.unwrap();
    for statement in [
        "INSERT INTO users (id, name, name_key, password_hash, role, created_at, updated_at)
         VALUES ('user', 'user', 'user', '', 'user', 1, 1)",
        "INSERT INTO accounts (id, instance, owner, label, state, created_at, updated_at)
         VALUES ('own', 'fake', 'user', 'mine', 'ok', 1, 1)",
    ] {
        sqlx::query(statement).execute(&mut *tx).await.unwrap();
    }
    let row = LikeRow { uri: LIKED.into(), liked, pending: 1, liked_at: 1, changed_at: 1, ..LikeRow::default() };
    db::likes::put(&mut tx, USER, &row).await.unwrap();
    tx.commit().await.unwrap();
    let ctx = world.job().await;
    let account = accounts::find(&world.app.db, "own").await.unwrap().unwrap();
    let began = db::clock::now(&mut world.app.db.read().acquire().await.unwrap()).await.unwrap();
    let pull =
        Pull { ctx, account, user: USER.into(), began, listed: HashSet::new(), unread: 0, added: 0, saved: false };
    (world, pull, row)
}

/// The provider took what it was told.
async fn told(world: &World, row: LikeRow) {
    let mut tx = world.app.db.write().await.unwrap();
    assert!(settle(&mut tx, USER, row, Outcome::Done, true).await.unwrap().is_none());
    tx.commit().await.unwrap();
}

async fn known(world: &World) -> Option<LikeRow> {
    db::likes::find(world.app.db.read(), USER, LIKED).await.unwrap()
}

fn listed(id: &str) -> Like {
    let uri = format!("fake:track:{id}").parse().unwrap();
    Like { item: Item::Track(Track::new(uri, "Title")), liked_at: None }
}

#[tokio::test]
async fn a_list_from_before_a_like_does_not_take_it_back() {
    let (world, mut pull, row) = begun(1).await;
    pull.store(vec![listed("2")].into()).await.unwrap();
    told(&world, row).await;
    pull.finish().await.unwrap();
    let row = known(&world).await.expect("it is still liked");
    assert_eq!((row.liked, row.written_through, row.pending), (1, 1, 0));
}

#[tokio::test]
async fn a_list_from_before_a_like_was_taken_back_does_not_bring_it_back() {
    let (world, mut pull, row) = begun(0).await;
    told(&world, row).await;
    pull.store(vec![listed("1")].into()).await.unwrap();
    pull.finish().await.unwrap();
    assert!(known(&world).await.is_none_or(|row| row.liked == 0));
}

#[test]
fn lists_that_lack_too_much_are_doubted() {
    for (listed, lost, held, doubtful) in [
        (0, 0, 0, false),
        (5, 0, 5, false),
        (0, 1, 1, true),
        (1, 1, 1, false),
        (1, 1, 2, false),
        (1, 2, 3, true),
        (2, 2, 4, false),
        (180, 20, 200, false),
        (179, 21, 200, true),
        (279, 21, 300, false),
    ] {
        assert_eq!(is_doubtful(listed, lost, held), doubtful, "{listed} listed, {lost} of {held} lost");
    }
}
