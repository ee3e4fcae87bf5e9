//! Registration.

use axum::{extract::State, http::StatusCode};
use serde::Deserialize;
use utoipa::ToSchema;

use super::body::{Secret, SmallJson};
use crate::{
    AppState,
    api::{extract::Json, user::Profile},
    audit::Actor,
    auth::{
        Origin, Role, invites,
        users::{self, NewUser},
    },
    config::Registration,
    error::{ApiError, ApiResult},
};

/// A new user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// 3 to 64 characters; case does not tell names apart.
    #[serde(alias = "name")]
    username: String,
    /// At least 8 characters unless the server asks for more, at most 1024 bytes.
    #[schema(value_type = String, format = Password)]
    password: Secret,
    /// Where to write to.
    email: Option<String>,
    /// The code of an invitation, where the server wants one.
    #[schema(value_type = Option<String>, format = Password)]
    invite: Option<Secret>,
}

/// Makes a user, where the server is open for that or an admin sent an invitation.
///
/// # Errors
/// 403 `registration_closed`, `invite_required`, `invite_invalid`, `invite_used` or `invite_expired`, 409 `name_taken`,
/// 422 with the fields that are wrong.
#[utoipa::path(
    post, path = "/api/auth/register", operation_id = "register", tag = "Sign-in", request_body = Register,
    responses((status = 201, description = "The new user, who can sign in now.", body = Profile))
)]
pub async fn register(
    State(app): State<AppState>,
    origin: Origin,
    SmallJson(body): SmallJson<Register>,
) -> ApiResult<(StatusCode, Json<Profile>)> {
    let role = match (app.config.auth.registration, &body.invite) {
        (Registration::Closed, _) => {
            return Err(ApiError::forbidden("registration_closed", "this server takes no new users; ask its admin"));
        }
        (Registration::Invite, None) => {
            return Err(ApiError::forbidden("invite_required", "this server takes new users by invitation only"));
        }
        (_, Some(Secret(code))) => Role::parse(&invites::find_open(app.db.read(), code).await?.role),
        (Registration::Open, None) => Role::User,
    };
    let email = body.email.as_deref().filter(|email| !email.is_empty());
    users::check_free(&app.db, &body.username).await?;
    let new = NewUser { name: &body.username, role, password: &body.password.0, email };
    let (user, name_key) = users::prepare(&app.passwords, app.config.auth.password_min_length, new).await?;
    let mut tx = app.db.write().await?;
    let invite = match &body.invite {
        Some(Secret(code)) => Some(invites::take(&mut tx, code).await?),
        None => None,
    };
    let actor = Actor::stranger(Some(&user.id), &origin);
    users::insert(&mut tx, &user, &name_key, actor.clone()).await?;
    if let Some(invite) = invite {
        invites::used(&mut tx, &invite, &user.id, actor).await?;
    }
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(user.into())))
}
