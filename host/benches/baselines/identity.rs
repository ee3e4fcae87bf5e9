//! What it costs to know who asks: beside the same router that was told, and beside bare argon2.

use std::{
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use axum::{Extension, Router, routing::post};
use tempfile::TempDir;
use tokio::net::TcpListener;
use zotify_host::{
    App, AppState,
    auth::{
        Credential, Passwords, Principal, Role, Scopes,
        keys::NewSecret,
        users::{self, NewUser},
    },
    config::Config,
    db::now_ms,
    server,
};

use crate::{
    http::{Load, get, load, request},
    process::{Running, free_address},
    report::{Goal, Report, median},
};

/// The argument that makes this program the servers.
pub const COMMAND: &str = "identity-servers";

const NAME: &str = "bench";
const PASSWORD: &str = "a password for measuring";
/// Written when the servers are ready: an API key.
const READY: &str = "api-key";
const PATH: &str = "/api/auth/status";

const PATIENCE: Duration = Duration::from_secs(30);
const ROUND: Duration = Duration::from_secs(2);
const ROUNDS: usize = 5;
const CONNECTIONS: usize = 16;
/// Enough that every core hashes all the time.
const SIGN_INS: usize = 8;
/// Connections whose answers are timed while others sign in.
const BYSTANDERS: usize = 2;

/// One host behind two addresses, and bare argon2.
struct Servers {
    _process: Running,
    dir: TempDir,
    /// Finds out who asks.
    whole: String,
    /// Is told.
    told: String,
    /// Checks a password and nothing else.
    bare: String,
}

impl Servers {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let [whole, told, bare] = [(); 3].map(|()| free_address());
        let toml = "[server]\nmode = \"dev\"\ndata_dir = \"data\"\n[log]\nlevel = \"warn\"\n";
        fs::write(dir.path().join("zotify.toml"), toml).expect("a configuration");
        let itself = std::env::current_exe().expect("this program has a path");
        let process = Command::new(itself)
            .args([COMMAND, &whole, &told, &bare])
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("the servers start");
        let servers = Self { _process: Running(process), dir, whole, told, bare };
        let started = Instant::now();
        while !servers.dir.path().join(READY).exists() {
            assert!(started.elapsed() < PATIENCE, "the servers do not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        servers
    }
}

/// Serves until it is killed.
pub fn run(addresses: &[String]) {
    let [whole, told, bare] = addresses else { panic!("three addresses") };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut config = Config::load(Some("zotify.toml".as_ref())).expect("a configuration");
        // Requests are counted as ever, against limits that are never met.
        config.quotas.requests_per_minute = 10_000_000;
        config.quotas.sessions = 10_000;
        config.limits.requests_per_minute_per_address = 10_000_000;
        config.limits.sign_ins_per_minute_per_address = 1_000_000;
        let app = App::start(config).await.expect("the host starts").app;
        let new = NewUser { name: NAME, role: Role::Admin, password: &PASSWORD.into(), email: None };
        let user = users::create(&app.db, &app.passwords, 8, new).await.expect("a user");
        let listen = async |address: &str| TcpListener::bind(address).await.expect("a port");
        let (whole, told, bare) = (listen(whole).await, listen(told).await, listen(bare).await);
        let principal = Principal {
            user_id: user.id.clone(),
            name: user.name,
            role: Role::Admin,
            scopes: Scopes::of_role(Role::Admin),
            credential: Credential::Session { id: "01J00000000000000000000000".into(), signed_in_at: now_ms() },
            expires_at: Some(now_ms() + 900_000),
        };
        let routers = [
            (whole, server::service(app.clone())),
            (told, server::service(app.clone()).layer(Extension(principal))),
            (bare, argon2(&user.password_hash)),
        ];
        let key = api_key(&app, &user.id).await.expect("a key");
        let serve = |(listener, router)| async move { axum::serve(listener, router).await.expect("it serves") };
        let serving = futures::future::join_all(routers.map(serve));
        fs::write("api-key.partial", key).and_then(|()| fs::rename("api-key.partial", READY)).expect("a note");
        serving.await;
    });
}

