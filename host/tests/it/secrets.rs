//! The key that seals secrets: exchanged, killed in the middle of that, lost, wrong, given up.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::Method;
use sqlx::AssertSqlSafe;
use tempfile::TempDir;
use zotify_host::{
    App, AppState,
    backup::{Kind, tables},
    config::Config,
    db::Db,
    secrets::rotate::{RotateError, Rotation},
};

use crate::{
    backup::{on_postgres, program, recorded, refusal, success},
    support::{TestApp, database},
};

/// A key, as `openssl rand -base64 32` makes them.
const ANOTHER: &str = "kpQ0f3q0v1v0o3b3W1y8o0T2m6o9Vt2bq3l4u5D6z7E=";

/// A database whose key is in a file.
const SQLITE: &str = "[database]\nurl = \"sqlite://data/zotify.db\"";

fn key_file(dir: &TempDir) -> PathBuf {
    dir.path().join("data/secret.key")
}

fn configuration(dir: &TempDir) -> Config {
    Config::load(Some(&dir.path().join("zotify.toml"))).unwrap()
}

/// A stopped host on SQLite with a key in a file, and an access token that is signed with a sealed key.
async fn stopped() -> (TempDir, String) {
    let host = TestApp::on(tempfile::tempdir().unwrap(), SQLITE, "", "").await.admin().await;
    let token = host.sign_in("root-of-tests").await;
    (host.stop().await, token)
}

async fn started(dir: TempDir, section: &str) -> TestApp {
    TestApp::on(dir, section, "", "").await
}

async fn token_is_good(host: &TestApp, token: &str) -> bool {
    let reply = host.send(host.request(Method::GET, "/api/user/profile").bearer_auth(token)).await;
    reply.status == 200
}

/// The four bytes that name the key of each sealed value: all columns are searched for values that begin like one.
async fn key_ids(app: &AppState) -> Vec<Vec<u8>> {
    let mut db = app.db.read().acquire().await.unwrap();
    let mut ids = Vec::new();
    for table in tables(&mut db).await.unwrap() {
        for column in table.columns.iter().filter(|column| column.kind == Kind::Bytes) {
            let sql = format!("SELECT \"{}\" FROM \"{}\"", column.name, table.name);
            let values: Vec<Vec<u8>> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut *db).await.unwrap();
            ids.extend(values.into_iter().filter(|v| v.len() > 40 && v[0] == 1).map(|v| v[1..5].to_vec()));
        }
    }
    ids.sort();
    ids.dedup();
    ids
}

/// The files that hold keys.
fn keys_in(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir.join("data")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("secret.key")).collect();
    names.sort();
    names
}

#[tokio::test]
async fn everything_opens_with_the_new_key_and_nothing_with_the_old() {
    let (dir, token) = stopped().await;
    let before = std::fs::read(key_file(&dir)).unwrap();
    let text = success(&program(dir.path(), &["secrets", "rotate"]));
    assert!(text.contains("sealed 4 values anew"), "{text}");
    let after = std::fs::read(key_file(&dir)).unwrap();
    assert_ne!(before, after);
    assert_eq!(key_file(&dir).metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(keys_in(dir.path()), ["secret.key"]);
    let host = started(dir, SQLITE).await;
    assert!(token_is_good(&host, &token).await);
    assert_eq!(key_ids(&host.app).await.len(), 1);
    assert_eq!(recorded(&host.app, "secret_key.rotated").await, 1);
    let dir = host.stop().await;
    // With the former key nothing starts, and with the new one in its place again everything does.
    std::fs::write(key_file(&dir), before).unwrap();
    let error = App::start(configuration(&dir)).await.err().unwrap().to_string();
    assert!(error.contains("not the one that sealed"), "{error}");
    std::fs::write(key_file(&dir), after).unwrap();
    assert!(token_is_good(&started(dir, SQLITE).await, &token).await);
}

#[tokio::test]
async fn a_key_may_be_brought_along() {
    let (dir, token) = stopped().await;
    let new = dir.path().join("new.key");
    for none in ["", "short", "MDEyMw=="] {
        std::fs::write(&new, none).unwrap();
        let text = refusal(&program(dir.path(), &["secrets", "rotate", "--new-key-file", new.to_str().unwrap()]));
        assert!(text.contains("does not hold 32 bytes"), "{text}");
    }
    let nowhere = refusal(&program(dir.path(), &["secrets", "rotate", "--new-key-file", "/nowhere/key"]));
    assert!(nowhere.contains("/nowhere/key"), "{nowhere}");
    let current = key_file(&dir);
    let same = refusal(&program(dir.path(), &["secrets", "rotate", "--new-key-file", current.to_str().unwrap()]));
    assert!(same.contains("is the present one"), "{same}");
    std::fs::write(&new, ANOTHER).unwrap();
    success(&program(dir.path(), &["secrets", "rotate", "--new-key-file", new.to_str().unwrap()]));
    assert_eq!(std::fs::read_to_string(key_file(&dir)).unwrap().trim(), ANOTHER);
    assert!(token_is_good(&started(dir, SQLITE).await, &token).await);
}

/// Where a rotation is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Killed {
    WritingTheNewKey,
    BeforeSealing,
    WhileSealing,
    BeforeTheSwap,
    AfterAll,
}

