//! The first page: accounts and providers, how they are and what to do about it.

use askama::Template;
use axum::{extract::State, response::Response};
use serde::Deserialize;
use serde_json::json;

use super::{
    accounts::{Counts, state},
    ask,
    jobs::Job,
    page::{self, Frame, Visit, moment},
    view,
};
use crate::{
    AppState,
    api::{
        self,
        accounts::Connection,
        auth::body::FormOrJson,
        extract::{OptionalJson, Query},
        page::{MAX_LIMIT, Paging},
    },
    error::ApiResult,
    providers::{Report, State as ProviderState},
};

#[derive(Template)]
#[template(path = "ui/home.html")]
struct Page {
    frame: Frame,
    accounts: Vec<Account>,
    providers: Vec<Provider>,
    /// A library is being read.
    busy: bool,
}

struct Account {
    about: Connection,
    counts: String,
    state: (&'static str, &'static str),
    syncing: bool,
}

struct Provider {
    report: Report,
    state: &'static str,
    well: bool,
}

/// Accounts and providers.
///
/// # Errors
/// As `GET /api/providers` and `GET /api/accounts`; without a session a sign-in is asked for first.
#[utoipa::path(
    get, path = "/ui", operation_id = "ui", tag = "Meta",
    responses(
        (status = 200, description = "The web interface.", content_type = "text/html", body = String),
        (status = 303, description = "The sign-in page, for whoever is not signed in.")
    )
)]
pub async fn home(State(app): State<AppState>, visit: Visit) -> ApiResult<Response> {
    let (frame, principal) = (visit.frame("home"), visit.principal);
    let all = || Paging { limit: Some(MAX_LIMIT), cursor: None };
    let providers = api::providers::list_providers(State(app.clone()), principal.clone(), all()).await?.data;
    let connections = api::accounts::list_accounts(State(app.clone()), principal.clone(), all()).await?.data;
    let query = Query(ask(json!({ "kind": "library.pull" }))?);
    let jobs: Vec<Job> = view(api::jobs::list_jobs(State(app), principal, all(), query).await?.data)?;
    let mut accounts = Vec::with_capacity(connections.len());
    for about in connections {
        let subject = Some(about.provider.as_str());
        let syncing = jobs.iter().any(|job| job.active() && job.subject.as_deref() == subject);
        accounts.push(Account { counts: Counts::of(&about)?, state: state(&about), syncing, about });
    }
    let busy = accounts.iter().any(|account| account.syncing);
    page::show(&Page { frame, accounts, providers: providers.into_iter().map(Provider::new).collect(), busy })
}

impl Provider {
    fn new(report: Report) -> Self {
        let state = match report.state {
            ProviderState::Loading => "starting",
            ProviderState::Started => "running",
            ProviderState::Failed => "failed",
            ProviderState::Quarantined => "stopped after crashes",
            ProviderState::Disabled => "switched off",
        };
        let well = matches!(report.state, ProviderState::Started | ProviderState::Disabled);
        Self { report, state, well }
    }
}

/// What to read anew.
#[derive(Deserialize)]
pub struct Sync {
    account: String,
}

/// Reads an account's library anew.
///
/// # Errors
/// As `POST /api/sync`.
pub async fn sync(
    State(app): State<AppState>,
    visit: Visit,
    FormOrJson(wanted): FormOrJson<Sync>,
) -> ApiResult<Response> {
    let request = ask(json!({ "accounts": [wanted.account] }))?;
    api::sync::start_sync(State(app), visit.principal, OptionalJson(request)).await?;
    Ok(page::to(&visit.base, "/ui"))
}
