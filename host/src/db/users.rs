//! Who may sign in (`users`).

use sqlx::{FromRow, Row as _, any::AnyExecutor};

use super::{Tx, now_ms, query::Sql};

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
    /// Not 0: has to set another password first.
    pub must_change_password: i64,
    /// What an admin set as the user's quota, JSON.
    pub quota: Option<String>,
    /// Unix milliseconds.
    pub last_sign_in_at: Option<i64>,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds.
    pub updated_at: i64,
}

/// The columns of [`User`].
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, role, password_hash, email, disabled, must_change_password, quota, last_sign_in_at, \
             created_at, updated_at FROM users ",
            $rest
        )
    };
}

/// Adds a user. `name_key` is the folded name.
///
/// # Errors
/// A unique violation when the name is taken, or when the database fails.
pub async fn insert(tx: &mut Tx, user: &User, name_key: &str) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO users (id, name, name_key, role, password_hash, email, disabled, created_at, updated_at,
             must_change_password, quota)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
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
    .bind(user.must_change_password)
    .bind(user.quota.clone())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The user with this id.
///
/// # Errors
/// When the database fails.
pub async fn find(db: impl AnyExecutor<'_>, id: &str) -> sqlx::Result<Option<User>> {
    sqlx::query_as(select!("WHERE id = $1")).bind(id.to_owned()).fetch_optional(db).await
}

/// The user with this folded name.
///
/// # Errors
/// When the database fails.
pub async fn find_by_name(db: impl AnyExecutor<'_>, name_key: &str) -> sqlx::Result<Option<User>> {
    sqlx::query_as(select!("WHERE name_key = $1")).bind(name_key.to_owned()).fetch_optional(db).await
}

/// All users, by name.
///
/// # Errors
/// When the database fails.
pub async fn list(db: impl AnyExecutor<'_>) -> sqlx::Result<Vec<User>> {
    sqlx::query_as(select!("ORDER BY name_key")).fetch_all(db).await
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

/// Sets the password's PHC string; the user need not set another one.
///
/// # Errors
/// When the database fails.
pub async fn update_password(tx: &mut Tx, id: &str, password_hash: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE users SET password_hash = $2, must_change_password = 0, updated_at = $3 WHERE id = $1")
        .bind(id.to_owned())
        .bind(password_hash.to_owned())
        .bind(now_ms())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Sets the password's PHC string where it is still this one; the user need not set another one. Answers whether it was.
///
/// # Errors
/// When the database fails.
pub async fn replace_password(tx: &mut Tx, id: &str, former_hash: &str, hash: &str) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE users SET password_hash = $3, must_change_password = 0, updated_at = $4
         WHERE id = $1 AND password_hash = $2",
    )
    .bind(id.to_owned())
    .bind(former_hash.to_owned())
    .bind(hash.to_owned())
    .bind(now_ms())
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Notes that a user signs in now; answers whether they still may, with the password of this PHC string. Until the
/// transaction ends nobody changes that, and who changes it then finds what the sign-in made.
///
/// # Errors
/// When the database fails.
pub async fn sign_in(tx: &mut Tx, id: &str, password_hash: &str) -> sqlx::Result<bool> {
    let done =
        sqlx::query("UPDATE users SET last_sign_in_at = $3 WHERE id = $1 AND password_hash = $2 AND disabled = 0")
            .bind(id.to_owned())
            .bind(password_hash.to_owned())
            .bind(now_ms())
            .execute(&mut **tx)
            .await?;
    Ok(done.rows_affected() > 0)
}

/// Which users to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only those whose folded name holds this.
    pub name: Option<String>,
    /// Only with this role.
    pub role: Option<String>,
    /// Only those who are disabled, or only those who are not.
    pub disabled: Option<bool>,
    /// Only those after this folded name.
    pub after: Option<String>,
    /// How many.
    pub limit: i64,
}

/// Users by name, with their folded names.
///
/// # Errors
/// When the database fails.
pub async fn page(db: impl AnyExecutor<'_>, filter: Filter) -> sqlx::Result<Vec<(String, User)>> {
    let mut sql = Sql::new(
        "SELECT id, name, role, password_hash, email, disabled, must_change_password, quota, last_sign_in_at,
                created_at, updated_at, name_key FROM users WHERE 1 = 1",
    );
    if let Some(name) = filter.name {
        let escaped = name.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        sql.push(" AND name_key LIKE ").bind(format!("%{escaped}%")).push(" ESCAPE '\\'");
    }
    if let Some(role) = filter.role {
        sql.push(" AND role = ").bind(role);
    }
    if let Some(disabled) = filter.disabled {
        sql.push(if disabled { " AND disabled <> 0" } else { " AND disabled = 0" });
    }
    if let Some(after) = filter.after {
        sql.push(" AND name_key > ").bind(after);
    }
    sql.push(" ORDER BY name_key LIMIT ").push_int(filter.limit);
    let rows = sql.query().fetch_all(db).await?;
    rows.iter().map(|row| Ok((row.try_get("name_key")?, User::from_row(row)?))).collect()
}

/// Enabled admins other than this user.
///
/// # Errors
/// When the database fails.
pub async fn count_other_admins(tx: &mut Tx, id: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT CAST(COUNT(*) AS BIGINT) FROM users WHERE role = 'admin' AND disabled = 0 AND id <> $1")
        .bind(id.to_owned())
        .fetch_one(&mut **tx)
        .await
}

/// Sets what admins decide on: role, disabling, forced password change, quota.
///
/// # Errors
/// When the database fails.
pub async fn update_rights(tx: &mut Tx, user: &User) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE users SET role = $2, disabled = $3, must_change_password = $4, quota = $5, updated_at = $6
         WHERE id = $1",
    )
    .bind(user.id.clone())
    .bind(user.role.clone())
    .bind(user.disabled)
    .bind(user.must_change_password)
    .bind(user.quota.clone())
    .bind(now_ms())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Removes a user and all that is theirs.
///
/// # Errors
/// When the database fails.
pub async fn remove(tx: &mut Tx, id: &str) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM users WHERE id = $1").bind(id.to_owned()).execute(&mut **tx).await?;
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
