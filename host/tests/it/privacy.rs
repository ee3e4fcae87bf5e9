//! What the host holds about a user: the export, the erasure, consents.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Row as _};
use zotify_host::{
    audit::{self, Actor, Entry, Outcome},
    auth::Origin,
    db::{self, Db, Dialect},
    privacy::{
        columns::{COLUMNS, Held},
        export,
    },
};

use crate::{
    crash::{Host, free_port, run},
    support::TestApp,
};

/// Something of the user in every table: each text starts with a word that is theirs alone.
const FIXTURE: &[&str] = &[
    "UPDATE users SET email = '@-mail@example.org', quota = '{\"likes\":7}' WHERE id = $1",
    "INSERT INTO user_preferences (user_id, doc, updated_at) VALUES ($1, '{\"theme\":\"@-theme\"}', 1)",
    "INSERT INTO sessions (id, user_id, kind, address, user_agent, created_at, last_used_at, expires_at, cookie_hash)
     VALUES ('@-session', $1, 'ui', '@-address', '@-agent', 1, 1, 9000000000000, '@-hidden-cookie')",
    "INSERT INTO refresh_tokens (hash, session_id, created_at) VALUES ('@-hidden-refresh', '@-session', 1)",
    "INSERT INTO api_keys (id, user_id, name, scopes, created_at) VALUES ('@-key', $1, '@-key-name', 'profile', 1)",
    "INSERT INTO api_key_secrets (prefix, key_id, hash, created_at)
     VALUES ('@-hidden-prefix', '@-key', '@-hidden-secret', 1)",
    "INSERT INTO invites (id, hash, role, note, created_by, created_at, expires_at)
     VALUES ('@-invite', '@-hidden-invite', 'user', '@-note', $1, 1, 9000000000000)",
    "INSERT INTO invites (id, hash, role, note, created_by, created_at, expires_at, used_at, used_by)
     VALUES ('invite-of-@', 'hash-of-@', 'user', NULL, NULL, 1, 9000000000000, 9000000000000, $1)",
    "INSERT INTO likes (user_id, uri, liked_at, written_through) VALUES ($1, 'local:track:@-liked', 1, 0)",
    "INSERT INTO plays VALUES ('@-play', $1, 'local:track:@-played', 1, 2, '@-source')",
    "INSERT INTO deleted_plays VALUES ('@-deletion', $1, 'nas:track:@-unplayed', 1, 2)",
    "INSERT INTO consents VALUES ('@-consent', $1, 'recommendations', 1, 1)",
    "INSERT INTO accounts (id, instance, owner, label, state, state_code, state_detail, sync_token, remote_key, capabilities,
       created_at, updated_at)
     VALUES ('@-account', 'nas', $1, '@-label', 'failed', '@-code', '@-detail', '@-hidden-token', '@-remote',
       '{\"likes.read\":\"@-restricted\"}', 1, 1)",
    "INSERT INTO account_credentials (account_id, sealed, version, scopes, authorized_at, updated_at)
     VALUES ('@-account', CAST('@-hidden-credentials' AS BYTES), 1, '[\"@-scope\"]', 1, 1)",
    "INSERT INTO setup_flows (id, user_id, instance, account_id, shared, state, state_hash, sealed, step, code, detail,
       created_at, updated_at, expires_at)
     VALUES ('@-flow', $1, 'nas', '@-account', 0, 'failed', '@-hidden-state', CAST('@-hidden-step' AS BYTES), 1,
       '@-flow-code', '@-flow-detail', 1, 1, 9000000000000)",
    "INSERT INTO budget_use VALUES ('nas', '@-hidden-budget', 1, '@-account', 5, 0)",
    "INSERT INTO libraries (account_id) VALUES ('@-account')",
    "INSERT INTO items (library, uri, kind, saved, title_key, artist_key, release_date, added_at, updated_at, parent_uri, seq,
       duration_ms, playable, seen_run, genres, search_text, doc)
     SELECT id, 'nas:playlist:@-list', 'playlist', 1, '@', '', '', 1, 1, '', 0, 0, 1, '', '', '', '{\"name\":\"@-list-name\"}'
     FROM libraries WHERE account_id = '@-account'",
    "INSERT INTO items (library, uri, kind, saved, title_key, artist_key, release_date, added_at, updated_at, parent_uri, seq,
       duration_ms, playable, seen_run, genres, search_text, doc)
     SELECT id, 'nas:track:@-track', 'track', 1, '@', '', '', 1, 1, '', 0, 0, 1, '', '', '', '{\"title\":\"@-title\"}'
     FROM libraries WHERE account_id = '@-account'",
    "INSERT INTO item_artists (library, artist_uri, kind, item_id)
     SELECT library, 'nas:artist:@', 'track', id FROM items WHERE uri = 'nas:track:@-track'",
    "INSERT INTO playlists (library, uri, version)
     SELECT id, 'nas:playlist:@-list', '@-version' FROM libraries WHERE account_id = '@-account'",
    "INSERT INTO playlist_items (library, playlist_uri, position, entry_id, item_uri, head, doc)
     SELECT id, 'nas:playlist:@-list', 0, '@-entry', NULL, '{\"entry_id\":\"@-entry\",\"item\":', '{\"title\":\"@-gone\"}'
     FROM libraries WHERE account_id = '@-account'",
    "INSERT INTO pull_runs (id, account_id, job_id, state, code, detail, plan, started_at)
     VALUES ('@-run', '@-account', '@-job', 'held', '@-run-code', '@-run-detail', '{\"sample\":\"@-plan\"}', 1)",
    "INSERT INTO pull_skips VALUES ('@-run', 1, '@-skipped', '@-skip-code', '@-skip-detail')",
    "INSERT INTO jobs (id, kind, state, user_id, subject, payload, message, run_at, max_attempts, created_at, finished_at)
     VALUES ('@-job', 'test.done', 'succeeded', $1, '@-subject', '{\"what\":\"@-payload\"}', '@-message', 1, 1, 1,
       9000000000000)",
    "INSERT INTO job_log VALUES ('@-job', 1, 1, 'info', '@-line')",
    "INSERT INTO events (type, subject, user_id, data, created_at)
     VALUES ('test.done', '@-event-subject', $1, '{\"what\":\"@-event\"}', 9000000000000)",
    "INSERT INTO sign_in_failures VALUES ('@', '@-network', 3, 9000000000000, 0)",
    "INSERT INTO sign_in_failures VALUES ('@', '', 5, 9000000000000, 0)",
];

