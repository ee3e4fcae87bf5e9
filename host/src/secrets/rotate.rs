//! Exchanges the key: everything sealed is sealed anew, or given up where its key is lost.
//!
//! Both are made of steps, each of which may be the last before a kill. Before the commit the old key is the key, after it
//! the new one, and the canary tells which.

use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::{CANARY, KeyFile, Secrets, SecretsError, key_file, places};
use crate::{
    audit::{self, Actor, Entry, Outcome},
    backup::BackupError,
    config::Config,
    db::{self, Db, FlushError, Tx},
    nodes,
};

/// Why the key was not exchanged. Nothing was changed but with [`RotateError::Flush`].
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The present key is none, or not the right one.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// What was sealed anew is in the database, but may not survive a power cut: the next start finds the right key.
    #[error(transparent)]
    Flush(#[from] FlushError),
    /// The database has tables that the host does not know.
    #[error(transparent)]
    Schema(#[from] Box<BackupError>),
    /// There is nothing to exchange.
    #[error("nothing is sealed yet: the first start makes the key")]
    NothingSealed,
    /// Other nodes run.
    #[error("{0} nodes run on this database; stop them (a node that was killed counts for half a minute)")]
    NodesRunning(usize),
    /// The host can't write a new key into the configuration.
    #[error(
        "the key is secrets.master_key of the configuration: make a new one (`openssl rand -base64 32`) and name its file with --new-key-file"
    )]
    NewKeyNeeded,
    /// The new key is no key.
    #[error("{0} does not hold 32 bytes as base64; make a key with `openssl rand -base64 32`")]
    NewKeyInvalid(PathBuf),
    /// It is the same.
    #[error("the new key is the present one")]
    SameKey,
    /// It was done before.
    #[error("the database is sealed with the new key already; set secrets.master_key to it")]
    DoneBefore,
    /// There is nothing to give up.
    #[error("the key opens the database: nothing is lost; `secrets rotate` exchanges it for another")]
    NothingLost,
    /// A value does not open.
    #[error(
        "a value in {table} ({row}) can't be opened: it was damaged; restore a backup, or give up what is sealed with `secrets reset`"
    )]
    Damaged {
        /// The table.
        table: &'static str,
        /// The row.
        row: String,
    },
    /// Sealed values where none should be.
    #[error("{table}.{column} holds sealed values that this version does not know how to seal anew")]
    Unlisted {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
}

/// An exchange of the key.
pub struct Rotation {
    old: Secrets,
    new: Secrets,
    /// Where the key is not configured.
    file: Option<KeyFile>,
}

impl Rotation {
    /// Finds both keys. Where the key is in its file, the new one now stands beside it. No host may run on the database:
    /// the caller holds the locks.
    ///
    /// # Errors
    /// When one of the keys is none, or other nodes run.
    pub async fn prepare(config: &Config, db: &Db, new_key_file: Option<PathBuf>) -> Result<Self, RotateError> {
        no_nodes(db).await?;
        let canary = Secrets::canary(db.read()).await?.ok_or(RotateError::NothingSealed)?;
        let given = new_key_file.as_deref().map(given_key).transpose()?;
        match &config.secrets.master_key {
            Some(text) => {
                let (_, new) = given.ok_or(RotateError::NewKeyNeeded)?;
                let old = Secrets::from_text(text).ok_or(SecretsError::MasterKeyInvalid)?;
                match (old.is_key_of(&canary), new.is_key_of(&canary)) {
                    (true, true) => Err(RotateError::SameKey),
                    (true, false) => Ok(Self { old, new, file: None }),
                    (false, true) => Err(RotateError::DoneBefore),
                    (false, false) => Err(SecretsError::WrongKey.into()),
                }
            }
            None => {
                let file = KeyFile::of(config);
                let (old, place) = file.open(&canary)?;
                file.settle(place)?;
                let (text, new) = match given {
                    Some(given) => given,
                    None => generated()?,
                };
                if new.is_key_of(&canary) {
                    return Err(RotateError::SameKey);
                }
                file.stage(text.expose_secret())?;
                Ok(Self { old, new, file: Some(file) })
            }
        }
    }

