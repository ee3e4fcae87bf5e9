//! Changing the entries of playlists.

use std::collections::{HashMap, HashSet};

use axum::{
    extract::{FromRequestParts, State},
    http::{HeaderMap, HeaderName, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use zotify_plugin_api::{EditResult, Kind, PlaylistOp, ProviderError, Uri};

use crate::{
    App, AppState,
    api::{
        extract::{ItemUri, Json, Path, Query, Valid},
        library::edit::AccountQuery,
        model::Playlist,
        raw::raw,
    },
    auth::Principal,
    error::{ApiError, ApiResult, FieldError},
    middleware::etag,
    playlists::{self, Edited, Target, locators},
    routing,
};

/// Items and entries that one request may name.
const MAX_ENTRIES: usize = 1000;

/// The `ETag` of a reply to a write.
pub(super) fn tagged(version: &str) -> [(HeaderName, String); 1] {
    [(header::ETAG, etag::of_version(version))]
}

/// The version that `If-Match` names, where that is the one that the mirror has; none without the header.
///
/// # Errors
/// 412 `version_mismatch`.
pub(super) async fn expected(app: &App, target: &Target, headers: &HeaderMap) -> ApiResult<Option<String>> {
    let Some(wanted) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let tag = target.now(app).await?.tag;
    if etag::names_version(wanted, &tag) { Ok(Some(tag)) } else { Err(playlists::version_mismatch()) }
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

/// Items for a playlist.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewItems {
    /// Tracks and episodes of the playlist's own provider, in order; one may stand there several times.
    #[garde(length(min = 1, max = 1000), inner(length(max = 512)))]
    #[schema(min_items = 1, max_items = 1000)]
    uris: Vec<String>,
    /// The place of the first of them, from 0; the end without it.
    #[serde(default)]
    #[garde(skip)]
    position: Option<u32>,
    /// The entry before which they go, instead of a position.
    #[serde(default)]
    #[garde(inner(length(max = 200)))]
    #[schema(max_length = 200)]
    before: Option<String>,
}

/// What a playlist is to hold.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AllItems {
    /// Tracks and episodes of the playlist's own provider, in order; none empties it.
    #[garde(length(max = 1000), inner(length(max = 512)))]
    #[schema(max_items = 1000)]
    uris: Vec<String>,
}

/// Changes of a playlist's entries, done in order.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Ops {
    /// At most 100, which name 1000 items and entries at most in all.
    #[garde(length(min = 1, max = 100))]
    #[schema(min_items = 1, max_items = 100)]
    ops: Vec<Op>,
}

/// One change of a playlist's entries.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
pub enum Op {
    /// Adds items.
    Add {
        /// Tracks and episodes, in order.
        uris: Vec<String>,
        /// The entry before which they go; the end without it.
        #[serde(default)]
        before: Option<String>,
    },
    /// Moves entries, which then stand in the order that they are named in.
    Move {
        /// Their ids.
        entries: Vec<String>,
        /// The entry before which they go; the end without it.
        #[serde(default)]
        before: Option<String>,
    },
    /// Removes entries.
    Remove {
        /// Their ids.
        entries: Vec<String>,
    },
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
    /// Items that could not be added although the others of their operation were.
    refused: Vec<RefusedItem>,
}

/// What became of one operation.
#[derive(Debug, Serialize, ToSchema)]
pub struct OpResult {
    /// `done`, `failed`, or `not_tried` after one that failed.
    #[schema(example = "done")]
    status: &'static str,
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
    fn of(status: &'static str) -> Self {
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
                Some(None) if !failed => OpResult::of("done"),
                _ => OpResult::of("not_tried"),
            });
        }
        let version = seen.as_ref().and_then(|seen| seen.version.clone());
        Ok(Self { version, playlist: seen.map(|seen| raw(seen.doc)).transpose()?, results: all, refused })
    }
}

