//! Removes what was kept long enough, so that the rest can still be verified.

use super::{
    marks::{self, Broken},
    verify::Walk,
};
use crate::{
    db::{self, Db},
    secrets::Secrets,
};

/// In front of the actions whose personal part goes first.
pub const SIGN_INS: [&str; 2] = ["session.", "sign_in."];

/// Removes rows from before a time (Unix milliseconds) at the start of the log, at most `limit`; answers how many. A row
/// is only removed with all before it, and only where the chain holds: removing what was tampered with would hide it.
///
/// # Errors
/// When the database fails.
pub async fn remove(db: &Db, secrets: &Secrets, before: i64, limit: i64) -> sqlx::Result<u64> {
    let mut tx = db.write().await?;
    db::state::lock(&mut tx, marks::ANCHOR).await?;
    let anchor = match marks::sealed(&mut *tx, secrets, marks::ANCHOR).await? {
        Ok(anchor) => anchor.unwrap_or_default(),
        Err(Broken) => {
            tracing::error!("nothing is removed from the audit log: its start is not sealed with this host's key");
            return Ok(0);
        }
    };
    let keep = db::audit::first_since(&mut *tx, before).await?.unwrap_or(i64::MAX);
    let mut walk = Walk::from(anchor, None);
    let rows = db::audit::scan(&mut *tx, i64::MIN, limit).await?;
    for full in rows.iter().take_while(|full| full.row.seq < keep) {
        if let Err(fault) = walk.step(full) {
            tracing::error!("nothing is removed from the audit log, which is not whole: {fault}");
            return Ok(0);
        }
    }
    let removed = db::audit::remove_to(&mut tx, walk.last.seq).await?;
    if removed > 0 {
        marks::set_sealed(&mut tx, secrets, marks::ANCHOR, &walk.last).await?;
    }
    tx.commit().await?;
    Ok(removed)
}
