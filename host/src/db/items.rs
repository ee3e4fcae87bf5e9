//! Table `items`: every account's library as the host last saw it, and what its playlists name besides.

mod page;
mod saved;
mod search;
mod sweep;
mod text;
mod write;

use std::collections::HashSet;

use sqlx::{Any, Executor, Row as _, any::AnyRow};

use super::query::Sql;

pub use page::{Filter, Key, Order, Part, Slice, Source, children, entries, list};
pub use saved::{delete_playlist, playlists_named, save, saved_tracks, unsave, unsave_episodes};
pub use search::{Hit, Wanted, search};
pub use sweep::{Missing, forget_unnamed, give_up_marks, hold, mark_missing, missing, remove, total};
pub use text::catch_up;
pub use write::{added_at, library, mark_removed, rename, seen, upsert};

/// An item with what only the host may see of it.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The account whose library holds it.
    pub account_id: String,
    /// Its address.
    pub uri: String,
    /// The API's document.
    pub doc: String,
    /// What the provider needs to find it again.
    pub locator: Option<String>,
    /// Its pictures with their locators, as JSON.
    pub artwork: Option<String>,
    /// The album of a track, the show of an episode; else empty.
    pub parent_uri: String,
}

fn stored(row: &AnyRow) -> sqlx::Result<Stored> {
    Ok(Stored {
        account_id: row.try_get(0)?,
        uri: row.try_get(1)?,
        doc: row.try_get(2)?,
        locator: row.try_get(3)?,
        artwork: row.try_get(4)?,
        parent_uri: row.try_get(5)?,
    })
}

/// Looks items up by URI in the given accounts. Where several hold one, a library counts before a playlist.
pub async fn find_many<'e>(
    db: impl Executor<'e, Database = Any>,
    accounts: &[String],
    uris: &[String],
) -> sqlx::Result<Vec<Stored>> {
    let mut sql = Sql::new(
        "SELECT l.account_id, i.uri, i.doc, i.locator, i.artwork, i.parent_uri
         FROM libraries l JOIN items i ON i.library = l.id WHERE l.account_id IN ",
    );
    sql.bind_list(accounts.iter().cloned()).push(" AND i.uri IN ").bind_list(uris.iter().cloned());
    sql.push(" ORDER BY i.saved DESC, l.account_id");
    let rows = sql.query().fetch_all(db).await?;
    let mut known = HashSet::new();
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let item = stored(row)?;
        if known.insert(item.uri.clone()) {
            found.push(item);
        }
    }
    Ok(found)
}

/// Looks one item up.
pub async fn find<'e>(
    db: impl Executor<'e, Database = Any>,
    accounts: &[String],
    uri: &str,
) -> sqlx::Result<Option<Stored>> {
    Ok(find_many(db, accounts, &[uri.to_owned()]).await?.into_iter().next())
}

/// Which of the URIs are in the library of which account.
pub async fn contained<'e>(
    db: impl Executor<'e, Database = Any>,
    accounts: &[String],
    uris: &[String],
) -> sqlx::Result<Vec<(String, String)>> {
    let mut sql = Sql::new(
        "SELECT i.uri, l.account_id FROM libraries l JOIN items i ON i.library = l.id
         WHERE i.saved = 1 AND l.account_id IN ",
    );
    sql.bind_list(accounts.iter().cloned()).push(" AND i.uri IN ").bind_list(uris.iter().cloned());
    sql.push(" ORDER BY i.uri, l.account_id");
    sql.query().fetch_all(db).await?.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Items by recording code or MusicBrainz id, in the given accounts; what is in a library first.
pub async fn by_code<'e>(
    db: impl Executor<'e, Database = Any>,
    accounts: &[String],
    code: Code<'_>,
) -> sqlx::Result<Vec<Stored>> {
    let mut sql = Sql::new(
        "SELECT l.account_id, i.uri, i.doc, i.locator, i.artwork, i.parent_uri
         FROM libraries l JOIN items i ON i.library = l.id WHERE ",
    );
    match code {
        Code::Isrc(isrc) => sql.push("i.isrc = ").bind(isrc.to_owned()),
        Code::Mbid(mbid) => sql.push("i.mbid = ").bind(mbid.to_owned()),
    };
    sql.push(" AND l.account_id IN ").bind_list(accounts.iter().cloned());
    sql.push(" ORDER BY i.saved DESC, i.id LIMIT 50");
    sql.query().fetch_all(db).await?.iter().map(stored).collect()
}

/// A code that recordings are known by.
#[derive(Clone, Copy, Debug)]
pub enum Code<'a> {
    /// Recording code, in upper case without hyphens.
    Isrc(&'a str),
    /// MusicBrainz id, in lower case.
    Mbid(&'a str),
}

/// How much of one kind an account's library holds.
#[derive(Clone, Debug)]
pub struct Count {
    /// The account.
    pub account_id: String,
    /// The kind.
    pub kind: String,
    /// How many.
    pub items: i64,
    /// How long they play, where known.
    pub duration_ms: i64,
    /// How many are missing at their source, while a removal waits for confirmation.
    pub missing: i64,
}

/// Counts by account and kind.
pub async fn counts<'e>(db: impl Executor<'e, Database = Any>, accounts: &[String]) -> sqlx::Result<Vec<Count>> {
    let mut sql = Sql::new(
        "SELECT l.account_id, i.kind, COUNT(*), CAST(SUM(i.duration_ms) AS BIGINT), COUNT(i.missing_since)
         FROM libraries l JOIN items i ON i.library = l.id WHERE i.saved = 1 AND l.account_id IN ",
    );
    sql.bind_list(accounts.iter().cloned()).push(" GROUP BY l.account_id, i.kind ORDER BY l.account_id, i.kind");
    let rows = sql.query().fetch_all(db).await?;
    rows.iter()
        .map(|row| {
            Ok(Count {
                account_id: row.try_get(0)?,
                kind: row.try_get(1)?,
                items: row.try_get(2)?,
                duration_ms: row.try_get(3)?,
                missing: row.try_get(4)?,
            })
        })
        .collect()
}

/// How many tracks more than recordings there are, by recording code.
pub async fn duplicates<'e>(db: impl Executor<'e, Database = Any>, accounts: &[String]) -> sqlx::Result<i64> {
    let mut sql = Sql::new(
        "SELECT COUNT(*) - COUNT(DISTINCT isrc) FROM items
         WHERE saved = 1 AND kind = 'track' AND isrc IS NOT NULL AND library IN (SELECT id FROM libraries WHERE account_id IN ",
    );
    sql.bind_list(accounts.iter().cloned()).push(")");
    sql.query().fetch_one(db).await?.try_get(0)
}
