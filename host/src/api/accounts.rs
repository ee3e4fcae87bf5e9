//! `/api/accounts`: connections to music services.

pub mod callback;
pub mod flows;
mod page;
mod view;

use axum::{extract::State, http::StatusCode};
use serde::Deserialize;
use serde_json::json;
use ulid::Ulid;
use utoipa::ToSchema;

pub(crate) use self::view::AccountState;
pub use self::view::Connection;
use super::{
    extract::{Json, Path, present, validate},
    page::{Page, Paging},
};
use crate::{
    App, AppState,
    accounts::{self, Account},
    audit::{self, Actor, Entry, Outcome},
    auth::{Origin, Principal},
    connect,
    db::{self, now_ms},
    error::{ApiError, ApiResult},
    mirror::schedule,
    providers::Lane,
};

/// What the cursors of this list name.
const LIST: &str = "accounts";
/// The longest time between two reads of a library, in seconds: a year.
const MAX_PULL_EVERY_S: i64 = 31_536_000;

/// The caller's connections, and those that all users share.
///
/// # Errors
/// 400 `invalid_limit` or `invalid_cursor`.
#[utoipa::path(
    get, path = "/api/accounts", operation_id = "list_accounts", tag = "Accounts", params(Paging),
    responses((status = 200, description = "A page of accounts, the oldest first.", body = Page<Connection>)),
    security(("bearer" = ["accounts:read"]), ("api_key" = ["accounts:read"]))
)]
pub async fn list_accounts(
    State(app): State<AppState>,
    principal: Principal,
    paging: Paging,
) -> ApiResult<Page<Connection>> {
    principal.require("accounts:read")?;
    list(&app, &principal, &paging).await
}

/// A page of what the caller sees, for handlers and pages.
///
/// # Errors
/// 400 `invalid_cursor`.
pub async fn list(app: &App, principal: &Principal, paging: &Paging) -> ApiResult<Page<Connection>> {
    let after = paging.after::<String>(LIST)?;
    let rows = db::accounts::page(app.db.read(), &principal.user_id, after, paging.limit() + 1).await?;
    let page = Page::cut(LIST, paging, rows, |account| account.id.clone());
    let meta = page.meta.clone();
    Ok(Page { data: view::all(app, principal, page.data).await?, meta })
}

/// One connection: how it stands, what it may do, until when.
///
/// # Errors
/// 404 `account_not_found`.
#[utoipa::path(
    get, path = "/api/accounts/{id}", operation_id = "get_account", tag = "Accounts",
    params(("id" = String, Path, description = "The account's id.")),
    responses((status = 200, description = "The account.", body = Connection)),
    security(("bearer" = ["accounts:read"]), ("api_key" = ["accounts:read"]))
)]
pub async fn get_account(
    State(app): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> ApiResult<Json<Connection>> {
    principal.require("accounts:read")?;
    let account = find(&app, &principal, &id).await?;
    view::one(&app, &principal, account).await.map(Json)
}

/// The account, if the caller sees it.
async fn find(app: &App, principal: &Principal, id: &str) -> ApiResult<Account> {
    let id: Ulid = id.parse().map_err(|_| accounts::not_found())?;
    let found = accounts::visible_to(&app.db, &principal.user_id, &id.to_string()).await?;
    found.ok_or_else(accounts::not_found)
}

/// What to change of a connection.
#[derive(Debug, Default, Deserialize, garde::Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountChange {
    /// What people call it.
    #[garde(inner(length(chars, min = 1, max = 100)))]
    #[schema(min_length = 1, max_length = 100)]
    pub label: Option<String>,
    /// How often its library is read, in seconds: 0 for never by itself, else at least 300; null for what the server's
    /// configuration says.
    #[serde(default, deserialize_with = "present")]
    #[garde(skip)]
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 31_536_000)]
    pub pull_every_s: Option<Option<i64>>,
}

/// Changes a connection's label, or how often its library is read.
///
/// # Errors
/// 403 `admin_required` for a shared account, 404 `account_not_found`, 422 `validation_failed`.
#[utoipa::path(
    patch, path = "/api/accounts/{id}", operation_id = "update_account", tag = "Accounts",
    params(("id" = String, Path, description = "The account's id.")), request_body = AccountChange,
    responses((status = 200, description = "The account as it is now.", body = Connection)),
    security(("bearer" = ["accounts:write"]), ("api_key" = ["accounts:write"]))
)]
pub async fn update_account(
    State(app): State<AppState>,
    principal: Principal,
    origin: Origin,
    Path(id): Path<String>,
    Json(change): Json<AccountChange>,
) -> ApiResult<Json<Connection>> {
    principal.require("accounts:write")?;
    let account = find(&app, &principal, &id).await?;
    accounts::check_may_change(&account, &principal)?;
    let account = update(&app, &principal, &origin, account, change.checked()?).await?;
    view::one(&app, &principal, account).await.map(Json)
}

