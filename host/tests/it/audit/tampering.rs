//! Every change of the audit log is found and named.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use zotify_host::{
    audit::{self, chain, verify::FaultKind},
    db::{self, audit::AuditRow},
    privacy,
};

use super::{advance, execute, fill, number, report};
use crate::support::TestApp;

/// A host with some entries, of which there is a copy.
async fn host() -> TestApp {
    let host = TestApp::start().await.admin().await;
    fill(&host, 20, "test.done").await;
    advance(&host).await.unwrap();
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
    let verify = async || audit::verify::verify(&host.app.db, &host.app.secrets, &host.app.witness).await.unwrap();
    execute(&host, &[cut]).await;
    let fault = verify().await.fault.unwrap();
    assert_eq!((fault.kind, fault.row), (audit::verify::FaultKind::TailRemoved, last - 2));
    fill(&host, 1, "test.done").await;
    let fault = verify().await.fault.unwrap();
    assert_eq!((fault.kind, fault.row), (audit::verify::FaultKind::Removed, last - 2), "the gap stays");
    restore(&host).await;
    // Who also rewrites the head in the clear is betrayed by the seal.
    assert_eq!(advance(&host).await, Ok(()));
    let forged = forge_head(&host, last - 3).await;
    execute(&host, &[cut]).await;
    let fault = verify().await.fault.unwrap();
    assert_eq!((fault.kind, fault.row), (audit::verify::FaultKind::TailRemoved, last - 2), "{forged}");
    // And a chain that was computed anew from some row on.
    restore(&host).await;
    assert_eq!(advance(&host).await, Ok(()));
    rewrite(&host, 9).await;
    let fault = verify().await.fault.unwrap();
    assert_eq!((fault.kind, fault.row), (audit::verify::FaultKind::Changed, last));
    assert!(advance(&host).await.is_err(), "it is not sealed");
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
    let fault = audit::verify::verify(&host.app.db, &host.app.secrets, &host.app.witness).await.unwrap().fault.unwrap();
    assert_eq!((fault.kind, fault.row), (audit::verify::FaultKind::Inserted, last + 1));
    // The log goes on all the same, and it stays found.
    expect_fault_after_entry(&host, last + 2).await;
}

async fn expect_fault_after_entry(host: &TestApp, row: i64) {
    fill(host, 1, "test.done").await;
    let fault = audit::verify::verify(&host.app.db, &host.app.secrets, &host.app.witness).await.unwrap().fault.unwrap();
    assert_eq!((fault.kind, fault.row), (audit::verify::FaultKind::Changed, row));
}

#[tokio::test]
async fn retention_removes_nothing_that_was_tampered_with_and_all_when_all_is_old() {
    let host = host().await;
    let far = db::now_ms() + 10_000 * 24 * 60 * 60 * 1000;
    // The tests' own session would be forgotten, too.
    execute(&host, &["UPDATE sessions SET expires_at = 9000000000000"]).await;
    execute(&host, &["UPDATE audit_log SET data = '{}' WHERE seq = 9"]).await;
    privacy::clear(&host.app, far).await.unwrap();
    assert_eq!(number(&host, "SELECT MIN(seq) FROM audit_log").await, 1);
    restore(&host).await;
    advance(&host).await.unwrap();
    let last = number(&host, "SELECT MAX(seq) FROM audit_log").await;
    // A log written anew, of which what is old does not reach to the seal.
    execute(&host, &["UPDATE audit_log SET at = at - 1000 * CAST(86400000 AS BIGINT) WHERE seq < 12"]).await;
    rewrite(&host, 1).await;
    privacy::clear(&host.app, db::now_ms()).await.unwrap();
    assert_eq!(number(&host, "SELECT MIN(seq) FROM audit_log").await, 1);
    restore(&host).await;
    privacy::clear(&host.app, far).await.unwrap();
    assert_eq!(number(&host, "SELECT COUNT(*) FROM audit_log").await, 0);
    assert_eq!(report(&host).await["ok"], true);
    fill(&host, 3, "test.done").await;
    let whole = report(&host).await;
    assert_eq!((&whole["ok"], &whole["first"]), (&json!(true), &json!(last + 1)), "counting goes on: {whole}");
}

