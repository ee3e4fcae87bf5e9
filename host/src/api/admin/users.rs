//! `/api/admin/users`: who may use this host.

mod create;

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use ulid::Ulid;
use utoipa::{IntoParams, ToSchema};

pub use self::create::*;
use crate::{
    AppState,
    api::{
        admin::put_on_record,
        auth::body::SmallJson,
        extract::{Json, Path, Query, present_object},
        page::{Page, Paging, invalid_cursor},
        rfc3339,
    },
    audit::{self, Actor, Entry, Outcome},
    auth::{
        Admin, Origin, Role,
        quota::Quota,
        users::{self, Change, Name},
    },
    db::{self, plugin_kv::Scope, users::User},
    error::{ApiError, ApiResult},
    events::{self, Event},
};

/// What the cursors of this list name.
const LIST: &str = "users";

/// A user, as admins see them.
#[derive(Serialize, ToSchema)]
pub struct AdminUser {
    /// The user's id.
    #[schema(example = "01KAZ6V1RJQ6Y0M3ZC5M8D2N4T")]
    id: String,
    /// The user's name.
    name: String,
    /// Where to write to.
    email: Option<String>,
    /// What the user may do.
    role: Role,
    /// Whether the user may do nothing, and not sign in.
    disabled: bool,
    /// Whether the user has to set another password first.
    must_change_password: bool,
    /// What was set for this user; null is as the configuration says.
    quota: Quota,
    /// RFC 3339 UTC.
    last_sign_in_at: Option<String>,
    /// RFC 3339 UTC.
    created_at: String,
    /// RFC 3339 UTC.
    updated_at: String,
}

impl From<User> for AdminUser {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            name: user.name,
            email: user.email,
            role: Role::parse(&user.role),
            disabled: user.disabled != 0,
            must_change_password: user.must_change_password != 0,
            quota: Quota::parse(user.quota.as_deref()),
            last_sign_in_at: user.last_sign_in_at.map(rfc3339),
            created_at: rfc3339(user.created_at),
            updated_at: rfc3339(user.updated_at),
        }
    }
}

/// Which users to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UserFilter {
    /// Only those whose name holds this, whatever its case.
    #[param(max_length = 64)]
    q: Option<String>,
    /// Only with this role.
    #[param(inline)]
    role: Option<Role>,
    /// Only those who are disabled, or only those who are not.
    disabled: Option<bool>,
}

/// All users, by name. That they were listed stands in the audit log.
///
/// # Errors
/// 400 `invalid_query`, `invalid_limit` or `invalid_cursor`, 403 `admin_required` or `session_required`.
#[utoipa::path(
    get, path = "/api/admin/users", operation_id = "list_users", tag = "Admin", params(Paging, UserFilter),
    responses((status = 200, description = "A page of users.", body = Page<AdminUser>)),
    security(("bearer" = ["admin"]))
)]
pub async fn list_users(
    State(app): State<AppState>,
    Admin(principal): Admin,
    origin: Origin,
    paging: Paging,
    Query(filter): Query<UserFilter>,
) -> ApiResult<Page<AdminUser>> {
    principal.require_session()?;
    if filter.q.as_ref().is_some_and(|q| q.chars().count() > 64) {
        return Err(ApiError::bad_request("invalid_query", "q may have at most 64 characters"));
    }
    let after: Option<String> = paging.after(LIST)?;
    if after.as_ref().is_some_and(|after| after.contains('\0')) {
        return Err(invalid_cursor());
    }
    let about = json!({ "q": filter.q, "role": filter.role, "disabled": filter.disabled });
    let filter = db::users::Filter {
        name: filter.q.map(|q| Name::fold(&q)),
        role: filter.role.map(|role| role.as_str().to_owned()),
        disabled: filter.disabled,
        after,
        limit: paging.limit() + 1,
    };
    let rows = db::users::page(app.db.read(), filter).await?;
    let page = Page::cut(LIST, &paging, rows, |(name_key, _)| name_key.clone());
    let (actor, data) = (Actor::principal(&principal, &origin), json!({ "users": page.data.len() }));
    put_on_record(&app, "users.read", actor, None, data, about).await?;
    Ok(page.map(|(_, user)| user.into()))
}

/// One user. That somebody looked stands in the audit log.
///
/// # Errors
/// 403 `admin_required` or `session_required`, 404 `user_not_found`.
#[utoipa::path(
    get, path = "/api/admin/users/{id}", operation_id = "get_user", tag = "Admin",
    params(("id" = String, Path, description = "The user's id.")),
    responses((status = 200, description = "The user.", body = AdminUser)),
    security(("bearer" = ["admin"]))
)]
pub async fn get_user(
    State(app): State<AppState>,
    Admin(principal): Admin,
    origin: Origin,
    Path(id): Path<String>,
) -> ApiResult<Json<AdminUser>> {
    principal.require_session()?;
    let user = db::users::find(app.db.read(), &user_id(&id)?).await?.ok_or_else(not_found)?;
    let actor = Actor::principal(&principal, &origin);
    put_on_record(&app, "users.read", actor, Some(&user.id), json!({ "users": 1 }), json!({})).await?;
    Ok(Json(user.into()))
}

