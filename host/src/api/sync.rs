//! `/api/sync`: reading libraries anew, and what became of it.

use std::{collections::BTreeSet, time::Duration};

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};
use ulid::Ulid;
use utoipa::{IntoParams, ToSchema};
use zotify_plugin_api::LibraryKind;

use super::{
    extract::{Json, OptionalJson, Path, Query, validate},
    page::{Meta, Page, Paging, cursor},
    raw::raw,
    rfc3339,
};
use crate::{
    AppState,
    accounts::{self, Account},
    auth::Principal,
    db::{
        items,
        pull_runs::{self, Counts, Ending, PullRun, Skip},
    },
    error::{ApiError, ApiResult},
    events::{self, Event},
    mirror::{self, Scope},
};

/// What the cursors of the list of runs name.
const LIST: &str = "sync-runs";

/// Which way a sync goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From the services into the host.
    #[default]
    Pull,
    /// From the host to the services. Not offered yet.
    Push,
    /// Both. Not offered yet.
    TwoWay,
}

/// What to sync.
#[derive(Debug, Default, Deserialize, garde::Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SyncRequest {
    /// Ids of accounts, at most 500; all that the caller sees where there are none.
    #[serde(default)]
    #[garde(length(max = 500))]
    #[schema(max_items = 500)]
    accounts: BTreeSet<String>,
    /// Which way.
    #[serde(default)]
    #[garde(skip)]
    direction: Direction,
    /// Only tells what it would take, by what the last read of each account took. Nothing is asked or queued.
    #[serde(default)]
    #[garde(skip)]
    dry_run: bool,
}

/// The jobs that sync.
#[derive(Debug, Serialize, ToSchema)]
pub struct SyncJobs {
    /// One for each account.
    data: Vec<SyncJob>,
}

/// A job that syncs one account.
#[derive(Debug, Serialize, ToSchema)]
pub struct SyncJob {
    /// The account's id.
    account: String,
    /// The instance that it is at.
    provider: String,
    /// See `/api/jobs/{id}`; null where it was only asked what that would take.
    job_id: Option<String>,
    /// What it would take, where that was asked for and the last read could tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    forecast: Option<SyncForecast>,
}

/// What a read of a library takes.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct SyncForecast {
    /// Requests to the service in all.
    requests: i64,
    /// Items in all.
    items: i64,
}

impl SyncForecast {
    fn of(run: &PullRun) -> Option<Self> {
        run.forecast.map(|(requests, items)| Self { requests, items })
    }
}

/// Reads the libraries of accounts anew, as one job for each. Where one is queued already, that one is answered.
///
/// # Errors
/// 404 `account_not_found`, 422 `validation_failed`, or `unsupported` for a direction other than `pull`.
#[utoipa::path(
    post, path = "/api/sync", operation_id = "start_sync", tag = "Library",
    request_body = Option<SyncRequest>,
    responses(
        (status = 202, description = "The jobs that do it.", body = SyncJobs),
        (status = 200, description = "What it would take, for a dry run.", body = SyncJobs)
    ),
    security(("bearer" = ["library:write"]), ("api_key" = ["library:write"]))
)]
pub async fn start_sync(
    State(app): State<AppState>,
    principal: Principal,
    OptionalJson(request): OptionalJson<SyncRequest>,
) -> ApiResult<(StatusCode, Json<SyncJobs>)> {
    principal.require("library:write")?;
    validate(&request)?;
    if request.direction != Direction::Pull {
        return Err(ApiError::unprocessable("unsupported", "libraries can be pulled only; pushing is not offered yet"));
    }
    let scope = Scope::of(&app, &principal).await?;
    let mut chosen: Vec<&Account> = Vec::new();
    for id in &request.accounts {
        chosen.push(scope.account(id).ok_or_else(accounts::not_found)?);
    }
    if request.accounts.is_empty() {
        chosen.extend(scope.accounts());
    }
    let mut data = Vec::with_capacity(chosen.len());
    if request.dry_run {
        for account in chosen {
            let forecast = pull_runs::last_forecast(app.db.read(), &account.id).await?;
            let forecast = forecast.map(|(requests, items)| SyncForecast { requests, items });
            data.push(SyncJob {
                account: account.id.clone(),
                provider: account.instance.clone(),
                job_id: None,
                forecast,
            });
        }
        return Ok((StatusCode::OK, Json(SyncJobs { data })));
    }
    let mut tx = app.db.write().await?;
    for account in chosen {
        let job_id = mirror::enqueue(&mut tx, account, Duration::ZERO).await?;
        let job_id = Some(job_id);
        data.push(SyncJob { account: account.id.clone(), provider: account.instance.clone(), job_id, forecast: None });
    }
    tx.commit().await?;
    app.jobs.wake();
    Ok((StatusCode::ACCEPTED, Json(SyncJobs { data })))
}

