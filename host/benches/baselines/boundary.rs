//! The plugin boundary: calls inside the host and into a process, a page of items, starting, and many plugins at once.

use std::{
    fs,
    hint::black_box,
    io::Write as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::BoxFuture;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zotify_host::{
    config::Config,
    db::Db,
    providers::{Lane, Registry, Start},
    secrets::Secrets,
};
use zotify_plugin_api::{
    Call, Item, Page, PageRequest, ProviderError, Search,
    ffi::{Host, Library},
    method::{Method as _, SearchCatalog},
    model::CreateRequest,
    wire,
};

use crate::{
    process::{memory, plugin, program},
    report::{Goal, Report, median},
};

const ROUNDS: usize = 7;
/// Plugins that are loaded at once.
const MANY: usize = 50;

/// A host that offers nothing.
struct Nobody;

impl Host for Nobody {
    fn log(&self, _: &[u8]) {}

    fn call(&self, _: &str, _: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, Vec<u8>>> {
        Box::pin(async { Err(wire::encode_error(&ProviderError::unavailable("nothing is offered"))) })
    }
}

pub fn rows(report: &mut Report) {
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        inside(report).await;
        let (folder, registry, stop) = registry().await;
        for (instance, what, goal) in
            [("inside", "inside the host", Goal::None), ("process", "in a process", Goal::AtMost(50.0))]
        {
            let took = micros(2_000, || search(&registry, instance, "echo x")).await;
            report.row(&format!("call through the registry, {what}"), took, "µs", goal);
            let took = micros(500, || search(&registry, instance, "tracks 50")).await;
            report.row(&format!("page of 50 tracks through the registry, {what}"), took, "µs", Goal::None);
        }
        started(report, &registry).await;
        stop.cancel();
        registry.stop().await;
        drop(folder);
    });
    many(report);
}

/// Wall time of one call, in microseconds: the median of rounds of calls one after another.
async fn micros<T, F: Future<Output = T>>(calls: u32, call: impl Fn() -> F) -> f64 {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        for _ in 0..calls {
            black_box(call().await);
        }
        rounds.push(started.elapsed().as_secs_f64() * 1e6 / f64::from(calls));
    }
    median(rounds)
}

fn query(text: &str) -> Search {
    Search { query: text.into(), kinds: Vec::new(), page: PageRequest::default() }
}

/// The bare boundary, without registry and runtime between.
async fn inside(report: &mut Report) {
    let library = Library::load(&plugin("hostile_plugin")).expect("it loads");
    let instance = library.create(&create("bare", "hostile"), Arc::new(Nobody)).expect("it starts");
    let took = micros(20_000, || instance.call("no.such.method", Vec::new())).await;
    report.row("guarded call inside the host, without an answer", took, "µs", Goal::AtMost(1.0));
    let call =
        Call { request_id: None, account: None, deadline_ms: 10_000, background: false, request: query("tracks 50") };
    let request = wire::encode(&call).expect("it encodes");
    let over = micros(2_000, || async {
        let bytes = instance.call(SearchCatalog::NAME, request.clone()).await.expect("a page");
        wire::decode::<Page>(&bytes).expect("a page")
    });
    let over = over.await;
    let page: Page = {
        let bytes = instance.call(SearchCatalog::NAME, request.clone()).await.expect("a page");
        wire::decode(&bytes).expect("a page")
    };
    // What a provider that is part of the host would do: hand out a page of its own.
    let direct = micros(2_000, || async { black_box(&page).clone() }).await;
    report.row("page of 50 tracks over the boundary, as MessagePack", over, "µs", Goal::None);
    report.row("the same page handed out by a direct call", direct, "µs", Goal::None);
    report.row("page of 50 tracks: boundary against direct", over / direct, "×", Goal::AtMost(2.0));
}

fn create(instance: &str, part: &str) -> CreateRequest {
    CreateRequest {
        instance: instance.into(),
        part: part.into(),
        settings: "{}".into(),
        protocol: 0,
        log_level: "warn".into(),
    }
}

/// A registry with the same plugin in both run modes.
async fn registry() -> (TempDir, Registry, CancellationToken) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("plugins")).expect("a folder");
    fs::create_dir(folder.path().join("data")).expect("a folder");
    fs::copy(plugin("hostile_plugin"), folder.path().join("plugins/hostile.so")).expect("a copy");
    let text = "[server]\ndata_dir = \"data\"\n[database]\nurl = \"sqlite://data/bench.db\"\n\
                [plugins]\ndirectories = [\"plugins\"]\n\
                [providers.inside]\nplugin = \"hostile\"\nisolation = \"in-process\"\n\
                [providers.process]\nplugin = \"hostile\"\n";
    let mut config = Config::parse(text, folder.path()).unwrap_or_else(|e| panic!("{e}"));
    config.plugins.program = Some(program().into());
    let config = Arc::new(config);
    let db = Db::connect(&config.database.url).await.expect("a database");
    db.migrate().await.expect("a schema");
    let shutdown = CancellationToken::new();
    let secrets = Arc::new(Secrets::load(&config, &db).await.expect("a key"));
    let start = Start { config, db, secrets, shutdown: shutdown.clone(), tasks: TaskTracker::new() };
    let registry = Registry::start(start).await;
    registry.ready().await;
    (folder, registry, shutdown)
}

async fn search(registry: &Registry, instance: &str, text: &str) -> Page {
    registry.call::<SearchCatalog>(instance, None, Lane::Interactive, query(text)).await.expect("a page")
}

async fn title(registry: &Registry, text: &str) -> String {
    match search(registry, "process", text).await.items.rows.into_iter().next() {
        Some(Item::Track(track)) => track.title,
        other => panic!("no track but {other:?}"),
    }
}

/// From the order to restart until the first answer of the new process.
async fn started(report: &mut Report, registry: &Registry) {
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        let before = title(registry, "pid").await;
        let started = Instant::now();
        assert!(registry.restart("process").await, "it restarts");
        while registry.call::<SearchCatalog>("process", None, Lane::Interactive, query("pid")).await.is_err() {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        took.push(started.elapsed().as_secs_f64() * 1000.0);
        assert_ne!(title(registry, "pid").await, before);
    }
    report.row("plugin's process: stop, start and first answer", median(took), "ms", Goal::AtMost(20.0));
    let pid = title(registry, "pid").await.parse().expect("a process id");
    report.row("plugin's process: memory (PSS)", memory(&[pid]), "MB", Goal::AtMost(2.0));
}

/// Loads files that differ, as the system's loader would not load one file twice.
fn many(report: &mut Report) {
    let folder = tempfile::tempdir().expect("a folder");
    let files: Vec<_> = (0..MANY).map(|n| variant(folder.path(), n)).collect();
    let started = Instant::now();
    let mut instances = Vec::new();
    for (n, file) in files.iter().enumerate() {
        let library = Library::load(file).expect("it loads");
        library.manifest().expect("a manifest");
        instances.push(library.create(&create(&format!("i{n}"), "hostile"), Arc::new(Nobody)).expect("it starts"));
    }
    report.row("50 plugins: load and create", started.elapsed().as_secs_f64(), "s", Goal::AtMost(0.5));
    drop(instances);
}

/// The plugin with bytes behind its end, which no loader looks at.
fn variant(folder: &Path, n: usize) -> std::path::PathBuf {
    let path = folder.join(format!("{n}.so"));
    fs::copy(plugin("hostile_plugin"), &path).expect("a copy");
    let mut file = fs::File::options().append(true).open(&path).expect("a copy");
    file.write_all(&n.to_le_bytes()).expect("a few bytes");
    path
}
