//! Erases a user.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{Job, JobContext, JobError};
use crate::{
    audit::{self, Actor, Entry, Outcome},
    db::{self, plugin_kv::Scope},
    events::{self, Event},
    register_job,
};

/// Rows that one transaction takes.
const BATCH: i64 = 500;
/// How long the user's own jobs may take to stop.
const JOBS_STOP: Duration = Duration::from_secs(30);
/// How often to look whether they did.
const LOOK: Duration = Duration::from_millis(100);

/// Erases everything that is held about a user, some rows at a time. It can be cut off anywhere and goes on from there.
#[derive(Serialize, Deserialize)]
pub struct Erase {
    /// The user's id; none once the user is gone.
    user: Option<String>,
    receipt: String,
}

impl Erase {
    /// The erasure of a user.
    pub fn new(user: &str, receipt: &str) -> Self {
        Self { user: Some(user.into()), receipt: receipt.into() }
    }

    /// The key of the one job that erases a user.
    pub fn key(user: &str) -> String {
        format!("{}:{user}", Self::NAME)
    }

    /// Everything but the user's row.
    async fn sweep(&self, ctx: &JobContext, user: &str) -> Result<(), JobError> {
        let mut erased = 0;
        let accounts = note_accounts(ctx, user).await?;
        forget_notes(ctx, &accounts).await?;
        for statement in db::privacy::ERASE {
            loop {
                if ctx.cancelled().is_cancelled() {
                    return Err(JobError::Cancelled);
                }
                let mut tx = ctx.app.db.write().await?;
                ctx.hold(&mut tx).await?;
                let rows = db::privacy::erase(&mut tx, statement, user, BATCH).await?;
                tx.commit().await?;
                if rows == 0 {
                    break;
                }
                erased += rows;
                ctx.progress(erased, None, "erasing").await?;
            }
        }
        // A plugin may have been in the middle of a call.
        forget_notes(ctx, &accounts).await
    }

    /// The user's row, and the tombstone.
    async fn finish(&self, ctx: &JobContext, user: &str) -> Result<(), JobError> {
        let mut tx = ctx.app.db.write().await?;
        ctx.hold(&mut tx).await?;
        let done = Self { user: None, receipt: self.receipt.clone() };
        let payload = serde_json::to_string(&done).map_err(|e| sqlx::Error::Encode(e.into()))?;
        db::privacy::finish(&mut tx, user, &self.receipt, &ctx.id, &payload).await?;
        let data = json!({ "receipt": self.receipt });
        let entry = Entry {
            action: "privacy.erased",
            outcome: Outcome::Ok,
            actor: Actor::HOST,
            user: None,
            data: data.clone(),
            personal: json!({}),
        };
        audit::record(&mut tx, entry).await?;
        events::emit(&mut tx, Event { kind: "privacy.erased", subject: None, user: None, data }).await?;
        tx.commit().await?;
        ctx.app.recent_accounts.forget();
        ctx.app.catalogue.forget_all();
        Ok(())
    }
}

impl Job for Erase {
    const NAME: &'static str = "privacy.erase";
    /// Whoever asked for it can't ask again.
    const MAX_ATTEMPTS: i64 = 1_000_000;

    async fn run(&self, ctx: JobContext) -> Result<(), JobError> {
        let Some(user) = &self.user else { return Ok(()) };
        wait_for_jobs(&ctx, user).await?;
        self.sweep(&ctx, user).await?;
        self.finish(&ctx, user).await
    }
}
register_job!(Erase);

/// The user's accounts, pairs of id and instance, also those whose rows went in an earlier run: what a plugin keeps for them
/// may still be there.
async fn note_accounts(ctx: &JobContext, user: &str) -> Result<Vec<(String, String)>, JobError> {
    let mut accounts: Vec<_> = ctx.checkpoint().unwrap_or_default();
    let mut tx = ctx.app.db.write().await?;
    for account in db::privacy::accounts(&mut *tx, user).await? {
        if !accounts.contains(&account) {
            accounts.push(account);
        }
    }
    ctx.save_checkpoint(&mut tx, &accounts).await?;
    tx.commit().await?;
    Ok(accounts)
}

/// Removes what plugins keep for accounts: pairs of id and instance.
async fn forget_notes(ctx: &JobContext, accounts: &[(String, String)]) -> Result<(), JobError> {
    for (account, instance) in accounts {
        let mut tx = ctx.app.db.write().await?;
        ctx.hold(&mut tx).await?;
        db::plugin_kv::remove_all(&mut tx, Scope { instance, account }).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// The user's own jobs were told to stop. One that does not in time finds its row gone, and writes nothing more.
async fn wait_for_jobs(ctx: &JobContext, user: &str) -> Result<(), JobError> {
    let until = Instant::now() + JOBS_STOP;
    while Instant::now() < until && !db::privacy::running_jobs(ctx.app.db.read(), user).await?.is_empty() {
        if ctx.cancelled().run_until_cancelled(sleep(LOOK)).await.is_none() {
            return Err(JobError::Cancelled);
        }
    }
    Ok(())
}
