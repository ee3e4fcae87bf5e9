//! `serve`: starts the server.

use super::{CliResult, Failure};
use crate::{config::Config, server, telemetry};

pub(super) const ABOUT: &str = "\
Start the server.

Brings the database up to date, makes the first administrator if there is none, starts the configured plugins in the \
background and serves until SIGTERM or Ctrl-C. A plugin that fails does not keep the server from starting.";

pub(super) const AFTER_HELP: &str = "\
Examples:
  zotify-host serve
  zotify-host --config /etc/zotify/zotify.toml serve
  ZOTIFY__SERVER__LISTEN=0.0.0.0:9000 zotify-host serve
  RUST_LOG=debug zotify-host serve";

pub(super) async fn run(config: Config) -> CliResult {
    telemetry::init(&config.log);
    config.create_folders()?;
    server::run(config).await.map_err(|error| Failure::new(error.to_string()))
}
