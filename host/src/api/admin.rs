//! `/api/admin`: what admins see and do for everybody.

pub mod accounts;
pub mod audit;
pub mod invites;
pub mod keys;
pub mod sessions;
pub mod users;

use serde_json::Value;
use ulid::Ulid;

use crate::{
    App,
    audit::{Actor, Entry, Outcome, record},
    error::ApiResult,
};

/// Puts on record what an admin did or looked at, and whom it was about where that is one user.
async fn put_on_record(
    app: &App,
    action: &str,
    actor: Actor<'_>,
    user: Option<&str>,
    data: Value,
    personal: Value,
) -> ApiResult<()> {
    let mut tx = app.db.write().await?;
    let entry = Entry { action, outcome: Outcome::Ok, actor, user, data, personal };
    record(&mut tx, entry).await?;
    tx.commit().await?;
    Ok(())
}

/// The user whom a filter names; none where nobody can have that id.
fn named(filter: Option<&String>) -> Option<String> {
    filter?.parse::<Ulid>().ok().map(|id| id.to_string())
}
