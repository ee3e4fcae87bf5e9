//! Several nodes on one database. Most of it is true of PostgreSQL only; with SQLite there is one node.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::TempDir;
use zotify_host::{
    App, StartError,
    auth::bootstrap::PASSWORD_FILE,
    config::Config,
    db::{self, clock, jobs::lease},
    events::{self, Event},
    jobs::{self, Enqueue, Job, JobContext, JobError, JobId, clear},
    mirror, register_job,
    secrets::SecretsError,
};

use crate::{
    crash::{Host, free_port, make_music, run},
    support::{PATIENCE, TestApp, database, demo_folder, offer, plugin},
};

/// Writes `<name> <node>` into `trace`, and then waits for `gate` to vanish.
#[derive(Serialize, Deserialize)]
struct Sign {
    name: String,
    trace: PathBuf,
    gate: Option<PathBuf>,
}

impl Job for Sign {
    const NAME: &'static str = "test.sign";

    async fn run(&self, ctx: JobContext) -> Result<(), JobError> {
        use std::io::Write as _;
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&self.trace).unwrap();
        file.write_all(format!("{} {}\n", self.name, ctx.app.data_dir().display()).as_bytes()).unwrap();
        while self.gate.as_ref().is_some_and(|gate| gate.exists()) {
            if ctx.cancelled().is_cancelled() {
                return Err(JobError::Cancelled);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        ctx.log("info", "signed").await?;
        Ok(())
    }
}
register_job!(Sign);

/// Whether the tests run on PostgreSQL.
fn on_postgres() -> bool {
    std::env::var_os("ZOTIFY_TEST_DATABASE_URL").is_some()
}

async fn enqueue<J: Job>(app: &App, job: &J, options: Enqueue) -> JobId {
    let mut tx = app.db.write().await.unwrap();
    let id = jobs::enqueue(&mut tx, job, options).await.unwrap();
    tx.commit().await.unwrap();
    app.jobs.wake();
    id
}

/// The lines of a file once there are so many.
async fn lines(path: &Path, count: usize) -> Vec<String> {
    let started = Instant::now();
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if text.lines().count() >= count {
            return text.lines().map(str::to_owned).collect();
        }
        assert!(started.elapsed() < PATIENCE, "{} stays {text}", path.display());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn until_state(host: &TestApp, id: &str, state: &str) -> Value {
    host.until(&format!("/api/jobs/{id}"), |job| job["state"] == state).await
}

async fn execute(host: &TestApp, sql: &str) {
    let mut tx = host.app.db.write().await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_one_runs_each_job() {
    if !on_postgres() {
        return;
    }
    let a = TestApp::start().await.admin().await;
    let b = a.beside("").await;
    let trace = a.dir.path().join("trace");
    let put = async |node: &TestApp, label: &str| {
        for n in 0..60 {
            let job = Sign { name: format!("{label}{n}"), trace: trace.clone(), gate: None };
            // Some may not run beside each other, and who comes second of two that wait is left out.
            let dedupe_key = (n % 3 == 0).then(|| format!("key {}", n % 9));
            enqueue(&node.app, &job, Enqueue { dedupe_key, ..Enqueue::default() }).await;
        }
    };
    tokio::join!(put(&a, "a"), put(&b, "b"));
    a.until("/api/jobs?kind=test.sign&limit=200", |page| {
        page["data"].as_array().unwrap().iter().all(|job| job["state"] == "succeeded")
    })
    .await;
    let page = b.get("/api/jobs?kind=test.sign&limit=200").await.expect(200);
    let done = page["data"].as_array().unwrap();
    assert!(done.iter().all(|job| job["attempts"] == 1), "{page:#}");
    let lines = lines(&trace, done.len()).await;
    let names: BTreeSet<_> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!((lines.len(), names.len()), (done.len(), done.len()), "each ran once");
    assert!(names.len() >= 80, "all without a key are among them");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_cancelled_from_the_other_node() {
    if !on_postgres() {
        return;
    }
    let a = TestApp::start().await.admin().await;
    let b = a.beside("").await;
    let (trace, gate) = (a.dir.path().join("trace"), a.dir.path().join("gate"));
    std::fs::write(&gate, "").unwrap();
    let id =
        enqueue(&a.app, &Sign { name: "it".into(), trace: trace.clone(), gate: Some(gate) }, Enqueue::default()).await;
    let on_a = lines(&trace, 1).await[0].contains(&a.app.data_dir().display().to_string());
    let other = if on_a { &b } else { &a };
    assert_eq!(other.post(&format!("/api/jobs/{id}/cancel"), &json!({})).await.expect(200)["cancel_requested"], true);
    until_state(&a, &id, "cancelled").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_the_lease_can_write_nothing() {
    let host = TestApp::start().await.admin().await;
    let (trace, gate) = (host.dir.path().join("trace"), host.dir.path().join("gate"));
    std::fs::write(&gate, "").unwrap();
    let job = Sign { name: "it".into(), trace: trace.clone(), gate: Some(gate.clone()) };
    let id = enqueue(&host.app, &job, Enqueue::default()).await;
    lines(&trace, 1).await;
    let mut tx = host.app.db.write().await.unwrap();
    assert!(!lease::save_checkpoint(&mut tx, &id, "lost", "1").await.unwrap());
    assert!(!lease::hold(&mut tx, &id, "lost").await.unwrap());
    assert!(!lease::finish(&mut tx, &id, "lost", 1, "failed", None).await.unwrap());
    assert!(!lease::retry(&mut tx, &id, "lost", 1, "{}").await.unwrap());
    assert_eq!(lease::renew(&mut tx, &id, "lost", 1).await.unwrap(), None);
    lease::put_back(&mut tx, &id, "lost").await.unwrap();
    lease::save_progress(&mut tx, &id, "lost", 7, None, "no").await.unwrap();
    tx.commit().await.unwrap();
    let job = host.get(&format!("/api/jobs/{id}")).await.expect(200);
    assert_eq!((&job["state"], &job["progress"]["done"], &job["error"]), (&json!("running"), &json!(0), &Value::Null));
    // The second runner's line is the only one: the first one's comes after its lease.
    execute(&host, "UPDATE jobs SET lease_until = 1").await;
    host.app.jobs.wake();
    lines(&trace, 2).await;
    std::fs::remove_file(gate).unwrap();
    let job = until_state(&host, &id, "succeeded").await;
    assert_eq!((job["attempts"].clone(), job["log"].as_array().unwrap().len()), (json!(2), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_start_together_share_everything() {
    if !on_postgres() {
        return;
    }
    for _ in 0..20 {
        let (left, right) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let section = database(left.path()).await;
        let (a, b) = tokio::join!(TestApp::on(left, &section, "", ""), TestApp::on(right, &section, "", ""));
        let admins = db::users::count(a.app.db.read()).await.unwrap();
        let keys = db::signing_keys::list(a.app.db.read(), "HS256").await.unwrap().len();
        assert_eq!((admins, keys), (1, 1));
        let told = [&a, &b].map(|node| node.app.data_dir().join(PASSWORD_FILE).exists());
        assert_ne!(told[0], told[1], "one of them made the admin and says so");
        let a = a.admin().await;
        let status = |node: &TestApp| {
            let token = a.request(reqwest::Method::GET, "/").build().unwrap().headers()["authorization"].clone();
            node.request(reqwest::Method::GET, "/api/auth/status").header("authorization", token)
        };
        let me = b.send(status(&b)).await.expect(200);
        assert!(me.to_string().contains("root-of-tests"), "{me}");
        a.post("/api/auth/logout", &json!({})).await;
        b.send(status(&b)).await.expect_problem(401, "session_revoked");
        tokio::join!(a.stop(), b.stop());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_is_due_is_queued_once() {
    let a = TestApp::with(&music()).await.admin().await;
    a.until("/api/jobs?kind=library.pull&state=succeeded", |page| !page["data"].as_array().unwrap().is_empty()).await;
    let b = if on_postgres() { Some(a.beside(&music()).await) } else { None };
    let b = b.as_ref().unwrap_or(&a);
    let idle = |page: &Value| page["data"].as_array().unwrap().iter().all(|job| job["state"] == "succeeded");
    b.app.providers.ready().await;
    b.until("/api/providers/local", |local| local["state"] == "started").await;
    let account = db::accounts::find_shared(a.app.db.read(), "local").await.unwrap().unwrap();
    let count =
        async || a.get("/api/jobs?kind=library.pull&limit=200").await.expect(200)["data"].as_array().unwrap().len();
    for _ in 0..5 {
        a.until("/api/jobs?kind=library.pull", idle).await;
        let before = count().await;
        execute(&a, "UPDATE accounts SET last_pull_at = 1").await;
        for _ in 0..5 {
            let (left, right) = tokio::join!(
                mirror::pull_if_due(&a.app, &account, false),
                mirror::pull_if_due(&b.app, &account, false)
            );
            left.and(right).unwrap();
        }
        a.until("/api/jobs?kind=library.pull", idle).await;
        mirror::pull_if_due(&b.app, &account, false).await.unwrap();
        assert!(count().await <= before + 2, "the due one, and at most that of the second node's start");
    }
}

fn music() -> String {
    format!("[providers.local]\nplugin = \"local\"\nsettings = {{ folders = [{:?}] }}", demo_folder())
}

/// A reader by cursor sees each event once and in order, however long transactions take and whether or not they end well.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_event_is_skipped_by_a_reader() {
    const WRITERS: u64 = 8;
    const EACH: u64 = 40;
    let host = TestApp::start().await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let db = host.app.db.clone();
            tokio::spawn(async move {
                let mut kept = BTreeSet::new();
                for n in 0..EACH {
                    // Spread by arithmetic, so that a failure can be seen again.
                    let dice = (writer * 7919 + n * 104_729) % 13;
                    let mut tx = db.write().await.unwrap();
                    let mark = format!("{writer}-{n}");
                    let event = Event { kind: "test.hammer", subject: Some(&mark), user: None, data: json!({}) };
                    let id = events::emit(&mut tx, event).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(dice % 5)).await;
                    if dice < 4 {
                        drop(tx);
                    } else {
                        tx.commit().await.unwrap();
                        kept.insert((id, mark));
                    }
                }
                kept
            })
        })
        .collect();
    let read = async || {
        let (mut seen, mut cursor, started) = (Vec::new(), 0, Instant::now());
        loop {
            let over = writers.iter().all(tokio::task::JoinHandle::is_finished);
            let page = db::events::after(host.app.db.read(), cursor, 7).await.unwrap();
            if over && page.is_empty() {
                return seen;
            }
            for event in page {
                assert!(event.id > cursor, "in order");
                cursor = event.id;
                if event.kind == "test.hammer" {
                    seen.push((event.id, event.subject.unwrap()));
                }
            }
            assert!(started.elapsed() < PATIENCE);
        }
    };
    let seen = read().await;
    let mut kept = BTreeSet::new();
    for writer in writers {
        kept.extend(writer.await.unwrap());
    }
    assert!(kept.len() > 100);
    assert_eq!(seen, kept.into_iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_node_with_another_master_key_does_not_start() {
    if !on_postgres() {
        return;
    }
    let a = TestApp::start().await;
    let section = database(a.dir.path()).await.replace("MDEyMzQ1", "NDEyMzQ1");
    let dir = tempfile::tempdir().unwrap();
    let text = format!("[server]\nmode = \"dev\"\ndata_dir = \"data\"\n{section}");
    let error = App::start(Config::parse(&text, dir.path()).unwrap()).await.err().unwrap();
    assert!(matches!(error, StartError::Secrets(SecretsError::WrongKey)), "{error}");
    assert!(error.to_string().contains("master key is not the one"), "{error}");
}

#[tokio::test]
async fn readiness_tells_nodes_that_differ() {
    if !on_postgres() {
        return;
    }
    let a = TestApp::start().await;
    let same = a.beside("").await;
    let nodes = |health: &Value| health["checks"]["nodes"]["detail"].clone();
    let running = async |count: usize| {
        let started = Instant::now();
        while db::state::list(a.app.db.read(), "node.", 0).await.unwrap().len() != count {
            assert!(started.elapsed() < PATIENCE, "there are not {count} nodes");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    running(2).await;
    for node in [&a, &same] {
        assert_eq!(nodes(&node.get("/health/ready").await.expect(200)), Value::Null);
    }
    let other = a.beside("[auth]\nregistration = \"open\"").await;
    running(3).await;
    for node in [&a, &same, &other] {
        let health = node.get("/health/ready").await.expect(200);
        assert_eq!(
            (&health["status"], nodes(&health)),
            (&json!("degraded"), json!("another node runs with a different configuration"))
        );
    }
    other.stop().await;
    running(2).await;
    assert_eq!(a.get("/health/ready").await.expect(200)["status"], "ok");
    // One that was killed is forgotten after a while.
    execute(&a, "UPDATE host_state SET value = '{}', updated_at = updated_at - 60000 WHERE key LIKE 'node.%'").await;
    assert_eq!(a.get("/health/ready").await.expect(200)["status"], "ok");
}

/// Nodes go by the database's clock: theirs may be minutes off, in either direction.
#[tokio::test(flavor = "multi_thread")]
async fn clocks_of_nodes_may_be_wrong() {
    let Ok(server) = std::env::var("ZOTIFY_TEST_DATABASE_URL") else { return };
    for minutes in [-10, 10] {
        let dir = tempfile::tempdir().unwrap();
        let section = database(dir.path()).await;
        let schema = std::fs::read_to_string(dir.path().join("schema")).unwrap();
        let db = db::Db::connect(&server).await.unwrap();
        let sql = format!(
            "CREATE FUNCTION {schema}.clock_timestamp() RETURNS timestamptz LANGUAGE sql
             AS $$ SELECT pg_catalog.clock_timestamp() + interval '{minutes} minutes' $$"
        );
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(db.read()).await.unwrap();
        db.close().await;
        // Named before the system's own, the schema's function is the one that is found.
        let section =
            section.replace(&format!("search_path%3D{schema}"), &format!("search_path%3D{schema},pg_catalog"));
        let a = TestApp::on(dir, &section, "", "").await.admin().await;
        let skew = clock::now(&mut a.app.db.read().acquire().await.unwrap()).await.unwrap() - db::now_ms();
        assert!((skew - minutes * 60_000).abs() < 30_000, "the clock is {skew} ms off");
        let b = TestApp::on(tempfile::tempdir().unwrap(), &section, "", "").await;
        let (trace, gate) = (a.dir.path().join("trace"), a.dir.path().join("gate"));
        std::fs::write(&gate, "").unwrap();
        let sign = |name: &str, gate| Sign { name: name.into(), trace: trace.clone(), gate };
        let long = enqueue(&a.app, &sign("long", Some(gate.clone())), Enqueue::default()).await;
        lines(&trace, 1).await;
        let delay = Duration::from_millis(500);
        let short = enqueue(&b.app, &sign("short", None), Enqueue { delay, ..Enqueue::default() }).await;
        until_state(&a, &short, "succeeded").await;
        std::fs::remove_file(gate).unwrap();
        let job = until_state(&a, &long, "succeeded").await;
        assert_eq!(job["attempts"], 1, "nobody took it for abandoned");
        tokio::join!(a.stop(), b.stop());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_node_ran_is_finished_by_the_other() {
    const FILES: usize = 4_000;
    if !on_postgres() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    make_music(&dir.path().join("music"), FILES);
    let section = database(dir.path()).await;
    let node = |name: &str| {
        let (folder, port) = (dir.path().join(name), free_port());
        offer(&plugin("zotify_plugin_local"), &folder.join("plugins"));
        let config = format!(
            "[server]\nmode = \"dev\"\nlisten = \"127.0.0.1:{port}\"\n{section}\n[providers.local]\nplugin = \"local\"\n\
             settings = {{ folders = [{:?}] }}\n",
            dir.path().join("music")
        );
        std::fs::write(folder.join("zotify.toml"), config).unwrap();
        (folder, port)
    };
    let ((a, a_port), (b, b_port)) = (node("a"), node("b"));
    run(&a, &["user", "create", "tester", "--admin", "--password-stdin"], "a long enough password\n");
    let mut first = Host::start(&a, a_port).await;
    let at_kill = first.pull(|job| job["progress"]["done"].as_u64() > Some(0) || job["state"] == "succeeded").await;
    first.kill();
    assert_eq!(at_kill["state"], "running", "the scan ended before its node could be killed");
    let second = Host::start(&b, b_port).await;
    let job = second.pull(|job| job["state"] == "succeeded").await;
    assert_eq!((&job["id"], &job["attempts"]), (&at_kill["id"], &json!(2)), "the same job goes on");
    assert_eq!(second.get("/api/library/stats").await["totals"]["tracks"], FILES);
}

#[tokio::test]
async fn old_events_and_jobs_are_cleared_in_batches() {
    let host = TestApp::with("[events]\nretention_days = 2").await.admin().await;
    let now = db::now_ms();
    let mut tx = host.app.db.write().await.unwrap();
    for _ in 0..2500 {
        let event = Event { kind: "test.old", subject: None, user: None, data: json!({}) };
        events::emit(&mut tx, event).await.unwrap();
    }
    let old = "UPDATE events SET created_at = created_at - 3 * 86400000 WHERE type = 'test.old'";
    sqlx::query(old).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = host.app.db.write().await.unwrap();
    let last =
        events::emit(&mut tx, Event { kind: "test.new", subject: None, user: None, data: json!({}) }).await.unwrap();
    tx.commit().await.unwrap();
    clear::clear(&host.app, now).await.unwrap();
    let left = db::events::after(host.app.db.read(), 0, 10_000).await.unwrap();
    assert!(left.iter().all(|event| event.kind != "test.old"), "{}", left.len());
    assert!(left.iter().any(|event| event.id == last));
    // Ids go on even where nothing is left: a reader's cursor stays good.
    clear::clear(&host.app, now + 400 * 86_400_000).await.unwrap();
    assert!(db::events::after(host.app.db.read(), 0, 10).await.unwrap().is_empty());
    let mut tx = host.app.db.write().await.unwrap();
    let next =
        events::emit(&mut tx, Event { kind: "test.new", subject: None, user: None, data: json!({}) }).await.unwrap();
    assert!(next > last);
}

/// A way to the database that can be blocked.
struct Bridge {
    port: u16,
    /// 0: open, 1: nothing passes, 2: everything is cut.
    state: tokio::sync::watch::Sender<u8>,
}

impl Bridge {
    async fn to(target: String) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = tokio::sync::watch::Sender::new(0);
        let states = state.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (target, mut state) = (target.clone(), states.subscribe());
                if *state.borrow() == 2 {
                    continue;
                }
                tokio::spawn(async move {
                    let server = tokio::net::TcpStream::connect(target).await.unwrap();
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    let (up, down) = (state.clone(), state.clone());
                    tokio::select! {
                        () = pass(from_client, to_server, up) => {}
                        () = pass(from_server, to_client, down) => {}
                        _ = state.wait_for(|state| *state == 2) => {}
                    }
                });
            }
        });
        Self { port, state }
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut state: tokio::sync::watch::Receiver<u8>,
) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut buffer = vec![0; 16 << 10];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        if state.wait_for(|state| *state != 1).await.is_err() || to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_outlives_the_loss_of_its_database() {
    let Ok(server) = std::env::var("ZOTIFY_TEST_DATABASE_URL") else { return };
    let target = url::Url::parse(&server).unwrap();
    let bridge = Bridge::to(format!("{}:{}", target.host_str().unwrap(), target.port().unwrap())).await;
    let dir = tempfile::tempdir().unwrap();
    let section = database(dir.path()).await;
    let bridged = section.replace(&format!(":{}/", target.port().unwrap()), &format!(":{}/", bridge.port));
    let host = TestApp::on(dir, &bridged, "", "").await.admin().await;
    let (trace, gate) = (host.dir.path().join("trace"), host.dir.path().join("gate"));
    std::fs::write(&gate, "").unwrap();
    let job = Sign { name: "it".into(), trace: trace.clone(), gate: Some(gate.clone()) };
    let id = enqueue(&host.app, &job, Enqueue::default()).await;
    lines(&trace, 1).await;

    // Ten seconds without: every answer is typed, and says when to come again.
    bridge.state.send_replace(2);
    let lost = Instant::now();
    let mut codes = BTreeMap::<String, u32>::new();
    while lost.elapsed() < Duration::from_secs(10) {
        let reply = host.get("/api/jobs").await;
        let problem = reply.expect(503);
        assert!(reply.header("retry-after").parse::<u32>().is_ok_and(|s| s > 0), "{problem}");
        *codes.entry(problem["code"].as_str().unwrap().to_owned()).or_default() += 1;
        assert_eq!(host.get("/health/ready").await.expect(503)["checks"]["database"]["status"], "failed");
        assert_eq!(host.get("/health/live").await.expect(200)["status"], "ok");
    }
    assert!(codes.keys().all(|code| code.starts_with("database_")), "{codes:?}");
    bridge.state.send_replace(0);
    let back = Instant::now();
    while host.get("/api/jobs").await.status != 200 {
        assert!(back.elapsed() < PATIENCE, "it does not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    std::fs::remove_file(&gate).unwrap();
    let job = until_state(&host, &id, "succeeded").await;
    assert_eq!((&job["attempts"], lines(&trace, 1).await.len()), (&json!(1), 1), "the job did not notice");

    // A database that stands still is worse than none.
    bridge.state.send_replace(1);
    let reply = host.get("/api/jobs").await;
    reply.expect_problem(503, "database_busy");
    bridge.state.send_replace(0);
    assert_eq!(host.get("/api/jobs").await.status, 200);

    // Connections that are cut in the middle, again and again.
    let name = std::fs::read_to_string(host.dir.path().join("schema")).unwrap();
    let direct = db::Db::connect(&server).await.unwrap();
    let cut = format!(
        "SELECT CAST(COUNT(pg_terminate_backend(pid)) AS BIGINT) FROM pg_stat_activity WHERE application_name = '{name}'"
    );
    for _ in 0..20 {
        let asking = futures::future::join_all((0..8).map(|_| host.get("/api/library/stats")));
        let cutting = sqlx::query(sqlx::AssertSqlSafe(cut.clone())).execute(direct.read());
        let (replies, cutting) = tokio::join!(asking, cutting);
        cutting.unwrap();
        for reply in replies {
            if reply.status != 200 {
                assert_eq!(reply.expect(503)["code"], "database_unavailable");
            }
        }
    }
    direct.close().await;
}

/// The data folders are different ones; the database is not, although one host knows it by another name.
#[test]
fn a_sqlite_file_serves_one_host_at_a_time() {
    use std::process::{Command, Stdio};
    let dir = TempDir::new().unwrap();
    std::fs::create_dir(dir.path().join("shared")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("shared"), dir.path().join("link")).unwrap();
    let port = free_port();
    let serve = |data: &str, folder: &str, port: u16| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zotify-host"));
        command.arg("serve").current_dir(dir.path()).env_clear();
        command.env("ZOTIFY__SERVER__DATA_DIR", data).env("ZOTIFY__SERVER__LISTEN", format!("127.0.0.1:{port}"));
        command.env("ZOTIFY__DATABASE__URL", format!("sqlite://{folder}/zotify.db"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let mut first = serve("one", "shared", port);
    let started = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() || !dir.path().join("shared/zotify.db").exists() {
        assert!(started.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
    }
    let second = serve("two", "link", 0).wait_with_output().unwrap();
    first.kill().unwrap();
    first.wait().unwrap();
    let text = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{text}");
    assert!(text.contains("another host runs with the database") && text.contains("database.url"), "{text}");
}
