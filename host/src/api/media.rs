//! The audio of tracks and episodes.

use axum::{
    extract::State,
    http::{HeaderMap, Method},
    response::Response,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use zotify_plugin_api::{Kind, MediaRequest, Uri, capability, method};

use super::{
    extract::{ItemUri, OptionalJson, Query, validate},
    rfc3339,
};
use crate::{
    AppState,
    api::extract::Json,
    auth::{MediaPrincipal, Principal, signed},
    db::{items, now_ms},
    error::{ApiError, ApiResult},
    media::{self, Asked, Purpose},
    mirror::{
        Scope,
        lookup::{self, Found},
    },
    providers::Lane,
};

/// How the audio is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct MediaQuery {
    /// A format (`mp3`, `opus`, …), where the provider transcodes; else the audio as it is stored.
    format: Option<String>,
    /// The highest bit rate in kbit/s, where the provider transcodes.
    #[param(minimum = 8, maximum = 10000)]
    max_bitrate: Option<u32>,
}

// The formatter would move the attribute further to the right at every run.
#[rustfmt::skip]
macro_rules! media {
    ($handler:ident, $verb:ident, $method:expr, $kind:expr, $path:literal, $name:literal, $what:literal) => {
        #[doc = $what]
        ///
        /// Answers ranges, `If-Range`, `If-None-Match`, `If-Match` and their kin. A signed link needs no header.
        ///
        /// # Errors
        /// 400 `invalid_query`, 404 `item_not_found`, `wrong_kind` or `media_not_found`, 412 `precondition_failed`,
        /// 416 `range_not_satisfiable`, 422 `unsupported`, or why the provider failed.
        #[utoipa::path(
            $verb, path = $path, operation_id = $name, tag = "Catalogue",
            params(
                ("uri" = String, Path, description = "The item's URI."), MediaQuery,
                ("sig" = Option<String>, Query, description = "Of a signed link."),
                ("Range" = Option<String>, Header, description = "One range of bytes, such as `bytes=0-1023`.")
            ),
            responses(
                (status = 200, description = "All bytes.", content_type = "audio/*", body = Vec<u8>),
                (status = 206, description = "The wanted range.", content_type = "audio/*", body = Vec<u8>),
                (status = 304, description = "The client has them already.")
            ),
            security(("bearer" = ["catalog:read"]), ("api_key" = ["catalog:read"]), ())
        )]
        pub async fn $handler(
            State(app): State<AppState>,
            principal: MediaPrincipal,
            uri: ItemUri,
            Query(query): Query<MediaQuery>,
            headers: HeaderMap,
        ) -> ApiResult<Response> {
            serve(&app, &principal.0, &uri.of_kind($kind)?, query, &$method, &headers).await
        }
    };
}

media!(
    get_track_media,
    get,
    Method::GET,
    Kind::Track,
    "/api/tracks/{uri}/media",
    "get_track_media",
    "The audio of a track."
);
media!(
    head_track_media,
    head,
    Method::HEAD,
    Kind::Track,
    "/api/tracks/{uri}/media",
    "head_track_media",
    "What GET would answer, without the bytes."
);
media!(
    get_episode_media,
    get,
    Method::GET,
    Kind::Episode,
    "/api/episodes/{uri}/media",
    "get_episode_media",
    "The audio of an episode."
);
media!(
    head_episode_media,
    head,
    Method::HEAD,
    Kind::Episode,
    "/api/episodes/{uri}/media",
    "head_episode_media",
    "What GET would answer, without the bytes."
);

