//! `plugin bundle`: the list of hashes beside bundled plugins.

use std::path::Path;

use super::Failure;
use crate::providers::library::{self, BUNDLED, Bundled};

/// Writes the list of the plugins in a folder, in place of the one before.
pub(super) fn run(folder: &Path) -> Result<String, Failure> {
    if !folder.is_dir() {
        return Err(Failure::usage(format!("{} is not a folder", folder.display())));
    }
    let mut bundled = Bundled::default();
    for path in library::list(folder) {
        let hash = library::hash(&path).map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        bundled.plugins.insert(name, hash);
    }
    let mut text = serde_json::to_string_pretty(&bundled).map_err(|e| Failure::new(e.to_string()))?;
    text.push('\n');
    let (file, draft) = (folder.join(BUNDLED), folder.join(".bundled.json.tmp"));
    std::fs::write(&draft, text)?;
    std::fs::rename(&draft, &file)?;
    Ok(format!("{} lists {} plugins.", file.display(), bundled.plugins.len()))
}
