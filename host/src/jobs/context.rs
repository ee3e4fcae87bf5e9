//! What a running job is given.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;
use zotify_plugin_api::{ErrorKind, ProviderError};

use super::{JobError, JobId};
use crate::{
    AppState,
    db::{self, Tx},
};

/// Lines that a job's log keeps.
const LOG_LINES: i64 = 200;
/// Characters that a line of a job's log keeps.
const LOG_LINE_LENGTH: usize = 1000;
/// The longest wait that a job does not end for.
const WAIT_OUT: Duration = Duration::from_secs(60);
/// Progress is written no more often than this.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// What a running job is given: the host, and its own row.
pub struct JobContext {
    /// The host.
    pub app: AppState,
    /// The job's id.
    pub id: JobId,
    /// Whose the job is; none: the host's.
    pub user_id: Option<String>,
    pub(super) owner: String,
    pub(super) checkpoint: Option<String>,
    pub(super) cancelled: CancellationToken,
    pub(super) reported: Mutex<Option<Instant>>,
    /// Milliseconds that were waited out.
    pub(super) waited: AtomicU64,
}

impl JobContext {
    /// One that no runner made, for tests of jobs.
    #[cfg(test)]
    pub(crate) fn for_tests(app: AppState, id: JobId, owner: &str, cancelled: CancellationToken) -> Self {
        Self {
            app,
            id,
            user_id: None,
            owner: owner.into(),
            checkpoint: None,
            cancelled,
            reported: Mutex::new(None),
            waited: AtomicU64::new(0),
        }
    }

    /// What an earlier run of this job saved last. None on the first run, and where this version can't read it.
    pub fn checkpoint<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.checkpoint.as_deref()?).ok()
    }

    /// Saves where to go on from, in the transaction that did the work.
    ///
    /// # Errors
    /// When the database fails, or another runner has taken the job over. Don't commit then.
    pub async fn save_checkpoint<T: Serialize>(&self, tx: &mut Tx, value: &T) -> sqlx::Result<()> {
        let text = serde_json::to_string(value).map_err(|e| sqlx::Error::Encode(e.into()))?;
        if db::jobs::lease::save_checkpoint(tx, &self.id, &self.owner, &text).await? {
            return Ok(());
        }
        Err(self.lost())
    }

    /// For a transaction that saves no checkpoint: makes sure that the job is still this runner's when it commits.
    ///
    /// # Errors
    /// As [`Self::save_checkpoint`].
    pub async fn hold(&self, tx: &mut Tx) -> sqlx::Result<()> {
        if db::jobs::lease::hold(tx, &self.id, &self.owner).await? { Ok(()) } else { Err(self.lost()) }
    }

    fn lost(&self) -> sqlx::Error {
        sqlx::Error::Protocol(format!("job {} has been taken over by another runner", self.id))
    }

    /// Says how far the job is. Call it outside transactions; calls in quick succession are left out, but the last step.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn progress(&self, done: u64, total: Option<u64>, message: &str) -> sqlx::Result<()> {
        if total != Some(done) && !self.may_report() {
            return Ok(());
        }
        let (done, total) = (saturate(done), total.map(saturate));
        let mut tx = self.app.db.write().await?;
        db::jobs::lease::save_progress(&mut tx, &self.id, &self.owner, done, total, &clean(message)).await?;
        tx.commit().await
    }

    /// Adds a line to the job's log, which its owner can read; nothing once another runner has taken the job over. `level` is `debug`, `info`, `warn` or `error`. Call it
    /// outside transactions.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn log(&self, level: &str, line: &str) -> sqlx::Result<()> {
        let mut tx = self.app.db.write().await?;
        if !db::jobs::lease::hold(&mut tx, &self.id, &self.owner).await? {
            return Ok(());
        }
        db::jobs::insert_log(&mut tx, &self.id, level, &clean(line), LOG_LINES).await?;
        tx.commit().await
    }

    /// Cancelled when the job should stop: somebody asked for it, the host stops, or another runner has taken over or soon
    /// may. A job that goes on is dropped some seconds later.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }

    /// Waits where a service asks to, if that is worth it in the middle of something that would have to start over: at most
    /// a minute, and all such waits together as long as `plugins.max_wait_s` says. Answers whether to ask again.
    ///
    /// # Errors
    /// [`JobError::Cancelled`].
    pub async fn wait_out(&self, error: &ProviderError) -> Result<bool, JobError> {
        let wait = error.retry_after_ms.map(Duration::from_millis).filter(|wait| *wait <= WAIT_OUT);
        let Some(wait) = wait.filter(|_| error.kind == ErrorKind::RateLimited) else { return Ok(false) };
        let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let waited = self.waited.fetch_add(ms, Ordering::Relaxed).saturating_add(ms);
        if waited > self.app.config.plugins.max_wait_s.saturating_mul(1000) {
            return Ok(false);
        }
        tokio::select! {
            () = self.cancelled.cancelled() => Err(JobError::Cancelled),
            () = tokio::time::sleep(wait) => Ok(true),
        }
    }

    fn may_report(&self) -> bool {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let may = reported.is_none_or(|at| at.elapsed() >= PROGRESS_EVERY);
        if may {
            *reported = Some(Instant::now());
        }
        may
    }
}

fn saturate(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Cut to a line, without what a database or a terminal can't show.
pub(super) fn clean(text: &str) -> String {
    text.chars().take(LOG_LINE_LENGTH).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