/// Words of the fixture that belong to nobody's copy.
const HIDDEN: &str = "-hidden-";

/// Makes a user, whose name is the word, with something in every table; answers the id.
async fn make(host: &TestApp, word: &str) -> String {
    host.make_user(word, false).await;
    let id = db::users::find_by_name(host.app.db.read(), word).await.unwrap().unwrap().id;
    let mut tx = host.app.db.write().await.unwrap();
    for statement in FIXTURE {
        let bytes = if host.app.db.dialect() == Dialect::Sqlite { "BLOB" } else { "BYTEA" };
        let mut query = sqlx::query(AssertSqlSafe(statement.replace('@', word).replace("BYTES", bytes)));
        if statement.contains("$1") {
            query = query.bind(id.clone());
        }
        query.execute(&mut *tx).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
    }
    let put = [(b"key".to_vec(), Some(format!("{word}-hidden-kv").into_bytes()))].into();
    let account = format!("{word}-account");
    let scope = db::plugin_kv::Scope { instance: "nas", account: &account };
    db::plugin_kv::put_many(&mut tx, scope, &put).await.unwrap();
    tx.commit().await.unwrap();
    id
}

/// Every row of every table as text.
async fn dump(db: &Db) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    for table in tables(db).await {
        let columns = columns_of(db, &table).await;
        let texts: Vec<_> = columns.iter().map(|(name, bytes)| as_text(db.dialect(), name, *bytes)).collect();
        let sql = format!("SELECT {} FROM \"{table}\"", texts.join(" || ' ' || "));
        let found: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(db.read()).await.unwrap();
        rows.extend(found.into_iter().map(|row| (table.clone(), row)));
    }
    rows
}

fn as_text(dialect: Dialect, column: &str, bytes: bool) -> String {
    match (bytes, dialect) {
        (false, _) => format!("COALESCE(CAST(\"{column}\" AS TEXT), '')"),
        (true, Dialect::Sqlite) => format!("lower(hex(COALESCE(\"{column}\", '')))"),
        (true, Dialect::Postgres) => format!("COALESCE(encode(\"{column}\", 'hex'), '')"),
    }
}

/// Whether a row holds a word, as text or in bytes.
fn holds(row: &str, word: &str) -> bool {
    let hex: String = word.bytes().map(|byte| format!("{byte:02x}")).collect();
    row.contains(word) || row.contains(&hex)
}

