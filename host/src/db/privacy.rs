//! What is held about one user, over all tables: reading it, and erasing it. Table `erasures`.

use serde_json::{Map, Value};
use sqlx::{
    AssertSqlSafe, Column as _, Row as _,
    any::{AnyExecutor, AnyRow},
};

use super::{Tx, now_ms, state};
use crate::api::rfc3339;

/// Rows that are read at once.
pub const PAGE: usize = 500;

/// The column by which pages of a section follow each other; `$2` in its statement.
#[derive(Clone, Copy, Debug)]
pub enum Key {
    /// A text.
    Text(&'static str),
    /// A number.
    Int(&'static str),
}

/// A part of what is held: rows of one kind.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// What it is called in the document.
    pub name: &'static str,
    /// How its pages follow each other.
    pub key: Key,
    /// One page: `$1` is the user's id (or the account's, in a section of an account), `$2` the last key.
    pub sql: &'static str,
}

macro_rules! text {
    ($name:literal, $key:literal, $sql:literal) => {
        Section { name: $name, key: Key::Text($key), sql: concat!($sql, " ORDER BY ", $key, " LIMIT 500") }
    };
}

macro_rules! int {
    ($name:literal, $key:literal, $sql:literal) => {
        Section { name: $name, key: Key::Int($key), sql: concat!($sql, " ORDER BY ", $key, " LIMIT 500") }
    };
}

/// Everything that is held about a user, but for the libraries of their accounts. Columns named `at` or `…_at` are times,
/// and those of [`JSON`] are documents. No secret and no hash of one is among them.
pub const SECTIONS: [Section; 20] = [
    text!(
        "profile",
        "id",
        "SELECT id, name, email, role, disabled, must_change_password, quota, created_at, updated_at, last_sign_in_at
         FROM users WHERE id = $1 AND id > $2"
    ),
    text!(
        "preferences",
        "user_id",
        "SELECT user_id, doc, history_since, updated_at FROM user_preferences WHERE user_id = $1 AND user_id > $2"
    ),
    text!(
        "sessions",
        "id",
        "SELECT id, kind, address, user_agent, created_at, last_used_at, expires_at, revoked_at
         FROM sessions WHERE user_id = $1 AND id > $2"
    ),
    text!(
        "api_keys",
        "id",
        "SELECT id, name, scopes, created_at, expires_at, last_used_at, revoked_at
         FROM api_keys WHERE user_id = $1 AND id > $2"
    ),
    text!(
        "invites_made",
        "id",
        "SELECT id, role, note, created_at, expires_at, used_at FROM invites WHERE created_by = $1 AND id > $2"
    ),
    text!(
        "invites_used",
        "id",
        "SELECT id, role, created_at, used_at FROM invites WHERE used_by = $1 AND id > $2"
    ),
    text!("likes", "uri", "SELECT uri, liked_at, liked, written_through, pending, code FROM likes WHERE user_id = $1 AND uri > $2"),
    text!(
        "history",
        "id",
        "SELECT id, uri, played_at, heard_ms, source FROM plays WHERE user_id = $1 AND id > $2"
    ),
    text!(
        "deleted_plays",
        "id",
        "SELECT id, uri, begins_at, ends_at FROM deleted_plays WHERE user_id = $1 AND id > $2"
    ),
    text!(
        "positions",
        "uri",
        "SELECT uri, position_ms, finished, updated_at FROM play_positions WHERE user_id = $1 AND uri > $2"
    ),
    text!("consents", "id", "SELECT id, purpose, given, at FROM consents WHERE user_id = $1 AND id > $2"),
    text!(
        "accounts",
        "id",
        "SELECT id, instance, label, remote_key, state, state_code, state_detail, capabilities, checked_at, completeness,
           last_pull_at, last_complete_at, pull_every_s, next_pull_at, created_at, updated_at,
           (SELECT c.scopes FROM account_credentials c WHERE c.account_id = accounts.id) AS scopes,
           (SELECT c.authorized_at FROM account_credentials c WHERE c.account_id = accounts.id) AS authorized_at,
           (SELECT c.ends_at FROM account_credentials c WHERE c.account_id = accounts.id) AS ends_at,
           (SELECT c.dead_code FROM account_credentials c WHERE c.account_id = accounts.id) AS dead_code,
           (SELECT c.dead_detail FROM account_credentials c WHERE c.account_id = accounts.id) AS dead_detail
         FROM accounts WHERE owner = $1 AND id > $2"
    ),
    text!(
        "setup_flows",
        "id",
        "SELECT id, instance, account_id, shared, state, result, code, detail, created_at, updated_at, expires_at
         FROM setup_flows WHERE user_id = $1 AND id > $2"
    ),
    text!(
        "sync_runs",
        "id",
        "SELECT id, account_id, state, completeness, code, detail, upserted, unchanged, moved, removed, dropped, skipped,
           plan, started_at, finished_at
         FROM pull_runs WHERE account_id IN (SELECT id FROM accounts WHERE owner = $1) AND id > $2"
    ),
    text!(
        "sync_skips",
        "entry",
        "SELECT entry, name, code, detail FROM
           (SELECT s.run_id || ' ' || CAST(1000000000 + s.n AS TEXT) AS entry, s.name, s.code, s.detail
            FROM pull_skips s JOIN pull_runs r ON r.id = s.run_id JOIN accounts a ON a.id = r.account_id
            WHERE a.owner = $1) skips
         WHERE entry > $2"
    ),
    text!(
        "jobs",
        "id",
        "SELECT id, kind, state, subject, payload, message, error, created_at, started_at, finished_at
         FROM jobs WHERE user_id = $1 AND id > $2"
    ),
    text!(
        "job_log",
        "entry",
        "SELECT entry, at, level, line FROM
           (SELECT l.job_id || ' ' || CAST(1000000000 + l.seq AS TEXT) AS entry, l.at, l.level, l.line
            FROM job_log l JOIN jobs j ON j.id = l.job_id WHERE j.user_id = $1) lines
         WHERE entry > $2"
    ),
    int!(
        "events",
        "id",
        "SELECT id, type, subject, data, created_at FROM events WHERE user_id = $1 AND id > $2"
    ),
    // Of what others did to the user, where they did it from is theirs.
    int!(
        "audit",
        "seq",
        "SELECT l.seq AS seq, l.at, l.action, l.outcome, l.data,
           CASE WHEN p.actor_id = $1 THEN 1 ELSE 0 END AS by_you, CASE WHEN p.user_id = $1 THEN 1 ELSE 0 END AS about_you,
           CASE WHEN p.actor_id = $1 THEN p.data END AS personal
         FROM audit_personal p JOIN audit_log l ON l.seq = p.seq
         WHERE (p.actor_id = $1 OR p.user_id = $1) AND l.seq > $2"
    ),
    // The address may be empty: those from everywhere.
    text!(
        "sign_in_failures",
        "address",
        "SELECT address, failures, last_at, blocked_until FROM sign_in_failures
         WHERE name_key = (SELECT name_key FROM users WHERE id = $1) AND (address > $2 OR $2 = '')"
    ),
];

/// The items that an account's library holds.
pub const LIBRARY: Section = text!(
    "library",
    "uri",
    "SELECT uri, kind, saved, added_at, updated_at, doc FROM items
     WHERE library = (SELECT id FROM libraries WHERE account_id = $1) AND uri > $2"
);

/// The playlists that an account's library holds.
pub const PLAYLISTS: Section = text!(
    "playlists",
    "uri",
    "SELECT uri, version FROM playlists
     WHERE library = (SELECT id FROM libraries WHERE account_id = $1) AND uri > $2"
);

/// Columns that hold JSON.
const JSON: [&str; 9] = ["data", "doc", "quota", "personal", "plan", "payload", "error", "capabilities", "scopes"];

/// A place in a section.
#[derive(Clone, Debug)]
pub enum After {
    /// Behind this text.
    Text(String),
    /// Behind this number.
    Int(i64),
}

impl Section {
    /// Before the first row.
    pub fn start(&self) -> After {
        match self.key {
            Key::Text(_) => After::Text(String::new()),
            Key::Int(_) => After::Int(i64::MIN),
        }
    }

