//! Several nodes on one database. Most of it is true of PostgreSQL only; with SQLite there is one node.

mod bridge;
mod events;
mod loss;
mod playlists;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zotify_host::{
    App, StartError,
    auth::bootstrap::PASSWORD_FILE,
    config::Config,
    db::{self, clock, jobs::lease},
    jobs::{self, Enqueue, Job, JobContext, JobError, JobId},
    mirror, register_job,
    secrets::SecretsError,
};

use crate::support::{PATIENCE, TestApp, database, demo_folder};

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
    for _ in 0..10 {
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
            node.anonymous(reqwest::Method::GET, "/api/auth/status").header("authorization", token)
        };
        let me = b.send(status(&b)).await.expect(200);
        assert!(me.to_string().contains("root-of-tests"), "{me}");
        assert_eq!(a.post("/api/auth/logout", &json!({})).await.status, 204);
        a.send(status(&a)).await.expect_problem(401, "session_revoked");
        // The other node looks sessions up once a second.
        let signed_out = Instant::now();
        while b.send(status(&b)).await.status == 200 {
            assert!(signed_out.elapsed() < PATIENCE, "the session goes on");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
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
        execute(&a, "UPDATE accounts SET last_pull_at = 1, next_pull_at = 1").await;
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
