//! `/api/accounts/flows`: connecting an account, step by step.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode, header},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::{
    AppState,
    api::extract::{Json, OptionalJson, Path, Query, validate},
    auth::{Credential, Origin, Principal, cookie},
    connect::{self, Answer, Flow, Start, Step},
    error::{ApiError, ApiResult},
};

/// Answers of these endpoints may hold addresses that are good for one use.
const NO_STORE: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

/// A flow that nobody keeps a copy of.
type Fresh<T> = ([(HeaderName, &'static str); 1], Json<T>);

/// What to connect.
#[derive(Debug, Deserialize, garde::Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FlowStart {
    /// The instance to connect to.
    #[garde(length(max = 64))]
    #[schema(max_length = 64)]
    pub provider: String,
    /// The account that signs in again; a new one where there is none.
    #[garde(inner(length(max = 64)))]
    #[schema(max_length = 64)]
    pub account: Option<String>,
    /// For all users; only admins may.
    #[serde(default)]
    #[garde(skip)]
    pub shared: bool,
    /// What people call it; else as the service does.
    #[garde(inner(length(chars, min = 1, max = 100)))]
    #[schema(min_length = 1, max_length = 100)]
    pub label: Option<String>,
}

/// Starts connecting an account: answers the first step.
///
/// # Errors
/// 403 `admin_required`, 404 `provider_not_found` or `account_not_found`, 409 `too_many_flows`, 422 `validation_failed` or
/// `unsupported`, or why the provider does not answer.
#[utoipa::path(
    post, path = "/api/accounts/flows", operation_id = "start_flow", tag = "Accounts", request_body = FlowStart,
    responses((status = 201, description = "The flow; `Location` names it.", body = Flow)),
    security(("bearer" = ["accounts:write"]), ("api_key" = ["accounts:write"]))
)]
pub async fn start_flow(
    State(app): State<AppState>,
    principal: Principal,
    origin: Origin,
    Json(request): Json<FlowStart>,
) -> ApiResult<(StatusCode, [(HeaderName, String); 1], Fresh<Flow>)> {
    principal.require("accounts:write")?;
    validate(&request)?;
    let FlowStart { provider, account, shared, label } = request;
    let label = label.map(|text| super::label(&text)).transpose()?;
    let start = Start { instance: provider, account, shared, label };
    let flow = connect::start(&app, &principal, &origin, start).await?;
    let location = [(header::LOCATION, format!("/api/accounts/flows/{}", flow.id))];
    Ok((StatusCode::CREATED, location, (NO_STORE, Json(flow))))
}

/// A flow: its step, or what came of it.
///
/// # Errors
/// 404 `flow_not_found`.
#[utoipa::path(
    get, path = "/api/accounts/flows/{id}", operation_id = "get_flow", tag = "Accounts",
    params(("id" = String, Path, description = "The flow's id.")),
    responses((status = 200, description = "The flow.", body = Flow)),
    security(("bearer" = ["accounts:write"]), ("api_key" = ["accounts:write"]))
)]
pub async fn get_flow(
    State(app): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> ApiResult<Fresh<Flow>> {
    principal.require("accounts:write")?;
    Ok((NO_STORE, Json(connect::find(&app, &principal, &id).await?)))
}

/// An answer to a flow's step: `values` for a form, `url` for a visit to the service, neither to ask whether there is news.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FlowAnswer {
    /// The form's values.
    #[schema(value_type = Option<Object>)]
    pub values: Option<Value>,
    /// The whole address that the browser ended at.
    #[schema(max_length = 8192)]
    pub url: Option<String>,
}

/// Answers a flow's step. What the service makes of it is told in the flow.
///
/// # Errors
/// 400 `wrong_address` or `invalid_state`, 404 `flow_not_found`, 409 `flow_moved_on`, `flow_ended` or `other_account`, 422
/// `validation_failed`.
#[utoipa::path(
    post, path = "/api/accounts/flows/{id}", operation_id = "answer_flow", tag = "Accounts",
    params(("id" = String, Path, description = "The flow's id.")), request_body = Option<FlowAnswer>,
    responses((status = 200, description = "The flow as it is now.", body = Flow)),
    security(("bearer" = ["accounts:write"]), ("api_key" = ["accounts:write"]))
)]
pub async fn answer_flow(
    State(app): State<AppState>,
    principal: Principal,
    origin: Origin,
    Path(id): Path<String>,
    OptionalJson(answer): OptionalJson<FlowAnswer>,
) -> ApiResult<Fresh<Flow>> {
    principal.require("accounts:write")?;
    let answer = match (answer.values, answer.url) {
        (Some(values), None) => Answer::Form(values),
        (None, Some(url)) => Answer::Returned(url),
        (None, None) => Answer::Poll,
        (Some(_), Some(_)) => {
            return Err(ApiError::unprocessable("invalid_body", "send either values or a url, not both"));
        }
    };
    Ok((NO_STORE, Json(connect::answer(&app, &principal, &origin, &id, answer).await?)))
}

/// Gives a flow up.
///
/// # Errors
/// 404 `flow_not_found`.
#[utoipa::path(
    delete, path = "/api/accounts/flows/{id}", operation_id = "cancel_flow", tag = "Accounts",
    params(("id" = String, Path, description = "The flow's id.")),
    responses((status = 204, description = "It is gone.")),
    security(("bearer" = ["accounts:write"]), ("api_key" = ["accounts:write"]))
)]
pub async fn cancel_flow(
    State(app): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> ApiResult<StatusCode> {
    principal.require("accounts:write")?;
    connect::cancel(&app, &principal, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which account.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Login {
    /// The account that signs in again; a new one where there is none.
    account: Option<String>,
}

/// A flow that was started, and where to go.
#[derive(Serialize, ToSchema)]
pub struct LoginStarted {
    /// The address to open in a browser; null where the provider asks for something else first: see the flow's step.
    authorization_url: Option<String>,
    /// The flow.
    flow: Flow,
}

/// Starts signing in at a service, as `POST /api/accounts/flows` does.
///
/// # Errors
/// As there.
#[utoipa::path(
    get, path = "/api/auth/{provider}/login", operation_id = "start_login", tag = "Accounts",
    params(("provider" = String, Path, description = "The instance's id."), Login),
    responses((status = 200, description = "Where to sign in.", body = LoginStarted)),
    security(("bearer" = ["accounts:write"]), ("api_key" = ["accounts:write"]))
)]
pub async fn start_login(
    State(app): State<AppState>,
    principal: Principal,
    origin: Origin,
    Path(provider): Path<String>,
    Query(login): Query<Login>,
    headers: HeaderMap,
) -> ApiResult<Fresh<LoginStarted>> {
    principal.require("accounts:write")?;
    // Other sites may lead a browser here, with its cookie; what they would start must not crowd out the user's own.
    if matches!(principal.credential, Credential::Ui { .. }) && !cookie::is_own_page(&headers) {
        return Err(ApiError::forbidden("csrf", "another site led here; start connecting from this host's pages"));
    }
    let start = Start { instance: provider, account: login.account, shared: false, label: None };
    let flow = connect::start(&app, &principal, &origin, start).await?;
    let authorization_url = match &flow.step {
        Some(Step::External { url, .. }) => Some(url.clone()),
        _ => None,
    };
    Ok((NO_STORE, Json(LoginStarted { authorization_url, flow })))
}