/// What to change; what is not named stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserPatch {
    /// What the user may do.
    role: Option<Role>,
    /// True ends the user's sessions at once.
    disabled: Option<bool>,
    /// True lets the user do nothing else before setting another password.
    must_change_password: Option<bool>,
    /// What the user may have, as a whole; null is as the configuration says.
    #[serde(default, deserialize_with = "present_object")]
    #[schema(value_type = Option<Quota>)]
    quota: Option<Option<Quota>>,
}

/// Changes a user's role, quota, or whether they may sign in.
///
/// # Errors
/// 403 `admin_required` or `session_required`, 404 `user_not_found`, 409 `last_admin` or
/// `user_being_erased`, 422 with the fields that are wrong.
#[utoipa::path(
    patch, path = "/api/admin/users/{id}", operation_id = "update_user", tag = "Admin", request_body = UserPatch,
    params(("id" = String, Path, description = "The user's id.")),
    responses((status = 200, description = "The user as they are now.", body = AdminUser)),
    security(("bearer" = ["admin"]))
)]
pub async fn update_user(
    State(app): State<AppState>,
    Admin(principal): Admin,
    origin: Origin,
    Path(id): Path<String>,
    SmallJson(patch): SmallJson<UserPatch>,
) -> ApiResult<Json<AdminUser>> {
    principal.require_session()?;
    let quota = patch.quota.map(Option::unwrap_or_default);
    let errors = quota.map(|quota| quota.problems()).unwrap_or_default();
    if !errors.is_empty() {
        return Err(ApiError::invalid(errors));
    }
    let change =
        Change { role: patch.role, disabled: patch.disabled, must_change_password: patch.must_change_password, quota };
    let mut tx = app.db.write().await?;
    let actor = Actor::principal(&principal, &origin);
    let user = users::change(&mut tx, &user_id(&id)?, change, actor).await?.ok_or_else(not_found)?;
    tx.commit().await?;
    app.recent_sessions.forget();
    app.recent_keys.forget();
    Ok(Json(user.into()))
}

/// Deletes a user with all that is theirs: sessions, keys, accounts and what plugins keep for them, library, likes,
/// history. What the audit log says of them stays, until its time is over or they asked for erasure before.
///
/// # Errors
/// 403 `admin_required` or `session_required`, 404 `user_not_found`, 409 `last_admin`.
#[utoipa::path(
    delete, path = "/api/admin/users/{id}", operation_id = "delete_user", tag = "Admin",
    params(("id" = String, Path, description = "The user's id.")),
    responses((status = 204, description = "The user is no more.")),
    security(("bearer" = ["admin"]))
)]
pub async fn delete_user(
    State(app): State<AppState>,
    Admin(principal): Admin,
    origin: Origin,
    Path(id): Path<String>,
) -> ApiResult<StatusCode> {
    principal.require_session()?;
    let id = user_id(&id)?;
    let mut tx = app.db.write().await?;
    let user = users::lock_for_change(&mut tx, &id).await?.ok_or_else(not_found)?;
    users::check_not_last_admin(&mut tx, &user).await?;
    let running = db::privacy::running_jobs(&mut *tx, &id).await?;
    let withdrawn = db::invites::withdraw_for_admins(&mut tx, &id).await?;
    // What plugins keep for the accounts, tokens among it, refers to no row that could take it along.
    for (account, instance) in &db::privacy::accounts(&mut *tx, &id).await? {
        db::plugin_kv::remove_all(&mut tx, Scope { instance, account }).await?;
    }
    db::users::remove(&mut tx, &id).await?;
    let data = json!({ "role": user.role, "invites_withdrawn": withdrawn });
    events::emit(&mut tx, Event { kind: "user.deleted", subject: Some(&id), user: None, data: data.clone() }).await?;
    let entry = Entry {
        action: "user.deleted",
        outcome: Outcome::Ok,
        actor: Actor::principal(&principal, &origin),
        user: Some(&id),
        data,
        personal: json!({ "name": user.name }),
    };
    audit::record(&mut tx, entry).await?;
    tx.commit().await?;
    app.recent_sessions.forget();
    app.recent_keys.forget();
    app.recent_accounts.forget();
    app.catalogue.forget_all();
    // Those of other nodes stop when they find their rows gone.
    running.iter().for_each(|job| app.jobs.stop(job));
    Ok(StatusCode::NO_CONTENT)
}

fn user_id(text: &str) -> ApiResult<String> {
    text.parse::<Ulid>().map(|id| id.to_string()).map_err(|_| not_found())
}

fn not_found() -> ApiError {
    ApiError::not_found("user_not_found", "there is no such user")
}
