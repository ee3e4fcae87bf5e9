//! The host behind nginx and Caddy, configured as `docs/operations/reverse-proxy.md` says. `.ci/proxies` installs both.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

use reqwest::{Client, Method, RequestBuilder, Response, Url, header::HeaderMap};
use serde_json::{Value, json};
use tempfile::TempDir;
use zotify_host::db::Db;

use crate::support::{PATIENCE, demo_folder, offer, plugin};

const PASSWORD: &str = "a long enough password";
/// Where clients come from: not the address that the proxies ask from.
const CLIENT: &str = "127.0.0.2";

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Politely: nginx killed at once leaves its workers behind.
        let _ =
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.0.id().cast_signed()), nix::sys::signal::SIGTERM);
        let _ = self.0.wait();
    }
}

fn start(command: &mut Command) -> Process {
    Process(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
}

/// A host as a process of its own, with a proxy before it.
struct Proxied {
    base: String,
    direct: String,
    client: Client,
    token: String,
    dir: TempDir,
    _processes: [Process; 2],
}

/// The program with this name; none where it is not installed, which is an error where `CI` is set.
fn program(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&folders).collect();
    folders.push("/usr/sbin".into());
    let found = folders.into_iter().map(|folder| folder.join(name)).find(|file| file.is_file());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{name} is not installed: run .ci/proxies");
        eprintln!("SKIPPED: {name} is not installed (.ci/proxies installs it)");
    }
    found
}

/// The configurations of the page in a language: at the root, and under a prefix.
fn documented(language: &str, prefix: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations/reverse-proxy.md");
    let page = fs::read_to_string(page).unwrap();
    let blocks: Vec<&str> = page.split(&format!("```{language}\n")).skip(1).collect();
    assert_eq!(blocks.len(), 2, "one configuration for the root, one for a prefix");
    let block = blocks[usize::from(!prefix.is_empty())];
    block.split("```").next().unwrap().to_owned()
}

/// The text with the address of a test in place of the documented one.
fn with(text: &str, documented: &str, tested: &str) -> String {
    assert!(text.contains(documented), "the page no longer says {documented}");
    text.replace(documented, tested)
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn nginx(program: &Path, dir: &Path, prefix: &str, port: u16, host: u16) -> Process {
    let server = with(&documented("nginx", prefix), "listen 443 ssl;", &format!("listen 127.0.0.1:{port};"));
    let server = with(&server, "127.0.0.1:8080", &format!("127.0.0.1:{host}"));
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {}/{kind};\n", dir.display()))
        .collect();
    let file = dir.join("nginx.conf");
    let text = format!(
        "daemon off;\nuser root;\npid {0}/nginx.pid;\nerror_log {0}/nginx.log;\nevents {{}}\n\
         http {{\naccess_log off;\n{temporary}{server}}}\n",
        dir.display()
    );
    fs::write(&file, text).unwrap();
    start(Command::new(program).arg("-c").arg(file).arg("-e").arg(dir.join("nginx.log")).stderr(Stdio::null()))
}

fn caddy(program: &Path, dir: &Path, prefix: &str, port: u16, host: u16) -> Process {
    let site = with(&documented("caddy", prefix), "music.example.org {", &format!("http://127.0.0.1:{port} {{"));
    let site = with(&site, "127.0.0.1:8080", &format!("127.0.0.1:{host}"));
    let file = dir.join("Caddyfile");
    fs::write(&file, format!("{{\nadmin off\nauto_https off\n}}\n{site}")).unwrap();
    let mut command = Command::new(program);
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
    command.env("XDG_DATA_HOME", dir).env("XDG_CONFIG_HOME", dir).env("HOME", dir);
    start(command.stderr(fs::File::create(dir.join("caddy.log")).unwrap()))
}

fn host(dir: &Path, port: u16) -> Process {
    let program = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zotify-host"));
        command.current_dir(dir).env_clear().env("ZOTIFY__PLUGINS__DIRECTORIES", "plugins");
        command
    };
    offer(&plugin("zotify_plugin_local"), &dir.join("plugins"));
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:{port}\"\ntrusted_proxies = [\"127.0.0.1/32\"]\n\
         [providers.local]\nplugin = \"local\"\nsettings = {{ folders = [\"{}\"] }}\n",
        demo_folder().display()
    );
    fs::write(dir.join("zotify.toml"), config).unwrap();
    let mut create = program();
    create.args(["user", "create", "tester", "--admin", "--password-stdin"]).stdin(Stdio::piped());
    let mut create = create.stdout(Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(&mut create.stdin.take().unwrap(), PASSWORD.as_bytes()).unwrap();
    assert!(create.wait().unwrap().success());
    start(program().arg("serve"))
}

