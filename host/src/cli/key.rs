//! `zotify-host key`: API keys without the API.

use clap::Subcommand;

use super::user::UserError;
use crate::{
    audit::Actor,
    auth::{
        keys::{KeyState, NewSecret, manage},
        users::Name,
    },
    backup,
    config::Config,
    db::{
        self, Db,
        api_keys::{Filter, KeyRow},
    },
    error::ApiError,
};

pub(super) const AFTER_HELP: &str = "\
Examples:
  zotify-host key generate                    a key for auth.bootstrap_admin_key
  zotify-host key list maria
  zotify-host key revoke maria ztf_ab12cd34
  zotify-host key revoke maria --all";

/// Manages API keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Prints a new random key. It opens nothing until auth.bootstrap_admin_key is set to it.
    Generate,
    /// Lists API keys: prefix, state, user, id, name.
    List {
        /// Only this user's.
        user: Option<String>,
    },
    /// Revokes a user's API keys. A running host sees it within a second.
    Revoke {
        /// The user's name.
        user: String,
        /// The key's id, or its prefix as it is listed.
        #[arg(required_unless_present = "all")]
        key: Option<String>,
        /// Revokes all of the user's keys.
        #[arg(long, conflicts_with = "key")]
        all: bool,
    },
}

/// Prints a new key.
///
/// # Errors
/// When the system gives no random bytes.
pub fn generate() -> Result<String, UserError> {
    NewSecret::generate().map(|new| new.secret).map_err(|error| UserError::Refused(error.to_string()))
}

/// Runs a command; answers what to print.
///
/// # Errors
/// When there is no such user or key, or the database fails.
pub async fn run(command: KeyCommand, config: &Config) -> Result<String, UserError> {
    let db = Db::connect(&config.database.url).await?;
    backup::migrate(config, &db).await?;
    let answer = match command {
        KeyCommand::Generate => generate(),
        KeyCommand::List { user } => list(&db, user.as_deref()).await,
        KeyCommand::Revoke { user, key, .. } => revoke(&db, &user, key.as_deref()).await,
    };
    db.close().await;
    answer
}

async fn list(db: &Db, user: Option<&str>) -> Result<String, UserError> {
    let lines = keys(db, user).await?.into_iter().map(|key| {
        let state = KeyState::of(&key).as_str();
        format!("{} {:<8} {:<24} {} {}", key.prefix, state, key.user_name, key.id, key.name)
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// One user's keys, or everybody's.
async fn keys(db: &Db, user: Option<&str>) -> Result<Vec<KeyRow>, UserError> {
    let user_id = match user {
        Some(name) => {
            let user = db::users::find_by_name(db.read(), &Name::fold(name)).await?;
            Some(user.ok_or_else(|| UserError::NotFound(name.to_owned()))?.id)
        }
        None => None,
    };
    Ok(db::api_keys::list(db.read(), Filter { user_id, after: None, limit: i64::MAX }).await?)
}

async fn revoke(db: &Db, user: &str, key: Option<&str>) -> Result<String, UserError> {
    let mut wanted = keys(db, Some(user)).await?;
    wanted.retain(|row| key.is_none_or(|key| row.id == key || row.prefix == key));
    if wanted.is_empty() && key.is_some() {
        return Err(UserError::from(ApiError::not_found("key_not_found", format!("{user} has no such API key"))));
    }
    let mut tx = db.write().await?;
    let revoked = manage::revoke_all(&mut tx, &wanted, Actor::COMMAND).await?;
    tx.commit().await?;
    Ok(format!("revoked {revoked} API keys of {user}"))
}
