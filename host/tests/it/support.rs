//! A running host with a database, a data folder and plugins of its own.

pub mod secrets;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::{Client, Method, RequestBuilder, StatusCode, header::HeaderMap};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use zotify_host::{
    App, AppState,
    auth::{
        Role,
        users::{self, NewUser},
    },
    config::Config,
    db::Tx,
    server,
};

/// How long a test waits for something to become true.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The password of every user that tests make.
pub const PASSWORD: &str = "a long enough password";

/// A running host.
pub struct TestApp {
    pub app: AppState,
    pub base: String,
    pub dir: TempDir,
    client: Client,
    token: Option<String>,
    server: JoinHandle<()>,
}

/// An answer, read to its end.
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Reply {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|e| panic!("no JSON ({e}), status {}: {}", self.status, self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The body as JSON, of a reply that must have the status.
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self.json()
    }

    /// Checks that the reply is a well-formed problem with the status and code.
    pub fn expect_problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text());
        let problem = self.expect(status);
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(problem["type"], format!("urn:zotify:problem:{code}"));
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        assert!(problem["detail"].as_str().is_some_and(|d| d.len() > 10), "{problem}");
        problem
    }

    /// A header's value, empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

impl TestApp {
    /// A host without providers.
    pub async fn start() -> Self {
        Self::with("").await
    }

    /// A host with sections of a configuration, in TOML, beside the data folder and the address.
    pub async fn with(toml: &str) -> Self {
        Self::configured("", toml).await
    }

    /// A host with keys of the `server` section, and other sections.
    pub async fn configured(server: &str, toml: &str) -> Self {
        Self::at(tempfile::tempdir().unwrap(), server, toml).await
    }

    /// Another node on the database of this one, with a folder of its own.
    pub async fn beside(&self, toml: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy(self.dir.path().join("schema"), dir.path().join("schema")).unwrap();
        let mut node = Self::at(dir, "", toml).await;
        node.token.clone_from(&self.token);
        node
    }

    /// A host in a folder that may hold the data of an earlier one.
    pub async fn at(dir: TempDir, server: &str, toml: &str) -> Self {
        let database = database(dir.path()).await;
        Self::on(dir, &database, server, toml).await
    }

    /// A host in a folder, with sections `database` and `secrets`.
    pub async fn on(dir: TempDir, database: &str, server: &str, toml: &str) -> Self {
        secrets::watch();
        let file = dir.path().join("zotify.toml");
        std::fs::write(&file, configuration(server, database, toml)).unwrap();
        let mut config = Config::load(Some(&file)).unwrap_or_else(|e| panic!("{e}"));
        config.plugins.program = Some(env!("CARGO_BIN_EXE_zotify-host").into());
        let folder = dir.path().join("plugins");
        offer(&plugin("zotify_plugin_local"), &folder);
        config.plugins.directories.push(folder);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        config.server.listen = listener.local_addr().unwrap();
        let base = format!("http://{}", config.server.listen);
        let started = App::start(config).await.unwrap_or_else(|e| panic!("{e}"));
        let app = started.app;
        let stop = app.shutdown.clone();
        let server = tokio::spawn({
            let app = app.clone();
            async move { server::serve(app, listener, stop.cancelled_owned()).await }
        });
        let client = Client::builder()
            .no_proxy()
            .no_gzip()
            .no_brotli()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self { app, base, dir, client, token: None, server }
    }

    /// Signs in as a new admin; later requests carry the token.
    pub async fn admin(mut self) -> Self {
        self.make_user("root-of-tests", true).await;
        self.token = Some(self.sign_in("root-of-tests").await);
        self
    }

    /// Signs in as the admin of an earlier host on the same folder.
    pub async fn sign_in_again(mut self) -> Self {
        self.token = Some(self.sign_in("root-of-tests").await);
        self
    }

    /// Signs in as a new user without the admin's role.
    pub async fn become_user(&mut self, name: &str) {
        self.make_user(name, false).await;
        self.token = Some(self.sign_in(name).await);
    }

    /// Signs in as a user that there is.
    pub async fn signed_in(mut self, name: &str) -> Self {
        self.token = Some(self.sign_in(name).await);
        self
    }

