//! `/api/items` and the same by kind: single items, tracks by the batch, and children.

use std::collections::HashMap;

use axum::extract::State;
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use zotify_plugin_api::{Kind, Uri};

use super::{
    extract::{ItemUri, Json, Valid, parse_uri},
    model::{Album, Artist, Episode, Item, Show, Track},
    raw::{RawJson, raw},
};
use crate::{
    App, AppState,
    auth::Principal,
    db::items,
    error::{ApiError, ApiResult},
    mirror::{Scope, lookup},
};

/// Questions to providers that one request may cause.
const MAX_UPSTREAM: usize = 10;

async fn one(app: &App, principal: &Principal, uri: &Uri, scope_name: &str) -> ApiResult<RawJson> {
    principal.require(scope_name)?;
    let scope = Scope::of(app, principal).await?;
    Ok(RawJson(lookup::item(app, &scope, uri).await?.doc))
}

/// One item of any kind.
///
/// # Errors
/// 400 `invalid_uri`, 404 `item_not_found`.
#[utoipa::path(
    get, path = "/api/items/{uri}", operation_id = "get_item", tag = "Catalogue",
    params(("uri" = String, Path, description = "The item's URI.")),
    responses((status = 200, description = "The item; its kind says which.", body = Item)),
    security(("bearer" = ["catalog:read"]), ("api_key" = ["catalog:read"]))
)]
pub async fn get_item(State(app): State<AppState>, principal: Principal, uri: ItemUri) -> ApiResult<RawJson> {
    one(&app, &principal, &uri.0, "catalog:read").await
}

// The formatter would move the attribute further to the right at every run.
#[rustfmt::skip]
macro_rules! one_of_kind {
    ($handler:ident, $kind:expr, $path:literal, $name:literal, $type:ty, $what:literal) => {
        #[doc = $what]
        ///
        /// # Errors
        /// 400 `invalid_uri`, 404 `item_not_found` or `wrong_kind`.
        #[utoipa::path(
            get, path = $path, operation_id = $name, tag = "Catalogue",
            params(("uri" = String, Path, description = "The item's URI.")),
            responses((status = 200, description = $what, body = $type)),
            security(("bearer" = ["catalog:read"]), ("api_key" = ["catalog:read"]))
        )]
        pub async fn $handler(State(app): State<AppState>, principal: Principal, uri: ItemUri) -> ApiResult<RawJson> {
            one(&app, &principal, &uri.of_kind($kind)?, "catalog:read").await
        }
    };
}

one_of_kind!(get_track, Kind::Track, "/api/tracks/{uri}", "get_track", Track, "One track.");
one_of_kind!(get_album, Kind::Album, "/api/albums/{uri}", "get_album", Album, "One album.");
one_of_kind!(get_artist, Kind::Artist, "/api/artists/{uri}", "get_artist", Artist, "One artist.");
one_of_kind!(get_show, Kind::Show, "/api/shows/{uri}", "get_show", Show, "One show.");
one_of_kind!(get_episode, Kind::Episode, "/api/episodes/{uri}", "get_episode", Episode, "One episode.");

/// URIs to look up.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Uris {
    /// At most 500 item URIs.
    #[garde(length(min = 1, max = 500))]
    #[schema(min_items = 1, max_items = 500)]
    pub(super) uris: Vec<String>,
}

/// The results of a batch, in the order of the request.
#[derive(Debug, Serialize, ToSchema)]
pub struct Batch {
    /// One for each URI.
    data: Vec<BatchResult>,
}

/// What became of one URI: `item` or `error`.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchResult {
    /// As it was asked for.
    uri: String,
    /// The track.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Track>)]
    item: Option<Box<RawValue>>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<BatchError>,
}

/// Why a batch has no item for a URI.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchError {
    /// The stable code; `budget_deferred` for those that would take more questions to providers than one request may ask.
    #[schema(example = "item_not_found")]
    code: String,
    /// The provider's own code, where it named one.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_code: Option<String>,
    /// One sentence for people.
    detail: String,
}

impl From<ApiError> for BatchError {
    fn from(error: ApiError) -> Self {
        Self {
            code: error.code().to_owned(),
            provider_code: error.provider_code().map(str::to_owned),
            detail: error.detail().to_owned(),
        }
    }
}

/// Looks up to 500 tracks up by URI. What the host does not hold is asked of the providers, ten questions at most.
///
/// # Errors
/// 422 `validation_failed`. What is wrong with a URI stands in its result.
#[utoipa::path(
    post, path = "/api/tracks/batch", operation_id = "batch_tracks", tag = "Catalogue", request_body = Uris,
    responses((status = 200, description = "A result for each URI, in the same order.", body = Batch)),
    security(("bearer" = ["catalog:read"]), ("api_key" = ["catalog:read"]))
)]
pub async fn batch_tracks(
    State(app): State<AppState>,
    principal: Principal,
    Valid(request): Valid<Uris>,
) -> ApiResult<Json<Batch>> {
    principal.require("catalog:read")?;
    let scope = Scope::of(&app, &principal).await?;
    let held = items::find_many(app.db.read(), &scope.ids(), &valid(&request.uris)).await?;
    let mut held: HashMap<String, String> = held.into_iter().map(|item| (item.uri, item.doc)).collect();
    let mut left = MAX_UPSTREAM;
    let mut data = Vec::with_capacity(request.uris.len());
    for uri in request.uris {
        let result = match parse_uri(&uri) {
            Ok(parsed) => track(&app, &scope, &parsed, &mut held, &mut left).await,
            Err(error) => Err(error),
        };
        let (item, error) = match result.and_then(raw) {
            Ok(item) => (Some(item), None),
            Err(error) => (None, Some(error.into())),
        };
        data.push(BatchResult { uri, item, error });
    }
    Ok(Json(Batch { data }))
}

pub(super) fn valid(uris: &[String]) -> Vec<String> {
    uris.iter().filter(|uri| uri.parse::<Uri>().is_ok()).cloned().collect()
}

async fn track(
    app: &App,
    scope: &Scope,
    uri: &Uri,
    held: &mut HashMap<String, String>,
    left: &mut usize,
) -> ApiResult<String> {
    if uri.kind() != Kind::Track {
        return Err(ApiError::not_found("wrong_kind", format!("{uri} is of kind {}, not track", uri.kind())));
    }
    if let Some(doc) = held.get(uri.as_str()) {
        return Ok(doc.clone());
    }
    if *left == 0 {
        let detail = "looking this one up would take too many questions to providers; ask again for it alone";
        return Err(ApiError::unprocessable("budget_deferred", detail));
    }
    if app.providers.get(uri.instance()).is_some_and(|h| h.has(zotify_plugin_api::capability::CATALOG_GET)) {
        *left -= 1;
    }
    let doc = lookup::upstream(app, scope, uri).await?.doc;
    held.insert(uri.to_string(), doc.clone());
    Ok(doc)
}
