//! `/api/user/keys`: the caller's API keys.

use axum::{extract::State, http::StatusCode, response::IntoResponse};
use chrono::DateTime;
use serde::{Deserialize, Serialize};
use ulid::Ulid;
use utoipa::ToSchema;

use super::{
    auth::body::NO_STORE,
    extract::{Json, OptionalJson, Path, present},
    page::{Page, Paging},
    rfc3339,
};
use crate::{
    AppState,
    audit::Actor,
    auth::{
        Origin, Principal,
        keys::{
            KeyState, NewSecret,
            manage::{self, KeyChange, NewKey, not_found},
        },
    },
    db::{
        self,
        api_keys::{Filter, KeyRow},
    },
    error::{ApiError, ApiResult},
};

/// What the cursors of this list name.
const LIST: &str = "api_keys";
/// How long a secret works beside its successor where nobody says, in seconds.
const OVERLAP_S: i64 = 60 * 60;

/// An API key, without its secret.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ApiKey {
    /// The key's id.
    id: String,
    /// What its owner calls it.
    #[schema(example = "backup script")]
    name: String,
    /// The beginning of the secret, by which its owner knows it again.
    #[schema(example = "ztf_ab12cd34")]
    prefix: String,
    /// What it may be used for, as far as its owner still may.
    scopes: Vec<String>,
    /// Whether it can be used.
    state: KeyState,
    /// The configuration sets it: it is for setting the server up.
    bootstrap: bool,
    /// RFC 3339 UTC.
    created_at: String,
    /// RFC 3339 UTC; null where it does not end.
    expires_at: Option<String>,
    /// RFC 3339 UTC, to a minute; null where it was never used.
    last_used_at: Option<String>,
    /// RFC 3339 UTC.
    revoked_at: Option<String>,
}

impl From<KeyRow> for ApiKey {
    fn from(row: KeyRow) -> Self {
        let state = KeyState::of(&row);
        Self {
            id: row.id,
            name: row.name,
            prefix: row.prefix,
            scopes: row.scopes.split(' ').map(str::to_owned).collect(),
            state,
            bootstrap: row.bootstrap != 0,
            created_at: rfc3339(row.created_at),
            expires_at: row.expires_at.map(rfc3339),
            last_used_at: row.last_used_at.map(rfc3339),
            revoked_at: row.revoked_at.map(rfc3339),
        }
    }
}

/// An API key with its secret, which is shown this once.
#[derive(Serialize, ToSchema)]
pub struct NewApiKey {
    /// The key.
    #[serde(flatten)]
    api_key: ApiKey,
    /// Send this as `X-API-Key`. It can't be shown again.
    #[schema(example = "ztf_ab12cd34…")]
    key: String,
    /// After a rotation: until when the former secret works, RFC 3339 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    former_expires_at: Option<String>,
}

impl NewApiKey {
    fn new(row: KeyRow, secret: NewSecret, former_end: Option<i64>) -> Self {
        Self { api_key: row.into(), key: secret.secret, former_expires_at: former_end.map(rfc3339) }
    }
}

/// The caller's keys, newest first. Revoked ones are listed for 90 days.
///
/// # Errors
/// 400 `invalid_limit` or `invalid_cursor`, 403 `session_required` for a key.
#[utoipa::path(
    get, path = "/api/user/keys", operation_id = "list_api_keys", tag = "User", params(Paging),
    responses((status = 200, description = "A page of keys.", body = Page<ApiKey>)),
    security(("bearer" = ["profile"]))
)]
pub async fn list_api_keys(
    State(app): State<AppState>,
    principal: Principal,
    paging: Paging,
) -> ApiResult<Page<ApiKey>> {
    allow(&principal)?;
    Ok(page(&app, Some(principal.user_id), &paging).await?.map(ApiKey::from))
}

/// A page of one user's keys, or of everybody's.
pub(super) async fn page(app: &AppState, user_id: Option<String>, paging: &Paging) -> ApiResult<Page<KeyRow>> {
    let after: Option<(i64, Ulid)> = paging.after(LIST)?;
    let after = after.map(|(created_at, id)| (created_at, id.to_string()));
    let rows = db::api_keys::list(app.db.read(), Filter { user_id, after, limit: paging.limit() + 1 }).await?;
    Ok(Page::cut(LIST, paging, rows, |row| (row.created_at, row.id.clone())))
}

/// One of the caller's keys.
///
/// # Errors
/// 403 `session_required` for a key, 404 `key_not_found`.
#[utoipa::path(
    get, path = "/api/user/keys/{id}", operation_id = "get_api_key", tag = "User",
    params(("id" = String, Path, description = "The key's id.")),
    responses((status = 200, description = "The key, without its secret.", body = ApiKey)),
    security(("bearer" = ["profile"]))
)]
pub async fn get_api_key(
    State(app): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> ApiResult<Json<ApiKey>> {
    allow(&principal)?;
    let row = db::api_keys::find(app.db.read(), &parse_id(&id)?).await?;
    row.filter(|row| row.user_id == principal.user_id).map(|row| Json(row.into())).ok_or_else(not_found)
}

/// A key to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MakeApiKey {
    /// What to call it, 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64, example = "backup script")]
    name: String,
    /// What it may be used for: some of the caller's own scopes.
    #[schema(min_items = 1, example = json!(["library:read"]))]
    scopes: Vec<String>,
    /// How long it works, in seconds, from a minute to ten years. Without it the key does not end.
    #[schema(minimum = 60, maximum = 315_360_000, example = 3600)]
    expires_in_s: Option<i64>,
}

