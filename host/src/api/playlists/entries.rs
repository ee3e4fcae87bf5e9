//! Changing the entries of playlists.

use std::collections::HashMap;

use axum::{
    extract::{FromRequestParts, State},
    http::{HeaderName, StatusCode, header, request::Parts},
    response::{AppendHeaders, IntoResponse as _, Response},
};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use zotify_plugin_api::{EditResult, PlaylistOp, ProviderError};

use super::{
    ops::{AllItems, NewItems, Ops, Reader},
    wanted::Wanted,
};
use crate::{
    AppState,
    api::{
        extract::{Json, Path, Valid},
        library::edit::AccountQuery,
        model::Playlist,
        raw::raw,
    },
    error::{ApiError, ApiResult},
    middleware::etag,
    playlists::{self, Edit, Edited},
    routing,
};

/// The `ETag` of a reply to a write.
pub(super) fn tagged(version: &str) -> [(HeaderName, String); 1] {
    [(header::ETAG, etag::of_version(version))]
}

/// The entry in the path.
pub struct EntryId(String);

impl<S: Send + Sync> FromRequestParts<S> for EntryId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(mut values) = Path::<HashMap<String, String>>::from_request_parts(parts, state).await?;
        Ok(Self(values.remove("entry_id").unwrap_or_default()))
    }
}

/// What became of a change of entries.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlaylistEditResult {
    /// The playlist's version now, as its provider tells; null where that is not known.
    version: Option<String>,
    /// The playlist as it is now; null where it could not be read again, which a pull does soon.
    #[schema(value_type = Option<Playlist>)]
    playlist: Option<Box<RawValue>>,
    /// What became of each operation, in order.
    results: Vec<OpResult>,
    /// Items that could not be added although the others of their operation were, or that went along with one that was
    /// removed and could not be put back.
    refused: Vec<RefusedItem>,
}

/// How one operation went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OpStatus {
    /// It was done.
    Done,
    /// It was not done; see `code`.
    Failed,
    /// One before it failed.
    NotTried,
}

/// What became of one operation.
#[derive(Debug, Serialize, ToSchema)]
pub struct OpResult {
    /// How it went.
    status: OpStatus,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// The provider's own code, where it named one.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_code: Option<String>,
    /// One sentence for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl OpResult {
    fn of(status: OpStatus) -> Self {
        Self { status, code: None, provider_code: None, detail: None }
    }
}

/// An item that could not be added.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefusedItem {
    /// Its URI.
    uri: String,
    /// Why.
    code: String,
    /// The provider's own code, where it named one.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_code: Option<String>,
    /// One sentence for people.
    detail: String,
}

impl PlaylistEditResult {
    fn new(edited: Edited) -> ApiResult<Self> {
        let Edited { seen, results, refused, ops } = edited;
        let refused = refused.into_iter().filter_map(refused_item).collect();
        let mut failed = false;
        let mut all: Vec<OpResult> = Vec::with_capacity(ops);
        for n in 0..ops {
            all.push(match results.get(n) {
                Some(Some(error)) if !failed => {
                    failed = true;
                    failure(error.clone())
                }
                Some(None) if !failed => OpResult::of(OpStatus::Done),
                _ => OpResult::of(OpStatus::NotTried),
            });
        }
        let version = seen.as_ref().and_then(|seen| seen.version.clone());
        Ok(Self { version, playlist: seen.map(|seen| raw(seen.doc)).transpose()?, results: all, refused })
    }
}

fn failure(error: ProviderError) -> OpResult {
    let error = ApiError::from(error);
    OpResult {
        status: OpStatus::Failed,
        code: Some(error.code().to_owned()),
        provider_code: error.provider_code().map(str::to_owned),
        detail: Some(error.detail().to_owned()),
    }
}

fn refused_item(result: EditResult) -> Option<RefusedItem> {
    let error = ApiError::from(result.error?);
    Some(RefusedItem {
        uri: result.uri.to_string(),
        code: error.code().to_owned(),
        provider_code: error.provider_code().map(str::to_owned),
        detail: error.detail().to_owned(),
    })
}

async fn answer(
    app: &AppState,
    Wanted { target, expected }: Wanted,
    ops: Vec<PlaylistOp>,
    position: Option<u32>,
) -> ApiResult<Response> {
    let edit = Edit { ops, position, expected };
    let work = {
        let app = app.clone();
        async move { playlists::edit(&app, &target, edit).await }
    };
    let edited = routing::detached(app, work).await?;
    let tag = edited.seen.as_ref().map(|seen| tagged(&seen.tag));
    Ok((tag.map(AppendHeaders), Json(PlaylistEditResult::new(edited)?)).into_response())
}

