//! Fills the full-text index of SQLite a moment after rows were written, in batches: one by one costs several times as
//! much. What is still to do is in the database, so a killed host goes on with it. PostgreSQL defers by itself.

use sqlx::Row as _;

use crate::db::{Db, Dialect, Tx};

/// Rows per transaction: others that write wait no longer than for this.
const BATCH: i64 = 2000;

/// Puts everything written so far into the full-text index.
///
/// # Errors
/// When the database fails; what is left is done the next time.
pub async fn catch_up(db: &Db) -> sqlx::Result<()> {
    let mut any = false;
    while pending(db).await? {
        any = true;
        let mut tx = db.write().await?;
        changed(&mut tx).await?;
        added(&mut tx).await?;
        tx.commit().await?;
    }
    if any { db.release_memory().await } else { Ok(()) }
}

async fn pending(db: &Db) -> sqlx::Result<bool> {
    if db.dialect() == Dialect::Postgres {
        return Ok(false);
    }
    let left = "SELECT EXISTS (SELECT 1 FROM items WHERE id > (SELECT done FROM items_text))
        OR EXISTS (SELECT 1 FROM items_text_changed)";
    Ok(sqlx::query(left).fetch_one(db.read()).await?.try_get::<i64, _>(0)? != 0)
}

/// Rows whose words changed after they had got into the index.
async fn changed(tx: &mut Tx) -> sqlx::Result<()> {
    let last = "SELECT MAX(id) FROM (SELECT id FROM items_text_changed ORDER BY id LIMIT $1)";
    let last: Option<i64> = sqlx::query(last).bind(BATCH).fetch_one(&mut **tx).await?.try_get(0)?;
    let Some(last) = last else { return Ok(()) };
    for statement in [
        "DELETE FROM items_fts WHERE rowid IN (SELECT id FROM items_text_changed WHERE id <= $1)",
        "INSERT INTO items_fts (rowid, words)
            SELECT i.id, '_' || l.account_id || ' _' || l.account_id || '_' || i.kind || ' ' || i.search_text
            FROM items_text_changed c JOIN items i ON i.id = c.id JOIN libraries l ON l.id = i.library
            WHERE c.id <= $1 AND i.search_text <> '' ORDER BY i.id",
        "DELETE FROM items_text_changed WHERE id <= $1",
    ] {
        sqlx::query(statement).bind(last).execute(&mut **tx).await?;
    }
    Ok(())
}

/// Rows that are not in the index yet.
async fn added(tx: &mut Tx) -> sqlx::Result<()> {
    let last = "SELECT MAX(id) FROM
        (SELECT id FROM items WHERE id > (SELECT done FROM items_text) ORDER BY id LIMIT $1)";
    let last: Option<i64> = sqlx::query(last).bind(BATCH).fetch_one(&mut **tx).await?.try_get(0)?;
    let Some(last) = last else { return Ok(()) };
    for statement in [
        "INSERT INTO items_fts (rowid, words)
            SELECT i.id, '_' || l.account_id || ' _' || l.account_id || '_' || i.kind || ' ' || i.search_text
            FROM items i JOIN libraries l ON l.id = i.library
            WHERE i.id > (SELECT done FROM items_text) AND i.id <= $1 AND i.search_text <> '' ORDER BY i.id",
        "UPDATE items_text SET done = $1",
    ] {
        sqlx::query(statement).bind(last).execute(&mut **tx).await?;
    }
    Ok(())
}
