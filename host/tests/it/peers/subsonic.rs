//! Real Subsonic servers that others wrote: an old one, supysonic, and one that speaks OpenSubsonic, maneki.

use std::{
    fs,
    net::TcpStream,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{byte_identical, files, peer};
use crate::{
    lab::Bench,
    support::{PATIENCE, Reply, TestApp},
};

const PASSWORD: &str = "a-secret-of-the-server";

/// A server with music. It ends with the test.
struct Server {
    process: Child,
    url: String,
    /// What it answers without any client in between.
    rest: String,
    music: PathBuf,
    _dir: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let group = nix::unistd::Pid::from_raw(-self.process.id().cast_signed());
        let _ = nix::sys::signal::kill(group, nix::sys::signal::SIGKILL);
        let _ = self.process.wait();
    }
}

impl Server {
    /// Waits until the server takes connections.
    fn started(mut command: Command, port: u16, path: &str, music: PathBuf, dir: TempDir) -> Self {
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let process = command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let url = format!("http://127.0.0.1:{port}{path}");
        let rest = format!("{url}/rest");
        let mut server = Self { process, url, rest, music, _dir: dir };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = || fs::read_to_string(server._dir.path().join("log")).unwrap_or_default();
            assert!(server.process.try_wait().unwrap().is_none(), "the server ended: {}", log());
            assert!(begun.elapsed() < PATIENCE, "the server does not start: {}", log());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        server
    }

    /// Asks the server itself.
    async fn ask(&self, method: &str) -> Value {
        let url = format!("{}/{method}?u=alice&p={PASSWORD}&v=1.12.0&c=test&f=json", self.rest);
        let answer: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
        assert_eq!(answer["subsonic-response"]["status"], "ok", "{answer}");
        answer["subsonic-response"].clone()
    }
}

