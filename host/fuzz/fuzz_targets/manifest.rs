//! What a plugin says about itself, and the settings and grants that follow from it. The input is JSON: a manifest,
//! settings, and the list of granted permissions.
#![no_main]

mod support;

use std::{collections::HashSet, path::Path};

use libfuzzer_sys::fuzz_target;
use serde_json::{Deserializer, Value};
use support::SECRET;
use zotify_host::providers::{
    fuzzing::{check_manifest, check_settings, grant},
    library::Bundled,
};
use zotify_plugin_api::{LibraryManifest, Permissions, is_instance_id};

fuzz_target!(|data: &[u8]| {
    let _ = serde_json::from_slice::<Bundled>(data);
    let mut documents = Deserializer::from_slice(data).into_iter::<Value>().map_while(Result::ok);
    let Some(manifest) = documents.next() else { return };
    let Ok(manifest) = serde_json::from_value::<LibraryManifest>(manifest) else { return };
    let text = serde_json::to_string(&manifest).unwrap();
    assert_eq!(serde_json::from_str::<LibraryManifest>(&text).unwrap(), manifest);
    if check_manifest(&manifest).is_ok() {
        let parts = manifest.providers.iter().map(|p| &p.id).chain(manifest.automations.iter().map(|a| &a.id));
        let parts: Vec<_> = parts.collect();
        assert!(!parts.is_empty() && parts.iter().all(|id| is_instance_id(id)) && is_instance_id(&manifest.id));
        assert_eq!(parts.iter().collect::<HashSet<_>>().len(), parts.len(), "no two parts have one id");
    }
    let settings = documents.next().unwrap_or_default();
    let granted: Vec<String> = documents.next().and_then(|v| serde_json::from_value(v).ok()).unwrap_or_default();
    for provider in &manifest.providers {
        check_secrets(&provider.settings_schema, &settings);
        for bundled in [false, true] {
            check_grants(&provider.permissions, &settings, &granted, bundled);
        }
    }
});

/// No fault of the settings names a value.
fn check_secrets(schema: &Value, settings: &Value) {
    let _ = check_settings(schema, settings);
    let mut secret = settings.clone();
    hide(&mut secret);
    if let Err(refusal) = check_settings(schema, &secret) {
        assert!(!refusal.detail.contains(SECRET), "{refusal}");
    }
}

/// Puts the secret into every value.
fn hide(value: &mut Value) {
    match value {
        Value::String(text) => text.push_str(SECRET),
        Value::Array(values) => values.iter_mut().for_each(hide),
        Value::Object(table) => table.values_mut().for_each(hide),
        _ => {}
    }
}

/// Nothing is granted that nobody named, and never the host's own data.
fn check_grants(permissions: &Permissions, settings: &Value, granted: &[String], bundled: bool) {
    let Ok(grants) = grant(permissions, settings, granted, bundled) else { return };
    let named = |permission: &str| granted.iter().any(|g| g == permission) || (bundled && granted.is_empty());
    for name in &grants.names {
        assert!(named(&format!("hosts:{name}")), "{name}");
    }
    assert!(!grants.public_internet || named("public-internet"));
    for folder in &grants.folders {
        assert!(folder.is_absolute() && !folder.iter().any(|part| part == ".."), "{folder:?}");
        assert!(!Path::new("/srv/base/data").starts_with(folder), "{folder:?}");
    }
    for (host, _) in &grants.origins {
        assert!(!host.is_empty() && !host.contains(['/', '@', '?', '#', ' ']), "{host:?}");
    }
}
