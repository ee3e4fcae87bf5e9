//! Sessions: what a sign-in starts, refresh tokens keep alive and access tokens name.

use std::{convert::Infallible, net::IpAddr};

use aws_lc_rs::digest;
use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use serde_json::json;
use ulid::Ulid;
use utoipa::ToSchema;

use super::principal::check_session;
use crate::{
    App,
    db::{
        self, Tx, now_ms,
        sessions::{NewSession, Spent},
    },
    error::ApiError,
    events::{self, Event},
    middleware::client::Client,
    secrets::random,
};

/// In front of every refresh token, so that one is known by its looks.
const PREFIX: &str = "ztr_";
/// The longest refresh token that is looked at, in bytes.
const MAX_LENGTH: usize = 128;
/// The longest `User-Agent` that is kept, in characters.
const MAX_USER_AGENT: usize = 200;
/// How long ended sessions stay on record, in milliseconds.
const KEEP_ENDED: i64 = 7 * 24 * 60 * 60 * 1000;

/// What a sign-in gives.
#[derive(Clone, Serialize, ToSchema)]
pub struct Grant {
    /// Send this as `Authorization: Bearer …`.
    pub access_token: String,
    /// Always `bearer`.
    #[schema(example = "bearer")]
    pub token_type: &'static str,
    /// Seconds until the access token ends.
    #[schema(example = 900)]
    pub expires_in: i64,
    /// Gets the next access token, once, at `/api/auth/refresh`.
    pub refresh_token: String,
}

/// Where a sign-in comes from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The client's network address.
    pub address: IpAddr,
    /// What the client calls itself.
    pub user_agent: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let Client { ip, .. } = Client::from_request_parts(parts, state).await?;
        let user_agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        Ok(Self { address: ip, user_agent: user_agent.map(|text| text.chars().take(MAX_USER_AGENT).collect()) })
    }
}

/// Starts a session in the transaction of its sign-in.
///
/// # Errors
/// When the database or signing fails.
pub async fn start(app: &App, tx: &mut Tx, user_id: &str, origin: Origin) -> Result<Grant, ApiError> {
    let session = NewSession {
        id: Ulid::generate().to_string(),
        user_id: user_id.to_owned(),
        kind: "api".into(),
        address: Some(origin.address.to_string()),
        user_agent: origin.user_agent,
        expires_at: session_end(app),
    };
    db::sessions::forget_ended(tx, user_id, now_ms() - KEEP_ENDED).await?;
    db::sessions::insert(tx, &session).await?;
    let grant = grant(app, tx, user_id, &session.id).await?;
    let data = json!({ "address": session.address, "user_agent": session.user_agent });
    emit(tx, "session.created", &session.id, user_id, data).await?;
    Ok(grant)
}

/// Gives a new pair of tokens for a refresh token, which is used up. One that comes a second time was copied: the
/// session ends.
///
/// # Errors
/// 401 `invalid_refresh_token`, `refresh_token_reused`, `session_revoked` or `user_disabled`.
pub async fn refresh(app: &App, refresh_token: &str) -> Result<Grant, ApiError> {
    let invalid =
        || ApiError::unauthorized("invalid_refresh_token", "the refresh token is not one of this server; sign in");
    if refresh_token.len() > MAX_LENGTH || !refresh_token.starts_with(PREFIX) {
        return Err(invalid());
    }
    let mut tx = app.db.write().await?;
    let id = match db::sessions::spend_refresh(&mut tx, &hash(refresh_token)).await? {
        Spent::Now(id) => id,
        Spent::Before(id) => {
            end_in(&mut tx, &id, "refresh_token_reused").await?;
            tx.commit().await?;
            app.recent_sessions.forget();
            let detail = "the refresh token was used before, so the session has ended; sign in again";
            return Err(ApiError::unauthorized("refresh_token_reused", detail));
        }
        Spent::Unknown => return Err(invalid()),
    };
    let session = db::sessions::find_live(&mut *tx, &id).await?.ok_or_else(invalid)?;
    check_session(&session)?;
    db::sessions::extend(&mut tx, &id, session_end(app)).await?;
    let grant = grant(app, &mut tx, &session.user_id, &id).await?;
    tx.commit().await?;
    app.recent_sessions.forget();
    Ok(grant)
}

/// Ends a session.
///
/// # Errors
/// When the database fails.
pub async fn end(app: &App, session_id: &str) -> Result<(), ApiError> {
    let mut tx = app.db.write().await?;
    end_in(&mut tx, session_id, "signed_out").await?;
    tx.commit().await?;
    app.recent_sessions.forget();
    Ok(())
}

async fn end_in(tx: &mut Tx, session_id: &str, reason: &str) -> sqlx::Result<()> {
    let Some(session) = db::sessions::find_live(&mut **tx, session_id).await? else { return Ok(()) };
    if db::sessions::revoke(tx, session_id).await? {
        emit(tx, "session.ended", session_id, &session.user_id, json!({ "reason": reason })).await?;
    }
    Ok(())
}

async fn grant(app: &App, tx: &mut Tx, user_id: &str, session_id: &str) -> Result<Grant, ApiError> {
    let random = random::<32>().map_err(ApiError::internal)?;
    let refresh_token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
    db::sessions::insert_refresh(tx, &hash(&refresh_token), session_id).await?;
    let (access_token, expires_in) = app.tokens.issue(user_id, session_id, app.config.auth.access_token_minutes)?;
    Ok(Grant { access_token, token_type: "bearer", expires_in, refresh_token })
}

/// What is stored of a refresh token. It is random, so a plain hash can't be guessed from.
fn hash(refresh_token: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, refresh_token.as_bytes()))
}

fn session_end(app: &App) -> i64 {
    let days = i64::try_from(app.config.auth.session_days).unwrap_or(i64::MAX);
    now_ms().saturating_add(days.saturating_mul(24 * 60 * 60 * 1000))
}

async fn emit(tx: &mut Tx, kind: &str, id: &str, user_id: &str, data: serde_json::Value) -> sqlx::Result<()> {
    events::emit(tx, Event { kind, subject: Some(id), user: Some(user_id), data }).await.map(drop)
}
