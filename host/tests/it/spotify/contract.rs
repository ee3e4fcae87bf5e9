//! Holds every exchange of a test between the plugin and the simulator to Spotify's published contract, in both directions, where
//! `SPOTIFY_THROUGH_PRISM` names Stoplight's Prism (as `make peers` does).
//!
//! The simulator keeps the exchanges, and at the end of the test each goes through `prism proxy --errors`, to a server that gives
//! the answer which the plugin got. So one Prism serves all tests of a process, and does not come in the way of broken
//! connections. Answers that a rule made are not looked at: that they are wrong is what those tests are about.

use std::{
    collections::HashMap,
    ops::Deref,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, extract::State, http::HeaderMap, response::IntoResponse as _};
use futures::StreamExt as _;
use serde_json::Value;
use spotify_simulator::{DOCUMENT, Exchange, Options, Simulator};

use crate::{crash::free_port, support::PATIENCE};

/// Names an exchange on its way through Prism.
const EXCHANGE: &str = "x-exchange";

/// What the document still requires and the service took from apps in development mode: lines of its lists of required fields.
const GONE: [&str; 5] = ["- available_markets", "- publisher", "- album_group", "- label", "- popularity"];

/// What the service answers as null and the document does not let be: the next page after the last, pictures of a playlist without
/// any, and what a row held that is gone.
const NULL: [&str; 8] = ["next", "after", "images", "item", "track", "album", "show", "episode"];

/// A simulator whose exchanges are held to the contract when it is dropped.
pub(super) struct Held {
    simulator: Simulator,
    judged: bool,
}

impl Held {
    pub(super) async fn start(options: Options) -> Self {
        let judged = judge().is_some();
        let simulator = Simulator::start(options).await.unwrap();
        if judged {
            simulator.record();
        }
        Self { simulator, judged }
    }

    /// For tests that have a judge of their own, or none of this service.
    pub(super) async fn unjudged(options: Options) -> Self {
        Self { simulator: Simulator::start(options).await.unwrap(), judged: false }
    }
}

impl Deref for Held {
    type Target = Simulator;

    fn deref(&self) -> &Simulator {
        &self.simulator
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.judged || std::thread::panicking() {
            return;
        }
        let exchanges = self.simulator.take_exchanges();
        let count = exchanges.len();
        let violations = violations(exchanges);
        assert!(violations.is_empty(), "{} violations in {count} exchanges: {violations:#?}", violations.len());
        assert!(count > 0, "nothing was judged");
    }
}

/// Prism, and the server behind it.
struct Judge {
    /// Where Prism listens.
    base: String,
    /// Answers by the number of their exchange.
    answers: &'static Mutex<HashMap<usize, Exchange>>,
    /// Prism ends when this process does, since a shell waits for the end of its input.
    _prism: Child,
}

/// None where no Prism is named.
fn judge() -> Option<&'static Judge> {
    static JUDGE: OnceLock<Option<Judge>> = OnceLock::new();
    JUDGE.get_or_init(|| Some(Judge::start(&PathBuf::from(std::env::var_os("SPOTIFY_THROUGH_PRISM")?)))).as_ref()
}

impl Judge {
    fn start(program: &PathBuf) -> Self {
        assert!(program.exists(), "{} is not there", program.display());
        for line in GONE {
            assert!(DOCUMENT.lines().any(|known| known.trim() == line), "the document has changed: no {line}");
        }
        let document = tempfile::Builder::new().suffix(".yml").tempfile().unwrap();
        let lines: Vec<_> = DOCUMENT.lines().filter(|line| !GONE.contains(&line.trim())).collect();
        std::fs::write(document.path(), lines.join("\n")).unwrap();
        // Whoever ends Prism takes it away.
        let document = document.keep().unwrap().1;

        let answers: &'static Mutex<HashMap<usize, Exchange>> = Box::leak(Box::default());
        let (listener, port) = (std::net::TcpListener::bind("127.0.0.1:0").unwrap(), free_port());
        let upstream = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || on_own_runtime(serve(listener, answers)));
        let mut command = Command::new("sh");
        let script = "document=$1 upstream=$2; shift 2; \"$@\" \"$document\" \"$upstream\" </dev/null & prism=$!
            cat >/dev/null; kill $prism; rm -f \"$document\"";
        command.args(["-c", script, "sh"]).arg(document).arg(upstream).arg(program);
        command.args(["proxy", "--errors", "-h", "127.0.0.1", "-p", &port.to_string()]);
        let prism = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < PATIENCE * 2, "Prism does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { base: format!("http://127.0.0.1:{port}"), answers, _prism: prism }
    }

    /// What is wrong with an exchange.
    async fn violations(&self, client: &reqwest::Client, exchange: Exchange) -> Vec<String> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let method = exchange.method.parse::<reqwest::Method>().unwrap();
        let what = format!("{method} {}", exchange.path_and_query);
        let mut request = client.request(method, format!("{}{}", self.base, exchange.path_and_query));
        for name in ["authorization", "content-type", "accept"] {
            request =
                exchange.headers.get(name).into_iter().fold(request, |request, value| request.header(name, value));
        }
        let (hit, body) = (exchange.hit, exchange.body.clone());
        let answer: Value = serde_json::from_slice(&exchange.answer).unwrap_or_default();
        self.answers.lock().unwrap().insert(number, exchange);
        let reply = request.header(EXCHANGE, number).body(body).send().await.unwrap();
        let header = reply.headers().get("sl-violations").map(|value| format!("{value:?}"));
        let problem: Value = serde_json::from_slice(&reply.bytes().await.unwrap()).unwrap_or_default();
        let arrived = self.answers.lock().unwrap().remove(&number).is_none();
        let told = problem["type"].as_str().is_some_and(|kind| kind.contains("prism"));
        let mut found: Vec<String> = match problem["validation"].as_array().filter(|_| told) {
            Some(all) => {
                let all = all.iter().filter(|one| !is_known(&answer, one["location"].as_array()));
                all.map(|one| format!("{} {}", one["location"], one["message"])).collect()
            }
            None if told => vec![format!("{} {}", problem["title"], problem["detail"])],
            None => header.into_iter().collect(),
        };
        // What a rule made of the answer is wrong on purpose; that the request was refused shows in that it did not arrive.
        if hit && arrived {
            found.clear();
        }
        found.into_iter().map(|violation| format!("{what}: {violation}")).collect()
    }
}

