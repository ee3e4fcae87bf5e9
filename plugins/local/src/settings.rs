//! What stands under `settings` in the configuration.

use std::path::PathBuf;

use zotify_plugin_api::prelude::*;

/// The shortest allowed `poll_interval_s`.
const MIN_POLL_S: u64 = 10;
/// The most folders of one instance.
const MAX_FOLDERS: usize = 64;

/// Settings of a local library.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The folders that hold the music, as absolute paths. Subfolders belong to them.
    #[schemars(length(min = 1, max = 64))]
    pub folders: Vec<PathBuf>,
    /// Watch the folders, and read what changes soon after it changed.
    #[serde(default = "yes")]
    pub watch: bool,
    /// Also look for changes every so many seconds (at least 10): for network drives, which report no changes.
    #[serde(default)]
    #[schemars(range(min = 10))]
    pub poll_interval_s: Option<u64>,
    /// Follow symbolic links, as long as they lead to something inside the folders.
    #[serde(default)]
    pub follow_links: bool,
}

fn yes() -> bool {
    true
}

impl Settings {
    /// Checks what the schema cannot say.
    ///
    /// # Errors
    /// `invalid_request` with the code `settings_invalid`.
    pub fn validate(&self) -> Result<()> {
        let invalid = |text: String| Err(ProviderError::invalid(text).with_code("settings_invalid"));
        if self.folders.is_empty() {
            return invalid("folders: name at least one folder".into());
        }
        if self.folders.len() > MAX_FOLDERS {
            return invalid(format!("folders: at most {MAX_FOLDERS} folders"));
        }
        if let Some(folder) = self.folders.iter().find(|f| !f.is_absolute()) {
            return invalid(format!("folders: {} is not an absolute path", folder.display()));
        }
        if self.poll_interval_s.is_some_and(|s| s < MIN_POLL_S) {
            return invalid(format!("poll_interval_s: at least {MIN_POLL_S}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> Result<()> {
        parse(json).validate()
    }

    fn parse(json: &str) -> Settings {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn names_what_is_wrong() {
        assert!(check(r#"{"folders": ["/music"]}"#).is_ok());
        for (json, word) in [
            (r#"{"folders": []}"#, "at least one"),
            (r#"{"folders": ["music"]}"#, "absolute"),
            (r#"{"folders": ["~/music"]}"#, "absolute"),
            (r#"{"folders": ["/music"], "poll_interval_s": 1}"#, "at least 10"),
        ] {
            let error = check(json).unwrap_err();
            assert_eq!(error.code.as_deref(), Some("settings_invalid"));
            assert!(error.message.contains(word), "{}", error.message);
        }
        assert!(serde_json::from_str::<Settings>(r#"{"folders": ["/m"], "wathc": true}"#).is_err());
    }
}
