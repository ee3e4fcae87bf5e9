//! The configuration: `zotify.toml`, then `.env`, then the environment.
//!
//! Each section is a struct in `config/<section>.rs`. Its doc comments are the reference page and, through [`schema`],
//! the rules that every source is checked against, so a limit is written down once. All faults are reported together.

mod auth;
mod database;
pub mod docs;
mod env;
mod error;
mod events;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod instance;
mod layers;
mod limits;
mod log;
mod paths;
mod plugins;
mod privacy;
mod quotas;
mod rules;
pub mod schema;
mod secrets;
mod server;
pub mod show;
pub mod template;
mod text;

use std::{
    collections::BTreeMap,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use self::paths::{sqlite_file, sqlite_url};
pub use self::{
    auth::{Auth, Registration},
    database::Database,
    error::{ConfigErrors, Problem},
    events::Events,
    instance::{Budget, Instance, Isolation, RESERVED_IDS},
    layers::Source,
    limits::Limits,
    log::{Log, LogFormat},
    plugins::{Breaker, Plugins, Quarantine, SandboxPolicy},
    privacy::Privacy,
    quotas::Quotas,
    secrets::SecretsSection,
    server::{Mode, Server},
};

/// The file that is read when none is named and it exists.
pub const DEFAULT_FILE: &str = "zotify.toml";

/// The effective configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The HTTP server and where the host keeps its data.
    pub server: Server,
    /// The database.
    pub database: Database,
    /// Users, sessions and passwords.
    pub auth: Auth,
    /// How often one address may ask.
    pub limits: Limits,
    /// What each user may have.
    pub quotas: Quotas,
    /// How long things about users are kept, and how often they may ask for them.
    pub privacy: Privacy,
    /// The key that protects stored credentials.
    pub secrets: SecretsSection,
    /// Where plugins are found and what they may use.
    pub plugins: Plugins,
    /// The record of what happened.
    pub events: Events,
    /// The log.
    pub log: Log,
    /// Provider instances by id. The id owns a URI namespace: `[providers.local]` owns `local:track:…`. An id is a
    /// small letter followed by up to 31 small letters, digits and hyphens; `zotify`, `host`, `sessions` and `flows` are
    /// reserved.
    pub providers: BTreeMap<String, Instance>,
    /// Automation instances by id; ids as for providers, and different from theirs.
    pub automations: BTreeMap<String, Instance>,
    /// The file that was read, absolute.
    #[serde(skip)]
    pub file: Option<PathBuf>,
    /// The folder that relative paths start from: the file's, or the working folder without a file.
    #[serde(skip)]
    pub base_dir: PathBuf,
    #[serde(skip)]
    sources: BTreeMap<String, Source>,
}

impl Config {
    /// Reads all sources: the file at `path` (or `zotify.toml` in the working folder, if there is one), the `.env`
    /// beside it, and the environment. Paths in the result are absolute.
    ///
    /// # Errors
    /// Every fault that was found, in all sources.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigErrors> {
        let (file, base_dir) = locate(path)?;
        let mut layers = layers::Layers::new(file.as_deref());
        layers.add_file();
        layers.add_dot_env(&base_dir.join(".env"));
        layers.add_environment(std::env::vars_os());
        Self::build(layers, file, base_dir)
    }

    /// Reads a TOML text alone, without `.env` and environment.
    ///
    /// # Errors
    /// Every fault that was found.
    pub fn parse(toml: &str, base_dir: &Path) -> Result<Self, ConfigErrors> {
        let mut layers = layers::Layers::new(None);
        layers.add_toml(toml);
        Self::build(layers, None, base_dir.to_owned())
    }

    fn build(layers: layers::Layers, file: Option<PathBuf>, base_dir: PathBuf) -> Result<Self, ConfigErrors> {
        let (value, sources, mut problems) = layers.finish();
        problems.extend(schema::check(&value, &sources));
        problems.extend(rules::check(&value, &sources));
        if !problems.is_empty() {
            return Err(ConfigErrors(problems));
        }
        let mut config: Self = serde_json::from_value(value).map_err(|e| ConfigErrors::one(e.to_string()))?;
        config.file = file;
        config.base_dir = base_dir;
        config.sources = sources;
        paths::resolve(&mut config)?;
        Ok(config)
    }

    /// The SQLite file; nothing with PostgreSQL and for a database in memory.
    pub fn sqlite_file(&self) -> Option<PathBuf> {
        paths::sqlite_file(&self.database.url).map(|(file, _)| file)
    }

    /// Makes the data folder and the SQLite file's folder where they are missing; only their owner can read them.
    ///
    /// # Errors
    /// What the file system says, with the folder's name.
    pub fn create_folders(&self) -> std::io::Result<()> {
        let database = self.sqlite_file();
        let folders = [Some(self.server.data_dir.as_path()), database.as_deref().and_then(Path::parent)];
        for folder in folders.into_iter().flatten() {
            let mut builder = std::fs::DirBuilder::new();
            let made = builder.recursive(true).mode(0o700).create(folder);
            made.map_err(|e| std::io::Error::new(e.kind(), format!("{} can't be made: {e}", folder.display())))?;
        }
        Ok(())
    }

    /// Whether something in the file looks like a password, even if the environment overrides it.
    pub fn file_holds_secrets(&self) -> bool {
        let text = self.file.as_deref().and_then(|file| std::fs::read_to_string(file).ok());
        text.is_some_and(|text| show::holds_secrets(&text))
    }

    /// Where the value at a JSON pointer such as `/server/listen` came from.
    pub fn source(&self, pointer: &str) -> Source {
        layers::source_of(&self.sources, pointer)
    }
}

/// The absolute file to read, if any, and the folder that relative paths start from.
fn locate(path: Option<&Path>) -> Result<(Option<PathBuf>, PathBuf), ConfigErrors> {
    let cwd = std::env::current_dir().map_err(|e| ConfigErrors::one(format!("the working folder is gone: {e}")))?;
    let file = match path {
        Some(path) => cwd.join(path),
        None => cwd.join(DEFAULT_FILE),
    };
    if path.is_none() && !file.exists() {
        return Ok((None, cwd));
    }
    // The folder is canonicalised, the file's name is not: a linked zotify.toml still starts from the link's folder.
    let folder = file.parent().unwrap_or(&cwd);
    let base_dir = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let file = file.file_name().map_or_else(|| file.clone(), |name| base_dir.join(name));
    Ok((Some(file), base_dir))
}

#[cfg(test)]
mod tests;
