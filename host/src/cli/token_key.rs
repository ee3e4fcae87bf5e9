//! `zotify-host token-key`: the key that signs access tokens.

use clap::Subcommand;

use super::Failure;
use crate::{
    audit::Actor,
    auth::tokens::{Tokens, keys},
    backup,
    config::Config,
    db::Db,
    secrets::Secrets,
};

/// Manages the key that signs access tokens.
#[derive(Debug, Subcommand)]
pub(super) enum TokenKeyCommand {
    /// Makes a new key. Nobody is signed out: the former key is good for the tokens that it signed, until they end.
    /// Running hosts know within seconds. `serve` does this by itself every `auth.signing_key_days`.
    Rotate {
        /// Makes the former keys worthless at once, after a leak. Clients have to refresh their tokens; sessions stay.
        #[arg(long)]
        revoke_former: bool,
    },
}

/// Runs a command; answers what to print.
///
/// # Errors
/// When the host's key can't be read or the database fails.
pub(super) async fn run(command: TokenKeyCommand, config: &Config) -> Result<String, Failure> {
    let TokenKeyCommand::Rotate { revoke_former } = command;
    config.create_folders()?;
    let db = Db::connect(&config.database.url).await?;
    backup::migrate(config, &db)
        .await
        .map_err(|error| Failure::new(format!("the database can't be brought up to date: {error}")))?;
    let failed = |error: crate::secrets::SecretsError| Failure::new(error.to_string());
    let secrets = Secrets::load(config, &db).await.map_err(failed)?;
    // Opens what is there: with another master key this would sign out everybody.
    Tokens::load(&db, &secrets).await.map_err(failed)?;
    let kid = keys::rotate(&db, &secrets, revoke_former, Actor::COMMAND).await.map_err(failed)?;
    db.close().await;
    let former = if revoke_former { "former keys are revoked" } else { "former keys still verify their tokens" };
    Ok(format!("access tokens are signed by the new key {kid}; {former}"))
}
