//! Replaces the rows of a PostgreSQL database, in one transaction.

use std::path::PathBuf;

use sqlx::AssertSqlSafe;

use super::{RestoreError, Restored, fill};
use crate::{
    backup::{
        Options,
        archive::Archive,
        automatic::backups_folder,
        schema::{quoted, tables},
        time_for_names, to_file,
    },
    config::Config,
    db::{Db, Tx},
    nodes,
};

pub(super) async fn restore(
    config: &Config,
    archive: &Archive,
    force: bool,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Restored, RestoreError> {
    let db = Db::connect(&config.database.url).await?;
    let restored = replace(config, &db, archive, force, progress).await;
    db.close().await;
    restored
}

async fn replace(
    config: &Config,
    db: &Db,
    archive: &Archive,
    force: bool,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Restored, RestoreError> {
    let applied = db.applied_migrations().await?;
    let mut tx = db.write().await?;
    let present: Vec<String> = tables(&mut tx).await?.into_iter().map(|table| table.name).collect();
    let kept = match present.is_empty() {
        true => None,
        false => {
            let known = if applied.is_empty() { Vec::new() } else { known().await? };
            let foreign: Vec<String> = present.iter().filter(|name| !known.contains(name)).cloned().collect();
            if !foreign.is_empty() {
                return Err(RestoreError::Foreign(foreign));
            }
            if !force {
                return Err(RestoreError::NotEmpty);
            }
            Some(take_away(config, db, &mut tx, present, progress).await?)
        }
    };
    let (rows, _) = fill(config, db, &mut tx, archive, progress).await?;
    tx.commit().await?;
    Ok(Restored { rows, kept })
}

/// The tables of this version: what its migrations make.
async fn known() -> Result<Vec<String>, RestoreError> {
    let db = Db::connect("sqlite::memory:").await?;
    let mut tx = db.write().await?;
    db.migrate_within(&mut tx, None).await?;
    let known = tables(&mut tx).await?.into_iter().map(|table| table.name).collect();
    tx.rollback().await?;
    db.close().await;
    Ok(known)
}

/// Saves all rows to the data folder, then drops the tables. Nothing is written in between.
async fn take_away(
    config: &Config,
    db: &Db,
    tx: &mut Tx,
    mut tables: Vec<String>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<PathBuf, RestoreError> {
    tables.push("_sqlx_migrations".into());
    hold(tx, &tables).await?;
    match nodes::running(db).await? {
        0 => {}
        nodes => return Err(RestoreError::NodesRunning(nodes)),
    }
    let file = backups_folder(config)?.join(format!("before-restore-{}.tar", time_for_names()));
    to_file(config, db, &file, Options { without_key: true, force: false }, progress).await?;
    // What depends on them and is not the host's stops it.
    sqlx::query(AssertSqlSafe(format!("DROP TABLE {}", list(&tables)))).execute(&mut **tx).await?;
    Ok(file)
}

/// Lets others read tables but not write to them until the transaction ends, however long it does nothing itself.
///
/// # Errors
/// When a table is not there, or the database fails.
pub async fn hold(tx: &mut Tx, tables: &[String]) -> sqlx::Result<()> {
    sqlx::query("SET LOCAL idle_in_transaction_session_timeout = 0").execute(&mut **tx).await?;
    // Not SHARE, which two restores could hold at once and then wait for each other.
    let sql = format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", list(tables));
    sqlx::query(AssertSqlSafe(sql)).execute(&mut **tx).await?;
    Ok(())
}

fn list(tables: &[String]) -> String {
    tables.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(",")
}
