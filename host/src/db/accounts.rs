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
    /// What the service calls it; none where nobody signs in.
    pub remote_key: Option<String>,
    /// What the last check said of its capabilities, JSON.
    pub capabilities: Option<String>,
    /// When it was checked last, Unix milliseconds.
    pub checked_at: Option<i64>,
    /// How often it is read, in seconds; none: as configured; 0: never.
    pub pull_every_s: Option<i64>,
    /// When it is read next, Unix milliseconds.
    pub next_pull_at: Option<i64>,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds.
    pub updated_at: i64,
}

/// The columns of [`Account`]. Those that are being erased are nobody's any more.
macro_rules! select {
    ($condition:literal) => {
        select!($condition, "")
    };
    ($condition:literal, $rest:literal) => {
        select!("unlinked_at IS NULL", $condition, $rest)
    };
    ($linked:literal, $condition:literal, $rest:literal) => {
        concat!(
            "SELECT id, instance, owner, label, state, state_code, state_detail, sync_token, completeness, \
             last_pull_at, last_complete_at, remote_key, capabilities, checked_at, pull_every_s, next_pull_at, \
             created_at, updated_at FROM accounts WHERE ",
            $linked,
            " AND (",
            $condition,
            ") ",
            $rest
        )
    };
}

/// Those that are being erased.
///
/// # Errors
/// When the database fails.
pub async fn unlinked(db: impl AnyExecutor<'_>) -> sqlx::Result<Vec<Account>> {
    sqlx::query_as(select!("unlinked_at IS NOT NULL", "TRUE", "ORDER BY id")).fetch_all(db).await
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
    sqlx::query_as(select!("instance = $1 AND owner IS NULL AND remote_key IS NULL"))
        .bind(instance.to_owned())
        .fetch_optional(db)
        .await
}

/// The account with this id.
///
/// # Errors
/// When the database fails.
pub async fn find(db: impl AnyExecutor<'_>, id: &str) -> sqlx::Result<Option<Account>> {
    sqlx::query_as(select!("id = $1")).bind(id.to_owned()).fetch_optional(db).await
}

/// A user's own accounts and the shared ones.
///
/// # Errors
/// When the database fails.
pub async fn visible(db: impl AnyExecutor<'_>, user_id: &str) -> sqlx::Result<Vec<Account>> {
    sqlx::query_as(select!("owner = $1 OR owner IS NULL", "ORDER BY instance, id"))
        .bind(user_id.to_owned())
        .fetch_all(db)
        .await
}