/// Makes an API key. The reply is the only one that shows its secret.
///
/// # Errors
/// 403 `session_required`, `scope_not_held` or `quota_exceeded`, 422 with the fields that are wrong.
#[utoipa::path(
    post, path = "/api/user/keys", operation_id = "make_api_key", tag = "User", request_body = MakeApiKey,
    responses((status = 201, description = "The key with its secret.", body = NewApiKey)),
    security(("bearer" = ["profile"]))
)]
pub async fn make_api_key(
    State(app): State<AppState>,
    principal: Principal,
    origin: Origin,
    Json(body): Json<MakeApiKey>,
) -> ApiResult<impl IntoResponse> {
    allow(&principal)?;
    let new = NewKey { name: body.name, scopes: body.scopes, expires_in_s: body.expires_in_s };
    let (row, secret) = manage::make(&app, &principal, &origin, &new).await?;
    Ok((StatusCode::CREATED, NO_STORE, Json(NewApiKey::new(row, secret, None))))
}

/// What to change about a key; what is not named stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyPatch {
    /// What to call it, 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    name: Option<String>,
    /// When it ends, RFC 3339, in the future; null: never.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Option<String>>,
}

/// Changes what a key is called, or when it ends.
///
/// # Errors
/// 403 `session_required`, 404 `key_not_found`, 409 `api_key_revoked` or `bootstrap_key`, 422 with the fields that are wrong.
#[utoipa::path(
    patch, path = "/api/user/keys/{id}", operation_id = "update_api_key", tag = "User", request_body = ApiKeyPatch,
    params(("id" = String, Path, description = "The key's id.")),
    responses((status = 200, description = "The key as it is now.", body = ApiKey)),
    security(("bearer" = ["profile"]))
)]
pub async fn update_api_key(
    State(app): State<AppState>,
    principal: Principal,
    origin: Origin,
    Path(id): Path<String>,
    Json(body): Json<ApiKeyPatch>,
) -> ApiResult<Json<ApiKey>> {
    allow(&principal)?;
    let expires_at = body.expires_at.map(|at| at.as_deref().map(parse_time).transpose()).transpose()?;
    let change = KeyChange { name: body.name, expires_at };
    Ok(Json(manage::change(&app, &principal, &origin, &parse_id(&id)?, &change).await?.into()))
}

fn parse_time(text: &str) -> ApiResult<i64> {
    DateTime::parse_from_rfc3339(text).map(|time| time.timestamp_millis()).map_err(|_| {
        let detail = "must be a time such as 2030-01-31T12:00:00Z, or null";
        ApiError::invalid_field("expires_at", detail)
    })
}

/// How to rotate a key.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RotateApiKey {
    /// How long the former secret works on, in seconds: up to seven days, an hour where nothing is said.
    #[schema(minimum = 0, maximum = 604_800, default = 3600)]
    overlap_s: Option<i64>,
}

/// Gives a key a new secret. The former one works on for the overlap; one from before that ends now.
///
/// # Errors
/// 403 `session_required`, 404 `key_not_found`, 409 `api_key_revoked`, `api_key_expired` or `bootstrap_key`, 422 for another
/// overlap.
#[utoipa::path(
    post, path = "/api/user/keys/{id}/rotate", operation_id = "rotate_api_key", tag = "User",
    request_body = Option<RotateApiKey>, params(("id" = String, Path, description = "The key's id.")),
    responses((status = 200, description = "The key with its new secret.", body = NewApiKey)),
    security(("bearer" = ["profile"]))
)]
pub async fn rotate_api_key(
    State(app): State<AppState>,
    principal: Principal,
    origin: Origin,
    Path(id): Path<String>,
    OptionalJson(body): OptionalJson<RotateApiKey>,
) -> ApiResult<impl IntoResponse> {
    allow(&principal)?;
    let overlap = body.overlap_s.unwrap_or(OVERLAP_S);
    let (row, secret, end) = manage::rotate(&app, &principal, &origin, &parse_id(&id)?, overlap).await?;
    Ok((NO_STORE, Json(NewApiKey::new(row, secret, Some(end)))))
}

/// Revokes a key: it opens nothing from now on, and links that it signed end with it.
///
/// # Errors
/// 403 `session_required`, 404 `key_not_found`.
#[utoipa::path(
    delete, path = "/api/user/keys/{id}", operation_id = "revoke_api_key", tag = "User",
    params(("id" = String, Path, description = "The key's id.")),
    responses((status = 204, description = "The key is revoked, now or before.")),
    security(("bearer" = ["profile"]))
)]
pub async fn revoke_api_key(
    State(app): State<AppState>,
    principal: Principal,
    origin: Origin,
    Path(id): Path<String>,
) -> ApiResult<StatusCode> {
    allow(&principal)?;
    let mut tx = app.db.write().await?;
    let row = db::api_keys::find(&mut *tx, &parse_id(&id)?).await?;
    let row = row.filter(|row| row.user_id == principal.user_id).ok_or_else(not_found)?;
    manage::revoke(&mut tx, &row, Actor::principal(&principal, &origin)).await?;
    tx.commit().await?;
    app.recent_keys.forget();
    Ok(StatusCode::NO_CONTENT)
}

/// Keys are managed by who signed in, not by keys.
fn allow(principal: &Principal) -> ApiResult<()> {
    principal.require_session()?;
    principal.require("profile")
}

pub(super) fn parse_id(id: &str) -> ApiResult<String> {
    id.parse::<Ulid>().map(|id| id.to_string()).map_err(|_| not_found())
}
