//! `/api/user/positions`: how far the caller is in episodes and tracks, so that any player goes on there.

use std::collections::HashMap;

use axum::{extract::State, http::StatusCode};
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use zotify_plugin_api::{Kind, Uri};

use super::{
    extract::{ItemUri, Json, Query, Valid},
    model::{PlaylistEntryItem, UnknownItem},
    page::{Meta, Page, Paging, cursor},
    raw::raw,
    rfc3339,
};
use crate::{
    App, AppState,
    auth::Principal,
    db::{self, items, now_ms, positions::PositionRow},
    error::{ApiError, ApiResult},
    likes,
    mirror::{Scope, clean},
};

/// What the cursors of this list name.
const LIST: &str = "positions";
/// Positions that are kept of a user; the oldest make room.
const KEEP: i64 = 10_000;
/// How far a client's clock may be ahead, in milliseconds.
const AHEAD: i64 = 5 * 60 * 1000;

/// How far the caller is in an episode or track.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PositionDoc {
    /// The episode or track's URI.
    #[schema(example = "podcasts:episode:8fKq")]
    uri: String,
    /// Milliseconds from its beginning.
    position_ms: i64,
    /// Whether it was heard to its end.
    finished: bool,
    /// When a player was there, RFC 3339 UTC.
    updated_at: String,
    /// The episode or track; of kind `unknown` where no library holds it any more.
    #[schema(value_type = PlaylistEntryItem)]
    item: Box<RawValue>,
}

impl PositionDoc {
    fn new(row: PositionRow, docs: &HashMap<String, String>) -> ApiResult<Self> {
        let unknown = || serde_json::to_string(&UnknownItem::new(None, row.uri.parse().ok()));
        let item = docs.get(&row.uri).cloned().map_or_else(unknown, Ok).map_err(ApiError::internal)?;
        Ok(Self {
            position_ms: row.position_ms,
            finished: row.finished != 0,
            updated_at: rfc3339(row.updated_at),
            item: raw(item)?,
            uri: row.uri,
        })
    }
}

/// Which positions.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PositionFilter {
    /// Only those that were heard to their end, or only those that were not: what to go on with.
    finished: Option<bool>,
}

/// Where a player is.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPosition {
    /// Milliseconds from the beginning: at most a week.
    #[garde(range(max = 604_800_000))]
    #[schema(maximum = 604_800_000)]
    position_ms: u32,
    /// Whether it was heard to its end.
    #[serde(default)]
    #[garde(skip)]
    finished: bool,
    /// When the player was there, RFC 3339; now where it is left out. At most 5 minutes from now, and not before 1970. A
    /// player that was offline names it, and does not undo what another one said since.
    #[serde(default)]
    #[garde(inner(length(max = 64)))]
    #[schema(max_length = 64)]
    at: Option<String>,
}

impl NewPosition {
    fn at(&self) -> ApiResult<i64> {
        let Some(text) = &self.at else { return Ok(now_ms()) };
        match clean::parse_time(text) {
            Some(at) if (0..=now_ms() + AHEAD).contains(&at) => Ok(at),
            Some(_) => Err(ApiError::invalid_field("at", "this is in the future, or before 1970")),
            None => Err(ApiError::invalid_field("at", "this is no time such as 2026-05-01T08:00:00Z")),
        }
    }
}

/// What the caller has begun or heard, the latest first.
///
/// # Errors
/// 400 `invalid_query`, `invalid_limit` or `invalid_cursor`.
#[utoipa::path(
    get, path = "/api/user/positions", operation_id = "list_positions", tag = "User", params(Paging, PositionFilter),
    responses((status = 200, description = "A page of positions.", body = Page<PositionDoc>)),
    security(("bearer" = ["library:read"]), ("api_key" = ["library:read"]))
)]
pub async fn list_positions(
    State(app): State<AppState>,
    principal: Principal,
    paging: Paging,
    Query(filter): Query<PositionFilter>,
) -> ApiResult<Page<PositionDoc>> {
    principal.require("library:read")?;
    let (after, limit) = (paging.after(LIST)?, paging.limit());
    let user = &principal.user_id;
    let mut rows = db::positions::list(app.db.read(), user, filter.finished, after, limit + 1).await?;
    let more = i64::try_from(rows.len()).is_ok_and(|n| n > limit);
    if more {
        rows.pop();
    }
    let last = rows.last().filter(|_| more).map(|row| (row.updated_at, &row.uri));
    let meta = Meta { limit, next_cursor: last.and_then(|keys| cursor(LIST, &keys)), ..Meta::default() };
    Ok(Page { data: documents(&app, &principal, rows).await?, meta })
}

