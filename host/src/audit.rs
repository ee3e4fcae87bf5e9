//! The audit log: who did what, when and from where, in a chain of hashes that shows every later change.
//!
//! A row's hash is over its own columns and the hash of the row before it. What is personal stands beside it, and the row
//! holds only a salted hash of that: erasing a person deletes it with its salt, and the chain stays whole.

pub mod chain;
pub mod config;
pub mod export;
pub mod marks;
pub mod retain;
pub mod verify;
pub mod witness;

use std::time::Duration;

use serde_json::{Value, json};

use self::marks::Mark;
use crate::{
    App, AppState,
    auth::{Credential, Origin, Principal},
    db::{self, Tx, now_ms},
};

/// How often the end of the log is sealed.
const SEAL_EVERY: Duration = Duration::from_secs(60);
/// How long a stop waits for that.
const SEAL_AT_STOP: Duration = Duration::from_secs(2);

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Ok,
    /// It was refused.
    Refused,
}

/// Who does something, and how.
#[derive(Clone, Debug)]
pub struct Actor<'a> {
    /// The user's id, where there is one.
    user_id: Option<&'a str>,
    /// `session`, `ui`, `key`, `bootstrap_key`, `command` or `host`.
    via: &'static str,
    /// The session's or key's id.
    credential: Option<&'a str>,
    /// From where.
    origin: Option<&'a Origin>,
}

impl<'a> Actor<'a> {
    /// Who asks over the API.
    pub fn principal(principal: &'a Principal, origin: &'a Origin) -> Self {
        let (via, id) = match &principal.credential {
            Credential::Session { id, .. } => ("session", id),
            Credential::Ui { id, .. } => ("ui", id),
            Credential::Key { id, bootstrap: false } => ("key", id),
            Credential::Key { id, bootstrap: true } => ("bootstrap_key", id),
        };
        Self { user_id: Some(&principal.user_id), via, credential: Some(id), origin: Some(origin) }
    }

    /// Somebody who is not signed in: nobody known, or the user that they will be.
    pub fn stranger(user_id: Option<&'a str>, origin: &'a Origin) -> Self {
        Self { user_id, via: "session", credential: None, origin: Some(origin) }
    }

    /// Whoever may run the program on the host's machine.
    pub const COMMAND: Actor<'static> = Actor { user_id: None, via: "command", credential: None, origin: None };
    /// The host by itself.
    pub const HOST: Actor<'static> = Actor { user_id: None, via: "host", credential: None, origin: None };
}

/// Something to put on record.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// What was done, such as `session.created`.
    pub action: &'a str,
    /// What became of it.
    pub outcome: Outcome,
    /// Who did it.
    pub actor: Actor<'a>,
    /// The id of the user to whom it was done.
    pub user: Option<&'a str>,
    /// An object with what is not personal: kinds, counts, ids of things that are no user, codes. Never a secret.
    pub data: Value,
    /// An object with what is: names, addresses, ids of users. Never a secret.
    pub personal: Value,
}

/// Appends an entry in the transaction of what it tells about, which holds a lock from here to its end: do it late.
///
/// # Errors
/// When the database fails.
pub async fn record(tx: &mut Tx, entry: Entry<'_>) -> sqlx::Result<()> {
    // The outbox's lock: with one of its own, two transactions could wait for each other.
    db::state::lock(tx, "events").await?;
    // Where rows were cut off, the log goes on after them, and the gap stays to be seen.
    let newest = db::audit::newest(&mut **tx).await?.map(|(seq, hash)| Mark { seq, hash });
    let newest_seq = newest.as_ref().map_or(0, |mark| mark.seq);
    let before = marks::head(&mut **tx).await?.or(newest).unwrap_or_default();
    let (seq, previous_hash) = (before.seq.max(newest_seq).saturating_add(1), before.hash);
    let actor = entry.actor;
    let mut data = entry.data;
    if let Value::Object(data) = &mut data {
        data.insert("via".into(), actor.via.into());
    }
    let personal = json!({
        "credential": actor.credential,
        "address": actor.origin.map(|origin| origin.address.to_string()),
        "user_agent": actor.origin.and_then(|origin| origin.user_agent.as_deref()),
        "details": entry.personal,
    });
    let personal = db::audit::PersonalRow {
        seq,
        actor_id: actor.user_id.map(str::to_owned),
        user_id: entry.user.map(str::to_owned),
        salt: chain::salt()?,
        data: personal.to_string(),
    };
    let mut row = db::audit::AuditRow {
        seq,
        at: now_ms(),
        action: entry.action.to_owned(),
        outcome: match entry.outcome {
            Outcome::Ok => "ok".into(),
            Outcome::Refused => "refused".into(),
        },
        data: data.to_string(),
        personal_hash: chain::personal_hash(&personal),
        previous_hash,
        hash: String::new(),
    };
    row.hash = chain::hash(&row);
    marks::set_head(tx, &Mark { seq, hash: row.hash.clone() }).await?;
    db::audit::insert(tx, row, personal).await
}

/// Puts the start on record, and seals the log from time to time until the host stops.
///
/// # Errors
/// When the database fails.
pub async fn start(app: &AppState) -> sqlx::Result<()> {
    let mut tx = app.db.write().await?;
    // As in `record`: of several nodes that start, one is the first.
    db::state::lock(&mut tx, "events").await?;
    let new = verify::is_new(&mut tx, &app.secrets).await?;
    record(&mut tx, by_host(verify::STARTED, json!({ "version": env!("CARGO_PKG_VERSION") }))).await?;
    config::record_changes(&mut tx, &app.config, &app.secrets).await?;
    if new {
        marks::seal_end(&mut tx, &app.secrets).await?;
    }
    tx.commit().await?;
    seal(app).await;
    let app = app.clone();
    let shutdown = app.shutdown.clone();
    app.tasks.clone().spawn(async move {
        while shutdown.run_until_cancelled(tokio::time::sleep(SEAL_EVERY)).await.is_some() {
            seal(&app).await;
        }
    });
    Ok(())
}

/// Puts the stop on record.
pub async fn stop(app: &App) {
    let stop = async {
        let mut tx = app.db.write().await?;
        record(&mut tx, by_host("host.stopped", json!({}))).await?;
        tx.commit().await?;
        seal(app).await;
        Ok::<_, sqlx::Error>(())
    };
    match tokio::time::timeout(SEAL_AT_STOP, stop).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!("the stop is not on record: {error}"),
        Err(_) => tracing::warn!("the stop is not on record: the database does not answer"),
    }
}

/// An entry about what the host did by itself.
fn by_host(action: &str, data: Value) -> Entry<'_> {
    Entry { action, outcome: Outcome::Ok, actor: Actor::HOST, user: None, data, personal: json!({}) }
}

async fn seal(app: &App) {
    match verify::advance_seal(&app.db, &app.secrets, &app.witness).await {
        Ok(Ok(())) => {}
        Ok(Err(fault)) => tracing::error!("the audit log is not whole, see `zotify-host audit verify`: {fault}"),
        Err(error) => tracing::warn!("the audit log can't be sealed: {error}"),
    }
}
