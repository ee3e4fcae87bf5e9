//! The extractors that say who asks.

use std::collections::HashMap;

use axum::{
    extract::{FromRequestParts, MatchedPath, Path, Query},
    http::{HeaderName, header, request::Parts},
};
use serde::Deserialize;

use super::{
    Role, Scopes, cookie, keys,
    last_use::{self, Used},
    quota::Quota,
    sessions, signed,
};
use crate::{
    App, AppState,
    db::{self, api_keys::LiveKey, now_ms, sessions::LiveSession},
    error::ApiError,
    middleware::rate,
};

/// The header that holds an API key.
pub const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// How long after a sign-in the gravest things may be done, in milliseconds.
const RECENT: i64 = 5 * 60 * 1000;
/// All that a user may do who has to set another password first.
const BEFORE_PASSWORD_CHANGE: [&str; 5] =
    ["/api/auth/status", "/api/auth/logout", "/api/auth/password", "/ui/password", "/ui/sign-out"];

/// Where the bootstrap key may act as if somebody had signed in: what a first set-up needs.
const SET_UP: [&str; 3] = ["/api/admin/users", "/api/admin/invites", "/api/user/keys"];

/// By what somebody asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A session of a program that holds its tokens itself.
    Session {
        /// The session's id.
        id: String,
        /// When the password was given, Unix milliseconds.
        signed_in_at: i64,
    },
    /// A browser's session, known by a cookie.
    Ui {
        /// The session's id.
        id: String,
        /// When the password was given, Unix milliseconds.
        signed_in_at: i64,
    },
    /// An API key.
    Key {
        /// The key's id.
        id: String,
        /// It is the bootstrap key, and the endpoint one that it may use as if somebody had signed in.
        bootstrap: bool,
    },
}

/// Who asks: a user, through a session, a key or a signed link, as they stand at this moment.
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
    /// By what they ask; for a signed link, what made it.
    pub credential: Credential,
    /// When the credential ends, Unix milliseconds; none: never.
    pub expires_at: Option<i64>,
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

    /// Makes sure that somebody signed in: keys may not make keys, change passwords or administer users. The bootstrap key
    /// may, where a first set-up needs it.
    ///
    /// # Errors
    /// 403 `session_required`.
    pub fn require_session(&self) -> Result<(), ApiError> {
        match self.credential {
            Credential::Session { .. } | Credential::Ui { .. } | Credential::Key { bootstrap: true, .. } => Ok(()),
            Credential::Key { bootstrap: false, .. } => {
                Err(ApiError::forbidden("session_required", "an API key can't do this; sign in with a password"))
            }
        }
    }

    /// Makes sure that the password was given a moment ago.
    ///
    /// # Errors
    /// 403 `session_required` or `reauthentication_required`.
    pub fn require_recent_sign_in(&self) -> Result<(), ApiError> {
        self.require_session()?;
        match self.credential {
            Credential::Session { signed_in_at, .. } | Credential::Ui { signed_in_at, .. }
                if now_ms().saturating_sub(signed_in_at) <= RECENT =>
            {
                Ok(())
            }
            _ => Err(ApiError::forbidden(
                "reauthentication_required",
                "this is only possible within 5 minutes of a sign-in; sign in again and repeat it",
            )),
        }
    }

    /// The session by which they ask; none for a key.
    pub fn session_id(&self) -> Option<&str> {
        match &self.credential {
            Credential::Session { id, .. } | Credential::Ui { id, .. } => Some(id),
            Credential::Key { .. } => None,
        }
    }

    /// `expires_at` is when the token ends, or the session where that is known by a cookie.
    pub(super) fn of_session(session: LiveSession, scopes: Option<Scopes>, expires_at: i64) -> Self {
        let role = Role::parse(&session.role);
        let (id, signed_in_at) = (session.id, session.created_at);
        Self {
            user_id: session.user_id,
            name: session.name,
            role,
            scopes: scopes.unwrap_or_else(|| Scopes::of_role(role)),
            credential: match session.kind.as_str() {
                "ui" => Credential::Ui { id, signed_in_at },
                _ => Credential::Session { id, signed_in_at },
            },
            expires_at: Some(expires_at),
        }
    }

    /// `path` is the template of the endpoint's path.
    fn of_key(key: LiveKey, path: &str) -> Self {
        let role = Role::parse(&key.role);
        // Its user may have lost a role since the key was made.
        let scopes = key.scopes.split(' ').collect::<Scopes>().common(Scopes::of_role(role));
        let bootstrap = key.bootstrap != 0 && SET_UP.iter().any(|allowed| path.starts_with(allowed));
        let credential = Credential::Key { id: key.id, bootstrap };
        Self { user_id: key.user_id, name: key.name, role, scopes, credential, expires_at: key.expires_at }
    }
}

