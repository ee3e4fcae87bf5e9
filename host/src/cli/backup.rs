//! `backup`: saves the database, its key and the configuration.

use std::{
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget};
use serde_json::json;

use super::{CliResult, Failure, print};
use crate::{
    audit::{self, Actor, Entry, Outcome},
    backup::{self, BackupError, KeyPlace, Manifest, Options},
    config::Config,
    db::Db,
};

pub(super) const ABOUT: &str = "\
Save the database, its key and the configuration in one file.

The host may run and go on writing: the archive holds the database as of one moment. It is a tar with the rows of each \
table, the same from SQLite and from PostgreSQL, so that one can be restored into the other. It holds the tokens of linked \
accounts: keep it as you would keep a password.";

pub(super) const AFTER_HELP: &str = "\
Examples:
  zotify-host backup                              into the folder backups of the data folder
  zotify-host backup /mnt/backup/zotify.tar
  zotify-host backup - | zstd > zotify.tar.zst
  zotify-host backup --without-key zotify.tar     with the key kept in another place";

/// What to save, and where.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// The file to write, or - for standard output; without it a new file in the data folder.
    file: Option<PathBuf>,
    /// Leave out the key, and a configuration file that holds it or another secret.
    #[arg(long)]
    without_key: bool,
    /// Replace the file when it exists.
    #[arg(long)]
    force: bool,
}

pub(super) async fn run(arguments: Arguments, config: &Config) -> CliResult {
    let options = Options { without_key: arguments.without_key, force: arguments.force };
    match config.sqlite_file() {
        Some(file) if !file.exists() => return Err(BackupError::NoDatabase(file).into()),
        None if !config.database.is_postgres() => return Err(BackupError::InMemory.into()),
        _ => {}
    }
    let to_stdout = arguments.file.as_deref() == Some(Path::new("-"));
    if to_stdout && io::stdout().is_terminal() {
        return Err(Failure::usage("an archive is nothing for a terminal; name a file, or pipe it on"));
    }
    let db = Db::connect(&config.database.url).await?;
    let bar = rows_bar();
    let progress = |rows| bar.set_position(rows);
    let saved = if to_stdout {
        let saved = backup::to_writer(config, &db, io::stdout().lock(), options, &progress).await;
        saved.map(|manifest| (manifest, None)).map_err(|error| error.named(Path::new("standard output")))
    } else {
        let file = match arguments.file {
            Some(file) => file,
            None => backup::new_file(config)?,
        };
        backup::to_file(config, &db, &file, options, &progress).await.map(|manifest| (manifest, Some(file)))
    };
    bar.finish_and_clear();
    let recorded = match &saved {
        Ok((manifest, _)) => put_on_record(&db, manifest).await,
        Err(_) => Ok(()),
    };
    db.close().await;
    let (manifest, file) = saved?;
    recorded?;
    match file {
        Some(file) => print(&format!("wrote {}; {}\n", file.display(), about_key(manifest.key))),
        None => Ok(()),
    }
}

/// A count of rows, on a terminal.
pub(super) fn rows_bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if !io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    if let Ok(style) = indicatif::ProgressStyle::with_template("{spinner} {pos} rows, {per_sec}") {
        bar.set_style(style);
    }
    bar
}

fn about_key(key: KeyPlace) -> &'static str {
    match key {
        KeyPlace::Included => "the key is in it: keep it where nobody else can read it",
        KeyPlace::Configured => "the key is secrets.master_key of the configuration: save that as well",
        KeyPlace::LeftOut => "without its key, what is sealed in it is lost: save that in another place",
        KeyPlace::None => "nothing was sealed yet, so there is no key",
    }
}

/// Everything about everybody was read. A database that is still to be brought up to date has no place for that.
async fn put_on_record(db: &Db, manifest: &Manifest) -> sqlx::Result<()> {
    if !db.pending_migrations().await?.is_empty() {
        return Ok(());
    }
    let mut tx = db.write().await?;
    let rows: u64 = manifest.tables.iter().map(|table| table.rows).sum();
    let data = json!({ "rows": rows, "key": manifest.key });
    let entry = Entry {
        action: "backup.made",
        outcome: Outcome::Ok,
        actor: Actor::COMMAND,
        user: None,
        data,
        personal: json!({}),
    };
    audit::record(&mut tx, entry).await?;
    tx.commit().await
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        Self::new(error.to_string())
    }
}