async fn tables(db: &Db) -> Vec<String> {
    let sql = match db.dialect() {
        Dialect::Sqlite => {
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE 'items_fts%'"
        }
        Dialect::Postgres => {
            "SELECT CAST(table_name AS TEXT) FROM information_schema.tables
             WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'"
        }
    };
    let mut tables: Vec<String> = sqlx::query_scalar(sql).fetch_all(db.read()).await.unwrap();
    tables.retain(|table| table != "_sqlx_migrations");
    assert!(tables.len() > 20, "{tables:?}");
    tables
}

/// The columns of a table, and whether each holds bytes.
async fn columns_of(db: &Db, table: &str) -> Vec<(String, bool)> {
    let sql = match db.dialect() {
        Dialect::Sqlite => "SELECT name, type FROM pragma_table_info($1)",
        Dialect::Postgres => {
            "SELECT CAST(column_name AS TEXT), CAST(data_type AS TEXT) FROM information_schema.columns
             WHERE table_schema = current_schema() AND table_name = $1"
        }
    };
    let rows = sqlx::query(sql).bind(table.to_owned()).fetch_all(db.read()).await.unwrap();
    rows.iter().map(|row| (row.get(0), ["BLOB", "bytea"].contains(&row.get::<String, _>(1).as_str()))).collect()
}

/// Table, column and the table that it refers to.
async fn references(db: &Db) -> Vec<(String, String, String)> {
    let sql = match db.dialect() {
        Dialect::Sqlite => {
            "SELECT m.name, f.\"from\", f.\"table\" FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f
             WHERE m.type = 'table'"
        }
        Dialect::Postgres => {
            "SELECT CAST(k.table_name AS TEXT), CAST(k.column_name AS TEXT), CAST(r.relname AS TEXT)
             FROM information_schema.key_column_usage k
             JOIN pg_constraint c ON c.conname = k.constraint_name AND c.contype = 'f'
             JOIN pg_class r ON r.oid = c.confrelid
             WHERE k.table_schema = current_schema()
               AND c.connamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())"
        }
    };
    let rows = sqlx::query(sql).fetch_all(db.read()).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

#[tokio::test]
async fn every_column_that_belongs_to_a_user_has_its_place_in_the_export() {
    let host = TestApp::start().await;
    let db = &host.app.db;
    let mut owned: BTreeSet<(String, String)> = BTreeSet::new();
    for table in tables(db).await {
        for (column, _) in columns_of(db, &table).await {
            let names = ["user_id", "owner", "actor_id", "used_by", "created_by", "name_key", "account", "account_id"];
            if names.contains(&column.as_str()) {
                owned.insert((table.clone(), column));
            }
        }
    }
    // And whatever refers to a row of a user, or to one that refers to one.
    let references = references(db).await;
    let mut tables: BTreeSet<String> = ["users".to_owned()].into();
    loop {
        let more = references.iter().filter(|(_, _, to)| tables.contains(to));
        let grown: BTreeSet<_> = tables.iter().cloned().chain(more.map(|(table, _, _)| table.clone())).collect();
        if grown.len() == tables.len() {
            break;
        }
        tables = grown;
    }
    owned.extend(
        references.into_iter().filter(|(_, _, to)| tables.contains(to)).map(|(table, column, _)| (table, column)),
    );
    let listed: BTreeSet<_> =
        COLUMNS.iter().map(|(table, column, _)| ((*table).to_owned(), (*column).to_owned())).collect();
    assert_eq!(listed.len(), COLUMNS.len(), "one is named twice");
    let missing: Vec<_> = owned.difference(&listed).collect();
    assert!(missing.is_empty(), "say in privacy/columns.rs where the export holds {missing:?}");
    let gone: Vec<_> = listed.difference(&owned).collect();
    assert!(gone.is_empty(), "there is no {gone:?}");
    let sections: BTreeSet<_> = export::sections().collect();
    for (table, column, held) in COLUMNS {
        match held {
            Held::In(section) => assert!(sections.contains(section), "{table}.{column} is in no section {section}"),
            Held::Not(reason) => assert!(reason.len() > 10, "{table}.{column}"),
        }
    }
}

