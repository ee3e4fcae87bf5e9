//! A host in a process of its own, many clients, and somebody who kills its plugins.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use reqwest::{
    Client, Response,
    header::{CONTENT_TYPE, RANGE},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

/// How often the plugins' processes are killed.
const KILL_EVERY: Duration = Duration::from_secs(5);
/// How often memory, handles and threads are looked at.
const SAMPLE_EVERY: Duration = Duration::from_millis(500);
/// Longer than the host may take to give a request up.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long the host may take to start and to read the demo library.
const START: Duration = Duration::from_secs(60);
/// Bytes that are asked of each song.
const SLICE: usize = 4096;
const PASSWORD: &str = "a long enough password";

/// A running host.
pub(crate) struct Host {
    child: Child,
    base: String,
    /// What to ask for.
    paths: Arc<Paths>,
    dir: TempDir,
}

struct Paths {
    token: String,
    tracks: Vec<String>,
    albums: Vec<String>,
}

/// What a process takes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Resident memory, KiB.
    pub(crate) rss: u64,
    /// Resident memory with shared pages divided among those who share them, KiB.
    pub(crate) pss: u64,
    /// Open file descriptors.
    pub(crate) handles: usize,
    pub(crate) threads: usize,
}

impl Usage {
    fn most(self, other: Self) -> Self {
        Self {
            rss: self.rss.max(other.rss),
            pss: self.pss.max(other.pss),
            handles: self.handles.max(other.handles),
            threads: self.threads.max(other.threads),
        }
    }
}

/// What a round came to.
#[derive(Default)]
pub(crate) struct Round {
    /// How long each answer took, microseconds, ascending.
    pub(crate) latencies: Vec<u32>,
    /// Problems by code.
    pub(crate) problems: BTreeMap<String, u64>,
    /// Answers that no client should get: no problem document, a cut body, a broken connection, `internal_error`.
    pub(crate) violations: BTreeMap<String, u64>,
    pub(crate) elapsed: Duration,
    pub(crate) kills: u64,
    pub(crate) peak: Usage,
}

impl Round {
    fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        for (code, count) in other.problems {
            *self.problems.entry(code).or_default() += count;
        }
        for (what, count) in other.violations {
            *self.violations.entry(what).or_default() += count;
        }
    }
}

