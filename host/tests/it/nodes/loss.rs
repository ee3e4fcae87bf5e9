//! Nodes that lose their database, and nodes that are lost.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::json;
use tempfile::TempDir;
use zotify_host::{db, jobs::Enqueue};

use super::{
    Sign,
    bridge::{Bridge, Way},
    enqueue, lines, until_state,
};
use crate::{
    crash::{Host, free_port, make_music, run},
    support::{PATIENCE, TestApp, database, offer, plugin},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_node_ran_is_finished_by_the_other() {
    const FILES: usize = 4_000;
    let Ok(server) = std::env::var("ZOTIFY_TEST_DATABASE_URL") else { return };
    let dir = tempfile::tempdir().unwrap();
    make_music(&dir.path().join("music"), FILES);
    let section = database(dir.path()).await;
    let node = |name: &str| {
        let (folder, port) = (dir.path().join(name), free_port());
        offer(&plugin("zotify_plugin_local"), &folder.join("plugins"));
        let config = format!(
            "[server]\nmode = \"dev\"\nlisten = \"127.0.0.1:{port}\"\n{section}\n\
             [quotas]\nrequests_per_minute = 1000000\n[limits]\nrequests_per_minute_per_address = 0\n\
             [providers.local]\nplugin = \"local\"\nsettings = {{ folders = [{:?}] }}\n",
            dir.path().join("music")
        );
        std::fs::write(folder.join("zotify.toml"), config).unwrap();
        (folder, port)
    };
    let ((a, a_port), (b, b_port)) = (node("a"), node("b"));
    run(&a, &["user", "create", "tester", "--admin", "--password-stdin"], "a long enough password\n");
    let mut first = Host::start(&a, a_port).await;
    first.pull(|job| job["progress"]["done"].as_u64() > Some(0) || job["state"] == "succeeded").await;
    let runner = pull_runner(&server, dir.path()).await;
    let second = Host::start(&b, b_port).await;
    second.until("/api/providers/local", |local| local["state"] == "started").await;
    let at_kill = second.pull(|_| true).await;
    assert_eq!(at_kill["state"], "running", "the scan ended before its node could be killed");
    assert_eq!(pull_runner(&server, dir.path()).await, runner, "it is still the first node's");
    first.kill();
    let job = second.pull(|job| job["state"] == "succeeded").await;
    assert_eq!((&job["id"], &job["attempts"]), (&at_kill["id"], &json!(2)), "the same job goes on");
    assert_eq!(second.get("/api/library/stats").await["totals"]["tracks"], FILES);
}

/// Who holds the lease of the pull: a name that each claim makes anew.
async fn pull_runner(server: &str, folder: &Path) -> String {
    let schema = std::fs::read_to_string(folder.join("schema")).unwrap();
    let db = db::Db::connect(server).await.unwrap();
    let sql = format!("SELECT lease_owner FROM {schema}.jobs WHERE kind = 'library.pull' AND state = 'running'");
    let owner = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(db.read()).await.unwrap();
    db.close().await;
    owner
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
    bridge.way.send_replace(Way::Cut);
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
    bridge.way.send_replace(Way::Open);
    let back = Instant::now();
    while host.get("/api/jobs").await.status != 200 {
        assert!(back.elapsed() < PATIENCE, "it does not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    std::fs::remove_file(&gate).unwrap();
    let job = until_state(&host, &id, "succeeded").await;
    assert_eq!((&job["attempts"], lines(&trace, 1).await.len()), (&json!(1), 1), "the job did not notice");

    // A database that stands still is worse than none.
    bridge.way.send_replace(Way::Blocked);
    let reply = host.get("/api/jobs").await;
    reply.expect_problem(503, "database_busy");
    bridge.way.send_replace(Way::Open);
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