/// All accounts at an instance.
///
/// # Errors
/// When the database fails.
pub async fn of_instance(db: impl AnyExecutor<'_>, instance: &str) -> sqlx::Result<Vec<Account>> {
    sqlx::query_as(select!("instance = $1", "ORDER BY id")).bind(instance.to_owned()).fetch_all(db).await
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

/// A page of a user's own accounts and the shared ones, by id.
///
/// # Errors
/// When the database fails.
pub async fn page(
    db: impl AnyExecutor<'_>,
    user_id: &str,
    after: Option<String>,
    limit: i64,
) -> sqlx::Result<Vec<Account>> {
    const SQL: &str = select!("(owner = $1 OR owner IS NULL) AND ($2 IS NULL OR id > $2)", "ORDER BY id LIMIT $3");
    sqlx::query_as(SQL).bind(user_id.to_owned()).bind(after).bind(limit).fetch_all(db).await
}

/// Somebody's account as admins see it.
#[derive(Clone, Debug, FromRow)]
pub struct Held {
    /// A ULID.
    pub id: String,
    /// The instance that it is at.
    pub instance: String,
    /// Whose it is; none: shared by all users.
    pub owner: Option<String>,
    /// The owner's name.
    pub owner_name: Option<String>,
    /// As [`Account::state`].
    pub state: String,
    /// Why it is not `ok`.
    pub state_code: Option<String>,
    /// How complete the last pull was.
    pub completeness: Option<String>,
    /// When the last pull ended, Unix milliseconds.
    pub last_pull_at: Option<i64>,
    /// Unix milliseconds.
    pub created_at: i64,
}

/// A page of everybody's accounts, by id.
///
/// # Errors
/// When the database fails.
pub async fn page_of_all(db: impl AnyExecutor<'_>, after: Option<String>, limit: i64) -> sqlx::Result<Vec<Held>> {
    sqlx::query_as(
        "SELECT a.id, a.instance, a.owner, u.name AS owner_name, a.state, a.state_code, a.completeness, a.last_pull_at,
           a.created_at
         FROM accounts a LEFT JOIN users u ON u.id = a.owner
         WHERE a.unlinked_at IS NULL AND ($1 IS NULL OR a.id > $1) ORDER BY a.id LIMIT $2",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// The account that a service knows by a key, of an owner or shared.
///
/// # Errors
/// When the database fails.
pub async fn find_remote(
    db: impl AnyExecutor<'_>,
    instance: &str,
    owner: Option<&str>,
    remote_key: &str,
) -> sqlx::Result<Option<Account>> {
    sqlx::query_as(select!("instance = $1 AND COALESCE(owner, '') = $2 AND remote_key = $3"))
        .bind(instance.to_owned())
        .bind(owner.unwrap_or_default().to_owned())
        .bind(remote_key.to_owned())
        .fetch_optional(db)
        .await
}

/// Adds an account that was connected; its id, instance, owner, label and remote key.
///
/// # Errors
/// When the database fails.
pub async fn insert_connected(
    tx: &mut Tx,
    id: &str,
    instance: &str,
    owner: Option<&str>,
    label: &str,
    remote_key: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO accounts (id, instance, owner, label, remote_key, state, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, 'ok', $6, $6)",
    )
    .bind(id.to_owned())
    .bind(instance.to_owned())
    .bind(owner.map(str::to_owned))
    .bind(label.to_owned())
    .bind(remote_key.to_owned())
    .bind(now_ms())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Takes note that an account signed in again: it is `ok`.
///
/// # Errors
/// When the database fails.
pub async fn reconnected(tx: &mut Tx, id: &str, remote_key: &str) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE accounts SET remote_key = $2, state = 'ok', state_code = NULL, state_detail = NULL, updated_at = $3
         WHERE id = $1",
    )
    .bind(id.to_owned())
    .bind(remote_key.to_owned())
    .bind(now_ms())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Says that somebody has to sign in again, and pulls nothing until then. Answers false where that was said already.
///
/// # Errors
/// When the database fails.
pub async fn require_sign_in(tx: &mut Tx, id: &str, code: &str, detail: &str) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE accounts SET state = 'auth_required', state_code = $2, state_detail = $3, next_pull_at = NULL,
           updated_at = $4
         WHERE id = $1 AND state <> 'auth_required' AND unlinked_at IS NULL",
    )
    .bind(id.to_owned())
    .bind(code.to_owned())
    .bind(detail.to_owned())
    .bind(now_ms())
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Records what a check said of the capabilities, JSON.
///
/// # Errors
/// When the database fails.
pub async fn checked(tx: &mut Tx, id: &str, capabilities: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE accounts SET capabilities = $2, checked_at = $3, updated_at = $3 WHERE id = $1")
        .bind(id.to_owned())
        .bind(capabilities.to_owned())
        .bind(now_ms())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Sets what people call an account.
///
/// # Errors
/// When the database fails.
pub async fn set_label(tx: &mut Tx, id: &str, label: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE accounts SET label = $2, updated_at = $3 WHERE id = $1")
        .bind(id.to_owned())
        .bind(label.to_owned())
        .bind(now_ms())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Sets how often an account is read, in seconds; none: as configured; 0: never.
///
/// # Errors
/// When the database fails.
pub async fn set_pull_every(tx: &mut Tx, id: &str, seconds: Option<i64>) -> sqlx::Result<()> {
    sqlx::query("UPDATE accounts SET pull_every_s = $2, updated_at = $3 WHERE id = $1")
        .bind(id.to_owned())
        .bind(seconds)
        .bind(now_ms())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Sets when an account is read next, Unix milliseconds; none: not by itself. Nothing is while somebody has to sign in.
///
/// # Errors
/// When the database fails.
pub async fn set_next_pull(tx: &mut Tx, id: &str, at: Option<i64>) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE accounts SET next_pull_at = $2 WHERE id = $1 AND state <> 'auth_required' AND unlinked_at IS NULL",
    )
    .bind(id.to_owned())
    .bind(at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Hides an account that is going to be erased; another one may be connected in its place. Answers false where that was
/// done already.
///
/// # Errors
/// When the database fails.
pub async fn hide(tx: &mut Tx, id: &str) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE accounts SET unlinked_at = $2, state_code = NULL, state_detail = NULL, label = '', sync_token = NULL,
           capabilities = NULL, next_pull_at = NULL, remote_key = 'unlinked ' || id, updated_at = $2
         WHERE id = $1 AND unlinked_at IS NULL",
    )
    .bind(id.to_owned())
    .bind(now_ms())
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Removes an account with all that hangs on it.
///
/// # Errors
/// When the database fails.
pub async fn delete(tx: &mut Tx, id: &str) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM accounts WHERE id = $1").bind(id.to_owned()).execute(&mut **tx).await?;
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
