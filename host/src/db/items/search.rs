//! Searching by words. Titles that start with the query come first, then whatever its words find; each in the order of
//! titles. Both databases answer the same rows in the same order.

use serde::{Deserialize, Serialize};

use super::page::{Key, Order, Part, Slice, Source, Stretch, fetch, joined, push_match};
use zotify_plugin_api::Kind;

use crate::{
    db::{Db, Dialect, query::Sql},
    mirror::fold,
};

/// Finds by words that are looked at: of what a very common word finds, those with the smallest ids, which have been here
/// the longest.
const MAX_CANDIDATES: i64 = 2000;

/// Sorts after every text that starts with the same letters.
const LAST: char = '\u{10ffff}';

/// The last row of a page: whether its title starts with the query, its folded title, its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit(pub bool, pub String, pub i64);

/// What is searched for.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// As the user typed it.
    pub text: &'a str,
    /// The wanted kinds, at least one.
    pub kinds: &'a [&'static str],
}

/// A page of what a query finds, and its last row where more follow.
pub async fn search(
    db: &Db,
    sources: &[Source],
    wanted: &Wanted<'_>,
    after: Option<Hit>,
    limit: i64,
) -> sqlx::Result<(Part, Option<Hit>)> {
    let start = fold::key(wanted.text);
    if sources.is_empty() || wanted.kinds.is_empty() || start.is_empty() {
        return Ok((Part::default(), None));
    }
    let mut part = Part::default();
    if after.as_ref().is_none_or(|hit| hit.0) {
        let slice = slice(after.as_ref(), limit);
        part = titles(db, sources, wanted, &start, &slice).await?;
        if let Some((Key::Text(title), id)) = part.last.take() {
            return Ok((part, Some(Hit(true, title, id))));
        }
    }
    let Some(words) = fold::Query::parse(wanted.text) else { return Ok((part, None)) };
    if part.count == limit {
        let any = found(db, sources, wanted, &words, &start, &slice(None, 1)).await?;
        return Ok((part, (any.count > 0).then(|| Hit(false, String::new(), 0))));
    }
    let slice = slice(after.as_ref().filter(|hit| !hit.0), limit - part.count);
    let mut rest = found(db, sources, wanted, &words, &start, &slice).await?;
    let last = match rest.last.take() {
        Some((Key::Text(title), id)) => Some(Hit(false, title, id)),
        _ => None,
    };
    Ok((append(part, rest), last))
}

fn slice(after: Option<&Hit>, limit: i64) -> Slice {
    let after = after.map(|hit| (Key::Text(hit.1.clone()), hit.2));
    Slice { order: Order::Title, descending: false, after, limit }
}

fn append(mut first: Part, second: Part) -> Part {
    if first.count > 0 && second.count > 0 {
        first.json.push(',');
    }
    first.json.push_str(&second.json);
    first.count += second.count;
    first
}

async fn titles(db: &Db, sources: &[Source], wanted: &Wanted<'_>, start: &str, slice: &Slice) -> sqlx::Result<Part> {
    let sql = joined(slice, |sql| {
        let kinds = || sources.iter().flat_map(|source| wanted.kinds.iter().map(move |kind| (source, *kind)));
        let arms = kinds().flat_map(|(source, kind)| Stretch::of(slice).iter().map(move |s| (source, kind, *s)));
        for (n, (source, kind, stretch)) in arms.enumerate() {
            sql.push(if n == 0 { "SELECT * FROM (" } else { " UNION ALL SELECT * FROM (" });
            sql.push("SELECT i.id, i.title_key AS k FROM items i WHERE i.library = ").push_library(&source.account);
            sql.push(" AND i.kind = ").bind(kind.to_owned());
            sql.push(" AND i.saved = 1 AND i.title_key < ").bind(format!("{start}{LAST}"));
            if stretch == Stretch::All {
                sql.push(" AND i.title_key >= ").bind(start.to_owned());
            }
            stretch.push(sql, slice);
            super::page::not_before(sql, source);
            sql.push(" ORDER BY i.title_key, i.id LIMIT ").push_int(slice.limit + 1);
            sql.push(") s").push_int(i64::try_from(n).unwrap_or(0));
        }
    });
    fetch(db, sql, slice).await
}

async fn found(
    db: &Db,
    sources: &[Source],
    wanted: &Wanted<'_>,
    words: &fold::Query,
    start: &str,
    slice: &Slice,
) -> sqlx::Result<Part> {
    let sql = joined(slice, |sql| {
        sql.push("SELECT i.id, i.title_key AS k FROM (");
        candidates(sql, db.dialect(), sources, wanted.kinds, words);
        // SQLite takes a cross join in the order in which it is written.
        sql.push(") f CROSS JOIN items i WHERE i.id = f.id AND i.saved = 1 AND NOT (i.title_key >= ");
        sql.bind(start.to_owned()).push(" AND i.title_key < ").bind(format!("{start}{LAST}")).push(")");
        sql.push(" AND i.library IN ").push_libraries(&accounts(sources));
        if let Some((Key::Text(title), id)) = &slice.after {
            sql.push(" AND (i.title_key, i.id) > (").bind(title.clone()).push(", ").bind(*id).push(")");
        }
        for source in sources.iter().filter(|source| !source.before.is_empty()) {
            sql.push(" AND NOT (i.library = ").push_library(&source.account);
            sql.push(" AND EXISTS (SELECT 1 FROM items o WHERE o.uri = i.uri AND o.saved = 1 AND o.library IN ");
            sql.push_libraries(&source.before).push("))");
        }
    });
    fetch(db, sql, slice).await
}

fn accounts(sources: &[Source]) -> Vec<String> {
    sources.iter().map(|source| source.account.clone()).collect()
}

fn candidates(sql: &mut Sql, dialect: Dialect, sources: &[Source], kinds: &[&'static str], words: &fold::Query) {
    let accounts = accounts(sources);
    match dialect {
        Dialect::Sqlite => {
            sql.push("SELECT rowid AS id FROM items_fts WHERE ");
            push_match(sql, &accounts, kinds, words, kinds.len() == Kind::ALL.len());
            sql.push(" ORDER BY rowid");
        }
        Dialect::Postgres => {
            sql.push("SELECT id FROM items WHERE search @@ CAST(").bind(words.expression(dialect));
            sql.push(" AS tsquery) AND library IN ").push_libraries(&accounts);
            sql.push(" AND kind IN ").bind_list(kinds.iter().map(|kind| (*kind).to_owned()));
            // The sum keeps the index of ids out of it: walking that for a rare word would take all items of the host.
            sql.push(" ORDER BY id + 0");
        }
    }
    sql.push(" LIMIT ").push_int(MAX_CANDIDATES);
}
