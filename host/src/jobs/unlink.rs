//! `account.unlink` erases what was read of an account that was unlinked.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::{Enqueue, Job, JobContext, JobError, runner::announce};
use crate::{
    App,
    accounts::Account,
    connect,
    db::{self, Tx, plugin_kv::Scope, unlink},
    register_job,
};

/// Rows that one transaction takes.
const BATCH: i64 = 500;
/// How long the account's other jobs may take to stop.
const JOBS_STOP: Duration = Duration::from_secs(30);
/// How often to look whether they did.
const LOOK: Duration = Duration::from_millis(100);

/// Erases an account some rows at a time. It can be cut off anywhere and goes on from there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Unlink {
    account_id: String,
    instance: String,
    owner: Option<String>,
}

register_job!(Unlink);

/// Queues the erasure of an account.
///
/// # Errors
/// When the database fails.
pub async fn enqueue(tx: &mut Tx, account: &Account) -> sqlx::Result<()> {
    let options = Enqueue { priority: 1, ..Enqueue::of_account(Unlink::NAME, account) };
    let job =
        Unlink { account_id: account.id.clone(), instance: account.instance.clone(), owner: account.owner.clone() };
    super::enqueue(tx, &job, options).await.map(drop)
}

/// Queues the erasure of accounts that were unlinked and whose job is gone.
///
/// # Errors
/// When the database fails.
pub async fn resume(app: &App) -> sqlx::Result<()> {
    for account in db::accounts::unlinked(app.db.read()).await? {
        let mut tx = app.db.write().await?;
        if !unlink::unfinished_erasure(&mut *tx, &account.id).await? {
            enqueue(&mut tx, &account).await?;
        }
        tx.commit().await?;
    }
    Ok(())
}

/// Asks an account's jobs to stop; answers their ids, to be told to this node's runner once that is committed.
///
/// # Errors
/// When the database fails.
pub async fn cancel_others(tx: &mut Tx, account_id: &str) -> sqlx::Result<Vec<String>> {
    let mut stopped = Vec::new();
    for (id, kind, user) in unlink::unfinished_jobs(&mut **tx, account_id).await? {
        db::jobs::request_cancel(tx, &id).await?;
        if db::jobs::find(&mut **tx, &id).await?.is_some_and(|job| job.state == "cancelled") {
            announce(tx, &id, &kind, "cancelled", user.as_deref()).await?;
        }
        stopped.push(id);
    }
    Ok(stopped)
}

impl Unlink {
    async fn wait_for_jobs(&self, ctx: &JobContext) -> Result<(), JobError> {
        let until = Instant::now() + JOBS_STOP;
        loop {
            // To find them takes a look at all jobs.
            let jobs = unlink::running_jobs(ctx.app.db.read(), &self.account_id).await?;
            if jobs.is_empty() {
                return Ok(());
            }
            while unlink::any_runs(ctx.app.db.read(), &jobs).await? {
                if Instant::now() >= until {
                    return Ok(());
                }
                if ctx.cancelled().run_until_cancelled(sleep(LOOK)).await.is_none() {
                    return Err(JobError::Cancelled);
                }
            }
        }
    }

    async fn forget_notes(&self, ctx: &JobContext) -> Result<(), JobError> {
        let mut tx = ctx.app.db.write().await?;
        ctx.hold(&mut tx).await?;
        db::plugin_kv::remove_all(&mut tx, Scope { instance: &self.instance, account: &self.account_id }).await?;
        Ok(tx.commit().await?)
    }

    /// What was read of the account, but for its row.
    async fn sweep(&self, ctx: &JobContext) -> Result<(), JobError> {
        let mut erased = 0;
        while self.erase(ctx, None, &mut erased).await? {}
        let Some(owner) = &self.owner else { return Ok(()) };
        while self.erase(ctx, Some(owner), &mut erased).await? {}
        Ok(())
    }

    /// Erases some rows of the account, or of what its owner has through it; answers whether there were any.
    async fn erase(&self, ctx: &JobContext, owner: Option<&str>, erased: &mut u64) -> Result<bool, JobError> {
        if ctx.cancelled().is_cancelled() {
            return Err(JobError::Cancelled);
        }
        let mut tx = ctx.app.db.write().await?;
        ctx.hold(&mut tx).await?;
        let rows = match owner {
            None => unlink::erase_of_account(&mut tx, &self.account_id, BATCH).await?,
            Some(owner) => {
                db::state::lock(&mut tx, &connect::finish::lock(&self.instance, Some(owner))).await?;
                // Whose likes and plays are of which account nobody knows: while there is another one, they stay.
                if unlink::has_another(&mut *tx, owner, &self.instance).await? {
                    return Ok(false);
                }
                unlink::erase_of_owner(&mut tx, owner, &self.instance, BATCH).await?
            }
        };
        tx.commit().await?;
        *erased += rows;
        if rows > 0 {
            ctx.progress(*erased, None, "erasing").await?;
        }
        Ok(rows > 0)
    }
}

impl Job for Unlink {
    const NAME: &'static str = "account.unlink";
    /// Nobody can ask for it again.
    const MAX_ATTEMPTS: i64 = 1_000_000;

    async fn run(&self, ctx: JobContext) -> Result<(), JobError> {
        self.wait_for_jobs(&ctx).await?;
        self.forget_notes(&ctx).await?;
        self.sweep(&ctx).await?;
        let mut tx = ctx.app.db.write().await?;
        ctx.hold(&mut tx).await?;
        db::accounts::delete(&mut tx, &self.account_id).await?;
        tx.commit().await?;
        ctx.app.recent_accounts.forget();
        ctx.app.catalogue.forget_account(&self.account_id);
        // A plugin may have been in the middle of a call.
        self.forget_notes(&ctx).await
    }
}
