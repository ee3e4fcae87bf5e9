//! The key's file, and the exchange of the key for another.
//!
//! A new key first stands beside the old one, then the database is sealed with it, then it takes the old one's place. The
//! database's canary tells at any time which of the two is the key, so an exchange that was killed is finished or undone
//! by the next start.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::SecretString;

use super::{KEY_FILE, KEY_LENGTH, Secrets, SecretsError, random, write_private};
use crate::config::Config;

/// The file of a key that is still to become the key.
const STAGED: &str = "secret.key.new";

/// Where the key of a database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In its file.
    Current,
    /// In the file beside it: an exchange was killed before its last step.
    Staged,
}

/// The key's file in a data folder.
#[derive(Clone, Debug)]
pub struct KeyFile {
    current: PathBuf,
    staged: PathBuf,
}

impl KeyFile {
    /// That of a configuration.
    pub fn of(config: &Config) -> Self {
        let folder = &config.server.data_dir;
        Self { current: folder.join(KEY_FILE), staged: folder.join(STAGED) }
    }

    /// The key's path.
    pub fn path(&self) -> &Path {
        &self.current
    }

    /// Finds the key that sealed the canary. Changes nothing.
    ///
    /// # Errors
    /// When there is no key, or not the right one.
    pub fn open(&self, canary: &[u8]) -> Result<(Secrets, Place), SecretsError> {
        let (_, secrets, place) = self.find(canary)?;
        Ok((secrets, place))
    }

    /// The text of the key that sealed the canary.
    ///
    /// # Errors
    /// As [`KeyFile::open`].
    pub fn text(&self, canary: &[u8]) -> Result<SecretString, SecretsError> {
        self.find(canary).map(|(text, ..)| text)
    }

    fn find(&self, canary: &[u8]) -> Result<(SecretString, Secrets, Place), SecretsError> {
        let at = |path: &Path, place| {
            let text = read(path)?;
            let secrets = Secrets::from_text(&text).ok_or_else(|| SecretsError::KeyFileInvalid(path.to_owned()))?;
            if secrets.is_key_of(canary) { Ok((text, secrets, place)) } else { Err(SecretsError::WrongKey) }
        };
        // What is wrong with the key itself is what there is to tell.
        at(&self.current, Place::Current).or_else(|error| at(&self.staged, Place::Staged).map_err(|_| error))
    }

    /// Finishes or undoes an exchange that was killed.
    ///
    /// # Errors
    /// When a file can't be renamed or removed.
    pub fn settle(&self, place: Place) -> Result<(), SecretsError> {
        match place {
            Place::Staged => self.swap(),
            Place::Current => match fs::remove_file(&self.staged) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&self.staged, error)),
                _ => Ok(()),
            },
        }
    }

    /// Puts a new key beside the old one, over what an earlier exchange may have left.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn stage(&self, text: &str) -> Result<(), SecretsError> {
        self.settle(Place::Current)?;
        let written = write_private(&self.staged, &format!("{}\n", text.trim()));
        written.and_then(|()| sync_folder(&self.staged)).map_err(|error| failed(&self.staged, error))
    }

    /// Puts the new key in the old one's place.
    ///
    /// # Errors
    /// When the file can't be renamed.
    pub fn swap(&self) -> Result<(), SecretsError> {
        let swapped = fs::rename(&self.staged, &self.current).and_then(|()| sync_folder(&self.current));
        swapped.map_err(|error| failed(&self.current, error))
    }

    /// Keeps the key's file, and one of a killed exchange, under other names beside them, whatever they hold; does
    /// nothing where there is none.
    ///
    /// # Errors
    /// When one can't be read or written.
    pub fn keep_aside(&self) -> Result<(), SecretsError> {
        let time = chrono::Utc::now().format("%Y%m%dT%H%M%S%.3fZ");
        self.copy(|name| self.current.with_file_name(format!("{name}.before-reset-{time}")))
    }

    /// Copies the key's file, and one of a killed exchange, into a folder, as they are; does nothing where there is none.
    ///
    /// # Errors
    /// When one can't be read or written.
    pub fn copy_to(&self, folder: &Path) -> Result<(), SecretsError> {
        self.copy(|name| folder.join(name))
    }

    /// Either of the two may be the only key of a database.
    fn copy(&self, place: impl Fn(&str) -> PathBuf) -> Result<(), SecretsError> {
        for (file, name) in [(&self.current, KEY_FILE), (&self.staged, STAGED)] {
            let text = match fs::read(file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                read => read.map_err(|error| failed(file, error))?,
            };
            let copy = place(name);
            let written = super::write_new(&copy, &text).and_then(|()| sync_folder(&copy));
            written.map_err(|error| failed(&copy, error))?;
        }
        Ok(())
    }
}

/// A new key, as its file holds it.
///
/// # Errors
/// When the system has no random bytes.
pub(super) fn generate() -> Result<SecretString, SecretsError> {
    Ok(STANDARD.encode(random::<KEY_LENGTH>()?).into())
}

/// The text of a key's file.
///
/// # Errors
/// When it can't be read or is no text.
pub(super) fn read(path: &Path) -> Result<SecretString, SecretsError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.into()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(SecretsError::KeyFileInvalid(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(SecretsError::KeyFileMissing(path.to_owned())),
        Err(error) => Err(failed(path, error)),
    }
}

/// Makes sure that a file's name survives a power cut.
///
/// # Errors
/// When its folder can't be opened.
pub fn sync_folder(file: &Path) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn failed(path: &Path, source: io::Error) -> SecretsError {
    SecretsError::KeyFile { path: path.to_owned(), source }
}
