//! Sign-ins at provider instances (`accounts`).

use sqlx::{FromRow, any::AnyExecutor};

use super::{Tx, now_ms};

/// A sign-in at a provider instance.
#[derive(Clone, Debug, FromRow)]
pub struct Account {
    /// A ULID.
    pub id: String,
    /// The instance that it is at.
    pub instance: String,
    /// Whose it is; none: shared by all users.
    pub owner: Option<String>,
    /// What people call it.
    pub label: String,
    /// `ok`, `auth_required`, `restricted` or `failed`.
    pub state: String,
    /// Why it is not `ok`.
    pub state_code: Option<String>,
    /// One sentence for people.
    pub state_detail: Option<String>,
    /// Where the next pull goes on.
    pub sync_token: Option<String>,
    /// How complete the last pull was: `complete`, `partial` or `failed`.
    pub completeness: Option<String>,
    /// When the last pull ended, Unix milliseconds.
    pub last_pull_at: Option<i64>,
    /// When the last complete pull ended, Unix milliseconds.
    pub last_complete_at: Option<i64>,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds.
    pub updated_at: i64,
}

/// The columns of [`Account`].
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, instance, owner, label, state, state_code, state_detail, sync_token, completeness, \
             last_pull_at, last_complete_at, created_at, updated_at FROM accounts ",
            $rest
        )
    };
}

/// Adds a shared account where the instance has none.
///
/// # Errors
/// When the database fails.
pub async fn insert_shared(tx: &mut Tx, id: &str, instance: &str) -> sqlx::Result<()> {
    let now = now_ms();
    sqlx::query(
        "INSERT INTO accounts (id, instance, label, state, created_at, updated_at) VALUES ($1, $2, $3, 'ok', $4, $5)
         ON CONFLICT (instance) WHERE owner IS NULL AND remote_key IS NULL DO NOTHING",
    )
    .bind(id.to_owned())
    .bind(instance.to_owned())
    .bind(instance.to_owned())
    .bind(now)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The instance's shared account.
///
/// # Errors
/// When the database fails.
pub async fn find_shared(db: impl AnyExecutor<'_>, instance: &str) -> sqlx::Result<Option<Account>> {
    sqlx::query_as(select!("WHERE instance = $1 AND owner IS NULL AND remote_key IS NULL"))
        .bind(instance.to_owned())
        .fetch_optional(db)
        .await
}

/// The account with this id.
///
/// # Errors
/// When the database fails.
pub async fn find(db: impl AnyExecutor<'_>, id: &str) -> sqlx::Result<Option<Account>> {
    sqlx::query_as(select!("WHERE id = $1")).bind(id.to_owned()).fetch_optional(db).await
}

/// A user's own accounts and the shared ones.
///
/// # Errors
/// When the database fails.
pub async fn visible(db: impl AnyExecutor<'_>, user_id: &str) -> sqlx::Result<Vec<Account>> {
    sqlx::query_as(select!("WHERE owner = $1 OR owner IS NULL ORDER BY instance, id"))
        .bind(user_id.to_owned())
        .fetch_all(db)
        .await
}

/// All accounts at an instance.
///
/// # Errors
/// When the database fails.
pub async fn of_instance(db: impl AnyExecutor<'_>, instance: &str) -> sqlx::Result<Vec<Account>> {
    sqlx::query_as(select!("WHERE instance = $1 ORDER BY id")).bind(instance.to_owned()).fetch_all(db).await
}

/// Records how a pull ended. Without a sync token the next one reads everything.
///
/// # Errors
/// When the database fails.
pub async fn pulled(tx: &mut Tx, id: &str, sync_token: Option<&str>, completeness: &str) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE accounts SET sync_token = $2, completeness = $3, last_pull_at = $4,
           last_complete_at = CASE WHEN $3 = 'complete' THEN $4 ELSE last_complete_at END, updated_at = $4
         WHERE id = $1",
    )
    .bind(id.to_owned())
    .bind(sync_token.map(str::to_owned))
    .bind(completeness.to_owned())
    .bind(now_ms())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Sets how the account stands.
///
/// # Errors
/// When the database fails.
pub async fn set_state(
    tx: &mut Tx,
    id: &str,
    state: &str,
    code: Option<&str>,
    detail: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE accounts SET state = $2, state_code = $3, state_detail = $4, updated_at = $5 WHERE id = $1")
        .bind(id.to_owned())
        .bind(state.to_owned())
        .bind(code.map(str::to_owned))
        .bind(detail.map(str::to_owned))
        .bind(now_ms())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// What the last check said of the account's capabilities, as JSON.
///
/// # Errors
/// When the database fails.
pub async fn capabilities(db: impl AnyExecutor<'_>, id: &str) -> sqlx::Result<Option<String>> {
    let found: Option<Option<String>> = sqlx::query_scalar("SELECT capabilities FROM accounts WHERE id = $1")
        .bind(id.to_owned())
        .fetch_optional(db)
        .await?;
    Ok(found.flatten())
}

/// Whether the service takes the account's credentials no more.
///
/// # Errors
/// When the database fails.
pub async fn is_dead(db: impl AnyExecutor<'_>, id: &str) -> sqlx::Result<bool> {
    let dead = "SELECT COUNT(*) FROM account_credentials WHERE account_id = $1 AND dead_code IS NOT NULL";
    Ok(sqlx::query_scalar::<_, i64>(dead).bind(id.to_owned()).fetch_one(db).await? > 0)
}
