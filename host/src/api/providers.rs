//! `/api/providers`: the configured providers and how they are.

use axum::extract::State;

use super::{
    extract::{Json, Path},
    page::{Meta, Page, Paging, cursor},
};
use crate::{
    AppState,
    auth::Principal,
    error::{ApiError, ApiResult},
    providers::{Report, budget},
};

/// What the cursors of this list name.
const LIST: &str = "providers";

fn visible(principal: &Principal, report: Report) -> Report {
    if principal.is_admin() { report } else { report.for_users() }
}

/// Lists the configured providers
///
/// Providers that do not run are listed too, with the reason; files and folders of the server are shown to admins only.
#[utoipa::path(
    get, path = "/api/providers", operation_id = "list_providers", tag = "Providers", params(Paging),
    responses((status = 200, description = "A page of providers, by id.", body = Page<Report>)),
    security(("bearer" = ["catalog:read"]), ("api_key" = ["catalog:read"]))
)]
pub async fn list_providers(
    State(app): State<AppState>,
    principal: Principal,
    paging: Paging,
) -> ApiResult<Page<Report>> {
    principal.require("catalog:read")?;
    let after: Option<String> = paging.after(LIST)?;
    let all = app.providers.instances();
    let total = i64::try_from(all.len()).ok();
    let limit = paging.limit();
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut rest = all.iter().filter(|handle| after.as_deref().is_none_or(|after| handle.id() > after));
    let data: Vec<_> = rest.by_ref().take(size).map(|handle| visible(&principal, handle.report())).collect();
    let more = rest.next().is_some();
    let next_cursor = data.last().filter(|_| more).and_then(|last| cursor(LIST, &last.id));
    Ok(Page { data, meta: Meta { limit, next_cursor, total, providers: None } })
}

/// Shows one provider
#[utoipa::path(
    get, path = "/api/providers/{id}", operation_id = "get_provider", tag = "Providers",
    params(("id" = String, Path, description = "The instance's id.")),
    responses((status = 200, description = "The provider.", body = Report)),
    security(("bearer" = ["catalog:read"]), ("api_key" = ["catalog:read"]))
)]
pub async fn get_provider(
    State(app): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> ApiResult<Json<Report>> {
    principal.require("catalog:read")?;
    let handle = app.providers.instances().into_iter().find(|handle| handle.id() == id);
    let handle =
        handle.ok_or_else(|| ApiError::not_found("provider_not_found", "no provider with this id is configured"))?;
    let mut report = handle.report();
    if principal.is_admin() {
        report.budget = budget::of_instance(&app, &handle).await?;
    }
    Ok(Json(visible(&principal, report)))
}
