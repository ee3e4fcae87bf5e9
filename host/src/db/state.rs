//! Small facts of the host itself (`host_state`), and locks between nodes.

use aws_lc_rs::digest;
use sqlx::any::AnyExecutor;

use super::{Tx, clock};

/// Reads a fact.
///
/// # Errors
/// When the database fails.
pub async fn get(db: impl AnyExecutor<'_>, key: &str) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar("SELECT value FROM host_state WHERE key = $1").bind(key.to_owned()).fetch_optional(db).await
}

/// The facts whose key starts with a prefix (of letters, digits and dots) and that were written at or after a time (Unix
/// milliseconds): keys and values.
///
/// # Errors
/// When the database fails.
pub async fn list(db: impl AnyExecutor<'_>, prefix: &str, since: i64) -> sqlx::Result<Vec<(String, Vec<u8>)>> {
    sqlx::query_as("SELECT key, value FROM host_state WHERE key LIKE $1 AND updated_at >= $2 ORDER BY key")
        .bind(format!("{prefix}%"))
        .bind(since)
        .fetch_all(db)
        .await
}

/// Removes the facts whose key starts with a prefix and that were written before a time (Unix milliseconds).
///
/// # Errors
/// When the database fails.
pub async fn remove_old(tx: &mut Tx, prefix: &str, before: i64) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM host_state WHERE key LIKE $1 AND updated_at < $2")
        .bind(format!("{prefix}%"))
        .bind(before)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Writes a fact, over the old one.
///
/// # Errors
/// When the database fails.
pub async fn set(tx: &mut Tx, key: &str, value: &[u8]) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO host_state (key, value, updated_at) VALUES ($1, $2, $3)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
    )
    .bind(key.to_owned())
    .bind(value.to_vec())
    .bind(clock::now(tx).await?)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Removes a fact.
///
/// # Errors
/// When the database fails.
pub async fn remove(tx: &mut Tx, key: &str) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM host_state WHERE key = $1").bind(key.to_owned()).execute(&mut **tx).await?;
    Ok(())
}

/// Holds a lock of this name until the transaction ends, so that other nodes wait here. On SQLite the transaction is
/// the only writer already.
///
/// # Errors
/// When the database fails.
pub async fn lock(tx: &mut Tx, name: &str) -> sqlx::Result<()> {
    if tx.backend_name() == "PostgreSQL" {
        let digest = digest::digest(&digest::SHA256, name.as_bytes());
        let key = digest.as_ref().iter().take(8).fold(0_i64, |key, byte| (key << 8) | i64::from(*byte));
        sqlx::query("SELECT CAST(pg_advisory_xact_lock($1) AS TEXT)").bind(key).execute(&mut **tx).await?;
    }
    Ok(())
}

/// Where a lease is kept.
fn lease_key(name: &str) -> String {
    format!("lease.{name}")
}

/// Takes a lease of this name for `holder`, where nobody has it or its last sign of life is `lasts_ms` milliseconds old;
/// answers whether that was so.
///
/// # Errors
/// When the database fails.
pub async fn take_lease(tx: &mut Tx, name: &str, holder: &str, lasts_ms: i64) -> sqlx::Result<bool> {
    let now = clock::now(tx).await?;
    let done = sqlx::query(
        "INSERT INTO host_state (key, value, updated_at) VALUES ($1, $2, $3)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at
           WHERE host_state.updated_at <= $4",
    )
    .bind(lease_key(name))
    .bind(holder.as_bytes().to_vec())
    .bind(now)
    .bind(now - lasts_ms)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Gives a sign of life of a lease that still is the holder's.
///
/// # Errors
/// When the database fails.
pub async fn renew_lease(tx: &mut Tx, name: &str, holder: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE host_state SET updated_at = $3 WHERE key = $1 AND value = $2")
        .bind(lease_key(name))
        .bind(holder.as_bytes().to_vec())
        .bind(clock::now(tx).await?)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Ends a lease that still is the holder's.
///
/// # Errors
/// When the database fails.
pub async fn end_lease(tx: &mut Tx, name: &str, holder: &str) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM host_state WHERE key = $1 AND value = $2")
        .bind(lease_key(name))
        .bind(holder.as_bytes().to_vec())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Forgets leases without a sign of life since a time (Unix milliseconds): those of nodes that are gone.
///
/// # Errors
/// When the database fails.
pub async fn forget_leases(tx: &mut Tx, before: i64) -> sqlx::Result<()> {
    remove_old(tx, "lease.", before).await
}