/// Checks the right password for each request, as many at once as the host does.
fn argon2(hash: &str) -> Router {
    let passwords: &'static Passwords = Box::leak(Box::new(Passwords::new()));
    let hash: &'static str = Box::leak(hash.to_owned().into_boxed_str());
    let check = move || async move {
        let matches = passwords.verify(&PASSWORD.into(), Some(hash)).await;
        assert!(matches.is_ok_and(|matches| matches), "it is the right password");
        "{}"
    };
    Router::new().route("/", post(check))
}

async fn api_key(app: &AppState, user: &str) -> sqlx::Result<String> {
    let new = NewSecret::generate().map_err(|error| sqlx::Error::Encode(error.into()))?;
    let mut tx = app.db.write().await?;
    let sql = "INSERT INTO api_keys (id, user_id, name, scopes, created_at) VALUES ('bench', $1, 'bench', $2, 1)";
    let scopes = Scopes::of_role(Role::Admin).names().join(" ");
    sqlx::query(sql).bind(user.to_owned()).bind(scopes).execute(&mut *tx).await?;
    let sql = "INSERT INTO api_key_secrets (prefix, key_id, hash, created_at) VALUES ($1, 'bench', $2, 1)";
    sqlx::query(sql).bind(new.prefix).bind(new.hash).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(new.secret)
}

/// The bytes of a POST.
fn send(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n");
    format!("{head}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

pub fn rows(report: &mut Report) {
    let servers = Servers::start();
    let credentials = serde_json::json!({"username": NAME, "password": PASSWORD}).to_string();
    let answer = request(&servers.whole, "POST", "/api/auth/login", "", &credentials);
    let token = get(PATH, &format!("Bearer {}", answer["access_token"].as_str().expect("a token")));
    let key = fs::read_to_string(servers.dir.path().join(READY)).expect("a key");
    let key = format!("GET {PATH} HTTP/1.1\r\nHost: bench\r\nX-API-Key: {key}\r\n\r\n").into_bytes();
    for (what, signed_in) in [("access token", &token), ("API key", &key)] {
        let whole = || load(&servers.whole, signed_in, CONNECTIONS, ROUND);
        // With the same headers: what differs is that nobody reads them.
        let told = || load(&servers.told, signed_in, CONNECTIONS, ROUND);
        compare(report, what, "a router that is told", 0.85, whole, told);
    }
    let login = send("/api/auth/login", &credentials);
    let whole = || load(&servers.whole, &login, SIGN_INS, ROUND);
    let bare = || load(&servers.bare, &send("/", "{}"), SIGN_INS, ROUND);
    compare(report, "sign-in", "bare argon2", 0.9, whole, bare);
    bystanders(report, &servers, &token, &login);
}

/// The rates of two kinds of requests, measured in turns.
fn compare(
    report: &mut Report,
    what: &str,
    beside: &str,
    goal: f64,
    ours: impl Fn() -> Load,
    theirs: impl Fn() -> Load,
) {
    // A first round each is not counted: pools and caches fill.
    ours();
    theirs();
    let rate = |load: Load| load.requests / load.seconds;
    let rounds: Vec<(f64, f64)> = (0..ROUNDS).map(|_| (rate(theirs()), rate(ours()))).collect();
    let share = median(rounds.iter().map(|(theirs, ours)| ours / theirs).collect());
    report.row(&format!("{what}: rate against {beside}"), share, "×", Goal::AtLeast(goal));
    report.row(
        &format!("{what}: rate"),
        median(rounds.iter().map(|round| round.1).collect()),
        "requests/s",
        Goal::None,
    );
}

/// How much longer others wait while every core checks passwords.
fn bystanders(report: &mut Report, servers: &Servers, token: &[u8], login: &[u8]) {
    let other = || load(&servers.whole, token, BYSTANDERS, ROUND).p99_ms;
    other();
    let idle = median((0..ROUNDS).map(|_| other()).collect());
    let busy = std::thread::scope(|scope| {
        let rounds = u32::try_from(ROUNDS).unwrap_or(u32::MAX) + 1;
        let sign_ins = scope.spawn(move || load(&servers.whole, login, SIGN_INS, ROUND * rounds));
        other();
        let busy = median((0..ROUNDS).map(|_| other()).collect());
        sign_ins.join().expect("sign-ins");
        busy
    });
    report.row("others while all sign in: p99 against idle", busy / idle, "×", Goal::AtMost(3.0));
    report.row("others while all sign in: p99", busy, "ms", Goal::None);
    report.row("others while nobody signs in: p99", idle, "ms", Goal::None);
}
