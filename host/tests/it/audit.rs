//! The audit log: what it shows, and how long.

mod tampering;

use std::{path::Path, process::Command, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};
use zotify_host::{
    audit::{self, Actor, Entry, Outcome},
    auth::Origin,
    db, privacy,
};

use crate::support::{PATIENCE, TestApp};

/// So many entries by somebody from somewhere.
async fn fill(host: &TestApp, entries: usize, action: &str) {
    let origin = Origin { address: "192.0.2.7".parse().unwrap(), user_agent: Some("canary-agent".into()) };
    let mut tx = host.app.db.write().await.unwrap();
    for n in 0..entries {
        let entry = Entry {
            action,
            outcome: Outcome::Ok,
            actor: Actor::stranger(Some("somebody"), &origin),
            user: Some("somebody-else"),
            data: json!({ "n": n }),
            personal: json!({ "name": "Anna" }),
        };
        audit::record(&mut tx, entry).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn execute(host: &TestApp, statements: &[&'static str]) {
    let mut tx = host.app.db.write().await.unwrap();
    for statement in statements {
        sqlx::query(*statement).execute(&mut *tx).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
    }
    tx.commit().await.unwrap();
}

async fn number(host: &TestApp, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(host.app.db.read()).await.unwrap()
}

/// As the host does each minute.
async fn advance(host: &TestApp) -> Result<(), audit::verify::Fault> {
    audit::verify::advance_seal(&host.app.db, &host.app.secrets, &host.app.witness).await.unwrap()
}

async fn report(host: &TestApp) -> Value {
    host.get("/api/admin/audit/verify").await.expect(200)
}

#[tokio::test]
async fn what_retention_removes_leaves_a_log_that_verifies() {
    let host = TestApp::start().await.admin().await;
    fill(&host, 1500, "test.old").await;
    let newest = number(&host, "SELECT MAX(at) FROM audit_log").await;
    while db::now_ms() <= newest {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    fill(&host, 20, "session.created").await;
    let first = number(
        &host,
        "SELECT MIN(seq) FROM audit_log WHERE at > (SELECT MAX(at) FROM audit_log WHERE action = 'test.old')",
    )
    .await;
    let day = 24 * 60 * 60 * 1000;
    // The tests' own session would be forgotten, too.
    execute(&host, &["UPDATE sessions SET expires_at = 9000000000000"]).await;
    advance(&host).await.unwrap();
    // As the hourly job does, on the day when the old ones have been there for 400 days.
    privacy::clear(&host.app, newest + 1 + 400 * day).await.unwrap();
    let whole = report(&host).await;
    assert_eq!((&whole["ok"], &whole["first"]), (&json!(true), &json!(first)), "{whole}");
    assert!(whole["erased"].as_i64() >= Some(20), "who signed in from where is gone after 90 days: {whole}");
    assert_eq!(
        number(
            &host,
            "SELECT COUNT(*) FROM audit_personal p JOIN audit_log l ON l.seq = p.seq WHERE l.action LIKE 'session.%'"
        )
        .await,
        0
    );
    execute(
        &host,
        &[
            "CREATE TABLE kept_anchor AS SELECT * FROM host_state WHERE key = 'audit.anchor'",
            "DELETE FROM host_state WHERE key = 'audit.anchor'",
        ],
    )
    .await;
    assert_eq!(report(&host).await["fault"]["kind"], "removed", "without the anchor, they are missing");
    execute(&host, &["INSERT INTO host_state SELECT * FROM kept_anchor"]).await;
    assert_eq!(report(&host).await["ok"], true);
    execute(&host, &["DELETE FROM audit_log WHERE seq = (SELECT MIN(seq) FROM audit_log)"]).await;
    let cut = report(&host).await;
    assert_eq!((&cut["fault"]["kind"], &cut["fault"]["row"]), (&json!("removed"), &json!(first)), "{cut}");
}

#[tokio::test]
async fn the_log_is_listed_filtered_and_paged_and_that_is_on_record() {
    let mut host = TestApp::start().await.admin().await;
    fill(&host, 120, "test.done").await;
    let origin = Origin { address: "192.0.2.7".parse().unwrap(), user_agent: None };
    let mut tx = host.app.db.write().await.unwrap();
    let actor = Actor::stranger(None, &origin);
    let entry = Entry {
        action: "other.done",
        outcome: Outcome::Refused,
        actor,
        user: None,
        data: json!({}),
        personal: json!({}),
    };
    audit::record(&mut tx, entry).await.unwrap();
    tx.commit().await.unwrap();
    let (mut seen, mut path) = (Vec::new(), "/api/admin/audit?action=test.&limit=50".to_owned());
    loop {
        let page = host.get(&path).await.expect(200);
        seen.extend(page["data"].as_array().unwrap().clone());
        let Some(cursor) = page["meta"]["next_cursor"].as_str() else { break };
        path = format!("/api/admin/audit?action=test.&limit=50&cursor={cursor}");
    }
    assert_eq!(seen.len(), 120);
    assert!(seen.windows(2).all(|pair| pair[0]["seq"].as_i64() > pair[1]["seq"].as_i64()), "newest first");
    let entry = &seen[0];
    assert_eq!(entry["actor"], json!({"id": "somebody", "name": null}));
    assert_eq!(entry["user"]["id"], "somebody-else");
    assert_eq!(
        (&entry["via"], &entry["data"], &entry["outcome"]),
        (&json!("session"), &json!({"n": 119}), &json!("ok"))
    );
    assert_eq!(entry["personal"]["address"], "192.0.2.7");
    assert_eq!(entry["personal"]["details"]["name"], "Anna");
    let count = async |query: &str| {
        host.get(&format!("/api/admin/audit?limit=200&{query}")).await.expect(200)["data"].as_array().unwrap().len()
    };
    assert_eq!(count("actor=somebody").await, 120);
    assert_eq!(count("user=somebody-else&action=test.done").await, 120);
    assert_eq!(count("outcome=refused").await, 1);
    assert_eq!(count("action=test.%25").await, 0, "no pattern");
    assert_eq!(count("until=2020-01-01T00:00:00Z").await, 0);
    assert_eq!(count("since=2020-01-01T00:00:00Z&action=other.").await, 1);
    assert_eq!(count("actor=nobody").await, 0);
    assert_eq!(count("action=audit.read").await, 10, "each page that was read");
    for bad in ["since=yesterday", "outcome=x", "actor=%00", &format!("action={}", "x".repeat(201))] {
        host.get(&format!("/api/admin/audit?{bad}")).await.expect_problem(400, "invalid_query");
    }
    host.get("/api/admin/audit?cursor=x").await.expect_problem(400, "invalid_cursor");
    host.become_user("anna").await;
    for path in ["/api/admin/audit", "/api/admin/audit/export", "/api/admin/audit/verify"] {
        host.get(path).await.expect_problem(403, "admin_required");
    }
}

#[tokio::test]
async fn an_export_can_be_verified_by_others() {
    let host = TestApp::start().await.admin().await;
    fill(&host, 1200, "test.done").await;
    let reply = host.get("/api/admin/audit/export").await;
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, "application/jsonl"));
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!(reply.header("content-disposition"), "attachment; filename=zotify-audit.jsonl");
    let rows: Vec<Value> = reply.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(rows.len() > 1200);
    assert!(rows.iter().enumerate().all(|(n, row)| row["seq"].as_u64() == Some(n as u64 + 1)), "no gaps");
    let (good, out) = documented_check(&host, &reply.text());
    assert!(good && out.contains(rows.last().unwrap()["hash"].as_str().unwrap()), "{out}");
    for (was, is) in [("{\\\"n\\\":700,", "{\\\"n\\\":701,"), ("192.0.2.7", "192.0.2.8")] {
        let tampered = reply.text().replacen(was, is, 1);
        assert_ne!(tampered, reply.text());
        assert!(!documented_check(&host, &tampered).0, "{was} became {is}");
    }
    let csv = host.get("/api/admin/audit/export?format=csv&action=test.").await;
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
    let csv = csv.text();
    assert_eq!(csv.lines().count(), 1201);
    assert!(csv.starts_with("seq,at,action,") && csv.contains("\"{\"\"n\"\":0,"), "{}", &csv[..500]);
    let listed = host.get("/api/admin/audit?action=audit.exported").await.expect(200);
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);
    host.get("/api/admin/audit/export?format=xml").await.expect_problem(400, "invalid_query");
}

/// Runs the program that the documentation shows.
fn documented_check(host: &TestApp, export: &str) -> (bool, String) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations/audit.md");
    let page = std::fs::read_to_string(page).unwrap();
    let program = page.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let file = host.dir.path().join("export.jsonl");
    std::fs::write(&file, export).unwrap();
    let input = std::fs::File::open(file).unwrap();
    let output = Command::new("python3").args(["-c", program]).stdin(input).output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[tokio::test]
async fn the_command_line_verifies_ten_thousand_rows_and_names_the_first_fault() {
    let host = TestApp::start().await.admin().await;
    fill(&host, 10_000, "test.done").await;
    execute(&host, &["DELETE FROM audit_personal WHERE seq BETWEEN 100 AND 199"]).await;
    let dir = host.stop().await;
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_zotify-host"))
            .arg("audit")
            .args(arguments)
            .current_dir(dir.path())
            .output();
        let output = output.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let (code, out, error) = run(&["verify"]);
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    assert!(out.contains("the audit log is whole: 100") && out.contains("of 100 is erased"), "{out}");
    let (code, out, _) = run(&["export", "--action", "test.", "--user", "somebody"]);
    assert_eq!((code, out.lines().count()), (0, 9900), "those with an erased personal part are nobody's");
    let (code, out, _) = run(&["export", "--format", "csv", "--until", "2020-01-01T00:00:00Z"]);
    assert_eq!((code, out.lines().count()), (0, 1));
    assert_eq!(run(&["export", "--since", "yesterday"]).0, 2);
    let host = TestApp::at(dir, "", "").await;
    execute(&host, &["UPDATE audit_log SET data = '{\"n\":1}' WHERE seq = 7000"]).await;
    let dir = host.stop().await;
    let output = Command::new(env!("CARGO_BIN_EXE_zotify-host"))
        .args(["audit", "verify"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("row 7000: changed: "), "{error}");
}

async fn actions(host: &TestApp, action: &str) -> Vec<Value> {
    host.get(&format!("/api/admin/audit?action={action}")).await.expect(200)["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn starts_and_changed_settings_are_on_record() {
    let host = TestApp::with("[auth]\nregistration = \"open\"\npassword_min_length = 8\n").await.admin().await;
    assert_eq!(actions(&host, "config.").await.len(), 0);
    let dir = host.stop().await;
    let host = TestApp::at(dir, "", "[auth]\nregistration = \"closed\"\npassword_min_length = 8\n")
        .await
        .sign_in_again()
        .await;
    let changed = actions(&host, "config.changed").await;
    assert_eq!(changed.len(), 1);
    // Each start of a test has an address of its own.
    assert_eq!(changed[0]["data"], json!({"keys": ["auth.registration", "server.listen"], "count": 2}));
    assert_eq!(changed[0]["via"], "host");
    assert_eq!((actions(&host, "host.started").await.len(), actions(&host, "host.stopped").await.len()), (2, 1));
}

#[tokio::test]
async fn switched_instances_are_on_record() {
    let host = TestApp::with("[providers.local]\nplugin = \"local\"\n").await.admin().await;
    tokio::time::timeout(PATIENCE, host.app.providers.ready()).await.unwrap();
    for verb in ["disable", "disable", "enable"] {
        let output = Command::new(env!("CARGO_BIN_EXE_zotify-host"))
            .args(["plugin", verb, "local"])
            .current_dir(host.dir.path())
            .output();
        assert!(output.unwrap().status.success());
    }
    let entries = actions(&host, "instance.").await;
    let found: Vec<_> =
        entries.iter().map(|entry| (&entry["action"], &entry["via"], &entry["data"]["instance"])).collect();
    let (on, off, via, id) = (json!("instance.enabled"), json!("instance.disabled"), json!("command"), json!("local"));
    assert_eq!(found, [(&on, &via, &id), (&off, &via, &id)]);
    assert_eq!(actions(&host, "plugin.trusted").await[0]["data"]["plugin"], "local");
}

#[tokio::test]
async fn a_job_of_the_host_that_an_admin_cancels_is_on_record() {
    let host = TestApp::start().await.admin().await;
    let mut tx = host.app.db.write().await.unwrap();
    let job = db::jobs::NewJob {
        id: ulid::Ulid::generate().to_string(),
        kind: "test.later".into(),
        user_id: None,
        subject: None,
        payload: "{}".into(),
        dedupe_key: None,
        priority: 0,
        created_at: db::now_ms(),
        run_at: db::now_ms() + 3_600_000,
        max_attempts: 1,
        instance: None,
        group_id: None,
    };
    db::jobs::insert(&mut tx, &job).await.unwrap();
    tx.commit().await.unwrap();
    host.send(host.request(Method::POST, &format!("/api/jobs/{}/cancel", job.id))).await.expect(200);
    let entries = actions(&host, "job.cancelled").await;
    assert_eq!(entries[0]["data"], json!({"job": job.id, "kind": "test.later"}));
    assert_eq!(entries[0]["actor"]["name"], "root-of-tests");
}
