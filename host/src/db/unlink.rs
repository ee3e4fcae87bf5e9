//! What hangs on one account, over all tables: erasing it.

use sqlx::{Row as _, any::AnyExecutor};

use super::{Tx, query::Sql};

/// Statements that erase what was read of an account (`$1`), at most `$2` rows at a time.
const OF_ACCOUNT: [&str; 4] = [
    "DELETE FROM items WHERE id IN
       (SELECT i.id FROM items i JOIN libraries l ON l.id = i.library WHERE l.account_id = $1 LIMIT $2)",
    "DELETE FROM pull_runs WHERE id IN (SELECT id FROM pull_runs WHERE account_id = $1 LIMIT $2)",
    "DELETE FROM setup_flows WHERE id IN (SELECT id FROM setup_flows WHERE account_id = $1 OR result = $1 LIMIT $2)",
    "DELETE FROM jobs WHERE id IN
       (SELECT id FROM jobs WHERE payload LIKE '%' || $1 || '%' AND kind <> 'account.unlink' AND state <> 'running'
        LIMIT $2)",
];

/// Statements that erase what a user (`$1`) has only through an instance (`$2`), at most `$3` rows at a time.
const OF_OWNER: [&str; 3] = [
    "DELETE FROM likes WHERE user_id = $1 AND uri IN
       (SELECT uri FROM likes WHERE user_id = $1 AND (written_through <> 0 OR liked = 0)
          AND substr(uri, 1, length($2) + 1) = $2 || ':' LIMIT $3)",
    "UPDATE likes SET pending = 0, code = 'no_own_account' WHERE user_id = $1 AND uri IN
       (SELECT uri FROM likes WHERE user_id = $1 AND pending <> 0 AND substr(uri, 1, length($2) + 1) = $2 || ':' LIMIT $3)",
    "DELETE FROM plays WHERE id IN (SELECT id FROM plays WHERE user_id = $1 AND source = $2 LIMIT $3)",
];

/// Erases some of what was read of an account, at most as many rows; answers how many. It is done when that is none.
///
/// # Errors
/// When the database fails.
pub async fn erase_of_account(tx: &mut Tx, account_id: &str, limit: i64) -> sqlx::Result<u64> {
    for statement in OF_ACCOUNT {
        let query = sqlx::query(statement).bind(account_id.to_owned()).bind(limit);
        let erased = query.execute(&mut **tx).await?.rows_affected();
        if erased > 0 {
            return Ok(erased);
        }
    }
    Ok(0)
}

/// Erases some of what a user has only through an instance, at most as many rows; answers how many. It is done when that is
/// none.
///
/// # Errors
/// When the database fails.
pub async fn erase_of_owner(tx: &mut Tx, owner: &str, instance: &str, limit: i64) -> sqlx::Result<u64> {
    for statement in OF_OWNER {
        let query = sqlx::query(statement).bind(owner.to_owned()).bind(instance.to_owned()).bind(limit);
        let erased = query.execute(&mut **tx).await?.rows_affected();
        if erased > 0 {
            return Ok(erased);
        }
    }
    Ok(0)
}

/// Whether a user has an account at an instance.
///
/// # Errors
/// When the database fails.
pub async fn has_another(db: impl AnyExecutor<'_>, owner: &str, instance: &str) -> sqlx::Result<bool> {
    let count: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM accounts WHERE owner = $1 AND instance = $2 AND unlinked_at IS NULL")
            .bind(owner.to_owned())
            .bind(instance.to_owned())
            .fetch_one(db)
            .await?;
    Ok(count > 0)
}

/// Whether an account's erasure has yet to end.
///
/// # Errors
/// When the database fails.
pub async fn unfinished_erasure(db: impl AnyExecutor<'_>, account_id: &str) -> sqlx::Result<bool> {
    let count: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM jobs WHERE payload LIKE '%' || $1 || '%' AND kind = 'account.unlink'
           AND state IN ('queued', 'waiting', 'running')",
    )
    .bind(account_id.to_owned())
    .fetch_one(db)
    .await?;
    Ok(count > 0)
}

/// An account's jobs that have yet to end, but for the one that erases it: id, kind and user.
///
/// # Errors
/// When the database fails.
pub async fn unfinished_jobs(
    db: impl AnyExecutor<'_>,
    account_id: &str,
) -> sqlx::Result<Vec<(String, String, Option<String>)>> {
    sqlx::query_as(
        "SELECT id, kind, user_id FROM jobs WHERE payload LIKE '%' || $1 || '%' AND kind <> 'account.unlink'
           AND state IN ('queued', 'waiting', 'running') ORDER BY id",
    )
    .bind(account_id.to_owned())
    .fetch_all(db)
    .await
}

/// The ids of those that run.
///
/// # Errors
/// When the database fails.
pub async fn running_jobs(db: impl AnyExecutor<'_>, account_id: &str) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT id FROM jobs WHERE state = 'running' AND payload LIKE '%' || $1 || '%' AND kind <> 'account.unlink'",
    )
    .bind(account_id.to_owned())
    .fetch_all(db)
    .await
}

/// Whether one of some jobs still runs.
///
/// # Errors
/// When the database fails.
pub async fn any_runs(db: impl AnyExecutor<'_>, jobs: &[String]) -> sqlx::Result<bool> {
    let mut sql = Sql::new("SELECT COUNT(*) FROM jobs WHERE state = 'running' AND id IN ");
    sql.bind_list(jobs.iter().cloned());
    let count: i64 = sql.query().fetch_one(db).await?.try_get(0)?;
    Ok(count > 0)
}
