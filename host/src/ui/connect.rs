//! Connecting an account, step by step.

use std::collections::HashMap;

use askama::Template;
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    form::{self, Field},
    page::{self, Frame, Visit, moment},
    words,
};
use crate::{
    AppState,
    api::{
        self,
        auth::body::FormOrJson,
        extract::Path,
        page::{MAX_LIMIT, Paging},
    },
    auth::Origin,
    connect::{self, Answer, Flow, FlowState, Start, Step},
    error::{ApiError, ApiResult, FieldError},
    providers::{Report, State as ProviderState},
};

/// What a handler needs to connect accounts.
const SCOPE: &str = "accounts:write";

#[derive(Template)]
#[template(path = "ui/connect.html")]
struct ChoicePage {
    frame: Frame,
    providers: Vec<Report>,
    /// Others that may appear here soon.
    starting: Vec<String>,
    admin: bool,
}

#[derive(Template)]
#[template(path = "ui/flow.html")]
struct FlowPage {
    frame: Frame,
    /// The provider's.
    name: String,
    flow: Flow,
    /// Of a form.
    fields: Vec<Field>,
    /// What is wrong with the last answer.
    problem: Option<String>,
}

impl FlowPage {
    /// `given` are a form's values that were not taken, `error` says why.
    fn new(app: &AppState, visit: &Visit, flow: Flow, given: Option<&Value>, error: Option<&ApiError>) -> Self {
        let errors = error.map(|error| error.problem().errors).unwrap_or_default();
        let mut problem = error.map(|error| words::on_page(error.detail()));
        let mut fields = Vec::new();
        if let Some(Step::Form { schema, values, error: refused, .. }) = &flow.step {
            fields = form::fields(schema, given.or(values.as_ref()).unwrap_or(&Value::Null), &errors);
            problem = elsewhere(&errors, &fields).or(problem).or_else(|| refused.clone());
        }
        let problem = problem.or_else(|| flow.problem.as_ref().map(|problem| problem.detail.clone()));
        let name = app.providers.get(&flow.provider).map_or_else(|| flow.provider.clone(), |one| one.report().name);
        Self { frame: visit.frame("home"), name, flow, fields, problem }
    }

    fn open(&self) -> bool {
        self.flow.state == FlowState::Open
    }
}

/// What is wrong, where no field of the form says it.
fn elsewhere(errors: &[FieldError], fields: &[Field]) -> Option<String> {
    let unsaid = errors.iter().filter(|error| !form::says(fields, error)).map(|error| error.detail.as_str());
    match unsaid.collect::<Vec<_>>() {
        _ if errors.is_empty() => None,
        unsaid if unsaid.is_empty() => Some("Some fields need another look.".into()),
        unsaid => Some(unsaid.join("; ")),
    }
}

/// The providers that accounts can be connected at.
///
/// # Errors
/// As `GET /api/providers`.
pub async fn choose(State(app): State<AppState>, visit: Visit) -> ApiResult<Response> {
    visit.principal.require(SCOPE)?;
    let (frame, admin) = (visit.frame("home"), visit.principal.is_admin());
    let paging = Paging { limit: Some(MAX_LIMIT), cursor: None };
    let mut providers = api::providers::list_providers(State(app), visit.principal, paging).await?.data;
    let starting = providers.iter().filter(|report| report.state == ProviderState::Loading);
    let starting = starting.map(|report| report.name.clone()).collect();
    providers
        .retain(|report| report.sign_in.as_deref() == Some("setup_flow") && report.state == ProviderState::Started);
    page::show(&ChoicePage { frame, providers, starting, admin })
}

/// What to connect.
#[derive(Deserialize)]
pub struct Choice {
    provider: String,
    account: Option<String>,
    shared: Option<String>,
}

/// Starts a flow.
///
/// # Errors
/// As `POST /api/accounts/flows`.
pub async fn start(
    State(app): State<AppState>,
    visit: Visit,
    origin: Origin,
    FormOrJson(choice): FormOrJson<Choice>,
) -> ApiResult<Response> {
    visit.principal.require(SCOPE)?;
    let Choice { provider: instance, account, shared } = choice;
    let start = Start { instance, account, shared: shared.is_some(), label: None };
    let flow = connect::start(&app, &visit.principal, &origin, start).await?;
    Ok(to_flow(&visit, &flow.id))
}