async fn killed(dir: &TempDir, at: Killed) {
    let config = configuration(dir);
    let db = Db::connect(&config.database.url).await.unwrap();
    let rotation = Rotation::prepare(&config, &db, None).await.unwrap();
    match at {
        Killed::WritingTheNewKey => std::fs::write(dir.path().join("data/secret.key.new"), "c2hvcnQ").unwrap(),
        Killed::BeforeSealing => {}
        Killed::WhileSealing => {
            let mut tx = db.write().await.unwrap();
            rotation.reseal_within(&mut tx).await.unwrap();
            tx.rollback().await.unwrap();
        }
        Killed::BeforeTheSwap => drop(rotation.reseal(&db).await.unwrap()),
        Killed::AfterAll => {
            rotation.reseal(&db).await.unwrap();
            rotation.finish().unwrap();
        }
    }
    db.close().await;
}

#[tokio::test]
async fn a_rotation_that_is_killed_anywhere_leaves_a_host_that_starts() {
    use Killed::{AfterAll, BeforeSealing, BeforeTheSwap, WhileSealing, WritingTheNewKey};
    for at in [WritingTheNewKey, BeforeSealing, WhileSealing, BeforeTheSwap, AfterAll] {
        let (dir, token) = stopped().await;
        let before = std::fs::read(key_file(&dir)).unwrap();
        killed(&dir, at).await;
        let saved = dir.path().join("saved.tar");
        success(&program(dir.path(), &["backup", saved.to_str().unwrap()]));
        let host = started(dir, SQLITE).await;
        assert!(token_is_good(&host, &token).await, "{at:?}");
        assert_eq!(keys_in(host.dir.path()), ["secret.key"], "{at:?}");
        assert_eq!(key_ids(&host.app).await.len(), 1, "{at:?}");
        let undone = std::fs::read(key_file(&host.dir)).unwrap() == before;
        assert_eq!(undone, !matches!(at, BeforeTheSwap | AfterAll), "{at:?}");
        let dir = host.stop().await;
        // The backup that was made in between has the right key as well.
        success(&program(dir.path(), &["restore", saved.to_str().unwrap()]));
        assert!(token_is_good(&started(dir, SQLITE).await, &token).await, "{at:?}");
    }
}

#[tokio::test]
async fn a_killed_rotation_may_be_started_again() {
    for at in [Killed::WhileSealing, Killed::BeforeTheSwap] {
        let (dir, token) = stopped().await;
        killed(&dir, at).await;
        success(&program(dir.path(), &["secrets", "rotate"]));
        assert_eq!(keys_in(dir.path()), ["secret.key"], "{at:?}");
        assert!(token_is_good(&started(dir, SQLITE).await, &token).await, "{at:?}");
    }
}

/// The database of a rotation that was killed before its last step opens with the new key alone.
#[tokio::test]
async fn a_restore_after_a_killed_rotation_keeps_the_key_of_what_was_there() {
    let (dir, token) = stopped().await;
    killed(&dir, Killed::BeforeTheSwap).await;
    let key = std::fs::read(dir.path().join("data/secret.key.new")).unwrap();
    let (other, _) = stopped().await;
    let saved = other.path().join("saved.tar");
    success(&program(other.path(), &["backup", saved.to_str().unwrap()]));
    let text = success(&program(dir.path(), &["restore", saved.to_str().unwrap()]));
    let kept = PathBuf::from(text.split("is in ").nth(1).unwrap().trim());
    assert_eq!(std::fs::read(kept.join("secret.key")).unwrap(), key);
    assert_ne!(std::fs::read(key_file(&dir)).unwrap(), key);
    // It can be taken back.
    for name in ["zotify.db", "secret.key"] {
        std::fs::rename(kept.join(name), dir.path().join("data").join(name)).unwrap();
    }
    assert!(token_is_good(&started(dir, SQLITE).await, &token).await);
}

