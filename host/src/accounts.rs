//! Accounts: sign-ins at provider instances, owned by a user or shared by all.

use serde_json::json;
use ulid::Ulid;
use zotify_plugin_api::ProviderError;

pub use crate::db::accounts::{Account, pulled, set_state};
use crate::{
    audit::{self, Actor, Entry, Outcome},
    auth::Principal,
    db::{self, Db, Tx},
    error::{ApiError, ApiResult},
    events::{self, Event},
};

/// The instance's shared account, made where there is none.
///
/// # Errors
/// When the database fails.
pub async fn ensure_shared(tx: &mut Tx, instance: &str) -> sqlx::Result<Account> {
    db::accounts::insert_shared(tx, &Ulid::generate().to_string(), instance).await?;
    db::accounts::find_shared(&mut **tx, instance).await?.ok_or(sqlx::Error::RowNotFound)
}

/// What a user may use: the user's own accounts and the shared ones.
///
/// # Errors
/// When the database fails.
pub async fn visible(db: &Db, user_id: &str) -> sqlx::Result<Vec<Account>> {
    db::accounts::visible(db.read(), user_id).await
}

/// The account with this id.
///
/// # Errors
/// When the database fails.
pub async fn find(db: &Db, id: &str) -> sqlx::Result<Option<Account>> {
    db::accounts::find(db.read(), id).await
}

/// The account with this id, if a user may use it.
///
/// # Errors
/// When the database fails.
pub async fn visible_to(db: &Db, user_id: &str, id: &str) -> sqlx::Result<Option<Account>> {
    let found = find(db, &id.replace('\0', "")).await?;
    Ok(found.filter(|account| account.owner.as_deref().is_none_or(|owner| owner == user_id)))
}

/// All accounts at an instance.
///
/// # Errors
/// When the database fails.
pub async fn of_instance(db: &Db, instance: &str) -> sqlx::Result<Vec<Account>> {
    db::accounts::of_instance(db.read(), instance).await
}

/// Whether the caller may change an account, and what it holds.
pub fn may_write(account: &Account, principal: &Principal) -> bool {
    match &account.owner {
        Some(owner) => *owner == principal.user_id,
        None => principal.is_admin(),
    }
}

/// Makes sure that somebody who sees an account may change it, too.
///
/// # Errors
/// 403 `admin_required` for what all users share.
pub fn check_may_change(account: &Account, principal: &Principal) -> ApiResult<()> {
    if may_write(account, principal) {
        return Ok(());
    }
    let detail = format!("all users share the account at {}; only admins may change it", account.instance);
    Err(ApiError::forbidden("admin_required", detail))
}

/// 404 for an account that is not there, or somebody else's.
pub fn not_found() -> ApiError {
    ApiError::not_found("account_not_found", "there is no such account, or it is not yours")
}

/// Takes note of an error that says that somebody has to sign in again: nothing is read until then. It is told and
/// recorded once.
///
/// # Errors
/// When the database fails.
pub async fn must_sign_in(tx: &mut Tx, account: &Account, error: &ProviderError) -> sqlx::Result<()> {
    let code = error.code.as_deref().unwrap_or("auth_required");
    if !db::accounts::require_sign_in(tx, &account.id, code, &error.message).await? {
        return Ok(());
    }
    tell(tx, account, "account.auth_required", json!({ "code": code })).await?;
    let entry = Entry {
        action: "account.auth_required",
        outcome: Outcome::Ok,
        actor: Actor::HOST,
        user: account.owner.as_deref(),
        data: json!({ "account": account.id, "instance": account.instance, "code": code }),
        personal: json!({}),
    };
    audit::record(tx, entry).await
}

/// Tells that something happened to an account: to its owner, or to all admins.
///
/// # Errors
/// When the database fails.
pub async fn tell(tx: &mut Tx, account: &Account, kind: &str, mut data: serde_json::Value) -> sqlx::Result<()> {
    if let Some(data) = data.as_object_mut() {
        data.insert("account".into(), account.id.clone().into());
        data.insert("provider".into(), account.instance.clone().into());
    }
    let event = Event { kind, subject: Some(&account.id), user: account.owner.as_deref(), data };
    events::emit(tx, event).await.map(drop)
}