fn to_flow(visit: &Visit, id: &str) -> Response {
    page::to(&visit.base, &format!("/ui/connect/{id}"))
}

/// A flow as it stands.
///
/// # Errors
/// 404 `flow_not_found`.
pub async fn flow(State(app): State<AppState>, visit: Visit, Path(id): Path<String>) -> ApiResult<Response> {
    visit.principal.require(SCOPE)?;
    let flow = connect::find(&app, &visit.principal, &id).await?;
    page::show(&FlowPage::new(&app, &visit, flow, None, None))
}

/// Shows the flow again with what is wrong with an answer, where it is the answer that is wrong.
async fn again(app: &AppState, visit: &Visit, id: &str, given: Option<&Value>, error: ApiError) -> ApiResult<Response> {
    let again = [StatusCode::BAD_REQUEST, StatusCode::CONFLICT, StatusCode::UNPROCESSABLE_ENTITY];
    if !again.contains(&error.status()) {
        return Err(error);
    }
    let flow = connect::find(app, &visit.principal, id).await?;
    let shown = page::show(&FlowPage::new(app, visit, flow, given, Some(&error)))?;
    Ok((error.status(), shown).into_response())
}

/// Answers a form.
///
/// # Errors
/// As `POST /api/accounts/flows/{id}`.
pub async fn fill_in(
    State(app): State<AppState>,
    visit: Visit,
    origin: Origin,
    Path(id): Path<String>,
    FormOrJson(sent): FormOrJson<HashMap<String, String>>,
) -> ApiResult<Response> {
    visit.principal.require(SCOPE)?;
    let flow = connect::find(&app, &visit.principal, &id).await?;
    let Some(Step::Form { schema, .. }) = &flow.step else { return Ok(to_flow(&visit, &id)) };
    let values = form::values(schema, &sent);
    match connect::answer(&app, &visit.principal, &origin, &id, Answer::Form(values.clone())).await {
        Ok(_) => Ok(to_flow(&visit, &id)),
        Err(error) => again(&app, &visit, &id, Some(&values), error).await,
    }
}

/// The address that the browser ended at.
#[derive(Deserialize)]
pub struct Returned {
    url: String,
}

/// Answers a visit to the service.
///
/// # Errors
/// As `POST /api/accounts/flows/{id}`.
pub async fn come_back(
    State(app): State<AppState>,
    visit: Visit,
    origin: Origin,
    Path(id): Path<String>,
    FormOrJson(returned): FormOrJson<Returned>,
) -> ApiResult<Response> {
    visit.principal.require(SCOPE)?;
    match connect::answer(&app, &visit.principal, &origin, &id, Answer::Returned(returned.url)).await {
        Ok(_) => Ok(to_flow(&visit, &id)),
        Err(error) => again(&app, &visit, &id, None, error).await,
    }
}

/// Looks whether there is news.
///
/// # Errors
/// As `POST /api/accounts/flows/{id}`.
pub async fn poll(
    State(app): State<AppState>,
    visit: Visit,
    origin: Origin,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    visit.principal.require(SCOPE)?;
    connect::answer(&app, &visit.principal, &origin, &id, Answer::Poll).await?;
    Ok(to_flow(&visit, &id))
}

/// The flow, once it goes on without this page: the browser came back in another tab. Nothing before, so that what is being
/// typed stays.
///
/// # Errors
/// 404 `flow_not_found`.
pub async fn news(State(app): State<AppState>, visit: Visit, Path(id): Path<String>) -> ApiResult<Response> {
    visit.principal.require(SCOPE)?;
    let flow = connect::find(&app, &visit.principal, &id).await?;
    match &flow.step {
        Some(Step::External { .. }) => Ok(StatusCode::NO_CONTENT.into_response()),
        _ => page::show(&FlowPage::new(&app, &visit, flow, None, None)),
    }
}

/// Gives a flow up.
///
/// # Errors
/// 404 `flow_not_found`.
pub async fn cancel(State(app): State<AppState>, visit: Visit, Path(id): Path<String>) -> ApiResult<Response> {
    visit.principal.require(SCOPE)?;
    connect::cancel(&app, &visit.principal, &id).await?;
    Ok(page::to(&visit.base, "/ui"))
}
