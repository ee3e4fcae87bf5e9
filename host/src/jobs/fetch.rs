//! `library.fetch` looks up what somebody saved and the mirror does not know, so that it is there before the next pull.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use zotify_plugin_api::{Uri, capability};

use super::{Enqueue, Job, JobContext, JobError, pull::started};
use crate::{
    accounts::{self, Account},
    db::{self, Tx},
    library,
    mirror::{Row, lookup},
    providers::Lane,
    register_job,
};

/// Items that one such job looks up. To look up more takes more questions than a pull.
pub const MOST: usize = 20;

/// The job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FetchSaved {
    /// The account.
    pub account_id: String,
    /// What was saved there.
    pub uris: Vec<String>,
}

register_job!(FetchSaved);

/// Queues looking items up.
///
/// # Errors
/// When the database fails.
pub async fn enqueue(tx: &mut Tx, account: &Account, uris: Vec<String>) -> sqlx::Result<()> {
    let options = Enqueue {
        user: account.owner.clone(),
        subject: Some(account.instance.clone()),
        dedupe_key: None,
        delay: Duration::ZERO,
        priority: 1,
        instance: Some(account.instance.clone()),
        group: None,
    };
    super::enqueue(tx, &FetchSaved { account_id: account.id.clone(), uris }, options).await.map(drop)
}

/// Whether an account's items are still to be looked up.
///
/// # Errors
/// When the database fails.
pub async fn is_under_way(tx: &mut Tx, account: &str) -> sqlx::Result<bool> {
    db::jobs::is_under_way(tx, FetchSaved::NAME, account).await
}

impl Job for FetchSaved {
    const NAME: &'static str = "library.fetch";

    async fn run(&self, ctx: JobContext) -> Result<(), JobError> {
        let Some(account) = accounts::find(&ctx.app.db, &self.account_id).await? else { return Ok(()) };
        let rows = tokio::select! {
            () = ctx.cancelled().cancelled() => return Err(JobError::Cancelled),
            rows = self.look_up(&ctx, &account) => rows?,
        };
        let mut tx = ctx.app.db.write().await?;
        ctx.hold(&mut tx).await?;
        // What was not found is left to a pull.
        library::take_in(&mut tx, &account, &self.uris, &rows).await?;
        tx.commit().await?;
        ctx.app.jobs.wake();
        Ok(())
    }
}

impl FetchSaved {
    async fn look_up(&self, ctx: &JobContext, account: &Account) -> Result<Vec<Row>, JobError> {
        let handle = started(ctx, &account.instance).await?;
        let mut rows = Vec::new();
        if !handle.has(capability::CATALOG_GET) {
            return Ok(rows);
        }
        for uri in self.uris.iter().take(MOST).filter_map(|text| text.parse::<Uri>().ok()) {
            match lookup::fetch_by(&ctx.app, &handle, &account.id, &uri, Lane::Job).await {
                Ok(item) => rows.extend(Row::new(item, db::now_ms())),
                Err(error) => {
                    ctx.log("info", &format!("{uri} can't be looked up, and is left to the next pull: {error}"))
                        .await?;
                    // What the service thinks of one question it thinks of the next one.
                    if error.provider_asks_to_stop() {
                        break;
                    }
                }
            }
        }
        Ok(rows)
    }
}
