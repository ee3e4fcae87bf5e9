//! What a pull writes, a chunk of rows per statement.

use std::collections::HashMap;

use sqlx::{AnyConnection, Database as _, Row as _, Sqlite};
use zotify_plugin_api::Kind;

use crate::{
    db::{Tx, now_ms, query::Sql},
    mirror::{Row, clean::rfc3339},
};

/// Rows per statement: 22 values each must stay below SQLite's 32,766 per statement.
const ROWS: usize = 100;
/// URIs per statement.
const URIS: usize = 500;

/// Columns of new rows of SQLite, whose ids the host gives out itself.
const WITH_ID: &str = "INSERT INTO items (id, library, uri, kind, saved, title_key, artist_key, release_date, added_at, \
    updated_at, parent_uri, seq, duration_ms, playable, seen_run, isrc, mbid, genres, locator, artwork, search_text, doc) \
    VALUES ";

const COLUMNS: &str = "INSERT INTO items (library, uri, kind, saved, title_key, artist_key, release_date, added_at, \
    updated_at, parent_uri, seq, duration_ms, playable, seen_run, isrc, mbid, genres, locator, artwork, search_text, doc) \
    VALUES ";

const UPDATE: &str = " ON CONFLICT (library, uri) DO UPDATE SET saved = excluded.saved, \
    title_key = excluded.title_key, artist_key = excluded.artist_key, release_date = excluded.release_date, \
    added_at = excluded.added_at, \
    updated_at = CASE WHEN items.doc = excluded.doc THEN items.updated_at ELSE excluded.updated_at END, \
    parent_uri = excluded.parent_uri, seq = excluded.seq, duration_ms = excluded.duration_ms, \
    playable = excluded.playable, seen_run = excluded.seen_run, missing_run = NULL, missing_since = NULL, \
    isrc = excluded.isrc, mbid = excluded.mbid, genres = excluded.genres, locator = excluded.locator, \
    artwork = excluded.artwork, search_text = excluded.search_text, doc = excluded.doc";

/// An item that is as it was is not written: only [`seen`] notes it. The other columns follow from the document.
const CHANGED: &str = " WHERE (items.saved, items.doc, items.added_at, items.title_key, items.search_text, items.seq, \
    COALESCE(items.locator, ''), COALESCE(items.artwork, '')) <> (excluded.saved, excluded.doc, excluded.added_at, \
    excluded.title_key, excluded.search_text, excluded.seq, COALESCE(excluded.locator, ''), \
    COALESCE(excluded.artwork, ''))";

/// The number of an account's library, which is made where there is none yet.
pub async fn library(tx: &mut Tx, account: &str) -> sqlx::Result<i64> {
    let find = "SELECT id FROM libraries WHERE account_id = $1";
    if let Some(row) = sqlx::query(find).bind(account.to_owned()).fetch_optional(&mut **tx).await? {
        return row.try_get(0);
    }
    let make = "INSERT INTO libraries (account_id) VALUES ($1) ON CONFLICT (account_id) DO UPDATE \
        SET account_id = excluded.account_id RETURNING id";
    sqlx::query(make).bind(account.to_owned()).fetch_one(&mut **tx).await?.try_get(0)
}

