//! What fuzz targets reach of this module.

use std::path::{Path, PathBuf};

use serde_json::Value;
use zotify_plugin_api::{LibraryManifest, Permissions};

use super::{
    grants::{self, Asked, HostRule},
    library,
    refusal::Refusal,
    settings,
};

/// Checks a manifest.
pub fn check_manifest(manifest: &LibraryManifest) -> Result<(), Refusal> {
    library::check(manifest)
}

/// Checks settings against a plugin's schema.
pub fn check_settings(schema: &Value, values: &Value) -> Result<(), Refusal> {
    settings::check(schema, values)
}

/// What an instance is granted.
#[derive(Debug)]
pub struct Granted {
    /// Folders, absolute.
    pub folders: Vec<PathBuf>,
    /// Names of public hosts.
    pub names: Vec<String>,
    /// Hosts and ports that may be private.
    pub origins: Vec<(String, u16)>,
    /// Whether any public address may be reached.
    pub public_internet: bool,
}

/// Finds out what an instance is granted, with `/srv/base` and `/srv/base/data` as the host's folders.
pub fn grant(permissions: &Permissions, values: &Value, granted: &[String], bundled: bool) -> Result<Granted, Refusal> {
    let (base_dir, data_dir) = (Path::new("/srv/base"), Path::new("/srv/base/data"));
    let grants = grants::resolve(&Asked { permissions, settings: values, granted, bundled, base_dir, data_dir })?;
    let (mut names, mut origins) = (Vec::new(), Vec::new());
    for rule in grants.hosts {
        match rule {
            HostRule::Name(name) => names.push(name),
            HostRule::Origin { host, port } => origins.push((host, port)),
        }
    }
    let folders = grants.folders.into_iter().map(|folder| folder.path).collect();
    Ok(Granted { folders, names, origins, public_internet: grants.public_internet })
}
