//! Sessions: what a sign-in starts, refresh tokens or a cookie keep alive, and access tokens name.

mod refresh;

use std::{convert::Infallible, net::IpAddr};

use aws_lc_rs::digest;
use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use ulid::Ulid;
use utoipa::ToSchema;

pub use self::refresh::{IdempotencyKey, refresh};
use super::{cookie, quota};
use crate::{
    App,
    audit::{self, Actor, Entry, Outcome},
    db::{
        self, Tx, now_ms,
        sessions::{LiveSession, NewSession, OpenAt},
    },
    error::ApiError,
    events::{self, Event},
    middleware::client::Client,
};

/// The longest `User-Agent` that is kept, in characters.
const MAX_USER_AGENT: usize = 200;
const MINUTE: i64 = 60 * 1000;
const HOUR: i64 = 60 * MINUTE;

/// How a session is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SessionKind {
    /// By a program, with an access token and a refresh token.
    #[default]
    Api,
    /// By a browser, with a cookie that no script can read.
    Ui,
}

impl SessionKind {
    /// As it stands in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Ui => "ui",
        }
    }

    /// Reads what the database holds.
    pub fn parse(text: &str) -> Self {
        if text == "ui" { Self::Ui } else { Self::Api }
    }
}

/// What a sign-in gives a program.
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

/// What opens a new session.
pub enum Opened {
    /// Tokens, for a program.
    Tokens(Grant),
    /// A cookie's value, and the seconds that it lives.
    Cookie(SecretString, i64),
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

/// Starts a session in the transaction of its sign-in, and ends those that are too many, longest unused first. Answers the
/// session's id and what opens it. Forget recent sessions once it is committed.
///
/// # Errors
/// When the database or signing fails.
pub async fn start(
    app: &App,
    tx: &mut Tx,
    user_id: &str,
    kind: SessionKind,
    origin: &Origin,
) -> Result<(String, Opened), ApiError> {
    let id = Ulid::generate().to_string();
    let (value, cookie_hash) = match kind {
        SessionKind::Api => (None, None),
        SessionKind::Ui => {
            let value = cookie::generate().map_err(ApiError::internal)?;
            let hash = hash(value.expose_secret());
            (Some(value), Some(hash))
        }
    };
    let lifetime = lifetime(app, kind);
    let session = NewSession {
        id: id.clone(),
        user_id: user_id.to_owned(),
        kind: kind.as_str().into(),
        address: Some(origin.address.to_string()),
        user_agent: origin.user_agent.clone(),
        expires_at: now_ms().saturating_add(lifetime),
        cookie_hash,
    };
    // Of two sign-ins at once, the second counts the first one's session.
    db::sessions::lock(tx, user_id).await?;
    db::sessions::insert(tx, &session).await?;
    let opened = match value {
        Some(value) => Opened::Cookie(value, lifetime / 1000),
        None => Opened::Tokens(refresh::first_grant(app, tx, user_id, &id).await?),
    };
    let excess = revoke_excess(app, tx, user_id, &id).await?;
    // What takes the lock of the outbox comes last, or two sign-ins could wait for each other.
    for id in &excess {
        ended(tx, id, user_id, "too_many", Actor::stranger(Some(user_id), origin)).await?;
    }
    let data = json!({ "kind": session.kind, "address": session.address, "user_agent": session.user_agent });
    emit(tx, "session.created", &id, user_id, data).await?;
    Ok((id, opened))
}

/// Ends the sessions above the quota, longest unused first, and never the new one; answers which, for [`ended`].
async fn revoke_excess(app: &App, tx: &mut Tx, user_id: &str, new: &str) -> sqlx::Result<Vec<String>> {
    let limit = quota::of(&mut **tx, &app.config.quotas, user_id).await?.sessions;
    let others = db::sessions::by_last_use(&mut **tx, open_now(app), user_id).await?.into_iter().filter(|id| id != new);
    let mut revoked = Vec::new();
    for id in others.skip(usize::try_from(limit.saturating_sub(1)).unwrap_or(usize::MAX)) {
        if db::sessions::revoke(tx, &id).await? {
            revoked.push(id);
        }
    }
    Ok(revoked)
}

/// Ends a session on behalf of `actor`, with an event and an entry in the audit log; answers whether it was open.
///
/// # Errors
/// When the database fails.
pub async fn end(app: &App, session_id: &str, reason: &str, actor: Actor<'_>) -> sqlx::Result<bool> {
    let mut tx = app.db.write().await?;
    let Some(session) = db::sessions::find_live(&mut *tx, session_id).await? else { return Ok(false) };
    let open = is_open(app, &session) && db::sessions::revoke(&mut tx, session_id).await?;
    if open {
        ended(&mut tx, session_id, &session.user_id, reason, actor).await?;
    }
    tx.commit().await?;
    app.recent_sessions.forget();
    Ok(open)
}

/// Tells that a session has ended: its user, and the audit log.
async fn ended(tx: &mut Tx, id: &str, user_id: &str, reason: &str, actor: Actor<'_>) -> sqlx::Result<()> {
    emit(tx, "session.ended", id, user_id, json!({ "reason": reason })).await?;
    let data = json!({ "session": id, "reason": reason });
    record(tx, "session.ended", Outcome::Ok, actor, user_id, data).await
}

/// Ends a user's sessions but for one, in a transaction that goes on; answers how many were open.
/// Forget recent sessions once it is committed.
///
/// # Errors
/// When the database fails.
pub async fn end_all(tx: &mut Tx, user_id: &str, but: Option<&str>, reason: &str) -> sqlx::Result<u64> {
    let ended = db::sessions::revoke_all(tx, user_id, but).await?;
    if ended > 0 {
        let data = json!({ "reason": reason, "sessions": ended });
        events::emit(tx, Event { kind: "session.ended", subject: None, user: Some(user_id), data }).await?;
    }
    Ok(ended)
}

/// Whether a session has not ended; the user is not looked at.
pub fn is_open(app: &App, session: &LiveSession) -> bool {
    let OpenAt { now, idle_since } = open_now(app);
    let idle = SessionKind::parse(&session.kind) == SessionKind::Ui && session.last_used_at <= idle_since;
    session.revoked_at.is_none() && session.expires_at > now && !idle
}

/// Which sessions count as open at this moment.
pub fn open_now(app: &App) -> OpenAt {
    let now = now_ms();
    OpenAt { now, idle_since: now.saturating_sub(times(app.config.auth.ui_idle_minutes, MINUTE)) }
}

/// How long a session lives: a program's from its last refresh, a browser's from the sign-in; in milliseconds.
fn lifetime(app: &App, kind: SessionKind) -> i64 {
    match kind {
        SessionKind::Api => times(app.config.auth.session_days, 24 * HOUR),
        SessionKind::Ui => times(app.config.auth.ui_session_hours, HOUR),
    }
}

fn times(count: u64, unit: i64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX).saturating_mul(unit)
}

/// What is stored of a random secret. It is random, so a plain hash can't be guessed from.
pub(super) fn hash(secret: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, secret.as_bytes()))
}

async fn emit(tx: &mut Tx, kind: &str, id: &str, user_id: &str, data: serde_json::Value) -> sqlx::Result<()> {
    events::emit(tx, Event { kind, subject: Some(id), user: Some(user_id), data }).await.map(drop)
}

async fn record(
    tx: &mut Tx,
    action: &str,
    outcome: Outcome,
    actor: Actor<'_>,
    user_id: &str,
    data: serde_json::Value,
) -> sqlx::Result<()> {
    audit::record(tx, Entry { action, outcome, actor, user: Some(user_id), data, personal: json!({}) }).await
}