/// The former address of `POST /api/sync`, with the same body and answer.
///
/// # Errors
/// As there.
#[utoipa::path(
    post, path = "/api/sync/trigger", operation_id = "trigger_sync", tag = "Library",
    request_body = Option<SyncRequest>,
    responses(
        (status = 202, description = "The jobs that do it.", body = SyncJobs),
        (status = 200, description = "What it would take, for a dry run.", body = SyncJobs)
    ),
    security(("bearer" = ["library:write"]), ("api_key" = ["library:write"]))
)]
pub async fn trigger_sync(
    app: State<AppState>,
    principal: Principal,
    request: OptionalJson<SyncRequest>,
) -> ApiResult<(StatusCode, Json<SyncJobs>)> {
    start_sync(app, principal, request).await
}

/// One read of a library.
#[derive(Debug, Serialize, ToSchema)]
pub struct SyncRun {
    id: String,
    /// The account's id.
    account: String,
    /// The instance that it is at.
    provider: String,
    /// The job that did it.
    job_id: String,
    /// Where it stands.
    #[schema(value_type = RunState)]
    state: String,
    /// How complete it was, once it ended.
    #[schema(value_type = Option<Completeness>)]
    completeness: Option<String>,
    /// Why it is partial or failed.
    code: Option<String>,
    /// One sentence for people.
    detail: Option<String>,
    /// What it did.
    counts: RunCounts,
    /// What it takes in all, as soon as the provider could tell.
    forecast: Option<SyncForecast>,
    /// RFC 3339 UTC.
    started_at: String,
    /// RFC 3339 UTC.
    finished_at: Option<String>,
}

/// How much of a library a read of it saw, as the document describes it.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "the database keeps the words themselves")]
pub(crate) enum Completeness {
    /// All of it.
    Complete,
    /// Not all of it. Such a read removes nothing.
    Partial,
    /// Nothing that could be used.
    Failed,
}

/// What a run did.
#[derive(Debug, Serialize, ToSchema)]
pub struct RunCounts {
    /// Items that were new or changed.
    upserted: i64,
    /// Items that were as before, where the provider lists them.
    unchanged: i64,
    /// Items that got another address.
    moved: i64,
    /// Items that are gone.
    removed: i64,
    /// Items that the plugin returned and that could not be kept.
    dropped: i64,
    /// What the plugin could not read.
    skipped: i64,
}

impl SyncRun {
    fn new(run: &PullRun, scope: &Scope) -> Self {
        let Counts { upserted, unchanged, moved, removed, dropped, skipped } = run.counts;
        let interrupted = run.state == "failed" && run.code.is_none();
        Self {
            id: run.id.clone(),
            account: run.account_id.clone(),
            provider: scope.account(&run.account_id).map(|account| account.instance.clone()).unwrap_or_default(),
            job_id: run.job_id.clone(),
            state: run.state.clone(),
            completeness: run.completeness.clone(),
            code: if interrupted { Some("interrupted".into()) } else { run.code.clone() },
            detail: if interrupted { Some("its job ended before it did".into()) } else { run.detail.clone() },
            forecast: SyncForecast::of(run),
            counts: RunCounts { upserted, unchanged, moved, removed, dropped, skipped },
            started_at: rfc3339(run.started_at),
            finished_at: run.finished_at.map(rfc3339),
        }
    }
}

/// Which runs to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RunFilter {
    /// Only in this state.
    #[param(inline)]
    state: Option<RunState>,
    /// Only of this account.
    account: Option<String>,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// Under way.
    Running,
    /// Done.
    Applied,
    /// What it would remove waits for confirmation.
    Held,
    /// Given up.
    Failed,
}

impl RunState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Applied => "applied",
            Self::Held => "held",
            Self::Failed => "failed",
        }
    }
}

/// Reads of the caller's libraries, newest first.
///
/// # Errors
/// 400 `invalid_query` or `invalid_cursor`.
#[utoipa::path(
    get, path = "/api/sync/runs", operation_id = "list_sync_runs", tag = "Library", params(RunFilter, Paging),
    responses((status = 200, description = "A page of runs.", body = Page<SyncRun>)),
    security(("bearer" = ["library:read"]), ("api_key" = ["library:read"]))
)]
pub async fn list_sync_runs(
    State(app): State<AppState>,
    principal: Principal,
    Query(filter): Query<RunFilter>,
    paging: Paging,
) -> ApiResult<Page<SyncRun>> {
    principal.require("library:read")?;
    let scope = Scope::of(&app, &principal).await?.narrowed(None, filter.account.as_deref())?;
    let after: Option<Ulid> = paging.after(LIST)?;
    let limit = paging.limit();
    let (state, after) = (filter.state.map(RunState::as_str), after.map(|id| id.to_string()));
    let mut runs = pull_runs::list(app.db.read(), &scope.ids(), state, after, limit).await?;
    let more = i64::try_from(runs.len()).is_ok_and(|n| n > limit);
    if more {
        runs.pop();
    }
    let next_cursor = runs.last().filter(|_| more).and_then(|run| cursor(LIST, &run.id));
    let meta = Meta { limit, next_cursor, total: None, providers: None };
    Ok(Page { data: runs.iter().map(|run| SyncRun::new(run, &scope)).collect(), meta })
}

