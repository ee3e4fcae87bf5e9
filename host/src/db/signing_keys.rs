//! The keys that sign access tokens, sealed (`signing_keys`).

use sqlx::{FromRow, any::AnyExecutor};

use super::Tx;

/// A sealed key.
#[derive(Clone, Debug, FromRow)]
pub struct SealedKey {
    /// The id that tokens name.
    pub kid: String,
    /// The key, sealed.
    pub sealed: Vec<u8>,
    /// Unix milliseconds.
    pub created_at: i64,
}

/// All keys for an algorithm, newest first.
///
/// # Errors
/// When the database fails.
pub async fn list(db: impl AnyExecutor<'_>, algorithm: &str) -> sqlx::Result<Vec<SealedKey>> {
    sqlx::query_as(
        "SELECT kid, sealed, created_at FROM signing_keys WHERE algorithm = $1 ORDER BY created_at DESC, kid DESC",
    )
    .bind(algorithm.to_owned())
    .fetch_all(db)
    .await
}

/// Adds a key.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, algorithm: &str, key: &SealedKey) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO signing_keys (kid, algorithm, sealed, created_at) VALUES ($1, $2, $3, $4)")
        .bind(key.kid.clone())
        .bind(algorithm.to_owned())
        .bind(key.sealed.clone())
        .bind(key.created_at)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Removes a key.
///
/// # Errors
/// When the database fails.
pub async fn remove(tx: &mut Tx, kid: &str) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM signing_keys WHERE kid = $1").bind(kid.to_owned()).execute(&mut **tx).await?;
    Ok(())
}
