//! Invitations to register (`invites`). Each is good for one user.

use sqlx::{FromRow, any::AnyExecutor};

use super::{Tx, query::Sql};

/// An invitation.
#[derive(Clone, Debug, FromRow)]
pub struct Invite {
    /// A ULID.
    pub id: String,
    /// The role of who uses it.
    pub role: String,
    /// What its maker wants to remember.
    pub note: Option<String>,
    /// The admin who made it; none: is no more.
    pub created_by: Option<String>,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds.
    pub expires_at: i64,
    /// Unix milliseconds.
    pub used_at: Option<i64>,
    /// Who used it; none with `used_at`: is no more.
    pub used_by: Option<String>,
}

/// The columns of [`Invite`].
macro_rules! columns {
    ($before:literal, $after:literal) => {
        concat!($before, "id, role, note, created_by, created_at, expires_at, used_at, used_by", $after)
    };
}

/// Whether an invitation counts: who may make admins is an admin, and not only was one.
macro_rules! counts {
    () => {
        "(role <> 'admin' OR EXISTS \
           (SELECT 1 FROM users u WHERE u.id = invites.created_by AND u.role = 'admin' AND u.disabled = 0))"
    };
}

/// Adds an invitation by its code's hash.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, invite: &Invite, hash: &str) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO invites (id, hash, role, note, created_by, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(invite.id.clone())
    .bind(hash.to_owned())
    .bind(invite.role.clone())
    .bind(invite.note.clone())
    .bind(invite.created_by.clone())
    .bind(invite.created_at)
    .bind(invite.expires_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Invitations, newest first, those before an id.
///
/// # Errors
/// When the database fails.
pub async fn page(db: impl AnyExecutor<'_>, before: Option<String>, limit: i64) -> sqlx::Result<Vec<Invite>> {
    let mut sql = Sql::new(columns!("SELECT ", " FROM invites"));
    if let Some(id) = before {
        sql.push(" WHERE id < ").bind(id);
    }
    sql.push(" ORDER BY id DESC LIMIT ").push_int(limit);
    sql.query().fetch_all(db).await?.iter().map(Invite::from_row).collect()
}

/// The invitation with this code's hash. One to be an admin is none any more once its maker is no admin who may act.
///
/// # Errors
/// When the database fails.
pub async fn find_by_hash(db: impl AnyExecutor<'_>, hash: &str) -> sqlx::Result<Option<Invite>> {
    sqlx::query_as(concat!(columns!("SELECT ", " FROM invites WHERE hash = $1 AND "), counts!()))
        .bind(hash.to_owned())
        .fetch_optional(db)
        .await
}

/// Uses an invitation up at a time (Unix milliseconds): of several at once only one gets it. Which count, see
/// [`find_by_hash`].
///
/// # Errors
/// When the database fails.
pub async fn take(tx: &mut Tx, hash: &str, now: i64) -> sqlx::Result<Option<Invite>> {
    sqlx::query_as(concat!(
        "UPDATE invites SET used_at = $2 WHERE hash = $1 AND used_at IS NULL AND expires_at > $2 AND ",
        counts!(),
        columns!(" RETURNING ", "")
    ))
    .bind(hash.to_owned())
    .bind(now)
    .fetch_optional(&mut **tx)
    .await
}

/// Notes who used an invitation.
///
/// # Errors
/// When the database fails.
pub async fn set_user(tx: &mut Tx, id: &str, user_id: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE invites SET used_by = $2 WHERE id = $1")
        .bind(id.to_owned())
        .bind(user_id.to_owned())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Removes an invitation; answers the role that it was for, where there was one.
///
/// # Errors
/// When the database fails.
pub async fn remove(tx: &mut Tx, id: &str) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar("DELETE FROM invites WHERE id = $1 RETURNING role")
        .bind(id.to_owned())
        .fetch_optional(&mut **tx)
        .await
}

/// Removes the invitations to be an admin that this user made and nobody has used; answers how many.
///
/// # Errors
/// When the database fails.
pub async fn withdraw_for_admins(tx: &mut Tx, created_by: &str) -> sqlx::Result<u64> {
    let done = sqlx::query("DELETE FROM invites WHERE created_by = $1 AND role = 'admin' AND used_at IS NULL")
        .bind(created_by.to_owned())
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected())
}
