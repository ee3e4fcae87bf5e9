//! The audit log: what it shows, and that every change of it is found.

use std::{path::Path, process::Command, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};
use zotify_host::{
    audit::{self, Actor, Entry, Outcome, chain},
    auth::Origin,
    db::{self, audit::AuditRow},
    privacy,
};

use crate::support::TestApp;

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

async fn report(host: &TestApp) -> Value {
    host.get("/api/admin/audit/verify").await.expect(200)
}

/// A host with some entries, of which there is a copy.
async fn host() -> TestApp {
    let host = TestApp::start().await.admin().await;
    fill(&host, 20, "test.done").await;
    execute(
        &host,
        &[
            "CREATE TABLE kept_log AS SELECT * FROM audit_log",
            "CREATE TABLE kept_personal AS SELECT * FROM audit_personal",
            "CREATE TABLE kept_state AS SELECT * FROM host_state WHERE key LIKE 'audit.%'",
        ],
    )
    .await;
    host
}

/// Puts the log back as it was.
async fn restore(host: &TestApp) {
    execute(
        host,
        &[
            "DELETE FROM audit_log",
            "DELETE FROM host_state WHERE key LIKE 'audit.%'",
            "INSERT INTO audit_log SELECT * FROM kept_log",
            "INSERT INTO audit_personal SELECT * FROM kept_personal",
            "INSERT INTO host_state SELECT * FROM kept_state",
        ],
    )
    .await;
}

async fn expect_fault(host: &TestApp, what: &str, kind: &str, row: Option<i64>) {
    let report = report(host).await;
    assert_eq!((&report["ok"], &report["fault"]["kind"]), (&json!(false), &json!(kind)), "{what}: {report}");
    if let Some(row) = row {
        assert_eq!(report["fault"]["row"], row, "{what}: {report}");
    }
    restore(host).await;
}

#[tokio::test]
async fn every_change_of_a_row_is_found() {
    let host = host().await;
    let whole = report(&host).await;
    assert_eq!((&whole["ok"], &whole["fault"]), (&json!(true), &Value::Null), "{whole}");
    assert!(whole["entries"].as_i64() > Some(20) && whole["sealed_to"].as_i64() > Some(0), "{whole}");
    restore(&host).await;
    for change in [
        "UPDATE audit_log SET at = at + 1 WHERE seq = 9",
        "UPDATE audit_log SET action = 'test.other' WHERE seq = 9",
        "UPDATE audit_log SET outcome = 'refused' WHERE seq = 9",
        "UPDATE audit_log SET data = '{}' WHERE seq = 9",
        "UPDATE audit_log SET personal_hash = 'x' WHERE seq = 9",
        "UPDATE audit_log SET previous_hash = 'x' WHERE seq = 9",
        "UPDATE audit_log SET hash = 'x' WHERE seq = 9",
    ] {
        execute(&host, &[change]).await;
        expect_fault(&host, change, "changed", Some(9)).await;
    }
    for change in [
        "UPDATE audit_personal SET actor_id = 'x' WHERE seq = 9",
        "UPDATE audit_personal SET user_id = NULL WHERE seq = 9",
        "UPDATE audit_personal SET salt = 'x' WHERE seq = 9",
        "UPDATE audit_personal SET data = '{}' WHERE seq = 9",
    ] {
        execute(&host, &[change]).await;
        expect_fault(&host, change, "personal_changed", Some(9)).await;
    }
    execute(&host, &["DELETE FROM audit_personal WHERE seq BETWEEN 7 AND 9"]).await;
    let erased = report(&host).await;
    assert_eq!((&erased["ok"], &erased["erased"]), (&json!(true), &json!(3)), "an erased personal part is fine");
}

#[tokio::test]
async fn removed_and_reordered_rows_are_found() {
    let host = host().await;
    let last = number(&host, "SELECT MAX(seq) FROM audit_log").await;
    for (what, statements, kind, row) in [
        ("one in the middle", vec!["DELETE FROM audit_log WHERE seq = 9"], "removed", 9),
        ("the first", vec!["DELETE FROM audit_log WHERE seq = 1"], "removed", 1),
        ("the first three", vec!["DELETE FROM audit_log WHERE seq < 4"], "removed", 1),
        ("the last", vec!["DELETE FROM audit_log WHERE seq = (SELECT MAX(seq) FROM audit_log)"], "tail_removed", last),
        (
            "another place",
            vec!["DELETE FROM audit_personal WHERE seq = 9", "UPDATE audit_log SET seq = 1009 WHERE seq = 9"],
            "removed",
            9,
        ),
        (
            "one that is not the host's",
            vec![
                "INSERT INTO audit_log SELECT seq - 1000, at, action, outcome, data,
             personal_hash, previous_hash, hash FROM audit_log WHERE seq = 9",
            ],
            "inserted",
            -991,
        ),
        (
            "swapped",
            vec![
                "DELETE FROM audit_log WHERE seq IN (9, 10)",
                "INSERT INTO audit_log SELECT 19 - seq, at, action, outcome, data, personal_hash, previous_hash, hash
             FROM kept_log WHERE seq IN (9, 10)",
            ],
            "reordered",
            9,
        ),
        ("all", vec!["DELETE FROM audit_log"], "tail_removed", 1),
    ] {
        execute(&host, &statements).await;
        expect_fault(&host, what, kind, Some(row)).await;
    }
}

