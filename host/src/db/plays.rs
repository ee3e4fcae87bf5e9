//! What users played (`plays`).

use sqlx::{FromRow, Row as _, any::AnyExecutor};

use super::{Tx, query::Sql};

/// URIs per statement.
const URIS: usize = 500;
/// Rows that one statement deletes.
const BATCH: i64 = 1000;
/// Plays of one item from several sources that are no further apart are one, in milliseconds.
pub const SAME: i64 = 30_000;

/// A play.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct PlayRow {
    /// A ULID.
    pub id: String,
    /// The track or episode.
    pub uri: String,
    /// When it began, Unix milliseconds.
    pub played_at: i64,
    /// How much of it was heard, in milliseconds.
    pub heard_ms: Option<i64>,
    /// `client`, or the instance that told of it.
    pub source: String,
}

/// Which plays.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Not before, Unix milliseconds.
    pub since: Option<i64>,
    /// Before, Unix milliseconds.
    pub until: Option<i64>,
    /// Only of this item.
    pub uri: Option<String>,
    /// Only of this instance's items.
    pub provider: Option<String>,
}

impl Filter {
    fn push(self, sql: &mut Sql) {
        if let Some(since) = self.since {
            sql.push(" AND played_at >= ").bind(since);
        }
        if let Some(until) = self.until {
            sql.push(" AND played_at < ").bind(until);
        }
        if let Some(uri) = self.uri {
            sql.push(" AND uri = ").bind(uri);
        }
        if let Some(provider) = self.provider {
            let start = format!("{provider}:");
            let length = i64::try_from(start.len()).unwrap_or(i64::MAX);
            sql.push(" AND substr(uri, 1, ").push_int(length).push(") = ").bind(start);
        }
    }
}

const SELECT: &str = "SELECT id, uri, played_at, heard_ms, source FROM plays WHERE user_id = ";

/// A page of a user's plays, newest first, after one of them.
///
/// # Errors
/// When the database fails.
pub async fn list(
    db: impl AnyExecutor<'_>,
    user_id: &str,
    filter: Filter,
    after: Option<(i64, String)>,
    limit: i64,
) -> sqlx::Result<Vec<PlayRow>> {
    let mut sql = Sql::new(SELECT);
    sql.bind(user_id.to_owned());
    filter.push(&mut sql);
    if let Some((played_at, uri)) = after {
        sql.push(" AND (played_at, uri) < (").bind(played_at).push(", ").bind(uri).push(")");
    }
    sql.push(" ORDER BY played_at DESC, uri DESC LIMIT ").push_int(limit);
    sql.query().fetch_all(db).await?.iter().map(PlayRow::from_row).collect()
}

/// The play that is the same as another: of the same item at the same time, or from another source at nearly the same.
///
/// # Errors
/// When the database fails.
pub async fn same(db: impl AnyExecutor<'_>, user_id: &str, play: &PlayRow) -> sqlx::Result<Option<PlayRow>> {
    let mut sql = Sql::new(SELECT);
    sql.bind(user_id.to_owned()).push(" AND uri = ").bind(play.uri.clone());
    sql.push(" AND played_at BETWEEN ").bind(play.played_at - SAME).push(" AND ").bind(play.played_at + SAME);
    sql.push(" AND (played_at = ").bind(play.played_at).push(" OR source <> ").bind(play.source.clone());
    // The very same one first.
    sql.push(") ORDER BY CASE WHEN played_at = ").bind(play.played_at).push(" THEN 0 ELSE 1 END, played_at LIMIT 1");
    sql.query().fetch_optional(db).await?.as_ref().map(PlayRow::from_row).transpose()
}

/// One play of a user.
///
/// # Errors
/// When the database fails.
pub async fn find(db: impl AnyExecutor<'_>, user_id: &str, id: &str) -> sqlx::Result<Option<PlayRow>> {
    let mut sql = Sql::new(SELECT);
    sql.bind(user_id.to_owned()).push(" AND id = ").bind(id.to_owned());
    sql.query().fetch_optional(db).await?.as_ref().map(PlayRow::from_row).transpose()
}

