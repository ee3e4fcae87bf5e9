//! Puts an archive in the place of the database. What was there before is kept, and until the last step nothing is
//! changed.

mod place;
mod postgres;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use secrecy::SecretString;
use serde_json::json;

pub use self::postgres::hold;
use super::{
    BackupError, FOLDER, KeyPlace, Manifest,
    archive::{Archive, ArchiveError},
    load,
};
use crate::{
    audit::{self, Actor, Entry, Outcome},
    config::{Config, sqlite_url},
    db::{Db, FlushError, MigrationFailed, Tx},
    nodes,
    secrets::{KEY_FILE, KeyFile, Secrets, SecretsError},
};

/// Why an archive was not restored. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The archive is damaged, or none.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// It can't be written, or what is there can't be saved.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// The former database is in use.
    #[error(transparent)]
    Flush(#[from] FlushError),
    /// A migration failed.
    #[error("the archive's database can't be brought up to date: {0}")]
    Migrate(#[from] MigrationFailed),
    /// Nothing can be opened.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// A newer program wrote it.
    #[error(
        "the archive was made by version {version}, whose database is newer (migration {migration}); use that version"
    )]
    NewerSchema {
        /// The program's version.
        version: String,
        /// The newest migration.
        migration: i64,
    },
    /// Whole, but not what it says it is.
    #[error("the archive does not fit the host: {0}")]
    Unfit(String),
    /// There is something in the PostgreSQL database.
    #[error("the database is not empty; --force saves what is in it to {} in the data folder, and replaces it", FOLDER)]
    NotEmpty,
    /// Tables of something else, or of a newer version.
    #[error("the database's schema holds tables that this version does not know ({}); give the host a schema of its own", .0.join(", "))]
    Foreign(Vec<String>),
    /// Other nodes run.
    #[error("{0} other nodes run on this database; stop them (a node that was killed counts for half a minute)")]
    NodesRunning(usize),
    /// The configured key is another.
    #[error("secrets.master_key is not the key of the archive's database{}", hint(.0))]
    ConfiguredKey(KeyPlace),
    /// The archive's key is not that of its database.
    #[error("the key in the archive does not open its database")]
    ArchiveKey,
    /// There is no key.
    #[error(
        "the archive holds no key, and {0} is not the one of its database; put that one there, or set secrets.master_key"
    )]
    KeyNeeded(PathBuf),
}

fn hint(place: &KeyPlace) -> &'static str {
    match place {
        KeyPlace::Included => "; that one is in the archive: tar -xOf ARCHIVE secret.key",
        _ => "; configure the one that the host had when the archive was made",
    }
}

/// What was done.
#[derive(Debug)]
pub struct Restored {
    /// Rows in all tables together.
    pub rows: u64,
    /// Where that is kept which was there before.
    pub kept: Option<PathBuf>,
}

/// Puts an archive in the place of the configured database. No host may run on it: the caller holds the locks.
/// `progress` is told how many rows were written: where rows are replaced, first to the backup of the former ones.
///
/// # Errors
/// With nothing changed.
pub async fn restore(
    config: &Config,
    archive: &Archive,
    force: bool,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Restored, RestoreError> {
    if config.database.is_postgres() {
        return postgres::restore(config, archive, force, progress).await;
    }
    let target = config.sqlite_file().ok_or(BackupError::InMemory)?;
    let staged = Staged::new(&target);
    let db = Db::connect(&sqlite_url(&staged.0)).await?;
    let filled = into_sqlite(config, &db, archive, progress).await;
    db.close().await;
    let (rows, key) = filled?;
    File::open(&staged.0).and_then(|file| file.sync_all()).map_err(BackupError::file(&staged.0))?;
    let kept = place::swap(config, &staged.0, &target, key).await?;
    Ok(Restored { rows, kept })
}

/// The new database beside the old one. What is left of it goes when it is dropped.
struct Staged(PathBuf);

impl Staged {
    fn new(target: &Path) -> Self {
        let staged = Self(beside(target, ".restoring"));
        staged.remove();
        staged
    }

    fn remove(&self) {
        for suffix in ["", "-wal", "-shm"] {
            // Mostly not there.
            let _ = fs::remove_file(beside(&self.0, suffix));
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        self.remove();
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

async fn into_sqlite(
    config: &Config,
    db: &Db,
    archive: &Archive,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(u64, Option<SecretString>), RestoreError> {
    let mut tx = db.write().await?;
    let filled = fill(config, db, &mut tx, archive, progress).await?;
    tx.commit().await?;
    db.flush().await?;
    Ok(filled)
}

/// Makes the archive's schema in an empty database, fills it, finds the key, and brings it up to date. Answers the
/// number of rows, and the key's text where that has to be put into the data folder.
async fn fill(
    config: &Config,
    db: &Db,
    tx: &mut Tx,
    archive: &Archive,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(u64, Option<SecretString>), RestoreError> {
    let manifest = &archive.manifest;
    db.migrate_within(tx, Some(schema(db, manifest)?)).await?;
    let rows = load::fill(tx, archive, progress).await?;
    let canary = Secrets::canary(&mut **tx).await?;
    let key = match canary {
        Some(canary) => key(config, archive, &canary)?,
        None => None,
    };
    db.migrate_within(tx, None).await?;
    // It tells of nodes that ran when the archive was made.
    nodes::forget_all(tx).await?;
    let data = json!({"made_at": manifest.created_at, "made_by": manifest.version, "rows": rows});
    let entry = Entry {
        action: "backup.restored",
        outcome: Outcome::Ok,
        actor: Actor::COMMAND,
        user: None,
        data,
        personal: json!({}),
    };
    audit::record(tx, entry).await?;
    Ok((rows, key))
}

/// The newest migration of the archive.
fn schema(db: &Db, manifest: &Manifest) -> Result<i64, RestoreError> {
    let known = db.known_migrations();
    let newest = manifest.schema.iter().copied().max().ok_or_else(|| RestoreError::Unfit("it has no schema".into()))?;
    if known.last().is_none_or(|last| *last < newest) {
        return Err(RestoreError::NewerSchema { version: manifest.version.clone(), migration: newest });
    }
    let expected: Vec<i64> = known.into_iter().filter(|version| *version <= newest).collect();
    let mut schema = manifest.schema.clone();
    schema.sort_unstable();
    if schema == expected { Ok(newest) } else { Err(RestoreError::Unfit("its schema has gaps".into())) }
}

/// Finds the key that opens the restored database; answers it where it is the archive's.
fn key(config: &Config, archive: &Archive, canary: &[u8]) -> Result<Option<SecretString>, RestoreError> {
    if let Some(text) = &config.secrets.master_key {
        let opens = Secrets::from_text(text).is_some_and(|secrets| secrets.is_key_of(canary));
        return if opens { Ok(None) } else { Err(RestoreError::ConfiguredKey(archive.manifest.key)) };
    }
    if config.database.is_postgres() {
        return Err(SecretsError::MasterKeyMissing.into());
    }
    if let Some(bytes) = archive.member(KEY_FILE)? {
        let text = SecretString::from(String::from_utf8_lossy(&bytes).into_owned());
        let opens = Secrets::from_text(&text).is_some_and(|secrets| secrets.is_key_of(canary));
        return if opens { Ok(Some(text)) } else { Err(RestoreError::ArchiveKey) };
    }
    match KeyFile::of(config).open(canary) {
        Ok(_) => Ok(None),
        Err(_) => Err(RestoreError::KeyNeeded(config.server.data_dir.join(KEY_FILE))),
    }
}
