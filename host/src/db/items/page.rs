//! Pages of items, each read as one row: the database joins the documents into the JSON that the client gets.

use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use zotify_plugin_api::Kind;

use crate::{
    db::{Db, Dialect, query::Sql},
    mirror::fold,
};

/// Items that are rather sorted than looked for along the order.
const RARE: i64 = 2000;

/// An account whose items a list shows.
#[derive(Clone, Debug)]
pub struct Source {
    /// The account.
    pub account: String,
    /// Accounts of the same instance that come before it: what they hold is not shown twice.
    pub before: Vec<String>,
}

/// What a list is sorted by; ties by id, that is, in the order in which they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Folded title or name.
    Title,
    /// Folded artist, then release, album and place.
    Artist,
    /// When it came into the library.
    AddedAt,
    /// When it was released.
    ReleaseDate,
    /// The place among its parent's children.
    Place,
}

impl Order {
    fn column(self) -> &'static str {
        match self {
            Self::Title => "title_key",
            Self::Artist => "artist_key",
            Self::AddedAt => "added_at",
            Self::ReleaseDate => "release_date",
            Self::Place => "seq",
        }
    }

    /// Whether rows in this order have such keys. A database that compares a number with a text fails, or finds nothing.
    pub fn fits(self, key: &Key) -> bool {
        self.is_number() == matches!(key, Key::Int(_))
    }

    fn is_number(self) -> bool {
        matches!(self, Self::AddedAt | Self::Place)
    }
}

/// The value that a row is sorted by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Key {
    /// A time or place.
    Int(i64),
    /// Folded text or a date.
    Text(String),
}

/// Which items of the library a list shows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Their kind; none for every kind.
    pub kind: Option<&'static str>,
    /// Their album or show.
    pub parent: Option<String>,
    /// One of their artists.
    pub artist: Option<String>,
    /// One of their genres, folded.
    pub genre: Option<String>,
    /// The first day of release, as text.
    pub released_from: Option<String>,
    /// The day of release after the last, as text.
    pub released_before: Option<String>,
    /// Whether they can be played.
    pub playable: Option<bool>,
    /// Whether they are missing at their source.
    pub missing: Option<bool>,
    /// Words that they are found by.
    pub words: Option<fold::Query>,
}

/// Which part of a list.
#[derive(Clone, Debug)]
pub struct Slice {
    /// What it is sorted by.
    pub order: Order,
    /// Whether the largest comes first.
    pub descending: bool,
    /// The last row of the part before.
    pub after: Option<(Key, i64)>,
    /// Rows at most.
    pub limit: i64,
}

/// Part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// The documents, separated by commas.
    pub json: String,
    /// How many.
    pub count: i64,
    /// The last row, where more follow.
    pub last: Option<(Key, i64)>,
}

/// Part of a library.
pub async fn list(db: &Db, sources: &[Source], filter: &Filter, slice: &Slice) -> sqlx::Result<Part> {
    if sources.is_empty() {
        return Ok(Part::default());
    }
    let rare = match &filter.words {
        Some(words) if db.dialect() == Dialect::Sqlite => rare(db, sources, filter.kind.as_slice(), words).await?,
        _ => false,
    };
    fetch(db, statement(db.dialect(), sources, filter, slice, rare), slice).await
}

/// Whether words find so few items that sorting those is cheaper than looking for them along the order.
async fn rare(db: &Db, sources: &[Source], kinds: &[&str], words: &fold::Query) -> sqlx::Result<bool> {
    let accounts: Vec<String> = sources.iter().map(|source| source.account.clone()).collect();
    let mut sql = Sql::new("SELECT COUNT(*) FROM (SELECT 1 FROM items_fts WHERE ");
    push_match(&mut sql, &accounts, kinds, words, most(kinds));
    sql.push(" LIMIT ").push_int(RARE + 1).push(") f");
    Ok(sql.query().fetch_one(db.read()).await?.try_get::<i64, _>(0)? <= RARE)
}

/// `rare`: the filter's words find few items.
fn statement(dialect: Dialect, sources: &[Source], filter: &Filter, slice: &Slice, rare: bool) -> Sql {
    joined(slice, |sql| {
        let arms = sources.iter().flat_map(|source| Stretch::of(slice).iter().map(move |stretch| (source, *stretch)));
        for (n, (source, stretch)) in arms.enumerate() {
            sql.push(if n == 0 { "SELECT * FROM (" } else { " UNION ALL SELECT * FROM (" });
            select(sql, dialect, source, filter, slice, stretch, rare);
            sql.push(") s").push_int(i64::try_from(n).unwrap_or(0));
        }
    })
}

