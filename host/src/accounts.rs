//! Accounts: sign-ins at provider instances, owned by a user or shared by all.

use ulid::Ulid;

pub use crate::db::accounts::{Account, pulled, set_state};
use crate::db::{self, Db, Tx};

/// The instance's shared account, made where there is none.
///
/// # Errors
/// When the database fails.
pub async fn ensure_shared(tx: &mut Tx, instance: &str) -> sqlx::Result<Account> {
    db::accounts::insert_shared(tx, &Ulid::generate().to_string(), instance).await?;
    db::accounts::find_shared(&mut **tx, instance).await?.ok_or(sqlx::Error::RowNotFound)
}

/// What a user may use: the user's own accounts and the shared ones.
///
/// # Errors
/// When the database fails.
pub async fn visible(db: &Db, user_id: &str) -> sqlx::Result<Vec<Account>> {
    db::accounts::visible(db.read(), user_id).await
}

/// The account with this id.
///
/// # Errors
/// When the database fails.
pub async fn find(db: &Db, id: &str) -> sqlx::Result<Option<Account>> {
    db::accounts::find(db.read(), id).await
}

/// All accounts at an instance.
///
/// # Errors
/// When the database fails.
pub async fn of_instance(db: &Db, instance: &str) -> sqlx::Result<Vec<Account>> {
    db::accounts::of_instance(db.read(), instance).await
}
