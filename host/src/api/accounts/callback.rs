//! `/api/auth/{provider}/callback`: where services send browsers back to.
//!
//! The page only asks; nothing is linked before the person whose flow it is says so, with a POST that only this host's own
//! page can send. A flow is its user's, so that nobody can have a stranger's account linked to another user.

use axum::{
    extract::{FromRequest as _, FromRequestParts as _, OriginalUri, Request, State},
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use url::{Url, form_urlencoded};
use utoipa::ToSchema;

use super::page;
use crate::{
    AppState,
    api::extract::{Json, Path},
    auth::{Origin, Principal, cookie},
    connect::{self, Answer, Flow, FlowState, returned::is_denied},
    error::{ApiError, ApiResult},
};

/// The longest query that is looked at, in bytes.
const MAX_QUERY: usize = 8000;

/// Where a service sends the browser back to: a page that asks whom to link. What stands in the query is the service's own:
/// `state`, with `code` or `error`.
///
/// # Errors
/// 400 `invalid_path`.
#[utoipa::path(
    get, path = "/api/auth/{provider}/callback", operation_id = "login_callback", tag = "Accounts",
    params(("provider" = String, Path, description = "The instance's id.")),
    responses((status = 200, description = "A page for people.", body = String, content_type = "text/html"))
)]
pub async fn login_callback(
    State(app): State<AppState>,
    Path(provider): Path<String>,
    OriginalUri(uri): OriginalUri,
    request: Request,
) -> ApiResult<Response> {
    let query = uri.query().unwrap_or_default();
    let Some(principal) = by_cookie(&app, request).await else { return page::sign_in_or_paste() };
    if query.len() > MAX_QUERY {
        return page::unknown();
    }
    let address = address(&provider, query);
    match connect::find_returned(&app, &principal, &provider, &address).await {
        Ok(_) if Url::parse(&address).is_ok_and(|url| is_denied(&url)) => page::denied(&provider, query),
        Ok(_) => page::ask(&principal.name, &provider, query),
        Err(error) if error.status().is_client_error() => page::unknown(),
        Err(error) => Err(error),
    }
}

/// Whoever the browser's cookie stands for, if they may connect accounts.
async fn by_cookie(app: &AppState, request: Request) -> Option<Principal> {
    let (mut parts, _) = request.into_parts();
    cookie::value(&parts.headers)?;
    let principal = Principal::from_request_parts(&mut parts, app).await.ok()?;
    principal.require("accounts:write").is_ok().then_some(principal)
}

/// The address that the browser came back to, but for its host, which may be another name of this one.
fn address(provider: &str, query: &str) -> String {
    format!("http://localhost/api/auth/{provider}/callback?{query}")
}

/// The address that the browser ended at.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Returned {
    /// The whole of it, with its query.
    #[schema(max_length = 8192)]
    url: String,
}

/// What the page's form sends.
#[derive(ToSchema)]
pub struct ReturnedForm {
    /// The query of the address that the browser ended at. A page says so where it is of no use.
    #[schema(required = false)]
    query: String,
}

impl ReturnedForm {
    fn read(body: &[u8]) -> Self {
        let query = form_urlencoded::parse(body).find(|(name, _)| name == "query");
        Self { query: query.map(|(_, query)| query.into_owned()).unwrap_or_default() }
    }
}

/// Finishes signing in at a service, with the address that the browser ended at: for browsers that this server's page
/// can't be opened in. The page itself sends a form, which is answered with a page.
///
/// # Errors
/// 400 `wrong_address`, 404 `flow_not_found` where the address belongs to no flow of the caller's, else as `POST
/// /api/accounts/flows/{id}`.
#[utoipa::path(
    post, path = "/api/auth/{provider}/callback", operation_id = "finish_login", tag = "Accounts",
    params(("provider" = String, Path, description = "The instance's id.")),
    request_body(content(
        (Returned = "application/json"),
        (ReturnedForm = "application/x-www-form-urlencoded")
    )),
    responses((
        status = 200,
        description = "The flow as it is now; for a form, a page that says how it went.",
        content((Flow = "application/json"), (String = "text/html"))
    )),
    security(("bearer" = ["accounts:write"]), ("api_key" = ["accounts:write"]))
)]
pub async fn finish_login(
    State(app): State<AppState>,
    principal: Principal,
    origin: Origin,
    Path(provider): Path<String>,
    request: Request,
) -> ApiResult<Response> {
    principal.require("accounts:write")?;
    let by_form = is_form(&request);
    let url = if by_form {
        let body = axum::body::Bytes::from_request(request, &app).await;
        let body = body.map_err(|rejection| crate::api::extract::body_problem(&rejection))?;
        address(&provider, &ReturnedForm::read(&body).query)
    } else {
        Json::<Returned>::from_request(request, &app).await?.0.url
    };
    let finished = finish(&app, &principal, &origin, &provider, url).await;
    if !by_form {
        return finished.map(|flow| ([(axum::http::header::CACHE_CONTROL, "no-store")], Json(flow)).into_response());
    }
    match finished {
        Ok(flow) if flow.state == FlowState::Done => page::linked(&provider),
        Ok(Flow { problem: Some(problem), .. }) => page::failed(&problem.detail),
        Ok(_) => page::goes_on(),
        Err(error) if error.code() == "flow_not_found" => page::unknown(),
        Err(error) if error.status().is_client_error() => page::failed(error.detail()),
        Err(error) => Err(error),
    }
}

fn is_form(request: &Request) -> bool {
    let kind = request.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}

async fn finish(
    app: &AppState,
    principal: &Principal,
    origin: &Origin,
    provider: &str,
    url: String,
) -> Result<Flow, ApiError> {
    let flow = connect::find_returned(app, principal, provider, &url).await?;
    connect::answer(app, principal, origin, &flow.id, Answer::Returned(url)).await
}
