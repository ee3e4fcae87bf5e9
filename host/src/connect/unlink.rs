//! Unlinking: the account is gone at once with its credentials; what was read of it is erased by a job.

use std::time::Duration;

use serde_json::json;
use zotify_plugin_api::method;

use crate::{
    App, AppState,
    accounts::{self, Account},
    audit::{self, Actor, Entry, Outcome},
    auth::{Origin, Principal},
    db,
    error::{ApiError, ApiResult},
    jobs,
    mirror::lookup,
    preferences,
    providers::Lane,
};

/// How long the service may take to hear of it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Unlinks an account.
///
/// # Errors
/// 403 `admin_required` for a shared account, 404 `account_not_found`, 409 `not_connected` where nobody signs in.
pub async fn unlink(app: &AppState, principal: &Principal, origin: &Origin, id: &str) -> ApiResult<()> {
    let account = accounts::visible_to(&app.db, &principal.user_id, id).await?.ok_or_else(accounts::not_found)?;
    accounts::check_may_change(&account, principal)?;
    if account.owner.is_none() && account.remote_key.is_none() {
        let detail = "nobody signs in at this provider; an admin takes it out of the configuration";
        return Err(ApiError::conflict("not_connected", detail));
    }
    tell_service(app, &account).await;
    let mut tx = app.db.write().await?;
    if !db::accounts::hide(&mut tx, &account.id).await? {
        return Err(accounts::not_found());
    }
    db::credentials::delete(&mut tx, &account.id).await?;
    preferences::forget_account(&mut tx, &account.id).await?;
    let stopped = jobs::unlink::cancel_others(&mut tx, &account.id).await?;
    jobs::unlink::enqueue(&mut tx, &account).await?;
    let data = json!({ "account": account.id, "provider": account.instance, "shared": account.owner.is_none() });
    let entry = Entry {
        action: "account.unlinked",
        outcome: Outcome::Ok,
        actor: Actor::principal(principal, origin),
        user: account.owner.as_deref(),
        data,
        personal: json!({}),
    };
    audit::record(&mut tx, entry).await?;
    accounts::tell(&mut tx, &account, "account.unlinked", json!({})).await?;
    tx.commit().await?;
    app.recent_accounts.forget();
    app.catalogue.forget_account(&account.id);
    stopped.iter().for_each(|job| app.jobs.stop(job));
    app.jobs.wake();
    Ok(())
}

/// The service may want to know; whatever it says changes nothing here.
async fn tell_service(app: &App, account: &Account) {
    let Some(handle) = app.providers.get(&account.instance) else { return };
    let Some(named) = lookup::account_of(&handle, &account.id) else { return };
    let told = tokio::time::timeout(PATIENCE, handle.call::<method::Unlink>(Some(named), Lane::Interactive, ())).await;
    match told {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::info!(instance = account.instance, "unlinked without the service: {error}"),
        Err(_) => tracing::info!(instance = account.instance, "unlinked without the service, which took too long"),
    }
}
