//! Starts the erasure of a user.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use crate::{
    AppState,
    auth::users,
    db::{self, Tx},
    error::{ApiError, ApiResult},
    events::{self, Event},
    jobs::{self, Enqueue, JobId, erase::Erase},
    secrets::random,
};

/// An erasure that has begun.
#[derive(Clone, Debug)]
pub struct Erasure {
    /// By which anybody who holds it can ask how far the erasure is.
    pub receipt: String,
    /// The job that does it.
    pub job: JobId,
}

/// Locks a user out and queues the erasure of all that is held about them. Call [`begun`] after the commit.
///
/// # Errors
/// 409 `last_admin`, 401 `session_revoked` or `user_disabled`, or when the database fails.
pub async fn begin(tx: &mut Tx, user_id: &str) -> ApiResult<Erasure> {
    let gone = || ApiError::unauthorized("session_revoked", "this user is no more");
    let user = users::lock_for_change(tx, user_id).await?.ok_or_else(gone)?;
    users::check_not_last_admin(tx, &user).await?;
    if !db::privacy::lock_out(tx, &user.id).await? {
        return Err(ApiError::unauthorized("user_disabled", "this user is disabled, or being erased"));
    }
    let receipt = URL_SAFE_NO_PAD.encode(random::<24>().map_err(ApiError::internal)?);
    db::privacy::insert_erasure(tx, &receipt).await?;
    let job = Erase::new(&user.id, &receipt);
    let options = Enqueue { dedupe_key: Some(Erase::key(&user.id)), ..Enqueue::default() };
    let job = jobs::enqueue(tx, &job, options).await?;
    let data = json!({ "job": job });
    events::emit(tx, Event { kind: "privacy.erasure_requested", subject: None, user: Some(&user.id), data }).await?;
    Ok(Erasure { receipt, job })
}

/// Makes what [`begin`] did take effect at once on this node.
pub fn begun(app: &AppState) {
    app.recent_sessions.forget();
    app.recent_keys.forget();
    app.recent_accounts.forget();
    app.catalogue.forget_all();
    app.jobs.wake();
}
