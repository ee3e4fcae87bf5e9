//! When libraries are read although nothing says that they changed.

use crate::{App, accounts::Account, db, db::Tx, db::now_ms, secrets::random};

/// How often, in milliseconds, where neither the account nor the configuration says it.
const EVERY: i64 = 6 * 3600 * 1000;
/// The shortest time between two such reads, in seconds.
pub const SHORTEST_S: i64 = 300;

/// How often an account is read, in milliseconds; none: never by itself.
pub fn every(app: &App, account: &Account) -> Option<i64> {
    let configured = || app.config.providers.get(&account.instance).and_then(|instance| instance.pull_every_s);
    match account.pull_every_s.or_else(|| configured().map(i64::from)) {
        Some(0) => None,
        Some(seconds) => Some(seconds.max(SHORTEST_S).saturating_mul(1000)),
        None => Some(EVERY),
    }
}

/// When an account is read next after a time (Unix milliseconds): up to a tenth later than it might, so that what was
/// connected together is not read together for ever.
pub fn next(app: &App, account: &Account, after: i64) -> Option<i64> {
    let every = every(app, account)?;
    let part = i64::from(u16::from_le_bytes(random::<2>().unwrap_or_default()));
    Some(after.saturating_add(every).saturating_add(every / 10 * part / i64::from(u16::MAX)))
}

/// Whether an account is to be read now (Unix milliseconds). Nothing is while somebody has to sign in.
pub fn is_due(app: &App, account: &Account, now: i64) -> bool {
    let Some(every) = every(app, account).filter(|_| account.state != "auth_required") else { return false };
    let last = account.last_pull_at.map_or(0, |at| at.saturating_add(every));
    account.next_pull_at.unwrap_or(last) <= now
}

/// Sets when an account is read next, after a read has ended.
///
/// # Errors
/// When the database fails.
pub async fn set_next(app: &App, tx: &mut Tx, account: &Account) -> sqlx::Result<()> {
    db::accounts::set_next_pull(tx, &account.id, next(app, account, now_ms())).await
}