#[tokio::test]
async fn giving_up_keeps_both_keys_of_a_killed_rotation() {
    let (dir, _) = stopped().await;
    killed(&dir, Killed::BeforeTheSwap).await;
    let new = dir.path().join("data/secret.key.new");
    let keys = [std::fs::read(key_file(&dir)).unwrap(), std::fs::read(&new).unwrap()];
    // Another database came into their place.
    let (other, _) = stopped().await;
    std::fs::rename(other.path().join("data/zotify.db"), dir.path().join("data/zotify.db")).unwrap();
    success(&program(dir.path(), &["secrets", "reset", "--yes-lose-sealed"]));
    let kept = keys_in(dir.path()).into_iter().filter(|name| name.contains(".before-reset-"));
    let mut kept: Vec<_> = kept.map(|name| std::fs::read(dir.path().join("data").join(name)).unwrap()).collect();
    kept.sort();
    let mut keys = keys.to_vec();
    keys.sort();
    assert_eq!(kept, keys);
}

#[tokio::test]
async fn a_sealed_value_that_nobody_knows_of_stops_a_rotation() {
    let (dir, token) = stopped().await;
    let config = configuration(&dir);
    let db = Db::connect(&config.database.url).await.unwrap();
    let sql = "INSERT INTO host_state (key, value, updated_at)
        SELECT 'unknown', value, 1 FROM host_state WHERE key = 'auth.link_key'";
    let mut tx = db.write().await.unwrap();
    sqlx::query(sql).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let rotation = Rotation::prepare(&config, &db, None).await.unwrap();
    let error = rotation.reseal(&db).await.unwrap_err();
    assert!(matches!(&error, RotateError::Unlisted { table, .. } if table == "host_state"), "{error}");
    let sql = "UPDATE signing_keys SET sealed = substr(sealed, 1, 30)";
    let mut tx = db.write().await.unwrap();
    sqlx::query(sql).execute(&mut *tx).await.unwrap();
    let error = rotation.reseal_within(&mut tx).await.unwrap_err();
    assert!(matches!(&error, RotateError::Damaged { table: "signing_keys", .. }), "{error}");
    tx.rollback().await.unwrap();
    db.close().await;
    assert!(token_is_good(&started(dir, SQLITE).await, &token).await);
}

#[tokio::test]
async fn a_bad_key_is_a_clear_error_and_changes_nothing() {
    let (other, _) = stopped().await;
    let another = std::fs::read_to_string(key_file(&other)).unwrap();
    let (dir, token) = stopped().await;
    let good = std::fs::read_to_string(key_file(&dir)).unwrap();
    let database = std::fs::read(dir.path().join("data/zotify.db")).unwrap();
    let cases: [(Option<&str>, &str); 6] = [
        (None, "secret.key is missing"),
        (Some(""), "does not hold 32 bytes"),
        (Some(&good[..20]), "does not hold 32 bytes"),
        (Some("not base64 at all, but long enough to be"), "does not hold 32 bytes"),
        (Some(&another), "not the one that sealed"),
        (Some(ANOTHER), "not the one that sealed"),
    ];
    for (key, expected) in cases {
        match key {
            Some(key) => std::fs::write(key_file(&dir), key).unwrap(),
            None => std::fs::remove_file(key_file(&dir)).unwrap(),
        }
        for verb in [&["serve"] as &[&str], &["secrets", "rotate"], &["backup", "-"]] {
            let text = refusal(&program(dir.path(), verb));
            assert!(text.contains(expected) && !text.contains(good.trim()), "{verb:?}: {text}");
        }
        assert_eq!(std::fs::read(dir.path().join("data/zotify.db")).unwrap(), database, "{expected}");
        assert_eq!(std::fs::read_to_string(key_file(&dir)).ok().as_deref(), key, "{expected}");
    }
    std::fs::write(key_file(&dir), good).unwrap();
    assert!(token_is_good(&started(dir, SQLITE).await, &token).await);
}