/// Writes items. Those that are not `saved` are only named by a playlist: they never replace one of the library, and
/// words don't find them. No URI may occur twice. Words find them a moment later: see [`catch_up`](super::catch_up).
pub async fn upsert(tx: &mut Tx, account: &str, run: &str, saved: bool, rows: &[Row]) -> sqlx::Result<()> {
    let (library, now) = (library(tx, account).await?, now_ms());
    let mut next = next_id(tx).await?;
    for chunk in rows.chunks(ROWS) {
        let mut inserted = 0;
        if let Some(first) = next {
            inserted = insert(tx, first, library, run, saved, now, chunk).await?;
            if inserted == chunk.len() as u64 {
                next = first.checked_add(i64::try_from(chunk.len()).unwrap_or(i64::MAX));
                if saved {
                    link_new(tx, first, library, chunk).await?;
                    link_playlists(tx, library, chunk).await?;
                }
                continue;
            }
            // Where one is known already, more will be.
            next = None;
        }
        let mut sql = Sql::many(tx, COLUMNS);
        for (n, row) in chunk.iter().enumerate() {
            sql.push(if n == 0 { "(" } else { ",(" });
            bind_row(&mut sql, library, run, saved, now, row);
            sql.push(")");
        }
        sql.push(UPDATE).push(CHANGED);
        if !saved {
            sql.push(" AND items.saved = 0");
        }
        // Only full chunks are worth keeping prepared.
        let written = sql.query().persistent(chunk.len() == ROWS).execute(&mut **tx).await?.rows_affected();
        if saved {
            if written < chunk.len() as u64 {
                let uris: Vec<String> = chunk.iter().map(|row| row.uri.to_string()).collect();
                seen(tx, account, run, &uris).await?;
            }
            if inserted + written > 0 {
                link_artists(tx, library, chunk).await?;
            }
            link_playlists(tx, library, chunk).await?;
        }
    }
    Ok(())
}

/// The id of the next new item, where the host gives ids out: SQLite has one writer. None elsewhere.
async fn next_id(tx: &mut Tx) -> sqlx::Result<Option<i64>> {
    if tx.backend_name() != Sqlite::NAME {
        return Ok(None);
    }
    let last = "SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = 'items'";
    Ok(sqlx::query(last).fetch_one(&mut **tx).await?.try_get::<i64, _>(0)?.checked_add(1))
}

/// Writes those of the rows that are new, and answers how many. That costs less than an upsert, and what hangs on them
/// needs no lookup.
async fn insert(
    tx: &mut Tx,
    first: i64,
    library: i64,
    run: &str,
    saved: bool,
    now: i64,
    rows: &[Row],
) -> sqlx::Result<u64> {
    let mut sql = Sql::many(tx, WITH_ID);
    for (id, row) in (first..).zip(rows) {
        sql.push(if id == first { "(" } else { ",(" }).bind(id).push(",");
        bind_row(&mut sql, library, run, saved, now, row);
        sql.push(")");
    }
    sql.push(" ON CONFLICT DO NOTHING");
    Ok(sql.query().persistent(rows.len() == ROWS).execute(&mut **tx).await?.rows_affected())
}

fn has_artists(row: &Row) -> bool {
    matches!(row.kind(), Kind::Track | Kind::Album)
}

/// Links rows that got the ids from `first` on with their artists.
async fn link_new(tx: &mut Tx, first: i64, library: i64, rows: &[Row]) -> sqlx::Result<()> {
    let by = (first..).zip(rows).filter(|(_, row)| has_artists(row));
    let links: Vec<_> = by.flat_map(|(id, row)| row.artists.iter().map(move |artist| (id, row, artist))).collect();
    for chunk in links.chunks(ROWS) {
        let mut sql = Sql::many(tx, "INSERT INTO item_artists (library, artist_uri, kind, item_id) VALUES ");
        for (n, (id, row, artist)) in chunk.iter().enumerate() {
            sql.push(if n == 0 { "(" } else { ",(" }).push_int(library).push(",").bind((*artist).clone());
            sql.push(",").bind(row.kind().as_str().to_owned()).push(",").bind(*id).push(")");
        }
        // An artist may be credited twice.
        sql.push(" ON CONFLICT DO NOTHING");
        sql.query().persistent(chunk.len() == ROWS).execute(&mut **tx).await?;
    }
    Ok(())
}

