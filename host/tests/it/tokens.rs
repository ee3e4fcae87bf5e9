//! A host with a provider whose accounts have tokens that end, and the service that hands them out.

use std::sync::{Arc, Mutex};

use nix::{sys::signal, unistd::Pid};
use wiremock::{
    Mock, MockServer, Request, ResponseTemplate,
    matchers::{method, path, path_regex},
};
use zotify_host::{
    db::{self, credentials},
    providers::Lane,
};
use zotify_plugin_api::{Item, PageRequest, ProviderError, Search, method::SearchCatalog};

use crate::{
    lab::Bench,
    support::{TestApp, secrets},
};

/// What the service answers to a request for data; none where it looks at the token.
type Answers = Box<dyn FnMut(&Request) -> Option<ResponseTemplate> + Send>;

/// The service. Each refresh ends the tokens before it.
pub struct Service {
    pub server: MockServer,
    state: Arc<Mutex<Tokens>>,
}

struct Tokens {
    /// Grows with each refresh.
    generation: u32,
    /// What refreshes are answered with before they work.
    refusals: Vec<ResponseTemplate>,
    answers: Answers,
}

impl Tokens {
    fn access(&self) -> String {
        format!("access-token-of-generation-{}", self.generation)
    }

    fn refresh(&self) -> String {
        format!("refresh-token-of-generation-{}", self.generation)
    }

    fn learn(&self) {
        secrets::learn(&self.access());
        secrets::learn(&self.refresh());
    }
}

impl Service {
    pub async fn start() -> Self {
        let tokens = Tokens { generation: 1, refusals: Vec::new(), answers: Box::new(|_| None) };
        tokens.learn();
        let (server, state) = (MockServer::start().await, Arc::new(Mutex::new(tokens)));
        let (of_tokens, of_data) = (Arc::clone(&state), Arc::clone(&state));
        let refresh = move |request: &Request| refresh(&mut of_tokens.lock().unwrap(), request);
        Mock::given(method("POST")).and(path("/token")).respond_with(refresh).mount(&server).await;
        let data = move |request: &Request| data(&mut of_data.lock().unwrap(), request);
        Mock::given(method("GET")).and(path_regex("^/api/")).respond_with(data).mount(&server).await;
        Self { server, state }
    }

    /// Answers the next refreshes, the last first.
    pub fn refuse(&self, answers: Vec<ResponseTemplate>) {
        self.state.lock().unwrap().refusals = answers;
    }

    /// Answers requests for data from now on; none leaves it to the token.
    pub fn answer(&self, answers: impl FnMut(&Request) -> Option<ResponseTemplate> + Send + 'static) {
        self.state.lock().unwrap().answers = Box::new(answers);
    }

    /// How many requests there were for a path.
    pub async fn asked(&self, path: &str) -> usize {
        self.server.received_requests().await.unwrap().iter().filter(|r| r.url.path().starts_with(path)).count()
    }

    /// The configuration of an instance.
    pub fn instance(&self, id: &str, more: &str) -> String {
        let uri = self.server.uri();
        let host = uri.trim_start_matches("http://");
        format!(
            "[providers.{id}]\nplugin = \"tokens\"\nsettings = {{ server = \"{uri}\" }}\n\
             permissions = [\"hosts:{host}\"]\n{more}\n"
        )
    }

    /// What the vault keeps of somebody who signed in: with tokens that ended, or that are good.
    pub fn credentials(&self, client: &str, developer: &str, good: bool) -> String {
        let state = self.state.lock().unwrap();
        let access = if good { state.access() } else { "access-token-that-has-ended".into() };
        secrets::learn(&access);
        let credentials = serde_json::json!({
            "client_id": client, "developer": developer, "access_token": access, "refresh_token": state.refresh(),
        });
        credentials.to_string()
    }
}