/// One read of a library, with its plan and what was skipped.
#[derive(Debug, Serialize, ToSchema)]
pub struct SyncRunDetail {
    /// The run.
    #[serde(flatten)]
    run: SyncRun,
    /// What a held run would remove: how many, of how many, by kind, and some of them.
    #[schema(value_type = Option<Object>)]
    plan: Option<Box<RawValue>>,
    /// What could not be read or kept; the first thousand.
    skipped: Vec<SkippedItem>,
}

/// Something that a run could not read or keep.
#[derive(Debug, Serialize, ToSchema)]
pub struct SkippedItem {
    /// What, as people know it.
    name: String,
    /// The reason code.
    code: String,
    /// One sentence for people.
    detail: String,
}

impl From<Skip> for SkippedItem {
    fn from(skip: Skip) -> Self {
        Self { name: skip.name, code: skip.code, detail: skip.detail }
    }
}

/// One read of a library: plan, completeness and what was skipped.
///
/// # Errors
/// 404 `run_not_found`.
#[utoipa::path(
    get, path = "/api/sync/runs/{id}", operation_id = "get_sync_run", tag = "Library",
    params(("id" = String, Path, description = "The run's id.")),
    responses((status = 200, description = "The run.", body = SyncRunDetail)),
    security(("bearer" = ["library:read"]), ("api_key" = ["library:read"]))
)]
pub async fn get_sync_run(
    State(app): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> ApiResult<Json<SyncRunDetail>> {
    principal.require("library:read")?;
    let scope = Scope::of(&app, &principal).await?;
    let run = find(&app, &scope, &id).await?;
    Ok(Json(detail(&app, &scope, run).await?))
}

async fn find(app: &AppState, scope: &Scope, id: &str) -> ApiResult<PullRun> {
    let not_found = || ApiError::not_found("run_not_found", "there is no such run, or it is not yours");
    let id: Ulid = id.parse().map_err(|_| not_found())?;
    pull_runs::find(app.db.read(), &scope.ids(), &id.to_string()).await?.ok_or_else(not_found)
}

async fn detail(app: &AppState, scope: &Scope, run: PullRun) -> ApiResult<SyncRunDetail> {
    let skipped = pull_runs::skips(app.db.read(), &run.id).await?;
    let shown = SyncRun::new(&run, scope);
    let plan = run.plan.map(raw).transpose()?;
    Ok(SyncRunDetail { run: shown, plan, skipped: skipped.into_iter().map(Into::into).collect() })
}

/// Confirms a held run: what it missed is removed.
///
/// # Errors
/// 403 `admin_required` for a shared account, 404 `run_not_found`, 409 `run_not_held`.
#[utoipa::path(
    post, path = "/api/sync/runs/{id}/apply", operation_id = "apply_sync_run", tag = "Library",
    params(("id" = String, Path, description = "The run's id.")),
    responses((status = 200, description = "The run as it is now.", body = SyncRunDetail)),
    security(("bearer" = ["library:write"]), ("api_key" = ["library:write"]))
)]
pub async fn apply_sync_run(
    State(app): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> ApiResult<Json<SyncRunDetail>> {
    principal.require("library:write")?;
    let scope = Scope::of(&app, &principal).await?;
    let run = find(&app, &scope, &id).await?;
    let account = scope.account(&run.account_id).ok_or_else(|| ApiError::internal("a run without an account"))?;
    accounts::check_may_change(account, &principal)?;
    apply(&app, account, &run.id).await?;
    let run = find(&app, &scope, &id).await?;
    Ok(Json(detail(&app, &scope, run).await?))
}

async fn apply(app: &AppState, account: &Account, run: &str) -> ApiResult<()> {
    let handle = app.providers.get(&account.instance);
    let owned = handle.and_then(|h| h.manifest().map(|manifest| manifest.library == LibraryKind::Owned));
    let mut tx = app.db.write().await?;
    if !pull_runs::release(&mut tx, run).await? {
        return Err(ApiError::conflict("run_not_held", "the run does not wait for confirmation"));
    }
    let removed = items::remove(&mut tx, &account.id, run, owned != Some(true)).await?;
    pull_runs::count(&mut tx, run, &Counts { removed, ..Counts::default() }).await?;
    let ending = Ending { state: "applied", ..Ending::default() };
    pull_runs::end(&mut tx, run, ending).await?;
    let data = json!({"account": account.id, "provider": account.instance, "run": run, "removed": removed});
    let event =
        Event { kind: "library.changed", subject: Some(&account.instance), user: account.owner.as_deref(), data };
    events::emit(&mut tx, event).await?;
    Ok(tx.commit().await?)
}
