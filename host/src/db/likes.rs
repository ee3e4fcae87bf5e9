//! What users like (`likes`).

use sqlx::{FromRow, any::AnyExecutor};

use super::{Tx, clock, query::Sql};

/// URIs per statement.
const URIS: usize = 500;

/// A like, or a like that was taken back and of which the provider has yet to hear.
#[derive(Clone, Debug, Default, PartialEq, Eq, FromRow)]
pub struct LikeRow {
    /// The track.
    pub uri: String,
    /// Since when, Unix milliseconds.
    pub liked_at: i64,
    /// 0: taken back.
    pub liked: i64,
    /// Not 0: the provider holds it too.
    pub written_through: i64,
    /// Not 0: the provider has yet to be told.
    pub pending: i64,
    /// Why the provider does not hold it.
    pub code: Option<String>,
    /// Grows with every change of mind, Unix milliseconds or later.
    pub changed_at: i64,
}

const SELECT: &str =
    "SELECT uri, liked_at, liked, written_through, pending, code, changed_at FROM likes WHERE user_id = ";

/// What a user said of a track.
///
/// # Errors
/// When the database fails.
pub async fn find(db: impl AnyExecutor<'_>, user_id: &str, uri: &str) -> sqlx::Result<Option<LikeRow>> {
    let mut sql = Sql::new(SELECT);
    sql.bind(user_id.to_owned()).push(" AND uri = ").bind(uri.to_owned());
    sql.query().fetch_optional(db).await?.as_ref().map(LikeRow::from_row).transpose()
}

/// A page of a user's likes, newest first, after one of them.
///
/// # Errors
/// When the database fails.
pub async fn list(
    db: impl AnyExecutor<'_>,
    user_id: &str,
    after: Option<(i64, String)>,
    limit: i64,
) -> sqlx::Result<Vec<LikeRow>> {
    let mut sql = Sql::new(SELECT);
    sql.bind(user_id.to_owned()).push(" AND liked = 1");
    if let Some((liked_at, uri)) = after {
        sql.push(" AND (liked_at, uri) < (").bind(liked_at).push(", ").bind(uri).push(")");
    }
    sql.push(" ORDER BY liked_at DESC, uri DESC LIMIT ").push_int(limit);
    sql.query().fetch_all(db).await?.iter().map(LikeRow::from_row).collect()
}

/// What the provider of an instance has yet to be told, the oldest first.
///
/// # Errors
/// When the database fails.
pub async fn pending(
    db: impl AnyExecutor<'_>,
    user_id: &str,
    instance: &str,
    limit: i64,
) -> sqlx::Result<Vec<LikeRow>> {
    let mut sql = Sql::new(SELECT);
    at(sql.bind(user_id.to_owned()).push(" AND pending <> 0"), instance);
    sql.push(" ORDER BY changed_at, uri LIMIT ").push_int(limit);
    sql.query().fetch_all(db).await?.iter().map(LikeRow::from_row).collect()
}

/// All that a user said of an instance's tracks, also what was taken back.
///
/// # Errors
/// When the database fails.
pub async fn of_instance(db: impl AnyExecutor<'_>, user_id: &str, instance: &str) -> sqlx::Result<Vec<LikeRow>> {
    let mut sql = Sql::new(SELECT);
    at(sql.bind(user_id.to_owned()), instance);
    sql.query().fetch_all(db).await?.iter().map(LikeRow::from_row).collect()
}

/// Only URIs of an instance. No pattern: ids may hold what means something there.
fn at(sql: &mut Sql, instance: &str) {
    let start = format!("{instance}:");
    let length = i64::try_from(start.len()).unwrap_or(i64::MAX);
    sql.push(" AND substr(uri, 1, ").push_int(length).push(") = ").bind(start);
}

/// How many tracks a user likes.
///
/// # Errors
/// When the database fails.
pub async fn count(db: impl AnyExecutor<'_>, user_id: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT COUNT(*) FROM likes WHERE user_id = $1 AND liked = 1")
        .bind(user_id.to_owned())
        .fetch_one(db)
        .await
}

/// Writes down what a user says of a track, instead of what they said before.
///
/// # Errors
/// When the database fails.
pub async fn put(tx: &mut Tx, user_id: &str, row: &LikeRow) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO likes (user_id, uri, liked_at, liked, written_through, pending, code, changed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (user_id, uri) DO UPDATE SET liked_at = excluded.liked_at, liked = excluded.liked,
            written_through = excluded.written_through, pending = excluded.pending, code = excluded.code,
            changed_at = excluded.changed_at",
    )
    .bind(user_id.to_owned())
    .bind(row.uri.clone())
    .bind(row.liked_at)
    .bind(row.liked)
    .bind(row.written_through)
    .bind(row.pending)
    .bind(row.code.clone())
    .bind(row.changed_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Forgets what a user said of a track.
///
/// # Errors
/// When the database fails.
pub async fn delete(tx: &mut Tx, user_id: &str, uri: &str) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM likes WHERE user_id = $1 AND uri = $2")
        .bind(user_id.to_owned())
        .bind(uri.to_owned())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Lets likes follow tracks to other addresses: those of one user, or without an owner of the account, of everybody. With
/// `tell`, the provider is to be told of those that it held or was to hear of.
///
/// # Errors
/// When the database fails.
pub async fn follow(tx: &mut Tx, owner: Option<&str>, moved: &[(&str, &str)], tell: bool) -> sqlx::Result<()> {
    let now = clock::now(tx).await?;
    for chunk in moved.chunks(URIS) {
        let mut sql = Sql::many(tx, "SELECT DISTINCT uri FROM likes WHERE uri IN ");
        sql.bind_list(chunk.iter().map(|(old, _)| (*old).to_owned()));
        let known = sql.query().fetch_all(&mut **tx).await?;
        let known: Vec<String> = known.iter().map(|row| sqlx::Row::try_get(row, 0)).collect::<sqlx::Result<_>>()?;
        for (old, new) in chunk.iter().filter(|(old, _)| known.iter().any(|uri| uri == old)) {
            follow_one(tx, owner, (old, new), tell, now).await?;
        }
    }
    Ok(())
}

async fn follow_one(
    tx: &mut Tx,
    owner: Option<&str>,
    (old, new): (&str, &str),
    tell: bool,
    now: i64,
) -> sqlx::Result<()> {
    // Who likes both already likes what came of it.
    let mut sql = Sql::new("DELETE FROM likes WHERE uri = ");
    sql.bind(old.to_owned()).push(" AND user_id IN (SELECT user_id FROM likes WHERE uri = ").bind(new.to_owned());
    of_owner(sql.push(")"), owner);
    sql.query().execute(&mut **tx).await?;
    // A list of likes that was made before names the old address: it counts for nothing against the new one.
    let mut sql = Sql::new("UPDATE likes SET changed_at = CASE WHEN changed_at < ");
    sql.bind(now).push(" THEN ").bind(now).push(" ELSE changed_at + 1 END");
    if tell {
        sql.push(", pending = CASE WHEN written_through <> 0 THEN 1 ELSE pending END, written_through = 0");
    }
    of_owner(sql.push(", uri = ").bind(new.to_owned()).push(" WHERE uri = ").bind(old.to_owned()), owner);
    sql.query().execute(&mut **tx).await?;
    Ok(())
}

fn of_owner(sql: &mut Sql, owner: Option<&str>) {
    if let Some(owner) = owner {
        sql.push(" AND user_id = ").bind(owner.to_owned());
    }
}
