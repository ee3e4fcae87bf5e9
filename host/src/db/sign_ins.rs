//! Failed sign-ins (`sign_in_failures`): by name and the network that they come from, by name over all networks (where
//! the address is empty) and by network over all names (where the name is).

use sqlx::any::AnyExecutor;

use super::{Tx, now_ms};

/// Until when sign-ins with this name from this address are refused, Unix milliseconds.
///
/// # Errors
/// When the database fails.
pub async fn blocked_until(db: impl AnyExecutor<'_>, name_key: &str, address: &str) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar("SELECT blocked_until FROM sign_in_failures WHERE name_key = $1 AND address = $2")
        .bind(name_key.to_owned())
        .bind(address.to_owned())
        .fetch_optional(db)
        .await
}

/// Until when sign-ins are refused that have this name, or come from this address: the later time, Unix milliseconds.
///
/// # Errors
/// When the database fails.
pub async fn widely_blocked_until(
    db: impl AnyExecutor<'_>,
    name_key: &str,
    address: &str,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(
        "SELECT MAX(blocked_until) FROM sign_in_failures
         WHERE (name_key = $1 AND address = '') OR (name_key = '' AND address = $2)",
    )
    .bind(name_key.to_owned())
    .bind(address.to_owned())
    .fetch_one(db)
    .await
}

/// Forgets failures from before a time, Unix milliseconds.
///
/// # Errors
/// When the database fails.
pub async fn forget_old(tx: &mut Tx, before: i64) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM sign_in_failures WHERE last_at < $1").bind(before).execute(&mut **tx).await?;
    Ok(())
}

/// Counts one more failure; answers how many there were in a row, and until when sign-ins were refused before it (Unix
/// milliseconds). Of several at once, each sees what the one before it left.
///
/// # Errors
/// When the database fails.
pub async fn count_failure(tx: &mut Tx, name_key: &str, address: &str) -> sqlx::Result<(i64, i64)> {
    sqlx::query_as(
        "INSERT INTO sign_in_failures (name_key, address, failures, last_at, blocked_until) VALUES ($1, $2, 1, $3, 0)
         ON CONFLICT (name_key, address)
         DO UPDATE SET failures = sign_in_failures.failures + 1, last_at = excluded.last_at
         RETURNING failures, blocked_until",
    )
    .bind(name_key.to_owned())
    .bind(address.to_owned())
    .bind(now_ms())
    .fetch_one(&mut **tx)
    .await
}

/// Refuses sign-ins until a time, Unix milliseconds.
///
/// # Errors
/// When the database fails.
pub async fn block(tx: &mut Tx, name_key: &str, address: &str, until: i64) -> sqlx::Result<()> {
    sqlx::query("UPDATE sign_in_failures SET blocked_until = $3 WHERE name_key = $1 AND address = $2")
        .bind(name_key.to_owned())
        .bind(address.to_owned())
        .bind(until)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Forgets the failures, after a sign-in that worked.
///
/// # Errors
/// When the database fails.
pub async fn clear(tx: &mut Tx, name_key: &str, address: &str) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM sign_in_failures WHERE name_key = $1 AND address = $2")
        .bind(name_key.to_owned())
        .bind(address.to_owned())
        .execute(&mut **tx)
        .await?;
    Ok(())
}
