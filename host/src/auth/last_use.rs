//! When sessions and API keys were last used, to the minute and off the path of the requests.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use crate::{
    AppState,
    db::{self, api_keys::LiveKey, now_ms, sessions::LiveSession},
};

/// How exact it is, in milliseconds.
const EVERY: i64 = 60 * 1000;
/// Sessions and keys that are remembered at most.
const CAPACITY: usize = 10_000;

/// When this node noted a use, by session and key: no two have the same id.
#[derive(Default)]
pub struct LastUse(Mutex<HashMap<String, i64>>);

impl LastUse {
    /// Whether a use at this time (Unix milliseconds) has to be noted; it is so once a minute.
    fn is_due(&self, id: &str, now: i64) -> bool {
        // Nothing panics while it is held, and a map has no half states.
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.get(id).is_some_and(|at| now - at < EVERY) {
            return false;
        }
        if noted.len() >= CAPACITY {
            noted.retain(|_, at| now - *at < EVERY);
        }
        if noted.len() >= CAPACITY {
            noted.clear();
        }
        noted.insert(id.to_owned(), now);
        true
    }
}

/// What somebody uses.
#[derive(Clone, Copy)]
pub(super) enum Used<'a> {
    /// A session.
    Session(&'a LiveSession),
    /// An API key.
    Key(&'a LiveKey),
}

/// Notes that something is used now.
pub(super) fn note(app: &AppState, used: Used<'_>) {
    let now = now_ms();
    let (id, known, is_key) = match used {
        Used::Session(session) => (&session.id, Some(session.last_used_at), false),
        Used::Key(key) => (&key.id, key.last_used_at, true),
    };
    if known.is_some_and(|at| now - at < EVERY) || !app.last_use.is_due(id, now) {
        return;
    }
    let (app, id) = (app.clone(), id.clone());
    app.tasks.clone().spawn(async move {
        let write = async {
            let mut tx = app.db.write().await?;
            match is_key {
                true => db::api_keys::set_last_used(&mut tx, &id, now).await?,
                false => db::sessions::touch(&mut tx, &id, now).await?,
            }
            tx.commit().await
        };
        if let Err(error) = write.await {
            tracing::warn!("when {id} was last used is not on record: {error}");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_noted_once_a_minute() {
        let last_use = LastUse::default();
        assert!(last_use.is_due("a", 0));
        assert!(!last_use.is_due("a", EVERY - 1));
        assert!(last_use.is_due("b", 1));
        assert!(last_use.is_due("a", EVERY));
        for n in 0..2 * CAPACITY {
            last_use.is_due(&n.to_string(), EVERY);
        }
        assert!(last_use.0.lock().unwrap().len() <= CAPACITY);
    }
}
