//! How often services were asked (`budgets`, `budget_use`). Times are those of [`crate::db::clock`].

use sqlx::{FromRow, any::AnyExecutor};

use super::{Tx, query::Sql};

/// What is known of a key.
#[derive(Clone, Debug, Default, FromRow)]
pub struct Budget {
    /// When its window began, Unix milliseconds.
    pub window_at: i64,
    /// Requests in it.
    pub window_used: i64,
    /// Requests in the window before it.
    pub window_before: i64,
    /// No request before, Unix milliseconds.
    pub blocked_until: Option<i64>,
    /// Why.
    pub blocked_code: Option<String>,
    /// How often in a row the service refused without saying for how long.
    pub strikes: i64,
}

/// The requests of an account in the last hours.
#[derive(Clone, Debug, Default, FromRow)]
pub struct Use {
    /// The account; empty for those that were for none.
    pub account_id: String,
    /// Requests, but for the oldest of the hours.
    pub used: i64,
    /// Requests in that hour.
    pub oldest: i64,
    /// Those of `used` that nobody waited for.
    pub background: i64,
    /// Those of `oldest` that nobody waited for.
    pub oldest_background: i64,
}

/// What shares a window, and what shares a quota.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Keys {
    /// The key of the window.
    pub window: String,
    /// The key of the quota.
    pub quota: String,
}

/// What is known of a key.
///
/// # Errors
/// When the database fails.
pub async fn find(db: impl AnyExecutor<'_>, instance: &str, key: &str) -> sqlx::Result<Option<Budget>> {
    sqlx::query_as(
        "SELECT window_at, window_used, window_before, blocked_until, blocked_code, strikes FROM budgets
         WHERE instance = $1 AND key = $2",
    )
    .bind(instance.to_owned())
    .bind(key.to_owned())
    .fetch_optional(db)
    .await
}

/// How many keys of an instance are known.
///
/// # Errors
/// When the database fails.
pub async fn count(db: impl AnyExecutor<'_>, instance: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT COUNT(*) FROM budgets WHERE instance = $1").bind(instance.to_owned()).fetch_one(db).await
}

/// Until when and why no request may be sent that would use these keys up; nothing where one may.
///
/// # Errors
/// When the database fails.
pub async fn blocked(
    db: impl AnyExecutor<'_>,
    instance: &str,
    keys: &Keys,
    now: i64,
) -> sqlx::Result<Option<(i64, Option<String>)>> {
    sqlx::query_as(
        "SELECT blocked_until, blocked_code FROM budgets
         WHERE instance = $1 AND key IN ($2, $3) AND blocked_until > $4 ORDER BY blocked_until DESC LIMIT 1",
    )
    .bind(instance.to_owned())
    .bind(keys.window.clone())
    .bind(keys.quota.clone())
    .bind(now)
    .fetch_optional(db)
    .await
}

/// Writes what was counted of a window.
///
/// # Errors
/// When the database fails.
pub async fn put_window(tx: &mut Tx, instance: &str, key: &str, counted: &Budget, now: i64) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO budgets (instance, key, window_at, window_used, window_before, strikes, updated_at)
         VALUES ($1, $2, $3, $4, $5, 0, $6)
         ON CONFLICT (instance, key) DO UPDATE SET window_at = excluded.window_at, window_used = excluded.window_used,
           window_before = excluded.window_before, updated_at = excluded.updated_at",
    )
    .bind(instance.to_owned())
    .bind(key.to_owned())
    .bind(counted.window_at)
    .bind(counted.window_used)
    .bind(counted.window_before)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Blocks a key until a time, and no shorter than it is blocked already.
