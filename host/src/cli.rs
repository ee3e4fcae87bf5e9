//! The command line: one verb per file.

mod audit;
mod backup;
pub mod config;
mod docs;
mod doctor;
pub mod key;
mod migrate;
mod openapi;
pub mod plugin;
mod restore;
mod secrets;
mod serve;
mod token_key;
pub mod user;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::config::{Config, ConfigErrors};

const AFTER_HELP: &str = "\
Examples:
  zotify-host config init --music ~/Music     write zotify.toml
  zotify-host serve                           start
  zotify-host doctor                          find out what is wrong

Exit codes:
  0  done
  1  failed, or a check found something wrong
  2  wrong usage, or the configuration has faults";

/// Routes one REST API to music provider plugins.
#[derive(Parser, Debug)]
#[command(name = "zotify-host", version, after_help = AFTER_HELP, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    /// The configuration file; without it zotify.toml in the working folder, if there is one.
    #[arg(long, global = true, value_name = "FILE", env = "ZOTIFY_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Start the server.
    #[command(long_about = serve::ABOUT, after_help = serve::AFTER_HELP)]
    Serve,
    /// Write, check and show the configuration.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Look at plugins, trust them, switch them on and off.
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// Make users and set passwords, without the API.
    #[command(subcommand)]
    User(user::UserCommand),
    /// Make, list and revoke API keys, without the API.
    #[command(subcommand, after_help = key::AFTER_HELP)]
    Key(key::KeyCommand),
    /// Check and export the audit log.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Change the key that signs access tokens.
    #[command(subcommand)]
    TokenKey(token_key::TokenKeyCommand),
    /// Bring the database's schema up to date.
    #[command(long_about = migrate::ABOUT)]
    Migrate,
    /// Save the database, its key and the configuration; the host may run.
    #[command(long_about = backup::ABOUT, after_help = backup::AFTER_HELP)]
    Backup(backup::Arguments),
    /// Put a backup in the place of the database.
    #[command(long_about = restore::ABOUT, after_help = restore::AFTER_HELP)]
    Restore(restore::Arguments),
    /// Exchange the key that protects stored credentials.
    #[command(subcommand)]
    Secrets(secrets::SecretsCommand),
    /// Check the installation; each fault comes with a remedy.
    #[command(long_about = doctor::ABOUT, after_help = doctor::AFTER_HELP)]
    Doctor,
    /// Print the OpenAPI document.
    #[command(after_help = openapi::AFTER_HELP)]
    Openapi,
    /// Print a generated page of the documentation.
    #[command(hide = true)]
    Docs { page: docs::Page },
}

/// What a verb answers.
pub type CliResult = Result<(), Failure>;

/// Why a verb failed, and with which exit code.
#[derive(Debug)]
pub struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// It was asked for rightly, and failed: exit code 1.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }

    /// It was asked for wrongly: exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 2 }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::usage(format!("the configuration has faults\n{errors}"))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::new(format!("the database failed: {error}"))
    }
}

impl Cli {
    /// Runs the verb.
    pub fn run(self) -> ExitCode {
        let result = match tokio::runtime::Runtime::new() {
            Ok(runtime) => runtime.block_on(self.command.run(self.config)),
            Err(error) => Err(Failure::from(error)),
        };
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                let _ = writeln!(io::stderr(), "zotify-host: {}", failure.message);
                ExitCode::from(failure.code)
            }
        }
    }
}

impl Command {
    async fn run(self, file: Option<PathBuf>) -> CliResult {
        let load = || Config::load(file.as_deref());
        match self {
            Self::Serve => serve::run(load()?).await,
            Self::Config(command) => command.run(file),
            // Not loaded yet: bundling needs no configuration, and works beside one with faults.
            Self::Plugin(command) => answer(&plugin::run(command, load).await?),
            Self::User(command) => {
                let config = load()?;
                config.create_folders()?;
                answer(&user::run(command, &config).await.map_err(|error| Failure::new(error.to_string()))?)
            }
            // Needs no configuration, which may be what it is made for.
            Self::Key(key::KeyCommand::Generate) => {
                answer(&key::generate().map_err(|error| Failure::new(error.to_string()))?)
            }
            Self::Key(command) => {
                let config = load()?;
                config.create_folders()?;
                answer(&key::run(command, &config).await.map_err(|error| Failure::new(error.to_string()))?)
            }
            Self::Audit(command) => audit::run(command, load()?).await,
            Self::TokenKey(command) => answer(&token_key::run(command, &load()?).await?),
            Self::Migrate => migrate::run(load()?).await,
            Self::Backup(arguments) => backup::run(arguments, &load()?).await,
            Self::Restore(arguments) => restore::run(&arguments, &load()?).await,
            Self::Secrets(command) => secrets::run(command, &load()?).await,
            Self::Doctor => doctor::run(load()).await,
            Self::Openapi => openapi::run(),
            Self::Docs { page } => docs::run(page),
        }
    }
}

/// Prints what a verb answered, with a line break at its end.
fn answer(text: &str) -> CliResult {
    print(&format!("{}\n", text.trim_end_matches('\n')))
}

/// Prints to standard output; a reader that closed it early (`| head`) is no failure.
pub fn print(text: &str) -> CliResult {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(e.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