impl Proxied {
    /// Nothing where the proxy is not installed.
    async fn start(proxy: &str, prefix: &str) -> Option<Self> {
        let program = program(proxy)?;
        let dir = tempfile::tempdir().unwrap();
        let (port, inner) = (free_port(), free_port());
        let server = host(dir.path(), inner);
        let proxy = match proxy {
            "nginx" => nginx(&program, dir.path(), prefix, port, inner),
            _ => caddy(&program, dir.path(), prefix, port, inner),
        };
        let from: IpAddr = CLIENT.parse().unwrap();
        let client = Client::builder().no_proxy().no_gzip().no_brotli().local_address(from).build().unwrap();
        let mut proxied = Self {
            base: format!("http://127.0.0.1:{port}{prefix}"),
            direct: format!("http://127.0.0.1:{inner}"),
            client,
            token: String::new(),
            dir,
            _processes: [proxy, server],
        };
        proxied.until(|ready| ready["status"] == "ok", "/health/ready").await;
        proxied.token = proxied.sign_in(&proxied.base, "the client").await;
        proxied.until(|runs| runs["data"][0]["state"] == "applied", "/api/sync/runs").await;
        Some(proxied)
    }

    async fn until(&self, wanted: impl Fn(&Value) -> bool, path: &str) {
        let started = Instant::now();
        loop {
            let answer = self.get(path).send().await;
            let answer = match answer {
                Ok(answer) => answer.json::<Value>().await.unwrap_or_default(),
                Err(_) => Value::Null,
            };
            if wanted(&answer) {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{path} stays {answer:#}");
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
    }

    /// Signs in with made-up forwarding headers, under a name that the session keeps.
    async fn sign_in(&self, base: &str, agent: &str) -> String {
        let request = self.client.post(format!("{base}/api/auth/login"));
        let request = request.header("x-forwarded-for", "198.51.100.7").header("user-agent", agent);
        let answer = request.json(&json!({"username": "tester", "password": PASSWORD})).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
        answer.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned()
    }

    /// The address that the host took a sign-in to come from.
    async fn address(&self, agent: &str) -> String {
        let db = Db::connect(&format!("sqlite://{}", self.dir.path().join("data/zotify.db").display())).await.unwrap();
        let address = sqlx::query_scalar("SELECT address FROM sessions WHERE user_agent = $1");
        let address = address.bind(agent.to_owned()).fetch_one(db.read()).await.unwrap();
        db.close().await;
        address
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token)
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    async fn json(&self, path: &str) -> Value {
        self.get(path).send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

async fn expect_problem(answer: Response, status: u16, code: &str) {
    assert_eq!(answer.status(), status);
    assert_eq!(header(answer.headers(), "content-type"), "application/problem+json");
    assert!(!header(answer.headers(), "x-request-id").is_empty());
    assert_eq!(answer.json::<Value>().await.unwrap()["code"], code);
}

async fn pages_and_documents(host: &Proxied, prefix: &str) {
    // Redirects are followed, and must stay under the prefix.
    let page = host.get("/docs").send().await.unwrap().error_for_status().unwrap();
    assert_eq!(page.url().as_str(), format!("{}/docs/", host.base));
    let (url, html) = (page.url().clone(), page.text().await.unwrap());
    let mut parts: Vec<Url> = Vec::new();
    for attribute in ["href=\"", "src=\""] {
        for part in html.split(attribute).skip(1) {
            parts.push(url.join(part.split('"').next().unwrap()).unwrap());
        }
    }
    assert!(parts.len() > 4, "{html}");
    parts.push(url.join("../openapi.json").unwrap());
    for part in parts {
        let answer = host.client.get(part.clone()).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{part}");
    }
    let document = host.json("/openapi.json").await;
    assert_eq!(document["servers"][0]["url"], if prefix.is_empty() { "/" } else { prefix });
    let packed = host.get("/openapi.json").header("accept-encoding", "gzip").send().await.unwrap();
    let encodings: Vec<_> = packed.headers().get_all("content-encoding").iter().collect();
    assert_eq!(encodings, ["gzip"], "packed once");
    assert_eq!(packed.bytes().await.unwrap()[..2], [0x1f, 0x8b]);
}

/// The sign-in page of the web interface, with all that it links to, and a sign-in there.
async fn web_interface(host: &Proxied) {
    let page = host.client.get(format!("{}/ui/jobs", host.base)).send().await.unwrap().error_for_status().unwrap();
    assert_eq!(page.url().as_str(), format!("{}/ui/sign-in?next=%2Fui%2Fjobs", host.base));
    let (url, html) = (page.url().clone(), page.text().await.unwrap());
    let linked = ["href=\"", "src=\""].map(|name| html.split(name).skip(1).collect::<Vec<_>>()).concat();
    let links = linked.iter().map(|part| part.split('"').next().unwrap()).filter(|link| !link.starts_with('#'));
    for link in links.map(|link| url.join(link).unwrap()) {
        assert_eq!(host.client.get(link.clone()).send().await.unwrap().status(), 200, "{link}");
    }
    let form = [("username", "tester"), ("password", PASSWORD), ("next", "/ui/jobs")];
    let request =
        host.client.post(url.join(html.split("action=\"").nth(1).unwrap().split('"').next().unwrap()).unwrap());
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    let request = request.header("sec-fetch-site", "same-origin").form(&form).build().unwrap();
    let signed_in = client.execute(request).await.unwrap();
    assert_eq!(signed_in.status(), 303);
    let prefix = Url::parse(&host.base).unwrap().path().trim_end_matches('/').to_owned();
    assert_eq!(header(signed_in.headers(), "location"), format!("{prefix}/ui/jobs"));
    let cookie = header(signed_in.headers(), "set-cookie").split(';').next().unwrap().to_owned();
    let jobs = host.client.get(format!("{}/ui/jobs", host.base)).header("cookie", cookie).send().await.unwrap();
    assert!(jobs.status() == 200 && jobs.text().await.unwrap().contains("Reading a library"));
}

async fn problems_and_ids(host: &Proxied) {
    expect_problem(host.get("/api/nothing").send().await.unwrap(), 404, "route_not_found").await;
    let stranger = host.client.get(format!("{}/api/jobs", host.base)).send().await.unwrap();
    assert_eq!(header(stranger.headers(), "www-authenticate"), "Bearer realm=\"zotify\"");
    expect_problem(stranger, 401, "missing_credentials").await;
    let large = host.request(Method::POST, "/api/tracks/batch").json(&json!({"uris": ["x".repeat(3 << 20)]}));
    expect_problem(large.send().await.unwrap(), 413, "body_too_large").await;
    let named = host.get("/ping").header("x-request-id", "mine.1").send().await.unwrap();
    assert_eq!(header(named.headers(), "x-request-id"), "mine.1");
    let known = host.get("/version").send().await.unwrap();
    let tag = header(known.headers(), "etag").to_owned();
    let again = host.get("/version").header("if-none-match", tag).send().await.unwrap();
    assert_eq!(again.status(), 304);
}

async fn audio(host: &Proxied) {
    let tracks = host.json("/api/library/tracks?limit=200").await;
    let track = tracks["data"].as_array().unwrap().iter().find(|track| track["title"] == "Αυγή").unwrap();
    let path = format!("/api/tracks/{}/media", track["uri"].as_str().unwrap());
    let whole = host.get(&path).send().await.unwrap().error_for_status().unwrap();
    let tag = header(whole.headers(), "etag").to_owned();
    let length: u64 = header(whole.headers(), "content-length").parse().unwrap();
    let bytes = whole.bytes().await.unwrap();
    assert_eq!(bytes.len() as u64, length);
    let part = host.get(&path).header("range", "bytes=100-199").send().await.unwrap();
    assert_eq!((part.status().as_u16(), header(part.headers(), "content-length")), (206, "100"));
    assert_eq!(header(part.headers(), "content-range"), format!("bytes 100-199/{length}"));
    assert_eq!(part.bytes().await.unwrap(), bytes.slice(100..200));
    let resumed = host.get(&path).header("range", "bytes=10-19").header("if-range", &tag).send().await.unwrap();
    assert_eq!(resumed.status(), 206);
    let changed = host.get(&path).header("range", "bytes=10-19").header("if-range", "\"other\"").send().await.unwrap();
    assert_eq!((changed.status().as_u16(), changed.bytes().await.unwrap().len()), (200, bytes.len()));
    let beyond = host.get(&path).header("range", format!("bytes={length}-")).send().await.unwrap();
    assert_eq!(header(beyond.headers(), "content-range"), format!("bytes */{length}"));
    expect_problem(beyond, 416, "range_not_satisfiable").await;
    let head = host.request(Method::HEAD, &path).send().await.unwrap();
    assert_eq!((head.status().as_u16(), header(head.headers(), "content-length")), (200, length.to_string().as_str()));
    let link = host.request(Method::POST, &format!("{path}-url")).send().await.unwrap().json::<Value>().await.unwrap();
    let url = format!("{}{}", host.base, link["url"].as_str().unwrap());
    assert_eq!(host.client.get(url).send().await.unwrap().bytes().await.unwrap(), bytes, "a link needs no token");
}

async fn lists_and_links(host: &Proxied) {
    let first = host.json("/api/library/tracks?limit=2").await;
    let next = format!("/api/library/tracks?limit=2&cursor={}", first["meta"]["next_cursor"].as_str().unwrap());
    assert_ne!(host.json(&next).await["data"], first["data"]);
    let playlists = host.json("/api/playlists").await;
    let uri = playlists["data"][0]["uri"].as_str().unwrap();
    let export = host.get(&format!("/api/playlists/{uri}/export?format=m3u8")).send().await.unwrap();
    let (at, list) = (export.url().clone(), export.text().await.unwrap());
    let links: Vec<&str> = list.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    assert!(!links.is_empty(), "{list}");
    for link in links {
        let answer = host.client.head(at.join(link).unwrap()).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{link}");
    }
}

async fn clients(host: &Proxied) {
    assert_eq!(host.address("the client").await, CLIENT, "the proxy says who it is, not the client");
    host.sign_in(&host.direct, "past the proxy").await;
    assert_eq!(host.address("past the proxy").await, CLIENT, "only a proxy is believed");
    let sly = host.get("/openapi.json").header("x-forwarded-prefix", "/elsewhere").send().await.unwrap();
    assert_ne!(sly.json::<Value>().await.unwrap()["servers"][0]["url"], "/elsewhere");
}

async fn works_behind(proxy: &str, prefix: &str) {
    let Some(host) = Proxied::start(proxy, prefix).await else { return };
    pages_and_documents(&host, prefix).await;
    web_interface(&host).await;
    problems_and_ids(&host).await;
    audio(&host).await;
    lists_and_links(&host).await;
    clients(&host).await;
}

#[tokio::test]
async fn behind_nginx_at_the_root() {
    works_behind("nginx", "").await;
}

#[tokio::test]
async fn behind_nginx_under_a_prefix() {
    works_behind("nginx", "/zotify").await;
}

#[tokio::test]
async fn behind_caddy_at_the_root() {
    works_behind("caddy", "").await;
}

#[tokio::test]
async fn behind_caddy_under_a_prefix() {
    works_behind("caddy", "/zotify").await;
}
