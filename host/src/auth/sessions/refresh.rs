//! Refresh tokens: each is good for one refresh, which gives the next.

use std::convert::Infallible;

use aws_lc_rs::hmac;
use axum::{extract::FromRequestParts, http::request::Parts};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use super::{Grant, MINUTE, Origin, SessionKind, emit, hash, lifetime, record};
use crate::{
    App,
    audit::{Actor, Outcome},
    auth::principal::check_session,
    db::{
        self, Tx, now_ms,
        refresh_tokens::{Spent, Used},
    },
    error::ApiError,
    secrets::random,
};

/// In front of every refresh token, so that one is known by its looks.
const PREFIX: &str = "ztr_";
/// The longest refresh token that is looked at, in bytes.
const MAX_LENGTH: usize = 128;
/// For how long a lost reply is given again, in milliseconds.
const REPLAY: i64 = MINUTE;
/// The header that names one attempt, however often it is sent.
const HEADER: &str = "idempotency-key";
/// The longest of these, in characters.
const MAX_KEY: usize = 200;

/// The `Idempotency-Key` of a request, as it came.
pub struct IdempotencyKey(Option<Vec<u8>>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.headers.get(HEADER).map(|value| value.as_bytes().to_vec())))
    }
}

impl IdempotencyKey {
    /// # Errors
    /// 400 `invalid_idempotency_key`.
    fn checked(self) -> Result<Option<String>, ApiError> {
        let Some(bytes) = self.0 else { return Ok(None) };
        let text = String::from_utf8(bytes).ok().filter(|text| (1..=MAX_KEY).contains(&text.len()));
        match text.filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic())) {
            Some(text) => Ok(Some(text)),
            None => Err(ApiError::bad_request(
                "invalid_idempotency_key",
                "the Idempotency-Key is 1 to 200 visible ASCII characters, such as a random UUID",
            )),
        }
    }
}

/// Gives a new pair of tokens for a refresh token, which is used up. One that comes a second time was copied: the session
/// ends. With the same `Idempotency-Key`, within a minute, it is the same request again, whose reply was lost: it gets the
/// same refresh token, while that is unused. One that was used longer ago than a session lives is forgotten.
///
/// # Errors
/// 401 `invalid_refresh_token`, `refresh_token_reused`, `session_revoked` or `user_disabled`, 400
/// `invalid_idempotency_key`.
pub async fn refresh(app: &App, refresh_token: &str, key: IdempotencyKey, origin: &Origin) -> Result<Grant, ApiError> {
    let key = key.checked()?;
    if refresh_token.len() > MAX_LENGTH || !refresh_token.starts_with(PREFIX) {
        return Err(invalid());
    }
    let next = match &key {
        Some(key) => successor(&app.tokens.link_key, refresh_token, key),
        None => generate()?,
    };
    let replay_key = key.as_deref().map(hash);
    let mut tx = app.db.write().await?;
    db::sessions::lock_by_refresh_token(&mut tx, &hash(refresh_token)).await?;
    match db::refresh_tokens::spend(&mut tx, &hash(refresh_token), replay_key.as_deref()).await? {
        Spent::Now(id) => {
            let user_id = user_of_open(app, &mut tx, &id).await?;
            let (now, lifetime) = (now_ms(), lifetime(app, SessionKind::Api));
            db::sessions::extend(&mut tx, &id, now.saturating_add(lifetime)).await?;
            db::refresh_tokens::forget_used(&mut tx, &id, now.saturating_sub(lifetime)).await?;
            db::refresh_tokens::insert(&mut tx, &hash(&next), &id).await?;
            tx.commit().await?;
            app.recent_sessions.forget();
            grant(app, &user_id, &id, next)
        }
        Spent::Before(used) if is_replay(&mut tx, &used, replay_key.as_deref(), &next).await? => {
            let user_id = user_of_open(app, &mut tx, &used.session_id).await?;
            grant(app, &user_id, &used.session_id, next)
        }
        Spent::Before(used) => {
            end_family(&mut tx, &used.session_id, origin).await?;
            tx.commit().await?;
            app.recent_sessions.forget();
            let detail = "the refresh token was used before, so the session has ended; sign in again";
            Err(ApiError::unauthorized("refresh_token_reused", detail))
        }
        Spent::Unknown => Err(invalid()),
    }
}

