//! What the host holds about a user: taking it away as a document, having it erased, keeping it no longer than needed.

pub mod columns;
pub mod erasure;
pub mod export;

use crate::{App, audit, db};

/// Rows that one transaction deletes, so that none keeps others waiting for long.
const BATCH: i64 = 1000;
/// Milliseconds of a day.
const DAY: i64 = 24 * 60 * 60 * 1000;

/// Forgets what is kept no longer at a time (Unix milliseconds): see the section `privacy` of the configuration. Stops early
/// when the host does.
///
/// # Errors
/// When the database fails. What was deleted until then stays deleted.
pub async fn clear(app: &App, now: i64) -> sqlx::Result<()> {
    let settings = &app.config.privacy;
    let since = |days: u32| now - i64::from(days) * DAY;
    let before = since(settings.audit_days);
    for step in audit::retain::due(&app.db, &app.secrets, &app.witness, before, BATCH).await? {
        if app.shutdown.is_cancelled() {
            break;
        }
        audit::retain::remove(&app.db, &app.secrets, &step).await?;
    }
    for prefix in audit::retain::SIGN_INS {
        while !app.shutdown.is_cancelled() && erase_sign_ins(app, prefix, since(settings.sign_in_days)).await? > 0 {}
    }
    if settings.history_days > 0 {
        while !app.shutdown.is_cancelled() && forget_plays(app, since(settings.history_days)).await? > 0 {}
    }
    Ok(())
}

async fn erase_sign_ins(app: &App, prefix: &str, before: i64) -> sqlx::Result<u64> {
    let mut tx = app.db.write().await?;
    let erased = db::audit::erase_old(&mut tx, prefix, before, BATCH).await?;
    tx.commit().await?;
    Ok(erased)
}

async fn forget_plays(app: &App, before: i64) -> sqlx::Result<u64> {
    let mut tx = app.db.write().await?;
    let forgotten = db::privacy::forget_plays(&mut tx, before, BATCH).await?;
    tx.commit().await?;
    Ok(forgotten)
}
