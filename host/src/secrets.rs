//! Seals what must not be readable in the database: AES-256-GCM under one master key.
//!
//! The key is `secrets.master_key` where it is configured; else, with SQLite, a file beside the database that is made on
//! the first start. A canary in the database proves at every start that the key is the one that sealed the rest.

mod key_file;
mod places;
pub mod rotate;

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    hmac, rand,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use sqlx::any::AnyExecutor;

pub use self::key_file::{KeyFile, sync_folder};
use crate::{
    config::Config,
    db::{self, Db, Dialect},
};

/// The file in the data folder that holds the key.
pub const KEY_FILE: &str = "secret.key";

/// The first byte of everything sealed; another layout would count up.
const FORMAT: u8 = 1;
/// Bytes of the key's id.
const KEY_ID: usize = 4;
/// Bytes in front of the ciphertext: format, key id, nonce.
const HEAD: usize = 1 + KEY_ID + NONCE_LEN;
/// Bytes of a master key.
const KEY_LENGTH: usize = 32;

/// The row that is only there to be opened.
const CANARY: &str = "secrets.canary";

/// Why nothing can be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// PostgreSQL is shared by several nodes, so the key can't be a file of one of them.
    #[error(
        "secrets.master_key is not set; with PostgreSQL every node needs the same 32 random bytes as base64 (`openssl rand -base64 32`)"
    )]
    MasterKeyMissing,
    /// The configured key is no key.
    #[error("secrets.master_key is not 32 bytes as base64; make one with `openssl rand -base64 32`")]
    MasterKeyInvalid,
    /// The key's file holds no key.
    #[error("{0} does not hold 32 bytes as base64; restore it from a backup, or give up what it sealed: secrets reset")]
    KeyFileInvalid(PathBuf),
    /// The key's file is gone while there are things that it sealed.
    #[error(
        "{0} is missing, but the database holds secrets that it sealed; restore it from a backup, or give them up: secrets reset"
    )]
    KeyFileMissing(PathBuf),
    /// The key's file can't be read or written.
    #[error("{path}: {source}")]
    KeyFile {
        /// Where it is.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The key is a good one, but not the one of this database.
    #[error(
        "the master key is not the one that sealed this database's secrets; put the former one back (secrets.master_key, or secret.key in the data folder)"
    )]
    WrongKey,
    /// What should be opened was changed, cut, sealed for another place or by another key.
    #[error("a sealed value can't be opened: it was damaged or sealed by another key")]
    Damaged,
    /// The system gave no random bytes.
    #[error("the system's random source failed")]
    NoRandom,
    /// The canary could not be read or written.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

/// Seals and opens.
pub struct Secrets {
    id: [u8; KEY_ID],
    key: RandomizedNonceKey,
    fingerprints: hmac::Key,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

impl Secrets {
    /// Finds the master key, makes one where that is safe, and checks it against the database.
    ///
    /// # Errors
    /// When there is no key, it is not the right one, or the database fails.
    pub async fn load(config: &Config, db: &Db) -> Result<Self, SecretsError> {
        let canary = Self::canary(db.read()).await?;
        let secrets = match &config.secrets.master_key {
            Some(text) => Self::from_text(text).ok_or(SecretsError::MasterKeyInvalid)?,
            None if db.dialect() == Dialect::Postgres => return Err(SecretsError::MasterKeyMissing),
            None => Self::from_folder(&KeyFile::of(config), canary.as_deref())?,
        };
        secrets.check_canary(db).await?;
        Ok(secrets)
    }

    /// What proves the key; none before the first start.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn canary(db: impl AnyExecutor<'_>) -> sqlx::Result<Option<Vec<u8>>> {
        db::state::get(db, CANARY).await
    }

