//! Tables `playlists` and `playlist_items`: which version of a playlist is held, and its entries.

use sqlx::{Any, Executor, Row as _};

use super::{Tx, query::Sql};

/// Entries per statement.
const ROWS: usize = 500;

/// One entry as the host keeps it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Names it as long as it stands in the playlist.
    pub entry_id: String,
    /// The item, where one is known.
    pub item_uri: Option<String>,
    /// The entry as JSON up to its item.
    pub head: String,
    /// What stands in for an item that the host does not have.
    pub doc: String,
}

/// A playlist whose entries a run has to read.
#[derive(Clone, Debug)]
pub struct Due {
    /// Its address.
    pub uri: String,
    /// What the provider needs to find it again.
    pub locator: Option<String>,
    /// The version that the provider named with it.
    pub version: Option<String>,
}

/// The next playlist whose entries changed since they were read.
pub async fn next_due<'e>(
    db: impl Executor<'e, Database = Any>,
    account: &str,
    run: &str,
) -> sqlx::Result<Option<Due>> {
    let row = sqlx::query(
        "SELECT p.uri, i.locator, p.version FROM playlists p
         JOIN items i ON i.library = p.library AND i.uri = p.uri
         WHERE p.library = (SELECT id FROM libraries WHERE account_id = $1) AND i.seen_run = $2 AND COALESCE(p.entries_run, '') <> $2
           AND (p.version IS NULL OR p.entries_version IS NULL OR p.version <> p.entries_version)
         ORDER BY p.uri LIMIT 1",
    )
    .bind(account.to_owned())
    .bind(run.to_owned())
    .fetch_optional(db)
    .await?;
    row.map(|row| Ok(Due { uri: row.try_get(0)?, locator: row.try_get(1)?, version: row.try_get(2)? })).transpose()
}

/// Replaces all entries of a playlist at once.
pub async fn replace_entries(tx: &mut Tx, account: &str, playlist: &str, entries: &[Entry]) -> sqlx::Result<()> {
    let library = super::items::library(tx, account).await?;
    sqlx::query("DELETE FROM playlist_items WHERE library = $1 AND playlist_uri = $2")
        .bind(library)
        .bind(playlist.to_owned())
        .execute(&mut **tx)
        .await?;
    let mut position = 0i64;
    for chunk in entries.chunks(ROWS) {
        let mut sql = Sql::many(
            tx,
            "INSERT INTO playlist_items (library, playlist_uri, position, entry_id, item_uri, head, doc) VALUES ",
        );
        for (n, entry) in chunk.iter().enumerate() {
            sql.push(if n == 0 { "(" } else { ",(" }).push_int(library).push(",").bind(playlist.to_owned());
            sql.push(",").bind(position).push(",").bind(entry.entry_id.clone()).push(",").bind(entry.item_uri.clone());
            sql.push(",").bind(entry.head.clone()).push(",").bind(entry.doc.clone()).push(")");
            position += 1;
        }
        sql.query().persistent(chunk.len() == ROWS).execute(&mut **tx).await?;
    }
    Ok(())
}

/// Notes that a run is done with a playlist. `version` is the one that was read; none where reading failed, so that the
/// next run tries again.
pub async fn done(tx: &mut Tx, account: &str, playlist: &str, run: &str, version: Option<&str>) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE playlists SET entries_run = $3, entries_version = COALESCE($4, entries_version)
         WHERE library = (SELECT id FROM libraries WHERE account_id = $1) AND uri = $2",
    )
    .bind(account.to_owned())
    .bind(playlist.to_owned())
    .bind(run.to_owned())
    .bind(version.map(str::to_owned))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The version that the entries of a playlist are of; where none is known, that of the playlist itself.
pub async fn version<'e>(
    db: impl Executor<'e, Database = Any>,
    account: &str,
    playlist: &str,
) -> sqlx::Result<Option<String>> {
    let found: Option<Option<String>> = sqlx::query_scalar(
        "SELECT COALESCE(entries_version, version) FROM playlists
         WHERE library = (SELECT id FROM libraries WHERE account_id = $1) AND uri = $2",
    )
    .bind(account.to_owned())
    .bind(playlist.to_owned())
    .fetch_optional(db)
    .await?;
    Ok(found.flatten())
}

/// An entry's id, and what it names.
pub type Named = (String, Option<String>);

/// The entries of a playlist, in order.
pub async fn named<'e>(
    db: impl Executor<'e, Database = Any>,
    account: &str,
    playlist: &str,
) -> sqlx::Result<Vec<Named>> {
    sqlx::query_as(
        "SELECT entry_id, item_uri FROM playlist_items
         WHERE library = (SELECT id FROM libraries WHERE account_id = $1) AND playlist_uri = $2 ORDER BY position",
    )
    .bind(account.to_owned())
    .bind(playlist.to_owned())
    .fetch_all(db)
    .await
}

/// Notes which version of a playlist's entries was read, outside of a run.
pub async fn read(tx: &mut Tx, account: &str, playlist: &str, version: Option<&str>) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE playlists SET entries_version = $3
         WHERE library = (SELECT id FROM libraries WHERE account_id = $1) AND uri = $2",
    )
    .bind(account.to_owned())
    .bind(playlist.to_owned())
    .bind(version.map(str::to_owned))
    .execute(&mut **tx)
    .await?;
    Ok(())
}
