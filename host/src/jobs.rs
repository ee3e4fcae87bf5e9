//! Being written.
use crate::{AppState, db::Tx};
use std::{future::Future, time::Duration};
pub mod pull;
pub struct Queue;
impl Queue {
    pub fn wake(&self) {}
}
pub type JobId = String;
#[derive(Default)]
pub struct Enqueue {
    pub user: Option<String>,
    pub subject: Option<String>,
    pub dedupe_key: Option<String>,
    pub run_at: Option<i64>,
    pub priority: i64,
}
pub async fn enqueue<J: Job>(_tx: &mut Tx, _job: &J, _options: Enqueue) -> sqlx::Result<JobId> {
    Ok(String::new())
}
pub enum JobError {
    Retry { after: Option<Duration>, code: String, detail: String },
    Fail { code: String, detail: String },
    Cancelled,
}
impl From<sqlx::Error> for JobError {
    fn from(e: sqlx::Error) -> Self {
        JobError::Retry { after: None, code: "database".into(), detail: e.to_string() }
    }
}
pub trait Job: serde::Serialize + serde::de::DeserializeOwned + Send + Sync + 'static {
    const NAME: &'static str;
    const MAX_ATTEMPTS: i64 = 5;
    fn run(&self, ctx: JobContext) -> impl Future<Output = Result<(), JobError>> + Send;
}
pub struct JobContext {
    pub app: AppState,
    pub id: JobId,
}
impl JobContext {
    /// What the job saved last.
    pub fn checkpoint<T: serde::de::DeserializeOwned>(&self) -> Option<T> {
        None
    }
    /// Saves where to go on from, in the transaction that did the work.
    pub async fn save_checkpoint<T: serde::Serialize>(&self, _tx: &mut Tx, _value: &T) -> sqlx::Result<()> {
        Ok(())
    }
    pub async fn progress(&self, _done: u64, _total: Option<u64>, _message: &str) -> sqlx::Result<()> {
        Ok(())
    }
    pub async fn log(&self, _level: &str, _line: &str) -> sqlx::Result<()> {
        Ok(())
    }
    pub fn cancelled(&self) -> &tokio_util::sync::CancellationToken {
        &self.app.shutdown
    }
}
/// Makes a job known to the runner.
#[macro_export]
macro_rules! register_job {
    ($job:ty) => {};
}