    /// Checks the key against the database's canary. Changes nothing.
    ///
    /// # Errors
    /// When there is no key although there is a canary, the key is none, or not the right one.
    pub fn check(config: &Config, canary: Option<&[u8]>) -> Result<(), SecretsError> {
        match (&config.secrets.master_key, canary) {
            (Some(text), canary) => {
                let secrets = Self::from_text(text).ok_or(SecretsError::MasterKeyInvalid)?;
                if canary.is_none_or(|canary| secrets.is_key_of(canary)) { Ok(()) } else { Err(SecretsError::WrongKey) }
            }
            (None, Some(canary)) => KeyFile::of(config).open(canary).map(drop),
            (None, None) => match Self::from_file(KeyFile::of(config).path(), false) {
                Err(SecretsError::KeyFileMissing(_)) => Ok(()),
                other => other.map(drop),
            },
        }
    }

    /// Whether this is the key that sealed a canary.
    pub fn is_key_of(&self, canary: &[u8]) -> bool {
        self.open(CANARY, canary).is_ok()
    }

    /// Makes a sealer from the key itself.
    ///
    /// # Errors
    /// When the system's cryptography refuses the key.
    pub fn from_key(key: &[u8; KEY_LENGTH]) -> Result<Self, SecretsError> {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), b"zotify key id");
        let mut id = [0; KEY_ID];
        id.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        let fingerprints = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), b"zotify fingerprints");
        let key = RandomizedNonceKey::new(&AES_256_GCM, key).map_err(|_| SecretsError::MasterKeyInvalid)?;
        Ok(Self { id, key, fingerprints: hmac::Key::new(hmac::HMAC_SHA256, fingerprints.as_ref()) })
    }

    /// Makes a sealer from a key's text; nothing where it is none.
    pub fn from_text(text: &SecretString) -> Option<Self> {
        let bytes = SecretBox::new(Box::new(STANDARD.decode(text.expose_secret().trim()).ok()?));
        Self::from_key(bytes.expose_secret().as_slice().try_into().ok()?).ok()
    }

    /// Reads the key's file; finishes an exchange of the key that was killed, and makes a key on the first start.
    fn from_folder(file: &KeyFile, canary: Option<&[u8]>) -> Result<Self, SecretsError> {
        let Some(canary) = canary else { return Self::from_file(file.path(), true) };
        let (secrets, place) = file.open(canary)?;
        file.settle(place)?;
        Ok(secrets)
    }

    fn from_file(path: &Path, may_create: bool) -> Result<Self, SecretsError> {
        match key_file::read(path) {
            Ok(text) => Self::from_text(&text).ok_or_else(|| SecretsError::KeyFileInvalid(path.to_owned())),
            Err(SecretsError::KeyFileMissing(_)) if may_create => {
                let key = key_file::generate()?;
                write_private(path, &format!("{}\n", key.expose_secret()))
                    .map_err(|source| SecretsError::KeyFile { path: path.to_owned(), source })?;
                Self::from_text(&key).ok_or_else(|| SecretsError::KeyFileInvalid(path.to_owned()))
            }
            Err(error) => Err(error),
        }
    }

    /// Opens the canary, or leaves one where there is none yet.
    async fn check_canary(&self, db: &Db) -> Result<(), SecretsError> {
        let mut tx = db.write().await?;
        db::state::lock(&mut tx, CANARY).await?;
        match db::state::get(&mut *tx, CANARY).await? {
            Some(sealed) => self.open(CANARY, &sealed).map(drop).map_err(|_| SecretsError::WrongKey),
            None => {
                db::state::set(&mut tx, CANARY, &self.seal(CANARY, b"zotify")?).await?;
                Ok(tx.commit().await?)
            }
        }
    }

    /// A name for bytes, in hex, by which those who have the same key can tell whether they are the same. Nobody else can
    /// find out what they are by trying.
    pub fn fingerprint(&self, bytes: &[u8]) -> String {
        hmac::sign(&self.fingerprints, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Seals bytes. They open only with the same `context`, which names the place that they are kept in.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub fn seal(&self, context: &str, plain: &[u8]) -> Result<Vec<u8>, SecretsError> {
        let mut body = plain.to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(context.as_bytes()), &mut body)
            .map_err(|_| SecretsError::NoRandom)?;
        let mut sealed = Vec::with_capacity(HEAD + body.len());
        sealed.push(FORMAT);
        sealed.extend_from_slice(&self.id);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&body);
        Ok(sealed)
    }

    /// Opens what [`Secrets::seal`] sealed for the same `context`.
    ///
    /// # Errors
    /// [`SecretsError::Damaged`] for anything else.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>, SecretsError> {
        let (head, body) = sealed.split_at_checked(HEAD).ok_or(SecretsError::Damaged)?;
        let (label, nonce) = head.split_at(1 + KEY_ID);
        if label.first() != Some(&FORMAT) || label.get(1..) != Some(self.id.as_slice()) {
            return Err(SecretsError::Damaged);
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SecretsError::Damaged)?;
        let mut body = body.to_vec();
        let plain = self
            .key
            .open_in_place(nonce, Aad::from(context.as_bytes()), &mut body)
            .map_err(|_| SecretsError::Damaged)?
            .len();
        body.truncate(plain);
        Ok(body)
    }
}

