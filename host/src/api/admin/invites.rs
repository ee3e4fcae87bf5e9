//! `/api/admin/invites`: invitations to register.

use axum::{extract::State, http::StatusCode, response::IntoResponse};
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::json;
use ulid::Ulid;
use utoipa::ToSchema;

use crate::{
    AppState,
    api::{
        admin::put_on_record,
        auth::body::NO_STORE,
        extract::{Json, Path, Valid},
        page::{Page, Paging},
        rfc3339,
    },
    audit::Actor,
    auth::{Admin, Origin, Role, invites},
    db::{self, invites::Invite as Row, now_ms},
    error::{ApiError, ApiResult},
    events::{self, Event},
};

/// What the cursors of this list name.
const LIST: &str = "invites";
/// How long an invitation lives where nothing is said, in seconds.
const DEFAULT_LIFE: i64 = 7 * 24 * 60 * 60;

/// Where an invitation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum InviteState {
    /// It can be used.
    Open,
    /// Somebody has used it.
    Used,
    /// Nobody has used it in time.
    Expired,
}

/// An invitation.
#[derive(Serialize, ToSchema)]
pub struct Invite {
    /// The invitation's id.
    #[schema(example = "01KAZ6V1RJQ6Y0M3ZC5M8D2N4T")]
    id: String,
    /// Where it stands.
    state: InviteState,
    /// The role of who uses it.
    role: Role,
    /// What its maker wants to remember.
    note: Option<String>,
    /// The id of the admin who made it; null: is no more.
    created_by: Option<String>,
    /// RFC 3339 UTC.
    created_at: String,
    /// RFC 3339 UTC.
    expires_at: String,
    /// RFC 3339 UTC.
    used_at: Option<String>,
    /// The id of the user who was made with it.
    used_by: Option<String>,
}

impl From<Row> for Invite {
    fn from(row: Row) -> Self {
        let state = match row.used_at {
            Some(_) => InviteState::Used,
            None if row.expires_at <= now_ms() => InviteState::Expired,
            None => InviteState::Open,
        };
        Self {
            id: row.id,
            state,
            role: Role::parse(&row.role),
            note: row.note,
            created_by: row.created_by,
            created_at: rfc3339(row.created_at),
            expires_at: rfc3339(row.expires_at),
            used_at: row.used_at.map(rfc3339),
            used_by: row.used_by,
        }
    }
}

/// A new invitation, with its code.
#[derive(Serialize, ToSchema)]
pub struct CreatedInvite {
    /// Hand this to who shall register. It is shown only now.
    #[schema(example = "zti_…")]
    code: String,
    /// The invitation.
    #[serde(flatten)]
    invite: Invite,
}

/// What to invite to.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInvite {
    /// The role of who uses it; `user` where nothing is said.
    #[garde(skip)]
    #[schema(default = "user")]
    role: Option<Role>,
    /// What to remember, at most 200 characters.
    #[garde(inner(length(chars, max = 200), custom(no_nul)))]
    #[schema(max_length = 200)]
    note: Option<String>,
    /// Seconds until it ends, at most 30 days; 7 days where nothing is said.
    #[garde(inner(range(min = 60, max = 2_592_000)))]
    #[schema(minimum = 60, maximum = 2_592_000, default = 604_800)]
    expires_in_s: Option<i64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that garde calls")]
fn no_nul(text: &str, (): &()) -> garde::Result {
    if text.contains('\0') { Err(garde::Error::new("NUL is not allowed")) } else { Ok(()) }
}

/// Invitations, the newest first: open, used and expired ones. That they were listed stands in the audit log.
///
/// # Errors
/// 400 `invalid_limit` or `invalid_cursor`, 403 `admin_required` or `session_required`.
#[utoipa::path(
    get, path = "/api/admin/invites", operation_id = "list_invites", tag = "Admin", params(Paging),
    responses((status = 200, description = "A page of invitations, without their codes.", body = Page<Invite>)),
    security(("bearer" = ["admin"]))
)]
pub async fn list_invites(
    State(app): State<AppState>,
    Admin(principal): Admin,
    origin: Origin,
    paging: Paging,
) -> ApiResult<Page<Invite>> {
    principal.require_session()?;
    let before = paging.after::<Ulid>(LIST)?.map(|id| id.to_string());
    let rows = db::invites::page(app.db.read(), before, paging.limit() + 1).await?;
    let page = Page::cut(LIST, &paging, rows, |row| row.id.clone());
    let (actor, data) = (Actor::principal(&principal, &origin), json!({ "invites": page.data.len() }));
    put_on_record(&app, "invites.read", actor, None, data, json!({})).await?;
    Ok(page.map(Invite::from))
}

/// Makes an invitation for one user.
///
/// # Errors
/// 403 `admin_required` or `session_required`, 422 with the fields that are wrong.
#[utoipa::path(
    post, path = "/api/admin/invites", operation_id = "create_invite", tag = "Admin", request_body = NewInvite,
    responses((status = 201, description = "The invitation and its code.", body = CreatedInvite)),
    security(("bearer" = ["admin"]))
)]
pub async fn create_invite(
    State(app): State<AppState>,
    Admin(principal): Admin,
    origin: Origin,
    Valid(body): Valid<NewInvite>,
) -> ApiResult<impl IntoResponse> {
    principal.require_session()?;
    let (code, hash) = invites::generate().map_err(ApiError::internal)?;
    let now = now_ms();
    let row = Row {
        id: Ulid::generate().to_string(),
        role: body.role.unwrap_or(Role::User).as_str().into(),
        note: body.note.filter(|note| !note.is_empty()),
        created_by: Some(principal.user_id.clone()),
        created_at: now,
        expires_at: now + body.expires_in_s.unwrap_or(DEFAULT_LIFE) * 1000,
        used_at: None,
        used_by: None,
    };
    let mut tx = app.db.write().await?;
    db::invites::insert(&mut tx, &row, &hash).await?;
    let data = json!({ "role": row.role });
    events::emit(&mut tx, Event { kind: "invite.created", subject: Some(&row.id), user: None, data }).await?;
    let actor = Actor::principal(&principal, &origin);
    invites::record(&mut tx, "invite.created", &row.id, &row.role, None, actor).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, NO_STORE, Json(CreatedInvite { code, invite: row.into() })))
}

/// Takes an invitation back, and off the record.
///
/// # Errors
/// 403 `admin_required` or `session_required`, 404 `invite_not_found`.
#[utoipa::path(
    delete, path = "/api/admin/invites/{id}", operation_id = "revoke_invite", tag = "Admin",
    params(("id" = String, Path, description = "The invitation's id.")),
    responses((status = 204, description = "Its code is worth nothing from now on.")),
    security(("bearer" = ["admin"]))
)]
pub async fn revoke_invite(
    State(app): State<AppState>,
    Admin(principal): Admin,
    origin: Origin,
    Path(id): Path<String>,
) -> ApiResult<StatusCode> {
    principal.require_session()?;
    let not_found = || ApiError::not_found("invite_not_found", "there is no such invitation");
    let id = id.parse::<Ulid>().map_err(|_| not_found())?.to_string();
    let mut tx = app.db.write().await?;
    let role = db::invites::remove(&mut tx, &id).await?.ok_or_else(not_found)?;
    let data = json!({});
    events::emit(&mut tx, Event { kind: "invite.revoked", subject: Some(&id), user: None, data }).await?;
    invites::record(&mut tx, "invite.revoked", &id, &role, None, Actor::principal(&principal, &origin)).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
