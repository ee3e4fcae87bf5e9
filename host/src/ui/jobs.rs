//! Jobs, followed as long as one runs.

use askama::Template;
use axum::{extract::State, response::Response};
use serde::Deserialize;
use serde_json::json;

use super::{
    ask,
    page::{self, Frame, Visit, moment},
    view, words,
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
    /// How often to look again.
    follow: Option<&'static str>,
    jobs: Vec<Job>,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "ui/job.html")]
struct Page {
    frame: Frame,
    job: Job,
    follow: Option<&'static str>,
    log: Vec<Line>,
}

/// What the API says of a job, as far as the pages show it.
#[derive(Deserialize)]
pub(super) struct Job {
    pub(super) id: String,
    kind: String,
    pub(super) state: String,
    subject: Option<String>,
    pub(super) progress: Progress,
    pub(super) error: Option<Problem>,
    pub(super) cancel_requested: bool,
    pub(super) run_at: String,
    created_at: String,
    finished_at: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Progress {
    pub(super) done: i64,
    pub(super) total: Option<i64>,
    pub(super) message: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Problem {
    pub(super) code: String,
    pub(super) detail: String,
}

impl Problem {
    /// In words of the pages.
    pub(super) fn says(&self) -> String {
        words::on_page(&self.detail)
    }
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

    pub(super) fn title(&self) -> &str {
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

/// How often a page looks at these jobs again: seldom where all wait for a later time, for requests are counted.
pub(super) fn follow<'a>(jobs: impl IntoIterator<Item = &'a Job>) -> Option<&'static str> {
    let active: Vec<_> = jobs.into_iter().filter(|job| job.active()).collect();
    let waits = active.iter().all(|job| job.state == "waiting");
    (!active.is_empty()).then_some(if waits { "every 20s" } else { "every 2s" })
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
    page::show(&ListPage { frame, here, follow: follow(&jobs), jobs, next })
}

/// One job with its log.
///
/// # Errors
/// As `GET /api/jobs/{id}`.
pub async fn job(State(app): State<AppState>, visit: Visit, id: Path<String>) -> ApiResult<Response> {
    let frame = visit.frame("jobs");
    let Json(found) = api::jobs::get_job(State(app), visit.principal, id).await?;
    let Detail { job, log } = view(found)?;
    page::show(&Page { frame, follow: follow([&job]), job, log })
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