fn failure(error: ProviderError) -> OpResult {
    let error = ApiError::from(error);
    OpResult {
        status: "failed",
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

/// Makes operations of the contract, and collects what is wrong with the request.
struct Reader<'a> {
    app: &'a App,
    target: &'a Target,
    named: usize,
    errors: Vec<FieldError>,
}

impl<'a> Reader<'a> {
    fn new(app: &'a App, target: &'a Target) -> Self {
        Self { app, target, named: 0, errors: Vec::new() }
    }

    fn wrong(&mut self, field: String, code: &str, detail: impl Into<String>) {
        self.errors.push(FieldError { field, code: code.into(), detail: detail.into() });
    }

    async fn items(&mut self, field: &str, texts: &[String]) -> ApiResult<Vec<zotify_plugin_api::ItemKey>> {
        self.named += texts.len();
        let mut uris = Vec::with_capacity(texts.len());
        for (n, text) in texts.iter().enumerate() {
            let place = format!("{field}[{n}]");
            match text.parse::<Uri>() {
                Err(error) => self.wrong(place, "invalid_uri", error.to_string()),
                Ok(uri) if uri.instance() != self.target.uri.instance() => {
                    self.wrong(place, "foreign_uri", "a playlist holds items of its own provider only");
                }
                Ok(uri) if !matches!(uri.kind(), Kind::Track | Kind::Episode) => {
                    self.wrong(
                        place,
                        "wrong_kind",
                        format!("a playlist holds tracks and episodes, not {}s", uri.kind()),
                    );
                }
                Ok(uri) => uris.push(uri),
            }
        }
        locators(self.app, &self.target.account, &uris).await
    }

    fn entries(&mut self, field: &str, entries: &[String]) {
        self.named += entries.len();
        let mut seen = HashSet::new();
        for (n, id) in entries.iter().enumerate() {
            if id.is_empty() || id.len() > 200 || !seen.insert(id) {
                self.wrong(
                    format!("{field}[{n}]"),
                    "invalid",
                    "an entry's id has 1 to 200 bytes, and stands there once",
                );
            }
        }
        if entries.is_empty() {
            self.wrong(field.to_owned(), "invalid", "name at least one entry");
        }
    }

    async fn op(&mut self, n: usize, op: Op) -> ApiResult<PlaylistOp> {
        let field = |name: &str| format!("ops[{n}].{name}");
        Ok(match op {
            Op::Add { uris, before } => {
                if uris.is_empty() {
                    self.wrong(field("uris"), "invalid", "name at least one item");
                }
                PlaylistOp::Add { items: self.items(&field("uris"), &uris).await?, before }
            }
            Op::Move { entries, before } => {
                self.entries(&field("entries"), &entries);
                if before.as_ref().is_some_and(|before| entries.contains(before)) {
                    self.wrong(field("before"), "invalid", "an entry can't be moved before itself");
                }
                PlaylistOp::Move { entries, before }
            }
            Op::Remove { entries } => {
                self.entries(&field("entries"), &entries);
                PlaylistOp::Remove { entries }
            }
        })
    }

    fn finish(mut self) -> ApiResult<()> {
        if self.named > MAX_ENTRIES {
            let detail = format!("the operations name more than {MAX_ENTRIES} items and entries");
            self.wrong("ops".into(), "too_long", detail);
        }
        if self.errors.is_empty() { Ok(()) } else { Err(ApiError::invalid(self.errors)) }
    }
}

async fn answer(app: &AppState, target: Target, ops: Vec<PlaylistOp>, expected: Option<String>) -> ApiResult<Response> {
    let work = {
        let app = app.clone();
        async move { playlists::edit(&app, &target, ops, expected.as_deref()).await }
    };
    let edited = routing::detached(app, work).await?;
    let tag = edited.seen.as_ref().map(|seen| tagged(&seen.tag));
    Ok((tag.map(axum::response::AppendHeaders), Json(PlaylistEditResult::new(edited)?)).into_response())
}

/// Appends items to a playlist, or inserts them.
///
/// # Errors
/// 404 `item_not_found`, `wrong_kind` or `entry_not_found`, 403 `account_read_only`, 409 `account_ambiguous`, 412
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
    principal: Principal,
    uri: ItemUri,
    Query(query): Query<AccountQuery>,
    headers: HeaderMap,
    Valid(new): Valid<NewItems>,
) -> ApiResult<Response> {
    principal.require("playlists:write")?;
    let target = playlists::find(&app, &principal, uri.of_kind(Kind::Playlist)?, query.account.as_deref()).await?;
    let expected = expected(&app, &target, &headers).await?;
    let mut reader = Reader::new(&app, &target);
    if new.position.is_some() && new.before.is_some() {
        reader.wrong("before".into(), "invalid", "send position or before, not both");
    }
    let items = reader.items("uris", &new.uris).await?;
    reader.finish()?;
    let before = match new.position {
        Some(position) => {
            let entries = target.now(&app).await?.entries;
            entries.into_iter().nth(position as usize).map(|(id, _)| id)
        }
        None => new.before,
    };
    answer(&app, target, vec![PlaylistOp::Add { items, before }], expected).await
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
    principal: Principal,
    uri: ItemUri,
    Query(query): Query<AccountQuery>,
    headers: HeaderMap,
    Valid(all): Valid<AllItems>,
) -> ApiResult<Response> {
    principal.require("playlists:write")?;
    let target = playlists::find(&app, &principal, uri.of_kind(Kind::Playlist)?, query.account.as_deref()).await?;
    let expected = expected(&app, &target, &headers).await?;
    let mut reader = Reader::new(&app, &target);
    let items = reader.items("uris", &all.uris).await?;
    reader.finish()?;
    answer(&app, target, vec![PlaylistOp::Replace { items }], expected).await
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
    principal: Principal,
    uri: ItemUri,
    Query(query): Query<AccountQuery>,
    headers: HeaderMap,
    Valid(request): Valid<Ops>,
) -> ApiResult<Response> {
    principal.require("playlists:write")?;
    let target = playlists::find(&app, &principal, uri.of_kind(Kind::Playlist)?, query.account.as_deref()).await?;
    let Some(expected) = expected(&app, &target, &headers).await? else {
        let detail = "send If-Match with the ETag of the playlist's items, so that nobody's change is lost";
        return Err(ApiError::new(StatusCode::PRECONDITION_REQUIRED, "precondition_required", detail));
    };
    let mut reader = Reader::new(&app, &target);
    let mut ops = Vec::with_capacity(request.ops.len());
    for (n, op) in request.ops.into_iter().enumerate() {
        ops.push(reader.op(n, op).await?);
    }
    reader.finish()?;
    answer(&app, target, ops, Some(expected)).await
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
    principal: Principal,
    uri: ItemUri,
    EntryId(entry): EntryId,
    Query(query): Query<AccountQuery>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    principal.require("playlists:write")?;
    let target = playlists::find(&app, &principal, uri.of_kind(Kind::Playlist)?, query.account.as_deref()).await?;
    let expected = expected(&app, &target, &headers).await?;
    answer(&app, target, vec![PlaylistOp::Remove { entries: vec![entry] }], expected).await
}
