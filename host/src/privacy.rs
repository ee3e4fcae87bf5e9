//! What the host holds about a user: taking it away as a document, having it erased, keeping it no longer than needed.

pub mod columns;
pub mod erasure;
pub mod export;

use crate::{App, audit, auth::throttle, db};

/// Rows that one transaction deletes, so that none keeps others waiting for long.
const BATCH: i64 = 1000;
/// Milliseconds of a day.
const DAY: i64 = 24 * 60 * 60 * 1000;
/// How long ended sessions stay on record, in milliseconds.
const KEEP_SESSIONS: i64 = 7 * DAY;
/// How long revoked keys, and used or ended invitations, stay on record, in milliseconds.
const KEEP_KEYS_AND_INVITES: i64 = 90 * DAY;

/// Forgets what is kept no longer at a time (Unix milliseconds): ended sessions after 7 days, revoked keys and ended
/// invitations after 90, setup flows a day after their end, failed sign-ins when the throttle does, and the rest as the section `privacy` of the configuration
/// says. Stops early when the host does.
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
        forget(app, db::privacy::OLD_PLAYS, since(settings.history_days)).await?;
    }
    forget(app, db::privacy::ENDED_SESSIONS, now - KEEP_SESSIONS).await?;
    forget(app, db::privacy::REVOKED_KEYS, now - KEEP_KEYS_AND_INVITES).await?;
    forget(app, db::privacy::ENDED_INVITES, now - KEEP_KEYS_AND_INVITES).await?;
    forget(app, db::privacy::ENDED_FLOWS, now - DAY).await?;
    forget(app, db::privacy::OLD_SIGN_IN_FAILURES, now - throttle::MEMORY).await
}

async fn erase_sign_ins(app: &App, prefix: &str, before: i64) -> sqlx::Result<u64> {
    let mut tx = app.db.write().await?;
    let erased = db::audit::erase_old(&mut tx, prefix, before, BATCH).await?;
    tx.commit().await?;
    Ok(erased)
}

async fn forget(app: &App, statement: &'static str, before: i64) -> sqlx::Result<()> {
    while !app.shutdown.is_cancelled() {
        let mut tx = app.db.write().await?;
        let forgotten = db::privacy::forget(&mut tx, statement, before, BATCH).await?;
        tx.commit().await?;
        if forgotten == 0 {
            break;
        }
    }
    Ok(())
}
