//! The nodes that share a PostgreSQL database. Each says what it runs with, so that readiness can tell when they differ.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use ulid::Ulid;

use crate::{
    App, AppState,
    db::{self, Db, Dialect, Tx, clock},
};

/// How often a node says what it runs with.
const EVERY: Duration = Duration::from_secs(10);
/// For how long after that it counts as running, in milliseconds.
const ALIVE: i64 = 35_000;
/// In front of a node's id in `host_state`.
const PREFIX: &str = "node.";
/// Settings that may differ between nodes, and those that are compared in other ways.
const OWN: &[&[&str]] = &[
    &["server", "listen"],
    &["server", "data_dir"],
    &["plugins", "directories"],
    &["plugins", "bundled"],
    &["database"],
    &["secrets"],
    &["log"],
];

/// What a node runs with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Node {
    version: String,
    /// A fingerprint of the configuration, but for what may differ.
    config: String,
    /// SHA-256 of the plugin of each instance that is loaded.
    plugins: BTreeMap<String, String>,
}

impl Node {
    fn of(app: &App) -> Self {
        let hash = |report: crate::providers::Report| Some((report.id, report.source?.sha256));
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            config: app.secrets.fingerprint(shared_settings(app).to_string().as_bytes()),
            plugins: app.providers.list().into_iter().filter_map(hash).collect(),
        }
    }

    /// In what another node differs. Plugins are compared where both have loaded them.
    fn differences(&self, other: &Self) -> Vec<&'static str> {
        let plugin = |(id, hash): (&String, &String)| other.plugins.get(id).is_some_and(|theirs| theirs != hash);
        let found = [
            (self.version != other.version, "version"),
            (self.config != other.config, "configuration"),
            (self.plugins.iter().any(plugin), "plugins"),
        ];
        found.into_iter().filter_map(|(differs, what)| differs.then_some(what)).collect()
    }
}

fn shared_settings(app: &App) -> Value {
    // Fails for no configuration that was read.
    let mut settings = serde_json::to_value(&*app.config).unwrap_or_default();
    for path in OWN {
        let Some((key, sections)) = path.split_last() else { continue };
        let section = sections.iter().try_fold(&mut settings, |value, section| value.get_mut(*section));
        if let Some(Value::Object(section)) = section {
            section.remove(*key);
        }
    }
    settings
}

/// Says from time to time what this node runs with, until the host stops. With SQLite there is only one.
pub fn start(app: &AppState) {
    if app.db.dialect() != Dialect::Postgres {
        return;
    }
    let app = app.clone();
    app.tasks.clone().spawn(async move {
        let key = format!("{PREFIX}{}", Ulid::generate());
        let mut tick = tokio::time::interval(EVERY);
        while app.shutdown.run_until_cancelled(tick.tick()).await.is_some() {
            if let Err(error) = say(&app, &key).await {
                tracing::warn!("cannot tell other nodes what this one runs with: {error}");
            }
        }
        if let Err(error) = forget(&app, &key).await {
            tracing::warn!("other nodes take this one for running for some seconds: {error}");
        }
    });
}

async fn say(app: &App, key: &str) -> sqlx::Result<()> {
    let node = serde_json::to_vec(&Node::of(app)).map_err(|e| sqlx::Error::Encode(e.into()))?;
    let mut tx = app.db.write().await?;
    db::state::set(&mut tx, key, &node).await?;
    let now = clock::now(&mut tx).await?;
    db::state::remove_old(&mut tx, PREFIX, now - ALIVE).await?;
    tx.commit().await
}

async fn forget(app: &App, key: &str) -> sqlx::Result<()> {
    let mut tx = app.db.write().await?;
    db::state::remove(&mut tx, key).await?;
    tx.commit().await
}

/// How many nodes run on the database, or ran moments ago. With SQLite that is not known.
///
/// # Errors
/// When the database fails.
pub async fn running(db: &Db) -> sqlx::Result<usize> {
    let mut db = db.read().acquire().await?;
    let now = clock::now(&mut db).await?;
    Ok(db::state::list(&mut *db, PREFIX, now - ALIVE).await?.len())
}

/// Forgets all nodes.
///
/// # Errors
/// When the database fails.
pub async fn forget_all(tx: &mut Tx) -> sqlx::Result<()> {
    db::state::remove_old(tx, PREFIX, i64::MAX).await
}

/// In what other running nodes differ from this one: `version`, `configuration`, `plugins`. Nothing where there are none.
///
/// # Errors
/// When the database fails.
pub async fn differences(app: &App) -> sqlx::Result<Vec<&'static str>> {
    if app.db.dialect() != Dialect::Postgres {
        return Ok(Vec::new());
    }
    let mut db = app.db.read().acquire().await?;
    let now = clock::now(&mut db).await?;
    let own = Node::of(app);
    let mut found = Vec::new();
    for (_, text) in db::state::list(&mut *db, PREFIX, now - ALIVE).await? {
        match serde_json::from_slice(&text) {
            Ok(other) => found.extend(own.differences(&other)),
            Err(_) => found.push("version"),
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}
