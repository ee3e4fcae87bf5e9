//! `account.check` asks a service about an account.

use serde::{Deserialize, Serialize};

use super::{Code, Enqueue, Job, JobContext, JobError, pull::started};
use crate::{
    accounts::{self, Account},
    connect,
    db::Tx,
    providers::Lane,
    register_job,
};

/// The job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckAccount {
    /// The account.
    pub account_id: String,
}

register_job!(CheckAccount);

/// Queues a check of an account.
///
/// # Errors
/// When the database fails.
pub async fn enqueue(tx: &mut Tx, account: &Account) -> sqlx::Result<()> {
    let options = Enqueue { priority: 1, ..Enqueue::of_account(CheckAccount::NAME, account) };
    super::enqueue(tx, &CheckAccount { account_id: account.id.clone() }, options).await.map(drop)
}

impl Job for CheckAccount {
    const NAME: &'static str = "account.check";

    async fn run(&self, ctx: JobContext) -> Result<(), JobError> {
        let Some(account) = accounts::find(&ctx.app.db, &self.account_id).await? else { return Ok(()) };
        started(&ctx, &account.instance).await?;
        tokio::select! {
            () = ctx.cancelled().cancelled() => Err(JobError::Cancelled),
            checked = connect::check::check(&ctx.app, &account, Lane::Job) => match checked {
                Ok(_) => Ok(()),
                Err(error) => {
                    let (code, detail) = (Code::from(&error), error.detail().to_owned());
                    Err(JobError::Retry { after: None, code, detail })
                }
            },
        }
    }
}
