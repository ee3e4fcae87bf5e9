//! `plugin`: looks at plugins, trusts them, switches them on and off.

mod bundle;
mod check;
mod switch;

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Subcommand;
use zotify_plugin_api::{LibraryManifest, Permissions};

use super::Failure;
use crate::{
    backup,
    config::{Config, ConfigErrors, Instance},
    db::{Db, plugin_trust},
    providers::{
        library::{Catalogue, Finder, Found},
        own_program, trust,
    },
};

const APPROVE_EXAMPLES: &str = "\
Examples:
  zotify-host plugin approve plugins/libzotify_plugin_radio.so
  zotify-host plugin approve radio";

/// What to do with plugins.
#[derive(Subcommand, Debug)]
pub enum PluginCommand {
    /// List the files in the plugin folders: what they are, whether they are trusted, and who uses them.
    List,
    /// Show a plugin's manifest: parts, settings, and what it asks for and why.
    Inspect {
        /// A file, the id of a plugin, or the id of an instance.
        target: String,
        /// Print the whole manifest as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Load a file in a locked-down process and name everything that is wrong with it.
    Check {
        /// The shared library.
        file: PathBuf,
    },
    /// Trust a plugin's file as it is now, in place of the one before.
    #[command(after_help = APPROVE_EXAMPLES)]
    Approve {
        /// A file, or the id of a plugin in the plugin folders.
        target: String,
    },
    /// Switch an instance on, in the configuration file. Comments stay.
    Enable {
        /// The instance's id.
        id: String,
    },
    /// Switch an instance off, in the configuration file. Comments stay.
    Disable {
        /// The instance's id.
        id: String,
    },
    /// Write bundled.json, the list of hashes by which a host trusts the plugins of its own package.
    Bundle {
        /// The folder with the plugins.
        folder: PathBuf,
    },
}

/// Runs a command; answers what to print.
///
/// # Errors
/// With a sentence for people.
pub async fn run(command: PluginCommand, load: impl Fn() -> Result<Config, ConfigErrors>) -> Result<String, Failure> {
    match command {
        PluginCommand::List => list(load()?).await,
        PluginCommand::Inspect { target, json } => inspect(load()?, &target, json).await,
        PluginCommand::Check { file } => check::run(&file, load).await,
        PluginCommand::Approve { target } => approve(load()?, &target).await,
        PluginCommand::Enable { id } => switch::run(&load()?, &id, true).await,
        PluginCommand::Disable { id } => switch::run(&load()?, &id, false).await,
        PluginCommand::Bundle { folder } => bundle::run(&folder),
    }
}

/// Opens the database, with its schema up to date.
async fn open(config: &Config) -> Result<Db, Failure> {
    config.create_folders().map_err(|e| Failure::new(e.to_string()))?;
    let db = Db::connect(&config.database.url).await?;
    backup::migrate(config, &db).await.map_err(|e| Failure::new(format!("the database cannot be migrated: {e}")))?;
    Ok(db)
}

fn finder(config: &Arc<Config>, db: Option<Db>) -> Finder {
    let program = config.plugins.program.clone().unwrap_or_else(own_program);
    Finder { config: Arc::clone(config), db, program }
}

async fn list(config: Config) -> Result<String, Failure> {
    let config = Arc::new(config);
    let db = open(&config).await?;
    let catalogue = finder(&config, Some(db.clone())).find().await;
    let mut text = String::new();
    for found in &catalogue.files {
        let _ = match &found.manifest {
            Ok(manifest) => {
                let trust = trust_of(&db, found, manifest).await?;
                writeln!(text, "{:<20} {:<10} {trust:<10} {}", manifest.id, manifest.version, found.path.display())
            }
            Err(refusal) => writeln!(text, "{:<20} {:<10} {:<10} {}", "-", "-", "refused", found.path.display())
                .and_then(|()| writeln!(text, "    {refusal}")),
        };
        if let Ok(manifest) = &found.manifest {
            for (id, instance) in instances(&config).filter(|(_, instance)| instance.plugin == manifest.id) {
                let _ = writeln!(text, "    used by {id}{}", if instance.enabled { "" } else { " (off)" });
            }
        }
    }
    for (id, instance) in instances(&config) {
        if let Err(refusal) = catalogue.find(&instance.plugin) {
            let _ = writeln!(text, "{id}: {refusal}");
        }
    }
    if text.is_empty() {
        let folders = config.plugins.directories.iter().chain([&config.plugins.bundled]);
        let folders: Vec<_> = folders.map(|folder| folder.display().to_string()).collect();
        text = format!("There is no plugin in {}.", folders.join(", "));
    }
    Ok(text)
}

fn instances(config: &Config) -> impl Iterator<Item = (&String, &Instance)> {
    config.providers.iter().chain(&config.automations)
}

async fn trust_of(db: &Db, found: &Found, manifest: &LibraryManifest) -> Result<&'static str, Failure> {
    if found.bundled {
        return Ok("bundled");
    }
    Ok(match plugin_trust::find(db.read(), &manifest.id).await? {
        Some(trusted) if trusted.sha256 == found.sha256 => "trusted",
        Some(_) => "changed",
        None => "new",
    })
}

