//! Background jobs: one table is the queue and the record.
//!
//! A job is a file under `jobs/`: a serde struct with a name and `run`, made known by [`register_job!`]. It is queued in
//! the transaction that causes it, may be run more than once, and saves where it goes on from.

pub mod check;
pub mod clear;
pub mod context;
pub mod erase;
pub mod fetch;
pub mod likes;
pub mod play_told;
pub mod plays;
pub mod pull;
pub mod runner;
mod throttled;
pub mod unlink;

use std::{
    collections::HashMap,
    future::Future,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;
use zotify_plugin_api::{ErrorKind, ProviderError};

pub use self::{
    context::JobContext,
    runner::{run, take_over},
};
pub use crate::register_job;
use crate::{
    accounts::Account,
    db::{self, Tx, jobs::NewJob},
    error::ApiError,
};

/// A job's id, a ULID.
pub type JobId = String;

/// Work that is done in the background.
pub trait Job: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The stable name under which it is stored, such as `library.pull`.
    const NAME: &'static str;
    /// How often it may be started.
    const MAX_ATTEMPTS: i64 = 5;

    /// Does the work. It may have been done in part before: see [`JobContext::checkpoint`]. Stop soon after
    /// [`JobContext::cancelled`].
    fn run(&self, ctx: JobContext) -> impl Future<Output = Result<(), JobError>> + Send;
}

/// The code of a job's failure: the host's, and with it the provider's own where that named one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    own: String,
    provider: Option<String>,
}

impl From<String> for Code {
    fn from(own: String) -> Self {
        Self { own, provider: None }
    }
}

impl From<&str> for Code {
    fn from(own: &str) -> Self {
        own.to_owned().into()
    }
}

impl From<&ApiError> for Code {
    fn from(error: &ApiError) -> Self {
        Self { own: error.code().to_owned(), provider: error.provider_code().map(str::to_owned) }
    }
}

impl std::ops::Deref for Code {
    type Target = str;

    fn deref(&self) -> &str {
        &self.own
    }
}

/// Why a job did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobError {
    /// It may work later.
    Retry {
        /// Not before this has passed; without it the wait doubles with each attempt.
        after: Option<Duration>,
        /// The stable code that programs act on.
        code: Code,
        /// One sentence for people, without secrets.
        detail: String,
    },
    /// The service asks to wait: that is no failed attempt, as long as it says for how long, or the job gets on.
    Wait {
        /// Not before this has passed; without it the wait doubles with each attempt.
        after: Option<Duration>,
        /// The stable code that programs act on.
        code: Code,
        /// One sentence for people, without secrets.
        detail: String,
    },
    /// It will never work.
    Fail {
        /// The stable code that programs act on.
        code: Code,
        /// One sentence for people, without secrets.
        detail: String,
    },
    /// It stopped because it was asked to.
    Cancelled,
}

impl From<sqlx::Error> for JobError {
    fn from(error: sqlx::Error) -> Self {
        tracing::warn!("a job's database access failed: {error}");
        let detail = "the database did not answer as it should; the server's log has the cause";
        Self::Retry { after: None, code: "database_error".into(), detail: detail.into() }
    }
}

impl From<ProviderError> for JobError {
    fn from(error: ProviderError) -> Self {
        let after = error.retry_after_ms.map(Duration::from_millis);
        let retry = matches!(
            error.kind,
            ErrorKind::Unavailable
                | ErrorKind::Timeout
                | ErrorKind::Crashed
                | ErrorKind::Panicked
                | ErrorKind::Internal
        );
        let wait = error.kind == ErrorKind::RateLimited;
        // One mapping from provider errors to codes: the one that requests use.
        let error = ApiError::from(error);
        let (code, detail) = (Code::from(&error), error.detail().to_owned());
        if wait {
            return Self::Wait { after, code, detail };
        }
        if retry { Self::Retry { after, code, detail } } else { Self::Fail { code, detail } }
    }
}

/// How to queue a job.
#[derive(Clone, Debug, Default)]
pub struct Enqueue {
    /// Whose it is; none: the host's.
    pub user: Option<String>,
    /// What it works on: an id or a URI.
    pub subject: Option<String>,
    /// Jobs with one key never run at once, and at most one of them waits to be run.
    pub dedupe_key: Option<String>,
    /// Not before this has passed.
    pub delay: Duration,
    /// Higher runs earlier.
    pub priority: i64,
    /// The instance whose service it works on: only so many of one run at a time.
    pub instance: Option<String>,
    /// Names the jobs that were asked for together.
    pub group: Option<String>,
}

