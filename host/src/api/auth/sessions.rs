//! `/api/auth/sessions`: where the caller is signed in.

use axum::{extract::State, http::StatusCode};
use serde::Serialize;
use serde_json::json;
use ulid::Ulid;
use utoipa::ToSchema;

use super::password::SessionsEnded;
use crate::{
    AppState,
    api::{
        extract::{Json, Path},
        page::{Page, Paging},
        rfc3339,
    },
    audit::{self, Actor, Entry, Outcome},
    auth::{
        Origin, Principal,
        sessions::{self, SessionKind},
    },
    db::{self, sessions::OpenSession},
    error::{ApiError, ApiResult},
};

/// What the cursors of this list name.
const LIST: &str = "sessions";

/// An open session.
#[derive(Serialize, ToSchema)]
pub struct Session {
    /// The session's id.
    #[schema(example = "01KAZ6V1RJQ6Y0M3ZC5M8D2N4T")]
    id: String,
    /// How it is held.
    kind: SessionKind,
    /// The network address that it was started from.
    address: Option<String>,
    /// What the client called itself.
    user_agent: Option<String>,
    /// When the password was given, RFC 3339 UTC.
    created_at: String,
    /// To the minute, RFC 3339 UTC.
    last_used_at: String,
    /// RFC 3339 UTC.
    expires_at: String,
    /// Whether it is the one that asks.
    current: bool,
}

impl Session {
    /// As the caller sees it.
    pub fn of(row: OpenSession, principal: &Principal) -> Self {
        Self {
            current: principal.session_id() == Some(&row.id),
            id: row.id,
            kind: SessionKind::parse(&row.kind),
            address: row.address,
            user_agent: row.user_agent,
            created_at: rfc3339(row.created_at),
            last_used_at: rfc3339(row.last_used_at),
            expires_at: rfc3339(row.expires_at),
        }
    }
}

/// The caller's open sessions, the newest first.
///
/// # Errors
/// 400 `invalid_limit` or `invalid_cursor`.
#[utoipa::path(
    get, path = "/api/auth/sessions", operation_id = "list_sessions", tag = "Sign-in", params(Paging),
    responses((status = 200, description = "A page of sessions.", body = Page<Session>)),
    security(("bearer" = ["profile"]), ("api_key" = ["profile"]))
)]
pub async fn list_sessions(
    State(app): State<AppState>,
    principal: Principal,
    paging: Paging,
) -> ApiResult<Page<Session>> {
    principal.require("profile")?;
    let before = paging.after::<Ulid>(LIST)?.map(|id| id.to_string());
    let (at, user) = (sessions::open_now(&app), Some(principal.user_id.as_str()));
    let rows = db::sessions::list_open(app.db.read(), at, user, before, paging.limit() + 1).await?;
    Ok(Page::cut(LIST, &paging, rows, |row| row.id.clone()).map(|row| Session::of(row, &principal)))
}

/// Ends one of the caller's sessions, also this one.
///
/// # Errors
/// 403 `session_required` with an API key, 404 `session_not_found`.
#[utoipa::path(
    delete, path = "/api/auth/sessions/{id}", operation_id = "revoke_session", tag = "Sign-in",
    params(("id" = String, Path, description = "The session's id.")),
    responses((status = 204, description = "It has ended.")),
    security(("bearer" = ["profile"]))
)]
pub async fn revoke_session(
    State(app): State<AppState>,
    principal: Principal,
    origin: Origin,
    Path(id): Path<String>,
) -> ApiResult<StatusCode> {
    principal.require("profile")?;
    principal.require_session()?;
    let id = id.parse::<Ulid>().map_err(|_| not_found())?.to_string();
    let session = db::sessions::find_live(app.db.read(), &id).await?;
    session.filter(|session| session.user_id == principal.user_id).ok_or_else(not_found)?;
    if sessions::end(&app, &id, "revoked", Actor::principal(&principal, &origin)).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(not_found())
}

/// Ends all of the caller's sessions but this one.
///
/// # Errors
/// 403 `session_required` with an API key.
#[utoipa::path(
    delete, path = "/api/auth/sessions", operation_id = "revoke_other_sessions", tag = "Sign-in",
    responses((status = 200, description = "How many have ended.", body = SessionsEnded)),
    security(("bearer" = ["profile"]))
)]
pub async fn revoke_other_sessions(
    State(app): State<AppState>,
    principal: Principal,
    origin: Origin,
) -> ApiResult<Json<SessionsEnded>> {
    principal.require("profile")?;
    principal.require_session()?;
    let mut tx = app.db.write().await?;
    let sessions_ended = sessions::end_all(&mut tx, &principal.user_id, principal.session_id(), "revoked").await?;
    let entry = Entry {
        action: "session.ended",
        outcome: Outcome::Ok,
        actor: Actor::principal(&principal, &origin),
        user: Some(&principal.user_id),
        data: json!({ "reason": "revoked", "sessions": sessions_ended }),
        personal: json!({}),
    };
    audit::record(&mut tx, entry).await?;
    tx.commit().await?;
    app.recent_sessions.forget();
    Ok(Json(SessionsEnded { sessions_ended }))
}

/// 404 for a session that is not open, or somebody else's.
pub(in crate::api) fn not_found() -> ApiError {
    ApiError::not_found("session_not_found", "there is no such open session")
}