#[tokio::test]
async fn a_lost_key_is_given_up_only_when_asked_for() {
    let (dir, token) = stopped().await;
    let unasked = program(dir.path(), &["secrets", "reset"]);
    assert_eq!(unasked.status.code(), Some(2));
    let text = refusal(&program(dir.path(), &["secrets", "reset", "--yes-lose-sealed"]));
    assert!(text.contains("nothing is lost"), "{text}");
    std::fs::write(key_file(&dir), ANOTHER).unwrap();
    let text = success(&program(dir.path(), &["secrets", "reset", "--yes-lose-sealed"]));
    assert!(text.contains("gave up 4 sealed values"), "{text}");
    // What was there may be the key of something else.
    let [key, kept] = &keys_in(dir.path())[..] else { panic!("{:?}", keys_in(dir.path())) };
    assert_eq!(key, "secret.key");
    assert_eq!(std::fs::read_to_string(dir.path().join("data").join(kept)).unwrap(), ANOTHER);
    let host = started(dir, SQLITE).await;
    assert!(!token_is_good(&host, &token).await);
    let token = host.sign_in("root-of-tests").await;
    assert!(token_is_good(&host, &token).await);
    assert_eq!(recorded(&host.app, "secret_key.reset").await, 1);
    // Without any file, too.
    let dir = host.stop().await;
    std::fs::remove_file(key_file(&dir)).unwrap();
    success(&program(dir.path(), &["secrets", "reset", "--yes-lose-sealed"]));
    started(dir, SQLITE).await.sign_in("root-of-tests").await;
}

#[tokio::test]
async fn a_configured_key_is_exchanged_and_then_configured() {
    let dir = tempfile::tempdir().unwrap();
    let mut section = database(dir.path()).await;
    if !on_postgres() {
        section.push_str("\n[secrets]\nmaster_key = \"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\"");
    }
    let host = TestApp::on(dir, &section, "", "").await.admin().await;
    let token = host.sign_in("root-of-tests").await;
    let dir = host.stop().await;
    let text = refusal(&program(dir.path(), &["secrets", "rotate"]));
    assert!(text.contains("--new-key-file"), "{text}");
    let new = dir.path().join("new.key");
    std::fs::write(&new, ANOTHER).unwrap();
    let rotate = ["secrets", "rotate", "--new-key-file", new.to_str().unwrap()];
    let text = success(&program(dir.path(), &rotate));
    assert!(text.contains("set secrets.master_key"), "{text}");
    let text = refusal(&program(dir.path(), &rotate));
    assert!(text.contains("sealed with the new key already"), "{text}");
    let text = refusal(&program(dir.path(), &["serve"]));
    assert!(text.contains("not the one that sealed"), "{text}");
    let changed = section.replace("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", ANOTHER);
    let host = started(dir, &changed).await;
    assert!(token_is_good(&host, &token).await);
    let dir = host.stop().await;
    // A lost key: the configuration names another.
    let text = refusal(&program(dir.path(), &["secrets", "reset", "--yes-lose-sealed"]));
    assert!(text.contains("nothing is lost"), "{text}");
    std::fs::write(
        dir.path().join("zotify.toml"),
        format!("[server]\nmode = \"dev\"\nlisten = \"127.0.0.1:0\"\ndata_dir = \"data\"\n{section}\n"),
    )
    .unwrap();
    success(&program(dir.path(), &["secrets", "reset", "--yes-lose-sealed"]));
    let host = started(dir, &section).await;
    assert!(!token_is_good(&host, &token).await);
    host.sign_in("root-of-tests").await;
}

#[tokio::test]
async fn the_key_of_a_running_host_is_left_alone() {
    let (dir, _) = stopped().await;
    let lock = std::fs::File::options().create(true).append(true).open(dir.path().join("data/host.lock")).unwrap();
    lock.lock().unwrap();
    for verb in [&["secrets", "rotate"] as &[&str], &["secrets", "reset", "--yes-lose-sealed"]] {
        let text = refusal(&program(dir.path(), verb));
        assert!(text.contains("another host runs"), "{text}");
    }
    if !on_postgres() {
        return;
    }
    let host = TestApp::start().await;
    while zotify_host::nodes::running(&host.app.db).await.unwrap() == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let text = refusal(&program(host.dir.path(), &["secrets", "reset", "--yes-lose-sealed"]));
    assert!(text.contains("1 nodes run"), "{text}");
}