impl Enqueue {
    /// Work on an account, of which one job of the name waits at a time. It is the account's owner's; of a shared account,
    /// the host's.
    pub fn of_account(name: &str, account: &Account) -> Self {
        Self {
            user: account.owner.clone(),
            subject: Some(account.instance.clone()),
            dedupe_key: Some(Self::account_key(name, &account.id)),
            instance: Some(account.instance.clone()),
            ..Self::default()
        }
    }

    /// The key of such a job.
    pub fn account_key(name: &str, account_id: &str) -> String {
        format!("{name}:{account_id}")
    }
}

/// Queues a job in the transaction that causes it; answers its id. Where a job with the same key waits already, it
/// answers that one, which then starts no later than this one would have, unless it failed before and has to wait. Call
/// [`Queue::wake`] after the commit.
///
/// # Errors
/// When the database fails.
pub async fn enqueue<J: Job>(tx: &mut Tx, job: &J, options: Enqueue) -> sqlx::Result<JobId> {
    if let Some(key) = &options.dedupe_key {
        lock_key(tx, key).await?;
    }
    let now = db::clock::now(tx).await?;
    let run_at = later(now, options.delay);
    if let Some(key) = &options.dedupe_key
        && let Some(id) = db::jobs::find_pending(tx, key).await?
    {
        db::jobs::hasten(tx, &id, now, run_at).await?;
        return Ok(id);
    }
    let row = NewJob {
        id: Ulid::generate().to_string(),
        kind: J::NAME.into(),
        user_id: options.user,
        subject: options.subject,
        payload: serde_json::to_string(job).map_err(|e| sqlx::Error::Encode(e.into()))?,
        dedupe_key: options.dedupe_key,
        priority: options.priority,
        created_at: now,
        run_at,
        max_attempts: J::MAX_ATTEMPTS,
        instance: options.instance,
        group_id: options.group,
    };
    db::jobs::insert(tx, &row).await?;
    Ok(row.id)
}

/// The newest job with this key that has yet to end: its id, and when it was queued (Unix milliseconds). Until the
/// transaction ends, nobody else queues one.
///
/// # Errors
/// When the database fails.
pub async fn unfinished(tx: &mut Tx, dedupe_key: &str) -> sqlx::Result<Option<(JobId, i64)>> {
    lock_key(tx, dedupe_key).await?;
    db::jobs::find_unfinished(tx, dedupe_key).await
}

async fn lock_key(tx: &mut Tx, key: &str) -> sqlx::Result<()> {
    db::state::lock(tx, &format!("jobs:{key}")).await
}

/// A time (Unix milliseconds) and a while on.
fn later(time: i64, wait: Duration) -> i64 {
    time.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
}

/// The runner's ear: what wakes it, and the jobs that it runs.
#[derive(Default)]
pub struct Queue {
    notify: Notify,
    running: Mutex<HashMap<JobId, CancellationToken>>,
}

impl Queue {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the runner look at once, rather than within half a second.
    pub fn wake(&self) {
        self.notify.notify_one();
    }

    /// Tells a job to stop, where this node runs it.
    pub fn stop(&self, id: &str) {
        if let Some(token) = self.running.lock().unwrap_or_else(PoisonError::into_inner).get(id) {
            token.cancel();
        }
    }

    fn started(&self, id: &str, token: CancellationToken) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), token);
    }

    fn ended(&self, id: &str) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

/// A job that the runner knows.
pub struct JobKind {
    name: &'static str,
    run: fn(String, JobContext) -> BoxFuture<'static, Result<(), JobError>>,
}

impl JobKind {
    /// What [`register_job!`] registers.
    pub const fn of<J: Job>() -> Self {
        Self { name: J::NAME, run: run_stored::<J> }
    }

    fn find(name: &str) -> Option<&'static Self> {
        inventory::iter::<Self>.into_iter().find(|kind| kind.name == name)
    }
}

inventory::collect!(JobKind);

fn run_stored<J: Job>(payload: String, ctx: JobContext) -> BoxFuture<'static, Result<(), JobError>> {
    Box::pin(async move {
        let job: J = serde_json::from_str(&payload).map_err(|e| JobError::Fail {
            code: "invalid_payload".into(),
            detail: format!("this version can't read the job: {e}"),
        })?;
        job.run(ctx).await
    })
}

/// Makes a job known to the runner.
#[macro_export]
macro_rules! register_job {
    ($job:ty) => {
        ::inventory::submit!($crate::jobs::JobKind::of::<$job>());
    };
}