/// Which rows of the order. SQLite can't start in the middle of rows with one key when a condition compares key and id at
/// once, and all rows of a first pull may share the time at which they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stretch {
    All,
    /// With the key of the last row, after its id.
    Ties,
    /// With keys after that.
    Beyond,
}

impl Stretch {
    /// The parts that make up the rows after the slice's start.
    pub(super) fn of(slice: &Slice) -> &'static [Self] {
        if slice.after.is_none() { &[Self::All] } else { &[Self::Ties, Self::Beyond] }
    }

    /// Adds the condition on the rows' key and id.
    pub(super) fn push(self, sql: &mut Sql, slice: &Slice) {
        let (Some((key, id)), column) = (&slice.after, slice.order.column()) else { return };
        let compare = if slice.descending { " < " } else { " > " };
        match self {
            Self::All => {}
            Self::Ties => {
                bind_key(sql.push(" AND i.").push(column).push(" = "), key);
                sql.push(" AND i.id").push(compare).bind(*id);
            }
            Self::Beyond => bind_key(sql.push(" AND i.").push(column).push(compare), key),
        }
    }
}

/// The children of an album or show, in order.
pub async fn children(
    db: &Db,
    sources: &[Source],
    parent: &str,
    after: Option<(Key, i64)>,
    limit: i64,
) -> sqlx::Result<Part> {
    let filter = Filter { parent: Some(parent.to_owned()), ..Filter::default() };
    let slice = Slice { order: Order::Place, descending: false, after, limit };
    list(db, sources, &filter, &slice).await
}

fn select(
    sql: &mut Sql,
    dialect: Dialect,
    source: &Source,
    filter: &Filter,
    slice: &Slice,
    stretch: Stretch,
    rare: bool,
) {
    let column = slice.order.column();
    sql.push("SELECT i.id, i.").push(column).push(" AS k FROM items i WHERE ");
    // Without statistics SQLite takes the index of the order for better than one that names few rows. A plus keeps a
    // condition out of its choice.
    let few = rare || filter.artist.is_some() || filter.missing == Some(true);
    let plus = |few: bool| if few && dialect == Dialect::Sqlite { "+" } else { "" };
    sql.push(plus(few)).push("i.library = ").push_library(&source.account);
    let few = plus(few || filter.parent.is_some());
    sql.push(" AND ").push(few).push("i.saved = 1");
    if let Some(kind) = filter.kind {
        sql.push(" AND ").push(few).push("i.kind = ").bind(kind.to_owned());
    }
    narrow(sql, dialect, source, filter);
    stretch.push(sql, slice);
    let direction = direction(slice.descending);
    sql.push(" ORDER BY i.").push(column).push(direction).push(", i.id").push(direction);
    sql.push(" LIMIT ").push_int(slice.limit + 1);
}

fn narrow(sql: &mut Sql, dialect: Dialect, source: &Source, filter: &Filter) {
    if let Some(artist) = &filter.artist {
        sql.push(" AND i.id IN (SELECT a.item_id FROM item_artists a WHERE a.artist_uri = ").bind(artist.clone());
        sql.push(" AND a.library = ").push_library(&source.account).push(")");
    }
    if let Some(parent) = &filter.parent {
        sql.push(" AND i.parent_uri <> '' AND i.parent_uri = ").bind(parent.clone());
    }
    if let Some(genre) = &filter.genre {
        sql.push(" AND i.genres LIKE ").bind(format!("%|{}|%", escaped(genre))).push(" ESCAPE '!'");
    }
    if let Some(date) = &filter.released_from {
        sql.push(" AND i.release_date >= ").bind(date.clone());
    }
    if let Some(date) = &filter.released_before {
        sql.push(" AND i.release_date <> '' AND i.release_date < ").bind(date.clone());
    }
    if let Some(playable) = filter.playable {
        sql.push(if playable { " AND i.playable <> 0" } else { " AND i.playable = 0" });
    }
    match filter.missing {
        // They are few and have an index of their own.
        Some(true) => {
            sql.push(" AND i.id IN (SELECT m.id FROM items m WHERE m.missing_run IS NOT NULL");
            sql.push(" AND m.missing_since IS NOT NULL AND m.library = ").push_library(&source.account).push(")");
        }
        Some(false) => {
            sql.push(" AND i.missing_since IS NULL");
        }
        None => {}
    }
    if let Some(words) = &filter.words {
        matching(sql, dialect, std::slice::from_ref(&source.account), filter.kind.as_slice(), words);
    }
    not_before(sql, source);
}