    /// A request with a token of somebody else.
    pub fn request_as(&self, token: &str, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).bearer_auth(token)
    }

    /// Later requests carry no token.
    pub fn sign_out(&mut self) {
        self.token = None;
    }

    /// Makes a user.
    pub async fn make_user(&self, name: &str, admin: bool) {
        let role = if admin { Role::Admin } else { Role::User };
        let new = NewUser { name, role, password: &PASSWORD.into(), email: None };
        users::create(&self.app.db, &self.app.passwords, 8, new).await.unwrap();
    }

    /// Answers an access token.
    pub async fn sign_in(&self, name: &str) -> String {
        let body = serde_json::json!({"username": name, "password": PASSWORD});
        let reply = self.send(self.request(Method::POST, "/api/auth/login").json(&body)).await;
        reply.expect(200)["access_token"].as_str().unwrap().to_owned()
    }

    /// A request to a path, with the token where there is one.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// A request to a path without the token.
    pub fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    /// Asks with an API key.
    pub async fn by_key(&self, key: &str, path: &str) -> Reply {
        self.send(self.anonymous(Method::GET, path).header("x-api-key", key)).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Reply {
        self.send(self.request(Method::PATCH, path).json(body)).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// A request to a path with another token.
    pub fn request_with(&self, token: &str, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).bearer_auth(token)
    }

    /// Sends a request and reads the answer.
    pub async fn send(&self, request: RequestBuilder) -> Reply {
        let request = request.build().unwrap();
        secrets::sent(&request);
        let path = request.url().path().to_owned();
        let response = self.client.execute(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let reply = Reply { status, headers, bytes: response.bytes().await.unwrap().to_vec() };
        secrets::received(&path, &reply);
        reply
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// Asks again and again until the answer is as it should be.
    pub async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let started = std::time::Instant::now();
        loop {
            let value = self.get(path).await.json();
            if wanted(&value) {
                return value;
            }
            assert!(started.elapsed() < PATIENCE, "{path} stays {value:#}");
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// Stops the host as `Ctrl-C` would, and hands its folder back.
    pub async fn stop(mut self) -> TempDir {
        self.app.shutdown.cancel();
        (&mut self.server).await.unwrap();
        self.app.stop().await;
        std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap())
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            secrets::check_log();
        }
    }
}

/// Waits until somebody waits for what a transaction holds. On SQLite, where that can't be seen, every writer does.
pub async fn somebody_waits(tx: &mut Tx) {
    if std::env::var_os("ZOTIFY_TEST_DATABASE_URL").is_none() {
        return;
    }
    let sql = "SELECT CAST(COUNT(*) AS BIGINT) FROM pg_locks
               WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))";
    let started = std::time::Instant::now();
    while sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut **tx).await.unwrap() == 0 {
        assert!(started.elapsed() < PATIENCE, "nobody waits");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The folder that Cargo puts plugins in.
pub fn plugins() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    exe.parent().and_then(Path::parent).unwrap().to_owned()
}

/// The shared library of a workspace member.
pub fn plugin(name: &str) -> PathBuf {
    let path = plugins().join(format!("lib{name}.so"));
    assert!(path.exists(), "{} is missing: run `cargo build --workspace` first", path.display());
    path
}

/// Puts a plugin into a folder, without copying its megabytes where that can be avoided.
pub fn offer(plugin: &Path, folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let target = folder.join("local.so");
    if !target.exists() && std::fs::hard_link(plugin, &target).is_err() {
        std::fs::copy(plugin, target).unwrap();
    }
}

/// The files of the demo library that the project ships.
pub fn demo_library() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![demo_folder()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

/// The folder of the demo library.
pub fn demo_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/demo-library").canonicalize().unwrap()
}

fn configuration(server: &str, database: &str, sections: &str) -> String {
    // Tests ask again and again; those of the limits set their own.
    let unless = |section: &str, text: &str| {
        if sections.contains(section) { String::new() } else { format!("{section}\n{text}\n") }
    };
    let limits = unless("[limits]", "requests_per_minute_per_address = 0\nsign_ins_per_minute_per_address = 0");
    let quotas = unless("[quotas]", "requests_per_minute = 1000000");
    format!(
        "[server]\nmode = \"dev\"\nlisten = \"127.0.0.1:0\"\ndata_dir = \"data\"\n{server}\n{database}\n{limits}{quotas}{sections}"
    )
}

/// The database of a host in a folder: SQLite, or a schema of its own on the server that `ZOTIFY_TEST_DATABASE_URL` names.
/// A later host in the same folder gets the same one.
pub async fn database(folder: &Path) -> String {
    let Ok(server) = std::env::var("ZOTIFY_TEST_DATABASE_URL") else {
        return "[database]\nurl = \"sqlite://data/zotify.db\"".into();
    };
    let note = folder.join("schema");
    let schema = std::fs::read_to_string(&note).unwrap_or_default();
    let schema = if schema.is_empty() { new_schema(&server).await } else { schema };
    std::fs::write(note, &schema).unwrap();
    format!(
        "[database]\nurl = \"{server}?options=-c%20search_path%3D{schema}&application_name={schema}\"\n\
         [secrets]\nmaster_key = \"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\""
    )
}

async fn new_schema(server: &str) -> String {
    let schema = format!("t{}", ulid::Ulid::generate().to_string().to_lowercase());
    let db = zotify_host::db::Db::connect(server).await.unwrap();
    let sql = sqlx::AssertSqlSafe(format!("CREATE SCHEMA {schema}"));
    sqlx::query(sql).execute(db.read()).await.unwrap();
    db.close().await;
    schema
}
