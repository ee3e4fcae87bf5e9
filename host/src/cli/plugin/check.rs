//! `plugin check`: everything that is wrong with a file.

use std::{fmt::Write as _, path::Path, sync::Arc};

use zotify_plugin_api::{LibraryManifest, Permissions, capability};

use super::{Failure, finder};
use crate::{
    config::{Config, ConfigErrors},
    providers::library::Found,
};

/// Probes a file. Works without a configuration, so that plugin authors need none.
pub(super) async fn run(file: &Path, load: impl Fn() -> Result<Config, ConfigErrors>) -> Result<String, Failure> {
    let mut config = load().unwrap_or_default();
    // Nothing of this is to stay.
    let scratch = std::env::temp_dir().join(format!("zotify-check-{}", ulid::Ulid::generate()));
    config.server.data_dir.clone_from(&scratch);
    let found = finder(&Arc::new(config), None).examine(file.to_owned(), None).await;
    let _ = std::fs::remove_dir_all(&scratch);
    report(&found)
}

fn report(found: &Found) -> Result<String, Failure> {
    let manifest = match &found.manifest {
        Ok(manifest) => manifest,
        Err(refusal) => return Err(Failure::new(format!("{}: {refusal}", found.path.display()))),
    };
    let faults = faults(manifest);
    if faults.is_empty() {
        let parts = manifest.providers.len() + manifest.automations.len();
        return Ok(format!("{} {} is fine: {parts} part(s), SHA-256 {}", manifest.id, manifest.version, found.sha256));
    }
    let mut text = format!("{}: {} fault(s)", found.path.display(), faults.len());
    for fault in faults {
        let _ = write!(text, "\n  {fault}");
    }
    Err(Failure::new(text))
}

/// What a host would not refuse, but an author should mend.
fn faults(manifest: &LibraryManifest) -> Vec<String> {
    let mut faults = Vec::new();
    for (what, value) in [
        ("name", &manifest.name),
        ("version", &manifest.version),
        ("description", &manifest.description),
        ("license", &manifest.license),
    ] {
        if value.is_empty() {
            faults.push(format!("the manifest has no {what}; it comes from Cargo.toml or export_plugin!"));
        }
    }
    for provider in &manifest.providers {
        let unknown = provider.capabilities.iter().filter(|name| !capability::ALL.contains(&name.as_str()));
        faults.extend(unknown.map(|name| format!("provider {}: this host knows no capability {name}", provider.id)));
        if provider.capabilities.is_empty() {
            faults.push(format!("provider {}: it declares no capability", provider.id));
        }
        faults.extend(part(&provider.id, &provider.settings_schema, &provider.permissions));
    }
    for automation in &manifest.automations {
        faults.extend(part(&automation.id, &automation.settings_schema, &automation.permissions));
    }
    faults
}

fn part(id: &str, schema: &serde_json::Value, permissions: &Permissions) -> Vec<String> {
    let mut faults = Vec::new();
    if let Err(error) = jsonschema::options().build(schema) {
        faults.push(format!("{id}: the schema of its settings is broken: {error}"));
    }
    let hosts = permissions.hosts.iter().map(|host| &host.reason);
    let files = permissions.files.iter().map(|file| &file.reason);
    if hosts.chain(files).chain(&permissions.public_internet).any(|reason| reason.trim().is_empty()) {
        faults.push(format!("{id}: a permission has no reason, which is what an admin decides by"));
    }
    faults
}
