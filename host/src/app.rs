//! Everything that a request may need, in one place.

use std::{ops::Deref, path::Path, sync::Arc, time::Instant};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    auth::{Passwords, Tokens},
    config::Config,
    db::Db,
    jobs::Queue,
    providers::Registry,
    secrets::Secrets,
};

/// The running host.
pub struct App {
    /// The effective configuration.
    pub config: Arc<Config>,
    /// Both pools of the database.
    pub db: Db,
    /// Seals what must not be readable in the database.
    pub secrets: Secrets,
    /// Hashes and checks passwords, a few at a time.
    pub passwords: Passwords,
    /// Signs and checks access tokens.
    pub tokens: Tokens,
    /// The loaded plugins and their instances.
    pub providers: Registry,
    /// Wakes the job runner.
    pub jobs: Queue,
    /// Cancelled when the host stops.
    pub shutdown: CancellationToken,
    /// Background work that a stop waits for.
    pub tasks: TaskTracker,
    /// When the host started.
    pub started: Instant,
}

/// A shared [`App`], the state of every handler.
#[derive(Clone)]
pub struct AppState(pub Arc<App>);

impl Deref for AppState {
    type Target = App;

    fn deref(&self) -> &App {
        &self.0
    }
}

impl App {
    /// The data folder.
    pub fn data_dir(&self) -> &Path {
        &self.config.server.data_dir
    }
}
