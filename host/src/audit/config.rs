//! Puts on record that the configuration is not the one of the last start.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    config::{Config, show::sounds_secret},
    db::{self, Tx},
    secrets::Secrets,
};

/// In front of the place in `host_state`; hosts with data folders of their own have their own.
const PREFIX: &str = "audit.config.";
/// Names of keys that an entry holds at most.
const NAMES: usize = 100;

/// Fingerprints of values by the names of their keys. Values of secrets are not among them.
type Known = BTreeMap<String, String>;

/// Compares the configuration with that of the last start, and records which keys differ; never their values.
///
/// # Errors
/// When the database fails.
pub(super) async fn record_changes(tx: &mut Tx, config: &Config, secrets: &Secrets) -> sqlx::Result<()> {
    let folder = secrets.fingerprint(config.server.data_dir.as_os_str().as_encoded_bytes());
    let place = format!("{PREFIX}{}", folder.get(..16).unwrap_or(&folder));
    let now = known(config, secrets);
    let before = db::state::get(&mut **tx, &place).await?;
    let before: Option<Known> = before.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if before.as_ref() == Some(&now) {
        return Ok(());
    }
    if let Some(before) = before {
        let changed = changed(&before, &now);
        let data = json!({ "keys": changed.iter().take(NAMES).collect::<Vec<_>>(), "count": changed.len() });
        super::record(tx, super::by_host("config.changed", data)).await?;
    }
    let bytes = serde_json::to_vec(&now).map_err(|e| sqlx::Error::Encode(e.into()))?;
    db::state::set(tx, &place, &bytes).await
}

fn changed<'a>(before: &'a Known, now: &'a Known) -> Vec<&'a String> {
    let mut keys: Vec<_> = before.keys().chain(now.keys()).filter(|key| before.get(*key) != now.get(*key)).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn known(config: &Config, secrets: &Secrets) -> Known {
    let mut known = Known::new();
    // Fails for no configuration that was read.
    add(&mut known, secrets, "", &serde_json::to_value(config).unwrap_or_default());
    known
}

fn add(known: &mut Known, secrets: &Secrets, pointer: &str, value: &Value) {
    if let Value::Object(table) = value {
        for (key, value) in table {
            add(known, secrets, &format!("{pointer}/{key}"), value);
        }
        return;
    }
    let secret = pointer == "/database/url" || pointer.starts_with("/secrets/") || sounds_secret(pointer);
    if !secret {
        let mut print = secrets.fingerprint(format!("{pointer} {value}").as_bytes());
        print.truncate(16);
        known.insert(pointer.trim_start_matches('/').replace('/', "."), print);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn changed_keys_are_named_and_values_never_kept() {
        let secrets = Secrets::from_key(&[1; 32]).unwrap();
        let config = |toml: &str| Config::parse(toml, Path::new("/")).unwrap();
        let before = known(&config("[auth]\nregistration = \"open\""), &secrets);
        let settings =
            "[providers.nas]\nplugin = \"subsonic\"\nsettings = { url = \"http://canary\", password = \"x\" }";
        let now = known(&config(settings), &secrets);
        let keys = changed(&before, &now);
        assert!(keys.iter().any(|key| *key == "auth.registration"), "{keys:?}");
        assert!(keys.iter().any(|key| *key == "providers.nas.settings.url"), "{keys:?}");
        assert!(!keys.iter().any(|key| key.contains("password")), "{keys:?}");
        assert!(!serde_json::to_string(&now).unwrap().contains("canary"));
        assert!(changed(&now, &now).is_empty());
    }
}
