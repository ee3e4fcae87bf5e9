//! What is no longer at its source, and what happens to it.

use sqlx::Row as _;

use crate::db::{Tx, now_ms};

/// What a run missed.
#[derive(Clone, Debug, Default)]
pub struct Missing {
    /// How many of each kind.
    pub kinds: Vec<(String, i64)>,
    /// Some of them: URI and document.
    pub sample: Vec<(String, String)>,
}

impl Missing {
    /// How many in all.
    pub fn count(&self) -> i64 {
        self.kinds.iter().map(|(_, n)| n).sum()
    }
}

/// After a run that listed everything: what it did not see is missing.
pub async fn mark_missing(tx: &mut Tx, account: &str, run: &str, playlists: bool) -> sqlx::Result<()> {
    let statement = if playlists {
        "UPDATE items SET missing_run = $2
         WHERE library = (SELECT id FROM libraries WHERE account_id = $1) AND saved = 1 AND kind = 'playlist' AND seen_run <> $2 AND missing_since IS NULL"
    } else {
        "UPDATE items SET missing_run = $2
         WHERE library = (SELECT id FROM libraries WHERE account_id = $1) AND saved = 1 AND kind <> 'playlist' AND seen_run <> $2 AND missing_since IS NULL"
    };
    sqlx::query(statement).bind(account.to_owned()).bind(run.to_owned()).execute(&mut **tx).await?;
    Ok(())
}

/// What a run missed, with at most 100 examples.
pub async fn missing(tx: &mut Tx, account: &str, run: &str) -> sqlx::Result<Missing> {
    let mut missing = Missing::default();
    let kinds = sqlx::query(
        "SELECT kind, COUNT(*) FROM items WHERE library = (SELECT id FROM libraries WHERE account_id = $1) AND missing_run = $2 GROUP BY kind ORDER BY kind",
    );
    for row in kinds.bind(account.to_owned()).bind(run.to_owned()).fetch_all(&mut **tx).await? {
        missing.kinds.push((row.try_get(0)?, row.try_get(1)?));
    }
    let sample = sqlx::query(
        "SELECT uri, doc FROM items WHERE library = (SELECT id FROM libraries WHERE account_id = $1) AND missing_run = $2 ORDER BY kind, title_key, uri LIMIT 100",
    );
    for row in sample.bind(account.to_owned()).bind(run.to_owned()).fetch_all(&mut **tx).await? {
        missing.sample.push((row.try_get(0)?, row.try_get(1)?));
    }
    Ok(missing)
}

/// How many items the account's library holds.
pub async fn total(tx: &mut Tx, account: &str) -> sqlx::Result<i64> {
    sqlx::query(
        "SELECT COUNT(*) FROM items WHERE library = (SELECT id FROM libraries WHERE account_id = $1) AND saved = 1",
    )
    .bind(account.to_owned())
    .fetch_one(&mut **tx)
    .await?
    .try_get(0)
}

/// What the run missed waits for confirmation.
pub async fn hold(tx: &mut Tx, account: &str, run: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE items SET missing_since = $3 WHERE library = (SELECT id FROM libraries WHERE account_id = $1) AND missing_run = $2")
        .bind(account.to_owned())
        .bind(run.to_owned())
        .bind(now_ms())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The run was not complete: what it heard of removals does not count.
pub async fn give_up_marks(tx: &mut Tx, account: &str, run: &str) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE items SET missing_run = NULL WHERE library = (SELECT id FROM libraries WHERE account_id = $1) AND missing_run = $2 AND missing_since IS NULL",
    )
    .bind(account.to_owned())
    .bind(run.to_owned())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Removes what the run missed, and answers how many. With `keep_named`, what a playlist, a like or a play still names only
/// leaves the library: the service has it, the account saved it no more.
pub async fn remove(tx: &mut Tx, account: &str, run: &str, keep_named: bool) -> sqlx::Result<i64> {
    let mut removed = 0;
    if keep_named {
        let demote = sqlx::query(
            "UPDATE items SET saved = 0, search_text = '', missing_run = NULL, missing_since = NULL
             WHERE library = (SELECT id FROM libraries WHERE account_id = $1) AND missing_run = $2 AND kind <> 'playlist' AND
                (EXISTS (SELECT 1 FROM playlist_items p WHERE p.library = items.library AND p.item_uri = items.uri)
                OR EXISTS (SELECT 1 FROM likes l WHERE l.uri = items.uri)
                OR EXISTS (SELECT 1 FROM plays p WHERE p.uri = items.uri))",
        );
        removed += demote.bind(account.to_owned()).bind(run.to_owned()).execute(&mut **tx).await?.rows_affected();
    }
    let delete = sqlx::query(
        "DELETE FROM items WHERE library = (SELECT id FROM libraries WHERE account_id = $1) AND missing_run = $2",
    );
    removed += delete.bind(account.to_owned()).bind(run.to_owned()).execute(&mut **tx).await?.rows_affected();
    Ok(i64::try_from(removed).unwrap_or(i64::MAX))
}

/// Forgets what was only known because a playlist, a like or a play named it, once none does.
pub async fn forget_unnamed(tx: &mut Tx, account: &str) -> sqlx::Result<()> {
    sqlx::query(
        "DELETE FROM items WHERE library = (SELECT id FROM libraries WHERE account_id = $1) AND saved = 0
            AND NOT EXISTS (SELECT 1 FROM playlist_items p WHERE p.library = items.library AND p.item_uri = items.uri)
            AND NOT EXISTS (SELECT 1 FROM likes l WHERE l.uri = items.uri)
            AND NOT EXISTS (SELECT 1 FROM plays p WHERE p.uri = items.uri)",
    )
    .bind(account.to_owned())
    .execute(&mut **tx)
    .await?;
    Ok(())
}