/// The album, in a folder that the server may write to.
fn music(dir: &Path) -> Option<PathBuf> {
    let from = peer("singularity-music")?;
    let folder = dir.join("music");
    fs::create_dir(&folder).unwrap();
    for (n, file) in files(&from, "ogg").into_iter().enumerate() {
        let to = folder.join(format!("{n:02}-{}", file.file_name().unwrap().to_string_lossy()));
        if fs::hard_link(&file, &to).is_err() {
            fs::copy(&file, &to).unwrap();
        }
    }
    Some(folder)
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn supysonic() -> Option<Server> {
    let dir = tempfile::tempdir().unwrap();
    let (music, program) = (music(dir.path())?, peer("supysonic")?);
    // It converts with a program of ours, so that what comes out is known.
    let configuration = format!(
        "[base]\ndatabase_uri = sqlite:///{0}/s.db\n[webapp]\ncache_dir = {0}/cache\n[transcoding]\n\
         transcoder_ogg_mp3 = head -c 1000 %srcpath\n",
        dir.path().display()
    );
    fs::write(dir.path().join("supysonic.conf"), configuration).unwrap();
    let python = |script: &str| {
        let mut command = Command::new("python3");
        command.arg(program.join("bin").join(script)).env("PYTHONPATH", &program).current_dir(dir.path());
        command
    };
    let folder = music.to_str().unwrap();
    for arguments in [
        &["user", "add", "alice", "-p", PASSWORD][..],
        &["folder", "add", "Music", folder],
        &["folder", "scan", "-f", "Music"],
    ] {
        let done = python("supysonic-cli").args(arguments).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    }
    let port = free_port();
    let mut command = python("supysonic-server");
    command.args(["-S", "waitress", "-h", "127.0.0.1", "-p", &port.to_string()]);
    Some(Server::started(command, port, "", music, dir))
}

/// It needs a newer Python than most machines have; without one it is not fetched.
fn maneki() -> Option<Server> {
    let program = PathBuf::from(std::env::var_os("ZOTIFY_FIXTURES")?).join("maneki");
    if !program.is_dir() {
        eprintln!("SKIPPED: maneki was not fetched");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let (music, port) = (music(dir.path())?, free_port());
    let mut command = Command::new(program.join("python"));
    command.args(["-m", "maneki", "serve"]).arg(&music).args(["--host", "127.0.0.1", "-p", &port.to_string()]);
    command.args(["--no-ui", "--no-artist-images", "--no-cover-images", "-w", "0"]);
    command.env("PYTHONPATH", program.join("site")).env("HOME", dir.path()).current_dir(dir.path());
    command.env("MANEKI_SERVER__USERNAME", "alice").env("MANEKI_SERVER__PASSWORD", PASSWORD);
    Some(Server::started(command, port, "/audio", music, dir))
}

/// A host that is connected to the server, the account there, and the folder of its plugins.
async fn connected(server: &Server) -> (TestApp, String, Bench) {
    let plugins = Bench::new().with("zotify_plugin_subsonic");
    let config = format!(
        "[plugins]\ndirectories = [{:?}]\n[providers.nas]\nplugin = \"subsonic\"\nsettings = {{ url = \"{}\" }}\n",
        plugins.path("plugins"),
        server.url
    );
    let host = TestApp::with(&config).await.admin().await;
    host.until("/api/providers/nas", |provider| provider["state"] == "started").await;
    let flow = host.post("/api/accounts/flows", &json!({"provider": "nas", "label": "Alice's"})).await.expect(201);
    let path = format!("/api/accounts/flows/{}", flow["id"].as_str().unwrap());
    let form = |password: &str| json!({"values": {"username": "alice", "password": password}});
    let wrong = host.post(&path, &form("not-the-right-one")).await.expect(200);
    assert_eq!(wrong["step"]["error"], "Wrong username or password.", "{wrong:#}");
    let done = host.post(&path, &form(PASSWORD)).await.expect(200);
    let account = done["step"]["account"].as_str().unwrap_or_else(|| panic!("{done:#}")).to_owned();
    host.until(&format!("/api/accounts/{account}"), |a| a["completeness"] == "complete").await;
    calm(&host).await;
    (host, account, plugins)
}

/// Waits until no job is left to do.
async fn calm(host: &TestApp) {
    let ended = |job: &Value| ["succeeded", "failed", "cancelled"].contains(&job["state"].as_str().unwrap());
    let jobs = host.until("/api/jobs?limit=200", |jobs| jobs["data"].as_array().unwrap().iter().all(ended)).await;
    let failed: Vec<_> = jobs["data"].as_array().unwrap().iter().filter(|job| job["state"] != "succeeded").collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

async fn with_match(host: &TestApp, method: Method, path: &str, tag: &str, body: &Value) -> Reply {
    host.send(host.request(method, path).header("if-match", tag).json(body)).await
}

fn uri(item: &Value) -> &str {
    item["uri"].as_str().unwrap_or_else(|| panic!("{item:#}"))
}

/// All that the API offers of an account there.
async fn is_of_use(server: &Server) {
    let (host, account, _plugins) = connected(server).await;
    let tracks = host.get("/api/library/tracks?limit=200").await.expect(200);
    let tracks = tracks["data"].as_array().unwrap();
    byte_identical(&host, &server.music, tracks).await;
    searches(&host, &tracks[0]).await;
    stars(server, &host, tracks).await;
    playlists(server, &host, &account, tracks).await;
    let missing = host.get("/api/tracks/nas:track:00000000-0000-0000-0000-000000000000/media").await;
    missing.expect_problem(404, "item_not_found");
    let play = json!({"uri": uri(&tracks[0]), "played_at": "2026-01-02T03:04:05Z"});
    host.post("/api/user/history", &play).await.expect(201);
    calm(&host).await;
}

async fn searches(host: &TestApp, track: &Value) {
    let title = track["title"].as_str().unwrap().replace(' ', "%20");
    for scope in ["library", "catalog"] {
        let found = host.get(&format!("/api/search?q={title}&kinds=track&scope={scope}")).await.expect(200);
        assert!(found.to_string().contains(uri(track)), "{scope}: {found:#}");
    }
}

async fn stars(server: &Server, host: &TestApp, tracks: &[Value]) {
    let starred = async || {
        let songs = server.ask("getStarred2").await["starred2"]["song"].clone();
        let ids =
            songs.as_array().into_iter().flatten().map(|song| format!("nas:track:{}", song["id"].as_str().unwrap()));
        ids.collect::<std::collections::BTreeSet<_>>()
    };
    for track in &tracks[..2] {
        host.send(host.request(Method::PUT, &format!("/api/user/liked/{}", uri(track)))).await.expect(200);
    }
    calm(host).await;
    assert_eq!(starred().await, tracks[..2].iter().map(|track| uri(track).to_owned()).collect());
    for track in &tracks[..2] {
        assert_eq!(host.delete(&format!("/api/user/liked/{}", uri(track))).await.status, 204);
    }
    calm(host).await;
    assert!(starred().await.is_empty());
}

async fn playlists(server: &Server, host: &TestApp, account: &str, tracks: &[Value]) {
    let made = host.post("/api/playlists", &json!({"name": "Night drive", "account": account})).await;
    let path = made.header("location").to_owned();
    made.expect(201);
    let items = format!("{path}/items");
    let uris = |places: &[usize]| places.iter().map(|n| uri(&tracks[*n])).collect::<Vec<_>>();
    host.post(&items, &json!({"uris": uris(&[0, 1, 0, 2])})).await.expect(200);
    let read = host.get(&items).await;
    let (tag, entries) = (read.header("etag").to_owned(), read.expect(200));
    let entry = |n: usize| entries["data"][n]["entry_id"].clone();
    let ops = json!({"ops": [
        {"op": "move", "entries": [entry(3)], "before": entry(0)},
        {"op": "remove", "entries": [entry(2)]},
        {"op": "add", "uris": uris(&[3]), "before": entry(1)},
    ]});
    with_match(host, Method::PATCH, &items, &tag, &ops).await.expect(200);
    with_match(host, Method::PATCH, &items, &tag, &ops).await.expect_problem(412, "version_mismatch");
    host.post("/api/sync", &json!({})).await.expect(202);
    calm(host).await;
    let now = host.get(&items).await.expect(200);
    let now: Vec<_> = now["data"].as_array().unwrap().iter().map(|entry| uri(&entry["item"])).collect();
    assert_eq!(now, uris(&[2, 0, 3, 1]), "so it is at the server, too");
    host.patch(&path, &json!({"name": "Day drive"})).await.expect(200);
    let listed = server.ask("getPlaylists").await["playlists"]["playlist"].clone();
    let names: Vec<_> = listed.as_array().unwrap().iter().map(|list| list["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Day drive"]);
    assert_eq!(host.delete(&path).await.status, 204);
    host.get(&path).await.expect_problem(404, "item_not_found");
    assert!(server.ask("getPlaylists").await["playlists"]["playlist"].as_array().is_none_or(Vec::is_empty));
}

#[tokio::test(flavor = "multi_thread")]
async fn supysonic_is_of_use() {
    let Some(server) = supysonic() else { return };
    is_of_use(&server).await;
}

/// It converts where it is told how; what it cannot convert is no audio.
#[tokio::test(flavor = "multi_thread")]
async fn supysonic_converts() {
    let Some(server) = supysonic() else { return };
    let (host, _, _plugins) = connected(&server).await;
    let tracks = host.get("/api/library/tracks?limit=1").await.expect(200);
    let media = async |query: &str| host.get(&format!("/api/tracks/{}/media?{query}", uri(&tracks["data"][0]))).await;
    let converted = media("format=mp3").await;
    assert_eq!((converted.status.as_u16(), converted.header("content-type")), (200, "audio/mpeg"));
    assert_eq!((converted.bytes.len(), &converted.bytes[..4]), (1000, &b"OggS"[..]), "what its program made");
    assert!(media("format=ogg").await.bytes.len() > 100_000, "it is stored so");
    media("format=flac").await.expect_problem(502, "provider_failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn maneki_is_of_use() {
    let Some(server) = maneki() else { return };
    is_of_use(&server).await;
}
