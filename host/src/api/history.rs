//! `/api/user/history`: what the caller played, and when.

use std::collections::HashMap;

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};
use ulid::Ulid;
use utoipa::{IntoParams, ToSchema};
use zotify_plugin_api::{Kind, Uri, capability};

use super::{
    extract::{Json, Path, Query, Valid, parse_uri},
    model::{PlaylistEntryItem, UnknownItem},
    page::{Meta, Page, Paging, cursor},
    raw::raw,
    rfc3339,
};
use crate::{
    App, AppState,
    auth::{Principal, quota},
    db::{
        self,
        deleted_plays::DeletedPlays,
        items, now_ms,
        plays::{Filter, PlayRow},
    },
    error::{ApiError, ApiResult},
    events::{self, Event},
    jobs, likes,
    mirror::{Scope, clean},
    preferences::{self, Preferences},
};

/// What the cursors of this list name.
const LIST: &str = "history";
/// How far a client's clock may be ahead, in milliseconds.
const AHEAD: i64 = 5 * 60 * 1000;
/// The source of plays that clients tell of.
const CLIENT: &str = "client";

/// A play.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PlayDoc {
    /// Its id.
    #[schema(example = "01KAZ6V1RJQ6Y0M3ZC5M8D2N4T")]
    id: String,
    /// The track or episode's URI.
    uri: String,
    /// When it began, RFC 3339 UTC.
    played_at: String,
    /// How much of it was heard, in milliseconds, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    heard_ms: Option<i64>,
    /// `client`, or the provider that told of it.
    source: String,
    /// What was played; of kind `unknown` where no library holds it any more.
    #[schema(value_type = PlaylistEntryItem)]
    item: Box<RawValue>,
}

impl PlayDoc {
    fn new(row: PlayRow, doc: Option<&String>) -> ApiResult<Self> {
        let unknown = || serde_json::to_string(&UnknownItem::new(None, row.uri.parse().ok()));
        let item = match doc {
            Some(doc) => doc.clone(),
            None => unknown().map_err(ApiError::internal)?,
        };
        Ok(Self {
            id: row.id,
            uri: row.uri,
            played_at: rfc3339(row.played_at),
            heard_ms: row.heard_ms,
            source: row.source,
            item: raw(item)?,
        })
    }
}

/// Which plays.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct HistoryFilter {
    /// Not before this time, RFC 3339.
    since: Option<String>,
    /// Before this time, RFC 3339.
    until: Option<String>,
    /// Only of this track or episode.
    uri: Option<String>,
    /// Only of this provider's items.
    provider: Option<String>,
}

/// Which plays to delete.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Span {
    /// Not before this time, RFC 3339.
    since: Option<String>,
    /// Before this time, RFC 3339.
    until: Option<String>,
}

fn time(name: &str, text: Option<&str>) -> ApiResult<Option<i64>> {
    let Some(text) = text else { return Ok(None) };
    let invalid = || ApiError::bad_request("invalid_query", format!("{name} is no time such as 2026-05-01T08:00:00Z"));
    clean::parse_time(text).ok_or_else(invalid).map(Some)
}

impl Span {
    fn filter(&self) -> ApiResult<Filter> {
        let (since, until) = (time("since", self.since.as_deref())?, time("until", self.until.as_deref())?);
        Ok(Filter { since, until, ..Filter::default() })
    }
}

impl HistoryFilter {
    fn filter(self) -> ApiResult<Filter> {
        let span = Span { since: self.since, until: self.until }.filter()?;
        let uri = self.uri.as_deref().map(parse_uri).transpose()?.map(|uri| uri.to_string());
        if self.provider.as_deref().is_some_and(|id| !zotify_plugin_api::is_instance_id(id)) {
            return Err(ApiError::bad_request("invalid_query", "provider is no id of a provider"));
        }
        Ok(Filter { uri, provider: self.provider, ..span })
    }
}

/// What the caller played, newest first.
///
/// # Errors
/// 400 `invalid_query`, `invalid_uri`, `invalid_limit` or `invalid_cursor`.
#[utoipa::path(
    get, path = "/api/user/history", operation_id = "list_history", tag = "User", params(Paging, HistoryFilter),
    responses((status = 200, description = "A page of plays.", body = Page<PlayDoc>)),
    security(("bearer" = ["library:read"]), ("api_key" = ["library:read"]))
)]
pub async fn list_history(
    State(app): State<AppState>,
    principal: Principal,
    paging: Paging,
    Query(filter): Query<HistoryFilter>,
) -> ApiResult<Page<PlayDoc>> {
    principal.require("library:read")?;
    let (after, limit, filter) = (paging.after(LIST)?, paging.limit(), filter.filter()?);
    let mut rows = db::plays::list(app.db.read(), &principal.user_id, filter, after, limit + 1).await?;
    let more = i64::try_from(rows.len()).is_ok_and(|n| n > limit);
    if more {
        rows.pop();
    }
    let last = rows.last().filter(|_| more).map(|row| (row.played_at, &row.uri));
    let meta = Meta { limit, next_cursor: last.and_then(|keys| cursor(LIST, &keys)), ..Meta::default() };
    let data = documents(&app, &principal, rows).await?;
    Ok(Page { data, meta })
}

