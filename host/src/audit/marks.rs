//! What is noted of the log outside of it, so that rows missing at either end are noticed.
//!
//! The head is where the log ends, written with every row. The seal is an end that the host found whole, under the master
//! key: whoever can write to the database but has no key can't make another. The anchor is the last row that retention
//! removed, under the key too.

use serde::{Deserialize, Serialize};
use sqlx::any::AnyExecutor;

use super::chain;
use crate::{
    db::{self, Tx},
    secrets::Secrets,
};

/// Where the log ends. In the clear: it stops who cuts the log, not who also rewrites this.
const HEAD: &str = "audit.head";
/// An end that was found whole, sealed. The name is the sealing context as well.
pub const SEAL: &str = "audit.seal";
/// The last row that retention removed, sealed. The name is the sealing context as well.
pub const ANCHOR: &str = "audit.anchor";

/// A place in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The row's place.
    pub seq: i64,
    /// The row's hash.
    pub hash: String,
}

impl Default for Mark {
    /// Before the first row.
    fn default() -> Self {
        Self { seq: 0, hash: chain::START.into() }
    }
}

/// A sealed mark that can't be opened: it was changed, or sealed under another key.
#[derive(Clone, Copy, Debug)]
pub struct Broken;

/// Where the log should end; none where nothing legible is noted.
///
/// # Errors
/// When the database fails.
pub async fn head(db: impl AnyExecutor<'_>) -> sqlx::Result<Option<Mark>> {
    Ok(db::state::get(db, HEAD).await?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// Notes where the log ends.
///
/// # Errors
/// When the database fails.
pub async fn set_head(tx: &mut Tx, mark: &Mark) -> sqlx::Result<()> {
    db::state::set(tx, HEAD, &json(mark)?).await
}

/// Reads a sealed mark.
///
/// # Errors
/// When the database fails; within, when the mark is not one that this host sealed.
pub async fn sealed(
    db: impl AnyExecutor<'_>,
    secrets: &Secrets,
    key: &str,
) -> sqlx::Result<Result<Option<Mark>, Broken>> {
    let Some(bytes) = db::state::get(db, key).await? else { return Ok(Ok(None)) };
    let opened = secrets.open(key, &bytes).ok().and_then(|plain| serde_json::from_slice(&plain).ok());
    Ok(opened.map(Some).ok_or(Broken))
}

/// Writes a sealed mark.
///
/// # Errors
/// When the database or the system's cryptography fails.
pub async fn set_sealed(tx: &mut Tx, secrets: &Secrets, key: &str, mark: &Mark) -> sqlx::Result<()> {
    let bytes = secrets.seal(key, &json(mark)?).map_err(|e| sqlx::Error::Encode(e.into()))?;
    db::state::set(tx, key, &bytes).await
}

/// Seals the end of the log as it is: the first seal of a log, or of a key.
///
/// # Errors
/// When the database or the system's cryptography fails.
pub async fn seal_end(tx: &mut Tx, secrets: &Secrets) -> sqlx::Result<()> {
    let end = head(&mut **tx).await?.unwrap_or_default();
    set_sealed(tx, secrets, SEAL, &end).await
}

/// Makes the oldest row that is left the start of the log, under a new key: the former anchor is lost with its key.
///
/// # Errors
/// When the database or the system's cryptography fails.
pub async fn anchor_anew(tx: &mut Tx, secrets: &Secrets) -> sqlx::Result<()> {
    let Some((seq, previous_hash)) = db::audit::oldest(&mut **tx).await? else { return Ok(()) };
    if seq == 1 {
        return Ok(());
    }
    set_sealed(tx, secrets, ANCHOR, &Mark { seq: seq - 1, hash: previous_hash }).await
}

fn json(mark: &Mark) -> sqlx::Result<Vec<u8>> {
    serde_json::to_vec(mark).map_err(|e| sqlx::Error::Encode(e.into()))
}
