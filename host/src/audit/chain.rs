//! The hashes of the audit log.

use aws_lc_rs::digest::{Context, SHA256};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{
    db::audit::{AuditRow, PersonalRow},
    secrets::random,
};

/// What the first row names as the hash before it.
pub const START: &str = "start";

/// A new salt.
///
/// # Errors
/// When the system gives no random bytes.
pub fn salt() -> sqlx::Result<String> {
    let bytes = random::<16>().map_err(|e| sqlx::Error::Encode(e.into()))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// The hash of a row: of every column but the hash itself.
pub fn hash(row: &AuditRow) -> String {
    of(&[
        b"zotify audit 1",
        &row.seq.to_be_bytes(),
        &row.at.to_be_bytes(),
        row.action.as_bytes(),
        row.outcome.as_bytes(),
        row.data.as_bytes(),
        row.personal_hash.as_bytes(),
        row.previous_hash.as_bytes(),
    ])
}

/// The hash of a personal part, with its salt.
pub fn personal_hash(row: &PersonalRow) -> String {
    let id = |id: &Option<String>| id.clone().unwrap_or_default();
    of(&[
        b"zotify audit personal 1",
        row.salt.as_bytes(),
        &row.seq.to_be_bytes(),
        id(&row.actor_id).as_bytes(),
        id(&row.user_id).as_bytes(),
        row.data.as_bytes(),
    ])
}

/// A hash of parts, each with its length in front, so that none runs into the next.
fn of(parts: &[&[u8]]) -> String {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part);
    }
    URL_SAFE_NO_PAD.encode(context.finish())
}
