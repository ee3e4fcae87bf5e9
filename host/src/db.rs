//! The database: SQLite by default, PostgreSQL for several nodes, one SQL text for both.
//!
//! Functions per table live in `db/<table>.rs` and take an executor, so that a transaction composes. Times are BIGINT
//! milliseconds since 1970 UTC, flags BIGINT 0 or 1, structures TEXT with JSON.

pub mod accounts;
pub mod api_keys;
pub mod audit;
pub mod budgets;
pub mod clock;
pub mod consents;
pub mod credentials;
pub mod deleted_plays;
pub mod events;
pub mod invites;
pub mod items;
pub mod jobs;
pub mod likes;
pub mod playlists;
pub mod plays;
pub mod plugin_kv;
pub mod plugin_trust;
pub mod positions;
pub mod preferences;
pub mod privacy;
pub mod pull_runs;
pub mod query;
pub mod refresh_tokens;
pub mod sessions;
pub mod setup_flows;
pub mod sign_ins;
pub mod signing_keys;
pub mod state;
pub mod unlink;
pub mod users;

use std::{fs::File, os::unix::fs::OpenOptionsExt as _, str::FromStr, time::Duration};

use sqlx::{
    Any, AnyConnection, AnyPool, ConnectOptions as _, Connection as _, Database as _, Executor, Postgres, Transaction,
    any::{AnyConnectOptions, AnyPoolOptions},
    migrate::{MigrateError, Migrator},
};

use crate::config::sqlite_file;

/// A transaction that may write.
pub type Tx = Transaction<'static, Any>;

/// Which SQL dialect the few differing statements use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The embedded database.
    Sqlite,
    /// A server that several nodes share.
    Postgres,
}

impl Dialect {
    /// That of a connection.
    pub fn of(db: &AnyConnection) -> Self {
        if db.backend_name() == Postgres::NAME { Self::Postgres } else { Self::Sqlite }
    }

    /// `sqlite` or `postgres`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// The pools of the database.
#[derive(Clone)]
pub struct Db {
    read: AnyPool,
    write: AnyPool,
    dialect: Dialect,
}

/// Why the schema was not brought up to date.
#[derive(Debug)]
pub struct MigrationFailed(MigrateError);

impl std::fmt::Display for MigrationFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            MigrateError::VersionMissing(version) => {
                write!(f, "a newer version of the host made it (migration {version}); use that version, or a backup")
            }
            MigrateError::VersionMismatch(version) => {
                write!(f, "another build of the host made it (migration {version} differs); use that one, or a backup")
            }
            error => error.fmt(f),
        }
    }
}

impl std::error::Error for MigrationFailed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// Why what was committed may not survive a power cut.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    /// A reader keeps the journal from being copied back.
    #[error("another program reads the database file; end it and try again")]
    Busy,
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(sqlx::Error),
}

impl From<sqlx::Error> for FlushError {
    fn from(error: sqlx::Error) -> Self {
        if is_outage(&error) { Self::Busy } else { Self::Database(error) }
    }
}

/// How long a request waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

impl Db {
    /// Opens the database at a `sqlite:` or `postgres:` URL. A SQLite file is made where there is none.
    ///
    /// # Errors
    /// When the URL is not understood or nothing answers there.
    pub async fn connect(url: &str) -> sqlx::Result<Self> {
        sqlx::any::install_default_drivers();
        if url.starts_with("sqlite:") { Self::connect_sqlite(url).await } else { Self::connect_postgres(url).await }
    }

