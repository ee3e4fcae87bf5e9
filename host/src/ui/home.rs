//! The first page: accounts and providers, how they are and what to do about it.

use askama::Template;
use axum::{extract::State, response::Response};
use serde::Deserialize;
use serde_json::json;

use super::{
    accounts::Shown,
    ask,
    jobs::follow,
    page::{self, Frame, Visit, moment},
};
use crate::{
    AppState,
    api::{
        self,
        auth::body::FormOrJson,
        extract::OptionalJson,
        page::{MAX_LIMIT, Paging},
    },
    error::ApiResult,
    providers::{Report, State as ProviderState},
};

#[derive(Template)]
#[template(path = "ui/home.html")]
struct Page {
    frame: Frame,
    accounts: Vec<Shown>,
    providers: Vec<Provider>,
    admin: bool,
    /// How often to look again.
    follow: Option<&'static str>,
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
    let principal = &visit.principal;
    let all = || Paging { limit: Some(MAX_LIMIT), cursor: None };
    let providers = api::providers::list_providers(State(app.clone()), principal.clone(), all()).await?.data;
    let connections = api::accounts::list_accounts(State(app.clone()), principal.clone(), all()).await?.data;
    let mut accounts = Vec::with_capacity(connections.len());
    for about in connections {
        accounts.push(Shown::of(&app, &visit, about).await?);
    }
    let follow = follow(accounts.iter().filter_map(|account| account.pull.as_ref()));
    let (frame, admin) = (visit.frame("home"), principal.is_admin());
    let providers = providers.into_iter().map(Provider::new).collect();
    page::show(&Page { frame, accounts, providers, admin, follow })
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
    /// Asked for on the account's own page.
    on_its_page: Option<String>,
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
    let back = wanted.on_its_page.map_or_else(|| "/ui".into(), |_| format!("/ui/accounts/{}", wanted.account));
    Ok(page::to(&visit.base, &back))
}