impl AccountChange {
    fn checked(mut self) -> ApiResult<Self> {
        validate(&self)?;
        self.label = self.label.map(|text| label(&text)).transpose()?;
        match self.pull_every_s.flatten() {
            None | Some(0 | schedule::SHORTEST_S..=MAX_PULL_EVERY_S) => Ok(self),
            Some(_) => Err(ApiError::invalid_field("pull_every_s", "0 for never, or between 300 seconds and a year")),
        }
    }
}

/// What people call an account, without blanks around it.
fn label(text: &str) -> ApiResult<String> {
    let text = text.trim();
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(ApiError::invalid_field("label", "a line of text"));
    }
    Ok(text.to_owned())
}

async fn update(
    app: &App,
    principal: &Principal,
    origin: &Origin,
    account: Account,
    change: AccountChange,
) -> ApiResult<Account> {
    let mut tx = app.db.write().await?;
    if let Some(label) = &change.label {
        db::accounts::set_label(&mut tx, &account.id, label).await?;
    }
    if let Some(seconds) = change.pull_every_s {
        db::accounts::set_pull_every(&mut tx, &account.id, seconds).await?;
    }
    let mut now = db::accounts::find(&mut *tx, &account.id).await?.ok_or_else(accounts::not_found)?;
    if change.pull_every_s.is_some() {
        let last = now.last_pull_at.unwrap_or_else(now_ms);
        db::accounts::set_next_pull(&mut tx, &now.id, schedule::next(app, &now, last)).await?;
        now = db::accounts::find(&mut *tx, &account.id).await?.ok_or_else(accounts::not_found)?;
    }
    let data = json!({ "label": change.label.is_some(), "pull_every_s": change.pull_every_s });
    let entry = Entry {
        action: "account.changed",
        outcome: Outcome::Ok,
        actor: Actor::principal(principal, origin),
        user: now.owner.as_deref(),
        data: json!({ "account": now.id, "provider": now.instance, "changed": data }),
        personal: json!({}),
    };
    audit::record(&mut tx, entry).await?;
    accounts::tell(&mut tx, &now, "account.changed", json!({ "state": now.state, "code": now.state_code })).await?;
    tx.commit().await?;
    app.recent_accounts.forget();
    Ok(now)
}

/// Unlinks a connection: its credentials are erased at once, and what was read of it soon after.
///
/// # Errors
/// 403 `admin_required` for a shared account, 404 `account_not_found`, 409 `not_connected` where nobody signs in.
#[utoipa::path(
    delete, path = "/api/accounts/{id}", operation_id = "unlink_account", tag = "Accounts",
    params(("id" = String, Path, description = "The account's id.")),
    responses((status = 204, description = "It is gone.")),
    security(("bearer" = ["accounts:write"]), ("api_key" = ["accounts:write"]))
)]
pub async fn unlink_account(
    State(app): State<AppState>,
    principal: Principal,
    origin: Origin,
    Path(id): Path<String>,
) -> ApiResult<StatusCode> {
    principal.require("accounts:write")?;
    let account = find(&app, &principal, &id).await?;
    connect::unlink::unlink(&app, &principal, &origin, &account.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Asks the service whether a connection works, and what it may do. That somebody has to sign in again is told in the
/// account.
///
/// # Errors
/// 404 `account_not_found`, or why the provider could not be asked.
#[utoipa::path(
    post, path = "/api/accounts/{id}/check", operation_id = "check_account", tag = "Accounts",
    params(("id" = String, Path, description = "The account's id.")),
    responses((status = 200, description = "The account as it is now.", body = Connection)),
    security(("bearer" = ["accounts:read"]), ("api_key" = ["accounts:read"]))
)]
pub async fn check_account(
    State(app): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> ApiResult<Json<Connection>> {
    principal.require("accounts:read")?;
    let account = find(&app, &principal, &id).await?;
    let account = connect::check::check(&app, &account, Lane::Interactive).await?;
    view::one(&app, &principal, account).await.map(Json)
}