///
/// # Errors
/// When the database fails.
pub async fn block(
    tx: &mut Tx,
    instance: &str,
    key: &str,
    until: i64,
    code: &str,
    strikes: i64,
    now: i64,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO budgets
           (instance, key, window_at, window_used, window_before, blocked_until, blocked_code, strikes, updated_at)
         VALUES ($1, $2, $6, 0, 0, $3, $4, $5, $6)
         ON CONFLICT (instance, key) DO UPDATE SET
           blocked_code = CASE WHEN budgets.blocked_until > excluded.blocked_until
             THEN budgets.blocked_code ELSE excluded.blocked_code END,
           blocked_until = CASE WHEN budgets.blocked_until > excluded.blocked_until
             THEN budgets.blocked_until ELSE excluded.blocked_until END,
           strikes = excluded.strikes, updated_at = excluded.updated_at",
    )
    .bind(instance.to_owned())
    .bind(key.to_owned())
    .bind(until)
    .bind(code.to_owned())
    .bind(strikes)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The service answers again: what it refused before does not count any more.
///
/// # Errors
/// When the database fails.
pub async fn reset_strikes(tx: &mut Tx, instance: &str, keys: &Keys) -> sqlx::Result<()> {
    sqlx::query("UPDATE budgets SET strikes = 0 WHERE instance = $1 AND key IN ($2, $3)")
        .bind(instance.to_owned())
        .bind(keys.window.clone())
        .bind(keys.quota.clone())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Counts a request in an hour (Unix time in hours).
///
/// # Errors
/// When the database fails.
pub async fn add_use(
    tx: &mut Tx,
    instance: &str,
    key: &str,
    hour: i64,
    account: &str,
    background: bool,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO budget_use (instance, key, hour, account_id, used, background) VALUES ($1, $2, $3, $4, 1, $5)
         ON CONFLICT (instance, key, hour, account_id) DO UPDATE SET used = budget_use.used + 1,
           background = budget_use.background + excluded.background",
    )
    .bind(instance.to_owned())
    .bind(key.to_owned())
    .bind(hour)
    .bind(account.to_owned())
    .bind(i64::from(background))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The requests since an hour (Unix time in hours), by account.
///
/// # Errors
/// When the database fails.
pub async fn uses(db: impl AnyExecutor<'_>, instance: &str, key: &str, oldest: i64) -> sqlx::Result<Vec<Use>> {
    sqlx::query_as(
        "SELECT account_id,
           CAST(SUM(CASE WHEN hour > $3 THEN used ELSE 0 END) AS BIGINT) AS used,
           CAST(SUM(CASE WHEN hour > $3 THEN 0 ELSE used END) AS BIGINT) AS oldest,
           CAST(SUM(CASE WHEN hour > $3 THEN background ELSE 0 END) AS BIGINT) AS background,
           CAST(SUM(CASE WHEN hour > $3 THEN 0 ELSE background END) AS BIGINT) AS oldest_background
         FROM budget_use WHERE instance = $1 AND key = $2 AND hour >= $3 GROUP BY account_id",
    )
    .bind(instance.to_owned())
    .bind(key.to_owned())
    .bind(oldest)
    .fetch_all(db)
    .await
}

/// The requests since an hour, by hour: of all or of one account, and only those that nobody waited for where that is
/// wanted.
///
/// # Errors
/// When the database fails.
pub async fn hours(
    db: impl AnyExecutor<'_>,
    instance: &str,
    key: &str,
    oldest: i64,
    account: Option<&str>,
    in_background: bool,
) -> sqlx::Result<Vec<(i64, i64)>> {
    sqlx::query_as(
        "SELECT hour, CAST(SUM(CASE WHEN $5 = 0 THEN used ELSE background END) AS BIGINT)
         FROM budget_use
         WHERE instance = $1 AND key = $2 AND hour >= $3 AND (CAST($4 AS TEXT) IS NULL OR account_id = $4)
         GROUP BY hour ORDER BY hour",
    )
    .bind(instance.to_owned())
    .bind(key.to_owned())
    .bind(oldest)
    .bind(account.map(str::to_owned))
    .bind(i64::from(in_background))
    .fetch_all(db)
    .await
}

/// Takes note of the keys that an account uses up.
///
/// # Errors
/// When the database fails.
pub async fn note_keys(tx: &mut Tx, instance: &str, account: &str, keys: &Keys) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE accounts SET budget_window = $3, budget_quota = $4 WHERE id = $1 AND instance = $2
           AND (budget_window IS NULL OR budget_window <> $3 OR budget_quota <> $4)",
    )
    .bind(account.to_owned())
    .bind(instance.to_owned())
    .bind(keys.window.clone())
    .bind(keys.quota.clone())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What is known of one of the keys that an account uses up.
