//! `restore`: puts a backup in the place of the database.

use std::path::PathBuf;

use clap::Args;

use super::{CliResult, Failure, backup::rows_bar, print, serve};
use crate::{
    backup::{archive::Archive, restore},
    config::Config,
};

pub(super) const ABOUT: &str = "\
Put a backup in the place of the database.

The host must be stopped. The whole archive is checked first. What was there before is kept: a SQLite file with its key in \
a folder beside it, the rows of a PostgreSQL database (which are replaced only with --force) as a backup in the data \
folder. The configuration file stays as it is. Restore only what you saved yourself: an archive decides who may sign in, \
and which plugins are trusted.";

pub(super) const AFTER_HELP: &str = "\
Examples:
  zotify-host restore /mnt/backup/zotify.tar
  zstd -d < zotify.tar.zst > zotify.tar && zotify-host restore zotify.tar
  tar -xOf zotify.tar zotify.toml > zotify.toml     on a new machine, before";

/// What to restore.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// The archive.
    file: PathBuf,
    /// Replace what is in a PostgreSQL database, after saving it.
    #[arg(long)]
    force: bool,
}

pub(super) async fn run(arguments: &Arguments, config: &Config) -> CliResult {
    let failed = |error: restore::RestoreError| Failure::new(error.to_string());
    let archive = Archive::open(&arguments.file).map_err(|error| failed(error.into()))?;
    let _locks = serve::lock(config)?;
    let bar = rows_bar();
    let restored = restore::restore(config, &archive, arguments.force, &|rows| bar.set_position(rows)).await;
    bar.finish_and_clear();
    let restored = restored.map_err(failed)?;
    let mut text = format!("restored {} rows, saved at {}\n", restored.rows, archive.manifest.created_at);
    if let Some(kept) = restored.kept {
        text.push_str(&format!("what was there before is in {}\n", kept.display()));
    }
    print(&text)
}