impl Host {
    /// Starts a program on the demo library, with plugins that stand in the folder `built`.
    pub(crate) async fn start(program: &Path, built: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let plugins = dir.path().join("plugins");
        fs::create_dir(&plugins).unwrap();
        for name in ["zotify_plugin_local", "hostile_plugin"] {
            let file = format!("lib{name}.so");
            fs::copy(built.join(&file), plugins.join(&file)).unwrap_or_else(|e| panic!("{file}: {e}; build it first"));
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let music = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/demo-library").canonicalize().unwrap();
        let config = format!(
            "[server]\nlisten = \"127.0.0.1:{port}\"\nmax_connections_per_address = 10000\n\
             [limits]\nrequests_per_minute_per_address = 0\nsign_ins_per_minute_per_address = 0\n\
             [quotas]\nrequests_per_minute = 10000000\n[plugins]\ndirectories = [\"plugins\"]\nquarantine = {{ crashes = 1000 }}\n\
             [providers.local]\nplugin = \"local\"\nsettings = {{ folders = [{music:?}] }}\n\
             [providers.live]\nplugin = \"hostile\"\n"
        );
        fs::write(dir.path().join("zotify.toml"), config).unwrap();
        make_user(program, dir.path());
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let mut command = command(program, dir.path());
        let child = command.arg("serve").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let paths = Arc::new(Paths { token: String::new(), tracks: Vec::new(), albums: Vec::new() });
        let mut host = Self { child, base: format!("http://127.0.0.1:{port}"), paths, dir };
        host.paths = Arc::new(host.look_around().await);
        host
    }

    /// Signs in and waits for the library.
    async fn look_around(&self) -> Paths {
        let client = client();
        let started = Instant::now();
        let patient = |what: &str| assert!(started.elapsed() < START, "{what}; the log says:\n{}", self.log());
        while client.get(format!("{}/health/ready", self.base)).send().await.is_err() {
            patient("the host does not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let body = json!({"username": "tester", "password": PASSWORD});
        let login = client.post(format!("{}/api/auth/login", self.base)).json(&body).send().await.unwrap();
        let token = login.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned();
        let get = async |path: &str| {
            let reply = client.get(format!("{}{path}", self.base)).bearer_auth(&token).send().await.unwrap();
            reply.json::<Value>().await.unwrap()
        };
        while get("/api/jobs?kind=library.pull&state=succeeded").await["data"].as_array().map_or(0, Vec::len) < 2
            || get("/api/providers/live").await["state"] != "started"
        {
            patient("the library is not read");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let uris = |list: Value| {
            let uri = |item: &Value| item["uri"].as_str().unwrap().to_owned();
            list["data"].as_array().unwrap().iter().map(uri).collect::<Vec<_>>()
        };
        let (tracks, albums) =
            (uris(get("/api/library/tracks?limit=50").await), uris(get("/api/library/albums").await));
        assert!(!tracks.is_empty() && !albums.is_empty(), "the demo library is empty");
        Paths { token, tracks, albums }
    }

    /// The end of the host's log.
    pub(crate) fn log(&self) -> String {
        let text = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// What the host's own process takes now.
    pub(crate) fn usage(&self) -> Usage {
        usage(self.child.id()).unwrap_or_else(|e| panic!("the host is gone ({e}); its log ends with:\n{}", self.log()))
    }

    /// So many clients ask for so long, while the plugins' processes are killed.
    pub(crate) async fn round(&self, clients: usize, time: Duration) -> Round {
        let started = Instant::now();
        let until = started + time;
        let http = client();
        let mut tasks = JoinSet::new();
        for n in 0..clients {
            tasks.spawn(ask(http.clone(), self.base.clone(), Arc::clone(&self.paths), n, until));
        }
        let host = self.child.id();
        let watched = Arc::new(Mutex::new((0, Usage::default())));
        let watcher = tokio::spawn({
            let watched = Arc::clone(&watched);
            async move {
                let mut kill_at = Instant::now() + KILL_EVERY.min(time / 3);
                loop {
                    tokio::time::sleep(SAMPLE_EVERY).await;
                    let kills = if Instant::now() >= kill_at { kill_plugins(host) } else { 0 };
                    if kills > 0 {
                        kill_at = Instant::now() + KILL_EVERY;
                    }
                    let mut watched = watched.lock().unwrap();
                    *watched = (watched.0 + kills, watched.1.most(usage(host).unwrap_or_default()));
                }
            }
        });
        let mut round = Round::default();
        while let Some(part) = tasks.join_next().await {
            round.add(part.unwrap());
        }
        watcher.abort();
        round.latencies.sort_unstable();
        round.elapsed = started.elapsed();
        (round.kills, round.peak) = *watched.lock().unwrap();
        round
    }

    /// How often the plugins were started again.
    pub(crate) async fn restarts(&self) -> u64 {
        let request = client().get(format!("{}/api/providers", self.base)).bearer_auth(&self.paths.token);
        let list: Value = request.send().await.unwrap().json().await.unwrap();
        list["data"].as_array().into_iter().flatten().filter_map(|provider| provider["restarts"].as_u64()).sum()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Its plugins end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn client() -> Client {
    Client::builder().no_proxy().timeout(TIMEOUT).http1_only().build().unwrap()
}

fn command(program: &Path, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir).env_clear();
    command
}

fn make_user(program: &Path, dir: &Path) {
    use io::Write as _;
    let mut command = command(program, dir);
    command
        .args(["user", "create", "tester", "--admin", "--password-stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(PASSWORD.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "the user can't be made");
}

/// One client: asks for one thing after the other.
async fn ask(http: Client, base: String, paths: Arc<Paths>, client: usize, until: Instant) -> Round {
    let mut round = Round::default();
    let mut n = client * 7;
    while Instant::now() < until {
        n += 1;
        let (path, range) = paths.nth(n);
        let started = Instant::now();
        let mut request = http.get(format!("{base}{path}")).bearer_auth(&paths.token);
        if range {
            request = request.header(RANGE, format!("bytes=0-{}", SLICE - 1));
        }
        let outcome = match request.send().await {
            Ok(response) => judge(response, range).await,
            Err(error) => Err(format!("no answer: {}", root(&error))),
        };
        round.latencies.push(u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX));
        match outcome {
            Ok(None) => {}
            Ok(Some(code)) => *round.problems.entry(code).or_default() += 1,
            Err(what) => *round.violations.entry(what).or_default() += 1,
        }
    }
    round
}

impl Paths {
    /// What to ask for in which turn, and whether for a slice only. Of twenty requests five need a plugin.
    fn nth(&self, n: usize) -> (String, bool) {
        let track = &self.tracks[n % self.tracks.len()];
        let album = &self.albums[n % self.albums.len()];
        match n % 20 {
            0..4 => ("/api/library/tracks?limit=50".into(), false),
            4 | 5 => ("/api/library/albums?limit=50&sort=title".into(), false),
            6..9 => ("/api/search?q=the&limit=20".into(), false),
            9..12 => (format!("/api/tracks/{track}"), false),
            12 => (format!("/api/albums/{album}/tracks"), false),
            13..16 => (format!("/api/tracks/{track}/media"), true),
            16 => (format!("/api/search?scope=catalog&q=echo%20{n}"), false),
            17 => (format!("/api/artwork/{album}"), false),
            18 => ("/api/tracks/local:track:nothing".into(), false),
            _ => ("/health/ready".into(), false),
        }
    }
}

/// The code of a problem, nothing for a success, and an error for what should not be.
async fn judge(mut response: Response, range: bool) -> Result<Option<String>, String> {
    let status = response.status();
    let problem = response.headers().get(CONTENT_TYPE).is_some_and(|t| t == "application/problem+json");
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            // A picture that the plugin was streaming when it was killed: with status and bytes sent, all that HTTP has left
            // is to end before the announced length. Before the first byte there would have been room for a problem. Songs
            // are files that the host reads itself, so those are never cut.
            Err(error) if !range && !body.is_empty() && (error.is_body() || error.is_decode()) => {
                return Ok(Some("(body cut short)".into()));
            }
            Err(error) => return Err(format!("{status} with a body cut at {}: {}", body.len(), root(&error))),
        }
    }
    if status.is_success() {
        let whole = !range || (status == 206 && body.len() == SLICE);
        return if whole { Ok(None) } else { Err(format!("{status} with {} bytes of a slice", body.len())) };
    }
    let code = serde_json::from_slice::<Value>(&body).ok().and_then(|body| body["code"].as_str().map(str::to_owned));
    match code.filter(|_| problem) {
        Some(code) if code == "internal_error" => Err(format!("{status} internal_error")),
        Some(code) => Ok(Some(code)),
        None => Err(format!("{status} without a problem document")),
    }
}

/// The innermost cause.
fn root(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), root)
}

/// Kills the host's children, which are its plugins; answers how many.
fn kill_plugins(host: u32) -> u64 {
    children(host).into_iter().filter(|pid| kill(Pid::from_raw(*pid), Signal::SIGKILL).is_ok()).count() as u64
}

fn children(parent: u32) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

fn usage(pid: u32) -> io::Result<Usage> {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let rollup = fs::read_to_string(proc.join("smaps_rollup"))?;
    let status = fs::read_to_string(proc.join("status"))?;
    let number = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0_u64)
    };
    Ok(Usage {
        rss: number(&rollup, "Rss:"),
        pss: number(&rollup, "Pss:"),
        handles: fs::read_dir(proc.join("fd"))?.count(),
        threads: number(&status, "Threads:").try_into().unwrap_or(usize::MAX),
    })
}
