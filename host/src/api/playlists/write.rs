//! Making, changing and deleting playlists.

use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;
use zotify_plugin_api::{PlaylistCreate, PlaylistUpdate, capability};

use super::{entries::tagged, wanted::Wanted};
use crate::{
    App, AppState,
    accounts::Account,
    api::{
        extract::{Valid, body_problem},
        library::edit::AccountQuery,
        model::Playlist,
        raw::RawJson,
    },
    auth::Principal,
    error::{ApiError, ApiResult},
    middleware::etag,
    mirror::Scope,
    playlists::{self, Made},
    routing,
};

/// The largest picture, in bytes.
const MAX_IMAGE: usize = 512 << 10;

/// A new playlist.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPlaylist {
    /// Its name.
    #[garde(length(bytes, min = 1, max = 1000))]
    #[schema(min_length = 1, max_length = 1000, example = "Night drive")]
    name: String,
    /// Plain text.
    #[serde(default)]
    #[garde(inner(length(bytes, max = 8000)))]
    #[schema(max_length = 8000)]
    description: Option<String>,
    /// Whether others can see it; without it as the provider likes.
    #[serde(default)]
    #[garde(skip)]
    public: Option<bool>,
    /// Whether others can edit it.
    #[serde(default)]
    #[garde(skip)]
    collaborative: bool,
    /// The account that it is made by.
    #[serde(default)]
    #[garde(inner(length(max = 64)))]
    #[schema(max_length = 64)]
    account: Option<String>,
    /// The provider that it is made at, where the caller has one account.
    #[serde(default)]
    #[garde(inner(length(max = 64)))]
    #[schema(max_length = 64)]
    provider: Option<String>,
}

/// Makes a playlist at a provider. Neither `account` nor `provider` is needed where only one account can make any.
///
/// # Errors
/// 404 `account_not_found`, 409 `account_required` or `account_ambiguous`, 403 `admin_required`, 422 `unsupported` or
/// `validation_failed`, 504 `outcome_unknown`, or why the provider failed.
#[utoipa::path(
    post, path = "/api/playlists", operation_id = "create_playlist", tag = "Playlists", request_body = NewPlaylist,
    responses((status = 201, description = "The playlist; `Location` names it.", body = Playlist)),
    security(("bearer" = ["playlists:write"]), ("api_key" = ["playlists:write"]))
)]
pub async fn create_playlist(
    State(app): State<AppState>,
    principal: Principal,
    Valid(new): Valid<NewPlaylist>,
) -> ApiResult<Response> {
    principal.require("playlists:write")?;
    if new.name.trim().is_empty() {
        return Err(ApiError::invalid_field("name", "a playlist needs a name"));
    }
    let scope = Scope::of(&app, &principal).await?;
    let account = maker(&app, &principal, &scope, &new)?.clone();
    let handle = routing::handle(&app, &account)?;
    let NewPlaylist { name, description, public, collaborative, .. } = new;
    let create = PlaylistCreate { name: name.trim().to_owned(), description, public, collaborative };
    let work = {
        let app = app.clone();
        async move { playlists::create(&app, &handle, &account, create).await }
    };
    let Made { uri, doc, tag } = routing::detached(&app, work).await?;
    let headers = [(header::LOCATION, format!("/api/playlists/{uri}")), (header::ETAG, etag::of_version(&tag))];
    Ok((StatusCode::CREATED, headers, RawJson(doc)).into_response())
}

/// The account to make a playlist by.
fn maker<'a>(app: &App, principal: &Principal, scope: &'a Scope, new: &NewPlaylist) -> ApiResult<&'a Account> {
    if let Some(id) = &new.account {
        let account = routing::named(principal, scope, id, None)?;
        let elsewhere = routing::elsewhere(account, new.provider.as_deref());
        return elsewhere.map_or(Ok(account), |detail| Err(ApiError::invalid_field("account", detail)));
    }
    let able = |account: &&Account| match &new.provider {
        Some(provider) => account.instance == *provider,
        None => app.providers.get(&account.instance).is_some_and(|h| h.has(capability::PLAYLISTS_CREATE)),
    };
    let candidates: Vec<&Account> = scope.accounts().iter().filter(able).collect();
    routing::only(principal, scope, &candidates, "make a playlist")
}

/// What to change of a playlist; what is left out stays.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaylistChange {
    /// Its name.
    #[serde(default)]
    #[garde(inner(length(bytes, min = 1, max = 1000)))]
    #[schema(min_length = 1, max_length = 1000)]
    name: Option<String>,
    /// Plain text; empty for none.
    #[serde(default)]
    #[garde(inner(length(bytes, max = 8000)))]
    #[schema(max_length = 8000)]
    description: Option<String>,
    /// Whether others can see it.
    #[serde(default)]
    #[garde(skip)]
    public: Option<bool>,
    /// Whether others can edit it.
    #[serde(default)]
    #[garde(skip)]
    collaborative: Option<bool>,
}

