//! Databases and files that somebody else uses, or used until it was killed.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use zotify_host::{
    backup::{archive::Archive, restore},
    db::{self, Db},
};

use super::{automatic, configuration, on_postgres, path, program, refusal, saved, success};
use crate::support::TestApp;

#[tokio::test]
async fn what_killed_backups_left_is_removed() {
    let dir = TestApp::start().await.stop().await;
    let (out, file) = saved(dir.path(), &[]);
    let left = |folder: &Path, name: &str| {
        std::fs::write(folder.join(name), "half an archive").unwrap();
        folder.join(name)
    };
    let stale = left(out.path(), ".saved.tar.01K00000000000000000000000.partial");
    let busy = left(out.path(), ".saved.tar.01K00000000000000000000001.partial");
    let other = left(out.path(), ".other.tar.01K00000000000000000000000.partial");
    let lock = std::fs::File::open(&busy).unwrap();
    lock.lock().unwrap();
    success(&program(dir.path(), &["backup", path(&file), "--force"]));
    assert_eq!([&stale, &busy, &other].map(|file| file.exists()), [false, true, true]);
    // Names in the data folder are never used again.
    success(&program(dir.path(), &["backup"]));
    let stale = left(&dir.path().join("data/backups"), ".zotify-20260101T000000.000Z.tar.01K.partial");
    success(&program(dir.path(), &["backup"]));
    assert!(!stale.exists());
    assert_eq!(automatic(dir.path()).len(), 2);
}

/// What a reader keeps from being copied into the file would be lost with the journal.
#[tokio::test]
async fn a_database_that_is_being_read_is_not_replaced() {
    if on_postgres() {
        return;
    }
    let dir = TestApp::start().await.admin().await.stop().await;
    let (_out, file) = saved(dir.path(), &[]);
    let db = Db::connect(&configuration(dir.path()).database.url).await.unwrap();
    let mut reader = db.snapshot().await.unwrap();
    let _: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM users").fetch_one(&mut *reader).await.unwrap();
    let mut tx = db.write().await.unwrap();
    db::state::set(&mut tx, "written.meanwhile", b"1").await.unwrap();
    tx.commit().await.unwrap();
    let text = refusal(&program(dir.path(), &["restore", path(&file)]));
    assert!(text.contains("another program reads the database"), "{text}");
    assert_eq!(db::state::get(db.read(), "written.meanwhile").await.unwrap().unwrap(), b"1");
    reader.rollback().await.unwrap();
    db.close().await;
    success(&program(dir.path(), &["restore", path(&file)]));
    TestApp::at(dir, "", "").await.sign_in_again().await;
}

/// What is committed while the former rows are saved would be neither in the backup nor in the database.
#[tokio::test]
async fn nobody_writes_while_the_former_rows_are_saved() {
    if !on_postgres() {
        return;
    }
    let dir = TestApp::start().await.admin().await.stop().await;
    let (_out, file) = saved(dir.path(), &[]);
    let config = configuration(dir.path());
    let db = Db::connect(&config.database.url).await.unwrap();
    let (first, url) = (AtomicBool::new(true), config.database.url.clone());
    let refused = AtomicBool::new(false);
    let progress = |_| {
        if first.swap(false, Ordering::Relaxed) {
            let url = url.clone();
            let error = std::thread::spawn(move || write_at_once(&url)).join().unwrap().unwrap_err().to_string();
            refused.store(error.contains("could not obtain lock"), Ordering::Relaxed);
        }
    };
    restore::restore(&config, &Archive::open(&file).unwrap(), true, &progress).await.unwrap();
    assert!(refused.into_inner());
    // The transaction waits for as long as the saving takes.
    let mut tx = db.write().await.unwrap();
    restore::hold(&mut tx, &["users".into()]).await.unwrap();
    let sql = "SELECT current_setting('idle_in_transaction_session_timeout')";
    let timeout: String = sqlx::query_scalar(sql).fetch_one(&mut *tx).await.unwrap();
    assert_eq!(timeout, "0");
    tx.rollback().await.unwrap();
    db.close().await;
}

/// Writes a row unless somebody else's lock is in the way.
#[tokio::main(flavor = "current_thread")]
async fn write_at_once(url: &str) -> sqlx::Result<()> {
    let db = Db::connect(url).await?;
    let mut tx = db.write().await?;
    sqlx::query("LOCK TABLE host_state IN ROW EXCLUSIVE MODE NOWAIT").execute(&mut *tx).await?;
    db::state::set(&mut tx, "written.meanwhile", b"1").await?;
    tx.commit().await
}

#[tokio::test]
async fn tables_of_others_are_not_dropped() {
    if !on_postgres() {
        return;
    }
    let dir = TestApp::start().await.stop().await;
    let (_out, file) = saved(dir.path(), &[]);
    let db = Db::connect(&configuration(dir.path()).database.url).await.unwrap();
    let run = async |sql: &'static str| sqlx::query(sql).execute(db.read()).await.unwrap();
    run("CREATE TABLE somebody_elses (id BIGINT)").await;
    let text = refusal(&program(dir.path(), &["restore", path(&file), "--force"]));
    assert!(text.contains("(somebody_elses)"), "{text}");
    run("INSERT INTO somebody_elses VALUES (1)").await;
    run("DROP TABLE somebody_elses").await;
    // Nor what depends on the host's.
    run("CREATE VIEW names AS SELECT name FROM users").await;
    let text = refusal(&program(dir.path(), &["restore", path(&file), "--force"]));
    assert!(text.contains("depend"), "{text}");
    run("DROP VIEW names").await;
    db.close().await;
    success(&program(dir.path(), &["restore", path(&file), "--force"]));
}
