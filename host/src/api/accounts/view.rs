//! An account as its users see it.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;
use zotify_plugin_api::CapabilityState;

use crate::{
    App,
    accounts::Account,
    api::{library::Counts, rfc3339, sync::Completeness},
    auth::Principal,
    db::{self, credentials::SignedIn, items},
    error::ApiResult,
    mirror::schedule,
    providers::budget::{self, BudgetReport},
};

/// A connection to a music service.
#[derive(Debug, Serialize, ToSchema)]
pub struct Connection {
    /// The account's id.
    pub id: String,
    /// The instance that it is at.
    pub provider: String,
    /// What people call it.
    pub label: String,
    /// Whether all users share it.
    pub shared: bool,
    /// Whether it is the caller's own.
    pub owned_by_me: bool,
    /// How it stands.
    #[schema(value_type = AccountState)]
    pub state: String,
    /// Why it is not `ok`.
    pub state_code: Option<String>,
    /// One sentence for people.
    pub state_detail: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
    /// What it may do, by name.
    pub capabilities: BTreeMap<String, CapabilityView>,
    /// When the service was asked for that last, RFC 3339 UTC.
    pub checked_at: Option<String>,
    /// What was granted, as the service names it.
    pub scopes: Vec<String>,
    /// When somebody signed in, RFC 3339 UTC.
    pub authorized_at: Option<String>,
    /// Until when somebody has to sign in again, RFC 3339 UTC.
    pub sign_in_again_by: Option<String>,
    /// When its library was read last, RFC 3339 UTC.
    pub last_pull_at: Option<String>,
    /// When that saw all of it, RFC 3339 UTC.
    pub last_complete_at: Option<String>,
    /// How complete the last read was.
    #[schema(value_type = Option<Completeness>)]
    pub completeness: Option<String>,
    /// How often it is read by itself, in seconds; null: as the server's configuration says; 0: never.
    pub pull_every_s: Option<i64>,
    /// When it is read next, RFC 3339 UTC.
    pub next_pull_at: Option<String>,
    /// How often the service was and may be asked.
    pub budget: Option<BudgetReport>,
    /// How much its library holds.
    pub counts: Counts,
}

/// How an account stands, as the document describes it.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "the database keeps the words themselves")]
pub(crate) enum AccountState {
    /// It works.
    Ok,
    /// Somebody has to sign in again.
    AuthRequired,
    /// The service does not let the account do what is asked.
    Restricted,
    /// Something else.
    Failed,
}

/// Whether an account can do something, as the document describes it.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "pages show the words themselves")]
pub(crate) enum CapabilityStatus {
    /// It can.
    Available,
    /// Not this account, or not now.
    Restricted,
    /// Never.
    Unsupported,
}

/// Whether something can be done, and why not.
#[derive(Debug, Serialize, ToSchema)]
pub struct CapabilityView {
    /// Whether it can be done.
    #[schema(value_type = CapabilityStatus)]
    pub state: &'static str,
    /// Why it is not available.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// One account.
pub(super) async fn one(app: &App, principal: &Principal, account: Account) -> ApiResult<Connection> {
    let signed_in = db::credentials::find(app.db.read(), &account.id).await?;
    let counts = items::counts(app.db.read(), std::slice::from_ref(&account.id)).await?;
    let budget = budget::reports(app, &[(&account.instance, &account.id)]).await?.remove(&account.id);
    Ok(Connection { budget, ..connection(app, principal, account, signed_in, &counts) })
}

/// Several accounts.
pub(super) async fn all(app: &App, principal: &Principal, accounts: Vec<Account>) -> ApiResult<Vec<Connection>> {
    let ids: Vec<_> = accounts.iter().map(|account| account.id.clone()).collect();
    let counts = items::counts(app.db.read(), &ids).await?;
    let signed_in = db::credentials::of_accounts(app.db.read(), &ids).await?;
    let mut signed_in: BTreeMap<_, _> = signed_in.into_iter().map(|one| (one.account_id.clone(), one)).collect();
    let named: Vec<(&str, &str)> = accounts.iter().map(|a| (a.instance.as_str(), a.id.as_str())).collect();
    let mut budgets = budget::reports(app, &named).await?;
    let view = |account: Account| {
        let (own, budget) = (signed_in.remove(&account.id), budgets.remove(&account.id));
        Connection { budget, ..connection(app, principal, account, own, &counts) }
    };
    Ok(accounts.into_iter().map(view).collect())
}

fn connection(
    app: &App,
    principal: &Principal,
    account: Account,
    signed_in: Option<SignedIn>,
    counts: &[items::Count],
) -> Connection {
    let mut own = Counts::default();
    counts.iter().filter(|count| count.account_id == account.id).for_each(|count| own.add(count));
    let scopes = signed_in.as_ref().and_then(|one| serde_json::from_str(&one.scopes).ok()).unwrap_or_default();
    Connection {
        shared: account.owner.is_none(),
        owned_by_me: account.owner.as_deref() == Some(principal.user_id.as_str()),
        remedy: remedy(&account),
        capabilities: capabilities(app, &account),
        checked_at: account.checked_at.map(rfc3339),
        scopes,
        authorized_at: signed_in.as_ref().map(|one| rfc3339(one.authorized_at)),
        sign_in_again_by: signed_in.and_then(|one| one.ends_at).map(rfc3339),
        last_pull_at: account.last_pull_at.map(rfc3339),
        last_complete_at: account.last_complete_at.map(rfc3339),
        next_pull_at: next_pull(app, &account).map(rfc3339),
        budget: None,
        counts: own,
        id: account.id,
        provider: account.instance,
        label: account.label,
        state: account.state,
        state_code: account.state_code,
        state_detail: account.state_detail,
        completeness: account.completeness,
        pull_every_s: account.pull_every_s,
    }
}

/// When it is read next; none while that is never.
fn next_pull(app: &App, account: &Account) -> Option<i64> {
    schedule::every(app, account).and(account.next_pull_at)
}

fn remedy(account: &Account) -> Option<String> {
    let remedy = match account.state.as_str() {
        "ok" => return None,
        "auth_required" => "sign in again: POST /api/accounts/flows with this account's id as `account`",
        "restricted" => "the service does not allow it; see the detail, change it there, then check the account again",
        _ => "see the detail; once that is mended, check the account again",
    };
    Some(remedy.to_owned())
}

/// What the provider declares, with what the last check said of it.
fn capabilities(app: &App, account: &Account) -> BTreeMap<String, CapabilityView> {
    let checked = account.capabilities.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let checked: BTreeMap<String, CapabilityState> = checked.unwrap_or_default();
    let handle = app.providers.get(&account.instance);
    let declared = handle.as_ref().and_then(|handle| handle.manifest()).map(|manifest| manifest.capabilities.clone());
    let view = |name: String| {
        let (state, code) = match checked.get(&name) {
            Some(CapabilityState::Restricted { code }) => ("restricted", Some(code)),
            Some(CapabilityState::Unsupported { code }) => ("unsupported", Some(code)),
            _ => ("available", None),
        };
        (name, CapabilityView { state, code: code.filter(|code| !code.is_empty()).cloned() })
    };
    declared.unwrap_or_default().into_iter().map(view).collect()
}