impl FromRequestParts<AppState> for Principal {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        // Whoever calls the router within this process may have found out already. No request can bring extensions.
        if let Some(known) = parts.extensions.get::<Self>() {
            return Ok(known.clone());
        }
        if let Some(key) = parts.headers.get(API_KEY) {
            if parts.headers.contains_key(header::AUTHORIZATION) {
                let detail = "send either an access token or an API key, not both";
                return Err(ApiError::bad_request("several_credentials", detail));
            }
            let key = keys::check(app, key.to_str().unwrap_or_default()).await?;
            check_password_change(parts, key.must_change_password)?;
            count(app, parts, &key.user_id, key.quota.as_deref())?;
            return Ok(Self::of_key(key, endpoint(parts)));
        }
        let (session, expires_at) = match cookie::value(&parts.headers) {
            Some(value) if !parts.headers.contains_key(header::AUTHORIZATION) => {
                cookie::check_same_site(&app.config, &parts.method, &parts.uri, &parts.headers, false).await?;
                let session = cookie_session(app, value).await?.ok_or_else(session_revoked)?;
                let expires_at = session.expires_at;
                (session, expires_at)
            }
            _ => {
                let claims = app.tokens.check_on(app, bearer(parts)?).await?;
                let session = live_session(app, &claims.sid).await?.filter(|s| s.user_id == claims.sub);
                (session.ok_or_else(session_revoked)?, claims.exp.saturating_mul(1000))
            }
        };
        check_session(app, &session)?;
        check_password_change(parts, session.must_change_password)?;
        count(app, parts, &session.user_id, session.quota.as_deref())?;
        last_use::note(app, Used::Session(&session));
        Ok(Self::of_session(session, None, expires_at))
    }
}

/// Counts a request of a user.
///
/// # Errors
/// 429 `rate_limited`.
fn count(app: &App, parts: &Parts, user_id: &str, quota: Option<&str>) -> Result<(), ApiError> {
    let per_minute = Quota::parse(quota).over(&app.config.quotas).requests_per_minute;
    rate::count_user(&app.rates, user_id, per_minute, parts.extensions.get())
}

/// Makes sure that a user who has to set another password does that first.
///
/// # Errors
/// 403 `password_change_required`.
fn check_password_change(parts: &Parts, must_change: i64) -> Result<(), ApiError> {
    if must_change == 0 || BEFORE_PASSWORD_CHANGE.contains(&endpoint(parts)) {
        return Ok(());
    }
    let detail = "an admin wants you to set another password first: POST /api/auth/password";
    Err(ApiError::forbidden("password_change_required", detail))
}

/// The template of the endpoint's path.
fn endpoint(parts: &Parts) -> &str {
    parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str)
}

pub(super) fn bearer(parts: &Parts) -> Result<&str, ApiError> {
    let missing = || {
        ApiError::unauthorized(
            "missing_credentials",
            "sign in at /api/auth/login and send the access token as `Authorization: Bearer …`, or an API key as `X-API-Key`",
        )
    };
    let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or_else(missing)?;
    if values.next().is_some() {
        return Err(ApiError::bad_request("several_credentials", "send one Authorization header, not several"));
    }
    let invalid = || ApiError::unauthorized("invalid_token", "the Authorization header is not `Bearer` and a token");
    let (scheme, token) = value.to_str().map_err(|_| invalid())?.split_once(' ').ok_or_else(invalid)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(invalid()) }
}

/// A session with its user, as they were within the last second.
async fn live_session(app: &App, id: &str) -> sqlx::Result<Option<LiveSession>> {
    app.recent_sessions.get(id, db::sessions::find_live(app.db.read(), id)).await
}

/// The session that a cookie's value stands for, as it was within the last second.
async fn cookie_session(app: &App, value: &str) -> sqlx::Result<Option<LiveSession>> {
    let hash = sessions::hash(value);
    app.recent_sessions.get(&hash, db::sessions::find_live_by_cookie(app.db.read(), &hash)).await
}

/// Makes sure that a session is open and its user may act.
///
/// # Errors
/// 401 `session_revoked` or `user_disabled`.
pub(super) fn check_session(app: &App, session: &LiveSession) -> Result<(), ApiError> {
    if !sessions::is_open(app, session) {
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
        let signed_in = parts.headers.contains_key(header::AUTHORIZATION) || parts.headers.contains_key(API_KEY);
        let Some(sig) = sig.filter(|_| !signed_in) else {
            return Principal::from_request_parts(parts, app).await.map(Self);
        };
        let path = Path::<HashMap<String, String>>::from_request_parts(parts, app).await;
        let uri = path.ok().and_then(|Path(mut path)| path.remove("uri")).unwrap_or_default();
        let (maker, expires_at) = signed::verify(app, &uri, &sig)?;
        signer(app, parts, &maker, expires_at).await.map(Self)
    }
}

/// Who made a signed link, with what the link is worth.
async fn signer(app: &App, parts: &Parts, maker: &Credential, expires_at: i64) -> Result<Principal, ApiError> {
    match maker {
        Credential::Session { id, .. } | Credential::Ui { id, .. } => {
            let session = live_session(app, id).await?.ok_or_else(session_revoked)?;
            check_session(app, &session)?;
            check_password_change(parts, session.must_change_password)?;
            count(app, parts, &session.user_id, session.quota.as_deref())?;
            Ok(Principal::of_session(session, Some(Scopes::of_link()), expires_at))
        }
        Credential::Key { id, .. } => {
            let key = app.recent_keys.get(id, db::api_keys::find_live_by_id(app.db.read(), id)).await?;
            let key = key.ok_or_else(|| ApiError::unauthorized("api_key_revoked", "the API key is gone"))?;
            keys::check_live(&key)?;
            check_password_change(parts, key.must_change_password)?;
            count(app, parts, &key.user_id, key.quota.as_deref())?;
            let principal = Principal::of_key(key, "");
            let scopes = principal.scopes.common(Scopes::of_link());
            Ok(Principal { scopes, expires_at: Some(expires_at), ..principal })
        }
    }
}
