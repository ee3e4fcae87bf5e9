//! `/api/user`: the caller's own profile.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{
    extract::{Json, present},
    rfc3339,
};
use crate::{
    AppState,
    audit::{self, Actor, Entry, Outcome},
    auth::{
        Origin, Principal, Role,
        users::{self, Name},
    },
    db::{self, users::User},
    error::{ApiError, ApiResult},
    events::{self, Event},
};

/// A user, as the user sees it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Profile {
    /// The user's id.
    #[schema(example = "01KAZ6V1RJQ6Y0M3ZC5M8D2N4T")]
    id: String,
    /// The user's name.
    name: String,
    /// Where to write to.
    email: Option<String>,
    /// What the user may do.
    role: Role,
    /// RFC 3339 UTC.
    created_at: String,
    /// RFC 3339 UTC.
    updated_at: String,
}

impl From<User> for Profile {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            name: user.name,
            email: user.email,
            role: Role::parse(&user.role),
            created_at: rfc3339(user.created_at),
            updated_at: rfc3339(user.updated_at),
        }
    }
}

/// What to change; what is not named stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfilePatch {
    /// The new name.
    #[serde(default)]
    name: Option<String>,
    /// The new address; null removes it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, format = Email)]
    email: Option<Option<String>>,
}

/// The caller's profile.
///
/// # Errors
/// 401 without a valid credential.
#[utoipa::path(
    get, path = "/api/user/profile", operation_id = "get_profile", tag = "User",
    responses((status = 200, description = "The caller's profile.", body = Profile)),
    security(("bearer" = ["profile"]), ("api_key" = ["profile"]))
)]
pub async fn get_profile(State(app): State<AppState>, principal: Principal) -> ApiResult<Json<Profile>> {
    principal.require("profile")?;
    let user = db::users::find(app.db.read(), &principal.user_id).await?;
    user.map(|user| Json(user.into())).ok_or_else(gone)
}

/// Changes the caller's name or e-mail address.
///
/// # Errors
/// 409 `name_taken`, 422 with the fields that are wrong.
#[utoipa::path(
    patch, path = "/api/user/profile", operation_id = "update_profile", tag = "User", request_body = ProfilePatch,
    responses((status = 200, description = "The profile as it is now.", body = Profile)),
    security(("bearer" = ["profile"]), ("api_key" = ["profile"]))
)]
pub async fn update_profile(
    State(app): State<AppState>,
    principal: Principal,
    origin: Origin,
    Json(patch): Json<ProfilePatch>,
) -> ApiResult<Json<Profile>> {
    principal.require("profile")?;
    let mut errors = Vec::new();
    let mut collect = |error| errors.push(error);
    if let Some(Some(email)) = &patch.email {
        users::check_email(email).unwrap_or_else(&mut collect);
    }
    let name = patch.name.as_deref().map(Name::new).transpose().unwrap_or_else(|mut error| {
        error.field = "name".into();
        collect(error);
        None
    });
    if !errors.is_empty() {
        return Err(ApiError::invalid(errors));
    }
    let mut tx = app.db.write().await?;
    // Two at once would each put back what the other changed.
    db::state::lock(&mut tx, &format!("users.{}", principal.user_id)).await?;
    let user = db::users::find(&mut *tx, &principal.user_id).await?.ok_or_else(gone)?;
    let name = name.unwrap_or_else(|| Name { key: Name::fold(&user.name), text: user.name });
    let email = patch.email.unwrap_or(user.email);
    let update = db::users::update_profile(&mut tx, &user.id, &name.text, &name.key, email.as_deref());
    update.await.map_err(users::name_taken)?;
    let user = db::users::find(&mut *tx, &user.id).await?.ok_or_else(gone)?;
    let data = json!({ "name": user.name });
    events::emit(&mut tx, Event { kind: "user.updated", subject: Some(&user.id), user: Some(&user.id), data }).await?;
    let entry = Entry {
        action: "user.profile_changed",
        outcome: Outcome::Ok,
        actor: Actor::principal(&principal, &origin),
        user: Some(&user.id),
        data: json!({}),
        personal: json!({ "name": user.name, "email": user.email }),
    };
    audit::record(&mut tx, entry).await?;
    tx.commit().await?;
    app.recent_sessions.forget();
    app.recent_keys.forget();
    Ok(Json(user.into()))
}

fn gone() -> ApiError {
    ApiError::unauthorized("session_revoked", "this user is no more")
}