#[tokio::test]
async fn a_cut_end_is_found_before_and_after_the_next_entry() {
    let host = host().await;
    let last = number(&host, "SELECT MAX(seq) FROM audit_log").await;
    let cut = "DELETE FROM audit_log WHERE seq > (SELECT MAX(seq) FROM kept_log) - 3";
    let verify = async || audit::verify::verify(&host.app.db, &host.app.secrets).await.unwrap();
    execute(&host, &[cut]).await;
    let fault = verify().await.fault.unwrap();
    assert_eq!((fault.kind, fault.row), (audit::verify::FaultKind::TailRemoved, last - 2));
    fill(&host, 1, "test.done").await;
    let fault = verify().await.fault.unwrap();
    assert_eq!((fault.kind, fault.row), (audit::verify::FaultKind::Removed, last - 2), "the gap stays");
    restore(&host).await;
    // Who also rewrites the head in the clear is betrayed by the seal.
    assert_eq!(audit::verify::advance_seal(&host.app.db, &host.app.secrets).await.unwrap(), Ok(()));
    let forged = forge_head(&host, last - 3).await;
    execute(&host, &[cut]).await;
    let fault = verify().await.fault.unwrap();
    assert_eq!((fault.kind, fault.row), (audit::verify::FaultKind::TailRemoved, last - 2), "{forged}");
    // And a chain that was computed anew from some row on.
    restore(&host).await;
    assert_eq!(audit::verify::advance_seal(&host.app.db, &host.app.secrets).await.unwrap(), Ok(()));
    rewrite(&host, 9).await;
    let fault = verify().await.fault.unwrap();
    assert_eq!((fault.kind, fault.row), (audit::verify::FaultKind::Changed, last));
    assert!(audit::verify::advance_seal(&host.app.db, &host.app.secrets).await.unwrap().is_err(), "it is not sealed");
    restore(&host).await;
    execute(&host, &["DELETE FROM host_state WHERE key = 'audit.seal'"]).await;
    expect_fault(&host, "no seal", "seal_broken", None).await;
    execute(
        &host,
        &["UPDATE host_state SET value = (SELECT value FROM host_state WHERE key = 'audit.head')
        WHERE key = 'audit.seal'"],
    )
    .await;
    expect_fault(&host, "a forged seal", "seal_broken", None).await;
}

async fn forge_head(host: &TestApp, seq: i64) -> String {
    let hash: String = sqlx::query_scalar("SELECT hash FROM audit_log WHERE seq = $1")
        .bind(seq)
        .fetch_one(host.app.db.read())
        .await
        .unwrap();
    let mut tx = host.app.db.write().await.unwrap();
    audit::marks::set_head(&mut tx, &audit::marks::Mark { seq, hash: hash.clone() }).await.unwrap();
    tx.commit().await.unwrap();
    hash
}

/// What somebody does who can write to the database and knows how the hashes are made.
async fn rewrite(host: &TestApp, from: i64) {
    let rows: Vec<AuditRow> = sqlx::query_as("SELECT * FROM audit_log WHERE seq >= $1 ORDER BY seq")
        .bind(from)
        .fetch_all(host.app.db.read())
        .await
        .unwrap();
    let mut tx = host.app.db.write().await.unwrap();
    let mut previous: Option<String> = None;
    for mut row in rows {
        if row.seq == from {
            row.action = "test.forged".into();
        }
        row.previous_hash = previous.unwrap_or(row.previous_hash);
        row.hash = chain::hash(&row);
        sqlx::query("UPDATE audit_log SET action = $2, previous_hash = $3, hash = $4 WHERE seq = $1")
            .bind(row.seq)
            .bind(row.action.clone())
            .bind(row.previous_hash.clone())
            .bind(row.hash.clone())
            .execute(&mut *tx)
            .await
            .unwrap();
        let mark = audit::marks::Mark { seq: row.seq, hash: row.hash.clone() };
        audit::marks::set_head(&mut tx, &mark).await.unwrap();
        previous = Some(row.hash);
    }
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn rows_from_elsewhere_are_found() {
    let host = host().await;
    let last = number(&host, "SELECT MAX(seq) FROM audit_log").await;
    let hash: String = sqlx::query_scalar("SELECT hash FROM audit_log ORDER BY seq DESC LIMIT 1")
        .fetch_one(host.app.db.read())
        .await
        .unwrap();
    let mut row = AuditRow {
        seq: last + 1,
        at: db::now_ms(),
        action: "test.forged".into(),
        outcome: "ok".into(),
        data: "{}".into(),
        personal_hash: "x".into(),
        previous_hash: hash,
        hash: String::new(),
    };
    row.hash = chain::hash(&row);
    let mut tx = host.app.db.write().await.unwrap();
    sqlx::query("INSERT INTO audit_log VALUES ($1, $2, $3, $4, $5, $6, $7, $8)")
        .bind(row.seq)
        .bind(row.at)
        .bind(row.action)
        .bind(row.outcome)
        .bind(row.data)
        .bind(row.personal_hash)
        .bind(row.previous_hash)
        .bind(row.hash)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let fault = audit::verify::verify(&host.app.db, &host.app.secrets).await.unwrap().fault.unwrap();
    assert_eq!((fault.kind, fault.row), (audit::verify::FaultKind::Inserted, last + 1));
    // The log goes on all the same, and it stays found.
    expect_fault_after_entry(&host, last + 2).await;
}

async fn expect_fault_after_entry(host: &TestApp, row: i64) {
    fill(host, 1, "test.done").await;
    let fault = audit::verify::verify(&host.app.db, &host.app.secrets).await.unwrap().fault.unwrap();
    assert_eq!((fault.kind, fault.row), (audit::verify::FaultKind::Changed, row));
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
async fn retention_removes_nothing_that_was_tampered_with_and_all_when_all_is_old() {
    let host = host().await;
    let far = db::now_ms() + 10_000 * 24 * 60 * 60 * 1000;
    execute(&host, &["UPDATE audit_log SET data = '{}' WHERE seq = 9"]).await;
    privacy::clear(&host.app, far).await.unwrap();
    assert_eq!(number(&host, "SELECT MIN(seq) FROM audit_log").await, 1);
    restore(&host).await;
    let last = number(&host, "SELECT MAX(seq) FROM audit_log").await;
    privacy::clear(&host.app, far).await.unwrap();
    assert_eq!(number(&host, "SELECT COUNT(*) FROM audit_log").await, 0);
    assert_eq!(report(&host).await["ok"], true);
    fill(&host, 3, "test.done").await;
    let whole = report(&host).await;
    assert_eq!((&whole["ok"], &whole["first"]), (&json!(true), &json!(last + 1)), "counting goes on: {whole}");
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
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut previous = "start".to_owned();
    for (n, line) in rows.iter().enumerate() {
        assert_eq!((line["seq"].as_u64(), text(&line["previous_hash"])), (Some(n as u64 + 1), previous));
        // As the documentation describes it, with another implementation of SHA-256 than the host's own functions.
        let parts = [
            b"zotify audit 1".to_vec(),
            line["seq"].as_i64().unwrap().to_be_bytes().to_vec(),
            line["at"].as_i64().unwrap().to_be_bytes().to_vec(),
            text(&line["action"]).into_bytes(),
            text(&line["outcome"]).into_bytes(),
            text(&line["data"]).into_bytes(),
            text(&line["personal_hash"]).into_bytes(),
            text(&line["previous_hash"]).into_bytes(),
        ];
        let bytes: Vec<u8> =
            parts.iter().flat_map(|part| [&(part.len() as u64).to_be_bytes()[..], part].concat()).collect();
        if n < 3 {
            assert_eq!(text(&line["hash"]), sha256(host.dir.path(), &bytes), "row {n}");
        }
        previous = text(&line["hash"]);
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

/// By the system's tools.
fn sha256(folder: &Path, bytes: &[u8]) -> String {
    let file = folder.join("bytes");
    std::fs::write(&file, bytes).unwrap();
    let script = "openssl dgst -sha256 -binary \"$0\" | base64 | tr '+/' '-_' | tr -d '='";
    let output = Command::new("sh").args(["-c", script]).arg(&file).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
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
    assert_eq!(changed[0]["data"], json!({"keys": ["auth.registration"], "count": 1}));
    assert_eq!(changed[0]["via"], "host");
    assert_eq!((actions(&host, "host.started").await.len(), actions(&host, "host.stopped").await.len()), (2, 1));
}

#[tokio::test]
async fn switched_instances_are_on_record() {
    let host = TestApp::with("[providers.local]\nplugin = \"local\"\n").await.admin().await;
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
    };
    db::jobs::insert(&mut tx, &job).await.unwrap();
    tx.commit().await.unwrap();
    host.send(host.request(Method::POST, &format!("/api/jobs/{}/cancel", job.id))).await.expect(200);
    let entries = actions(&host, "job.cancelled").await;
    assert_eq!(entries[0]["data"], json!({"job": job.id, "kind": "test.later"}));
    assert_eq!(entries[0]["actor"]["name"], "root-of-tests");
}