#[derive(Clone, Debug, FromRow)]
pub struct OfAccount {
    /// The account.
    pub account_id: String,
    /// Not 0: it is the key of the window.
    pub is_window: i64,
    /// What is known of it; as if it were new where that is nothing.
    #[sqlx(flatten)]
    pub budget: Budget,
}

/// What is known of the keys that accounts use up: nothing of accounts that were not asked about yet.
///
/// # Errors
/// When the database fails.
pub async fn of_accounts(db: impl AnyExecutor<'_>, accounts: &[&str]) -> sqlx::Result<Vec<OfAccount>> {
    let mut sql = Sql::new(
        "SELECT a.id AS account_id, CAST(CASE WHEN b.key = a.budget_window THEN 1 ELSE 0 END AS BIGINT) AS is_window,
           COALESCE(b.window_at, 0) AS window_at, COALESCE(b.window_used, 0) AS window_used,
           COALESCE(b.window_before, 0) AS window_before, b.blocked_until, b.blocked_code,
           COALESCE(b.strikes, 0) AS strikes
         FROM accounts a
         LEFT JOIN budgets b ON b.instance = a.instance AND b.key IN (a.budget_window, a.budget_quota)
         WHERE a.budget_window IS NOT NULL AND a.id IN ",
    );
    sql.bind_list(accounts.iter().map(|&id| id.to_owned()));
    sql.query().fetch_all(db).await?.iter().map(OfAccount::from_row).collect()
}

/// The requests since an hour (Unix time in hours) that count as those of accounts: by account and hour, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn hours_of_accounts(
    db: impl AnyExecutor<'_>,
    accounts: &[&str],
    oldest: i64,
) -> sqlx::Result<Vec<(String, i64, i64)>> {
    let mut sql = Sql::new(
        "SELECT a.id, u.hour, CAST(SUM(u.used) AS BIGINT)
         FROM accounts a JOIN budget_use u ON u.instance = a.instance AND u.key = a.budget_quota
         WHERE u.hour >= ",
    );
    sql.bind(oldest).push(" AND a.id IN ").bind_list(accounts.iter().map(|&id| id.to_owned()));
    sql.push(" GROUP BY a.id, u.hour ORDER BY u.hour");
    sql.query().fetch_all(db).await?.iter().map(FromRow::from_row).collect()
}

/// What accounts of an instance share, at most 100: one of the accounts, and how many there are.
///
/// # Errors
/// When the database fails.
pub async fn sharers(db: impl AnyExecutor<'_>, instance: &str) -> sqlx::Result<Vec<(String, i64)>> {
    sqlx::query_as(
        "SELECT MIN(id), CAST(COUNT(*) AS BIGINT) FROM accounts
         WHERE instance = $1 AND budget_window IS NOT NULL
         GROUP BY budget_window, budget_quota ORDER BY budget_quota, budget_window LIMIT 100",
    )
    .bind(instance.to_owned())
    .fetch_all(db)
    .await
}

/// Forgets the use before an hour (Unix time in hours), and keys that were not used since a time (Unix milliseconds) nor
/// are blocked then; answers how many rows.
///
/// # Errors
/// When the database fails.
pub async fn forget(tx: &mut Tx, hour: i64, before: i64, limit: i64) -> sqlx::Result<u64> {
    let used = sqlx::query(
        "DELETE FROM budget_use WHERE (instance, key, hour, account_id) IN
           (SELECT instance, key, hour, account_id FROM budget_use WHERE hour < $1 LIMIT $2)",
    )
    .bind(hour)
    .bind(limit)
    .execute(&mut **tx)
    .await?;
    let keys = sqlx::query(
        "DELETE FROM budgets WHERE (instance, key) IN
           (SELECT instance, key FROM budgets
            WHERE updated_at < $1 AND (blocked_until IS NULL OR blocked_until < $1) LIMIT $2)",
    )
    .bind(before)
    .bind(limit)
    .execute(&mut **tx)
    .await?;
    Ok(used.rows_affected() + keys.rows_affected())
}