async fn documents(app: &App, principal: &Principal, rows: Vec<PlayRow>) -> ApiResult<Vec<PlayDoc>> {
    let scope = Scope::of(app, principal).await?;
    let mut uris: Vec<String> = rows.iter().map(|row| row.uri.clone()).collect();
    uris.sort();
    uris.dedup();
    let found = items::find_many(app.db.read(), &scope.ids(), &uris).await?;
    let docs: HashMap<String, String> = found.into_iter().map(|item| (item.uri, item.doc)).collect();
    rows.into_iter()
        .map(|row| {
            let doc = docs.get(&row.uri);
            PlayDoc::new(row, doc)
        })
        .collect()
}

/// Something that was played.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPlay {
    /// The track or episode.
    #[garde(length(max = 512))]
    #[schema(max_length = 512, example = "local:track:kq7R")]
    uri: String,
    /// When it began, RFC 3339; now where it is left out. At most 5 minutes from now, and not before 1970.
    #[serde(default)]
    #[garde(inner(length(max = 64)))]
    #[schema(max_length = 64)]
    played_at: Option<String>,
    /// How much of it was heard, in milliseconds: at most a week.
    #[serde(default)]
    #[garde(inner(range(max = 604_800_000)))]
    #[schema(maximum = 604_800_000)]
    heard_ms: Option<u32>,
}

impl NewPlay {
    fn played_at(&self) -> ApiResult<i64> {
        let Some(text) = &self.played_at else { return Ok(now_ms()) };
        let detail = match clean::parse_time(text) {
            Some(at) if at < 0 => "nothing was played before 1970",
            Some(at) if at > now_ms() + AHEAD => "this is in the future",
            Some(at) => return Ok(at),
            None => "this is no time such as 2026-05-01T08:00:00Z",
        };
        Err(ApiError::invalid_field("played_at", detail))
    }
}

/// Adds a play. One that is there already, told of by whom it may be, is answered instead.
///
/// # Errors
/// 404 `item_not_found` or `wrong_kind`, 409 `history_off`, 403 `quota_exceeded` for a play that is older than
/// all that the caller may keep, 422.
#[utoipa::path(
    post, path = "/api/user/history", operation_id = "add_play", tag = "User", request_body = NewPlay,
    responses(
        (status = 201, description = "The play.", body = PlayDoc),
        (status = 200, description = "It was known: the play that is kept.", body = PlayDoc),
    ),
    security(("bearer" = ["library:write"]), ("api_key" = ["library:write"]))
)]
pub async fn add_play(
    State(app): State<AppState>,
    principal: Principal,
    Valid(new): Valid<NewPlay>,
) -> ApiResult<Response> {
    principal.require("library:write")?;
    let (uri, played_at) = (playable(&new.uri)?, new.played_at()?);
    let scope = Scope::of(&app, &principal).await?;
    let fetched = likes::visible(&app, &scope, &uri).await?;
    let user = principal.user_id.as_str();
    let mut tx = app.db.write().await?;
    preferences::lock(&mut tx, user).await?;
    check_recorded(&Preferences::parse(db::preferences::find(&mut *tx, user).await?.as_ref()))?;
    let play = PlayRow {
        id: Ulid::generate().to_string(),
        uri: uri.to_string(),
        played_at,
        heard_ms: new.heard_ms.map(i64::from),
        source: CLIENT.into(),
    };
    if let Some(known) = db::plays::same(&mut *tx, user, &play).await? {
        drop(tx);
        return Ok(Json(one(&app, &principal, known).await?).into_response());
    }
    let keep = quota::of(&mut *tx, &app.config.quotas, user).await?.plays;
    if keep == 0 {
        return Err(quota::exceeded("plays", keep));
    }
    db::plays::insert(&mut tx, user, &play).await?;
    db::plays::trim(&mut tx, user, keep).await?;
    // The oldest make room; this one may be the oldest.
    if db::plays::same(&mut *tx, user, &play).await?.is_none_or(|kept| kept.id != play.id) {
        return Err(quota::exceeded("plays", keep));
    }
    if let Some((account, item)) = fetched {
        likes::remember(&mut tx, &account, vec![item]).await?;
    }
    if let Some(account) = likes::own_account(&scope, user, uri.instance())
        && app.providers.get(uri.instance()).is_some_and(|handle| handle.has(capability::HISTORY_WRITE))
    {
        jobs::play_told::enqueue(&mut tx, account, &play).await?;
    }
    let data = json!({ "id": play.id, "uri": play.uri, "played_at": rfc3339(played_at), "heard_ms": play.heard_ms });
    let event = Event { kind: "play.recorded", subject: Some(uri.as_str()), user: Some(user), data };
    events::emit(&mut tx, event).await?;
    tx.commit().await?;
    app.jobs.wake();
    Ok((StatusCode::CREATED, Json(one(&app, &principal, play).await?)).into_response())
}

