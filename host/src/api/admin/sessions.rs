//! `/api/admin/sessions`: where everybody is signed in.

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use ulid::Ulid;
use utoipa::{IntoParams, ToSchema};

use crate::{
    AppState,
    api::{
        admin::{named, put_on_record},
        auth::sessions::{Session, not_found},
        extract::{Path, Query},
        page::{Page, Paging},
    },
    audit::Actor,
    auth::{Admin, Origin, sessions},
    db,
    error::ApiResult,
};

/// What the cursors of this list name.
const LIST: &str = "admin-sessions";

/// Somebody's open session.
#[derive(Serialize, ToSchema)]
pub struct UserSession {
    /// Whose.
    user_id: String,
    /// The user's name.
    user_name: String,
    /// The session.
    #[serde(flatten)]
    session: Session,
}

/// Which sessions to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SessionFilter {
    /// Only those of the user with this id.
    user: Option<String>,
}

/// All open sessions, the newest first. That they were listed stands in the audit log.
///
/// # Errors
/// 400 `invalid_query`, `invalid_limit` or `invalid_cursor`, 403 `admin_required` or `session_required`.
#[utoipa::path(
    get, path = "/api/admin/sessions", operation_id = "list_all_sessions", tag = "Admin", params(Paging, SessionFilter),
    responses((status = 200, description = "A page of sessions.", body = Page<UserSession>)),
    security(("bearer" = ["admin"]))
)]
pub async fn list_all_sessions(
    State(app): State<AppState>,
    Admin(principal): Admin,
    origin: Origin,
    paging: Paging,
    Query(filter): Query<SessionFilter>,
) -> ApiResult<Page<UserSession>> {
    principal.require_session()?;
    let before = paging.after::<Ulid>(LIST)?.map(|id| id.to_string());
    let about = named(filter.user.as_ref());
    let user = filter.user.map(|user| user.replace('\0', ""));
    let at = sessions::open_now(&app);
    let rows = db::sessions::list_open(app.db.read(), at, user.as_deref(), before, paging.limit() + 1).await?;
    let page = Page::cut(LIST, &paging, rows, |row| row.id.clone());
    let (actor, data) = (Actor::principal(&principal, &origin), json!({ "sessions": page.data.len() }));
    put_on_record(&app, "sessions.read", actor, about.as_deref(), data, json!({})).await?;
    Ok(page.map(|row| UserSession {
        user_id: row.user_id.clone(),
        user_name: row.name.clone(),
        session: Session::of(row, &principal),
    }))
}

/// Ends anybody's session.
///
/// # Errors
/// 403 `admin_required` or `session_required`, 404 `session_not_found`.
#[utoipa::path(
    delete, path = "/api/admin/sessions/{id}", operation_id = "revoke_any_session", tag = "Admin",
    params(("id" = String, Path, description = "The session's id.")),
    responses((status = 204, description = "It has ended.")),
    security(("bearer" = ["admin"]))
)]
pub async fn revoke_any_session(
    State(app): State<AppState>,
    Admin(principal): Admin,
    origin: Origin,
    Path(id): Path<String>,
) -> ApiResult<StatusCode> {
    principal.require_session()?;
    let id = id.parse::<Ulid>().map_err(|_| not_found())?.to_string();
    if sessions::end(&app, &id, "revoked_by_admin", Actor::principal(&principal, &origin)).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(not_found())
}
