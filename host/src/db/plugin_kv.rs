//! Tables `plugin_kv` and `plugin_kv_usage`.

use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use sqlx::{Any, AssertSqlSafe, Executor, Row as _};

use super::Tx;

/// Entries per statement: far below what both databases can bind.
const CHUNK: usize = 500;

/// Whose entries.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The instance.
    pub instance: &'a str,
    /// The account; empty for the instance's own entries.
    pub account: &'a str,
}

/// How much an instance keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Entries.
    pub entries: i64,
    /// Bytes of their keys and values.
    pub bytes: i64,
}

/// The value of a key.
pub async fn get(db: impl Executor<'_, Database = Any>, scope: Scope<'_>, key: &[u8]) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar("SELECT value FROM plugin_kv WHERE instance = $1 AND account = $2 AND key = $3")
        .bind(scope.instance)
        .bind(scope.account)
        .bind(key.to_vec())
        .fetch_optional(db)
        .await
}

/// Sets (or, without a value, deletes) entries; answers what the instance keeps now.
pub async fn put_many(
    tx: &mut Tx,
    scope: Scope<'_>,
    entries: &BTreeMap<Vec<u8>, Option<Vec<u8>>>,
) -> sqlx::Result<Usage> {
    let mut change = Usage { entries: 0, bytes: 0 };
    let keys: Vec<_> = entries.keys().collect();
    for keys in keys.chunks(CHUNK) {
        let sql = format!(
            "DELETE FROM plugin_kv WHERE instance = $1 AND account = $2 AND key IN ({}) \
             RETURNING CAST(length(key) + length(value) AS BIGINT)",
            placeholders(3, keys.len())
        );
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(scope.instance.to_owned()).bind(scope.account.to_owned());
        for key in keys {
            query = query.bind((*key).clone());
        }
        for row in query.fetch_all(&mut **tx).await? {
            change.entries -= 1;
            change.bytes -= row.try_get::<i64, _>(0)?;
        }
    }
    let kept: Vec<_> = entries.iter().filter_map(|(key, value)| Some((key, value.as_ref()?))).collect();
    for rows in kept.chunks(CHUNK) {
        let values: Vec<_> = (0..rows.len()).map(|n| format!("($1, $2, {})", placeholders(3 + 2 * n, 2))).collect();
        let sql = format!("INSERT INTO plugin_kv (instance, account, key, value) VALUES {}", values.join(", "));
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(scope.instance.to_owned()).bind(scope.account.to_owned());
        for (key, value) in rows {
            query = query.bind((*key).clone()).bind((*value).clone());
            change.entries += 1;
            change.bytes += i64::try_from(key.len() + value.len()).unwrap_or(i64::MAX);
        }
        query.execute(&mut **tx).await?;
    }
    count(tx, scope.instance, change).await
}

/// `$first, …`, so many of them. (sqlx's own query builder writes `?` for `Any`, which PostgreSQL does not know.)
fn placeholders(first: usize, count: usize) -> String {
    (first..first + count).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}

async fn count(tx: &mut Tx, instance: &str, change: Usage) -> sqlx::Result<Usage> {
    let row = sqlx::query(
        "INSERT INTO plugin_kv_usage (instance, entries, bytes) VALUES ($1, $2, $3) \
         ON CONFLICT (instance) DO UPDATE SET entries = plugin_kv_usage.entries + excluded.entries, \
         bytes = plugin_kv_usage.bytes + excluded.bytes RETURNING entries, bytes",
    )
    .bind(instance)
    .bind(change.entries)
    .bind(change.bytes)
    .fetch_one(&mut **tx)
    .await?;
    Ok(Usage { entries: row.try_get(0)?, bytes: row.try_get(1)? })
}

/// Removes everything in a scope.
pub async fn remove_all(tx: &mut Tx, scope: Scope<'_>) -> sqlx::Result<()> {
    let row = sqlx::query(
        "SELECT COUNT(*), CAST(COALESCE(SUM(length(key) + length(value)), 0) AS BIGINT) FROM plugin_kv \
         WHERE instance = $1 AND account = $2",
    )
    .bind(scope.instance)
    .bind(scope.account)
    .fetch_one(&mut **tx)
    .await?;
    let (entries, bytes): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    sqlx::query("DELETE FROM plugin_kv WHERE instance = $1 AND account = $2")
        .bind(scope.instance)
        .bind(scope.account)
        .execute(&mut **tx)
        .await?;
    count(tx, scope.instance, Usage { entries: -entries, bytes: -bytes }).await.map(drop)
}

/// A page of entries in the order of their keys, and whether more follow. Reads no further than `max_bytes`.
pub async fn scan(
    db: impl Executor<'_, Database = Any>,
    scope: Scope<'_>,
    prefix: &[u8],
    after: Option<&[u8]>,
    max_bytes: usize,
) -> sqlx::Result<(Vec<(Vec<u8>, Vec<u8>)>, bool)> {
    let end = successor(prefix);
    let mut sql = String::from("SELECT key, value FROM plugin_kv WHERE instance = $1 AND account = $2 AND key ");
    let after = after.filter(|after| *after >= prefix);
    sql.push_str(if after.is_some() { "> $3" } else { ">= $3" });
    if end.is_some() {
        sql.push_str(" AND key < $4");
    }
    sql.push_str(" ORDER BY key");
    let start = after.unwrap_or(prefix);
    let mut query = sqlx::query(AssertSqlSafe(sql))
        .bind(scope.instance.to_owned())
        .bind(scope.account.to_owned())
        .bind(start.to_vec());
    if let Some(end) = end {
        query = query.bind(end);
    }
    let (mut page, mut size) = (Vec::new(), 0);
    let mut rows = query.fetch(db);
    while let Some(row) = rows.try_next().await? {
        let (key, value): (Vec<u8>, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
        // What the encoding adds.
        size += key.len() + value.len() + 16;
        if size > max_bytes && !page.is_empty() {
            return Ok((page, true));
        }
        page.push((key, value));
    }
    Ok((page, false))
}

/// The first key behind all that start with the prefix; none where every key is before it.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::successor;

    #[test]
    fn successors_of_prefixes() {
        assert_eq!(successor(b"f/"), Some(b"f0".to_vec()));
        assert_eq!(successor(&[1, 255]), Some(vec![2]));
        assert_eq!(successor(&[255, 255]), None);
        assert_eq!(successor(b""), None);
    }
}