/// Appends items to a playlist, or inserts them.
///
/// # Errors
/// 404 `item_not_found`, `wrong_kind` or `entry_not_found`, 403 `admin_required`, 409 `account_ambiguous`, 412
/// `version_mismatch`, 422 `unsupported` or `validation_failed`, 504 `outcome_unknown`, or why the provider failed.
#[utoipa::path(
    post, path = "/api/playlists/{uri}/items", operation_id = "add_playlist_items", tag = "Playlists",
    params(
        ("uri" = String, Path, description = "The playlist's URI."), AccountQuery,
        ("If-Match" = Option<String>, Header, description = "Only if it still is of this version.")
    ),
    request_body = NewItems,
    responses((status = 200, description = "What became of it.", body = PlaylistEditResult)),
    security(("bearer" = ["playlists:write"]), ("api_key" = ["playlists:write"]))
)]
pub async fn add_playlist_items(
    State(app): State<AppState>,
    wanted: Wanted,
    Valid(new): Valid<NewItems>,
) -> ApiResult<Response> {
    let mut reader = Reader::new(&app, &wanted.target);
    if new.position.is_some() && new.before.is_some() {
        reader.wrong("before".into(), "invalid", "send position or before, not both");
    }
    let items = reader.items("uris", &new.uris).await?;
    reader.finish()?;
    answer(&app, wanted, vec![PlaylistOp::Add { items, before: new.before }], new.position).await
}

/// Replaces all entries of a playlist.
///
/// # Errors
/// As [`add_playlist_items`].
#[utoipa::path(
    put, path = "/api/playlists/{uri}/items", operation_id = "replace_playlist_items", tag = "Playlists",
    params(
        ("uri" = String, Path, description = "The playlist's URI."), AccountQuery,
        ("If-Match" = Option<String>, Header, description = "Only if it still is of this version.")
    ),
    request_body = AllItems,
    responses((status = 200, description = "What became of it.", body = PlaylistEditResult)),
    security(("bearer" = ["playlists:write"]), ("api_key" = ["playlists:write"]))
)]
pub async fn replace_playlist_items(
    State(app): State<AppState>,
    wanted: Wanted,
    Valid(all): Valid<AllItems>,
) -> ApiResult<Response> {
    let mut reader = Reader::new(&app, &wanted.target);
    let items = reader.items("uris", &all.uris).await?;
    reader.finish()?;
    answer(&app, wanted, vec![PlaylistOp::Replace { items }], None).await
}

/// Adds, moves and removes entries, all under one version: `If-Match` with the `ETag` of the playlist or of its items.
///
/// # Errors
/// 428 `precondition_required` without `If-Match`; else as [`add_playlist_items`].
#[utoipa::path(
    patch, path = "/api/playlists/{uri}/items", operation_id = "edit_playlist_items", tag = "Playlists",
    params(
        ("uri" = String, Path, description = "The playlist's URI."), AccountQuery,
        ("If-Match" = Option<String>, Header, description = "The version that the entries are of; must be there.")
    ),
    request_body = Ops,
    responses((status = 200, description = "What became of each operation.", body = PlaylistEditResult)),
    security(("bearer" = ["playlists:write"]), ("api_key" = ["playlists:write"]))
)]
pub async fn edit_playlist_items(
    State(app): State<AppState>,
    wanted: Wanted,
    Valid(request): Valid<Ops>,
) -> ApiResult<Response> {
    if wanted.expected.is_none() {
        let detail = "send If-Match with the ETag of the playlist's items, so that nobody's change is lost";
        return Err(ApiError::new(StatusCode::PRECONDITION_REQUIRED, "precondition_required", detail));
    }
    let mut reader = Reader::new(&app, &wanted.target);
    let mut ops = Vec::with_capacity(request.ops.len());
    for (n, op) in request.ops.into_iter().enumerate() {
        ops.push(reader.op(n, op).await?);
    }
    reader.finish()?;
    answer(&app, wanted, ops, None).await
}

/// Removes one entry.
///
/// # Errors
/// As [`add_playlist_items`].
#[utoipa::path(
    delete, path = "/api/playlists/{uri}/items/{entry_id}", operation_id = "remove_playlist_item", tag = "Playlists",
    params(
        ("uri" = String, Path, description = "The playlist's URI."),
        ("entry_id" = String, Path, description = "The entry's id."), AccountQuery,
        ("If-Match" = Option<String>, Header, description = "Only if it still is of this version.")
    ),
    responses((status = 200, description = "What became of it.", body = PlaylistEditResult)),
    security(("bearer" = ["playlists:write"]), ("api_key" = ["playlists:write"]))
)]
pub async fn remove_playlist_item(
    State(app): State<AppState>,
    wanted: Wanted,
    EntryId(entry): EntryId,
) -> ApiResult<Response> {
    answer(&app, wanted, vec![PlaylistOp::Remove { entries: vec![entry] }], None).await
}
