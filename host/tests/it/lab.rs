//! A registry of plugins without the rest of the host.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zotify_host::{
    config::Config,
    db::Db,
    providers::{InstanceHandle, Lane, Registry, Report, Start, State},
    secrets::Secrets,
};
use zotify_plugin_api::{Item, PageRequest, Result, Search, method::SearchCatalog};

use crate::support::{PATIENCE, plugin};

/// A plugin folder, a data folder and the registry over them.
pub struct Lab {
    pub dir: TempDir,
    pub registry: Registry,
    pub db: Db,
    shutdown: CancellationToken,
}

/// Folders that a [`Lab`] will use.
pub struct Bench(pub TempDir);

impl Bench {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["plugins", "bundled", "data"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        Self(dir)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Puts a built plugin into the plugin folder.
    pub fn with(self, name: &str) -> Self {
        self.with_file(&plugin(name), &format!("{name}.so"))
    }

    pub fn with_file(self, from: &Path, name: &str) -> Self {
        std::fs::copy(from, self.path("plugins").join(name)).unwrap();
        self
    }

    pub fn config(&self, toml: &str) -> Config {
        let text = format!(
            "[server]\ndata_dir = \"data\"\n[database]\nurl = \"sqlite://data/test.db\"\n\
             [plugins]\ndirectories = [\"plugins\"]\nbundled = \"bundled\"\n{toml}"
        );
        let mut config = Config::parse(&text, self.0.path()).unwrap_or_else(|e| panic!("{e}"));
        config.plugins.program = Some(env!("CARGO_BIN_EXE_zotify-host").into());
        config
    }

    /// Starts the registry and waits until everything was tried. `toml` goes on in the section `[plugins]`.
    pub async fn start(self, toml: &str) -> Lab {
        let lab = self.begin(toml).await;
        tokio::time::timeout(PATIENCE, lab.registry.ready()).await.unwrap();
        lab
    }

    /// As [`Bench::start`], without waiting.
    pub async fn begin(self, toml: &str) -> Lab {
        let config = Arc::new(self.config(toml));
        let db = Db::connect(&config.database.url).await.unwrap();
        db.migrate().await.unwrap();
        let shutdown = CancellationToken::new();
        let secrets = Arc::new(Secrets::load(&config, &db).await.unwrap());
        let start = Start { config, db: db.clone(), secrets, shutdown: shutdown.clone(), tasks: TaskTracker::new() };
        let registry = Registry::start(start).await;
        Lab { dir: self.0, registry, db, shutdown }
    }
}

impl Lab {
    /// The hostile plugin as the instance `bad`, with lines for its section and for `[plugins]`.
    pub async fn hostile(plugins: &str, instance: &str) -> Self {
        Bench::new()
            .with("hostile_plugin")
            .start(&format!("{plugins}\n[providers.bad]\nplugin = \"hostile\"\n{instance}\n"))
            .await
    }

    pub fn report(&self, id: &str) -> Report {
        self.handle(id).report()
    }

    pub fn handle(&self, id: &str) -> Arc<InstanceHandle> {
        self.registry.get(id).unwrap()
    }

    /// The code of the problem of an instance that must have one.
    pub fn problem(&self, id: &str) -> &'static str {
        let report = self.report(id);
        let problem = report.problem.unwrap_or_else(|| panic!("{id} has no problem, but is {:?}", report.state));
        assert!(problem.detail.len() > 10 && problem.remedy.len() > 20, "{problem:?}");
        problem.code
    }

    /// Searches an instance; the title of the first track.
    pub async fn search(&self, id: &str, query: &str) -> Result<String> {
        let request = Search { query: query.into(), kinds: Vec::new(), page: PageRequest::default() };
        let page = self.registry.call::<SearchCatalog>(id, None, Lane::Interactive, request).await?;
        match page.items.rows.into_iter().next() {
            Some(Item::Track(track)) => Ok(track.title),
            other => panic!("no track but {other:?}"),
        }
    }

    /// A command for the hostile plugin.
    pub async fn command(&self, command: &str) -> Result<String> {
        self.search("bad", command).await
    }

    /// Waits until an instance is in a state.
    pub async fn until(&self, id: &str, wanted: State) {
        let reached = async {
            while self.handle(id).state() != wanted {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, reached).await.is_err() {
            panic!("{id} stays {:?}", self.report(id));
        }
    }

    /// Stops all, and hands the folders back.
    pub async fn stop(self) -> Bench {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.registry.stop()).await.unwrap();
        self.db.close().await;
        Bench(self.dir)
    }
}
