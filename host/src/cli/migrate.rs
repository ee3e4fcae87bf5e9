//! `migrate`: brings the database's schema up to date.

use super::{CliResult, Failure, print};
use crate::{backup, config::Config, db::Db};

pub(super) const ABOUT: &str = "\
Bring the database's schema up to date.

`serve` does this by itself. Run it alone before several nodes start on one PostgreSQL database, or to see that an \
upgrade works before switching over. A schema is never taken back, so a backup is made first.";

pub(super) async fn run(config: Config) -> CliResult {
    config.create_folders()?;
    let db = Db::connect(&config.database.url).await?;
    let applied = backup::migrate(&config, &db).await;
    db.close().await;
    match applied.map_err(|error| Failure::new(format!("the migration failed: {error}")))? {
        0 => print("the database is up to date\n"),
        1 => print("applied 1 migration\n"),
        more => print(&format!("applied {more} migrations\n")),
    }
}