/// The file that a command means: a path, the id of a plugin, or that of an instance.
async fn target(config: &Arc<Config>, db: Option<Db>, target: &str) -> Result<Found, Failure> {
    let finder = finder(config, db);
    let path = Path::new(target);
    if path.is_file() {
        return Ok(finder.examine(path.to_owned(), None).await);
    }
    let plugin = instances(config).find(|(id, _)| *id == target).map_or(target, |(_, instance)| &instance.plugin);
    let catalogue: Catalogue = finder.find().await;
    catalogue.find(plugin).cloned().map_err(|refusal| Failure::new(refusal.to_string()))
}

async fn approve(config: Config, name: &str) -> Result<String, Failure> {
    let config = Arc::new(config);
    let db = open(&config).await?;
    let found = target(&config, Some(db.clone()), name).await?;
    let manifest = found.manifest.as_ref().map_err(|refusal| Failure::new(refusal.to_string()))?;
    if found.bundled {
        return Ok(format!("The plugin {} is bundled and trusted already.", manifest.id));
    }
    trust::approve(&db, &found, &manifest.id).await?;
    Ok(format!("The plugin {} is trusted with the hash {}.\nRestart the host to load it.", manifest.id, found.sha256))
}

async fn inspect(config: Config, name: &str, json: bool) -> Result<String, Failure> {
    let config = Arc::new(config);
    config.create_folders().map_err(|e| Failure::new(e.to_string()))?;
    let found = target(&config, None, name).await?;
    let manifest = found.manifest.as_ref().map_err(|refusal| Failure::new(refusal.to_string()))?;
    if json {
        return serde_json::to_string_pretty(&**manifest).map_err(|e| Failure::new(e.to_string()));
    }
    Ok(describe(manifest, &found))
}

fn describe(manifest: &LibraryManifest, found: &Found) -> String {
    let mut text = format!(
        "{} {} ({})\n{}\nid: {}\nlicence: {}\nhome page: {}\nSDK {}, {}, protocol {} to {}\nSHA-256: {}\n",
        manifest.name,
        manifest.version,
        format!("{:?}", manifest.stage).to_lowercase(),
        manifest.description,
        manifest.id,
        manifest.license,
        manifest.homepage,
        manifest.sdk,
        manifest.rustc,
        manifest.protocol.min,
        manifest.protocol.max,
        found.sha256
    );
    for provider in &manifest.providers {
        let _ = writeln!(text, "\nprovider {}: {} {}", provider.id, provider.name, provider.description);
        let _ = writeln!(text, "  can: {}", provider.capabilities.join(", "));
        text += &permissions(&provider.permissions);
        text += &settings(&provider.settings_schema);
    }
    for automation in &manifest.automations {
        let _ = writeln!(text, "\nautomation {}: {} {}", automation.id, automation.name, automation.description);
        text += &permissions(&automation.permissions);
        text += &settings(&automation.settings_schema);
    }
    text
}

fn permissions(permissions: &Permissions) -> String {
    use zotify_plugin_api::SettingOr::{self, Setting, Value};
    let name = |what: &SettingOr| match what {
        Setting { setting } => format!("what the setting {} says", setting.trim_start_matches('/')),
        Value(value) => value.clone(),
    };
    let mut text = String::new();
    for host in &permissions.hosts {
        let _ = writeln!(text, "  asks for the host {}: {}", name(&host.host), host.reason);
    }
    for file in &permissions.files {
        let access = format!("{:?}", file.access).to_lowercase();
        let _ = writeln!(text, "  asks for folders ({access}), {}: {}", name(&file.folder), file.reason);
    }
    if let Some(reason) = &permissions.public_internet {
        let _ = writeln!(text, "  asks for the public internet: {reason}");
    }
    text
}

fn settings(schema: &serde_json::Value) -> String {
    let Some(properties) = schema["properties"].as_object().filter(|p| !p.is_empty()) else { return String::new() };
    let required: Vec<_> =
        schema["required"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str).collect();
    let mut text = String::from("  settings:\n");
    for (name, property) in properties {
        let need = if required.contains(&name.as_str()) { " (needed)" } else { "" };
        let about = property["description"].as_str().unwrap_or_default().replace('\n', " ");
        let _ = writeln!(text, "    {name}{need}: {about}");
    }
    text
}
