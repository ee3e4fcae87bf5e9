//! `/api/jobs`: what runs in the background.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::json;
use ulid::Ulid;
use utoipa::{IntoParams, ToSchema};

use super::{
    extract::{Json, Path, Query},
    page::{Meta, Page, Paging, cursor},
    rfc3339,
};
use crate::{
    AppState,
    audit::{self, Actor, Entry, Outcome},
    auth::{Origin, Principal},
    db::{
        self,
        jobs::{Filter, JobRow, LogLine},
    },
    error::{ApiError, ApiResult},
    jobs::{Job as _, erase::Erase, pull::PullLibrary, runner::announce, unlink::Unlink},
};

/// What the cursors of this list name.
const LIST: &str = "jobs";

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// To be run as soon as there is room.
    Queued,
    /// Being run.
    Running,
    /// To be run later: see `run_at`.
    Waiting,
    /// Done.
    Succeeded,
    /// Given up: see `error`.
    Failed,
    /// Stopped on request.
    Cancelled,
}

impl JobState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    fn parse(text: &str) -> Self {
        let all = [Self::Queued, Self::Running, Self::Waiting, Self::Succeeded, Self::Cancelled];
        all.into_iter().find(|state| state.as_str() == text).unwrap_or(Self::Failed)
    }
}

/// How far a job is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Progress {
    /// How much is done.
    done: i64,
    /// Of how much, where that is known.
    total: Option<i64>,
    /// What the job is doing.
    message: Option<String>,
}

/// Why a job failed, or why it has to be tried again.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct JobProblem {
    /// The stable code that programs act on.
    code: String,
    /// The provider's own code, where it named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provider_code: Option<String>,
    /// One sentence for people.
    detail: String,
}

/// A background job.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Job {
    /// The job's id.
    id: String,
    /// What it does.
    #[schema(example = "library.pull")]
    kind: String,
    /// Where it stands.
    state: JobState,
    /// What it works on: an id or a URI.
    subject: Option<String>,
    /// `user` for the caller's own, `host` for the server's.
    #[schema(example = "user")]
    owner: &'static str,
    /// Higher runs earlier.
    priority: i64,
    /// How often it was started.
    attempts: i64,
    /// How often it may be started.
    max_attempts: i64,
    /// How far it is.
    progress: Progress,
    /// The last failure.
    error: Option<JobProblem>,
    /// Whether somebody asked it to stop.
    cancel_requested: bool,
    /// It does not start before, RFC 3339 UTC.
    run_at: String,
    /// RFC 3339 UTC.
    created_at: String,
    /// RFC 3339 UTC.
    started_at: Option<String>,
    /// RFC 3339 UTC.
    finished_at: Option<String>,
}

impl From<JobRow> for Job {
    fn from(row: JobRow) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            state: JobState::parse(&row.state),
            subject: row.subject,
            owner: if row.user_id.is_some() { "user" } else { "host" },
            priority: row.priority,
            attempts: row.attempts,
            max_attempts: row.max_attempts,
            progress: Progress { done: row.progress_done, total: row.progress_total, message: row.message },
            error: row.error.and_then(|error| serde_json::from_str(&error).ok()),
            cancel_requested: row.cancel_requested != 0,
            run_at: rfc3339(row.run_at),
            created_at: rfc3339(row.created_at),
            started_at: row.started_at.map(rfc3339),
            finished_at: row.finished_at.map(rfc3339),
        }
    }
}

/// A line of a job's log.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct JobLogLine {
    /// RFC 3339 UTC.
    at: String,
    /// `debug`, `info`, `warn` or `error`.
    #[schema(example = "info")]
    level: String,
    /// What the job says.
    line: String,
}

impl From<LogLine> for JobLogLine {
    fn from(line: LogLine) -> Self {
        Self { at: rfc3339(line.at), level: line.level, line: line.line }
    }
}

/// A background job with the last lines of its log.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct JobDetail {
    /// The job.
    #[serde(flatten)]
    job: Job,
    /// Its last lines, oldest first.
    log: Vec<JobLogLine>,
}

/// The order of jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[schema(default = "-created_at")]
pub enum Sort {
    /// Newest first.
    #[default]
    #[serde(rename = "-created_at")]
    Newest,
    /// Oldest first.
    #[serde(rename = "created_at")]
    Oldest,
}

/// Which jobs to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct JobFilter {
    /// Only in this state.
    #[param(inline)]
    state: Option<JobState>,
    /// Only this kind, such as `library.pull`.
    kind: Option<String>,
    /// `-created_at`, newest first, or `created_at`, oldest first.
    #[serde(default)]
    #[param(inline)]
    sort: Sort,
}

