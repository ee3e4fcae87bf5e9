//! A backup before each change of the schema, which is never taken back.

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use super::{BackupError, FOLDER, Options, Partial, time_for_names, to_file};
use crate::{
    config::Config,
    db::{Db, MigrationFailed},
    secrets::{Secrets, SecretsError},
};

/// How many are kept.
const KEPT: usize = 3;

/// Why the database was not brought up to date. It is as it was.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// The key is not there, or not the right one.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// There is no backup, so nothing was changed.
    #[error(
        "no backup could be made before the migration ({0}); mend that, or set database.backup_before_migrate = false"
    )]
    Backup(BackupError),
    /// A migration failed.
    #[error(transparent)]
    Migrate(#[from] MigrationFailed),
}

/// Brings the schema up to date, after a backup if there is something to lose. Answers how many migrations there were.
///
/// # Errors
/// When the key is wrong, no backup can be made, or a migration fails.
pub async fn migrate(config: &Config, db: &Db) -> Result<usize, UpdateError> {
    let pending = db.pending_migrations().await?;
    let applied = db.applied_migrations().await?;
    // A newer database fails below, with a better reason.
    if !pending.is_empty() && !applied.is_empty() && db.newer_migrations().await?.is_empty() {
        Secrets::check(config, Secrets::canary(db.read()).await?.as_deref())?;
        if config.database.backup_before_migrate {
            let file = before(config, db).await.map_err(UpdateError::Backup)?;
            tracing::info!(file = %file.display(), "made a backup before the database is brought up to date");
        }
    }
    db.migrate().await?;
    Ok(pending.len())
}

async fn before(config: &Config, db: &Db) -> Result<PathBuf, BackupError> {
    let folder = backups_folder(config)?;
    let file = folder.join(format!("before-{}-{}.tar", env!("CARGO_PKG_VERSION"), time_for_names()));
    let options = Options { without_key: false, force: false };
    to_file(config, db, &file, options, &|_| ()).await?;
    prune(&folder);
    Ok(file)
}

/// The folder for backups that are not put elsewhere; it is made, and freed of what killed backups left.
pub(super) fn backups_folder(config: &Config) -> Result<PathBuf, BackupError> {
    let folder = config.server.data_dir.join(FOLDER);
    make_folder(&folder)?;
    Partial::remove_stale(&folder, ".");
    Ok(folder)
}

/// Makes a folder that only its owner can read.
pub(super) fn make_folder(folder: &Path) -> Result<(), BackupError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(BackupError::file(folder))
}

/// Removes all but the newest. What can't be removed is in nobody's way.
fn prune(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut files: Vec<(String, PathBuf)> =
        entries.flatten().filter_map(|e| Some((made(&e.file_name().to_string_lossy())?, e.path()))).collect();
    files.sort();
    let surplus = files.len().saturating_sub(KEPT);
    for (_, file) in files.into_iter().take(surplus) {
        if let Err(error) = fs::remove_file(&file) {
            tracing::warn!(file = %file.display(), "an old backup can't be removed: {error}");
        }
    }
}

/// When a backup was made, by its name; nothing for other files.
fn made(name: &str) -> Option<String> {
    let (version, time) = name.strip_prefix("before-")?.strip_suffix(".tar")?.rsplit_once('-')?;
    let ours = version.starts_with(|c: char| c.is_ascii_digit()) && time.ends_with('Z');
    ours.then(|| time.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_newest_are_kept_and_nothing_else_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let made = |name: &str| fs::write(dir.path().join(name), "").unwrap();
        for day in 1..=5 {
            made(&format!("before-0.{}.0-2026010{day}T000000.000Z.tar", 9 - day));
        }
        made("before-restore-20250101T000000.000Z.tar");
        made("zotify-20250101T000000.000Z.tar");
        prune(dir.path());
        let mut left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        let expected = [
            "before-0.4.0-20260105T000000.000Z.tar",
            "before-0.5.0-20260104T000000.000Z.tar",
            "before-0.6.0-20260103T000000.000Z.tar",
            "before-restore-20250101T000000.000Z.tar",
            "zotify-20250101T000000.000Z.tar",
        ];
        assert_eq!(left, expected);
    }
}