    /// The place of a row.
    pub fn place(&self, row: &Map<String, Value>) -> After {
        match self.key {
            Key::Text(key) => After::Text(row.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()),
            Key::Int(key) => After::Int(row.get(key).and_then(Value::as_i64).unwrap_or(i64::MAX)),
        }
    }

    /// At most [`PAGE`] rows.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn page(
        &self,
        db: impl AnyExecutor<'_>,
        owner: &str,
        after: After,
    ) -> sqlx::Result<Vec<Map<String, Value>>> {
        let query = sqlx::query(self.sql).bind(owner.to_owned());
        let query = match after {
            After::Text(key) => query.bind(key),
            After::Int(key) => query.bind(key),
        };
        query.fetch_all(db).await?.iter().map(object).collect()
    }
}

/// A row as a JSON object.
fn object(row: &AnyRow) -> sqlx::Result<Map<String, Value>> {
    row.columns()
        .iter()
        .enumerate()
        .map(|(n, column)| Ok((column.name().to_owned(), value(row, n, column.name())?)))
        .collect()
}

fn value(row: &AnyRow, n: usize, name: &str) -> sqlx::Result<Value> {
    if let Ok(text) = row.try_get::<Option<String>, _>(n) {
        let Some(text) = text else { return Ok(Value::Null) };
        let json = JSON.contains(&name).then(|| serde_json::from_str(&text).ok()).flatten();
        return Ok(json.unwrap_or(Value::String(text)));
    }
    let number: i64 = row.try_get(n)?;
    let is_time = name == "at" || name.ends_with("_at");
    Ok(if is_time { rfc3339(number).into() } else { number.into() })
}

