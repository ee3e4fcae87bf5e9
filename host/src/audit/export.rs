//! The audit log as a file.

use bytes::Bytes;
use clap::ValueEnum;
use futures::Stream;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::{
    api::rfc3339,
    db::{
        self, Db,
        audit::{Filter, FullRow},
    },
};

/// Rows that are read at once.
const PAGE: i64 = 500;
/// The first line of a CSV file.
const CSV_HEAD: &str = "seq,at,action,outcome,actor,actor_name,user,user_name,data,personal,hash\r\n";

/// As what to export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
#[schema(default = "jsonl")]
pub enum Format {
    /// A JSON object a line, with all columns as they are hashed.
    #[default]
    Jsonl,
    /// A table for spreadsheets.
    Csv,
}

impl Format {
    /// The media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Jsonl => "application/jsonl",
            Self::Csv => "text/csv; charset=utf-8",
        }
    }

    /// The end of a file's name.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
        }
    }
}

/// The rows that a filter lets through, oldest first, some at a time.
pub fn stream(db: Db, filter: Filter, format: Format) -> impl Stream<Item = sqlx::Result<Bytes>> + Send {
    async_stream::try_stream! {
        let mut filter = Filter { oldest_first: true, limit: PAGE, ..filter };
        if format == Format::Csv {
            yield Bytes::from_static(CSV_HEAD.as_bytes());
        }
        loop {
            let rows = db::audit::list(db.read(), filter.clone()).await?;
            let Some(last) = rows.last().map(|full| full.row.seq) else { break };
            filter.after = Some(last);
            let line = match format {
                Format::Jsonl => jsonl,
                Format::Csv => csv,
            };
            yield Bytes::from(rows.iter().map(line).collect::<String>());
        }
    }
}

/// Texts stay texts, byte for byte: others may have to hash them.
fn jsonl(full: &FullRow) -> String {
    let row = &full.row;
    let personal = full.personal().map(|personal| {
        json!({
            "salt": personal.salt,
            "actor_id": personal.actor_id,
            "user_id": personal.user_id,
            "data": personal.data,
        })
    });
    let line = json!({
        "seq": row.seq,
        "at": row.at,
        "action": row.action,
        "outcome": row.outcome,
        "data": row.data,
        "personal_hash": row.personal_hash,
        "previous_hash": row.previous_hash,
        "hash": row.hash,
        "personal": personal,
    });
    format!("{line}\n")
}

fn csv(full: &FullRow) -> String {
    let row = &full.row;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let cells = [
        row.seq.to_string(),
        rfc3339(row.at),
        row.action.clone(),
        row.outcome.clone(),
        text(&full.actor_id),
        text(&full.actor_name),
        text(&full.user_id),
        text(&full.user_name),
        row.data.clone(),
        text(&full.personal),
        row.hash.clone(),
    ];
    cells.map(|cell| csv_cell(&cell)).join(",") + "\r\n"
}

/// With what a cell starts that is taken for a formula.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '＝', '＋', '－', '＠', '\t', '\r', '\n'];

/// A cell that no spreadsheet takes for a formula, nor a part of it where a semicolon is taken for the end of a cell.
fn csv_cell(text: &str) -> String {
    let parts = text.split(';').map(|part| {
        let guard = if part.trim_start_matches([' ', '"']).starts_with(FORMULA) { "'" } else { "" };
        format!("{guard}{}", part.replace('"', "\"\""))
    });
    format!("\"{}\"", parts.collect::<Vec<_>>().join(";"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_never_formulas() {
        assert_eq!(csv_cell("plain"), "\"plain\"");
        assert_eq!(csv_cell("a;b; c"), "\"a;b; c\"");
        assert_eq!(csv_cell("a;=1;\"=2; @x"), "\"a;'=1;'\"\"=2;' @x\"");
        assert_eq!(csv_cell("a,\"b\"\nc"), "\"a,\"\"b\"\"\nc\"");
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1", "＋1", "－1", "＠x"] {
            assert_eq!(csv_cell(formula), format!("\"'{formula}\""));
        }
    }
}
