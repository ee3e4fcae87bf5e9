//! Makes paths absolute: `~` is the home folder, relative ones start from the configuration file's folder.

use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{Config, ConfigErrors, Problem, plugins};

/// What has a meaning in a `sqlite:` URL.
const IN_URL: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'<').add(b'>').add(b'?').add(b'`');

/// Makes all paths of a configuration absolute.
pub(super) fn resolve(config: &mut Config) -> Result<(), ConfigErrors> {
    let base = config.base_dir.clone();
    let mut problems = Vec::new();
    let mut absolute = |key: &str, path: &Path| match absolute(&base, path) {
        Ok(path) => path,
        Err(detail) => {
            problems.push(Problem { place: None, key: Some(key.to_owned()), detail: detail.into() });
            PathBuf::new()
        }
    };
    config.server.data_dir = absolute("server.data_dir", &config.server.data_dir);
    for folder in &mut config.plugins.directories {
        *folder = absolute("plugins.directories", folder);
    }
    if config.plugins.bundled.as_os_str().is_empty() {
        config.plugins.bundled = plugins::default_bundled();
    }
    config.plugins.bundled = absolute("plugins.bundled", &config.plugins.bundled);
    if config.database.url.is_empty() {
        config.database.url = sqlite_url(&config.server.data_dir.join("zotify.db"));
    } else if let Some((file, query)) = sqlite_file(&config.database.url) {
        config.database.url = format!("{}{query}", sqlite_url(&absolute("database.url", &file)));
    }
    if problems.is_empty() { Ok(()) } else { Err(ConfigErrors(problems)) }
}

/// A path made absolute.
fn absolute(base: &Path, path: &Path) -> Result<PathBuf, &'static str> {
    let path = match path.strip_prefix("~") {
        Ok(rest) => home().ok_or("the home folder is unknown (HOME is not set); write an absolute path")?.join(rest),
        Err(_) => base.join(path),
    };
    // Drops "." parts; ".." stays, since it may follow a link.
    Ok(path.components().collect())
}

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
}

/// The file of a `sqlite:` URL and its query with the `?`; nothing for other databases and for those in memory.
pub(crate) fn sqlite_file(url: &str) -> Option<(PathBuf, String)> {
    let rest = url.strip_prefix("sqlite:")?;
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let at = rest.find('?').unwrap_or(rest.len());
    let (file, query) = rest.split_at(at);
    if file == ":memory:" || query.contains("mode=memory") {
        return None;
    }
    let file = percent_encoding::percent_decode_str(file).decode_utf8_lossy().into_owned();
    Some((file.into(), query.to_owned()))
}

/// The `sqlite:` URL of a file.
pub(crate) fn sqlite_url(file: &Path) -> String {
    // The driver takes text only; a data folder that is not UTF-8 fails there with its name.
    format!("sqlite://{}", utf8_percent_encode(&file.to_string_lossy(), IN_URL))
}