/// How far the caller is in an episode or track.
///
/// # Errors
/// 404 `wrong_kind` or `position_not_found`.
#[utoipa::path(
    get, path = "/api/user/positions/{uri}", operation_id = "get_position", tag = "User",
    params(("uri" = String, Path, description = "The episode or track's URI.")),
    responses((status = 200, description = "The position.", body = PositionDoc)),
    security(("bearer" = ["library:read"]), ("api_key" = ["library:read"]))
)]
pub async fn get_position(
    State(app): State<AppState>,
    principal: Principal,
    ItemUri(uri): ItemUri,
) -> ApiResult<Json<PositionDoc>> {
    principal.require("library:read")?;
    check_kind(&uri)?;
    let row = db::positions::find(app.db.read(), &principal.user_id, uri.as_str()).await?.ok_or_else(not_found)?;
    Ok(Json(one(&app, &principal, row).await?))
}

/// Keeps how far the caller is in an episode or track. Where a position of a later time is kept, that one is answered.
///
/// # Errors
/// 404 `item_not_found` or `wrong_kind`, 422.
#[utoipa::path(
    put, path = "/api/user/positions/{uri}", operation_id = "put_position", tag = "User", request_body = NewPosition,
    params(("uri" = String, Path, description = "The episode or track's URI.")),
    responses((status = 200, description = "The position that is kept.", body = PositionDoc)),
    security(("bearer" = ["library:write"]), ("api_key" = ["library:write"]))
)]
pub async fn put_position(
    State(app): State<AppState>,
    principal: Principal,
    ItemUri(uri): ItemUri,
    Valid(new): Valid<NewPosition>,
) -> ApiResult<Json<PositionDoc>> {
    principal.require("library:write")?;
    check_kind(&uri)?;
    let row = PositionRow {
        uri: uri.to_string(),
        position_ms: i64::from(new.position_ms),
        finished: i64::from(new.finished),
        updated_at: new.at()?,
    };
    let scope = Scope::of(&app, &principal).await?;
    let fetched = likes::visible(&app, &scope, &uri).await?;
    let mut tx = app.db.write().await?;
    let kept = db::positions::put(&mut tx, &principal.user_id, &row).await?;
    db::positions::trim(&mut tx, &principal.user_id, KEEP).await?;
    if let Some((account, item)) = fetched {
        likes::remember(&mut tx, &account, vec![item]).await?;
    }
    tx.commit().await?;
    Ok(Json(one(&app, &principal, kept).await?))
}

/// Forgets how far the caller is in an episode or track, which is then new again.
///
/// # Errors
/// 404 `wrong_kind` or `position_not_found`.
#[utoipa::path(
    delete, path = "/api/user/positions/{uri}", operation_id = "delete_position", tag = "User",
    params(("uri" = String, Path, description = "The episode or track's URI.")),
    responses((status = 204, description = "It is forgotten.")),
    security(("bearer" = ["library:write"]), ("api_key" = ["library:write"]))
)]
pub async fn delete_position(
    State(app): State<AppState>,
    principal: Principal,
    ItemUri(uri): ItemUri,
) -> ApiResult<StatusCode> {
    principal.require("library:write")?;
    check_kind(&uri)?;
    let mut tx = app.db.write().await?;
    let known = db::positions::delete(&mut tx, &principal.user_id, uri.as_str()).await?;
    tx.commit().await?;
    if known { Ok(StatusCode::NO_CONTENT) } else { Err(not_found()) }
}

fn check_kind(uri: &Uri) -> ApiResult<()> {
    match uri.kind() {
        Kind::Track | Kind::Episode => Ok(()),
        kind => {
            Err(ApiError::not_found("wrong_kind", format!("{uri} is of kind {kind}; tracks and episodes are played")))
        }
    }
}

fn not_found() -> ApiError {
    ApiError::not_found("position_not_found", "you have not begun this, or it is forgotten")
}

async fn one(app: &App, principal: &Principal, row: PositionRow) -> ApiResult<PositionDoc> {
    documents(app, principal, vec![row]).await?.pop().ok_or_else(|| ApiError::internal("a position is lost"))
}

async fn documents(app: &App, principal: &Principal, rows: Vec<PositionRow>) -> ApiResult<Vec<PositionDoc>> {
    let scope = Scope::of(app, principal).await?;
    let uris: Vec<String> = rows.iter().map(|row| row.uri.clone()).collect();
    let found = items::find_many(app.db.read(), &scope.ids(), &uris).await?;
    let docs: HashMap<String, String> = found.into_iter().map(|item| (item.uri, item.doc)).collect();
    rows.into_iter().map(|row| PositionDoc::new(row, &docs)).collect()
}