const NO_SEAL: &str = "DELETE FROM host_state WHERE key = 'audit.seal'";
const OLD_SEAL: &str = "UPDATE host_state SET value = (SELECT value FROM kept_state WHERE key = 'audit.seal')
    WHERE key = 'audit.seal'";

#[tokio::test]
async fn a_running_host_does_not_seal_a_log_that_was_written_anew() {
    let host = host().await;
    fill(&host, 5, "test.done").await;
    advance(&host).await.unwrap();
    let last = number(&host, "SELECT MAX(seq) FROM audit_log").await;
    for (forgery, from) in [(NO_SEAL, 5), (OLD_SEAL, last - 2)] {
        execute(&host, &[forgery]).await;
        rewrite(&host, from).await;
        for _ in 0..2 {
            let fault = advance(&host).await.unwrap_err();
            assert_eq!((fault.kind, fault.row), (FaultKind::SealBroken, last), "{forgery}");
        }
        assert_eq!(report(&host).await["fault"]["kind"], "seal_broken", "{forgery}");
        fill(&host, 5, "test.done").await;
        assert!(advance(&host).await.is_err(), "nor when it has grown: {forgery}");
        execute(&host, &["DELETE FROM audit_log WHERE seq > (SELECT MAX(seq) FROM kept_log) + 5"]).await;
        forge_head(&host, last).await;
    }
    // A node that knows less would have sealed it: the row is still another.
    let mut tx = host.app.db.write().await.unwrap();
    let newest = audit::marks::head(&mut *tx).await.unwrap().unwrap();
    audit::marks::set_sealed(&mut tx, &host.app.secrets, audit::marks::SEAL, &newest).await.unwrap();
    tx.commit().await.unwrap();
    let fault = advance(&host).await.unwrap_err();
    assert_eq!((fault.kind, fault.row), (FaultKind::Changed, last));
}

#[tokio::test]
async fn another_node_may_be_ahead() {
    let host = TestApp::start().await.admin().await;
    let other = audit::witness::Witness::of(&host.app.config);
    for _ in 0..2 {
        fill(&host, 3, "test.done").await;
        advance(&host).await.unwrap();
        let sealed = audit::verify::advance_seal(&host.app.db, &host.app.secrets, &other).await.unwrap();
        assert_eq!(sealed, Ok(()));
    }
    assert_eq!(report(&host).await["ok"], true);
}

#[tokio::test]
async fn a_log_that_was_written_anew_between_two_starts_is_not_sealed() {
    let host = host().await;
    let dir = host.stop().await;
    assert_eq!(std::fs::metadata(copy_in(&dir)).unwrap().permissions().mode() & 0o777, 0o600);
    let host = TestApp::at(dir, "", "").await;
    assert_eq!(report_of(&host).await.fault, None);
    execute(&host, &[NO_SEAL]).await;
    rewrite(&host, 5).await;
    let host = TestApp::at(host.stop().await, "", "").await;
    let fault = report_of(&host).await.fault.unwrap();
    assert_eq!(fault.kind, FaultKind::SealBroken);
    assert!(advance(&host).await.is_err());
    // Without the file, the earlier starts tell that there was a seal.
    let dir = host.stop().await;
    std::fs::remove_file(copy_in(&dir)).unwrap();
    let host = TestApp::at(dir, "", "").await;
    assert_eq!(advance(&host).await.unwrap_err().kind, FaultKind::SealBroken);
    assert_eq!(number(&host, "SELECT COUNT(*) FROM host_state WHERE key = 'audit.seal'").await, 0);
}

async fn report_of(host: &TestApp) -> audit::verify::Report {
    audit::verify::verify(&host.app.db, &host.app.secrets, &host.app.witness).await.unwrap()
}

fn copy_in(dir: &tempfile::TempDir) -> std::path::PathBuf {
    dir.path().join("data/audit.seal")
}
