//! `secrets`: exchanges the key that protects stored credentials.

use std::path::PathBuf;

use clap::Subcommand;

use super::{CliResult, Failure, print, serve};
use crate::{
    backup,
    config::Config,
    db::Db,
    secrets::rotate::{self, RotateError, Rotation},
};

const ROTATE_ABOUT: &str = "\
Exchange the key for another, and seal everything with it anew.

The host must be stopped. A rotation that is killed is finished or undone by the next start. Where the key is \
secrets.master_key of the configuration, --new-key-file names the new one, and the configuration has to be changed \
afterwards. Backups hold the key that they were made with.";

const RESET_ABOUT: &str = "\
Give up what a lost key sealed.

The host must be stopped. The keys of access tokens and signed links are made anew: clients refresh their tokens, links \
that were given out end. The key becomes the configured one, or a new one in the key's file; the former file is kept.";

/// What to do with the key.
#[derive(Subcommand, Debug)]
pub(super) enum SecretsCommand {
    /// Exchange the key for another, and seal everything with it anew.
    #[command(long_about = ROTATE_ABOUT)]
    Rotate {
        /// A file with the new key, 32 random bytes in base64; without it one is made.
        #[arg(long, value_name = "FILE")]
        new_key_file: Option<PathBuf>,
    },
    /// Give up what a lost key sealed.
    #[command(long_about = RESET_ABOUT)]
    Reset {
        /// Yes: what was sealed is lost.
        #[arg(long, required = true)]
        yes_lose_sealed: bool,
    },
}

pub(super) async fn run(command: SecretsCommand, config: &Config) -> CliResult {
    if let Some(file) = config.sqlite_file().filter(|file| !file.exists()) {
        return Err(Failure::new(format!("there is no database at {}; see database.url", file.display())));
    }
    let _locks = serve::lock(config)?;
    let db = Db::connect(&config.database.url).await?;
    let done = exchange(command, config, &db).await;
    db.close().await;
    print(&done?)
}

async fn exchange(command: SecretsCommand, config: &Config, db: &Db) -> Result<String, Failure> {
    let failed = |error: RotateError| Failure::new(error.to_string());
    match command {
        SecretsCommand::Rotate { new_key_file } => {
            backup::migrate(config, db).await.map_err(|error| Failure::new(error.to_string()))?;
            let rotation = Rotation::prepare(config, db, new_key_file).await.map_err(failed)?;
            let count = rotation.reseal(db).await.map_err(failed)?;
            rotation.finish().map_err(failed)?;
            let next = match config.secrets.master_key {
                Some(_) => "set secrets.master_key to the new key before the next start, on every node",
                None => {
                    "the new key is in the data folder; backups that were made without the former key need that one"
                }
            };
            Ok(format!("sealed {count} values anew; {next}\n"))
        }
        SecretsCommand::Reset { .. } => {
            if !db.pending_migrations().await?.is_empty() {
                return Err(Failure::new("the database is of an older version; run that version, or restore a backup"));
            }
            let count = rotate::reset(config, db).await.map_err(failed)?;
            Ok(format!("gave up {count} sealed values; the next start makes new ones\n"))
        }
    }
}