/// Changes a playlist's details. The answer is what the provider made of it.
///
/// # Errors
/// 404 `item_not_found` or `wrong_kind`, 403 `admin_required`, 409 `account_ambiguous`, 412 `version_mismatch`, 422
/// `unsupported` or `validation_failed`, 504 `outcome_unknown`, or why the provider failed.
#[utoipa::path(
    patch, path = "/api/playlists/{uri}", operation_id = "update_playlist", tag = "Playlists",
    params(
        ("uri" = String, Path, description = "The playlist's URI."), AccountQuery,
        ("If-Match" = Option<String>, Header, description = "Only if it still is of this version.")
    ),
    request_body = PlaylistChange,
    responses((status = 200, description = "The playlist as it is now.", body = Playlist)),
    security(("bearer" = ["playlists:write"]), ("api_key" = ["playlists:write"]))
)]
pub async fn update_playlist(
    State(app): State<AppState>,
    Wanted { target, expected }: Wanted,
    Valid(change): Valid<PlaylistChange>,
) -> ApiResult<Response> {
    let PlaylistChange { name, description, public, collaborative } = change;
    if name.as_ref().is_some_and(|name| name.trim().is_empty()) {
        return Err(ApiError::invalid_field("name", "a playlist needs a name"));
    }
    if name.is_none() && description.is_none() && public.is_none() && collaborative.is_none() {
        return Err(ApiError::invalid_field("name", "send what to change: name, description, public or collaborative"));
    }
    let change = PlaylistUpdate { playlist: target.key(), name, description, public, collaborative };
    let work = {
        let app = app.clone();
        async move { playlists::update(&app, &target, change, expected.as_ref()).await }
    };
    let seen = routing::detached(&app, work).await?;
    Ok((tagged(&seen.tag), RawJson(seen.doc)).into_response())
}

/// Deletes a playlist, or stops following it where it is somebody else's.
///
/// # Errors
/// 404 `item_not_found` or `wrong_kind`, 403 `admin_required`, 409 `account_ambiguous`, 412 `version_mismatch`, 422
/// `unsupported`, 504 `outcome_unknown`, or why the provider failed.
#[utoipa::path(
    delete, path = "/api/playlists/{uri}", operation_id = "delete_playlist", tag = "Playlists",
    params(
        ("uri" = String, Path, description = "The playlist's URI."), AccountQuery,
        ("If-Match" = Option<String>, Header, description = "Only if it still is of this version.")
    ),
    responses((status = 204, description = "It is gone.")),
    security(("bearer" = ["playlists:write"]), ("api_key" = ["playlists:write"]))
)]
pub async fn delete_playlist(
    State(app): State<AppState>,
    Wanted { target, expected }: Wanted,
) -> ApiResult<StatusCode> {
    let work = {
        let app = app.clone();
        async move { playlists::delete(&app, &target, expected.as_ref()).await }
    };
    routing::detached(&app, work).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sets a playlist's picture: a JPEG or PNG of at most 512 KiB.
///
/// # Errors
/// 404 `item_not_found` or `wrong_kind`, 403 `admin_required`, 412 `version_mismatch`, 413 `body_too_large`, 415
/// `unsupported_media_type`, 422 `invalid_image` or `unsupported`, 504 `outcome_unknown`, or why the provider failed.
#[utoipa::path(
    put, path = "/api/playlists/{uri}/image", operation_id = "set_playlist_image", tag = "Playlists",
    params(
        ("uri" = String, Path, description = "The playlist's URI."), AccountQuery,
        ("If-Match" = Option<String>, Header, description = "Only if it still is of this version.")
    ),
    request_body(description = "The picture.", content((Vec<u8> = "image/jpeg"), (Vec<u8> = "image/png"))),
    responses((status = 204, description = "The provider has it.")),
    security(("bearer" = ["playlists:write"]), ("api_key" = ["playlists:write"]))
)]
pub async fn set_playlist_image(
    State(app): State<AppState>,
    Wanted { target, expected }: Wanted,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> ApiResult<StatusCode> {
    let bytes = body.map_err(|rejection| body_problem(&rejection))?;
    let named = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let content_type = match named.split(';').next().unwrap_or_default().trim() {
        "image/jpeg" => "image/jpeg",
        "image/png" => "image/png",
        _ => {
            let detail = "send the picture as it is, with `Content-Type: image/jpeg` or `image/png`";
            return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
        }
    };
    if bytes.len() > MAX_IMAGE {
        let detail = "the picture is larger than 512 KiB";
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail));
    }
    if !is_image(content_type, &bytes) {
        return Err(ApiError::unprocessable("invalid_image", format!("the body does not begin like {content_type}")));
    }
    let work = {
        let app = app.clone();
        async move { playlists::set_image(&app, &target, (content_type, bytes.to_vec()), expected.as_ref()).await }
    };
    routing::detached(&app, work).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn is_image(content_type: &str, bytes: &[u8]) -> bool {
    match content_type {
        "image/jpeg" => bytes.starts_with(&[0xff, 0xd8, 0xff]),
        _ => bytes.starts_with(b"\x89PNG\r\n\x1a\n"),
    }
}