fn bind_row(sql: &mut Sql, library: i64, run: &str, saved: bool, now: i64, row: &Row) {
    sql.push_int(library).push(",").bind(row.uri.to_string()).push(",").bind(row.kind().as_str().to_owned());
    sql.push(if saved { ",1," } else { ",0," });
    sql.bind(row.title_key.clone()).push(",").bind(row.artist_key.clone()).push(",").bind(row.release_date.clone());
    sql.push(",").bind(row.added_at).push(",").bind(now).push(",").bind(row.parent_uri.clone()).push(",").bind(row.seq);
    sql.push(",").bind(row.duration_ms).push(",").bind(row.playable).push(",").bind(run.to_owned()).push(",");
    sql.bind(row.isrc.clone()).push(",").bind(row.mbid.clone()).push(",").bind(row.genres.clone()).push(",");
    sql.bind(row.locator.clone()).push(",").bind(row.artwork.clone()).push(",");
    sql.bind(if saved { row.search_text.clone() } else { String::new() }).push(",").bind(row.doc.clone());
}

async fn link_artists(tx: &mut Tx, library: i64, rows: &[Row]) -> sqlx::Result<()> {
    let by: Vec<&Row> = rows.iter().filter(|row| has_artists(row)).collect();
    if by.is_empty() {
        return Ok(());
    }
    let mut sql = Sql::many(tx, "DELETE FROM item_artists WHERE item_id IN (SELECT id FROM items WHERE library = ");
    sql.push_int(library).push(" AND uri IN ").bind_list(by.iter().map(|row| row.uri.to_string())).push(")");
    sql.query().persistent(by.len() == ROWS).execute(&mut **tx).await?;
    let links: Vec<_> = by.iter().flat_map(|row| row.artists.iter().map(|artist| (row.uri.as_str(), artist))).collect();
    for chunk in links.chunks(ROWS) {
        let mut sql = Sql::many(
            tx,
            "INSERT INTO item_artists (library, artist_uri, kind, item_id)
             SELECT i.library, v.column2, i.kind, i.id FROM (VALUES ",
        );
        for (n, (uri, artist)) in chunk.iter().enumerate() {
            sql.push(if n == 0 { "(" } else { ",(" })
                .bind((*uri).to_owned())
                .push(",")
                .bind((*artist).clone())
                .push(")");
        }
        sql.push(") v JOIN items i ON i.uri = v.column1 WHERE i.library = ").push_int(library);
        // An artist may be credited twice.
        sql.push(" ON CONFLICT (library, artist_uri, kind, item_id) DO NOTHING");
        sql.query().persistent(chunk.len() == ROWS).execute(&mut **tx).await?;
    }
    Ok(())
}

async fn link_playlists(tx: &mut Tx, library: i64, rows: &[Row]) -> sqlx::Result<()> {
    for row in rows.iter().filter(|row| row.kind().as_str() == "playlist") {
        sqlx::query(
            "INSERT INTO playlists (library, uri, version) VALUES ($1, $2, $3)
             ON CONFLICT (library, uri) DO UPDATE SET version = excluded.version",
        )
        .bind(library)
        .bind(row.uri.to_string())
        .bind(row.version.clone())
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// When items came into the library, of those that are there already.
pub async fn added_at(db: &mut AnyConnection, account: &str, uris: &[String]) -> sqlx::Result<HashMap<String, i64>> {
    let mut known = HashMap::new();
    for chunk in uris.chunks(URIS) {
        let mut sql = Sql::many(db, "SELECT uri, added_at FROM items WHERE library = ");
        sql.push_library(account).push(" AND uri IN ").bind_list(chunk.iter().cloned());
        for row in sql.query().fetch_all(&mut *db).await? {
            known.insert(row.try_get(0)?, row.try_get(1)?);
        }
    }
    Ok(known)
}

/// Notes that a run saw items as they were, and answers how many of them there are.
pub async fn seen(tx: &mut Tx, account: &str, run: &str, uris: &[String]) -> sqlx::Result<u64> {
    let mut found = 0;
    for chunk in uris.chunks(URIS) {
        let mut sql = Sql::many(tx, "UPDATE items SET missing_run = NULL, missing_since = NULL, seen_run = ");
        sql.bind(run.to_owned()).push(" WHERE library = ").push_library(account);
        sql.push(" AND saved = 1 AND uri IN ").bind_list(chunk.iter().cloned());
        found += sql.query().execute(&mut **tx).await?.rows_affected();
    }
    Ok(found)
}

/// Notes that a run heard that items are gone. They stay until the run is complete. Items that already wait for
/// confirmation stay with the run that missed them first.
pub async fn mark_removed(tx: &mut Tx, account: &str, run: &str, uris: &[String]) -> sqlx::Result<()> {
    for chunk in uris.chunks(URIS) {
        let mut sql = Sql::many(tx, "UPDATE items SET missing_run = ");
        sql.bind(run.to_owned()).push(" WHERE library = ").push_library(account);
        sql.push(" AND saved = 1 AND missing_since IS NULL AND uri IN ").bind_list(chunk.iter().cloned());
        sql.query().execute(&mut **tx).await?;
    }
    Ok(())
}

/// Gives an item another address; it stays the same thing, with all that hangs on it.
pub async fn rename(tx: &mut Tx, account: &str, old: &str, new: &str) -> sqlx::Result<bool> {
    let added = added_at(tx, account, &[old.to_owned(), new.to_owned()]).await?;
    let Some(since) = added.get(old).copied() else { return Ok(false) };
    let library = library(tx, account).await?;
    if added.contains_key(new) {
        // The new address came first: it takes over when the old one came into the library.
        let field = |ms: i64| format!("\"added_at\":\"{}\"", rfc3339(ms));
        sqlx::query("UPDATE items SET added_at = $1, doc = replace(doc, $4, $5) WHERE library = $2 AND uri = $3")
            .bind(since)
            .bind(library)
            .bind(new.to_owned())
            .bind(field(added.get(new).copied().unwrap_or(since)))
            .bind(field(since))
            .execute(&mut **tx)
            .await?;
        sqlx::query("DELETE FROM items WHERE library = $1 AND uri = $2")
            .bind(library)
            .bind(old.to_owned())
            .execute(&mut **tx)
            .await?;
    } else {
        // Artists and entries follow by their foreign keys.
        sqlx::query(
            "UPDATE items SET uri = $3, missing_run = NULL, missing_since = NULL WHERE library = $1 AND uri = $2",
        )
        .bind(library)
        .bind(old.to_owned())
        .bind(new.to_owned())
        .execute(&mut **tx)
        .await?;
    }
    follow(tx, library, old, new).await?;
    Ok(true)
}

/// Everything that names an item by its old address names it by the new one.
async fn follow(tx: &mut Tx, library: i64, old: &str, new: &str) -> sqlx::Result<()> {
    // A URI holds no character that JSON escapes, so it stands in documents as it is, before a quote or a size.
    for statement in [
        "UPDATE items SET doc = replace(replace(replace(doc, '\"' || $2 || '\"', '\"' || $3 || '\"'),
            '/' || $2 || '\"', '/' || $3 || '\"'), '/' || $2 || '?', '/' || $3 || '?')
         WHERE library = $1 AND (uri = $3 OR parent_uri = $2
            OR id IN (SELECT item_id FROM item_artists WHERE library = $1 AND artist_uri = $2))",
        "UPDATE items SET parent_uri = $3 WHERE library = $1 AND parent_uri = $2",
        "DELETE FROM item_artists WHERE library = $1 AND artist_uri = $2 AND item_id IN
            (SELECT item_id FROM item_artists WHERE library = $1 AND artist_uri = $3)",
        "UPDATE item_artists SET artist_uri = $3 WHERE library = $1 AND artist_uri = $2",
        "UPDATE playlist_items SET item_uri = $3 WHERE library = $1 AND item_uri = $2",
    ] {
        sqlx::query(statement).bind(library).bind(old.to_owned()).bind(new.to_owned()).execute(&mut **tx).await?;
    }
    Ok(())
}