/// Random bytes for keys and tokens.
///
/// # Errors
/// When the system has none.
pub fn random<const N: usize>() -> Result<[u8; N], SecretsError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| SecretsError::NoRandom)?;
    Ok(bytes)
}

/// Writes a new file that only its owner can read, and makes sure that it survives a power cut.
///
/// # Errors
/// When the file is there already or can't be written.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    write_new(path, text.as_bytes())
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(byte: u8) -> Secrets {
        Secrets::from_key(&[byte; KEY_LENGTH]).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_only_in_its_place_with_its_key() {
        let sealed = secrets(1).seal("accounts:7", b"token").unwrap();
        assert!(!sealed.windows(5).any(|part| part == b"token"));
        assert_eq!(secrets(1).open("accounts:7", &sealed).unwrap(), b"token");
        assert!(matches!(secrets(1).open("accounts:8", &sealed), Err(SecretsError::Damaged)));
        assert!(matches!(secrets(2).open("accounts:7", &sealed), Err(SecretsError::Damaged)));
    }

    #[test]
    fn every_changed_or_missing_byte_is_noticed() {
        let sealed = secrets(1).seal("x", b"token").unwrap();
        for i in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[i] ^= 1;
            assert!(secrets(1).open("x", &changed).is_err(), "byte {i}");
            assert!(secrets(1).open("x", &sealed[..i]).is_err(), "cut at {i}");
        }
    }

    #[test]
    fn nothing_is_sealed_the_same_way_twice() {
        assert_ne!(secrets(1).seal("x", b"token").unwrap(), secrets(1).seal("x", b"token").unwrap());
    }

    #[test]
    fn the_key_file_is_made_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(KEY_FILE);
        let sealed = Secrets::from_file(&path, true).unwrap().seal("x", b"token").unwrap();
        assert_eq!(Secrets::from_file(&path, false).unwrap().open("x", &sealed).unwrap(), b"token");
        #[cfg(unix)]
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions()) & 0o777, 0o600);
    }

    #[test]
    fn a_lost_or_broken_key_file_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(KEY_FILE);
        assert!(matches!(Secrets::from_file(&path, false), Err(SecretsError::KeyFileMissing(_))));
        for broken in ["", "abc", "AAAA", "\u{fffd}"] {
            fs::write(&path, broken).unwrap();
            assert!(matches!(Secrets::from_file(&path, true), Err(SecretsError::KeyFileInvalid(_))));
            assert_eq!(fs::read_to_string(&path).unwrap(), broken);
        }
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(matches!(Secrets::from_file(&path, true), Err(SecretsError::KeyFileInvalid(_))));
    }

    #[tokio::test]
    async fn the_canary_refuses_another_key() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::connect(&format!("sqlite://{}", dir.path().join("t.db").display())).await.unwrap();
        db.migrate().await.unwrap();
        secrets(1).check_canary(&db).await.unwrap();
        secrets(1).check_canary(&db).await.unwrap();
        assert!(matches!(secrets(2).check_canary(&db).await, Err(SecretsError::WrongKey)));
    }
}