fn playable(text: &str) -> ApiResult<Uri> {
    let uri = parse_uri(text)?;
    match uri.kind() {
        Kind::Track | Kind::Episode => Ok(uri),
        kind => {
            Err(ApiError::not_found("wrong_kind", format!("{uri} is of kind {kind}; tracks and episodes are played")))
        }
    }
}

fn check_recorded(preferences: &Preferences) -> ApiResult<()> {
    if preferences.records_history() {
        return Ok(());
    }
    let detail = "you turned your history off; see record_history at /api/user/preferences";
    Err(ApiError::conflict("history_off", detail))
}

async fn one(app: &App, principal: &Principal, row: PlayRow) -> ApiResult<PlayDoc> {
    documents(app, principal, vec![row]).await?.pop().ok_or_else(|| ApiError::internal("a play is lost"))
}

/// Deletes one play.
///
/// # Errors
/// 404 `play_not_found`.
#[utoipa::path(
    delete, path = "/api/user/history/{id}", operation_id = "delete_play", tag = "User",
    params(("id" = String, Path, description = "The play's id.")),
    responses((status = 204, description = "It is gone.")),
    security(("bearer" = ["library:write"]), ("api_key" = ["library:write"]))
)]
pub async fn delete_play(
    State(app): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> ApiResult<StatusCode> {
    principal.require("library:write")?;
    let not_found = || ApiError::not_found("play_not_found", "your history has no such play");
    let id: Ulid = id.parse().map_err(|_| not_found())?;
    let user = principal.user_id.as_str();
    let mut tx = app.db.write().await?;
    preferences::lock(&mut tx, user).await?;
    let play = db::plays::delete(&mut tx, user, &id.to_string()).await?.ok_or_else(not_found)?;
    let (begins_at, ends_at) = (play.played_at - db::plays::SAME, play.played_at + db::plays::SAME + 1);
    db::deleted_plays::insert(&mut tx, user, &DeletedPlays { uri: play.uri, begins_at, ends_at }).await?;
    deleted(&mut tx, user, 1).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes the caller's history, all of it or a span of time.
///
/// # Errors
/// 400 `invalid_query`.
#[utoipa::path(
    delete, path = "/api/user/history", operation_id = "clear_history", tag = "User", params(Span),
    responses((status = 204, description = "It is gone.")),
    security(("bearer" = ["library:write"]), ("api_key" = ["library:write"]))
)]
pub async fn clear_history(
    State(app): State<AppState>,
    principal: Principal,
    Query(span): Query<Span>,
) -> ApiResult<StatusCode> {
    principal.require("library:write")?;
    let (user, filter) = (principal.user_id.as_str(), span.filter()?);
    let mut tx = app.db.write().await?;
    preferences::lock(&mut tx, user).await?;
    stay_deleted(&mut tx, user, &filter).await?;
    let count = db::plays::clear(&mut tx, user, filter).await?;
    if count > 0 {
        deleted(&mut tx, user, count).await?;
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Keeps providers from bringing back the plays of a span of time. Up to which time all is deleted is remembered for good.
async fn stay_deleted(tx: &mut db::Tx, user: &str, span: &Filter) -> sqlx::Result<()> {
    let now = db::clock::now(tx).await?;
    let ends_at = span.until.map_or(now, |until| until.min(now));
    if let Some(begins_at) = span.since {
        let span = DeletedPlays { uri: String::new(), begins_at, ends_at };
        return db::deleted_plays::insert(tx, user, &span).await;
    }
    let mut row = db::preferences::find(&mut **tx, user).await?.unwrap_or_default();
    if row.history_since.is_some_and(|since| since >= ends_at) {
        return Ok(());
    }
    row.history_since = Some(ends_at);
    db::preferences::put(tx, user, &row).await
}

/// Says that plays are gone, and not which.
async fn deleted(tx: &mut db::Tx, user: &str, count: u64) -> sqlx::Result<()> {
    let data = json!({ "count": count });
    events::emit(tx, Event { kind: "history.deleted", subject: Some(user), user: Some(user), data }).await.map(drop)
}
