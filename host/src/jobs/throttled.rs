//! Services that ask a job to wait again and again: how long that has been so, and what becomes of it in the end.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Code, Job as _, pull::PullLibrary};
use crate::{
    App, accounts,
    api::rfc3339,
    db::{self, Tx, jobs::lease::Claim, pull_runs},
    mirror::schedule,
};

/// The field of a job's kept error that says since when it waits without getting on, Unix milliseconds.
const SINCE: &str = "waits_since";

/// A kept error with the time since when the job waits.
pub(super) fn waiting(mut error: Value, since: i64) -> String {
    error[SINCE] = json!(since);
    error.to_string()
}

/// Since when a job waits, by its kept error; none where its last failure was no wait.
pub(super) fn waits_since(error: Option<&str>) -> Option<i64> {
    serde_json::from_str::<Value>(error?).ok()?.get(SINCE)?.as_i64()
}

/// What a job that waited too long fails with.
pub(super) fn reason(last: &Code, since: i64) -> (Code, String) {
    let code = Code { own: "provider_throttled".into(), provider: last.provider.clone() };
    (code, format!("since {} the service has only asked to wait, and nothing came of it", rfc3339(since)))
}

/// The jobs that work for an account name it so.
#[derive(Deserialize)]
struct ForAccount {
    account_id: String,
}

/// Lets the account that a job worked for say what became of it.
pub(super) async fn note(app: &App, tx: &mut Tx, claim: &Claim, code: &Code, detail: &str) -> sqlx::Result<()> {
    let Ok(ForAccount { account_id }) = serde_json::from_str(&claim.payload) else { return Ok(()) };
    let Some(account) = db::accounts::find(&mut **tx, &account_id).await? else { return Ok(()) };
    if claim.kind == PullLibrary::NAME {
        pull_runs::give_up(tx, &account.id, code, detail).await?;
        schedule::set_next(app, tx, &account).await?;
    }
    // That somebody has to sign in again matters more.
    if account.state == "auth_required" {
        return Ok(());
    }
    accounts::set_state(tx, &account.id, "failed", Some(&**code), Some(detail)).await?;
    accounts::tell(tx, &account, "account.changed", json!({ "state": "failed", "code": &**code })).await
}