/// Leaves out what an earlier account of the same instance already shows.
pub(super) fn not_before(sql: &mut Sql, source: &Source) {
    if !source.before.is_empty() {
        sql.push(" AND NOT EXISTS (SELECT 1 FROM items o WHERE o.uri = i.uri AND o.saved = 1 AND o.library IN ");
        sql.push_libraries(&source.before).push(")");
    }
}

/// Only what the words find, in the language of the database's full-text index.
fn matching(sql: &mut Sql, dialect: Dialect, accounts: &[String], kinds: &[&str], words: &fold::Query) {
    match dialect {
        Dialect::Sqlite => {
            sql.push(" AND i.id IN (SELECT rowid FROM items_fts WHERE ");
            push_match(sql, accounts, kinds, words, most(kinds));
            sql.push(")");
        }
        Dialect::Postgres => {
            sql.push(" AND i.search @@ CAST(").bind(words.expression(dialect)).push(" AS tsquery)");
        }
    }
}

/// Whether most of what words find is of these kinds.
fn most(kinds: &[&str]) -> bool {
    kinds.is_empty() || kinds.contains(&Kind::Track.as_str())
}

/// What SQLite's full-text index is asked. With `all_if_alone`, a library that is alone in the database is not narrowed:
/// the name of account and kind stands in all of its rows, and to walk them takes as long as the words themselves. Then
/// items of other accounts and kinds may be found, which the caller leaves out.
pub(super) fn push_match(sql: &mut Sql, accounts: &[String], kinds: &[&str], words: &fold::Query, all_if_alone: bool) {
    sql.push("items_fts MATCH ");
    if all_if_alone {
        sql.push("CASE WHEN (SELECT COUNT(*) FROM libraries) = 1 THEN ").bind(words.expression(Dialect::Sqlite));
        sql.push(" ELSE ").bind(scoped(accounts, kinds, words)).push(" END");
    } else {
        sql.bind(scoped(accounts, kinds, words));
    }
}

/// A full-text expression of SQLite that looks at some accounts and kinds only.
fn scoped(accounts: &[String], kinds: &[&str], words: &fold::Query) -> String {
    let every = kinds.is_empty() || kinds.len() == Kind::ALL.len();
    let names: Vec<String> = if every {
        accounts.iter().map(|account| format!("\"_{account}\"")).collect()
    } else {
        let of = |account| kinds.iter().map(move |kind| format!("\"_{account}_{kind}\""));
        accounts.iter().flat_map(of).collect()
    };
    format!("({}) AND ({})", words.expression(Dialect::Sqlite), names.join(" OR "))
}

/// Text that LIKE takes as it is, where `!` escapes. Without a word of its own both databases have another default.
fn escaped(text: &str) -> String {
    text.replace('!', "!!").replace('%', "!%").replace('_', "!_")
}

fn bind_key(sql: &mut Sql, key: &Key) {
    match key {
        Key::Int(value) => sql.bind(*value),
        Key::Text(value) => sql.bind(value.clone()),
    };
}

fn direction(descending: bool) -> &'static str {
    if descending { " DESC" } else { " ASC" }
}

/// Wraps a selection of (id, k) so that its first rows come as one. Documents are only read for those.
pub(super) fn joined(slice: &Slice, selection: impl FnOnce(&mut Sql)) -> Sql {
    let direction = direction(slice.descending);
    let mut sql = Sql::new("SELECT COALESCE(string_agg(d.doc, ',' ORDER BY d.rn) FILTER (WHERE d.rn <= ");
    sql.push_int(slice.limit).push("), ''), COUNT(*), MAX(CASE WHEN d.rn = ").push_int(slice.limit);
    sql.push(" THEN d.k END), MAX(CASE WHEN d.rn = ").push_int(slice.limit).push(" THEN d.id END) FROM (");
    sql.push("SELECT p.k, p.id, i.doc, row_number() OVER (ORDER BY p.k").push(direction).push(", p.id");
    sql.push(direction).push(") AS rn FROM (SELECT u.id, u.k FROM (");
    selection(&mut sql);
    sql.push(") u ORDER BY u.k").push(direction).push(", u.id").push(direction).push(" LIMIT ");
    sql.push_int(slice.limit + 1).push(") p JOIN items i ON i.id = p.id) d");
    sql
}

pub(super) async fn fetch(db: &Db, sql: Sql, slice: &Slice) -> sqlx::Result<Part> {
    let row = sql.query().fetch_one(db.read()).await?;
    let rows: i64 = row.try_get(1)?;
    let mut part = Part { json: row.try_get(0)?, count: rows.min(slice.limit), last: None };
    if rows > slice.limit {
        let key = if slice.order.is_number() { Key::Int(row.try_get(2)?) } else { Key::Text(row.try_get(2)?) };
        part.last = Some((key, row.try_get(3)?));
    }
    Ok(part)
}

