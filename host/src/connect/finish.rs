//! The end of a flow: the account, its credentials, and what follows from them, in one transaction.

use std::time::Duration;

use serde_json::json;
use ulid::Ulid;
use zotify_plugin_api::SetupDone;

use super::{By, Flow, Turn, end, flow::view, moved_on, save};
use crate::{
    App, AppState,
    accounts::{self, Account},
    audit::{self, Actor, Entry, Outcome},
    db::{self, Tx, now_ms, setup_flows::FlowRow},
    error::{ApiError, ApiResult},
    events::{self, Event},
    jobs, mirror,
};

/// What whoever connects accounts of an owner, or erases what they had, holds until it is done.
pub(crate) fn lock(instance: &str, owner: Option<&str>) -> String {
    format!("connect:{instance}:{}", owner.unwrap_or_default())
}

pub(super) async fn finish(app: &AppState, by: &By, turn: Turn, done: SetupDone) -> ApiResult<Flow> {
    let Turn { mut row, label, .. } = turn;
    let mut tx = app.db.write().await?;
    let Some((account, again)) = connect(&mut tx, &row, label.as_deref(), &done).await? else {
        tx.rollback().await?;
        return other_account(app, row).await;
    };
    let sealed = app.secrets.seal(&db::credentials::context(&account.id), done.credentials.as_bytes());
    let scopes = serde_json::to_string(&done.scopes).map_err(ApiError::internal)?;
    let now = now_ms();
    let ends_at = done.lasts_ms.map(|lasts| now.saturating_add(i64::try_from(lasts).unwrap_or(i64::MAX)));
    let sealed = sealed.map_err(ApiError::internal)?;
    db::credentials::put_new(&mut tx, sealed, &account.id, &scopes, now, ends_at).await?;
    row.state = "done".into();
    row.result = Some(account.id.clone());
    (row.sealed, row.state_hash, row.code, row.detail) = (None, None, None, None);
    row.updated_at = now;
    if !db::setup_flows::save(&mut tx, &row).await? {
        return Err(moved_on());
    }
    mirror::enqueue(&mut tx, &account, Duration::ZERO).await?;
    jobs::check::enqueue(&mut tx, &account).await?;
    tell(&mut tx, by, &account, again).await?;
    tx.commit().await?;
    app.recent_accounts.forget();
    app.jobs.wake();
    view(app, &row)
}

/// The account, and whether it was there before; none where the one that should sign in again is another one.
async fn connect(
    tx: &mut Tx,
    row: &FlowRow,
    label: Option<&str>,
    done: &SetupDone,
) -> ApiResult<Option<(Account, bool)>> {
    let owner = if row.shared == 0 { Some(row.user_id.as_str()) } else { None };
    db::state::lock(tx, &lock(&row.instance, owner)).await?;
    let known = db::accounts::find_remote(&mut **tx, &row.instance, owner, &done.account_key).await?;
    let named = match &row.account_id {
        Some(id) => Some(db::accounts::find(&mut **tx, id).await?.ok_or_else(accounts::not_found)?),
        None => None,
    };
    if let Some(named) = &named {
        let same = named.remote_key.as_ref().is_none_or(|key| *key == done.account_key);
        if !same || known.as_ref().is_some_and(|known| known.id != named.id) {
            return Ok(None);
        }
    }
    let before = named.or(known);
    let again = before.is_some();
    let id = match before {
        Some(account) => {
            db::accounts::reconnected(tx, &account.id, &done.account_key).await?;
            if let Some(label) = label {
                db::accounts::set_label(tx, &account.id, label).await?;
            }
            account.id
        }
        None => {
            let id = Ulid::generate().to_string();
            let label = label.unwrap_or(&done.label);
            db::accounts::insert_connected(tx, &id, &row.instance, owner, label, &done.account_key).await?;
            id
        }
    };
    let account = db::accounts::find(&mut **tx, &id).await?.ok_or_else(accounts::not_found)?;
    Ok(Some((account, again)))
}

async fn tell(tx: &mut Tx, by: &By, account: &Account, again: bool) -> sqlx::Result<()> {
    let data = json!({
        "account": account.id, "provider": account.instance, "shared": account.owner.is_none(), "again": again,
    });
    let entry = Entry {
        action: "account.connected",
        outcome: Outcome::Ok,
        actor: Actor::principal(&by.principal, &by.origin),
        user: account.owner.as_deref(),
        data: data.clone(),
        personal: json!({}),
    };
    audit::record(tx, entry).await?;
    let event = Event { kind: "account.connected", subject: Some(&account.id), user: account.owner.as_deref(), data };
    events::emit(tx, event).await.map(drop)
}

/// Somebody signed in as somebody else.
async fn other_account(app: &App, mut row: FlowRow) -> ApiResult<Flow> {
    let detail = "this is another account of the service; sign in there as before, or connect it as a new account";
    row.code = Some("other_account".into());
    row.detail = Some(detail.into());
    end(&mut row);
    save(app, row).await?;
    Err(ApiError::conflict("other_account", detail))
}