fn refresh(tokens: &mut Tokens, request: &Request) -> ResponseTemplate {
    if let Some(answer) = tokens.refusals.pop() {
        return answer;
    }
    let form: Vec<_> = url::form_urlencoded::parse(&request.body).into_owned().collect();
    if !form.contains(&("refresh_token".to_owned(), tokens.refresh())) {
        return ResponseTemplate::new(400).set_body_json(serde_json::json!({ "error": "invalid_grant" }));
    }
    tokens.generation += 1;
    tokens.learn();
    let body = serde_json::json!({ "access_token": tokens.access(), "refresh_token": tokens.refresh() });
    // Long enough for the others to ask meanwhile.
    ResponseTemplate::new(200).set_body_json(body).set_delay(std::time::Duration::from_millis(300))
}

fn data(tokens: &mut Tokens, request: &Request) -> ResponseTemplate {
    if let Some(answer) = (tokens.answers)(request) {
        return answer;
    }
    let good = format!("Bearer {}", tokens.access());
    let given = request.headers.get("authorization").and_then(|value| value.to_str().ok());
    if given == Some(&good) { ResponseTemplate::new(200).set_body_string("heard") } else { ResponseTemplate::new(401) }
}

/// The configuration of a host.
pub fn configuration(plugins: &Bench, instances: &str) -> String {
    format!("[plugins]\ndirectories = [{:?}]\n{instances}", plugins.path("plugins"))
}

pub fn plugins() -> Bench {
    Bench::new().with("vault_provider")
}

/// A host with an instance `tokens`, and lines for its section.
pub async fn host(service: &Service, more: &str) -> (TestApp, Bench) {
    let plugins = plugins();
    let host = TestApp::with(&configuration(&plugins, &service.instance("tokens", more))).await.admin().await;
    started(&host, "tokens").await;
    (host, plugins)
}

pub async fn started(host: &TestApp, instance: &str) {
    let provider = format!("/api/providers/{instance}");
    let report = host.until(&provider, |provider| provider["state"] != "loading").await;
    assert_eq!(report["state"], "started", "{report:#}");
}

/// Connects an account of the admin, as a setup flow does.
pub async fn connect(host: &TestApp, instance: &str, id: &str, credentials: &str) {
    let app = &host.app;
    let user = db::users::find_by_name(app.db.read(), "root-of-tests").await.unwrap().unwrap().id;
    let mut tx = app.db.write().await.unwrap();
    // One that is not due to be read.
    sqlx::query(
        "INSERT INTO accounts (id, instance, owner, remote_key, label, state, last_pull_at, created_at, updated_at)
         VALUES ($1, $2, $3, $1, 'mine', 'ok', 4000000000000, 1, 1) ON CONFLICT (id) DO NOTHING",
    )
    .bind(id.to_owned())
    .bind(instance.to_owned())
    .bind(user)
    .execute(&mut *tx)
    .await
    .unwrap();
    let sealed = app.secrets.seal(&credentials::context(id), credentials.as_bytes()).unwrap();
    credentials::put_new(&mut tx, sealed, id, "[]", 1, None).await.unwrap();
    tx.commit().await.unwrap();
    app.recent_accounts.forget();
}

/// Asks the service for an account.
pub async fn ask(
    host: &TestApp,
    instance: &str,
    account: &str,
    lane: Lane,
    query: &str,
) -> Result<String, ProviderError> {
    let request = Search { query: query.into(), kinds: Vec::new(), page: PageRequest::default() };
    let page = host.app.providers.call::<SearchCatalog>(instance, Some(account), lane, request).await?;
    match page.items.rows.into_iter().next() {
        Some(Item::Track(track)) => Ok(track.title),
        other => panic!("no track but {other:?}"),
    }
}

/// Kills the plugin's process.
pub async fn kill(pid: &str) {
    signal::kill(Pid::from_raw(pid.parse().unwrap()), signal::Signal::SIGKILL).unwrap();
}

/// One number of the database.
pub async fn number(host: &TestApp, sql: &str) -> i64 {
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned())).fetch_one(host.app.db.read()).await.unwrap()
}

pub async fn execute(host: &TestApp, sql: &str) {
    let mut tx = host.app.db.write().await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
}
