//! Jobs, followed as long as one runs.

use askama::Template;
use axum::{extract::State, response::Response};
use serde::Deserialize;
use serde_json::json;

use super::{
    ask,
    page::{self, Frame, Visit, moment},
    view,
};
use crate::{
    AppState,
    api::{
        self,
        extract::{Json, Path, Query},
        page::Paging,
    },
    auth::Origin,
    error::ApiResult,
};

#[derive(Template)]
#[template(path = "ui/jobs.html")]
struct ListPage {
    frame: Frame,
    /// Where this page of the list is, to look again.
    here: String,
    active: bool,
    jobs: Vec<Job>,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "ui/job.html")]
struct Page {
    frame: Frame,
    job: Job,
    log: Vec<Line>,
}

/// What the API says of a job, as far as the pages show it.
#[derive(Deserialize)]
pub(super) struct Job {
    id: String,
    kind: String,
    state: String,
    pub(super) subject: Option<String>,
    progress: Progress,
    error: Option<Problem>,
    cancel_requested: bool,
    run_at: String,
    created_at: String,
    finished_at: Option<String>,
}

#[derive(Deserialize)]
struct Progress {
    done: i64,
    total: Option<i64>,
    message: Option<String>,
}

#[derive(Deserialize)]
struct Problem {
    code: String,
    detail: String,
}

#[derive(Deserialize)]
struct Line {
    at: String,
    level: String,
    line: String,
}

#[derive(Deserialize)]
struct Detail {
    #[serde(flatten)]
    job: Job,
    log: Vec<Line>,
}

impl Job {
    /// Whether it is still to end.
    pub(super) fn active(&self) -> bool {
        matches!(self.state.as_str(), "queued" | "running" | "waiting")
    }

    fn title(&self) -> &str {
        match self.kind.as_str() {
            "library.pull" => "Reading a library",
            "likes.pull" => "Reading likes",
            "likes.write" => "Writing likes",
            "history.pull" => "Reading plays",
            "plays.write" => "Writing plays",
            "account.check" => "Checking an account",
            "account.unlink" => "Erasing an account",
            kind => kind,
        }
    }

    fn last_moment(&self) -> String {
        moment(self.finished_at.as_deref().unwrap_or(&self.created_at))
    }
}

/// The caller's jobs, newest first.
///
/// # Errors
/// As `GET /api/jobs`.
pub async fn list(State(app): State<AppState>, visit: Visit, paging: Paging) -> ApiResult<Response> {
    let frame = visit.frame("jobs");
    let here = paging.cursor.as_ref().map_or_else(|| "/ui/jobs".into(), |cursor| format!("/ui/jobs?cursor={cursor}"));
    let found = api::jobs::list_jobs(State(app), visit.principal, paging, Query(ask(json!({}))?)).await?;
    let next = found.meta.next_cursor.as_ref().map(|cursor| format!("/ui/jobs?cursor={cursor}"));
    let jobs: Vec<Job> = view(found.data)?;
    page::show(&ListPage { frame, here, active: jobs.iter().any(Job::active), jobs, next })
}

/// One job with its log.
///
/// # Errors
/// As `GET /api/jobs/{id}`.
pub async fn job(State(app): State<AppState>, visit: Visit, id: Path<String>) -> ApiResult<Response> {
    let frame = visit.frame("jobs");
    let Json(found) = api::jobs::get_job(State(app), visit.principal, id).await?;
    let Detail { job, log } = view(found)?;
    page::show(&Page { frame, job, log })
}

/// Stops a job.
///
/// # Errors
/// As `POST /api/jobs/{id}/cancel`.
pub async fn cancel(
    State(app): State<AppState>,
    visit: Visit,
    origin: Origin,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    let cancelled = api::jobs::cancel_job(State(app), visit.principal, origin, Path(id)).await;
    match cancelled {
        Ok(_) => {}
        // It was quicker.
        Err(error) if error.code() == "job_finished" => {}
        Err(error) => return Err(error),
    }
    Ok(page::to(&visit.base, "/ui/jobs"))
}