    async fn connect_sqlite(url: &str) -> sqlx::Result<Self> {
        let separator = if url.contains('?') { '&' } else { '?' };
        let url = if url.contains("mode=") { url.to_owned() } else { format!("{url}{separator}mode=rwc") };
        let options = AnyConnectOptions::from_str(&url)?;
        create_private(&url);
        probe(&options, "SELECT COUNT(*) FROM sqlite_master").await?;
        let pool = |size: u32, cache: &'static str| {
            // A file does not hang up: asking each time whether it is still there would double the cost of a query.
            let options = AnyPoolOptions::new().max_connections(size).test_before_acquire(false);
            options.acquire_timeout(ACQUIRE_TIMEOUT).after_connect(move |conn, _| {
                Box::pin(async move {
                    for pragma in [
                        cache,
                        "PRAGMA busy_timeout = 10000",
                        "PRAGMA journal_mode = WAL",
                        "PRAGMA foreign_keys = ON",
                        "PRAGMA synchronous = NORMAL",
                        "PRAGMA temp_store = MEMORY",
                        // 32 MB of journal before it is copied back: a page of an index that many rows touch is copied
                        // once, not for each of them. The file shrinks again.
                        "PRAGMA wal_autocheckpoint = 8000",
                        "PRAGMA journal_size_limit = 4194304",
                    ] {
                        conn.execute(pragma).await?;
                    }
                    Ok(())
                })
            })
        };
        // One writer, made first: SQLite has one anyway, and queueing here is fair where its lock is not.
        // It holds the pages of the indexes that a large library's rows fall into, 16 MB, and gives them back once the
        // full-text index is in step. Readers rely on the system's cache: more than 1 MB each makes no page faster.
        let write = pool(1, "PRAGMA cache_size = -16000").connect_with(options.clone()).await?;
        let read = pool(8, "PRAGMA cache_size = -1000").connect_with(options).await?;
        Ok(Self { read, write, dialect: Dialect::Sqlite })
    }

    async fn connect_postgres(url: &str) -> sqlx::Result<Self> {
        let options = AnyConnectOptions::from_str(url)?;
        probe(&options, "SELECT 1").await?;
        let pool =
            AnyPoolOptions::new().max_connections(16).acquire_timeout(ACQUIRE_TIMEOUT).after_connect(|conn, _| {
                Box::pin(async move {
                    // A node that vanishes in the middle of a transaction must not keep its locks, on which the others wait.
                    conn.execute("SET idle_in_transaction_session_timeout = '30s'").await?;
                    Ok(())
                })
            });
        let pool = pool.connect_with(options).await?;
        Ok(Self { read: pool.clone(), write: pool, dialect: Dialect::Postgres })
    }

    /// The dialect of the database.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// For statements that only read.
    pub fn read(&self) -> &AnyPool {
        &self.read
    }

    /// Starts a transaction that may write. On SQLite it takes the write lock at once: a transaction that reads first
    /// and writes later fails when another wrote in between.
    ///
    /// # Errors
    /// When no connection is free in time, or the database is gone.
    pub async fn write(&self) -> sqlx::Result<Tx> {
        match self.dialect {
            Dialect::Sqlite => self.write.begin_with("BEGIN IMMEDIATE").await,
            Dialect::Postgres => self.write.begin().await,
        }
    }

    /// Starts a transaction that only reads, and all of it from one moment.
    ///
    /// # Errors
    /// When no connection is free in time, or the database is gone.
    pub async fn snapshot(&self) -> sqlx::Result<Tx> {
        match self.dialect {
            Dialect::Sqlite => self.read.begin().await,
            Dialect::Postgres => self.read.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await,
        }
    }

    /// Gives back what writing many rows left in the cache.
    ///
    /// # Errors
    /// When the database is gone.
    pub async fn release_memory(&self) -> sqlx::Result<()> {
        if self.dialect == Dialect::Sqlite {
            sqlx::query("PRAGMA shrink_memory").execute(&self.write).await?;
        }
        Ok(())
    }

    /// Brings the schema up to date.
    ///
    /// # Errors
    /// When a migration fails, or the database is newer than this program.
    pub async fn migrate(&self) -> Result<(), MigrationFailed> {
        self.migrator().run(&self.write).await.map_err(MigrationFailed)
    }

    /// The versions of the migrations that are still to be applied. Changes nothing.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn pending_migrations(&self) -> sqlx::Result<Vec<i64>> {
        let applied = self.applied_migrations().await?;
        let versions = self.migrator().iter().map(|migration| migration.version);
        Ok(versions.filter(|version| !applied.contains(version)).collect())
    }

    /// The versions of applied migrations that this program does not have: a newer one made them. Changes nothing.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn newer_migrations(&self) -> sqlx::Result<Vec<i64>> {
        let mut applied = self.applied_migrations().await?;
        applied.retain(|version| !self.migrator().version_exists(*version));
        Ok(applied)
    }

    /// The versions of all applied migrations, in order; none where there is no schema yet. Changes nothing.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn applied_migrations(&self) -> sqlx::Result<Vec<i64>> {
        applied_migrations(&mut *self.read.acquire().await?).await
    }

    /// The versions of all migrations of this program, in order.
    pub fn known_migrations(&self) -> Vec<i64> {
        self.migrator().iter().map(|migration| migration.version).collect()
    }

    /// Applies migrations in a transaction, up to a version or all.
    ///
    /// # Errors
    /// When one fails, or the database is newer than this program.
    pub async fn migrate_within(&self, tx: &mut Tx, last: Option<i64>) -> Result<(), MigrationFailed> {
        self.migrator().run_direct(last, &mut **tx, false).await.map_err(MigrationFailed)
    }

    /// Makes sure that what was committed survives a power cut. On SQLite that is not so before its journal was copied
    /// back.
    ///
    /// # Errors
    /// When another program reads an older state of the database for longer than ten seconds, or it is gone.
    pub async fn flush(&self) -> Result<(), FlushError> {
        if self.dialect == Dialect::Sqlite {
            // That it could not be done is no error of SQLite's, but the first of three numbers.
            let busy: i64 = sqlx::query_scalar("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&self.write).await?;
            return if busy == 0 { Ok(()) } else { Err(FlushError::Busy) };
        }
        Ok(())
    }

    /// Whether what was committed until now survives a power cut, where that can be had without keeping anybody waiting.
    ///
    /// # Errors
    /// When the database is gone.
    pub async fn is_flushed(&self) -> sqlx::Result<bool> {
        if self.dialect == Dialect::Postgres {
            return Ok(true);
        }
        let checkpoint = sqlx::query_as("PRAGMA wal_checkpoint(PASSIVE)");
        let (_, frames, copied): (i64, i64, i64) = checkpoint.fetch_one(&self.read).await?;
        Ok(frames == copied)
    }

    /// Whether the database takes writes. Changes nothing.
    ///
    /// # Errors
    /// When it does not.
    pub async fn check_writable(&self) -> sqlx::Result<()> {
        self.write().await?.rollback().await
    }

    fn migrator(&self) -> &'static Migrator {
        static SQLITE: Migrator = sqlx::migrate!("../migrations/sqlite");
        static POSTGRES: Migrator = sqlx::migrate!("../migrations/postgres");
        match self.dialect {
            Dialect::Sqlite => &SQLITE,
            Dialect::Postgres => &POSTGRES,
        }
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

/// The versions of the migrations that were applied, in order; none where there is no schema yet.
///
/// # Errors
/// When the database can't be read.
pub async fn applied_migrations(db: &mut AnyConnection) -> sqlx::Result<Vec<i64>> {
    let table = match Dialect::of(db) {
        Dialect::Sqlite => "SELECT COUNT(*) FROM sqlite_master WHERE name = '_sqlx_migrations'",
        Dialect::Postgres => "SELECT COUNT(to_regclass('_sqlx_migrations'))",
    };
    let exists: i64 = sqlx::query_scalar(table).fetch_one(&mut *db).await?;
    match exists {
        0 => Ok(Vec::new()),
        _ => sqlx::query_scalar("SELECT version FROM _sqlx_migrations ORDER BY version").fetch_all(db).await,
    }
}

/// Makes the database's file where there is none, so that only its owner can read it; SQLite gives the files beside it the
/// same mode. What fails here fails again, and with a better reason, when SQLite opens it.
fn create_private(url: &str) {
    if let Some((file, _)) = sqlite_file(url).filter(|_| url.contains("mode=rwc")) {
        let _ = File::options().write(true).create_new(true).mode(0o600).open(file);
    }
}

/// Opens one connection and closes it again. A pool tries until its time is up, and then can't say what was wrong.
async fn probe(options: &AnyConnectOptions, statement: &'static str) -> sqlx::Result<()> {
    let connect = async {
        let mut connection = options.connect().await?;
        connection.execute(statement).await?;
        connection.close().await
    };
    tokio::time::timeout(ACQUIRE_TIMEOUT, connect).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// Whether a statement failed because the database is away or too busy, and not because of what it says: the same may work
/// in a moment.
pub fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => true,
        // PostgreSQL: connection lost, rolled back for another's sake, too many connections, shutting down or starting;
        // SQLite: locked by another program for longer than the busy timeout (a number, with an extension above its byte).
        sqlx::Error::Database(e) => e.code().is_some_and(|code| {
            ["08", "40", "53", "57P"].iter().any(|class| code.len() == 5 && code.starts_with(class))
                || (code.len() < 5 && code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6)))
        }),
        // The driver's words for a connection that ended in the middle of an answer.
        sqlx::Error::Protocol(text) => text.contains("unexpected EOF") || text.contains("connection"),
        _ => false,
    }
}

/// Milliseconds since 1970-01-01 UTC.
pub fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

/// Whether the database answers.
///
/// # Errors
/// When it does not.
pub async fn ping(db: &Db) -> sqlx::Result<()> {
    sqlx::query("SELECT 1").execute(db.read()).await.map(drop)
}