const EVENTS: &str = "DELETE FROM events WHERE id IN
     (SELECT id FROM events WHERE user_id = $1 OR subject = $1 OR data LIKE '%' || $1 || '%'
        OR subject IN (SELECT id FROM accounts WHERE owner = $1) LIMIT $2)";
const AUDIT_PERSONAL: &str = "DELETE FROM audit_personal WHERE seq IN
     (SELECT seq FROM audit_personal WHERE actor_id = $1 OR user_id = $1 OR data LIKE '%' || $1 || '%' LIMIT $2)";

/// Statements that erase a user (`$1`), at most `$2` rows at a time. Each is run until it finds nothing more. What a plugin
/// keeps for an account has to go before the account.
pub const ERASE: [&str; 19] = [
    "DELETE FROM jobs WHERE kind <> 'privacy.erase' AND id IN
       (SELECT id FROM jobs WHERE kind <> 'privacy.erase' AND (user_id = $1 OR subject = $1 OR payload LIKE '%' || $1 || '%'
          OR subject IN (SELECT id FROM accounts WHERE owner = $1)) LIMIT $2)",
    "DELETE FROM items WHERE id IN
       (SELECT i.id FROM items i JOIN libraries l ON l.id = i.library JOIN accounts a ON a.id = l.account_id
        WHERE a.owner = $1 LIMIT $2)",
    "DELETE FROM pull_runs WHERE id IN
       (SELECT r.id FROM pull_runs r JOIN accounts a ON a.id = r.account_id WHERE a.owner = $1 LIMIT $2)",
    EVENTS,
    "DELETE FROM setup_flows WHERE id IN (SELECT id FROM setup_flows WHERE user_id = $1 LIMIT $2)",
    "DELETE FROM account_credentials WHERE account_id IN
       (SELECT c.account_id FROM account_credentials c JOIN accounts a ON a.id = c.account_id WHERE a.owner = $1 LIMIT $2)",
    "DELETE FROM budget_use WHERE account_id IN
       (SELECT b.account_id FROM budget_use b JOIN accounts a ON a.id = b.account_id WHERE a.owner = $1 LIMIT $2)",
    "DELETE FROM accounts WHERE id IN (SELECT id FROM accounts WHERE owner = $1 LIMIT $2)",
    "DELETE FROM likes WHERE user_id = $1 AND uri IN (SELECT uri FROM likes WHERE user_id = $1 LIMIT $2)",
    "DELETE FROM plays WHERE id IN (SELECT id FROM plays WHERE user_id = $1 LIMIT $2)",
    "DELETE FROM deleted_plays WHERE id IN (SELECT id FROM deleted_plays WHERE user_id = $1 LIMIT $2)",
    "DELETE FROM play_positions WHERE user_id = $1 AND uri IN
       (SELECT uri FROM play_positions WHERE user_id = $1 LIMIT $2)",
    "DELETE FROM consents WHERE id IN (SELECT id FROM consents WHERE user_id = $1 LIMIT $2)",
    "DELETE FROM user_preferences WHERE user_id IN (SELECT user_id FROM user_preferences WHERE user_id = $1 LIMIT $2)",
    "DELETE FROM invites WHERE id IN (SELECT id FROM invites WHERE created_by = $1 AND used_at IS NULL LIMIT $2)",
    "UPDATE invites SET note = NULL, created_by = NULL WHERE id IN
       (SELECT id FROM invites WHERE created_by = $1 LIMIT $2)",
    "UPDATE invites SET note = NULL, used_by = NULL WHERE id IN (SELECT id FROM invites WHERE used_by = $1 LIMIT $2)",
    "DELETE FROM sign_in_failures WHERE name_key = (SELECT name_key FROM users WHERE id = $1) AND address IN
       (SELECT address FROM sign_in_failures WHERE name_key = (SELECT name_key FROM users WHERE id = $1) LIMIT $2)",
    AUDIT_PERSONAL,
];

