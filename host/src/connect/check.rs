//! Whether an account works, and what it may do.

use std::collections::BTreeMap;

use serde_json::json;
use zotify_plugin_api::{Capabilities, CapabilityState, ErrorKind, ProviderError, capability, method};

use super::step::text;
use crate::{
    App,
    accounts::{self, Account},
    db::{self, Tx, credentials::SignedIn},
    error::ApiResult,
    mirror::lookup,
    providers::Lane,
};

/// What is known of the account's state, as the service sees it.
struct Found<'a> {
    state: &'static str,
    code: Option<&'a str>,
    detail: Option<String>,
}

/// Asks the service about an account, and keeps what it says. Answers the account as it is then; that somebody has to sign
/// in again, or that the service restricts it, is part of that.
///
/// # Errors
/// Why the provider could not be asked: then nothing is known that was not known before.
pub async fn check(app: &App, account: &Account, lane: Lane) -> ApiResult<Account> {
    let handle = app.providers.configured(&account.instance)?;
    let named = lookup::account_of(&handle, &account.id);
    let answer = match handle.call::<method::Check>(named, lane, ()).await {
        Err(error) if error.kind == ErrorKind::Unsupported => Ok(Capabilities::default()),
        answer => answer.map(|checked| checked.capabilities),
    };
    let mut tx = app.db.write().await?;
    match answer {
        Ok(capabilities) => {
            db::accounts::checked(&mut tx, &account.id, &kept(capabilities)).await?;
            works(&mut tx, account).await?;
        }
        Err(error) if error.kind == ErrorKind::AuthRequired => accounts::must_sign_in(&mut tx, account, &error).await?,
        Err(error) if error.kind == ErrorKind::Restricted => {
            let code = error.code.as_deref().unwrap_or("restricted");
            let found = Found { state: "restricted", code: Some(code), detail: Some(text(&error.message, 500)) };
            set(&mut tx, account, found).await?;
        }
        Err(error) => return Err(error.into()),
    }
    let now = db::accounts::find(&mut *tx, &account.id).await?.ok_or_else(accounts::not_found)?;
    tx.commit().await?;
    app.recent_accounts.forget();
    Ok(now)
}

/// Takes note that an account works, unless its credentials are known to be of no use.
///
/// # Errors
/// When the database fails.
pub async fn works(tx: &mut Tx, account: &Account) -> sqlx::Result<()> {
    // A plugin may have answered without a look at the credentials.
    let kept = db::credentials::find(&mut **tx, &account.id).await?;
    if let Some(SignedIn { dead_code: Some(code), dead_detail, .. }) = kept {
        let dead = ProviderError::new(ErrorKind::AuthRequired, dead_detail.unwrap_or_default()).with_code(code);
        return accounts::must_sign_in(tx, account, &dead).await;
    }
    set(tx, account, Found { state: "ok", code: None, detail: None }).await
}

async fn set(tx: &mut Tx, account: &Account, found: Found<'_>) -> sqlx::Result<()> {
    let Found { state, code, detail } = found;
    if account.state == state && account.state_code.as_deref() == code && account.state_detail == detail {
        return Ok(());
    }
    accounts::set_state(tx, &account.id, state, code, detail.as_deref()).await?;
    accounts::tell(tx, account, "account.changed", json!({ "state": state, "code": code })).await
}

/// Capabilities that the host knows, as they are kept.
fn kept(capabilities: Capabilities) -> String {
    let known = capabilities.into_iter().filter(|(name, _)| capability::ALL.contains(&name.as_str()));
    let kept: BTreeMap<String, CapabilityState> = known.map(|(name, state)| (name, cut(state))).collect();
    json!(kept).to_string()
}

fn cut(state: CapabilityState) -> CapabilityState {
    match state {
        CapabilityState::Restricted { code } => CapabilityState::Restricted { code: as_code(&code) },
        CapabilityState::Unsupported { code } => CapabilityState::Unsupported { code: as_code(&code) },
        other => other,
    }
}

fn as_code(code: &str) -> String {
    let fits = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_';
    code.chars().filter(fits).take(64).collect()
}
