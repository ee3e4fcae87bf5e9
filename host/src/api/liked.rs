//! `/api/user/liked`: the tracks that the caller likes, over all providers.

use std::collections::HashMap;

use axum::{extract::State, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;
use zotify_plugin_api::Kind;

use super::{
    extract::{ItemUri, Json},
    model::Track,
    page::{Meta, Page, Paging, cursor},
    rfc3339,
};
use crate::{
    AppState,
    auth::Principal,
    db::{self, items, likes::LikeRow},
    error::ApiResult,
    likes,
    mirror::Scope,
};

/// What the cursors of this list name.
const LIST: &str = "liked";

/// A liked track; `kind` says whether it is known.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum LikedItem {
    /// One that the host knows.
    Track(Box<LikedTrack>),
    /// One that no library holds any more.
    Unknown(LikedUnknown),
}

/// A track with what is known of the like.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LikedTrack {
    /// The track.
    #[serde(flatten)]
    track: Track,
    /// Since when, RFC 3339 UTC.
    liked_at: String,
    /// Whether its provider holds the like too.
    written_through: bool,
}

/// A liked track of which the host only knows the address.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LikedUnknown {
    /// Always `unknown`.
    #[schema(value_type = String, pattern = "^unknown$")]
    kind: &'static str,
    /// The track's URI.
    uri: String,
    /// Since when, RFC 3339 UTC.
    liked_at: String,
    /// Whether its provider holds the like too.
    written_through: bool,
}

impl LikedItem {
    fn new(row: LikeRow, doc: Option<&String>) -> Self {
        let (liked_at, written_through) = (rfc3339(row.liked_at), row.written_through != 0);
        match doc.and_then(|doc| serde_json::from_str(doc).ok()) {
            Some(track) => Self::Track(Box::new(LikedTrack { track, liked_at, written_through })),
            None => Self::Unknown(LikedUnknown { kind: "unknown", uri: row.uri, liked_at, written_through }),
        }
    }
}

/// What became of a like.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Liked {
    /// The track's URI.
    #[schema(example = "local:track:kq7R")]
    uri: String,
    /// Since when, RFC 3339 UTC.
    liked_at: String,
    /// Whether its provider holds the like too. Where it does not, the like is kept here.
    written_through: bool,
    /// Whether the provider is told again later.
    pending: bool,
    /// Why the provider does not hold it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "unsupported")]
    code: Option<String>,
    /// One sentence for people.
    detail: String,
}

impl From<LikeRow> for Liked {
    fn from(row: LikeRow) -> Self {
        let detail = match row.code.as_deref() {
            _ if row.written_through != 0 => "the provider holds the like too",
            _ if row.pending != 0 => {
                "the provider does not take it now; it is kept here, and the provider is told later"
            }
            Some(likes::NO_OWN_ACCOUNT) => "it is kept here: you have no account of your own at the provider",
            Some(likes::UNSUPPORTED) | None => "it is kept here: the provider keeps no likes",
            Some(_) => "it is kept here: the provider does not take it",
        };
        Self {
            uri: row.uri,
            liked_at: rfc3339(row.liked_at),
            written_through: row.written_through != 0,
            pending: row.pending != 0,
            code: row.code,
            detail: detail.into(),
        }
    }
}

/// The tracks that the caller likes, newest like first.
///
/// # Errors
/// 400 `invalid_limit` or `invalid_cursor`.
#[utoipa::path(
    get, path = "/api/user/liked", operation_id = "list_liked", tag = "User", params(Paging),
    responses((status = 200, description = "A page of liked tracks.", body = Page<LikedItem>)),
    security(("bearer" = ["library:read"]), ("api_key" = ["library:read"]))
)]
pub async fn list_liked(
    State(app): State<AppState>,
    principal: Principal,
    paging: Paging,
) -> ApiResult<Page<LikedItem>> {
    principal.require("library:read")?;
    let (after, limit) = (paging.after(LIST)?, paging.limit());
    let mut rows = db::likes::list(app.db.read(), &principal.user_id, after, limit + 1).await?;
    let more = i64::try_from(rows.len()).is_ok_and(|n| n > limit);
    if more {
        rows.pop();
    }
    let last = rows.last().filter(|_| more).map(|row| (row.liked_at, &row.uri));
    let meta = Meta { limit, next_cursor: last.and_then(|keys| cursor(LIST, &keys)), ..Meta::default() };
    let scope = Scope::of(&app, &principal).await?;
    let uris: Vec<String> = rows.iter().map(|row| row.uri.clone()).collect();
    let found = items::find_many(app.db.read(), &scope.ids(), &uris).await?;
    let docs: HashMap<String, String> = found.into_iter().map(|item| (item.uri, item.doc)).collect();
    let data = rows.into_iter().map(|row| {
        let doc = docs.get(&row.uri);
        LikedItem::new(row, doc)
    });
    Ok(Page { data: data.collect(), meta })
}

/// Likes a track, at its provider too where that can be.
///
/// # Errors
/// 404 `wrong_kind` or `item_not_found`, 403 `quota_exceeded`. A provider that fails is no error: see the answer.
#[utoipa::path(
    put, path = "/api/user/liked/{uri}", operation_id = "like_track", tag = "User",
    params(("uri" = String, Path, description = "The track's URI.")),
    responses((status = 200, description = "It is liked; whether its provider knows stands there.", body = Liked)),
    security(("bearer" = ["library:write"]), ("api_key" = ["library:write"]))
)]
pub async fn like_track(State(app): State<AppState>, principal: Principal, uri: ItemUri) -> ApiResult<Json<Liked>> {
    principal.require("library:write")?;
    let uri = uri.of_kind(Kind::Track)?;
    Ok(Json(likes::like(&app, &principal, &uri).await?.into()))
}

/// Takes a like back, at its provider too where that holds it. A track that is not liked stays so.
///
/// # Errors
/// 404 `wrong_kind`.
#[utoipa::path(
    delete, path = "/api/user/liked/{uri}", operation_id = "unlike_track", tag = "User",
    params(("uri" = String, Path, description = "The track's URI.")),
    responses((status = 204, description = "It is not liked.")),
    security(("bearer" = ["library:write"]), ("api_key" = ["library:write"]))
)]
pub async fn unlike_track(State(app): State<AppState>, principal: Principal, uri: ItemUri) -> ApiResult<StatusCode> {
    principal.require("library:write")?;
    let uri = uri.of_kind(Kind::Track)?;
    likes::unlike(&app, &principal, &uri).await?;
    Ok(StatusCode::NO_CONTENT)
}
