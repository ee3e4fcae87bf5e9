//! Removes what was kept long enough, so that the rest can still be verified.

use super::{
    marks::{self, Broken, Mark},
    verify::{self, Fault, PAGE, Walk},
    witness::Witness,
};
use crate::{
    db::{self, Db},
    secrets::Secrets,
};

/// In front of the actions whose personal part goes first.
pub const SIGN_INS: [&str; 2] = ["session.", "sign_in."];

/// Up to where rows from before a time (Unix milliseconds) may be removed at the start of the log, in steps of at most
/// `step` rows, each of which is for [`remove`]. None unless the chain holds as far as it was sealed: a log that was
/// written anew differs from what was sealed only there, and removing what was tampered with would hide it.
///
/// # Errors
/// When the database fails.
pub async fn due(db: &Db, secrets: &Secrets, witness: &Witness, before: i64, step: i64) -> sqlx::Result<Vec<Mark>> {
    let known = witness.sealed().await;
    let mut tx = db.snapshot().await?;
    let keep = db::audit::first_since(&mut *tx, before).await?.unwrap_or(i64::MAX);
    if db::audit::oldest(&mut *tx).await?.is_none_or(|(oldest, _)| oldest >= keep) {
        return Ok(Vec::new());
    }
    let (anchor, seal) = match verify::notes(&mut tx, secrets, known.as_ref()).await? {
        Ok((anchor, Some(seal))) => (anchor.unwrap_or_default(), seal),
        Ok((_, None)) => return Ok(refuse(&verify::unsealed(0))),
        Err(fault) => return Ok(refuse(&fault)),
    };
    let last = seal.seq.min(keep.saturating_sub(1));
    let (first, mut steps) = (anchor.seq, Vec::new());
    let mut walk = Walk::from(anchor, Some(seal.clone()));
    let mut after = i64::MIN;
    while walk.last.seq < seal.seq {
        let rows = db::audit::scan(&mut *tx, after, PAGE).await?;
        if rows.is_empty() {
            return Ok(walk.end(Some(&seal)).err().map_or_else(Vec::new, |fault| refuse(&fault)));
        }
        for full in &rows {
            if let Err(fault) = walk.step(full) {
                return Ok(refuse(&fault));
            }
            after = walk.last.seq;
            if after == last || (after < last && (after - first) % step == 0) {
                steps.push(walk.last.clone());
            }
        }
    }
    Ok(steps)
}

fn refuse(fault: &Fault) -> Vec<Mark> {
    tracing::error!("nothing is removed from the audit log, which is not whole: {fault}");
    Vec::new()
}

/// Removes the rows up to a place that [`due`] answered, which becomes the start of the log: what follows is checked
/// against it, whatever became of the rows since.
///
/// # Errors
/// When the database fails.
pub async fn remove(db: &Db, secrets: &Secrets, last: &Mark) -> sqlx::Result<()> {
    let mut tx = db.write().await?;
    db::state::lock(&mut tx, marks::ANCHOR).await?;
    match marks::sealed(&mut *tx, secrets, marks::ANCHOR).await? {
        // Another node was quicker.
        Ok(Some(anchor)) if anchor.seq >= last.seq => return Ok(()),
        Ok(_) => {}
        Err(Broken) => {
            refuse(&verify::forged());
            return Ok(());
        }
    }
    db::audit::remove_to(&mut tx, last.seq).await?;
    marks::set_sealed(&mut tx, secrets, marks::ANCHOR, last).await?;
    tx.commit().await
}