/// The caller's jobs and pulls of shared accounts; for admins all of the server's own.
///
/// # Errors
/// 400 `invalid_query`, `invalid_limit` or `invalid_cursor`.
#[utoipa::path(
    get, path = "/api/jobs", operation_id = "list_jobs", tag = "Jobs", params(Paging, JobFilter),
    responses((status = 200, description = "A page of jobs.", body = Page<Job>)),
    security(("bearer" = ["downloads:read"]), ("api_key" = ["downloads:read"]))
)]
pub async fn list_jobs(
    State(app): State<AppState>,
    principal: Principal,
    paging: Paging,
    Query(filter): Query<JobFilter>,
) -> ApiResult<Page<Job>> {
    principal.require("downloads:read")?;
    let oldest_first = filter.sort == Sort::Oldest;
    let list = if oldest_first { "jobs:oldest" } else { LIST };
    let after: Option<(i64, Ulid)> = paging.after(list)?;
    let limit = paging.limit();
    let filter = Filter {
        host: principal.is_admin(),
        user_id: principal.user_id,
        state: filter.state.map(|state| state.as_str().to_owned()),
        kind: filter.kind.map(|kind| kind.replace('\0', "")),
        oldest_first,
        after: after.map(|(created_at, id)| (created_at, id.to_string())),
        limit: limit + 1,
    };
    let mut rows = db::jobs::list(app.db.read(), filter).await?;
    let more = i64::try_from(rows.len()).is_ok_and(|n| n > limit);
    if more {
        rows.pop();
    }
    let last = rows.last().filter(|_| more).map(|row| (row.created_at, &row.id));
    let meta = Meta { limit, next_cursor: last.and_then(|keys| cursor(list, &keys)), total: None, providers: None };
    Ok(Page { data: rows.into_iter().map(Job::from).collect(), meta })
}

/// One job, with the last lines of its log.
///
/// # Errors
/// 404 `job_not_found`.
#[utoipa::path(
    get, path = "/api/jobs/{id}", operation_id = "get_job", tag = "Jobs",
    params(("id" = String, Path, description = "The job's id.")),
    responses((status = 200, description = "The job.", body = JobDetail)),
    security(("bearer" = ["downloads:read"]), ("api_key" = ["downloads:read"]))
)]
pub async fn get_job(
    State(app): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> ApiResult<Json<JobDetail>> {
    principal.require("downloads:read")?;
    let row = find(&app, &principal, &id).await?;
    let log = db::jobs::log(app.db.read(), &row.id).await?;
    Ok(Json(JobDetail { job: row.into(), log: log.into_iter().map(JobLogLine::from).collect() }))
}

/// Stops a job: at once where it has yet to start, soon where it runs.
///
/// # Errors
/// 403 `admin_required` for a pull of a shared account, 404 `job_not_found`, 409 `job_finished`, 409
/// `job_not_cancellable` for the erasure of a user or of an account.
#[utoipa::path(
    post, path = "/api/jobs/{id}/cancel", operation_id = "cancel_job", tag = "Jobs",
    params(("id" = String, Path, description = "The job's id.")),
    responses((status = 200, description = "The job: cancelled, or running with `cancel_requested`.", body = Job)),
    security(("bearer" = ["downloads:write"]), ("api_key" = ["downloads:write"]))
)]
pub async fn cancel_job(
    State(app): State<AppState>,
    principal: Principal,
    origin: Origin,
    Path(id): Path<String>,
) -> ApiResult<Json<Job>> {
    principal.require("downloads:write")?;
    let job = find(&app, &principal, &id).await?;
    if job.user_id.is_none() && !principal.is_admin() {
        return Err(ApiError::forbidden("admin_required", "only admins may stop what all users share"));
    }
    if is_erasure(&job.kind) {
        return Err(ApiError::conflict("job_not_cancellable", "an erasure that has begun is done to its end"));
    }
    let id = job.id;
    let mut tx = app.db.write().await?;
    if !db::jobs::request_cancel(&mut tx, &id).await? {
        return Err(ApiError::conflict("job_finished", "the job has ended already"));
    }
    let row = db::jobs::find(&mut *tx, &id).await?.ok_or_else(not_found)?;
    if row.user_id.is_none() {
        let actor = Actor::principal(&principal, &origin);
        let (data, personal) = (json!({ "job": row.id, "kind": row.kind }), json!({}));
        let entry = Entry { action: "job.cancelled", outcome: Outcome::Ok, actor, user: None, data, personal };
        audit::record(&mut tx, entry).await?;
    }
    if row.state == "cancelled" {
        announce(&mut tx, &row.id, &row.kind, &row.state, row.user_id.as_deref()).await?;
    }
    tx.commit().await?;
    app.jobs.stop(&id);
    Ok(Json(row.into()))
}

/// Whether a kind of job erases what somebody wanted to be gone.
pub(crate) fn is_erasure(kind: &str) -> bool {
    [Erase::NAME, Unlink::NAME].contains(&kind)
}

/// The job, if the caller may know of it.
async fn find(app: &AppState, principal: &Principal, id: &str) -> ApiResult<JobRow> {
    let id: Ulid = id.parse().map_err(|_| not_found())?;
    let row = db::jobs::find(app.db.read(), &id.to_string()).await?;
    row.filter(|row| match &row.user_id {
        Some(owner) => *owner == principal.user_id,
        // The host pulls the accounts that all users share, and anybody may ask for that.
        None => principal.is_admin() || row.kind == PullLibrary::NAME,
    })
    .ok_or_else(not_found)
}

fn not_found() -> ApiError {
    ApiError::not_found("job_not_found", "there is no such job")
}
