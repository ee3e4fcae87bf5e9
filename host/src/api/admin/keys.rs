//! `/api/admin/keys`: everybody's API keys.

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use crate::{
    AppState,
    api::{
        admin::{named, put_on_record},
        extract::{Path, Query},
        keys::{ApiKey, page, parse_id},
        page::{Page, Paging},
    },
    audit::Actor,
    auth::{
        Admin, Origin,
        keys::manage::{self, not_found},
    },
    db::{self, api_keys::KeyRow},
    error::ApiResult,
};

/// Whose key it is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct KeyOwner {
    /// The user's id.
    id: String,
    /// The user's name.
    name: String,
}

/// An API key of some user, without its secret.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UserApiKey {
    /// The key.
    #[serde(flatten)]
    key: ApiKey,
    /// Whose it is.
    user: KeyOwner,
}

impl From<KeyRow> for UserApiKey {
    fn from(row: KeyRow) -> Self {
        let user = KeyOwner { id: row.user_id.clone(), name: row.user_name.clone() };
        Self { key: row.into(), user }
    }
}

/// Which keys to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct KeyFilter {
    /// Only this user's: an id.
    user: Option<String>,
}

/// Everybody's API keys, newest first. That they were listed stands in the audit log.
///
/// # Errors
/// 400 `invalid_query`, `invalid_limit` or `invalid_cursor`, 403 `admin_required` or `session_required`.
#[utoipa::path(
    get, path = "/api/admin/keys", operation_id = "admin_list_api_keys", tag = "Admin", params(Paging, KeyFilter),
    responses((status = 200, description = "A page of keys.", body = Page<UserApiKey>)),
    security(("bearer" = ["admin"]))
)]
pub async fn list_keys(
    State(app): State<AppState>,
    Admin(principal): Admin,
    origin: Origin,
    paging: Paging,
    Query(filter): Query<KeyFilter>,
) -> ApiResult<Page<UserApiKey>> {
    principal.require_session()?;
    let about = named(filter.user.as_ref());
    // PostgreSQL takes no NUL in a text, and no id has one.
    let user = filter.user.map(|id| id.replace('\0', "?"));
    let page = page(&app, user, &paging).await?;
    let (actor, data) = (Actor::principal(&principal, &origin), json!({ "keys": page.data.len() }));
    put_on_record(&app, "keys.read", actor, about.as_deref(), data, json!({})).await?;
    Ok(page.map(UserApiKey::from))
}

/// Revokes anybody's API key.
///
/// # Errors
/// 403 `admin_required` or `session_required`, 404 `key_not_found`.
#[utoipa::path(
    delete, path = "/api/admin/keys/{id}", operation_id = "admin_revoke_api_key", tag = "Admin",
    params(("id" = String, Path, description = "The key's id.")),
    responses((status = 204, description = "The key is revoked, now or before.")),
    security(("bearer" = ["admin"]))
)]
pub async fn revoke_key(
    State(app): State<AppState>,
    Admin(principal): Admin,
    origin: Origin,
    Path(id): Path<String>,
) -> ApiResult<StatusCode> {
    principal.require_session()?;
    let mut tx = app.db.write().await?;
    let row = db::api_keys::find(&mut *tx, &parse_id(&id)?).await?.ok_or_else(not_found)?;
    manage::revoke(&mut tx, &row, Actor::principal(&principal, &origin)).await?;
    tx.commit().await?;
    app.recent_keys.forget();
    Ok(StatusCode::NO_CONTENT)
}
