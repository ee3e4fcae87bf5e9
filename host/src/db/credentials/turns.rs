//! What plugins do with credentials: reading them, and the turn to refresh them, which only one caller has over all nodes.
//! Times of turns are those of [`crate::db::clock`].

use sqlx::{FromRow, any::AnyExecutor};

use crate::db::{Tx, now_ms};

/// The credentials of an account.
#[derive(Clone, Debug, FromRow)]
pub struct Credentials {
    /// The plugin's document, sealed for [`super::context`].
    pub sealed: Vec<u8>,
    /// Grows with every change.
    pub version: i64,
    /// Why the service does not take them any more.
    pub dead_code: Option<String>,
    /// One sentence for people.
    pub dead_detail: Option<String>,
    /// Who refreshes them.
    pub lease: Option<String>,
    /// Until when at most, Unix milliseconds.
    pub lease_until: Option<i64>,
}

/// An account at an instance, with its credentials where it has any.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its credentials.
    pub credentials: Option<Credentials>,
}

/// An account of an instance; nothing where the instance has no such account.
///
/// # Errors
/// When the database fails.
pub async fn of_account(db: impl AnyExecutor<'_>, instance: &str, account_id: &str) -> sqlx::Result<Option<Found>> {
    #[derive(FromRow)]
    struct Joined {
        sealed: Option<Vec<u8>>,
        version: Option<i64>,
        dead_code: Option<String>,
        dead_detail: Option<String>,
        lease: Option<String>,
        lease_until: Option<i64>,
    }
    let row: Option<Joined> = sqlx::query_as(
        "SELECT c.sealed, c.version, c.dead_code, c.dead_detail, c.lease, c.lease_until
         FROM accounts a LEFT JOIN account_credentials c ON c.account_id = a.id WHERE a.id = $1 AND a.instance = $2",
    )
    .bind(account_id.to_owned())
    .bind(instance.to_owned())
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| {
        let Joined { sealed, version, dead_code, dead_detail, lease, lease_until } = row;
        let credentials = sealed.zip(version).map(|(sealed, version)| Credentials {
            sealed,
            version,
            dead_code,
            dead_detail,
            lease,
            lease_until,
        });
        Found { credentials }
    }))
}

/// Takes the turn to refresh credentials of at most this version; answers false where they are newer or dead, or another
/// one has the turn.
///
/// # Errors
/// When the database fails.
pub async fn take_lease(
    tx: &mut Tx,
    account_id: &str,
    version: i64,
    lease: &str,
    now: i64,
    until: i64,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE account_credentials SET lease = $3, lease_until = $4
         WHERE account_id = $1 AND version <= $2 AND dead_code IS NULL AND (lease IS NULL OR lease_until <= $5)",
    )
    .bind(account_id.to_owned())
    .bind(version)
    .bind(lease.to_owned())
    .bind(until)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// What to write over credentials.
pub struct Change<'a> {
    /// The document, sealed.
    pub sealed: Vec<u8>,
    /// The version that it follows.
    pub version: i64,
    /// The turn that it ends; none: nobody may have it.
    pub lease: Option<&'a str>,
    /// What was granted, as a JSON list; none: as before.
    pub scopes: Option<String>,
}

/// Writes credentials where they still are of that version and the turn is still the caller's; answers whether they were.
///
/// # Errors
/// When the database fails.
pub async fn put(tx: &mut Tx, account_id: &str, change: Change<'_>, now: i64) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE account_credentials SET sealed = $3, version = version + 1, scopes = COALESCE($4, scopes), lease = NULL,
           lease_until = NULL, updated_at = $5
         WHERE account_id = $1 AND version = $2 AND dead_code IS NULL
           AND CASE WHEN CAST($6 AS TEXT) IS NULL THEN lease IS NULL OR lease_until <= $7 ELSE lease = $6 END",
    )
    .bind(account_id.to_owned())
    .bind(change.version)
    .bind(change.sealed)
    .bind(change.scopes)
    .bind(now_ms())
    .bind(change.lease.map(str::to_owned))
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Gives a turn back, where it still is the caller's.
///
/// # Errors
/// When the database fails.
pub async fn give_back(tx: &mut Tx, account_id: &str, lease: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE account_credentials SET lease = NULL, lease_until = NULL WHERE account_id = $1 AND lease = $2")
        .bind(account_id.to_owned())
        .bind(lease.to_owned())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Marks credentials of at most this version as dead; answers false where they are newer or dead already, or another one
/// has the turn and will find out.
///
/// # Errors
/// When the database fails.
pub async fn end(
    tx: &mut Tx,
    account_id: &str,
    version: i64,
    lease: Option<&str>,
    why: (&str, &str),
    now: i64,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE account_credentials SET dead_code = $3, dead_detail = $4, lease = NULL, lease_until = NULL,
           updated_at = $5
         WHERE account_id = $1 AND version <= $2 AND dead_code IS NULL
           AND (lease IS NULL OR lease_until <= $6 OR lease = $7)",
    )
    .bind(account_id.to_owned())
    .bind(version)
    .bind(why.0.to_owned())
    .bind(why.1.to_owned())
    .bind(now_ms())
    .bind(now)
    .bind(lease.map(str::to_owned))
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}