/// Runs one of [`ERASE`]; answers how many rows it took.
///
/// # Errors
/// When the database fails.
pub async fn erase(tx: &mut Tx, statement: &'static str, user_id: &str, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query(AssertSqlSafe(statement)).bind(user_id.to_owned()).bind(limit).execute(&mut **tx).await?;
    Ok(done.rows_affected())
}

/// Takes a user's access away: no sign-in, no sessions, no keys; and asks the user's jobs to stop. Answers false where the
/// user is disabled already.
///
/// # Errors
/// When the database fails.
pub async fn lock_out(tx: &mut Tx, user_id: &str) -> sqlx::Result<bool> {
    let disable = "UPDATE users SET disabled = 1 WHERE id = $1 AND disabled = 0";
    if sqlx::query(disable).bind(user_id.to_owned()).execute(&mut **tx).await?.rows_affected() == 0 {
        return Ok(false);
    }
    for statement in [
        "DELETE FROM sessions WHERE user_id = $1",
        "DELETE FROM api_keys WHERE user_id = $1",
        "UPDATE jobs SET cancel_requested = 1 WHERE user_id = $1 AND state IN ('queued', 'waiting', 'running')",
    ] {
        sqlx::query(statement).bind(user_id.to_owned()).execute(&mut **tx).await?;
    }
    Ok(true)
}

/// The ids of a user's jobs that run.
///
/// # Errors
/// When the database fails.
pub async fn running_jobs(db: impl AnyExecutor<'_>, user_id: &str) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar("SELECT id FROM jobs WHERE user_id = $1 AND state = 'running'")
        .bind(user_id.to_owned())
        .fetch_all(db)
        .await
}

/// The accounts of a user: id and instance.
///
/// # Errors
/// When the database fails.
pub async fn accounts(db: impl AnyExecutor<'_>, user_id: &str) -> sqlx::Result<Vec<(String, String)>> {
    sqlx::query_as("SELECT id, instance FROM accounts WHERE owner = $1 ORDER BY id")
        .bind(user_id.to_owned())
        .fetch_all(db)
        .await
}