/// Part of a playlist, in order, from the position after `after`.
pub async fn entries(db: &Db, account: &str, playlist: &str, after: i64, limit: i64) -> sqlx::Result<Part> {
    let mut sql = Sql::new("SELECT COALESCE(string_agg(d.doc, ',' ORDER BY d.position) FILTER (WHERE d.rn <= ");
    sql.push_int(limit).push("), ''), COUNT(*), MAX(CASE WHEN d.rn = ").push_int(limit);
    sql.push(
        " THEN d.position END) FROM (SELECT p.position, p.head || COALESCE(i.doc, p.doc) || '}' AS doc,
          row_number() OVER (ORDER BY p.position) AS rn
          FROM playlist_items p LEFT JOIN items i ON i.library = p.library AND i.uri = p.item_uri
          WHERE p.library = ",
    );
    sql.push_library(account).push(" AND p.playlist_uri = ").bind(playlist.to_owned());
    sql.push(" AND p.position > ").bind(after).push(" ORDER BY p.position LIMIT ").push_int(limit + 1).push(") d");
    let row = sql.query().fetch_one(db.read()).await?;
    let rows: i64 = row.try_get(1)?;
    let mut part = Part { json: row.try_get(0)?, count: rows.min(limit), last: None };
    if rows > limit {
        part.last = Some((Key::Int(row.try_get(2)?), 0));
    }
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What SQLite does for a list of one library, one step per line.
    async fn plan(db: &Db, filter: &Filter, slice: &Slice) -> String {
        let source = Source { account: "a".into(), before: Vec::new() };
        let rare = filter.words.is_some();
        let sql = statement(Dialect::Sqlite, &[source], filter, slice, rare).explain();
        let rows = sql.query().fetch_all(db.read()).await.unwrap();
        rows.iter().map(|row| row.try_get::<String, _>(3).unwrap()).collect::<Vec<_>>().join("\n")
    }

    fn tracks() -> Filter {
        Filter { kind: Some("track"), ..Filter::default() }
    }

    #[tokio::test]
    async fn every_list_walks_an_index() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::connect(&format!("sqlite://{}/zotify.db", dir.path().display())).await.unwrap();
        db.migrate().await.unwrap();
        // What names few items by itself, which are then sorted.
        let few = [
            (Filter { parent: Some("x:album:1".into()), ..tracks() }, "items_parent (library=? AND parent_uri=?"),
            (Filter { artist: Some("x:artist:1".into()), ..tracks() }, "PRIMARY KEY (library=? AND artist_uri=?)"),
            (Filter { missing: Some(true), ..tracks() }, "items_missing (library=? AND missing_run>?)"),
            (
                Filter { words: fold::Query::parse("x"), ..tracks() },
                "SEARCH i USING INTEGER PRIMARY KEY (rowid=?)\nLIST",
            ),
        ];
        for (order, index, key) in [
            (Order::Title, "items_title", "title_key"),
            (Order::Artist, "items_artist", "artist_key"),
            (Order::AddedAt, "items_added", "added_at"),
            (Order::ReleaseDate, "items_released", "release_date"),
        ] {
            let last = if order.is_number() { Key::Int(7) } else { Key::Text("x".into()) };
            for (descending, compare) in [(false, '>'), (true, '<')] {
                let mut slice = Slice { order, descending, after: None, limit: 50 };
                let start = format!("{index} (library=? AND kind=? AND saved=?");
                // What is tested row by row on the way.
                for filter in [tracks(), Filter { genre: Some("rock".into()), playable: Some(true), ..tracks() }] {
                    slice.after = None;
                    let first = plan(&db, &filter, &slice).await;
                    assert!(first.contains(&format!("{start})")), "{slice:?}\n{first}");
                    slice.after = Some((last.clone(), 7));
                    let next = plan(&db, &filter, &slice).await;
                    assert!(next.contains(&format!("{start} AND {key}=? AND rowid{compare}?)")), "{slice:?}\n{next}");
                    assert!(next.contains(&format!("{start} AND {key}{compare}?)")), "{slice:?}\n{next}");
                    assert!(!(first + &next).contains("SCAN i"), "{next}");
                }
                for (filter, index) in &few {
                    let plan = plan(&db, filter, &slice).await;
                    assert_eq!(plan.matches(index).count(), 2, "{filter:?} {slice:?}\n{plan}");
                    assert!(!plan.lines().any(|step| step == "SCAN i" || step.starts_with("SCAN i ")), "{plan}");
                }
            }
        }
    }
}