/// Adds a play; answers whether it was not there yet.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, user_id: &str, play: &PlayRow) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "INSERT INTO plays (id, user_id, uri, played_at, heard_ms, source) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT DO NOTHING",
    )
    .bind(play.id.clone())
    .bind(user_id.to_owned())
    .bind(play.uri.clone())
    .bind(play.played_at)
    .bind(play.heard_ms)
    .bind(play.source.clone())
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Deletes one play of a user; answers what it was, if there was one.
///
/// # Errors
/// When the database fails.
pub async fn delete(tx: &mut Tx, user_id: &str, id: &str) -> sqlx::Result<Option<PlayRow>> {
    sqlx::query_as("DELETE FROM plays WHERE user_id = $1 AND id = $2 RETURNING id, uri, played_at, heard_ms, source")
        .bind(user_id.to_owned())
        .bind(id.to_owned())
        .fetch_optional(&mut **tx)
        .await
}

/// Deletes a user's plays of a span of time; answers how many.
///
/// # Errors
/// When the database fails.
pub async fn clear(tx: &mut Tx, user_id: &str, filter: Filter) -> sqlx::Result<u64> {
    let mut sql = Sql::new("DELETE FROM plays WHERE user_id = ");
    sql.bind(user_id.to_owned());
    filter.push(&mut sql);
    Ok(sql.query().execute(&mut **tx).await?.rows_affected())
}

/// Deletes a user's oldest plays until so many are left.
///
/// # Errors
/// When the database fails.
pub async fn trim(tx: &mut Tx, user_id: &str, keep: u32) -> sqlx::Result<()> {
    loop {
        let mut sql = Sql::new("DELETE FROM plays WHERE id IN (SELECT id FROM plays WHERE user_id = ");
        sql.bind(user_id.to_owned()).push(" ORDER BY played_at DESC, uri DESC LIMIT ").push_int(BATCH);
        sql.push(" OFFSET ").push_int(i64::from(keep)).push(")");
        if sql.query().execute(&mut **tx).await?.rows_affected() < BATCH.unsigned_abs() {
            return Ok(());
        }
    }
}

/// Lets plays follow items to other addresses: those of one user, or without an owner of the account, of everybody.
///
/// # Errors
/// When the database fails.
pub async fn follow(tx: &mut Tx, owner: Option<&str>, moved: &[(&str, &str)]) -> sqlx::Result<()> {
    for chunk in moved.chunks(URIS) {
        let mut sql = Sql::many(tx, "SELECT DISTINCT uri FROM plays WHERE uri IN ");
        sql.bind_list(chunk.iter().map(|(old, _)| (*old).to_owned()));
        let known = sql.query().fetch_all(&mut **tx).await?;
        let known: Vec<String> = known.iter().map(|row| row.try_get(0)).collect::<sqlx::Result<_>>()?;
        for (old, new) in chunk.iter().filter(|(old, _)| known.iter().any(|uri| uri == old)) {
            follow_one(tx, owner, old, new).await?;
        }
    }
    Ok(())
}

async fn follow_one(tx: &mut Tx, owner: Option<&str>, old: &str, new: &str) -> sqlx::Result<()> {
    // A play of both at once is one.
    let mut sql = Sql::new("DELETE FROM plays WHERE uri = ");
    sql.bind(old.to_owned());
    sql.push(" AND EXISTS (SELECT 1 FROM plays p WHERE p.user_id = plays.user_id AND p.played_at = plays.played_at");
    of_owner(sql.push(" AND p.uri = ").bind(new.to_owned()).push(")"), owner);
    sql.query().execute(&mut **tx).await?;
    let mut sql = Sql::new("UPDATE plays SET uri = ");
    of_owner(sql.bind(new.to_owned()).push(" WHERE uri = ").bind(old.to_owned()), owner);
    sql.query().execute(&mut **tx).await?;
    Ok(())
}

fn of_owner(sql: &mut Sql, owner: Option<&str>) {
    if let Some(owner) = owner {
        sql.push(" AND user_id = ").bind(owner.to_owned());
    }
}

/// When the newest play began that was taken over for an account, Unix milliseconds.
///
/// # Errors
/// When the database fails.
pub async fn taken_until(db: impl AnyExecutor<'_>, account: &str) -> sqlx::Result<Option<i64>> {
    let found: Option<Option<i64>> = sqlx::query_scalar("SELECT plays_until FROM accounts WHERE id = $1")
        .bind(account.to_owned())
        .fetch_optional(db)
        .await?;
    Ok(found.flatten())
}

/// Notes that plays were taken over for an account up to a time, Unix milliseconds.
///
/// # Errors
/// When the database fails.
pub async fn take_until(tx: &mut Tx, account: &str, until: i64) -> sqlx::Result<()> {
    sqlx::query("UPDATE accounts SET plays_until = $2 WHERE id = $1")
        .bind(account.to_owned())
        .bind(until)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
