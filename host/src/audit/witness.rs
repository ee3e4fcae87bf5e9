//! What a host itself remembers of the log: the place that it saw sealed last.
//!
//! Whoever can write to the database can also remove the seal, or put an older one back. The host that sealed the log
//! still knows better: in memory, and from one start to the next in a file of its data folder. The file holds no secret
//! and is in the clear, so that it stays legible when the key is exchanged: who may write there could remove it as well.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use tokio::sync::{Mutex, MutexGuard};

use super::marks::Mark;
use crate::{
    config::Config,
    secrets::{sync_folder, write_private},
};

/// The file in the data folder.
const FILE: &str = "audit.seal";

/// The place that this host saw sealed last.
#[derive(Debug)]
pub struct Witness {
    file: PathBuf,
    known: Mutex<Known>,
}

/// In memory and in the file.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) sealed: Option<Mark>,
    pub(super) kept: Option<Mark>,
}

impl Witness {
    /// What an earlier run left in the data folder. A file that can't be read counts as none.
    pub fn of(config: &Config) -> Self {
        let file = config.server.data_dir.join(FILE);
        let mark = read(&file).unwrap_or_else(|error| {
            tracing::warn!("{} can't be read, so it does not vouch for the audit log: {error}", file.display());
            None
        });
        Self { file, known: Mutex::new(Known { sealed: mark.clone(), kept: mark }) }
    }

    /// The place. Ask before the database: until then another node, or this one, may seal a later one.
    pub(super) async fn sealed(&self) -> Option<Mark> {
        self.known.lock().await.sealed.clone()
    }

    pub(super) async fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().await
    }

    /// Writes the file anew. It must not tell of more than the database will hold after a power cut.
    pub(super) fn keep(&self, mark: &Mark) -> io::Result<()> {
        let staged = self.file.with_extension("seal.new");
        remove(&staged)?;
        write_private(&staged, &serde_json::to_string(mark)?)?;
        fs::rename(&staged, &self.file)?;
        sync_folder(&self.file)
    }
}

/// Removes the file: another database, with its log, takes the place of the present one.
///
/// # Errors
/// When it can't be removed.
pub fn forget(config: &Config) -> io::Result<()> {
    remove(&config.server.data_dir.join(FILE))
}

fn read(file: &Path) -> io::Result<Option<Mark>> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn remove(file: &Path) -> io::Result<()> {
    fs::remove_file(file).or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}
