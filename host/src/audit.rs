//! The audit log: who did what, when and from where, in a chain of hashes that shows every later change.
//!
//! A row's hash is over its own columns and the hash of the row before it. What is personal stands beside it, and the row
//! holds only a salted hash of that: erasing a person deletes it with its salt, and the chain stays whole.

pub mod chain;

use serde_json::{Value, json};

use crate::{
    auth::{Credential, Origin, Principal},
    db::{self, Tx, now_ms},
};

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
    let before = db::audit::newest(&mut **tx).await?;
    let (seq, previous_hash) = before.map_or_else(|| (1, chain::START.to_owned()), |(seq, hash)| (seq + 1, hash));
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
    db::audit::insert(tx, row, personal).await
}
