//! Writes the database's rows into an archive.

use std::io::Write;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::TryStreamExt as _;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Row as _, any::AnyRow};

use super::{
    BackupError, TableInfo,
    archive::Writer,
    schema::{Kind, Table, quoted, tables},
};
use crate::{
    db::{Db, Dialect, Tx, applied_migrations},
    secrets::Secrets,
};

/// About how large a member is, in bytes; it ends with the row that goes beyond.
const CHUNK: usize = 1 << 20;

/// What was written.
pub(super) struct Dump {
    /// The migrations that were applied.
    pub(super) schema: Vec<i64>,
    pub(super) tables: Vec<TableInfo>,
    /// What proves the key, as of the same moment.
    pub(super) canary: Option<Vec<u8>>,
}

/// Writes all rows as of one moment.
pub(super) async fn write(
    db: &Db,
    archive: &mut Writer<impl Write>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Dump, BackupError> {
    let mut tx = snapshot(db).await?;
    let schema = applied_migrations(&mut tx).await?;
    let tables = tables(&mut tx).await?;
    let canary = match tables.iter().any(|table| table.name == "host_state") {
        true => Secrets::canary(&mut *tx).await?,
        false => None,
    };
    let mut infos = Vec::new();
    let mut total = 0;
    for table in tables {
        let last_id = last_id(&mut tx, &table).await?;
        let rows = rows(&mut tx, &table, archive, &mut |n| progress(total + n)).await?;
        total += rows;
        infos.push(TableInfo { name: table.name, columns: table.columns, rows, last_id });
    }
    tx.rollback().await?;
    Ok(Dump { schema, tables: infos, canary })
}

/// A transaction that sees one state of the database however long it lasts.
async fn snapshot(db: &Db) -> sqlx::Result<Tx> {
    match db.dialect() {
        Dialect::Sqlite => db.read().begin().await,
        Dialect::Postgres => {
            let mut tx = db.read().begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            // Whoever reads the archive may be slow.
            sqlx::query("SET LOCAL idle_in_transaction_session_timeout = 0").execute(&mut *tx).await?;
            Ok(tx)
        }
    }
}

/// The highest id that was ever given in a table that counts them.
async fn last_id(tx: &mut Tx, table: &Table) -> sqlx::Result<Option<i64>> {
    let Some(counter) = &table.counter else { return Ok(None) };
    let last: Option<Option<i64>> = match Dialect::of(tx) {
        Dialect::Sqlite => {
            let sql = "SELECT CAST(seq AS BIGINT) FROM sqlite_sequence WHERE name = $1";
            sqlx::query_scalar(sql).bind(table.name.clone()).fetch_optional(&mut **tx).await?
        }
        Dialect::Postgres => {
            let sql = "SELECT pg_sequence_last_value(CAST(pg_get_serial_sequence($1, $2) AS regclass))";
            let query = sqlx::query_scalar(sql).bind(quoted(&table.name)).bind(counter.clone());
            query.fetch_optional(&mut **tx).await?
        }
    };
    Ok(last.flatten())
}

/// Writes a table's rows, one JSON array a line; answers how many.
async fn rows(
    tx: &mut Tx,
    table: &Table,
    archive: &mut Writer<impl Write>,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<u64, BackupError> {
    let sql = format!("SELECT {} FROM {}", table.column_list(), quoted(&table.name));
    let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(&mut **tx);
    let (mut chunk, mut chunks, mut count) = (Vec::with_capacity(CHUNK + (CHUNK >> 2)), 0, 0);
    let mut flush = |chunk: &mut Vec<u8>| {
        chunks += 1;
        let added = archive.add(&format!("tables/{}/{chunks:06}.jsonl", table.name), chunk);
        chunk.clear();
        added
    };
    while let Some(row) = rows.try_next().await? {
        let values = Value::Array(values(table, &row)?);
        chunk.extend_from_slice(values.to_string().as_bytes());
        chunk.push(b'\n');
        count += 1;
        if chunk.len() >= CHUNK {
            flush(&mut chunk)?;
            progress(count);
        }
    }
    if !chunk.is_empty() {
        flush(&mut chunk)?;
    }
    progress(count);
    Ok(count)
}

fn values(table: &Table, row: &AnyRow) -> sqlx::Result<Vec<Value>> {
    let value = |(at, kind): (usize, Kind)| {
        Ok(match kind {
            Kind::Integer => row.try_get::<Option<i64>, _>(at)?.into(),
            Kind::Text => row.try_get::<Option<String>, _>(at)?.into(),
            Kind::Bytes => row.try_get::<Option<Vec<u8>>, _>(at)?.map(|bytes| STANDARD.encode(bytes)).into(),
        })
    };
    table.columns.iter().map(|column| column.kind).enumerate().map(value).collect()
}
