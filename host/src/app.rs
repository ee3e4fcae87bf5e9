//! Everything that a request may need, in one place.

use std::{
    ops::Deref,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::broadcast::{self, error::RecvError};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    audit,
    auth::{self, LastUse, Passwords, Tokens, bootstrap::BootstrapError, keys, tokens},
    backup::{self, UpdateError},
    cache::Catalogue,
    config::Config,
    db::{Db, api_keys::LiveKey, sessions::LiveSession},
    jobs::{self, Queue},
    locks::Locks,
    middleware::rate::Rates,
    mirror::{self, Scope},
    nodes,
    providers::{Notice, Registry, Start},
    recent::Recent,
    secrets::{Secrets, SecretsError},
};

/// The running host.
pub struct App {
    /// The effective configuration.
    pub config: Arc<Config>,
    /// Both pools of the database.
    pub db: Db,
    /// Seals what must not be readable in the database.
    pub secrets: Arc<Secrets>,
    /// What this host knows of the audit log besides the database.
    pub witness: audit::witness::Witness,
    /// Hashes and checks passwords, a few at a time.
    pub passwords: Passwords,
    /// Signs and checks access tokens.
    pub tokens: Tokens,
    /// Who is signed in, by session.
    pub recent_sessions: Recent<LiveSession>,
    /// When sessions and API keys were last used.
    pub last_use: LastUse,
    /// API keys, by prefix and by id.
    pub recent_keys: Recent<LiveKey>,
    /// Which accounts a user sees and prefers, by user.
    pub recent_accounts: Recent<Arc<Scope>>,
    /// What providers' catalogues answered a while ago.
    pub catalogue: Catalogue,
    /// Playlists that are being changed.
    pub playlist_edits: Locks,
    /// How often who asked.
    pub rates: Rates,
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

/// A host that has just started.
pub struct Started {
    /// The host.
    pub app: AppState,
    /// The first admin's password, where this start made one. For a terminal only.
    pub admin_password: Option<String>,
}

/// Why the host does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be made.
    #[error("{0}; set server.data_dir to a folder that this user may write to")]
    Folders(std::io::Error),
    /// The database does not answer.
    #[error("the database cannot be opened: {0}; see database.url")]
    Database(#[from] sqlx::Error),
    /// The schema cannot be brought up to date.
    #[error("the database cannot be migrated: {0}")]
    Migrate(#[from] UpdateError),
    /// There is no key to protect secrets with.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The first admin cannot be made.
    #[error("the first admin cannot be made: {0}")]
    Bootstrap(#[from] BootstrapError),
}

/// Acts on what plugins tell of their libraries.
async fn hear(app: AppState, mut notices: broadcast::Receiver<Notice>) {
    loop {
        let notice = tokio::select! {
            () = app.shutdown.cancelled() => return,
            notice = notices.recv() => notice,
        };
        match notice {
            Ok(Notice::LibraryChanged { instance, account }) => {
                mirror::library_changed(&app, &instance, account.as_deref()).await;
            }
            Ok(Notice::AccountChanged { .. }) => app.recent_accounts.forget(),
            Ok(_) => {}
            // Some were lost, perhaps of libraries: look at them all.
            Err(RecvError::Lagged(_)) => {
                for handle in app.providers.instances() {
                    mirror::library_changed(&app, handle.id(), None).await;
                }
            }
            Err(RecvError::Closed) => return,
        }
    }
}

impl App {
    /// Opens the database, brings it up to date, loads keys, and starts plugins and background work. Plugins load on
    /// in the background.
    ///
    /// # Errors
    /// What has to be mended first.
    pub async fn start(config: Config) -> Result<Started, StartError> {
        let config = Arc::new(config);
        config.create_folders().map_err(StartError::Folders)?;
        let db = Db::connect(&config.database.url).await?;
        backup::migrate(&config, &db).await?;
        db.check_writable().await?;
        let secrets = Arc::new(Secrets::load(&config, &db).await?);
        let access_tokens = Tokens::load(&db, &secrets).await?;
        let shutdown = CancellationToken::new();
        let tasks = TaskTracker::new();
        let providers = Registry::start(Start {
            config: config.clone(),
            db: db.clone(),
            secrets: Arc::clone(&secrets),
            shutdown: shutdown.clone(),
            tasks: tasks.clone(),
        })
        .await;
        let notices = providers.subscribe();
        let witness = audit::witness::Witness::of(&config);
        let app = AppState(Arc::new(Self {
            config,
            db,
            secrets,
            witness,
            passwords: Passwords::new(),
            tokens: access_tokens,
            recent_sessions: Recent::default(),
            last_use: LastUse::default(),
            recent_keys: Recent::default(),
            recent_accounts: Recent::default(),
            catalogue: Catalogue::default(),
            playlist_edits: Locks::default(),
            rates: Rates::default(),
            providers,
            jobs: Queue::new(),
            shutdown,
            tasks,
            started: Instant::now(),
        }));
        let admin_password = auth::bootstrap_admin(&app).await?;
        auth::bootstrap::start(&app);
        audit::start(&app).await?;
        keys::bootstrap::apply(&app).await?;
        jobs::take_over(&app).await;
        jobs::unlink::resume(&app).await?;
        app.tasks.spawn(jobs::run(app.clone(), app.shutdown.clone()));
        mirror::start(&app);
        tokens::keys::start(&app);
        nodes::start(&app);
        app.tasks.spawn(hear(app.clone(), notices));
        Ok(Started { app, admin_password })
    }

    /// Ends background work and plugins, then the database.
    pub async fn stop(&self) {
        self.shutdown.cancel();
        self.tasks.close();
        let grace = Duration::from_secs(self.config.server.shutdown_grace_s);
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            tracing::warn!("some background work did not end within {grace:?} and goes on at the next start");
        }
        self.providers.stop().await;
        audit::stop(self).await;
        self.db.close().await;
    }

    /// The data folder.
    pub fn data_dir(&self) -> &Path {
        &self.config.server.data_dir
    }
}
