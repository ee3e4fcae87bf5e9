//! Making a user.

use axum::{extract::State, http::StatusCode, response::IntoResponse};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AdminUser;
use crate::{
    AppState,
    api::{
        auth::body::{NO_STORE, Secret, SmallJson},
        extract::{Json, object},
    },
    audit::Actor,
    auth::{
        Admin, Origin, Role, passwords,
        quota::Quota,
        users::{self, NewUser},
    },
    error::{ApiError, ApiResult},
};

/// A user to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUser {
    /// 3 to 64 characters; case does not tell names apart.
    #[serde(alias = "username")]
    name: String,
    /// Without it the host makes one that has to be changed at the first sign-in.
    #[schema(value_type = Option<String>, format = Password)]
    password: Option<Secret>,
    /// Whether the user has to set another password first; always so for one that the host made.
    #[serde(default)]
    must_change_password: bool,
    /// What the user may do; `user` where nothing is said.
    #[schema(default = "user")]
    role: Option<Role>,
    /// Where to write to.
    email: Option<String>,
    /// What the user may have; what is not named is as the configuration says.
    #[serde(default, deserialize_with = "object")]
    quota: Quota,
}

/// A new user.
#[derive(Serialize, ToSchema)]
pub struct CreatedUser {
    /// The password that the host made, shown only now; null where the request named one.
    password: Option<String>,
    /// The user.
    #[serde(flatten)]
    user: AdminUser,
}

/// Makes a user.
///
/// # Errors
/// 403 `admin_required` or `session_required`, 409 `name_taken`, 422 with the fields that are wrong.
#[utoipa::path(
    post, path = "/api/admin/users", operation_id = "create_user", tag = "Admin", request_body = CreateUser,
    responses((status = 201, description = "The user, with the password where the host made one.", body = CreatedUser)),
    security(("bearer" = ["admin"]))
)]
pub async fn create_user(
    State(app): State<AppState>,
    Admin(principal): Admin,
    origin: Origin,
    SmallJson(body): SmallJson<CreateUser>,
) -> ApiResult<impl IntoResponse> {
    principal.require_session()?;
    let errors = body.quota.problems();
    if !errors.is_empty() {
        return Err(ApiError::invalid(errors));
    }
    users::check_free(&app.db, &body.name).await?;
    let made = match &body.password {
        Some(_) => None,
        None => Some(passwords::generate().map_err(ApiError::internal)?),
    };
    let password = body
        .password
        .map(|Secret(password)| password)
        .or_else(|| made.clone().map(SecretString::from))
        .unwrap_or_default();
    // What the host makes is long enough for any rule.
    let min_length = if made.is_some() { 1 } else { app.config.auth.password_min_length };
    let email = body.email.as_deref().filter(|email| !email.is_empty());
    let role = body.role.unwrap_or(Role::User);
    let new = NewUser { name: &body.name, role, password: &password, email };
    let (mut user, name_key) = users::prepare(&app.passwords, min_length, new).await?;
    user.must_change_password = i64::from(body.must_change_password || made.is_some());
    user.quota = users::quota_text(body.quota);
    let mut tx = app.db.write().await?;
    users::insert(&mut tx, &user, &name_key, Actor::principal(&principal, &origin)).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, NO_STORE, Json(CreatedUser { password: made, user: user.into() })))
}
