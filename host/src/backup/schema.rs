//! What tables there are, asked of the database itself: a new table is in every backup without anybody's doing.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sqlx::AnyConnection;

use super::BackupError;
use crate::db::Dialect;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A 64-bit integer.
    Integer,
    /// Text in UTF-8.
    Text,
    /// Bytes; base64 in an archive.
    Bytes,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns, but for those that the database computes.
    pub columns: Vec<Column>,
    /// The column that the database numbers by itself, never giving a number twice.
    pub counter: Option<String>,
}

impl Table {
    /// The names of its columns, quoted, with commas between them.
    pub(super) fn column_list(&self) -> String {
        self.columns.iter().map(|column| quoted(&column.name)).collect::<Vec<_>>().join(",")
    }
}

/// A name in SQL. Names come from the database's own list of tables.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Left out: the record of migrations, which the manifest tells, and the full-text index, which is filled from the rows.
const COLUMNS_SQLITE: &str = "
    SELECT CAST(m.name AS TEXT), CAST(c.name AS TEXT), CAST(c.type AS TEXT),
        CASE WHEN c.pk > 0 AND m.sql LIKE '%AUTOINCREMENT%' THEN 'YES' ELSE 'NO' END
    FROM sqlite_master m JOIN pragma_table_xinfo(m.name) c
    WHERE m.type = 'table' AND c.hidden = 0 AND m.name NOT LIKE 'sqlite@_%' ESCAPE '@'
        AND m.name <> '_sqlx_migrations' AND m.name NOT LIKE 'items@_fts%' ESCAPE '@'
        AND m.name NOT LIKE 'items@_text%' ESCAPE '@'
    ORDER BY m.name, c.cid";
const COLUMNS_POSTGRES: &str = "
    SELECT CAST(c.table_name AS TEXT), CAST(c.column_name AS TEXT), CAST(c.data_type AS TEXT),
        CAST(c.is_identity AS TEXT)
    FROM information_schema.columns c JOIN information_schema.tables t
        ON t.table_schema = c.table_schema AND t.table_name = c.table_name
    WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE' AND c.is_generated = 'NEVER'
        AND c.table_name <> '_sqlx_migrations'
    ORDER BY c.table_name, c.ordinal_position";

const REFERENCES_SQLITE: &str = "
    SELECT CAST(m.name AS TEXT), CAST(f.\"table\" AS TEXT)
    FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f
    WHERE m.type = 'table' AND m.name NOT LIKE 'items@_fts%' ESCAPE '@'";
const REFERENCES_POSTGRES: &str = "
    SELECT CAST(a.relname AS TEXT), CAST(b.relname AS TEXT)
    FROM pg_constraint f JOIN pg_class a ON a.oid = f.conrelid JOIN pg_class b ON b.oid = f.confrelid
    WHERE f.contype = 'f' AND f.connamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())";

/// The tables of the database, each after those that it refers to.
///
/// # Errors
/// When the database fails, or has a column of a type that the host does not use.
pub async fn tables(db: &mut AnyConnection) -> Result<Vec<Table>, BackupError> {
    let (columns, references) = match Dialect::of(db) {
        Dialect::Sqlite => (COLUMNS_SQLITE, REFERENCES_SQLITE),
        Dialect::Postgres => (COLUMNS_POSTGRES, REFERENCES_POSTGRES),
    };
    let columns: Vec<(String, String, String, String)> = sqlx::query_as(columns).fetch_all(&mut *db).await?;
    let mut tables: BTreeMap<String, Table> = BTreeMap::new();
    for (table, name, kind, counted) in columns {
        let entry = tables.entry(table.clone());
        let entry = entry.or_insert_with(|| Table { name: table.clone(), columns: Vec::new(), counter: None });
        if counted == "YES" {
            entry.counter = Some(name.clone());
        }
        let kind = match kind.to_ascii_lowercase().as_str() {
            "bigint" | "integer" => Kind::Integer,
            "text" => Kind::Text,
            "blob" | "bytea" => Kind::Bytes,
            _ => return Err(BackupError::ColumnType { table, column: name, kind }),
        };
        entry.columns.push(Column { name, kind });
    }
    let references: Vec<(String, String)> = sqlx::query_as(references).fetch_all(db).await?;
    Ok(in_order(tables, &references.into_iter().collect()))
}

/// Those that refer to nothing that is still to come, again and again. What refers to itself in a circle comes last.
fn in_order(mut tables: BTreeMap<String, Table>, references: &BTreeSet<(String, String)>) -> Vec<Table> {
    let mut ordered = Vec::with_capacity(tables.len());
    loop {
        let waits =
            |name: &String| references.iter().any(|(from, to)| from == name && to != name && tables.contains_key(to));
        let ready: Vec<String> = tables.keys().filter(|name| !waits(name)).cloned().collect();
        if ready.is_empty() {
            ordered.extend(tables.into_values());
            return ordered;
        }
        ordered.extend(ready.iter().filter_map(|name| tables.remove(name)));
    }
}
