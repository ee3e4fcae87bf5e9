//! Backups: one archive with the database, the key that opens its sealed parts, and the configuration.
//!
//! The database is written as rows, the same way from SQLite and from PostgreSQL, so that an archive of one can be put
//! into the other. It is read in one transaction, while the host goes on writing.

pub mod archive;
mod automatic;
mod dump;
mod load;
pub mod restore;
mod schema;

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use chrono::Utc;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

pub use self::{
    archive::{ArchiveError, Member},
    automatic::{UpdateError, migrate},
    schema::{Column, Kind, Table, tables},
};
use crate::{
    config::{Config, show},
    db::Db,
    secrets::{self, Secrets, SecretsError},
};

/// The folder in the data folder for backups that are not put elsewhere.
pub const FOLDER: &str = "backups";

/// The layout of archives that this program writes, and the newest that it reads.
const FORMAT: u32 = 1;
/// How the names of archives end that are not whole yet.
const PARTIAL: &str = ".partial";
/// The configuration file's name in an archive.
const CONFIGURATION: &str = "zotify.toml";

/// What an archive says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// The layout of the archive; now 1.
    pub format: u32,
    /// The version of the program that wrote it.
    pub version: String,
    /// `sqlite` or `postgres`.
    pub database: String,
    /// The migrations that its rows are for.
    pub schema: Vec<i64>,
    /// When the writing began, RFC 3339.
    pub created_at: String,
    /// Where the key is.
    pub key: KeyPlace,
    /// The tables, in an order in which they can be filled.
    pub tables: Vec<TableInfo>,
    /// Every member but this one, in the order of the archive.
    pub members: Vec<Member>,
}

/// Where the key is that opens the sealed parts of an archive's database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyPlace {
    /// In the archive.
    Included,
    /// It was `secrets.master_key` of the configuration.
    Configured,
    /// It was left out.
    LeftOut,
    /// Nothing was sealed yet.
    None,
}

/// A table in an archive.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TableInfo {
    /// Its name.
    pub name: String,
    /// Its columns, in the order of each row's values.
    pub columns: Vec<Column>,
    /// How many rows there are.
    pub rows: u64,
    /// The highest id that was ever given, where the database counts them.
    pub last_id: Option<i64>,
}

/// Why a backup can't be made or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file can't be read or written.
    #[error("{path}: {source}{}", if source.kind() == io::ErrorKind::StorageFull { "; make room or name another place" } else { "" })]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is something already.
    #[error("{0} exists; --force replaces it")]
    Exists(PathBuf),
    /// There is nothing to save.
    #[error("there is no database at {0}; see database.url")]
    NoDatabase(PathBuf),
    /// It is gone with the process.
    #[error("a database in memory can be neither saved nor restored")]
    InMemory,
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// A column of a type that archives don't know.
    #[error("{table}.{column} has the type {kind}, which archives don't know; give the host a schema of its own")]
    ColumnType {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// As the database calls it.
        kind: String,
    },
    /// The key can't be put into the archive: without it, that would be of little use.
    #[error("{0}; --without-key saves the database alone")]
    Key(SecretsError),
    /// The archive is damaged, or none.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

impl BackupError {
    /// For what the system says of a file.
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }

    /// With the name of what was written to, which the writer does not know.
    #[must_use]
    pub fn named(self, name: &Path) -> Self {
        match self {
            Self::File { path, source } if path.as_os_str().is_empty() => Self::File { path: name.to_owned(), source },
            error => error,
        }
    }
}

/// What to save.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Leave the key out, and the configuration file where it holds a secret.
    pub without_key: bool,
    /// Replace a file that is there.
    pub force: bool,
}

