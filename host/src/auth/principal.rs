//! The extractors that say who asks.

use std::collections::HashMap;

use axum::{
    extract::{FromRequestParts, Path, Query},
    http::{header, request::Parts},
};
use serde::Deserialize;

use super::{Role, Scopes, signed};
use crate::{
    AppState,
    db::{self, now_ms, sessions::LiveSession},
    error::ApiError,
};

/// Who asks: a user, through a session or a signed link, as they stand at this moment.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The user's id.
    pub user_id: String,
    /// The user's name.
    pub name: String,
    /// The user's role, read live.
    pub role: Role,
    /// What the credential may be used for.
    pub scopes: Scopes,
    /// The session that signed in, or that made the signed link.
    pub session_id: String,
    /// When the credential ends, Unix milliseconds.
    pub expires_at: i64,
}

impl Principal {
    /// Makes sure that the credential may be used for this.
    ///
    /// # Errors
    /// 403 `insufficient_scope`.
    pub fn require(&self, scope: &str) -> Result<(), ApiError> {
        if self.scopes.contains(scope) {
            return Ok(());
        }
        Err(ApiError::forbidden("insufficient_scope", format!("this needs the scope {scope}")))
    }

    /// Whether the user is an admin, and the credential may be used as one.
    pub fn is_admin(&self) -> bool {
        self.role == Role::Admin && self.scopes.contains("admin")
    }
}

impl FromRequestParts<AppState> for Principal {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        // Whoever calls the router within this process may have found out already. No request can bring extensions.
        if let Some(known) = parts.extensions.get::<Self>() {
            return Ok(known.clone());
        }
        let claims = app.tokens.check(bearer(parts)?)?;
        let session = live_session(app, &claims.sid).await?.filter(|s| s.user_id == claims.sub);
        let session = session.ok_or_else(session_revoked)?;
        check_session(&session)?;
        let role = Role::parse(&session.role);
        Ok(Self {
            user_id: session.user_id,
            name: session.name,
            role,
            scopes: Scopes::of_role(role),
            session_id: session.id,
            expires_at: claims.exp.saturating_mul(1000),
        })
    }
}

pub(super) fn bearer(parts: &Parts) -> Result<&str, ApiError> {
    let missing = || {
        ApiError::unauthorized(
            "missing_credentials",
            "sign in at /api/auth/login and send the access token as `Authorization: Bearer …`",
        )
    };
    let value = parts.headers.get(header::AUTHORIZATION).ok_or_else(missing)?;
    let invalid = || ApiError::unauthorized("invalid_token", "the Authorization header is not `Bearer` and a token");
    let (scheme, token) = value.to_str().map_err(|_| invalid())?.split_once(' ').ok_or_else(invalid)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(invalid()) }
}

/// A session with its user, as they were within the last second.
async fn live_session(app: &AppState, id: &str) -> sqlx::Result<Option<LiveSession>> {
    app.recent_sessions.get(id, db::sessions::find_live(app.db.read(), id)).await
}

/// Makes sure that a session is open and its user may act.
///
/// # Errors
/// 401 `session_revoked` or `user_disabled`.
pub(super) fn check_session(session: &LiveSession) -> Result<(), ApiError> {
    if session.revoked_at.is_some() || session.expires_at <= now_ms() {
        return Err(session_revoked());
    }
    if session.disabled == 0 { Ok(()) } else { Err(user_disabled()) }
}

fn session_revoked() -> ApiError {
    ApiError::unauthorized("session_revoked", "the session has ended; sign in again")
}

/// 401 for a user who may not act.
pub(super) fn user_disabled() -> ApiError {
    ApiError::unauthorized("user_disabled", "this user is disabled; ask an admin")
}

/// A principal who is an admin.
#[derive(Clone, Debug)]
pub struct Admin(pub Principal);

impl FromRequestParts<AppState> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let principal = Principal::from_request_parts(parts, app).await?;
        if principal.role != Role::Admin {
            return Err(ApiError::forbidden("admin_required", "only admins may do this"));
        }
        principal.require("admin")?;
        Ok(Self(principal))
    }
}

/// A principal, or the one whose open session made a link that is signed for the `{uri}` in the path.
#[derive(Clone, Debug)]
pub struct MediaPrincipal(pub Principal);

#[derive(Deserialize)]
struct Sig {
    sig: Option<String>,
}

impl FromRequestParts<AppState> for MediaPrincipal {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let sig = Query::<Sig>::try_from_uri(&parts.uri).ok().and_then(|Query(query)| query.sig);
        let Some(sig) = sig.filter(|_| !parts.headers.contains_key(header::AUTHORIZATION)) else {
            return Principal::from_request_parts(parts, app).await.map(Self);
        };
        let path = Path::<HashMap<String, String>>::from_request_parts(parts, app).await;
        let uri = path.ok().and_then(|Path(mut path)| path.remove("uri")).unwrap_or_default();
        let (session_id, expires_at) = signed::verify(app, &uri, &sig)?;
        let session = live_session(app, &session_id).await?.ok_or_else(session_revoked)?;
        check_session(&session)?;
        let role = Role::parse(&session.role);
        let LiveSession { user_id, name, .. } = session;
        Ok(Self(Principal { user_id, name, role, scopes: Scopes::of_link(), session_id, expires_at }))
    }
}
