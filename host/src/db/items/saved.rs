//! What single writes do to a library: what somebody saves comes in at once, and what they take out is gone.

use serde_json::Value;
use sqlx::Row as _;

use crate::{
    db::{Tx, now_ms, query::Sql},
    mirror::{clean::rfc3339, fold},
};

/// Puts items that the mirror knows into the library, and answers which it does not know. What is there already stays as
/// it is. `run` is the pull that is under way, which then does not take them for missing.
pub async fn save(tx: &mut Tx, account: &str, run: &str, uris: &[String]) -> sqlx::Result<Vec<String>> {
    let mut sql = Sql::many(tx, "SELECT uri, saved, doc, added_at FROM items WHERE library = ");
    sql.push_library(account).push(" AND uri IN ").bind_list(uris.iter().cloned());
    let rows = sql.query().fetch_all(&mut **tx).await?;
    let mut unknown = uris.to_vec();
    for row in rows {
        let (uri, saved, doc): (String, i64, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        unknown.retain(|wanted| *wanted != uri);
        if saved == 0 {
            promote(tx, account, run, &uri, &doc, row.try_get(3)?).await?;
        } else {
            super::seen(tx, account, run, std::slice::from_ref(&uri)).await?;
        }
    }
    Ok(unknown)
}

/// Puts one item into the library that so far was only named.
async fn promote(tx: &mut Tx, account: &str, run: &str, uri: &str, doc: &str, added_at: i64) -> sqlx::Result<()> {
    let (library, now) = (super::library(tx, account).await?, now_ms());
    let field = |ms: i64| format!("\"added_at\":\"{}\"", rfc3339(ms));
    let value: Value = serde_json::from_str(doc).unwrap_or_default();
    sqlx::query(
        "UPDATE items SET saved = 1, added_at = $3, updated_at = $3, seen_run = $4, missing_run = NULL,
            missing_since = NULL, search_text = $5, doc = replace(doc, $6, $7) WHERE library = $1 AND uri = $2",
    )
    .bind(library)
    .bind(uri.to_owned())
    .bind(now)
    .bind(run.to_owned())
    .bind(fold::search_text(words(&value)))
    .bind(field(added_at))
    .bind(field(now))
    .execute(&mut **tx)
    .await?;
    let kind = value["kind"].as_str().unwrap_or_default();
    let artists = value["artists"].as_array().map(Vec::as_slice).unwrap_or_default();
    for artist in artists.iter().filter(|_| matches!(kind, "track" | "album")).filter_map(|a| a["uri"].as_str()) {
        sqlx::query(
            "INSERT INTO item_artists (library, artist_uri, kind, item_id)
             SELECT library, $3, kind, id FROM items WHERE library = $1 AND uri = $2
             ON CONFLICT (library, artist_uri, kind, item_id) DO NOTHING",
        )
        .bind(library)
        .bind(uri.to_owned())
        .bind(artist.to_owned())
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// What an item is found by, as a row of the library has it.
fn words(doc: &Value) -> Vec<&str> {
    let artists = doc["artists"].as_array().into_iter().flatten().map(|artist| &artist["name"]);
    let one = ["title", "name", "sort_name", "publisher"].into_iter().map(|key| &doc[key]);
    let last = [&doc["album"]["title"], &doc["show"]["title"]];
    one.chain(artists).chain(last).filter_map(Value::as_str).collect()
}

/// Takes items out of the library. What a playlist, a like or a play names stays known.
pub async fn unsave(tx: &mut Tx, account: &str, uris: &[String]) -> sqlx::Result<()> {
    let mut sql =
        Sql::many(tx, "UPDATE items SET saved = 0, search_text = '', missing_run = NULL, missing_since = NULL");
    sql.push(" WHERE saved = 1 AND kind <> 'playlist' AND library = ").push_library(account);
    sql.push(" AND uri IN ").bind_list(uris.iter().cloned());
    sql.query().execute(&mut **tx).await?;
    super::forget_unnamed(tx, account).await
}

/// Takes the episodes of shows out of the library, as [`unsave`] does with items.
pub async fn unsave_episodes(tx: &mut Tx, account: &str, shows: &[String]) -> sqlx::Result<()> {
    let mut sql =
        Sql::many(tx, "UPDATE items SET saved = 0, search_text = '', missing_run = NULL, missing_since = NULL");
    sql.push(" WHERE saved = 1 AND kind = 'episode' AND library = ").push_library(account);
    sql.push(" AND parent_uri IN ").bind_list(shows.iter().cloned());
    sql.query().execute(&mut **tx).await?;
    super::forget_unnamed(tx, account).await
}

/// A page of the saved tracks of an account, by their ids: id, URI, and since when, Unix milliseconds.
pub async fn saved_tracks(tx: &mut Tx, account: &str, after: i64, limit: i64) -> sqlx::Result<Vec<(i64, String, i64)>> {
    sqlx::query_as(
        "SELECT id, uri, added_at FROM items WHERE library = (SELECT id FROM libraries WHERE account_id = $1)
            AND saved = 1 AND kind = 'track' AND id > $2 ORDER BY id LIMIT $3",
    )
    .bind(account.to_owned())
    .bind(after)
    .bind(limit)
    .fetch_all(&mut **tx)
    .await
}

/// Deletes a playlist with its entries.
pub async fn delete_playlist(tx: &mut Tx, account: &str, uri: &str) -> sqlx::Result<()> {
    let delete = "DELETE FROM items WHERE library = (SELECT id FROM libraries WHERE account_id = $1) AND uri = $2 AND kind = 'playlist'";
    sqlx::query(delete).bind(account.to_owned()).bind(uri.to_owned()).execute(&mut **tx).await?;
    Ok(())
}

/// The playlists of some accounts that have a name.
pub async fn playlists_named<'e>(
    db: impl sqlx::Executor<'e, Database = sqlx::Any>,
    accounts: &[String],
    name: &str,
) -> sqlx::Result<Vec<String>> {
    let mut sql = Sql::new("SELECT uri FROM items WHERE kind = 'playlist' AND title_key = ");
    sql.bind(fold::key(name)).push(" AND library IN ").push_libraries(accounts);
    sql.query().fetch_all(db).await?.iter().map(|row| row.try_get(0)).collect()
}
