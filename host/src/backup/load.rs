//! Fills an empty database from an archive.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use sqlx::{Arguments as _, AssertSqlSafe, any::AnyArguments};

use super::{
    CONFIGURATION, Manifest,
    archive::{Archive, ArchiveError},
    restore::RestoreError,
    schema::{Kind, Table, quoted, tables},
};
use crate::{
    db::{Dialect, Tx},
    secrets::KEY_FILE,
};

/// The most rows in one statement.
const ROWS: usize = 200;
/// The most values in one statement: SQLite has no more places.
const VALUES: usize = 30_000;

/// Puts an archive's rows into tables that have the archive's schema; answers how many. What a migration put there is
/// replaced.
pub(super) async fn fill(tx: &mut Tx, archive: &Archive, progress: &(dyn Fn(u64) + Sync)) -> Result<u64, RestoreError> {
    let inserts = inserts(tx, &archive.manifest).await?;
    for info in archive.manifest.tables.iter().rev() {
        sqlx::query(AssertSqlSafe(format!("DELETE FROM {}", quoted(&info.name)))).execute(&mut **tx).await?;
    }
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut total = 0;
    let mut members = archive.members()?;
    for member in members.iter()? {
        let (name, bytes) = member?;
        let Some(table) = table_of(&name)? else { continue };
        let insert = inserts.get(table).ok_or_else(|| ArchiveError::Foreign(name.clone()))?;
        let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        for lines in lines.chunks(insert.rows) {
            insert.run(tx, lines).await?;
        }
        *counts.entry(table.to_owned()).or_default() += lines.len() as u64;
        total += lines.len() as u64;
        progress(total);
    }
    for info in &archive.manifest.tables {
        if counts.remove(&info.name).unwrap_or_default() != info.rows {
            return Err(RestoreError::Unfit(format!("{} has not as many rows as the archive says", info.name)));
        }
        if let Some(insert) = inserts.get(&info.name) {
            insert.count_on(tx, info.last_id).await?;
        }
    }
    Ok(total)
}

/// The table that a member has rows of; nothing for other members of a backup.
fn table_of(name: &str) -> Result<Option<&str>, ArchiveError> {
    if [CONFIGURATION, KEY_FILE].contains(&name) {
        return Ok(None);
    }
    let table = name.strip_prefix("tables/").and_then(|rest| rest.split_once('/'));
    table.map(|(table, _)| Some(table)).ok_or_else(|| ArchiveError::Foreign(name.to_owned()))
}

/// How to fill each table. The database says what tables and columns there are, the archive which of them it fills.
async fn inserts(tx: &mut Tx, manifest: &Manifest) -> Result<BTreeMap<String, Insert>, RestoreError> {
    let existing: BTreeMap<String, Table> =
        tables(tx).await?.into_iter().map(|table| (table.name.clone(), table)).collect();
    let mut inserts = BTreeMap::new();
    for info in &manifest.tables {
        let unfit = |what: &str| RestoreError::Unfit(format!("{what} is not in a database of its schema"));
        let table = existing.get(&info.name).ok_or_else(|| unfit(&info.name))?;
        if let Some(column) = info.columns.iter().find(|column| !table.columns.contains(column)) {
            return Err(unfit(&format!("{}.{}", info.name, column.name)));
        }
        let table = Table { columns: info.columns.clone(), ..table.clone() };
        inserts.insert(info.name.clone(), Insert::new(table, Dialect::of(tx)));
    }
    Ok(inserts)
}

/// Fills one table.
struct Insert {
    table: Table,
    dialect: Dialect,
    /// Rows in a statement.
    rows: usize,
}

impl Insert {
    fn new(table: Table, dialect: Dialect) -> Self {
        let rows = (VALUES / table.columns.len().max(1)).clamp(1, ROWS);
        Self { table, dialect, rows }
    }

    async fn run(&self, tx: &mut Tx, lines: &[&[u8]]) -> Result<(), RestoreError> {
        let mut arguments = AnyArguments::default();
        for line in lines {
            self.bind(&mut arguments, line)
                .ok_or_else(|| RestoreError::Unfit(format!("a row of {} is none", self.table.name)))?;
        }
        sqlx::query_with(AssertSqlSafe(self.sql(lines.len())), arguments).execute(&mut **tx).await?;
        Ok(())
    }

    fn sql(&self, rows: usize) -> String {
        // The archive's numbers count, not those that the database would give.
        let numbered = if self.dialect == Dialect::Postgres { " OVERRIDING SYSTEM VALUE" } else { "" };
        let mut sql =
            format!("INSERT INTO {} ({}){numbered} VALUES ", quoted(&self.table.name), self.table.column_list());
        let mut place = 0;
        for row in 0..rows {
            sql.push_str(if row == 0 { "(" } else { ",(" });
            for column in 0..self.table.columns.len() {
                sql.push_str(if column == 0 { "" } else { "," });
                place += 1;
                match self.dialect {
                    // SQLite looks each `$1` up in a list of all before it.
                    Dialect::Sqlite => sql.push('?'),
                    Dialect::Postgres => sql.push_str(&format!("${place}")),
                }
            }
            sql.push(')');
        }
        sql
    }

    /// Adds a row's values; nothing where it is no row of this table.
    fn bind(&self, arguments: &mut AnyArguments, line: &[u8]) -> Option<()> {
        let values: Vec<Value> = serde_json::from_slice(line).ok()?;
        if values.len() != self.table.columns.len() {
            return None;
        }
        for (column, value) in self.table.columns.iter().zip(values) {
            let bound = match (column.kind, value) {
                (Kind::Integer, Value::Null) => arguments.add(None::<i64>),
                (Kind::Text, Value::Null) => arguments.add(None::<String>),
                (Kind::Bytes, Value::Null) => arguments.add(None::<Vec<u8>>),
                (Kind::Integer, value) => arguments.add(value.as_i64()?),
                (Kind::Text, Value::String(text)) => arguments.add(text),
                (Kind::Bytes, Value::String(text)) => arguments.add(STANDARD.decode(text).ok()?),
                _ => return None,
            };
            bound.ok()?;
        }
        Some(())
    }

    /// Lets the database count on after the highest id that was ever given.
    async fn count_on(&self, tx: &mut Tx, last_id: Option<i64>) -> Result<(), RestoreError> {
        let Some(counter) = &self.table.counter else { return Ok(()) };
        let name = &self.table.name;
        let highest = format!("SELECT MAX({}) FROM {}", quoted(counter), quoted(name));
        let highest: Option<i64> = sqlx::query_scalar(AssertSqlSafe(highest)).fetch_one(&mut **tx).await?;
        let Some(last) = highest.max(last_id) else { return Ok(()) };
        if self.dialect == Dialect::Postgres {
            let sql = "SELECT setval(CAST(pg_get_serial_sequence($1, $2) AS regclass), $3)";
            sqlx::query(sql).bind(quoted(name)).bind(counter.clone()).bind(last).execute(&mut **tx).await?;
            return Ok(());
        }
        let sql = "UPDATE sqlite_sequence SET seq = $1 WHERE name = $2";
        let updated = sqlx::query(sql).bind(last).bind(name.clone()).execute(&mut **tx).await?.rows_affected();
        if updated == 0 {
            let sql = "INSERT INTO sqlite_sequence (name, seq) VALUES ($1, $2)";
            sqlx::query(sql).bind(name.clone()).bind(last).execute(&mut **tx).await?;
        }
        Ok(())
    }
}
