//! `/api/admin/accounts`: everybody's connections, and how they stand.

use axum::extract::State;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::{
    AppState,
    api::{
        accounts::AccountState,
        admin::put_on_record,
        page::{Page, Paging},
        rfc3339,
        sync::Completeness,
    },
    audit::Actor,
    auth::{Admin, Origin},
    db::{self, accounts::Held},
    error::ApiResult,
};

/// What the cursors of this list name.
const LIST: &str = "admin-accounts";

/// Somebody's connection: how it stands, and nothing of what it holds.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserConnection {
    /// The account's id.
    id: String,
    /// The instance that it is at.
    provider: String,
    /// Whose it is; null: shared by all users.
    user_id: Option<String>,
    /// The owner's name.
    user_name: Option<String>,
    /// How it stands.
    #[schema(value_type = AccountState)]
    state: String,
    /// Why it is not `ok`.
    state_code: Option<String>,
    /// How complete the last read of its library was.
    #[schema(value_type = Option<Completeness>)]
    completeness: Option<String>,
    /// When that was, RFC 3339 UTC.
    last_pull_at: Option<String>,
    /// RFC 3339 UTC.
    created_at: String,
}

impl From<Held> for UserConnection {
    fn from(row: Held) -> Self {
        Self {
            id: row.id,
            provider: row.instance,
            user_id: row.owner,
            user_name: row.owner_name,
            state: row.state,
            state_code: row.state_code,
            completeness: row.completeness,
            last_pull_at: row.last_pull_at.map(rfc3339),
            created_at: rfc3339(row.created_at),
        }
    }
}

/// Everybody's connections, the oldest first. That they were listed stands in the audit log.
///
/// # Errors
/// 400 `invalid_limit` or `invalid_cursor`, 403 `admin_required`.
#[utoipa::path(
    get, path = "/api/admin/accounts", operation_id = "list_all_accounts", tag = "Admin", params(Paging),
    responses((status = 200, description = "A page of accounts.", body = Page<UserConnection>)),
    security(("bearer" = ["admin"]), ("api_key" = ["admin"]))
)]
pub async fn list_all_accounts(
    State(app): State<AppState>,
    Admin(principal): Admin,
    origin: Origin,
    paging: Paging,
) -> ApiResult<Page<UserConnection>> {
    let after = paging.after::<String>(LIST)?;
    let rows = db::accounts::page_of_all(app.db.read(), after, paging.limit() + 1).await?;
    let page = Page::cut(LIST, &paging, rows, |row| row.id.clone());
    let (actor, data) = (Actor::principal(&principal, &origin), json!({ "accounts": page.data.len() }));
    put_on_record(&app, "accounts.read", actor, None, data, json!({})).await?;
    Ok(page.map(UserConnection::from))
}