/// Writes an archive to a file that only its owner can read. It is whole or not there. `progress` is told how many rows
/// were written.
///
/// # Errors
/// When there is no database, the key is not its key, or something can't be read or written.
pub async fn to_file(
    config: &Config,
    db: &Db,
    file: &Path,
    options: Options,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Manifest, BackupError> {
    if !options.force && file.symlink_metadata().is_ok() {
        return Err(BackupError::Exists(file.to_owned()));
    }
    let partial = Partial::make(file)?;
    let out = BufWriter::with_capacity(1 << 18, partial.file.try_clone().map_err(BackupError::file(file))?);
    let manifest = to_writer(config, db, out, options, progress).await.map_err(|error| error.named(file))?;
    partial.keep(file)?;
    Ok(manifest)
}

/// Writes an archive anywhere.
///
/// # Errors
/// As [`to_file`].
pub async fn to_writer(
    config: &Config,
    db: &Db,
    out: impl Write,
    options: Options,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Manifest, BackupError> {
    let created_at = Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let mut archive = archive::Writer::new(out);
    let dump = dump::write(db, &mut archive, progress).await?;
    let key =
        if options.without_key { KeyPlace::LeftOut } else { add_key(config, &mut archive, dump.canary.as_deref())? };
    if let Some(file) = &config.file {
        let text = fs::read(file).map_err(BackupError::file(file))?;
        if !options.without_key || !show::holds_secrets(&String::from_utf8_lossy(&text)) {
            archive.add(CONFIGURATION, &text)?;
        }
    }
    let manifest = Manifest {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").into(),
        database: db.dialect().name().into(),
        schema: dump.schema,
        created_at,
        key,
        tables: dump.tables,
        members: archive.members().to_vec(),
    };
    archive.finish(&manifest)?;
    Ok(manifest)
}

/// Adds the key's file, once it was seen to open what is in the archive.
fn add_key(
    config: &Config,
    archive: &mut archive::Writer<impl Write>,
    canary: Option<&[u8]>,
) -> Result<KeyPlace, BackupError> {
    let Some(canary) = canary else { return Ok(KeyPlace::None) };
    Secrets::check(config, Some(canary)).map_err(BackupError::Key)?;
    if config.secrets.master_key.is_some() {
        return Ok(KeyPlace::Configured);
    }
    let text = secrets::KeyFile::of(config).text(canary).map_err(BackupError::Key)?;
    archive.add(secrets::KEY_FILE, text.expose_secret().as_bytes())?;
    Ok(KeyPlace::Included)
}

/// The time as it stands in names of files.
fn time_for_names() -> String {
    Utc::now().format("%Y%m%dT%H%M%S%.3fZ").to_string()
}

/// Where a backup goes that was given no name; its folder is made.
///
/// # Errors
/// When the folder can't be made.
pub fn new_file(config: &Config) -> Result<PathBuf, BackupError> {
    Ok(automatic::backups_folder(config)?.join(format!("zotify-{}.tar", time_for_names())))
}

/// A file in the making; it is removed unless it is kept. Its lock tells that somebody is at it.
struct Partial {
    path: PathBuf,
    file: File,
}

impl Partial {
    fn make(target: &Path) -> Result<Self, BackupError> {
        let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = target.with_file_name(format!(".{name}.{}{PARTIAL}", Ulid::generate()));
        if let Some(folder) = path.parent() {
            Self::remove_stale(folder, &format!(".{name}."));
        }
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(BackupError::file(target))?;
        // Where there are no locks, nothing is ever found to be stale.
        let _ = file.try_lock();
        Ok(Self { path, file })
    }

    /// Removes what killed backups left. What can't be removed is in nobody's way.
    fn remove_stale(folder: &Path, prefix: &str) {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let partial = name.starts_with(prefix) && name.ends_with(PARTIAL);
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            if partial && is_file && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Gives it its name, once its bytes are safe.
    fn keep(self, target: &Path) -> Result<(), BackupError> {
        let kept = self.file.sync_all().and_then(|()| fs::rename(&self.path, target));
        kept.and_then(|()| secrets::sync_folder(target)).map_err(BackupError::file(target))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Gone already where it was kept.
        let _ = fs::remove_file(&self.path);
    }
}
