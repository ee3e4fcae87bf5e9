//! Puts a SQLite file in the place of another.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret as _, SecretString};

use super::{RestoreError, beside};
use crate::{
    backup::{BackupError, automatic::make_folder, time_for_names},
    config::{Config, sqlite_url},
    db::{Db, FlushError},
    secrets::{self, KeyFile, Secrets},
};

/// Puts the new file in the old one's place. Until the one step that does it, a kill leaves the old database with its
/// key; from then on the new one, whose key the next start finds.
pub(super) async fn swap(
    config: &Config,
    staged: &Path,
    target: &Path,
    key: Option<SecretString>,
) -> Result<Option<PathBuf>, RestoreError> {
    let key_file = KeyFile::of(config);
    let aside = target.with_file_name(format!("before-restore-{}", time_for_names()));
    // A journal alone counts as well: SQLite would play it into the new database.
    let old = target.exists() || beside(target, "-wal").exists();
    if target.exists() {
        settle(target, &key_file).await?;
    }
    if old {
        make_folder(&aside)?;
        key_file.copy_to(&aside)?;
    }
    if let Some(key) = &key {
        key_file.stage(key.expose_secret())?;
    }
    if old {
        keep(target, &aside).map_err(BackupError::file(&aside))?;
    }
    let placed = fs::rename(staged, target).and_then(|()| secrets::sync_folder(target));
    placed.map_err(BackupError::file(target))?;
    if key.is_some() {
        key_file.swap()?;
    }
    Ok(old.then_some(aside))
}

/// Brings what is only in the journal into the file, and the key of a killed exchange to its place. A damaged database
/// does not let itself be opened; then the journal is kept with it as it is.
async fn settle(target: &Path, key_file: &KeyFile) -> Result<(), RestoreError> {
    let settled = match Db::connect(&sqlite_url(target)).await {
        Ok(db) => {
            let flushed = match db.flush().await {
                Ok(()) => settle_key(&db, key_file).await,
                Err(error) => Err(error.into()),
            };
            db.close().await;
            flushed
        }
        Err(error) => Err(FlushError::from(error).into()),
    };
    match settled {
        Err(RestoreError::Flush(FlushError::Database(error)) | RestoreError::Database(error)) => {
            tracing::warn!("the former database can't be read: {error}");
            Ok(())
        }
        settled => settled,
    }
}

/// Where the new key of a killed exchange is that of the former database, nothing may take its name.
async fn settle_key(db: &Db, key_file: &KeyFile) -> Result<(), RestoreError> {
    let Some(canary) = Secrets::canary(db.read()).await? else { return Ok(()) };
    // A key that is lost hinders nothing; what there is instead is copied.
    if let Ok((_, place)) = key_file.open(&canary) {
        key_file.settle(place)?;
    }
    Ok(())
}

/// Keeps the old database under another name, and takes its journal away.
fn keep(target: &Path, aside: &Path) -> io::Result<()> {
    let name = target.file_name().unwrap_or_default();
    let kept = aside.join(name);
    for suffix in ["-wal", "-shm"] {
        match fs::rename(beside(target, suffix), beside(&kept, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    if target.exists() {
        double(target, &kept)?;
    }
    secrets::sync_folder(&kept)
}

/// A second name for the same file, or a copy on file systems that have none: there is no moment without a database.
fn double(target: &Path, kept: &Path) -> io::Result<()> {
    fs::hard_link(target, kept).or_else(|_| {
        fs::copy(target, kept)?;
        File::open(kept)?.sync_all()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another file system is as good as one without hard links.
    #[test]
    fn a_database_that_takes_no_second_name_is_copied() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").unwrap());
        let (target, kept) = (here.path().join("zotify.db"), there.path().join("zotify.db"));
        fs::write(&target, "rows").unwrap();
        double(&target, &kept).unwrap();
        assert_eq!([target, kept].map(|file| fs::read(file).unwrap()), [b"rows", b"rows"]);
    }
}
