//! Being written.
use crate::db::{Db, Tx};
#[derive(Clone, Debug)]
pub struct Account {
    pub id: String,
    pub instance: String,
    pub owner: Option<String>,
    pub label: String,
    pub state: String,
    pub sync_token: Option<String>,
    pub completeness: Option<String>,
    pub last_pull_at: Option<i64>,
    pub last_complete_at: Option<i64>,
}
pub async fn ensure_shared(_tx: &mut Tx, _instance: &str) -> sqlx::Result<Account> {
    Err(sqlx::Error::RowNotFound)
}
pub async fn visible(_db: &Db, _user_id: &str) -> sqlx::Result<Vec<Account>> {
    Ok(vec![])
}
pub async fn find(_db: &Db, _id: &str) -> sqlx::Result<Option<Account>> {
    Ok(None)
}
/// Records how a pull ended.
pub async fn pulled(_tx: &mut Tx, _id: &str, _sync_token: Option<&str>, _completeness: &str) -> sqlx::Result<()> {
    Ok(())
}