    /// Seals everything with the new key, in one transaction; answers how many values there were.
    ///
    /// # Errors
    /// When a value can't be opened, or the database fails.
    pub async fn reseal(&self, db: &Db) -> Result<u64, RotateError> {
        let mut tx = db.write().await?;
        let count = self.reseal_within(&mut tx).await?;
        tx.commit().await?;
        // Before the old key goes: a commit that a power cut undoes would need it.
        db.flush().await?;
        Ok(count)
    }

    /// As [`Rotation::reseal`], in a transaction that is still to be committed.
    ///
    /// # Errors
    /// As [`Rotation::reseal`].
    pub async fn reseal_within(&self, tx: &mut Tx) -> Result<u64, RotateError> {
        // A node that starts now waits here.
        db::state::lock(tx, CANARY).await?;
        let count = places::reseal(tx, &self.old, &self.new).await?;
        put_on_record(tx, "secret_key.rotated", count).await?;
        Ok(count)
    }

    /// Puts the new key in the old one's place, where it is in a file; where it is configured, that is for people.
    ///
    /// # Errors
    /// When the file can't be renamed. The next start tries again.
    pub fn finish(self) -> Result<(), RotateError> {
        Ok(self.file.map_or(Ok(()), |file| file.swap())?)
    }
}

/// Gives up everything that was sealed with a key that is lost: keys of access tokens and of signed links. The configured
/// key, or a new one in the key's file, takes its place. Answers how many values there were. No host may run on the
/// database: the caller holds the locks.
///
/// # Errors
/// When the key is not lost, or the database fails.
pub async fn reset(config: &Config, db: &Db) -> Result<u64, RotateError> {
    no_nodes(db).await?;
    let canary = Secrets::canary(db.read()).await?.ok_or(RotateError::NothingSealed)?;
    if let Some(text) = &config.secrets.master_key {
        let new = Secrets::from_text(text).ok_or(SecretsError::MasterKeyInvalid)?;
        return give_up(db, &canary, &new).await;
    }
    let file = KeyFile::of(config);
    if file.open(&canary).is_ok() {
        return Err(RotateError::NothingLost);
    }
    // It may be the key of something else.
    file.keep_aside()?;
    let (text, new) = generated()?;
    file.stage(text.expose_secret())?;
    let count = give_up(db, &canary, &new).await?;
    file.swap()?;
    Ok(count)
}

async fn give_up(db: &Db, canary: &[u8], new: &Secrets) -> Result<u64, RotateError> {
    if new.is_key_of(canary) {
        return Err(RotateError::NothingLost);
    }
    let mut tx = db.write().await?;
    db::state::lock(&mut tx, CANARY).await?;
    let count = places::give_up(&mut tx, new).await?;
    put_on_record(&mut tx, "secret_key.reset", count).await?;
    tx.commit().await?;
    db.flush().await?;
    Ok(count)
}

async fn put_on_record(tx: &mut Tx, action: &str, values: u64) -> sqlx::Result<()> {
    let (data, personal) = (json!({ "values": values }), json!({}));
    audit::record(tx, Entry { action, outcome: Outcome::Ok, actor: Actor::COMMAND, user: None, data, personal }).await
}

async fn no_nodes(db: &Db) -> Result<(), RotateError> {
    match nodes::running(db).await? {
        0 => Ok(()),
        nodes => Err(RotateError::NodesRunning(nodes)),
    }
}

fn given_key(path: &std::path::Path) -> Result<(SecretString, Secrets), RotateError> {
    let invalid = || RotateError::NewKeyInvalid(path.to_owned());
    let text = key_file::read(path).map_err(|error| match error {
        SecretsError::KeyFileInvalid(_) => invalid(),
        SecretsError::KeyFileMissing(path) => {
            SecretsError::KeyFile { path, source: std::io::ErrorKind::NotFound.into() }.into()
        }
        error => error.into(),
    })?;
    let secrets = Secrets::from_text(&text).ok_or_else(invalid)?;
    Ok((text, secrets))
}

fn generated() -> Result<(SecretString, Secrets), RotateError> {
    let text = key_file::generate()?;
    let secrets = Secrets::from_text(&text).ok_or(SecretsError::NoRandom)?;
    Ok((text, secrets))
}
