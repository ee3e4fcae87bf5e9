//! API keys: secrets for programs, with scopes of their own.

pub mod bootstrap;
pub mod manage;

use aws_lc_rs::constant_time;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    last_use::{self, Used},
    principal::user_disabled,
    sessions::hash,
};
use crate::{
    AppState,
    db::{
        self,
        api_keys::{KeyRow, LiveKey},
        now_ms,
    },
    error::ApiError,
    secrets::{SecretsError, random},
};

/// In front of every key, so that one is known by its looks.
const MARK: &str = "ztf_";
/// Characters of a key by which it is looked up and shown in lists.
const PREFIX: usize = MARK.len() + 8;
/// Characters of a key: the mark, and 32 random bytes in base64.
const LENGTH: usize = MARK.len() + 43;

/// Whether a key can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// Yes.
    Active,
    /// Its time is over.
    Expired,
    /// Somebody ended it.
    Revoked,
}

impl KeyState {
    /// The state of a key at this moment.
    pub fn of(key: &KeyRow) -> Self {
        match (key.revoked_at, key.expires_at) {
            (Some(_), _) => Self::Revoked,
            (None, Some(at)) if at <= now_ms() => Self::Expired,
            _ => Self::Active,
        }
    }

    /// As it stands in replies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

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
    last_use::note(app, Used::Key(&key));
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
}
