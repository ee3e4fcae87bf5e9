//! Backups: taken from a host that writes, put back by the program, and archives that nobody should trust.

mod archives;
mod in_use;

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicBool, Ordering},
};

use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;
use zotify_host::{
    App, AppState,
    backup::archive::Archive,
    config::Config,
    db::{self, Db},
};

use crate::{
    library::{all, music},
    support::{TestApp, database},
};

/// Runs the program with the configuration of a folder.
pub fn program(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zotify-host"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ZOTIFY") {
            command.env_remove(name);
        }
    }
    command.arg("--config").arg(folder.join("zotify.toml")).args(arguments);
    command
}

/// What the program said after it failed.
pub fn refusal(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What the program said after it did what it was asked for.
pub fn success(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn on_postgres() -> bool {
    std::env::var_os("ZOTIFY_TEST_DATABASE_URL").is_some()
}

/// What the audit log holds of an action.
pub async fn recorded(app: &AppState, action: &str) -> i64 {
    let sql = "SELECT COUNT(*) FROM audit_log WHERE action = $1";
    sqlx::query_scalar(sql).bind(action.to_owned()).fetch_one(app.db.read()).await.unwrap()
}

fn local(music: &Path) -> String {
    format!("[providers.local]\nplugin = \"local\"\nsettings = {{ folders = [\"{}\"] }}\n", music.display())
}

fn path(file: &Path) -> &str {
    file.to_str().unwrap()
}

/// Saves a folder's database to a file outside of it.
fn saved(folder: &Path, arguments: &[&str]) -> (TempDir, PathBuf) {
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("saved.tar");
    success(&program(folder, &[&["backup", path(&file)], arguments].concat()));
    (out, file)
}

/// Writes a number to two rows in one transaction, again and again.
async fn write_pairs(app: AppState, stop: &AtomicBool) -> u64 {
    let mut n = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        let mut tx = app.db.write().await.unwrap();
        for key in ["pair.first", "pair.second"] {
            db::state::set(&mut tx, key, &n.to_be_bytes()).await.unwrap();
        }
        tx.commit().await.unwrap();
    }
    n
}

async fn pair(app: &AppState) -> [u64; 2] {
    let mut values = [0; 2];
    for (value, key) in values.iter_mut().zip(["pair.first", "pair.second"]) {
        let bytes = db::state::get(app.db.read(), key).await.unwrap().unwrap();
        *value = u64::from_be_bytes(bytes.try_into().unwrap());
    }
    values
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_host_at_work_brings_everything_back() {
    let music = music();
    let host = TestApp::with(&local(music.path())).await.admin().await;
    host.until("/api/providers/local", |provider| provider["state"] == "started").await;
    host.until("/api/sync/runs", |runs| runs["data"][0]["state"] == "applied").await;
    let tracks = all(&host, "tracks").await;
    assert!(tracks.len() > 5);
    let token = host.sign_in("root-of-tests").await;

    static STOP: AtomicBool = AtomicBool::new(false);
    let writer = tokio::spawn(write_pairs(host.app.clone(), &STOP));
    let folder = host.dir.path().to_owned();
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("saved.tar");
    let arguments = ["backup".to_owned(), path(&file).to_owned()];
    let text =
        tokio::task::spawn_blocking(move || success(&program(&folder, &arguments.each_ref().map(String::as_str))));
    let text = text.await.unwrap();
    STOP.store(true, Ordering::Relaxed);
    let written = writer.await.unwrap();
    assert!(text.contains("saved.tar"), "{text}");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(recorded(&host.app, "backup.made").await, 1);
    // What comes after the backup is gone after it was restored.
    host.make_user("latecomer", false).await;

    let dir = host.stop().await;
    if !on_postgres() {
        std::fs::remove_dir_all(dir.path().join("data")).unwrap();
    }
    let text = success(&program(dir.path(), &["restore", path(&file), "--force"]));
    assert!(text.contains("restored"), "{text}");
    let host = TestApp::at(dir, "", &local(music.path())).await;
    // Signed with a key that was sealed.
    let request = host.request(Method::GET, "/api/user/profile").bearer_auth(&token);
    assert_eq!(host.send(request).await.expect(200)["name"], "root-of-tests");
    let host = host.sign_in_again().await;
    assert_eq!(all(&host, "tracks").await, tracks);
    let body = serde_json::json!({"username": "latecomer", "password": "a long enough password"});
    host.post("/api/auth/login", &body).await.expect_problem(401, "invalid_credentials");
    let [first, second] = pair(&host.app).await;
    assert_eq!(first, second);
    assert!(first > 0 && first <= written, "{first} of {written}");
    assert_eq!(recorded(&host.app, "backup.restored").await, 1);
    // The full-text index is made anew.
    let title = tracks[0]["title"].as_str().unwrap();
    let query = format!("/api/library/tracks?q={}", title.split(' ').next().unwrap());
    host.until(&query, |page| page["data"].as_array().is_some_and(|data| data.iter().any(|t| t["title"] == title)))
        .await;
}

#[tokio::test]
async fn ids_go_on_after_the_highest_that_was_ever_given() {
    let host = TestApp::start().await.admin().await;
    let last = "SELECT MAX(id) FROM events";
    let before: i64 = sqlx::query_scalar(last).fetch_one(host.app.db.read()).await.unwrap();
    let mut tx = host.app.db.write().await.unwrap();
    sqlx::query("DELETE FROM events").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let dir = host.stop().await;
    let (_out, file) = saved(dir.path(), &[]);
    success(&program(dir.path(), &["restore", path(&file), "--force"]));
    let host = TestApp::at(dir, "", "").await;
    host.make_user("somebody", false).await;
    let first: i64 = sqlx::query_scalar("SELECT MIN(id) FROM events").fetch_one(host.app.db.read()).await.unwrap();
    assert!(first > before, "{first} after {before}");
}

#[tokio::test]
async fn what_was_there_is_kept() {
    let host = TestApp::start().await.admin().await;
    let dir = host.stop().await;
    let (_out, file) = saved(dir.path(), &[]);
    let host = TestApp::at(dir, "", "").await.sign_in_again().await;
    host.make_user("after-the-backup", false).await;
    let dir = host.stop().await;
    if on_postgres() {
        let text = refusal(&program(dir.path(), &["restore", path(&file)]));
        assert!(text.contains("--force"), "{text}");
    }
    let text = success(&program(dir.path(), &["restore", path(&file), "--force"]));
    let kept = PathBuf::from(text.split("is in ").nth(1).unwrap().trim());
    assert!(kept.exists(), "{text}");
    // It can be taken back.
    if on_postgres() {
        success(&program(dir.path(), &["restore", path(&kept), "--force"]));
    } else {
        assert_eq!(kept.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::rename(kept.join("zotify.db"), dir.path().join("data/zotify.db")).unwrap();
        assert_eq!(
            std::fs::read(kept.join("secret.key")).unwrap(),
            std::fs::read(dir.path().join("data/secret.key")).unwrap()
        );
    }
    let host = TestApp::at(dir, "", "").await;
    host.sign_in("after-the-backup").await;
}

#[tokio::test]
async fn files_are_not_replaced_unasked() {
    let dir = TestApp::start().await.stop().await;
    let (out, file) = saved(dir.path(), &[]);
    let before = std::fs::read(&file).unwrap();
    let text = refusal(&program(dir.path(), &["backup", path(&file)]));
    assert!(text.contains("--force"), "{text}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
    success(&program(dir.path(), &["backup", path(&file), "--force"]));
    Archive::open(&file).unwrap();
    let text = refusal(&program(dir.path(), &["backup", path(&out.path().join("nowhere/saved.tar"))]));
    assert!(text.contains("nowhere"), "{text}");
    let left: Vec<_> = std::fs::read_dir(out.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    // Through a pipe.
    let piped = program(dir.path(), &["backup", "-"]);
    std::fs::write(&file, &piped.stdout).unwrap();
    Archive::open(&file).unwrap();
    let text = success(&program(dir.path(), &["backup"]));
    assert!(text.contains("data/backups/zotify-"), "{text}");
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let text = refusal(&command(dir.path(), &["backup", "-"]).stdout(full).output().unwrap());
    assert!(text.contains("standard output: No space left") && text.contains("make room"), "{text}");
}

/// A file that is damaged, or gone but for its journal, is what backups are for.
#[tokio::test]
async fn a_damaged_database_gives_way() {
    if on_postgres() {
        return;
    }
    let dir = TestApp::start().await.admin().await.stop().await;
    let (_out, file) = saved(dir.path(), &[]);
    let database = dir.path().join("data/zotify.db");
    let journal = dir.path().join("data/zotify.db-wal");
    let sound = std::fs::read(&database).unwrap();
    let mut torn = sound.clone();
    torn[..4096].fill(0x5a);
    for (left, journal_left) in [(Some(&torn), "a torn journal"), (None, "a journal without its file")] {
        match left {
            Some(bytes) => std::fs::write(&database, bytes).unwrap(),
            None => std::fs::remove_file(&database).unwrap(),
        }
        std::fs::write(&journal, journal_left).unwrap();
        let text = success(&program(dir.path(), &["restore", path(&file)]));
        let kept = PathBuf::from(text.split("is in ").nth(1).unwrap().trim());
        assert_eq!(std::fs::read(kept.join("zotify.db")).ok().as_ref(), left);
        assert!(!journal.exists());
    }
    TestApp::at(dir, "", "").await.sign_in_again().await;
}

#[tokio::test]
async fn a_restore_that_is_killed_before_the_key_is_in_its_place_is_finished() {
    if on_postgres() {
        return;
    }
    let host = TestApp::start().await.admin().await;
    let token = host.sign_in("root-of-tests").await;
    let (_out, file) = saved(host.stop().await.path(), &[]);
    // Another host, with another key.
    let dir = TestApp::start().await.stop().await;
    let key = dir.path().join("data/secret.key");
    let former = std::fs::read(&key).unwrap();
    success(&program(dir.path(), &["restore", path(&file)]));
    std::fs::rename(&key, dir.path().join("data/secret.key.new")).unwrap();
    std::fs::write(&key, former).unwrap();
    let host = TestApp::at(dir, "", "").await;
    let request = host.request(Method::GET, "/api/user/profile").bearer_auth(&token);
    host.send(request).await.expect(200);
    assert!(!host.dir.path().join("data/secret.key.new").exists());
}

#[tokio::test]
async fn a_running_host_is_not_restored_over() {
    let dir = TestApp::start().await.stop().await;
    let (_out, file) = saved(dir.path(), &[]);
    let lock = std::fs::File::options().create(true).append(true).open(dir.path().join("data/host.lock")).unwrap();
    lock.lock().unwrap();
    let text = refusal(&program(dir.path(), &["restore", path(&file), "--force"]));
    assert!(text.contains("another host runs"), "{text}");
    drop(lock);
    if on_postgres() {
        let host = TestApp::at(dir, "", "").await;
        let folder = host.dir.path().to_owned();
        let running = async || zotify_host::nodes::running(&host.app.db).await.unwrap();
        while running().await == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let text = refusal(&program(&folder, &["restore", path(&file), "--force"]));
        assert!(text.contains("1 other nodes run"), "{text}");
    }
}

#[tokio::test]
async fn a_backup_without_its_key_needs_that_key() {
    if on_postgres() {
        return;
    }
    let host = TestApp::start().await.admin().await;
    let token = host.sign_in("root-of-tests").await;
    let dir = host.stop().await;
    let (_out, file) = saved(dir.path(), &["--without-key"]);
    let archive = Archive::open(&file).unwrap();
    assert!(archive.member("secret.key").unwrap().is_none());
    assert!(archive.member("zotify.toml").unwrap().is_some());
    let key = std::fs::read(dir.path().join("data/secret.key")).unwrap();
    std::fs::remove_dir_all(dir.path().join("data")).unwrap();
    let text = refusal(&program(dir.path(), &["restore", path(&file)]));
    assert!(text.contains("secret.key") && text.contains("holds no key"), "{text}");
    assert!(!dir.path().join("data/zotify.db").exists());
    std::fs::write(dir.path().join("data/secret.key"), key).unwrap();
    success(&program(dir.path(), &["restore", path(&file)]));
    let host = TestApp::at(dir, "", "").await;
    let request = host.request(Method::GET, "/api/user/profile").bearer_auth(&token);
    host.send(request).await.expect(200);
}

#[tokio::test]
async fn without_the_key_there_is_no_configuration_with_secrets() {
    let dir = TestApp::start().await.stop().await;
    let file = dir.path().join("zotify.toml");
    let mut text = std::fs::read_to_string(&file).unwrap();
    text.push_str("\n[providers.other]\nplugin = \"other\"\nsettings = { password = \"hidden in the file\" }\n");
    std::fs::write(&file, text).unwrap();
    for (arguments, there) in [(&[] as &[&str], true), (&["--without-key"], false)] {
        let (_out, file) = saved(dir.path(), arguments);
        assert_eq!(Archive::open(&file).unwrap().member("zotify.toml").unwrap().is_some(), there);
        let bytes = std::fs::read(&file).unwrap();
        assert_eq!(bytes.windows(18).any(|part| part == b"hidden in the file"), there);
    }
}

/// The configuration of a folder, as the program reads it.
fn configuration(folder: &Path) -> Config {
    Config::load(Some(&folder.join("zotify.toml"))).unwrap()
}

/// A folder with a database that has only the first migrations, and a user in it.
async fn old_database() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let section = database(dir.path()).await;
    let text = format!("[server]\nmode = \"dev\"\nlisten = \"127.0.0.1:0\"\ndata_dir = \"data\"\n{section}\n");
    std::fs::write(dir.path().join("zotify.toml"), text).unwrap();
    let config = configuration(dir.path());
    config.create_folders().unwrap();
    let db = Db::connect(&config.database.url).await.unwrap();
    let mut tx = db.write().await.unwrap();
    db.migrate_within(&mut tx, Some(3)).await.unwrap();
    let sql = "INSERT INTO users (id, name, name_key, role, password_hash, created_at, updated_at)
        VALUES ('1', 'Ada', 'ada', 'admin', 'x', 1, 1)";
    sqlx::query(sql).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    db.close().await;
    dir
}

fn automatic(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join("data/backups")).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn an_older_database_is_saved_before_it_is_migrated() {
    let dir = old_database().await;
    let started = App::start(configuration(dir.path())).await.unwrap();
    started.app.stop().await;
    let files = automatic(dir.path());
    let [file] = files.as_slice() else { panic!("{files:?}") };
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with(&format!("before-{}-", env!("CARGO_PKG_VERSION"))), "{name}");
    let archive = Archive::open(file).unwrap();
    assert_eq!(archive.manifest.schema, [1, 2, 3]);
    // A start with nothing to migrate saves nothing.
    App::start(configuration(dir.path())).await.unwrap().app.stop().await;
    assert_eq!(automatic(dir.path()).len(), 1);

    success(&program(dir.path(), &["restore", path(file), "--force"]));
    let started = App::start(configuration(dir.path())).await.unwrap();
    let user = db::users::find_by_name(started.app.db.read(), "ada").await.unwrap().unwrap();
    assert_eq!((user.name.as_str(), user.role.as_str()), ("Ada", "admin"));
    started.app.stop().await;
}

#[tokio::test]
async fn without_a_backup_nothing_is_migrated() {
    let dir = old_database().await;
    std::fs::write(dir.path().join("data/backups"), "a file where the folder should be").unwrap();
    let error = App::start(configuration(dir.path())).await.err().unwrap().to_string();
    assert!(error.contains("database.backup_before_migrate"), "{error}");
    let text = refusal(&program(dir.path(), &["migrate"]));
    assert!(text.contains("database.backup_before_migrate"), "{text}");
    let mut config = configuration(dir.path());
    let db = Db::connect(&config.database.url).await.unwrap();
    assert_eq!(db.applied_migrations().await.unwrap(), [1, 2, 3]);
    db.close().await;
    config.database.backup_before_migrate = false;
    App::start(config).await.unwrap().app.stop().await;
}

#[tokio::test]
async fn a_fresh_database_is_not_saved() {
    let dir = TestApp::start().await.stop().await;
    assert!(automatic(dir.path()).is_empty());
}

/// From one kind of database into the other and back.
#[tokio::test]
async fn sqlite_becomes_postgresql_and_sqlite_again() {
    if !on_postgres() {
        return;
    }
    let music = music();
    let key = "[secrets]\nmaster_key = \"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\"";
    let sqlite = format!("[database]\nurl = \"sqlite://data/zotify.db\"\n{key}");
    let host = TestApp::on(tempfile::tempdir().unwrap(), &sqlite, "", &local(music.path())).await.admin().await;
    host.until("/api/providers/local", |provider| provider["state"] == "started").await;
    host.until("/api/sync/runs", |runs| runs["data"][0]["state"] == "applied").await;
    let tracks = all(&host, "tracks").await;
    let dir = host.stop().await;
    let (_out, file) = saved(dir.path(), &[]);

    // A host wrote its configuration there; its schema is taken away again.
    let host = TestApp::with(&local(music.path())).await;
    let dir = host.stop().await;
    success(&program(dir.path(), &["restore", path(&file), "--force"]));
    let host = TestApp::at(dir, "", &local(music.path())).await.sign_in_again().await;
    assert_eq!(all(&host, "tracks").await, tracks);
    host.make_user("made-on-postgres", false).await;
    let dir = host.stop().await;
    let (_out, file) = saved(dir.path(), &[]);

    let dir = TestApp::on(tempfile::tempdir().unwrap(), &sqlite, "", "").await.stop().await;
    success(&program(dir.path(), &["restore", path(&file)]));
    let host = TestApp::on(dir, &sqlite, "", &local(music.path())).await.sign_in_again().await;
    let restored: Vec<Value> = all(&host, "tracks").await;
    assert_eq!(restored, tracks);
    host.sign_in("made-on-postgres").await;
}
