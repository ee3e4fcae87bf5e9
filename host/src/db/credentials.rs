//! The token vault (`account_credentials`).

pub mod turns;

use sqlx::{FromRow, any::AnyExecutor};

use super::{Tx, now_ms, query::Sql};

/// What an account's credentials are sealed for.
pub fn context(account_id: &str) -> String {
    format!("account_credentials:{account_id}")
}

/// What is known of credentials without opening them.
#[derive(Clone, Debug, FromRow)]
pub struct SignedIn {
    /// The account.
    pub account_id: String,
    /// What was granted, a JSON list.
    pub scopes: String,
    /// When somebody signed in, Unix milliseconds.
    pub authorized_at: i64,
    /// When the sign-in ends, Unix milliseconds.
    pub ends_at: Option<i64>,
    /// Why the service does not take them any more.
    pub dead_code: Option<String>,
    /// One sentence for people.
    pub dead_detail: Option<String>,
}

/// Keeps the credentials of a new sign-in: sealed, with the granted scopes (a JSON list), when somebody signed in and when
/// that ends (Unix milliseconds). Whatever was there before is gone, and whoever was refreshing it finds a newer version.
///
/// # Errors
/// When the database fails.
pub async fn put_new(
    tx: &mut Tx,
    sealed: Vec<u8>,
    account_id: &str,
    scopes: &str,
    authorized_at: i64,
    ends_at: Option<i64>,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO account_credentials (account_id, sealed, version, scopes, authorized_at, ends_at, updated_at)
         VALUES ($1, $2, 1, $3, $4, $5, $6)
         ON CONFLICT (account_id) DO UPDATE SET sealed = excluded.sealed, version = account_credentials.version + 1,
           scopes = excluded.scopes, authorized_at = excluded.authorized_at, ends_at = excluded.ends_at,
           dead_code = NULL, dead_detail = NULL, lease = NULL, lease_until = NULL, updated_at = excluded.updated_at",
    )
    .bind(account_id.to_owned())
    .bind(sealed)
    .bind(scopes.to_owned())
    .bind(authorized_at)
    .bind(ends_at)
    .bind(now_ms())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// An account's credentials, sealed.
///
/// # Errors
/// When the database fails.
pub async fn sealed(db: impl AnyExecutor<'_>, account_id: &str) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar("SELECT sealed FROM account_credentials WHERE account_id = $1")
        .bind(account_id.to_owned())
        .fetch_optional(db)
        .await
}

/// What is known of an account's credentials.
///
/// # Errors
/// When the database fails.
pub async fn find(db: impl AnyExecutor<'_>, account_id: &str) -> sqlx::Result<Option<SignedIn>> {
    sqlx::query_as(
        "SELECT account_id, scopes, authorized_at, ends_at, dead_code, dead_detail FROM account_credentials
         WHERE account_id = $1",
    )
    .bind(account_id.to_owned())
    .fetch_optional(db)
    .await
}

/// What is known of the credentials of accounts.
///
/// # Errors
/// When the database fails.
pub async fn of_accounts(db: impl AnyExecutor<'_>, accounts: &[String]) -> sqlx::Result<Vec<SignedIn>> {
    let mut sql = Sql::new(
        "SELECT account_id, scopes, authorized_at, ends_at, dead_code, dead_detail FROM account_credentials
         WHERE account_id IN ",
    );
    sql.bind_list(accounts.iter().cloned());
    sql.query().fetch_all(db).await?.iter().map(SignedIn::from_row).collect()
}

/// Removes an account's credentials.
///
/// # Errors
/// When the database fails.
pub async fn delete(tx: &mut Tx, account_id: &str) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM account_credentials WHERE account_id = $1")
        .bind(account_id.to_owned())
        .execute(&mut **tx)
        .await?;
    Ok(())
}