async fn serve(
    app: &AppState,
    principal: &Principal,
    uri: &Uri,
    query: MediaQuery,
    method: &Method,
    headers: &HeaderMap,
) -> ApiResult<Response> {
    principal.require("catalog:read")?;
    let is_word = |f: &String| (1..=16).contains(&f.len()) && f.bytes().all(|b| b.is_ascii_alphanumeric());
    if !query.format.as_ref().is_none_or(is_word) {
        return Err(ApiError::bad_request("invalid_query", "format is a short word such as mp3 or opus"));
    }
    if query.max_bitrate.is_some_and(|rate| !(8..=10_000).contains(&rate)) {
        return Err(ApiError::bad_request("invalid_query", "max_bitrate is 8 to 10000 kbit/s"));
    }
    let found = find(app, principal, uri).await?;
    let handle = lookup::capable(app, uri, capability::MEDIA_STREAM, "audio")?;
    let MediaQuery { format, max_bitrate } = query;
    let request = MediaRequest { uri: uri.clone(), locator: found.locator.clone(), format, max_bitrate };
    let account = lookup::account_of(&handle, &found.account_id);
    let source = app.providers.call::<method::OpenMedia>(uri.instance(), account, Lane::Interactive, request).await?;
    let asked = Asked { method, headers, purpose: Purpose::Audio, name: &found.title() };
    media::serve(app, &handle, source, &asked).await
}

/// The item, where the caller sees its instance. A provider may serve what it can't look up, so that an item which only
/// the provider knows is not asked for twice.
async fn find(app: &AppState, principal: &Principal, uri: &Uri) -> ApiResult<Found> {
    let scope = Scope::of(app, principal).await?;
    let accounts = scope.at(uri.instance());
    let Some(account_id) = accounts.first().cloned() else { return Err(lookup::item_not_found(uri)) };
    if let Some(stored) = items::find(app.db.read(), &accounts, uri.as_str()).await? {
        return Ok(stored.into());
    }
    Ok(Found { account_id, doc: String::new(), locator: None, artwork: None, parent_uri: String::new() })
}

/// How long a link should work.
#[derive(Debug, Default, Deserialize, garde::Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkRequest {
    /// Seconds, an hour where it is not given.
    #[garde(inner(range(min = 60, max = 604_800)))]
    #[schema(minimum = 60, maximum = 604_800)]
    expires_in_s: Option<i64>,
}

/// A signed link.
#[derive(Debug, Serialize, ToSchema)]
pub struct Link {
    /// Relative to the server's address.
    #[schema(example = "/api/tracks/local:track:kq7R/media?sig=…")]
    url: String,
    /// RFC 3339 UTC.
    expires_at: String,
}

// The formatter would move the attribute further to the right at every run.
#[rustfmt::skip]
macro_rules! link {
    ($handler:ident, $kind:expr, $path:literal, $name:literal) => {
        /// A signed link to the audio, for players that can't send headers. It works for its item only, until it expires
        /// or the session that made it ends.
        ///
        /// # Errors
        /// 404 `item_not_found` or `wrong_kind`, 422 `unsupported` or `validation_failed`.
        #[utoipa::path(
            post, path = $path, operation_id = $name, tag = "Catalogue", request_body = Option<LinkRequest>,
            params(("uri" = String, Path, description = "The item's URI.")),
            responses((status = 200, description = "The link.", body = Link)),
            security(("bearer" = ["catalog:read"]), ("api_key" = ["catalog:read"]))
        )]
        pub async fn $handler(
            State(app): State<AppState>,
            principal: Principal,
            uri: ItemUri,
            OptionalJson(request): OptionalJson<LinkRequest>,
        ) -> ApiResult<Json<Link>> {
            validate(&request)?;
            link(&app, &principal, &uri.of_kind($kind)?, &request).await
        }
    };
}

link!(create_track_media_url, Kind::Track, "/api/tracks/{uri}/media-url", "create_track_media_url");
link!(create_episode_media_url, Kind::Episode, "/api/episodes/{uri}/media-url", "create_episode_media_url");

async fn link(app: &AppState, principal: &Principal, uri: &Uri, request: &LinkRequest) -> ApiResult<Json<Link>> {
    principal.require("catalog:read")?;
    let scope = Scope::of(app, principal).await?;
    lookup::item(app, &scope, uri).await?;
    lookup::capable(app, uri, capability::MEDIA_STREAM, "audio")?;
    let expires = now_ms() + request.expires_in_s.unwrap_or(3600) * 1000;
    let sig = signed::sign(app, &principal.credential, uri.as_str(), expires);
    let url = format!("/api/{}s/{uri}/media?sig={sig}", uri.kind());
    Ok(Json(Link { url, expires_at: rfc3339(expires) }))
}
