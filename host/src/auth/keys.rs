//! API keys: secrets for programs, with scopes of their own.

pub mod bootstrap;
pub mod manage;

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use aws_lc_rs::{constant_time, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::principal::user_disabled;
use crate::{
    AppState,
    db::{self, api_keys::LiveKey, now_ms},
    error::ApiError,
    secrets::{SecretsError, random},
};

/// In front of every key, so that one is known by its looks.
const MARK: &str = "ztf_";
/// Characters of a key by which it is looked up and shown in lists.
const PREFIX: usize = MARK.len() + 8;
/// Characters of a key: the mark, and 32 random bytes in base64.
const LENGTH: usize = MARK.len() + 43;
/// How exactly it is known when a key was last used, in milliseconds.
const USE_EXACTNESS: i64 = 60 * 1000;
/// Keys whose last use is remembered at most.
const MAX_USES: usize = 10_000;

/// A new key.
pub struct NewSecret {
    /// All of it, to be shown once.
    pub secret: String,
    /// Its beginning, by which it is looked up.
    pub prefix: String,
    /// What is stored of it. It is random, so a plain hash can't be guessed from.
    pub hash: String,
}

impl NewSecret {
    /// Makes one.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn generate() -> Result<Self, SecretsError> {
        Ok(Self::of(format!("{MARK}{}", URL_SAFE_NO_PAD.encode(random::<32>()?))))
    }

    fn of(secret: String) -> Self {
        Self { prefix: secret.chars().take(PREFIX).collect(), hash: hash(&secret), secret }
    }
}

/// Whether a text has the form of a key.
pub fn is_key(text: &str) -> bool {
    let is_base64 = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
    text.len() == LENGTH && text.strip_prefix(MARK).is_some_and(|random| random.bytes().all(is_base64))
}

/// When keys were last used on this node, so that not every request writes it down.
#[derive(Default)]
pub struct Uses(Mutex<HashMap<String, i64>>);

impl Uses {
    /// Whether a use at `now` should be written down, `written` being what the database knows (both Unix milliseconds).
    fn is_due(&self, id: &str, written: Option<i64>, now: i64) -> bool {
        let recent = |at: i64| now.saturating_sub(at) < USE_EXACTNESS;
        if written.is_some_and(recent) {
            return false;
        }
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if uses.get(id).copied().is_some_and(recent) {
            return false;
        }
        if uses.len() >= MAX_USES {
            uses.clear();
        }
        uses.insert(id.to_owned(), now);
        true
    }
}

/// Writes down that a key was used, beside the request that used it.
fn note_use(app: &AppState, key: &LiveKey) {
    let now = now_ms();
    if !app.key_uses.is_due(&key.id, key.last_used_at, now) {
        return;
    }
    let (app, id) = (app.clone(), key.id.clone());
    app.tasks.clone().spawn(async move {
        let write = async {
            let mut tx = app.db.write().await?;
            db::api_keys::set_last_used(&mut tx, &id, now).await?;
            tx.commit().await
        };
        if let Err(error) = write.await {
            tracing::warn!("the last use of API key {id} can't be written down: {error}");
        }
    });
}

/// The key that this is, if it may be used now.
///
/// # Errors
/// 401 `invalid_api_key`, `api_key_revoked`, `api_key_expired` or `user_disabled`.
pub(super) async fn check(app: &AppState, secret: &str) -> Result<LiveKey, ApiError> {
    let invalid = || ApiError::unauthorized("invalid_api_key", "the X-API-Key header holds no key of this server");
    if !is_key(secret) {
        return Err(invalid());
    }
    let prefix = secret.get(..PREFIX).ok_or_else(invalid)?;
    let key = app.recent_keys.get(prefix, db::api_keys::find_live(app.db.read(), prefix)).await?;
    let key = key.ok_or_else(invalid)?;
    constant_time::verify_slices_are_equal(hash(secret).as_bytes(), key.hash.as_bytes()).map_err(|_| invalid())?;
    if key.secret_expires_at.is_some_and(|at| at <= now_ms()) {
        return Err(ApiError::unauthorized("api_key_expired", "this secret was replaced by a new one and has ended"));
    }
    check_live(&key)?;
    note_use(app, &key);
    Ok(key)
}

/// Makes sure that a key is open and its user may act.
///
/// # Errors
/// 401 `api_key_revoked`, `api_key_expired` or `user_disabled`.
pub(super) fn check_live(key: &LiveKey) -> Result<(), ApiError> {
    if key.revoked_at.is_some() {
        return Err(ApiError::unauthorized("api_key_revoked", "this API key was revoked"));
    }
    if key.expires_at.is_some_and(|at| at <= now_ms()) {
        return Err(ApiError::unauthorized("api_key_expired", "this API key has ended; make a new one"));
    }
    if key.disabled == 0 { Ok(()) } else { Err(user_disabled()) }
}

fn hash(secret: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, secret.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_known_by_their_looks_and_new_each_time() {
        let (a, b) = (NewSecret::generate().unwrap(), NewSecret::generate().unwrap());
        assert_ne!(a.prefix, b.prefix);
        assert_eq!((a.secret.len(), a.prefix.len()), (LENGTH, PREFIX));
        assert!(a.secret.starts_with(&a.prefix) && a.prefix.starts_with(MARK));
        assert_eq!(a.hash, hash(&a.secret));
        assert!(is_key(&a.secret));
        for bad in ["", "ztf_", &a.secret[1..], &a.secret[..46], &format!("{}=", &a.secret[..46]), &"é".repeat(23)] {
            assert!(!is_key(bad), "{bad}");
        }
    }

    #[test]
    fn a_use_is_written_once_a_minute() {
        let uses = Uses::default();
        assert!(uses.is_due("a", None, 100_000));
        assert!(!uses.is_due("a", None, 159_999), "it is being written");
        assert!(uses.is_due("b", Some(40_000), 100_000));
        assert!(!uses.is_due("c", Some(40_001), 100_000), "another node wrote it");
        assert!(uses.is_due("a", Some(100_000), 160_000));
        for n in 0..2 * MAX_USES {
            uses.is_due(&n.to_string(), None, 0);
        }
        assert!(uses.0.lock().unwrap().len() <= MAX_USES);
    }
}
