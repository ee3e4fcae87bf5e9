//! Puts an archive in the place of the database. What was there before is kept, and until the last step nothing is
//! changed.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sqlx::AssertSqlSafe;

use super::{
    BackupError, FOLDER, KeyPlace, Manifest, Options,
    archive::{Archive, ArchiveError},
    automatic::make_folder,
    load,
    schema::{quoted, tables},
    time_for_names, to_file,
};
use crate::{
    audit::{self, Actor, Entry, Outcome},
    config::{Config, sqlite_url},
    db::{Db, MigrationFailed, Tx},
    nodes,
    secrets::{self, KEY_FILE, KeyFile, Secrets, SecretsError},
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
    /// Tables of something else.
    #[error("the database's schema holds tables that are not the host's; give the host a schema of its own")]
    Foreign,
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
/// `progress` is told how many rows were written.
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
        return into_postgres(config, archive, force, progress).await;
    }
    let target = config.sqlite_file().ok_or(BackupError::InMemory)?;
    let staged = Staged::new(&target);
    let db = Db::connect(&sqlite_url(&staged.0)).await?;
    let filled = into_sqlite(config, &db, archive, progress).await;
    db.close().await;
    let (rows, key) = filled?;
    File::open(&staged.0).and_then(|file| file.sync_all()).map_err(BackupError::file(&staged.0))?;
    forget_seal(config)?;
    let kept = swap(config, &staged.0, &target, key).await?;
    Ok(Restored { rows, kept })
}

/// The archive's audit log may end before the place that the host saw sealed last.
fn forget_seal(config: &Config) -> Result<(), BackupError> {
    audit::witness::forget(config).map_err(BackupError::file(&config.server.data_dir))
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

async fn into_postgres(
    config: &Config,
    archive: &Archive,
    force: bool,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Restored, RestoreError> {
    let db = Db::connect(&config.database.url).await?;
    let restored = replace_rows(config, &db, archive, force, progress).await;
    db.close().await;
    restored
}

async fn replace_rows(
    config: &Config,
    db: &Db,
    archive: &Archive,
    force: bool,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Restored, RestoreError> {
    let applied = db.applied_migrations().await?;
    let mut tx = db.write().await?;
    let present = tables(&mut tx).await?;
    let mut kept = None;
    if !present.is_empty() {
        match (applied.is_empty(), force) {
            (true, _) => return Err(RestoreError::Foreign),
            (_, false) => return Err(RestoreError::NotEmpty),
            _ => {}
        }
        match nodes::running(db).await? {
            0 => {}
            nodes => return Err(RestoreError::NodesRunning(nodes)),
        }
        let folder = config.server.data_dir.join(FOLDER);
        make_folder(&folder)?;
        let file = folder.join(format!("before-restore-{}.tar", time_for_names()));
        to_file(config, db, &file, Options { without_key: true, force: false }, &|_| ()).await?;
        let names = present.iter().map(|table| quoted(&table.name)).collect::<Vec<_>>().join(",");
        let sql = format!("DROP TABLE {names},_sqlx_migrations CASCADE");
        sqlx::query(AssertSqlSafe(sql)).execute(&mut *tx).await?;
        kept = Some(file);
    }
    let (rows, _) = fill(config, db, &mut tx, archive, progress).await?;
    forget_seal(config)?;
    tx.commit().await?;
    Ok(Restored { rows, kept })
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

/// Puts the new file in the old one's place. Until the one step that does it, a kill leaves the old database with its
/// key; from then on the new one, whose key the next start finds.
async fn swap(
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
        fold_journal(target).await;
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

/// Brings what is only in the journal into the file. A damaged database does not let itself be opened; then the journal
/// is kept with it as it is.
async fn fold_journal(target: &Path) {
    if let Ok(db) = Db::connect(&sqlite_url(target)).await {
        if let Err(error) = db.flush().await {
            tracing::warn!("the former database can't be read: {error}");
        }
        db.close().await;
    }
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
        // A second name for the same file, so that there is no moment without a database. Not every file system has them.
        fs::hard_link(target, &kept).or_else(|_| fs::rename(target, &kept))?;
    }
    secrets::sync_folder(&kept)
}