/// Whether a violation is one of the document's own faults: it describes neither files on somebody's disk, nor rows of which
/// nothing is left, and both were seen in answers of the service.
fn is_known(answer: &Value, location: Option<&Vec<Value>>) -> bool {
    let path: Vec<&str> = location.into_iter().flatten().filter_map(Value::as_str).collect();
    let ["response", "body", path @ ..] = &path[..] else { return false };
    let mut at = answer;
    for step in path {
        at = step.parse::<usize>().map_or_else(|_| &at[*step], |n| &at[n]);
        if at["uri"].as_str().is_some_and(|uri| uri.starts_with("spotify:local:")) {
            return true;
        }
    }
    let last = path.last().copied().unwrap_or_default();
    at.is_null() && (NULL.contains(&last) || last.parse::<usize>().is_ok())
}

/// All violations of some exchanges. Blocks, since it is called where a test ends.
fn violations(exchanges: Vec<Exchange>) -> Vec<String> {
    let Some(judge) = judge() else { return Vec::new() };
    let judged = async {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let each = futures::stream::iter(exchanges).map(|exchange| judge.violations(&client, exchange));
        each.buffered(4).collect::<Vec<_>>().await.concat()
    };
    std::thread::scope(|scope| scope.spawn(|| on_own_runtime(judged)).join()).unwrap()
}

fn on_own_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Gives each exchange the answer that it had.
async fn serve(listener: std::net::TcpListener, answers: &'static Mutex<HashMap<usize, Exchange>>) {
    let answer = async |State(answers): State<&'static Mutex<HashMap<usize, Exchange>>>, headers: HeaderMap| {
        let number = headers.get(EXCHANGE).and_then(|n| n.to_str().ok()?.parse::<usize>().ok());
        let exchange = number.and_then(|number| answers.lock().unwrap().remove(&number));
        let Some(exchange) = exchange else { return axum::http::StatusCode::NOT_FOUND.into_response() };
        let status = axum::http::StatusCode::from_u16(exchange.status).unwrap_or(axum::http::StatusCode::OK);
        let mut response = (status, exchange.answer).into_response();
        response.headers_mut().remove("content-type");
        if let Some(kind) = exchange.content_type {
            response.headers_mut().insert("content-type", kind.parse().unwrap());
        }
        response
    };
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    axum::serve(listener, Router::new().fallback(answer).with_state(answers)).await.unwrap();
}

/// The judge is awake, in both directions.
#[tokio::test]
async fn what_breaks_the_contract_is_found() {
    if judge().is_none() {
        return;
    }
    let exchange = |path: &str, answer: &str| Exchange {
        method: "GET".into(),
        path_and_query: path.into(),
        headers: [("authorization".parse().unwrap(), "Bearer x".parse().unwrap())].into_iter().collect(),
        body: Default::default(),
        status: 200,
        content_type: Some("application/json".into()),
        answer: answer.to_owned().into(),
        hit: false,
    };
    let page = r#"{"href": "x", "items": [], "limit": 5, "next": null, "offset": 0, "previous": null, "total": 0}"#;
    assert_eq!(violations(vec![exchange("/me/tracks?limit=5", page)]), Vec::<String>::new());
    let too_many = violations(vec![exchange("/me/tracks?limit=51", page)]);
    assert!(too_many.len() == 1 && too_many[0].contains("limit"), "{too_many:?}");
    let no_number =
        violations(vec![exchange("/me/tracks?limit=5", &page.replace("\"total\": 0", "\"total\": \"many\""))]);
    assert!(no_number.len() == 1 && no_number[0].contains("total"), "{no_number:?}");
    // Of an exchange that a rule had a hand in the request counts.
    let hit = |path| Exchange { hit: true, ..exchange(path, "broken") };
    assert_eq!(violations(vec![hit("/me/tracks?limit=5")]), Vec::<String>::new());
    assert_eq!(violations(vec![hit("/me/tracks?limit=51")]).len(), 1);
}
