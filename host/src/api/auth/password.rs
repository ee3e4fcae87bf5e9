//! The caller's password.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::{Secret, SmallJson};
use crate::{
    AppState,
    api::extract::Json,
    auth::{Origin, Principal, sign_in},
    error::ApiResult,
};

/// Another password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The present one.
    #[schema(value_type = String, format = Password)]
    current_password: Secret,
    /// At least 8 characters unless the server asks for more, at most 1024 bytes.
    #[schema(value_type = String, format = Password)]
    new_password: Secret,
}

/// How many sessions a request ended.
#[derive(Serialize, ToSchema)]
pub struct SessionsEnded {
    /// This session is not among them.
    #[schema(example = 2)]
    pub sessions_ended: u64,
}

/// Sets another password and ends the caller's other sessions.
///
/// # Errors
/// 403 `session_required` or `wrong_password`, 409 `password_changed`, 422 with what is wrong with the new one, 429
/// `too_many_attempts`.
#[utoipa::path(
    post, path = "/api/auth/password", operation_id = "change_password", tag = "Sign-in",
    request_body = PasswordChange,
    responses((status = 200, description = "It is changed; how many other sessions ended.", body = SessionsEnded)),
    security(("bearer" = ["profile"]))
)]
pub async fn change_password(
    State(app): State<AppState>,
    principal: Principal,
    origin: Origin,
    SmallJson(body): SmallJson<PasswordChange>,
) -> ApiResult<Json<SessionsEnded>> {
    principal.require("profile")?;
    let (current, new) = (&body.current_password.0, &body.new_password.0);
    let sessions_ended = sign_in::change_password(&app, &principal, current, new, &origin).await?;
    Ok(Json(SessionsEnded { sessions_ended }))
}
