//! `audit`: checks and exports the audit log.

use std::io::{self, Write as _};

use chrono::{DateTime, Utc};
use clap::Subcommand;
use futures::TryStreamExt as _;
use serde_json::json;

use super::{CliResult, Failure, print};
use crate::{
    audit::{
        self, Actor, Entry, Outcome,
        export::{self, Format},
        verify,
        witness::Witness,
    },
    auth::users::Name,
    config::Config,
    db::{self, Db, audit::Filter},
    secrets::Secrets,
};

const VERIFY_ABOUT: &str = "\
Read the whole audit log and find the first row that was changed, removed or reordered.

Prints the row and what is wrong with it (changed, removed, reordered, personal_changed, tail_removed, inserted, \
seal_broken), and ends with exit code 1 then. May run beside a host.";

const EXPORT_EXAMPLES: &str = "\
Examples:
  zotify-host audit export > audit.jsonl
  zotify-host audit export --action session. --since 2026-01-01T00:00:00Z --format csv";

/// What to do with the audit log.
#[derive(Subcommand, Debug)]
pub(super) enum AuditCommand {
    /// Find out whether the log is whole.
    #[command(long_about = VERIFY_ABOUT)]
    Verify,
    /// Print the log, oldest entry first.
    #[command(after_help = EXPORT_EXAMPLES)]
    Export {
        /// Not before this time, RFC 3339.
        #[arg(long)]
        since: Option<DateTime<Utc>>,
        /// Before this time, RFC 3339.
        #[arg(long)]
        until: Option<DateTime<Utc>>,
        /// Only actions that start with this.
        #[arg(long)]
        action: Option<String>,
        /// Only what this user did: a name or an id.
        #[arg(long)]
        user: Option<String>,
        /// As what.
        #[arg(long, value_enum, default_value = "jsonl")]
        format: Format,
    },
}

pub(super) async fn run(command: AuditCommand, config: Config) -> CliResult {
    config.create_folders()?;
    let db = Db::connect(&config.database.url).await?;
    if !db.pending_migrations().await?.is_empty() {
        return Err(Failure::new("the database is not up to date; run `zotify-host migrate`"));
    }
    let done = match command {
        AuditCommand::Verify => verify(&config, &db).await,
        AuditCommand::Export { since, until, action, user, format } => {
            let actor = match user {
                Some(name) => Some(user_id(&db, name).await?),
                None => None,
            };
            let (since, until) = (since.map(|time| time.timestamp_millis()), until.map(|time| time.timestamp_millis()));
            export(&db, Filter { actor, action, since, until, ..Filter::default() }, format).await
        }
    };
    db.close().await;
    done
}

async fn verify(config: &Config, db: &Db) -> CliResult {
    let secrets = Secrets::load(config, db).await.map_err(|error| Failure::new(error.to_string()))?;
    let report = verify::verify(db, &secrets, &Witness::of(config)).await?;
    if let Some(fault) = report.fault {
        return Err(Failure::new(format!("the audit log is not whole\n{fault}")));
    }
    let row = |row: Option<i64>| row.map_or_else(|| "none".to_owned(), |row| row.to_string());
    print(&format!(
        "the audit log is whole: {} rows, from {} to {}; the personal part of {} is erased; sealed to {}\n",
        report.entries,
        row(report.first),
        row(report.last),
        report.erased,
        row(report.sealed_to)
    ))
}

async fn export(db: &Db, filter: Filter, format: Format) -> CliResult {
    let mut tx = db.write().await?;
    let data = json!({ "format": format.extension() });
    let (actor, outcome) = (Actor::COMMAND, Outcome::Ok);
    let entry = Entry { action: "audit.exported", outcome, actor, user: None, data, personal: json!({}) };
    audit::record(&mut tx, entry).await?;
    tx.commit().await?;
    let mut parts = std::pin::pin!(export::stream(db.clone(), filter, format));
    while let Some(part) = parts.try_next().await? {
        match io::stdout().write_all(&part) {
            // A reader that closed it early (`| head`) is no failure.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            done => done?,
        }
    }
    print("")
}

/// The id of the user with this name; else it is taken for an id.
async fn user_id(db: &Db, name: String) -> Result<String, Failure> {
    Ok(db::users::find_by_name(db.read(), &Name::fold(&name)).await?.map_or(name, |user| user.id))
}
