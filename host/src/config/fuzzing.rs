//! What fuzz targets reach of this module.

use std::{ffi::OsString, path::Path};

use super::{Config, ConfigErrors, layers::Layers};

/// Reads a configuration from the texts of a file and of an `.env`, and from variables.
pub fn layered(
    toml: &str,
    dot_env: &str,
    variables: Vec<(OsString, OsString)>,
    base_dir: &Path,
) -> Result<Config, ConfigErrors> {
    let mut layers = Layers::new(None);
    layers.add_toml(toml);
    layers.add_dot_env_text(dot_env);
    layers.add_environment(variables);
    Config::build(layers, None, base_dir.to_owned())
}