fn invalid() -> ApiError {
    ApiError::unauthorized("invalid_refresh_token", "the refresh token is not one of this server; sign in")
}

async fn user_of_open(app: &App, tx: &mut Tx, session_id: &str) -> Result<String, ApiError> {
    let session = db::sessions::find_live(&mut **tx, session_id).await?.ok_or_else(invalid)?;
    check_session(app, &session)?;
    Ok(session.user_id)
}

async fn is_replay(tx: &mut Tx, used: &Used, replay_key: Option<&str>, next: &str) -> sqlx::Result<bool> {
    let same = replay_key.is_some() && used.replay_key.as_deref() == replay_key;
    Ok(same && now_ms() - used.used_at <= REPLAY && db::refresh_tokens::is_fresh(tx, &hash(next)).await?)
}

/// Ends the session of a refresh token that came twice.
async fn end_family(tx: &mut Tx, session_id: &str, origin: &Origin) -> sqlx::Result<()> {
    let Some(session) = db::sessions::find_live(&mut **tx, session_id).await? else { return Ok(()) };
    let open = db::sessions::revoke(tx, session_id).await?;
    if open {
        emit(tx, "session.ended", session_id, &session.user_id, json!({ "reason": "refresh_token_reused" })).await?;
    }
    let data = json!({ "session": session_id, "session_was_open": open });
    let actor = Actor::stranger(None, origin);
    record(tx, "session.refresh_reused", Outcome::Refused, actor, &session.user_id, data).await
}

/// The first pair of tokens of a session, in the transaction that starts it.
pub(super) async fn first_grant(app: &App, tx: &mut Tx, user_id: &str, session_id: &str) -> Result<Grant, ApiError> {
    let token = generate()?;
    db::refresh_tokens::insert(tx, &hash(&token), session_id).await?;
    grant(app, user_id, session_id, token)
}

fn grant(app: &App, user_id: &str, session_id: &str, refresh_token: String) -> Result<Grant, ApiError> {
    let (access_token, expires_in) = app.tokens.issue(user_id, session_id, app.config.auth.access_token_minutes)?;
    Ok(Grant { access_token, token_type: "bearer", expires_in, refresh_token })
}

fn generate() -> Result<String, ApiError> {
    let random = random::<32>().map_err(ApiError::internal)?;
    Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random)))
}

/// The refresh token that follows another under an idempotency key. It can be made again, so that nothing that opens a
/// session has to be stored, and only by who has the host's key, the former token and the idempotency key.
fn successor(key: &hmac::Key, token: &str, idempotency_key: &str) -> String {
    let length = u64::try_from(token.len()).unwrap_or(u64::MAX).to_be_bytes();
    let parts = [b"zotify refresh 1".as_slice(), &length, token.as_bytes(), idempotency_key.as_bytes()];
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(hmac::sign(key, &parts.concat())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_is_of_one_token_one_idempotency_key_and_one_host() {
        let host = |byte: u8| hmac::Key::new(hmac::HMAC_SHA256, &[byte; 32]);
        let next = successor(&host(1), "ztr_a", "bc");
        assert_eq!(next, successor(&host(1), "ztr_a", "bc"));
        assert_ne!(next, successor(&host(1), "ztr_ab", "c"));
        assert_ne!(next, successor(&host(1), "ztr_a", "bd"));
        assert_ne!(next, successor(&host(2), "ztr_a", "bc"));
        assert_eq!(next.len(), generate().unwrap().len());
    }

    #[test]
    fn idempotency_keys_are_short_and_visible() {
        let check = |text: &str| IdempotencyKey(Some(text.into())).checked();
        assert_eq!(check("a-b").unwrap().as_deref(), Some("a-b"));
        assert_eq!(check(&"x".repeat(MAX_KEY)).unwrap().map(|key| key.len()), Some(MAX_KEY));
        for bad in ["", "a b", "ä", &"x".repeat(MAX_KEY + 1)] {
            assert_eq!(check(bad).unwrap_err().code(), "invalid_idempotency_key", "{bad}");
        }
        assert!(IdempotencyKey(None).checked().unwrap().is_none());
    }
}
