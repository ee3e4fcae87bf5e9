//! The job queue, with jobs of the tests' own.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zotify_host::{
    AppState, db,
    jobs::{self, Enqueue, Job, JobContext, JobError, JobId},
    register_job,
};

use crate::support::{PATIENCE, TestApp};

/// Steps from its checkpoint to its goal, one line in `trace` for each, and waits at `gate` while that file exists.
#[derive(Serialize, Deserialize)]
struct Walk {
    goal: u64,
    trace: PathBuf,
    gate: Option<PathBuf>,
}

impl Job for Walk {
    const NAME: &'static str = "test.walk";

    async fn run(&self, ctx: JobContext) -> Result<(), JobError> {
        append(&self.trace, "start");
        for step in ctx.checkpoint().unwrap_or(0)..self.goal {
            append(&self.trace, &step.to_string());
            let mut tx = ctx.app.db.write().await?;
            ctx.save_checkpoint(&mut tx, &(step + 1)).await?;
            tx.commit().await?;
            ctx.progress(step + 1, Some(self.goal), "walking").await?;
            ctx.log("info", &format!("step {step}")).await?;
            while self.gate.as_ref().is_some_and(|gate| gate.exists()) {
                if ctx.cancelled().is_cancelled() {
                    return Err(JobError::Cancelled);
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        append(&self.trace, "end");
        Ok(())
    }
}
register_job!(Walk);

/// Fails in the way that it is told.
#[derive(Serialize, Deserialize)]
struct Fall {
    how: String,
}

impl Job for Fall {
    const NAME: &'static str = "test.fall";
    const MAX_ATTEMPTS: i64 = 3;

    async fn run(&self, ctx: JobContext) -> Result<(), JobError> {
        let tries: u64 = ctx.checkpoint().unwrap_or(0) + 1;
        let mut tx = ctx.app.db.write().await?;
        ctx.save_checkpoint(&mut tx, &tries).await?;
        tx.commit().await?;
        let (code, detail) = ("slipped".into(), "on a banana".to_owned());
        match self.how.as_str() {
            "forever" => Err(JobError::Fail { code, detail }),
            "twice" if tries > 2 => Ok(()),
            "panic" => panic!("on purpose"),
            "for an hour" => Err(JobError::Retry { after: Some(Duration::from_secs(3600)), code, detail }),
            _ => Err(JobError::Retry { after: Some(Duration::ZERO), code, detail }),
        }
    }
}
register_job!(Fall);

fn append(path: &Path, line: &str) {
    use std::io::Write as _;
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    writeln!(file, "{line}").unwrap();
}

async fn enqueue<J: Job>(app: &AppState, job: &J, options: Enqueue) -> JobId {
    let mut tx = app.db.write().await.unwrap();
    let id = jobs::enqueue(&mut tx, job, options).await.unwrap();
    tx.commit().await.unwrap();
    app.jobs.wake();
    id
}

fn key(key: &str) -> Enqueue {
    Enqueue { dedupe_key: Some(key.into()), ..Enqueue::default() }
}

/// A walk that waits at its gate, and the gate.
fn gated(host: &TestApp, name: &str) -> (Walk, PathBuf) {
    let gate = host.dir.path().join(format!("{name}.gate"));
    std::fs::write(&gate, "").unwrap();
    (Walk { goal: 3, trace: host.dir.path().join(name), gate: Some(gate.clone()) }, gate)
}

async fn until_state(host: &TestApp, id: &str, state: &str) -> Value {
    host.until(&format!("/api/jobs/{id}"), |job| job["state"] == state).await
}

async fn until_lines(path: &Path, lines: usize) -> Vec<String> {
    let started = Instant::now();
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if text.lines().count() >= lines {
            return text.lines().map(str::to_owned).collect();
        }
        assert!(started.elapsed() < PATIENCE, "{} stays {text}", path.display());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_job_runs_once_and_tells_how_it_went() {
    let host = TestApp::start().await.admin().await;
    let trace = host.dir.path().join("trace");
    let job = Walk { goal: 3, trace: trace.clone(), gate: None };
    let options = Enqueue { subject: Some("local:album:1".into()), ..Enqueue::default() };
    let id = enqueue(&host.app, &job, options).await;
    let job = until_state(&host, &id, "succeeded").await;
    assert_eq!(job["progress"], json!({"done": 3, "total": 3, "message": "walking"}));
    assert_eq!((&job["attempts"], &job["subject"], &job["error"]), (&json!(1), &json!("local:album:1"), &Value::Null));
    let lines: Vec<_> = job["log"].as_array().unwrap().iter().map(|l| l["line"].clone()).collect();
    assert_eq!(lines, ["step 0", "step 1", "step 2"]);
    assert_eq!(until_lines(&trace, 5).await, ["start", "0", "1", "2", "end"]);
    let events = db::events::after(host.app.db.read(), 0, 1000).await.unwrap();
    assert!(events.iter().any(|e| e.kind == "job.finished" && e.subject.as_deref() == Some(&id)));
}

#[tokio::test]
async fn nothing_runs_that_was_rolled_back() {
    let host = TestApp::start().await.admin().await;
    let trace = host.dir.path().join("trace");
    let mut tx = host.app.db.write().await.unwrap();
    let job = Walk { goal: 1, trace: trace.clone(), gate: None };
    let id = jobs::enqueue(&mut tx, &job, Enqueue::default()).await.unwrap();
    drop(tx);
    let other = enqueue(&host.app, &Fall { how: "forever".into() }, Enqueue::default()).await;
    until_state(&host, &other, "failed").await;
    host.get(&format!("/api/jobs/{id}")).await.expect_problem(404, "job_not_found");
    assert!(!trace.exists());
}

#[tokio::test]
async fn failures_are_tried_again_as_often_as_allowed() {
    let host = TestApp::start().await.admin().await;
    let fall = async |how: &str| enqueue(&host.app, &Fall { how: how.into() }, Enqueue::default()).await;
    let (forever, twice, always) = (fall("forever").await, fall("twice").await, fall("always").await);
    let job = until_state(&host, &forever, "failed").await;
    assert_eq!((&job["attempts"], &job["error"]), (&json!(1), &json!({"code": "slipped", "detail": "on a banana"})));
    assert_eq!(until_state(&host, &twice, "succeeded").await["attempts"], 3);
    assert_eq!(until_state(&host, &always, "failed").await["attempts"], 3);
}

#[tokio::test]
async fn a_job_that_must_wait_waits() {
    let host = TestApp::start().await.admin().await;
    let how = "for an hour".to_owned();
    let id = enqueue(&host.app, &Fall { how: how.clone() }, key("fall")).await;
    let job = until_state(&host, &id, "waiting").await;
    let (run_at, created_at) = (job["run_at"].as_str().unwrap(), job["created_at"].as_str().unwrap());
    let time = |text| chrono::DateTime::parse_from_rfc3339(text).unwrap();
    assert!(time(run_at) - time(created_at) >= chrono::Duration::hours(1), "{job}");
    // Asking again does not get around the wait.
    assert_eq!(enqueue(&host.app, &Fall { how }, key("fall")).await, id);
    assert_eq!(host.get(&format!("/api/jobs/{id}")).await.json()["run_at"], job["run_at"]);
    let later = enqueue(
        &host.app,
        &Fall { how: "forever".into() },
        Enqueue { delay: Duration::from_secs(3600), ..key("later") },
    )
    .await;
    assert_eq!(host.get(&format!("/api/jobs/{later}")).await.json()["state"], "waiting");
    assert_eq!(enqueue(&host.app, &Fall { how: "forever".into() }, key("later")).await, later);
    until_state(&host, &later, "failed").await;
}

#[tokio::test]
async fn a_panic_is_a_failure_like_others() {
    let host = TestApp::start().await.admin().await;
    let id = enqueue(&host.app, &Fall { how: "panic".into() }, Enqueue::default()).await;
    assert_eq!(until_state(&host, &id, "waiting").await["error"]["code"], "panicked");
    let next = enqueue(&host.app, &Fall { how: "forever".into() }, Enqueue::default()).await;
    until_state(&host, &next, "failed").await;
}

#[tokio::test]
async fn jobs_with_one_key_never_run_at_once() {
    let host = TestApp::start().await.admin().await;
    let (walk, gate) = gated(&host, "walk");
    let first = enqueue(&host.app, &walk, key("a")).await;
    until_lines(&walk.trace, 2).await;
    let second = enqueue(&host.app, &walk, key("a")).await;
    assert_ne!(first, second);
    assert_eq!(enqueue(&host.app, &walk, key("a")).await, second);
    // Another key is not held up; when that one has ended, the second had its chance to start too early.
    let (other, other_gate) = gated(&host, "other");
    std::fs::remove_file(other_gate).unwrap();
    let other = enqueue(&host.app, &other, key("b")).await;
    until_state(&host, &other, "succeeded").await;
    assert_eq!(host.get(&format!("/api/jobs/{second}")).await.json()["state"], "queued");
    std::fs::remove_file(gate).unwrap();
    until_state(&host, &second, "succeeded").await;
    let lines = until_lines(&walk.trace, 10).await;
    assert_eq!(lines, ["start", "0", "1", "2", "end", "start", "0", "1", "2", "end"]);
}

#[tokio::test]
async fn of_several_runners_one_gets_each_job() {
    let host = TestApp::start().await.admin().await;
    for _ in 0..3 {
        host.app.tasks.spawn(jobs::run(host.app.clone(), host.app.shutdown.clone()));
    }
    let trace = |i| host.dir.path().join(format!("trace-{i}"));
    let mut tx = host.app.db.write().await.unwrap();
    for i in 0..40 {
        let job = Walk { goal: 1, trace: trace(i), gate: None };
        jobs::enqueue(&mut tx, &job, key(&i.to_string())).await.unwrap();
    }
    // Seven keys for all, as retries leave them, so that some may not run beside each other.
    sqlx::query("UPDATE jobs SET dedupe_key = CAST(CAST(dedupe_key AS BIGINT) % 7 AS TEXT)")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    host.app.jobs.wake();
    let page = "/api/jobs?kind=test.walk&state=succeeded&limit=200";
    host.until(page, |page| page["data"].as_array().unwrap().len() == 40).await;
    for i in 0..40 {
        assert_eq!(until_lines(&trace(i), 3).await, ["start", "0", "end"]);
    }
}

#[tokio::test]
async fn jobs_can_be_cancelled_before_and_while_they_run() {
    let host = TestApp::start().await.admin().await;
    let (walk, _gate) = gated(&host, "walk");
    let running = enqueue(&host.app, &walk, key("a")).await;
    until_lines(&walk.trace, 2).await;
    let queued = enqueue(&host.app, &walk, key("a")).await;
    let cancel = async |id: &str| host.post(&format!("/api/jobs/{id}/cancel"), &json!({})).await;
    assert_eq!(cancel(&queued).await.expect(200)["state"], "cancelled");
    assert_eq!(cancel(&running).await.expect(200)["cancel_requested"], true);
    until_state(&host, &running, "cancelled").await;
    cancel(&running).await.expect_problem(409, "job_finished");
    cancel("01KAZ6V1RJQ6Y0M3ZC5M8D2N4T").await.expect_problem(404, "job_not_found");
    cancel("%00").await.expect_problem(404, "job_not_found");
    assert_eq!(until_lines(&walk.trace, 2).await, ["start", "0"]);
}

#[tokio::test]
async fn a_stop_puts_jobs_back_and_the_next_start_goes_on() {
    let host = TestApp::start().await.admin().await;
    let (walk, gate) = gated(&host, "walk");
    let id = enqueue(&host.app, &walk, Enqueue::default()).await;
    until_lines(&walk.trace, 2).await;
    let dir = host.stop().await;
    std::fs::remove_file(gate).unwrap();
    let host = TestApp::at(dir, "", "").await.sign_in_again().await;
    let job = until_state(&host, &id, "succeeded").await;
    assert_eq!(job["attempts"], 1, "a stop is no failed attempt");
    assert_eq!(until_lines(&walk.trace, 6).await, ["start", "0", "start", "1", "2", "end"]);
}

#[tokio::test]
async fn a_lost_runners_job_is_taken_over_and_the_lost_one_can_change_nothing() {
    let host = TestApp::start().await.admin().await;
    let (walk, gate) = gated(&host, "walk");
    let id = enqueue(&host.app, &walk, Enqueue::default()).await;
    until_lines(&walk.trace, 2).await;
    // As if this runner had not been heard of for longer than its lease.
    let mut tx = host.app.db.write().await.unwrap();
    sqlx::query("UPDATE jobs SET lease_until = 1").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    host.app.jobs.wake();
    // The new runner goes on from the checkpoint while the old one still waits at the gate.
    until_lines(&walk.trace, 4).await;
    std::fs::remove_file(gate).unwrap();
    let job = until_state(&host, &id, "succeeded").await;
    assert_eq!(job["attempts"], 2);
    // The old one's next step was written before it was refused the checkpoint; it never came to its end.
    let lines = until_lines(&walk.trace, 6).await;
    assert_eq!(lines.iter().filter(|line| *line == "end").count(), 1, "{lines:?}");
}

#[tokio::test]
async fn a_job_that_kills_its_host_is_given_up() {
    let host = TestApp::start().await.admin().await;
    let mut tx = host.app.db.write().await.unwrap();
    let options = Enqueue { delay: Duration::from_secs(3600), ..Enqueue::default() };
    let id = jobs::enqueue(&mut tx, &Fall { how: "twice".into() }, options).await.unwrap();
    // As a runner leaves it that died in the last attempt allowed.
    sqlx::query("UPDATE jobs SET state = 'running', attempts = 3, lease_owner = 'gone', lease_until = 1 WHERE id = $1")
        .bind(id.clone())
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(until_state(&host, &id, "failed").await["error"]["code"], "abandoned");
}

#[tokio::test]
async fn a_job_of_another_version_waits_for_it() {
    let host = TestApp::start().await.admin().await;
    let mut tx = host.app.db.write().await.unwrap();
    let id = jobs::enqueue(&mut tx, &Fall { how: "forever".into() }, Enqueue::default()).await.unwrap();
    sqlx::query("UPDATE jobs SET kind = 'test.unknown'").execute(&mut *tx).await.unwrap();
    let bad = jobs::enqueue(&mut tx, &Fall { how: "forever".into() }, Enqueue::default()).await.unwrap();
    sqlx::query("UPDATE jobs SET payload = '{}' WHERE id = $1").bind(bad.clone()).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(until_state(&host, &id, "waiting").await["error"]["code"], "unknown_job");
    assert_eq!(until_state(&host, &bad, "failed").await["error"]["code"], "invalid_payload");
}

#[tokio::test]
async fn users_see_their_own_jobs_and_admins_the_hosts() {
    let mut host = TestApp::start().await.admin().await;
    let hosts = enqueue(&host.app, &Fall { how: "forever".into() }, Enqueue::default()).await;
    until_state(&host, &hosts, "failed").await;
    host.make_user("anna", false).await;
    let anna = db::users::find_by_name(host.app.db.read(), "anna").await.unwrap().unwrap();
    let options = Enqueue { user: Some(anna.id), ..Enqueue::default() };
    let annas = enqueue(&host.app, &Fall { how: "forever".into() }, options).await;
    let ids = async |host: &TestApp| {
        let page = host.get("/api/jobs?kind=test.fall").await.expect(200);
        page["data"].as_array().unwrap().iter().map(|job| job["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&host).await, [json!(hosts)]);
    host.get(&format!("/api/jobs/{annas}")).await.expect_problem(404, "job_not_found");
    host.post(&format!("/api/jobs/{annas}/cancel"), &json!({})).await.expect_problem(404, "job_not_found");
    host.become_user("ben").await;
    assert!(ids(&host).await.is_empty());
    host.get(&format!("/api/jobs/{hosts}")).await.expect_problem(404, "job_not_found");
}

#[tokio::test]
async fn jobs_are_listed_newest_first_in_pages() {
    let host = TestApp::start().await.admin().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.insert(0, json!(enqueue(&host.app, &Fall { how: "forever".into() }, Enqueue::default()).await));
    }
    host.until("/api/jobs?state=failed&kind=test.fall", |page| page["data"].as_array().unwrap().len() == 5).await;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = host.get(&format!("/api/jobs?kind=test.fall&limit=2{cursor}")).await.expect(200);
        seen.extend(page["data"].as_array().unwrap().iter().map(|job| job["id"].clone()));
        match page["meta"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    // Those of one millisecond stand in the order of their ids.
    made.sort_by_key(|id| std::cmp::Reverse(id.as_str().unwrap()[..10].to_owned()));
    let prefix = |ids: &[Value]| ids.iter().map(|id| id.as_str().unwrap()[..10].to_owned()).collect::<Vec<_>>();
    assert_eq!(prefix(&seen), prefix(&made));
    assert_eq!(seen.iter().collect::<std::collections::HashSet<_>>().len(), 5);
    let oldest = host.get("/api/jobs?kind=test.fall&limit=3&sort=created_at").await.expect(200);
    let next = format!("/api/jobs?kind=test.fall&limit=3&cursor={}", oldest["meta"]["next_cursor"].as_str().unwrap());
    host.get(&next).await.expect_problem(400, "invalid_cursor");
    let rest = host.get(&format!("{next}&sort=created_at")).await.expect(200);
    let pages = oldest["data"].as_array().unwrap().iter().chain(rest["data"].as_array().unwrap());
    assert_eq!(pages.map(|job| job["id"].clone()).rev().collect::<Vec<_>>(), seen, "the other way round");
    host.get("/api/jobs?sort=priority").await.expect_problem(400, "invalid_query");
    assert!(host.get("/api/jobs?state=queued").await.expect(200)["data"].as_array().unwrap().is_empty());
    assert!(host.get("/api/jobs?kind=a%00b").await.expect(200)["data"].as_array().unwrap().is_empty());
    host.get("/api/jobs?state=nope").await.expect_problem(400, "invalid_query");
    host.get("/api/jobs?limit=0").await.expect_problem(400, "invalid_limit");
    host.get("/api/jobs?cursor=nope").await.expect_problem(400, "invalid_cursor");
}

#[tokio::test]
async fn a_log_keeps_its_last_lines() {
    let host = TestApp::start().await.admin().await;
    let id = enqueue(&host.app, &Fall { how: "forever".into() }, Enqueue::default()).await;
    until_state(&host, &id, "failed").await;
    let mut tx = host.app.db.write().await.unwrap();
    for line in 0..250 {
        db::jobs::insert_log(&mut tx, &id, "info", &line.to_string(), 200).await.unwrap();
    }
    tx.commit().await.unwrap();
    let job = host.get(&format!("/api/jobs/{id}")).await.expect(200);
    let lines = job["log"].as_array().unwrap();
    assert_eq!((lines.len(), &lines[0]["line"], &lines[199]["line"]), (200, &json!("50"), &json!("249")));
}
