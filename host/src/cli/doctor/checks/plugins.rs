//! Are the plugin folders there, and are the bundled files those that were bundled?

use std::{fs, path::Path, sync::Arc};

use super::Finding;
use crate::{
    config::Config,
    providers::{
        library::{BUNDLED, Bundled, hash},
        preflight,
    },
};

pub(super) fn folders(config: &Config) -> Vec<Finding> {
    let mut findings = vec![bundled(&config.plugins.bundled)];
    for folder in config.plugins.directories.iter().filter(|folder| !folder.is_dir()) {
        let detail = format!("{} is no folder", folder.display());
        findings.push(Finding::warn("plugins", detail, "make it, or take it out of plugins.directories"));
    }
    findings
}

/// Whether the enabled instances would start. Plugins are copied before they are looked at, so that this needs a data
/// folder that is there.
pub(super) async fn instances(config: &Config) -> Vec<Finding> {
    if !config.server.data_dir.is_dir() {
        return Vec::new();
    }
    let config = Arc::new(config.clone());
    let looked = preflight(&config).await.into_iter().map(|(id, looked)| match looked {
        Err(refusal) => {
            Finding::fail("instance", format!("{id}: {} ({})", refusal.detail, refusal.code), refusal.remedy)
        }
        Ok(missing) if missing.is_empty() => Finding::ok("instance", id),
        Ok(missing) => {
            let missing: Vec<_> = missing.iter().map(|folder| folder.display().to_string()).collect();
            let detail = format!("{id}: {} is not there", missing.join(", "));
            Finding::warn("instance", detail, "mount or make the folder, or correct the instance's settings")
        }
    });
    looked.collect()
}

fn bundled(folder: &Path) -> Finding {
    let remedy = "reinstall; after a build: zotify-host plugin bundle <folder>";
    let list = folder.join(BUNDLED);
    let bundle: Bundled = match fs::read(&list).map(|bytes| serde_json::from_slice(&bytes)) {
        Ok(Ok(bundle)) => bundle,
        Ok(Err(error)) => return Finding::fail("plugins", format!("{} is damaged: {error}", list.display()), remedy),
        Err(error) => {
            return Finding::warn("plugins", format!("no bundled plugins; {}: {error}", list.display()), remedy);
        }
    };
    for (name, expected) in &bundle.plugins {
        match hash(&folder.join(name)) {
            Ok(found) if found.eq_ignore_ascii_case(expected) => {}
            Ok(_) => return Finding::fail("plugins", format!("{name} is not the file that was bundled"), remedy),
            Err(error) => return Finding::fail("plugins", format!("{name} can't be read: {error}"), remedy),
        }
    }
    Finding::ok("plugins", format!("{} bundled in {}", bundle.plugins.len(), folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Outcome;

    #[test]
    fn a_changed_bundled_file_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(bundled(dir.path()).outcome, Outcome::Warn);
        fs::write(dir.path().join("libx.so"), "abc").unwrap();
        let sha = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        fs::write(dir.path().join("bundled.json"), format!(r#"{{"plugins": {{"libx.so": "{sha}"}}}}"#)).unwrap();
        assert_eq!(bundled(dir.path()).outcome, Outcome::Ok);
        fs::write(dir.path().join("libx.so"), "abd").unwrap();
        assert_eq!(bundled(dir.path()).outcome, Outcome::Fail);
        fs::write(dir.path().join("bundled.json"), "{").unwrap();
        assert_eq!(bundled(dir.path()).outcome, Outcome::Fail);
    }
}
