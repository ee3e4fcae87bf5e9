//! What happened, in the order in which it happened: one outbox that every reader follows by cursor.

use crate::db::{self, Tx};

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    /// What, such as `user.created`.
    pub kind: &'a str,
    /// The id or URI of what it happened to.
    pub subject: Option<&'a str>,
    /// The user who may see it; none: it is the host's, for admins.
    pub user: Option<&'a str>,
    /// More about it. Never a secret.
    pub data: serde_json::Value,
}

/// Appends an event in the transaction that made it true; answers its id, by which readers go on.
///
/// Ids are handed out in the order in which transactions commit: on PostgreSQL the transaction holds a lock from here to
/// its end, so emit last.
///
/// # Errors
/// When the database fails.
pub async fn emit(tx: &mut Tx, event: Event<'_>) -> sqlx::Result<i64> {
    db::state::lock(tx, "events").await?;
    db::events::insert(tx, event.kind, event.subject, event.user, &event.data.to_string()).await
}