#[tokio::test]
async fn the_export_holds_everything_of_the_caller_and_nothing_of_others() {
    let mut host = TestApp::start().await;
    let (id, other) = (make(&host, "kanaria").await, make(&host, "finchfink").await);
    host.make_user("chief", true).await;
    do_to(&host, &id, &other).await;
    do_to(&host, &other, &id).await;
    let token = host.sign_in("finchfink").await;
    host.send(host.request_as(&token, Method::GET, "/api/privacy/data")).await.expect(200);
    host = host.signed_in("kanaria").await;
    let reply = host.get("/api/privacy/data").await;
    assert_eq!(reply.header("content-disposition"), "attachment; filename=zotify-data.json");
    assert_eq!((reply.header("cache-control"), reply.header("content-type")), ("no-store", "application/json"));
    let document = reply.expect(200);
    let text = reply.text();
    assert!(!text.contains("finchfink") && !text.contains(&other), "somebody else's");
    assert!(!text.contains(HIDDEN) && !text.contains("argon2"), "a secret or its hash");
    for section in export::sections() {
        let rows = document[section].as_array().unwrap_or_else(|| panic!("no {section}"));
        assert!(!rows.is_empty(), "{section} is empty");
    }
    let is_word = |c: char| c.is_ascii_alphanumeric() || "@-".contains(c);
    let words: BTreeSet<_> = FIXTURE.iter().flat_map(|sql| sql.split(|c: char| !is_word(c))).collect();
    for word in words.into_iter().filter(|word| word.starts_with("@-") && !word.contains(HIDDEN)) {
        assert!(text.contains(&word.replace('@', "kanaria")), "{word} is not in {text}");
    }
    assert_eq!(document["playlists"][0]["entries"][0]["entry_id"], "kanaria-entry", "{document:#}");
    assert_eq!(document["library"].as_array().unwrap().len(), 2);
    let failures = document["sign_in_failures"].as_array().unwrap();
    assert_eq!(failures.iter().map(|row| row["failures"].clone()).collect::<Vec<_>>(), [json!(5), json!(3)]);
    assert_eq!(document["profile"][0]["created_at"].as_str().unwrap().len(), 24, "times are RFC 3339");
    let audit = document["audit"].as_array().unwrap();
    assert!(audit.iter().any(|entry| entry["action"] == "privacy.exported"));
    let done: Vec<_> = audit.iter().filter(|entry| entry["action"] == "test.done").collect();
    assert_eq!((&done[0]["by_you"], &done[0]["personal"]["address"]), (&json!(1), &json!("192.0.2.7")), "{done:#?}");
    assert_eq!((&done[1]["about_you"], &done[1]["personal"]), (&json!(1), &Value::Null), "{done:#?}");
}

