//! `config`: writes, checks and shows the configuration.

use std::path::PathBuf;

use clap::Subcommand;

use super::{CliResult, Failure, print};
use crate::config::{Config, DEFAULT_FILE, schema, show, template};

const INIT_EXAMPLES: &str = "\
Examples:
  zotify-host config init --music /srv/music --music ~/Music
  zotify-host config init /etc/zotify/zotify.toml";

const SHOW_EXAMPLES: &str = "\
Examples:
  zotify-host config show
  zotify-host config show | grep -v '# default'     only what was set";

/// What to do with the configuration.
#[derive(Subcommand, Debug)]
pub enum ConfigCommand {
    /// Write a zotify.toml that explains every setting.
    #[command(after_help = INIT_EXAMPLES)]
    Init {
        /// The file to write; without it the one of --config, else zotify.toml in the working folder.
        path: Option<PathBuf>,
        /// A folder with music; may be given several times.
        #[arg(long, value_name = "DIR")]
        music: Vec<PathBuf>,
        /// Replace the file when it exists.
        #[arg(long)]
        force: bool,
    },
    /// Check the file, .env and the environment, and name all faults.
    Check,
    /// Show every setting in effect and where it came from; secrets are masked.
    #[command(after_help = SHOW_EXAMPLES)]
    Show,
    /// Print the JSON Schema of zotify.toml, for editors.
    Schema,
}

impl ConfigCommand {
    pub(super) fn run(self, file: Option<PathBuf>) -> CliResult {
        match self {
            Self::Init { path, music, force } => init(path.or(file), &music, force),
            Self::Check => check(file),
            Self::Show => print(&show::show(&Config::load(file.as_deref())?)),
            Self::Schema => print(&format!("{:#}\n", schema::document())),
        }
    }
}

fn init(path: Option<PathBuf>, music: &[PathBuf], force: bool) -> CliResult {
    let path = path.unwrap_or_else(|| DEFAULT_FILE.into());
    let mut folders = Vec::new();
    for folder in music {
        let absolute = folder.canonicalize().map_err(|e| Failure::usage(format!("{}: {e}", folder.display())))?;
        if !absolute.is_dir() {
            return Err(Failure::usage(format!("{}: is not a folder", folder.display())));
        }
        let text = absolute.into_os_string().into_string();
        folders.push(text.map_err(|_| Failure::usage(format!("{}: the name is not UTF-8", folder.display())))?);
    }
    template::write(&path, &template::text(&folders), force).map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::new(format!("{} exists; --force replaces it", path.display())),
        _ => Failure::new(format!("{} can't be written: {e}", path.display())),
    })?;
    print(&format!("wrote {}; only you can read it. Next: zotify-host serve\n", path.display()))
}

fn check(file: Option<PathBuf>) -> CliResult {
    let config = Config::load(file.as_deref())?;
    let name = config.file.as_deref().map_or_else(|| "no file".into(), |file| file.display().to_string());
    let (providers, automations) = (config.providers.len(), config.automations.len());
    print(&format!("the configuration is valid ({name}; providers: {providers}, automations: {automations})\n"))
}
