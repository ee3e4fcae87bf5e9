//! Accounts at provider instances.

use zotify_host::{accounts, db};

use crate::support::TestApp;

#[tokio::test]
async fn an_instance_has_one_shared_account() {
    let host = TestApp::start().await;
    let mut tx = host.app.db.write().await.unwrap();
    let first = accounts::ensure_shared(&mut tx, "shelf").await.unwrap();
    let again = accounts::ensure_shared(&mut tx, "shelf").await.unwrap();
    let other = accounts::ensure_shared(&mut tx, "home-nas").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(first.id, again.id);
    assert_ne!(first.id, other.id);
    assert_eq!((first.state.as_str(), first.owner, first.sync_token), ("ok", None, None));
    let ids: Vec<_> = accounts::of_instance(&host.app.db, "shelf").await.unwrap().into_iter().map(|a| a.id).collect();
    assert_eq!(ids, [first.id]);
}

#[tokio::test]
async fn users_see_shared_accounts_and_their_own() {
    let host = TestApp::start().await;
    host.make_user("anna", false).await;
    host.make_user("ben", false).await;
    let id = async |name| db::users::find_by_name(host.app.db.read(), name).await.unwrap().unwrap().id;
    let (anna, ben) = (id("anna").await, id("ben").await);
    let mut tx = host.app.db.write().await.unwrap();
    let shared = accounts::ensure_shared(&mut tx, "shelf").await.unwrap();
    sqlx::query(
        "INSERT INTO accounts (id, instance, owner, label, state, created_at, updated_at)
         VALUES ('annas', 'shelf', $1, 'mine', 'ok', 1, 1)",
    )
    .bind(anna.clone())
    .execute(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    let visible = async |user: &str| {
        let all = accounts::visible(&host.app.db, user).await.unwrap();
        all.into_iter().filter(|a| a.instance == "shelf").map(|a| a.id).collect::<Vec<_>>()
    };
    assert_eq!(visible(&ben).await, std::slice::from_ref(&shared.id));
    assert_eq!(visible(&anna).await.len(), 2);
}

#[tokio::test]
async fn a_partial_pull_leaves_the_last_complete_one_on_record() {
    let host = TestApp::start().await;
    let mut tx = host.app.db.write().await.unwrap();
    let id = accounts::ensure_shared(&mut tx, "shelf").await.unwrap().id;
    accounts::pulled(&mut tx, &id, Some("t1"), "complete").await.unwrap();
    tx.commit().await.unwrap();
    let complete = accounts::find(&host.app.db, &id).await.unwrap().unwrap();
    assert_eq!(complete.last_complete_at, complete.last_pull_at);
    let mut tx = host.app.db.write().await.unwrap();
    accounts::pulled(&mut tx, &id, Some("t1"), "partial").await.unwrap();
    accounts::set_state(&mut tx, &id, "failed", Some("folder_missing"), None).await.unwrap();
    tx.commit().await.unwrap();
    let partial = accounts::find(&host.app.db, &id).await.unwrap().unwrap();
    assert_eq!((partial.sync_token.as_deref(), partial.completeness.as_deref()), (Some("t1"), Some("partial")));
    assert_eq!(partial.last_complete_at, complete.last_complete_at);
    assert_eq!((partial.state.as_str(), partial.state_code.as_deref()), ("failed", Some("folder_missing")));
}