/// Notes that an erasure was asked for.
///
/// # Errors
/// When the database fails.
pub async fn insert_erasure(tx: &mut Tx, receipt: &str) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO erasures (receipt, requested_at) VALUES ($1, $2)")
        .bind(receipt.to_owned())
        .bind(now_ms())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The last step: the user's row goes, with what was written about the user since the rest went, such as a sign-in that was
/// refused; the receipt says so, and of the job's columns none names the user any more: its
/// payload is `payload`.
///
/// # Errors
/// When the database fails.
pub async fn finish(tx: &mut Tx, user_id: &str, receipt: &str, job: &str, payload: &str) -> sqlx::Result<()> {
    let name_key: Option<String> = sqlx::query_scalar("DELETE FROM users WHERE id = $1 RETURNING name_key")
        .bind(user_id.to_owned())
        .fetch_optional(&mut **tx)
        .await?;
    sqlx::query("DELETE FROM sign_in_failures WHERE name_key = $1").bind(name_key).execute(&mut **tx).await?;
    // Nobody writes an event or to the audit log from here to the end.
    state::lock(tx, "events").await?;
    for statement in [EVENTS, AUDIT_PERSONAL] {
        erase(tx, statement, user_id, i64::MAX).await?;
    }
    sqlx::query("UPDATE erasures SET erased_at = $2 WHERE receipt = $1")
        .bind(receipt.to_owned())
        .bind(now_ms())
        .execute(&mut **tx)
        .await?;
    sqlx::query("UPDATE jobs SET payload = $2, checkpoint = NULL, dedupe_key = NULL WHERE id = $1")
        .bind(job.to_owned())
        .bind(payload.to_owned())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// When an erasure was asked for, and when it was done, Unix milliseconds.
///
/// # Errors
/// When the database fails.
pub async fn find_erasure(db: impl AnyExecutor<'_>, receipt: &str) -> sqlx::Result<Option<(i64, Option<i64>)>> {
    sqlx::query_as("SELECT requested_at, erased_at FROM erasures WHERE receipt = $1")
        .bind(receipt.to_owned())
        .fetch_optional(db)
        .await
}

/// For [`forget`]: plays.
pub const OLD_PLAYS: &str = "DELETE FROM plays WHERE id IN (SELECT id FROM plays WHERE played_at < $1 LIMIT $2)";
/// For [`forget`]: sessions by their end, with their refresh tokens.
pub const ENDED_SESSIONS: &str = "DELETE FROM sessions WHERE id IN
    (SELECT id FROM sessions WHERE expires_at < $1 OR revoked_at < $1 LIMIT $2)";
/// For [`forget`]: keys that were revoked. Those that a configuration set stay: a secret that was revoked must not come back.
pub const REVOKED_KEYS: &str = "DELETE FROM api_keys WHERE id IN
    (SELECT id FROM api_keys WHERE revoked_at < $1 AND bootstrap = 0 LIMIT $2)";
/// For [`forget`]: invitations by their use or their end.
pub const ENDED_INVITES: &str = "DELETE FROM invites WHERE id IN
    (SELECT id FROM invites WHERE COALESCE(used_at, expires_at) < $1 LIMIT $2)";
/// For [`forget`]: accounts that were being connected, by the end of that.
pub const ENDED_FLOWS: &str = "DELETE FROM setup_flows WHERE id IN
    (SELECT id FROM setup_flows WHERE expires_at < $1 LIMIT $2)";
/// For [`forget`]: failed sign-ins, by name and address.
pub const OLD_SIGN_IN_FAILURES: &str = "DELETE FROM sign_in_failures WHERE (name_key, address) IN
    (SELECT name_key, address FROM sign_in_failures WHERE last_at < $1 LIMIT $2)";

/// Forgets what is from before a time (Unix milliseconds), at most `limit` rows; answers how many.
///
/// # Errors
/// When the database fails.
pub async fn forget(tx: &mut Tx, statement: &'static str, before: i64, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query(statement).bind(before).bind(limit).execute(&mut **tx).await?;
    Ok(done.rows_affected())
}
