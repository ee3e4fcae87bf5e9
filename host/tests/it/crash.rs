//! The real program, killed at bad moments.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sqlx::Row as _;
use zotify_host::db::Db;

use crate::support::{PATIENCE, demo_library, offer, plugin};

/// The host as its own process.
pub struct Host {
    pub child: Child,
    pub base: String,
    client: reqwest::Client,
    pub token: String,
}

impl Host {
    pub async fn start(dir: &Path, port: u16) -> Self {
        Self::start_with(dir, port, |_| {}).await
    }

    /// After a change to the command, such as to where its log goes.
    pub async fn start_with(dir: &Path, port: u16, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zotify-host"));
        command.arg("serve").current_dir(dir).env_clear().env("ZOTIFY__PLUGINS__DIRECTORIES", "plugins");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        change(&mut command);
        let child = command.spawn().unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut host = Self { child, base: format!("http://127.0.0.1:{port}"), client, token: String::new() };
        let started = Instant::now();
        while host.client.get(format!("{}/health/ready", host.base)).send().await.is_err() {
            assert!(started.elapsed() < PATIENCE, "the host does not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let body = json!({"username": "tester", "password": "a long enough password"});
        let login = host.client.post(format!("{}/api/auth/login", host.base)).json(&body).send().await.unwrap();
        host.token = login.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned();
        host
    }

    pub async fn get(&self, path: &str) -> Value {
        let request = self.client.get(format!("{}{path}", self.base)).bearer_auth(&self.token);
        request.send().await.unwrap().json().await.unwrap()
    }

    pub async fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.client.post(format!("{}{path}", self.base)).bearer_auth(&self.token).json(body);
        request.send().await.unwrap().json().await.unwrap()
    }

    /// Looks at the pull until it is as wanted.
    pub async fn pull(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let job = |jobs: &Value| jobs["data"].as_array().and_then(|all| all.last()).cloned().unwrap_or_default();
        job(&self.until("/api/jobs?kind=library.pull", |jobs| wanted(&job(jobs))).await)
    }

    /// Asks again and again until the answer is as it should be.
    pub async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let value = self.get(path).await;
            if wanted(&value) {
                return value;
            }
            assert!(started.elapsed() < PATIENCE * 2, "{path} stays {value:#}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn run(dir: &Path, arguments: &[&str], input: &str) {
    use std::io::Write as _;
    let mut child = Command::new(env!("CARGO_BIN_EXE_zotify-host"))
        .args(arguments)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{arguments:?}");
}

pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A folder of so many songs.
pub fn make_music(music: &Path, files: usize) {
    let song = demo_library().into_iter().find(|file| file.extension().is_some_and(|e| e == "flac")).unwrap();
    for n in 0..files {
        let folder = music.join(format!("album {}", n / 20));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::copy(&song, folder.join(format!("{n:04}.flac"))).unwrap();
    }
}

#[tokio::test]
async fn a_scan_that_was_killed_is_finished_by_the_next_start() {
    const FILES: usize = 4_000;
    let dir = tempfile::tempdir().unwrap();
    make_music(&dir.path().join("music"), FILES);
    offer(&plugin("zotify_plugin_local"), &dir.path().join("plugins"));
    let port = free_port();
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:{port}\"\n[providers.local]\nplugin = \"local\"\nsettings = {{ folders = [\"music\"] }}\n"
    );
    std::fs::write(dir.path().join("zotify.toml"), config).unwrap();
    run(dir.path(), &["user", "create", "tester", "--admin", "--password-stdin"], "a long enough password\n");

    let mut first = Host::start(dir.path(), port).await;
    let at_kill = first.pull(|job| job["progress"]["done"].as_u64() > Some(0) || job["state"] == "succeeded").await;
    first.kill();
    assert_eq!(at_kill["state"], "running", "the scan ended before it could be killed");

    let second = Host::start(dir.path(), port).await;
    let job = second.pull(|job| job["state"] == "succeeded").await;
    assert_eq!(job["id"], at_kill["id"], "the same job goes on");
    assert_eq!(job["attempts"], 2, "waiting for the plugin is no attempt");
    let stats = second.get("/api/library/stats").await;
    assert_eq!(stats["totals"]["tracks"], FILES, "{stats}");
}

/// How many rows wait for the full-text index, once the host has died.
async fn pending(dir: &Path) -> i64 {
    let left = "SELECT COUNT(*) FROM items WHERE search_text <> '' AND id > (SELECT done FROM items_text)";
    number(dir, left).await
}

async fn number(dir: &Path, sql: &'static str) -> i64 {
    let db = Db::connect(&format!("sqlite://{}/data/zotify.db", dir.display())).await.unwrap();
    let number = sqlx::query(sql).fetch_one(db.read()).await.unwrap().try_get(0).unwrap();
    db.close().await;
    number
}

#[tokio::test]
async fn words_that_wait_for_the_index_outlive_a_kill() {
    const FILES: usize = 4_000;
    let dir = tempfile::tempdir().unwrap();
    make_music(&dir.path().join("music"), FILES);
    offer(&plugin("zotify_plugin_local"), &dir.path().join("plugins"));
    let port = free_port();
    let listen = format!("[server]\nlisten = \"127.0.0.1:{port}\"\n");
    let local = "[providers.local]\nplugin = \"local\"\nsettings = { folders = [\"music\"] }\n";
    std::fs::write(dir.path().join("zotify.toml"), format!("{listen}{local}")).unwrap();
    run(dir.path(), &["user", "create", "tester", "--admin", "--password-stdin"], "a long enough password\n");

    // The scan stores some thousand rows, and the index follows twice a second: a kill after each bit of progress soon
    // comes in between.
    let (mut waiting, mut done) = (0, 0);
    while waiting == 0 {
        let mut host = Host::start(dir.path(), port).await;
        let ahead = |job: &Value| job["progress"]["done"].as_u64() > Some(done) || job["state"] == "succeeded";
        let job = host.pull(ahead).await;
        host.kill();
        waiting = pending(dir.path()).await;
        assert!(waiting > 0 || job["state"] != "succeeded", "the scan ended with nothing waiting");
        done = job["progress"]["done"].as_u64().unwrap();
    }
    // Without the provider nothing is read, so only the start itself can have filled the index.
    std::fs::write(dir.path().join("zotify.toml"), listen).unwrap();
    let mut host = Host::start(dir.path(), port).await;
    let started = Instant::now();
    while pending(dir.path()).await > 0 {
        assert!(started.elapsed() < PATIENCE, "the index does not catch up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    host.kill();
    let stored = number(dir.path(), "SELECT COUNT(*) FROM items WHERE search_text <> ''").await;
    assert!(stored >= waiting);
    let by_words = "SELECT COUNT(*) FROM items i WHERE i.search_text <> '' AND i.kind = 'track' AND i.id IN
        (SELECT rowid FROM items_fts WHERE items_fts MATCH (SELECT '\"' || replace(search_text, ' ', '\" AND \"') || '\"'
            FROM items WHERE kind = 'track' AND search_text <> '' LIMIT 1))";
    let tracks = number(dir.path(), "SELECT COUNT(*) FROM items WHERE kind = 'track' AND search_text <> ''").await;
    assert_eq!(number(dir.path(), by_words).await, tracks, "each copy of one song is found by all of its words");
    for other in [
        "SELECT COUNT(*) FROM items WHERE search_text <> '' AND id NOT IN (SELECT rowid FROM items_fts)",
        "SELECT COUNT(*) FROM items_fts WHERE rowid NOT IN (SELECT id FROM items WHERE search_text <> '')",
    ] {
        assert_eq!(number(dir.path(), other).await, 0, "{other}");
    }
}

#[tokio::test]
async fn ctrl_c_stops_cleanly() {
    use nix::{sys::signal, unistd::Pid};
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    std::fs::write(dir.path().join("zotify.toml"), format!("[server]\nlisten = \"127.0.0.1:{port}\"\n")).unwrap();
    run(dir.path(), &["user", "create", "tester", "--password-stdin"], "a long enough password\n");
    let mut host = Host::start(dir.path(), port).await;
    signal::kill(Pid::from_raw(host.child.id().try_into().unwrap()), signal::SIGINT).unwrap();
    assert!(host.child.wait().unwrap().success());
}
