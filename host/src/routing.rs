//! Which account a write goes to, and whether it may.

use std::{future::Future, sync::Arc};

use tracing::Instrument as _;
use zotify_plugin_api::{Capabilities, CapabilityState, ProviderError, Uri, method::Method};

use crate::{
    App,
    accounts::{self, Account},
    auth::Principal,
    db::{self, items},
    error::{ApiError, ApiResult},
    mirror::{Scope, lookup},
    providers::{InstanceHandle, Lane, State},
};

/// The account that a request names in its query, to change what it holds.
///
/// # Errors
/// 403 `admin_required` for what all users share, and those of [`seen`].
pub fn named<'a>(principal: &Principal, scope: &'a Scope, id: &str, instance: Option<&str>) -> ApiResult<&'a Account> {
    let account = seen(scope, id, instance)?;
    accounts::check_may_change(account, principal).map(|()| account)
}

/// The account that a request names in its query, to read what it holds.
///
/// # Errors
/// 404 `account_not_found`, 400 `invalid_query` for one at another instance.
pub fn seen<'a>(scope: &'a Scope, id: &str, instance: Option<&str>) -> ApiResult<&'a Account> {
    let account = scope.account(id).ok_or_else(accounts::not_found)?;
    match elsewhere(account, instance) {
        Some(detail) => Err(ApiError::bad_request("invalid_query", detail)),
        None => Ok(account),
    }
}

/// What is wrong where an account is not at an instance.
pub fn elsewhere(account: &Account, instance: Option<&str>) -> Option<String> {
    let instance = instance.filter(|instance| *instance != account.instance)?;
    Some(format!("account {} is at {}, not at {instance:.64}", account.id, account.instance))
}

/// The only one of several accounts, or the one that the caller prefers. Where the caller has accounts of their own, those
/// that all share don't count.
///
/// # Errors
/// 409 `account_required` where there is none, 409 `account_ambiguous` with those that could be meant, 403
/// `admin_required` where all of them are shared.
pub fn only<'a>(
    principal: &Principal,
    scope: &Scope,
    candidates: &[&'a Account],
    what: &str,
) -> ApiResult<&'a Account> {
    let Some(first) = candidates.first() else {
        let detail = format!("you have no account to {what} with; connect one, or see /api/providers");
        return Err(ApiError::conflict("account_required", detail));
    };
    let preferred = |account: &&&Account| scope.prefers(account) && accounts::may_write(account, principal);
    if let [one] = candidates.iter().filter(preferred).collect::<Vec<_>>().as_slice() {
        return Ok(one);
    }
    let own = |account: &&&Account| account.owner.is_some();
    let mut left: Vec<&Account> = candidates.iter().filter(own).copied().collect();
    if left.is_empty() {
        left = candidates.iter().filter(|account| accounts::may_write(account, principal)).copied().collect();
    }
    match left.as_slice() {
        [] => accounts::check_may_change(first, principal).map(|()| *first),
        [one] => Ok(one),
        several => {
            let names: Vec<_> = several.iter().map(|a| format!("{} ({} at {})", a.id, a.label, a.instance)).collect();
            let names = names.join(", ");
            let detail = format!(
                "say with account which one to {what} with: {names}; or prefer one of them with default_accounts at \
                 /api/user/preferences"
            );
            Err(ApiError::conflict("account_ambiguous", detail))
        }
    }
}

/// The account by which to change what an address names: the one that is named, else the one that holds it, else the
/// only one at its instance.
///
/// # Errors
/// As [`named`] and [`only`]; when the database fails.
pub async fn of_uri<'a>(
    app: &App,
    principal: &Principal,
    scope: &'a Scope,
    uri: &Uri,
    account: Option<&str>,
) -> ApiResult<&'a Account> {
    if let Some(id) = account {
        return named(principal, scope, id, Some(uri.instance()));
    }
    let holders = items::contained(app.db.read(), &scope.at(uri.instance()), &[uri.to_string()]).await?;
    let holders: Vec<&Account> = holders.iter().filter_map(|(_, id)| scope.account(id)).collect();
    among(principal, scope, uri, &holders)
}

/// As [`of_uri`] where it is known which accounts hold it.
///
/// # Errors
/// As [`only`].
pub fn among<'a>(
    principal: &Principal,
    scope: &'a Scope,
    uri: &Uri,
    holders: &[&'a Account],
) -> ApiResult<&'a Account> {
    let what = format!("change {uri}");
    if holders.iter().any(|account| accounts::may_write(account, principal)) {
        return only(principal, scope, holders, &what);
    }
    let all: Vec<&Account> = scope.accounts().iter().filter(|a| a.instance == uri.instance()).collect();
    only(principal, scope, &all, &what)
}

/// Makes sure that an account can do something now.
///
/// # Errors
/// 503 `provider_unavailable`, 422 `unsupported`, 403 `provider_restricted`.
pub async fn check(app: &App, handle: &InstanceHandle, account: &Account, capability: &str) -> ApiResult<()> {
    if handle.state() != State::Started {
        let detail = format!("{} is not running now; see /api/providers", account.instance);
        return Err(ApiError::unavailable("provider_unavailable", detail).with_retry_after(5));
    }
    let unsupported = |why: &str| {
        ApiError::unprocessable("unsupported", format!("{} does not offer {capability}{why}", account.instance))
    };
    if !handle.has(capability) {
        return Err(unsupported(""));
    }
    match states(app, &account.id).await?.remove(capability) {
        Some(CapabilityState::Unsupported { code }) => {
            Err(unsupported(&format!(" for this account: {code:.64}")).with_provider_code(Some(code)))
        }
        Some(CapabilityState::Restricted { code }) => {
            let detail = format!("{} refuses {capability} to this account: {code:.64}", account.instance);
            Err(ApiError::forbidden("provider_restricted", detail).with_provider_code(Some(code)))
        }
        _ => Ok(()),
    }
}

/// What the last check said of an account's capabilities.
async fn states(app: &App, account: &str) -> sqlx::Result<Capabilities> {
    let text = db::accounts::capabilities(app.db.read(), account).await?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

/// The account's instance.
///
/// # Errors
/// 503 `provider_unavailable` where it is not configured any more.
pub fn handle(app: &App, account: &Account) -> ApiResult<Arc<InstanceHandle>> {
    Ok(app.providers.configured(&account.instance)?)
}

/// Calls a method for an account while a client waits.
///
/// # Errors
/// What the provider answers.
pub async fn call<M: Method>(
    handle: &InstanceHandle,
    account: &Account,
    request: M::Request,
) -> Result<M::Reply, ProviderError> {
    handle.call::<M>(lookup::account_of(handle, &account.id), Lane::Interactive, request).await
}

/// Does work that a client who goes away does not stop.
///
/// # Errors
/// Those of the work.
pub async fn detached<T: Send + 'static>(
    app: &App,
    work: impl Future<Output = ApiResult<T>> + Send + 'static,
) -> ApiResult<T> {
    app.tasks.spawn(work.in_current_span()).await.map_err(ApiError::internal)?
}
