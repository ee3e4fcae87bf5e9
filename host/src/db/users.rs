//! Who may sign in (`users`).

use sqlx::{FromRow, any::AnyExecutor};

use super::{Tx, now_ms};

/// A user.
#[derive(Clone, Debug, FromRow)]
pub struct User {
    /// A ULID.
    pub id: String,
    /// The name as its owner writes it.
    pub name: String,
    /// `admin` or `user`.
    pub role: String,
    /// The password's PHC string.
    pub password_hash: String,
    /// Where to write to.
    pub email: Option<String>,
    /// Not 0: may not sign in.
    pub disabled: i64,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds.
    pub updated_at: i64,
}

/// Adds a user. `name_key` is the folded name.
///
/// # Errors
/// A unique violation when the name is taken, or when the database fails.
pub async fn insert(tx: &mut Tx, user: &User, name_key: &str) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO users (id, name, name_key, role, password_hash, email, disabled, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(user.id.clone())
    .bind(user.name.clone())
    .bind(name_key.to_owned())
    .bind(user.role.clone())
    .bind(user.password_hash.clone())
    .bind(user.email.clone())
    .bind(user.disabled)
    .bind(user.created_at)
    .bind(user.updated_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The user with this id.
///
/// # Errors
/// When the database fails.
pub async fn find(db: impl AnyExecutor<'_>, id: &str) -> sqlx::Result<Option<User>> {
    sqlx::query_as(
        "SELECT id, name, role, password_hash, email, disabled, created_at, updated_at FROM users WHERE id = $1",
    )
    .bind(id.to_owned())
    .fetch_optional(db)
    .await
}

/// The user with this folded name.
///
/// # Errors
/// When the database fails.
pub async fn find_by_name(db: impl AnyExecutor<'_>, name_key: &str) -> sqlx::Result<Option<User>> {
    sqlx::query_as(
        "SELECT id, name, role, password_hash, email, disabled, created_at, updated_at FROM users WHERE name_key = $1",
    )
    .bind(name_key.to_owned())
    .fetch_optional(db)
    .await
}

/// All users, by name.
///
/// # Errors
/// When the database fails.
pub async fn list(db: impl AnyExecutor<'_>) -> sqlx::Result<Vec<User>> {
    sqlx::query_as(
        "SELECT id, name, role, password_hash, email, disabled, created_at, updated_at FROM users ORDER BY name_key",
    )
    .fetch_all(db)
    .await
}

/// How many users there are.
///
/// # Errors
/// When the database fails.
pub async fn count(db: impl AnyExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT COUNT(*) FROM users").fetch_one(db).await
}

/// The id of the admin who was made first, of those who may act.
///
/// # Errors
/// When the database fails.
pub async fn first_admin(db: impl AnyExecutor<'_>) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar("SELECT id FROM users WHERE role = 'admin' AND disabled = 0 ORDER BY created_at, id LIMIT 1")
        .fetch_optional(db)
        .await
}

/// Sets the name and the e-mail address.
///
/// # Errors
/// A unique violation when the name is taken, or when the database fails.
pub async fn update_profile(
    tx: &mut Tx,
    id: &str,
    name: &str,
    name_key: &str,
    email: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE users SET name = $2, name_key = $3, email = $4, updated_at = $5 WHERE id = $1")
        .bind(id.to_owned())
        .bind(name.to_owned())
        .bind(name_key.to_owned())
        .bind(email.map(str::to_owned))
        .bind(now_ms())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Sets the password's PHC string.
///
/// # Errors
/// When the database fails.
pub async fn update_password(tx: &mut Tx, id: &str, password_hash: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE users SET password_hash = $2, updated_at = $3 WHERE id = $1")
        .bind(id.to_owned())
        .bind(password_hash.to_owned())
        .bind(now_ms())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// What an admin set as the user's quota, JSON.
///
/// # Errors
/// When the database fails.
pub async fn quota(db: impl AnyExecutor<'_>, id: &str) -> sqlx::Result<Option<String>> {
    let found: Option<Option<String>> =
        sqlx::query_scalar("SELECT quota FROM users WHERE id = $1").bind(id.to_owned()).fetch_optional(db).await?;
    Ok(found.flatten())
}