/// What one user did to another.
async fn do_to(host: &TestApp, actor: &str, user: &str) {
    let origin = Origin { address: "192.0.2.7".parse().unwrap(), user_agent: Some(format!("agent of {actor}")) };
    let actor = Actor::stranger(Some(actor), &origin);
    let (data, personal) = (json!({}), json!({ "name": format!("user {user}") }));
    let mut tx = host.app.db.write().await.unwrap();
    let entry = Entry { action: "test.done", outcome: Outcome::Ok, actor, user: Some(user), data, personal };
    audit::record(&mut tx, entry).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_large_library_is_exported_whole() {
    let mut host = TestApp::start().await;
    make(&host, "kanaria").await;
    let mut tx = host.app.db.write().await.unwrap();
    let id = db::users::find_by_name(&mut *tx, "kanaria").await.unwrap().unwrap().id;
    for n in 0..1234 {
        sqlx::query("INSERT INTO plays VALUES ($1, $2, $3, $4, NULL, 'client')")
            .bind(format!("play-{n:05}"))
            .bind(id.clone())
            .bind("local:track:x")
            .bind(n)
            .execute(&mut *tx)
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
    host = host.signed_in("kanaria").await;
    let document = host.get("/api/privacy/data").await.expect(200);
    let ids: BTreeSet<_> =
        document["history"].as_array().unwrap().iter().map(|play| play["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 1235);
}

#[tokio::test]
async fn exports_are_counted_and_refused_when_too_many() {
    let mut host = TestApp::with("[privacy]\nexports_per_hour = 3\n").await;
    host.become_user("anna").await;
    let replies = futures::future::join_all((0..6).map(|_| host.get("/api/privacy/data"))).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 3, "at once is no way around");
    let reply = host.get("/api/privacy/data").await;
    reply.expect_problem(429, "too_many_exports");
    let wait: u64 = reply.header("retry-after").parse().unwrap();
    assert!((1..=3600).contains(&wait), "{wait}");
    host.become_user("ben").await;
    host.get("/api/privacy/data").await.expect(200);
}

async fn erase(host: &TestApp) -> Value {
    host.send(host.request(Method::DELETE, "/api/privacy/data")).await.expect(202)
}

#[tokio::test]
async fn an_erasure_leaves_nothing() {
    let mut host = TestApp::start().await;
    let (id, other) = (make(&host, "kanaria").await, make(&host, "finchfink").await);
    host.make_user("chief", true).await;
    let before = dump(&host.app.db).await;
    let held: BTreeSet<_> =
        before.iter().filter(|(_, row)| holds(row, "kanaria") || holds(row, &id)).map(|(t, _)| t).collect();
    let fixture: BTreeSet<_> =
        COLUMNS.iter().map(|(table, _, _)| *table).filter(|table| *table != "audit_personal").collect();
    let unfilled: Vec<_> = fixture.iter().filter(|table| !held.iter().any(|held| held == *table)).collect();
    assert!(unfilled.is_empty(), "the fixture has nothing in {unfilled:?}");
    host = host.signed_in("kanaria").await;
    host.get("/api/privacy/data").await.expect(200);
    let erasure = erase(&host).await;
    host.get("/api/auth/status").await.expect_problem(401, "session_revoked");
    host.sign_out();
    let path = format!("/api/privacy/receipts/{}", erasure["receipt"].as_str().unwrap());
    let status = host.until(&path, |status| status["state"] == "erased").await;
    assert_eq!(status.as_object().unwrap().len(), 3, "{status}");
    assert!(status["requested_at"].is_string() && status["erased_at"].is_string());
    let host = host.signed_in("chief").await;
    host.until(&format!("/api/jobs/{}", erasure["job"].as_str().unwrap()), |job| job["state"] == "succeeded").await;
    let after = dump(&host.app.db).await;
    let left: Vec<_> = after.iter().filter(|(_, row)| holds(row, "kanaria") || holds(row, &id)).collect();
    // Whose the invite was that the user came with is gone; its row is not the user's.
    let left: Vec<_> =
        left.into_iter().filter(|(table, row)| !(table == "invites" && row.contains("invite-of-"))).collect();
    assert!(left.is_empty(), "{left:#?}");
    let of_other = |rows: &[(String, String)]| {
        rows.iter().filter(|(_, row)| holds(row, "finchfink") || holds(row, &other)).count()
    };
    assert_eq!(of_other(&after), of_other(&before), "somebody else's is as it was");
    assert_eq!(host.get("/api/admin/audit/verify").await.expect(200)["fault"], Value::Null);
    let entries = host.get("/api/admin/audit?action=privacy.").await.expect(200);
    let tombstone =
        entries["data"].as_array().unwrap().iter().find(|entry| entry["action"] == "privacy.erased").unwrap().clone();
    assert_eq!(tombstone["data"]["receipt"], erasure["receipt"]);
    let request = entries["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["action"] == "privacy.erasure_requested")
        .unwrap()
        .clone();
    assert_eq!((&request["actor"], &request["personal"]), (&Value::Null, &Value::Null));
    host.make_user("kanaria", false).await;
}

#[tokio::test]
async fn an_erasure_wants_a_recent_sign_in_and_another_admin() {
    let mut host = TestApp::start().await;
    let mut tx = host.app.db.write().await.unwrap();
    sqlx::query("DELETE FROM users").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    host = host.admin().await;
    let delete = async |host: &TestApp| host.send(host.request(Method::DELETE, "/api/privacy/data")).await;
    delete(&host).await.expect_problem(409, "last_admin");
    host.get("/api/auth/status").await.expect(200);
    host.make_user("second", true).await;
    let mut tx = host.app.db.write().await.unwrap();
    sqlx::query("UPDATE sessions SET created_at = created_at - 600000").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    host.app.recent_sessions.forget();
    delete(&host).await.expect_problem(403, "reauthentication_required");
    let host = host.sign_in_again().await;
    let job = erase(&host).await["job"].as_str().unwrap().to_owned();
    let host = host.signed_in("second").await;
    host.until(&format!("/api/jobs/{job}"), |job| job["state"] == "succeeded").await;
    host.get("/api/privacy/receipts/x").await.expect_problem(404, "receipt_not_found");
    host.get(&format!("/api/privacy/receipts/{}", "x".repeat(5000))).await.expect_problem(404, "receipt_not_found");
    delete(&host).await.expect_problem(409, "last_admin");
}

async fn execute(host: &TestApp, sql: &'static str) {
    let mut tx = host.app.db.write().await.unwrap();
    sqlx::query(sql).execute(&mut *tx).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    tx.commit().await.unwrap();
}

/// A job of users that does not end: an erasure waits for it.
const ENDLESS: &str = "UPDATE jobs SET state = 'running', lease_owner = 'x', lease_until = 9000000000000,
    finished_at = NULL WHERE user_id IS NOT NULL";

#[tokio::test]
async fn who_is_being_erased_can_not_be_enabled_again() {
    let mut host = TestApp::start().await;
    let id = make(&host, "kanaria").await;
    execute(&host, ENDLESS).await;
    host.make_user("chief", true).await;
    host = host.signed_in("kanaria").await;
    let job = erase(&host).await["job"].as_str().unwrap().to_owned();
    let host = host.signed_in("chief").await;
    let user = format!("/api/admin/users/{id}");
    host.patch(&user, &json!({"disabled": false})).await.expect_problem(409, "user_being_erased");
    assert_eq!(host.patch(&user, &json!({"role": "user"})).await.expect(200)["disabled"], true);
    execute(&host, "DELETE FROM jobs WHERE user_id IS NOT NULL").await;
    host.until(&format!("/api/jobs/{job}"), |job| job["state"] == "succeeded").await;
    host.patch(&user, &json!({"disabled": false})).await.expect_problem(404, "user_not_found");
}

#[tokio::test]
async fn what_is_written_while_an_erasure_goes_on_is_erased_with_the_user() {
    let host = TestApp::start().await;
    let (id, other) = (make(&host, "kanaria").await, make(&host, "finchfink").await);
    do_to(&host, &id, &id).await;
    do_to(&host, &other, &other).await;
    let mut tx = host.app.db.write().await.unwrap();
    // All of the fixture stands for what came after the rest had been erased.
    db::privacy::finish(&mut tx, &id, "receipt", "job", "{}").await.unwrap();
    tx.commit().await.unwrap();
    let rows = dump(&host.app.db).await;
    for table in ["events", "audit_personal", "sign_in_failures"] {
        let held = |word: &str| rows.iter().filter(|(in_table, row)| in_table == table && holds(row, word)).count();
        assert_eq!(held("kanaria") + held(&id), 0, "{table}");
        assert!(held("finchfink") + held(&other) > 0, "{table}");
    }
}

#[tokio::test]
async fn an_erasure_that_was_cut_off_knows_whose_notes_to_remove() {
    let mut host = TestApp::start().await;
    let id = make(&host, "kanaria").await;
    host.make_user("chief", true).await;
    host = host.signed_in("kanaria").await;
    // It gets as far as the likes, when the accounts are gone already.
    execute(&host, "ALTER TABLE likes RENAME TO likes_elsewhere").await;
    let job = erase(&host).await["job"].as_str().unwrap().to_owned();
    let host = host.signed_in("chief").await;
    let path = format!("/api/jobs/{job}");
    host.until(&path, |job| job["error"]["code"] == "database_error").await;
    assert!(db::privacy::accounts(host.app.db.read(), &id).await.unwrap().is_empty());
    let mut tx = host.app.db.write().await.unwrap();
    // What a plugin wrote that was in the middle of a call.
    let put = [(b"key".to_vec(), Some(b"a late token".to_vec()))].into();
    let scope = db::plugin_kv::Scope { instance: "nas", account: "kanaria-account" };
    db::plugin_kv::put_many(&mut tx, scope, &put).await.unwrap();
    tx.commit().await.unwrap();
    execute(&host, "ALTER TABLE likes_elsewhere RENAME TO likes").await;
    execute(&host, "UPDATE jobs SET run_at = 0 WHERE kind = 'privacy.erase'").await;
    host.until(&path, |job| job["state"] == "succeeded").await;
    let rows = dump(&host.app.db).await;
    let left: Vec<_> = rows.iter().filter(|(_, row)| holds(row, "kanaria-account")).collect();
    assert!(left.is_empty(), "{left:#?}");
}

#[tokio::test]
async fn a_user_that_an_admin_deletes_leaves_no_notes_of_plugins() {
    let host = TestApp::start().await.admin().await;
    let (id, _) = (make(&host, "kanaria").await, make(&host, "finchfink").await);
    assert_eq!(host.delete(&format!("/api/admin/users/{id}")).await.status, 204);
    let rows = dump(&host.app.db).await;
    let notes: Vec<_> = rows.iter().filter(|(table, _)| table == "plugin_kv").collect();
    assert_eq!(notes.len(), 1, "{notes:#?}");
    assert!(holds(&notes[0].1, "finchfink"), "{notes:#?}");
}

#[tokio::test]
async fn an_erasure_can_not_be_cancelled() {
    let mut host = TestApp::start().await;
    make(&host, "kanaria").await;
    execute(&host, ENDLESS).await;
    host.make_user("chief", true).await;
    host = host.signed_in("kanaria").await;
    let job = erase(&host).await["job"].as_str().unwrap().to_owned();
    let host = host.signed_in("chief").await;
    let cancel = host.send(host.request(Method::POST, &format!("/api/jobs/{job}/cancel"))).await;
    cancel.expect_problem(409, "job_not_cancellable");
}

#[tokio::test]
async fn an_erasure_that_was_killed_is_finished_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    std::fs::write(dir.path().join("zotify.toml"), format!("[server]\nlisten = \"127.0.0.1:{port}\"\n")).unwrap();
    run(dir.path(), &["user", "create", "tester", "--admin", "--password-stdin"], "a long enough password\n");
    run(dir.path(), &["user", "create", "anna", "--password-stdin"], "a long enough password\n");
    let open = async || Db::connect(&format!("sqlite://{}/data/zotify.db", dir.path().display())).await.unwrap();
    let database = open().await;
    let mut tx = database.write().await.unwrap();
    sqlx::query(
        "INSERT INTO plays SELECT 'play-' || n, (SELECT id FROM users WHERE name = 'anna'), 'local:track:x', n, NULL, 'client'
         FROM (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 150000) SELECT n FROM c)",
    )
    .execute(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    database.close().await;

    let mut first = Host::start(dir.path(), port).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let body = json!({"username": "anna", "password": "a long enough password"});
    let login = client.post(format!("{}/api/auth/login", first.base)).json(&body).send().await.unwrap();
    let token = login.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned();
    let request = client.delete(format!("{}/api/privacy/data", first.base)).bearer_auth(token);
    let erasure: Value = request.send().await.unwrap().json().await.unwrap();
    let path = format!("/api/jobs/{}", erasure["job"].as_str().unwrap());
    first.until(&path, |job| job["progress"]["done"].as_u64() > Some(0) || job["state"] == "succeeded").await;
    first.kill();

    let database = open().await;
    let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM plays").fetch_one(database.read()).await.unwrap();
    database.close().await;
    assert!(left > 0, "the erasure ended before it could be killed");

    let second = Host::start(dir.path(), port).await;
    let receipt = format!("/api/privacy/receipts/{}", erasure["receipt"].as_str().unwrap());
    second.until(&receipt, |status| status["state"] == "erased").await;
    let database = open().await;
    let rows = dump(&database).await;
    assert!(!rows.iter().any(|(_, row)| holds(row, "anna") || holds(row, "play-")), "something is left");
    assert_eq!(second.get("/api/admin/audit/verify").await["ok"], true);
}

#[tokio::test]
async fn consents_are_given_withdrawn_and_remembered() {
    let mut host = TestApp::start().await.admin().await;
    let admin = host.sign_in("root-of-tests").await;
    host.become_user("anna").await;
    let put = async |body: Value| host.send(host.request(Method::PUT, "/api/privacy/consents").json(&body)).await;
    let find = |consents: &Value, purpose: &str| {
        consents["data"].as_array().unwrap().iter().find(|consent| consent["purpose"] == purpose).unwrap().clone()
    };
    let none = host.get("/api/privacy/consents").await.expect(200);
    assert_eq!(none["data"].as_array().unwrap().len(), 2);
    assert_eq!((&none["data"][0]["given"], &none["data"][0]["history"]), (&json!(false), &json!([])));
    let given = put(json!({"recommendations": true})).await.expect(200);
    assert_eq!(find(&given, "recommendations")["given"], true);
    assert_eq!(find(&given, "usage_statistics")["given"], false);
    put(json!({"recommendations": true})).await.expect(200);
    put(json!({})).await.expect(200);
    put(json!({"recommendations": false})).await.expect(200);
    let now = find(&host.get("/api/privacy/consents").await.expect(200), "recommendations");
    assert_eq!(now["given"], false);
    let history: Vec<_> = now["history"].as_array().unwrap().iter().map(|answer| answer["given"].clone()).collect();
    assert_eq!(history, [json!(false), json!(true)], "newest first, and no answer twice");
    for bad in [json!({"selling": true}), json!({"recommendations": "yes"}), json!([])] {
        put(bad).await.expect_problem(422, "invalid_body");
    }
    let twice = host.request(Method::PUT, "/api/privacy/consents").header("content-type", "application/json");
    let twice = twice.body("{\"recommendations\": true, \"recommendations\": false}");
    host.send(twice).await.expect_problem(422, "invalid_body");
    let log = host.send(host.request_as(&admin, Method::GET, "/api/admin/audit?action=consent.")).await.expect(200);
    let actions: Vec<_> = log["data"].as_array().unwrap().iter().map(|entry| entry["action"].clone()).collect();
    assert_eq!(actions, ["consent.withdrawn", "consent.given"]);
    assert_eq!(log["data"][0]["data"], json!({"purpose": "recommendations"}));
}

#[tokio::test]
async fn what_has_ended_is_forgotten_although_its_user_does_nothing() {
    let host = TestApp::start().await;
    make(&host, "kanaria").await;
    let day = 24 * 60 * 60 * 1000;
    // Far in the future, so that the host's own clearing, which looks at the clock, leaves it alone.
    let now = 93_000 * day;
    // All of it ended at the same time; the configuration's key, and what has no end yet, stay.
    for sql in [
        "UPDATE sessions SET expires_at = 8035200000000",
        "INSERT INTO sessions (id, user_id, kind, created_at, last_used_at, expires_at, revoked_at)
         SELECT 'revoked', user_id, 'api', 1, 1, 9000000000000, 8035200000000 FROM sessions WHERE id = 'kanaria-session'",
        "INSERT INTO sessions (id, user_id, kind, created_at, last_used_at, expires_at)
         SELECT 'open', user_id, 'api', 1, 1, 9000000000000 FROM sessions WHERE id = 'kanaria-session'",
        "UPDATE api_keys SET revoked_at = 8035200000000",
        "INSERT INTO api_keys (id, user_id, name, scopes, created_at, revoked_at, bootstrap)
         SELECT 'configured', user_id, 'k', 'profile', 1, 1, 1 FROM api_keys",
        "INSERT INTO api_keys (id, user_id, name, scopes, created_at)
         SELECT 'open', user_id, 'k', 'profile', 1 FROM api_keys WHERE id = 'kanaria-key'",
        "UPDATE invites SET expires_at = 8035200000000 WHERE used_at IS NULL",
        "UPDATE invites SET expires_at = 9000000000000, used_at = 8035200000000 WHERE used_at IS NOT NULL",
        "INSERT INTO invites (id, hash, role, created_at, expires_at) VALUES ('open', 'open', 'user', 1, 9000000000000)",
        "UPDATE sign_in_failures SET last_at = 8035200000000",
        "INSERT INTO sign_in_failures VALUES ('late', '', 1, 9000000000000, 0)",
    ] {
        execute(&host, sql).await;
    }
    let count = async |table: &str| {
        let sql = format!("SELECT CAST(COUNT(*) AS BIGINT) FROM {table}");
        sqlx::query_scalar::<_, i64>(AssertSqlSafe(sql)).fetch_one(host.app.db.read()).await.unwrap()
    };
    let counts = async || {
        [count("sessions").await, count("api_keys").await, count("invites").await, count("sign_in_failures").await]
    };
    for (at, left) in [
        (now + 60 * 60 * 1000, [3, 3, 3, 3]),
        (now + 60 * 60 * 1000 + 1, [3, 3, 3, 1]),
        (now + 7 * day, [3, 3, 3, 1]),
        (now + 7 * day + 1, [1, 3, 3, 1]),
        (now + 90 * day, [1, 3, 3, 1]),
        (now + 90 * day + 1, [1, 2, 1, 1]),
    ] {
        zotify_host::privacy::clear(&host.app, at).await.unwrap();
        assert_eq!(counts().await, left, "{}", at - now);
    }
}

#[tokio::test]
async fn plays_are_forgotten_when_their_time_is_over() {
    let host = TestApp::with("[privacy]\nhistory_days = 10\n").await;
    make(&host, "kanaria").await;
    let day = 24 * 60 * 60 * 1000;
    let count = async || {
        sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM plays").fetch_one(host.app.db.read()).await.unwrap()
    };
    zotify_host::privacy::clear(&host.app, 9 * day).await.unwrap();
    assert_eq!(count().await, 1);
    zotify_host::privacy::clear(&host.app, 11 * day).await.unwrap();
    assert_eq!(count().await, 0);
}
