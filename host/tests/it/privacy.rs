//! What the host holds about a user: the export, the erasure, consents.

mod erasure;
mod retention;

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

use crate::support::TestApp;

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
    "INSERT INTO play_positions VALUES ($1, 'local:track:@-begun', 1, 0, 1)",
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

async fn execute(host: &TestApp, sql: &'static str) {
    let mut tx = host.app.db.write().await.unwrap();
    sqlx::query(sql).execute(&mut *tx).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    tx.commit().await.unwrap();
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
