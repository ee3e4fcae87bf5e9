//! Checks an instance's settings against the schema of its plugin.

use serde_json::Value;

use super::refusal::{Code, Refusal};

/// How many faults a refusal names.
const MAX_FAULTS: usize = 10;

/// Checks settings. Faults are named without the values, which may be secrets.
///
/// # Errors
/// `settings_invalid`, or `manifest_invalid` where the schema itself is broken.
pub(super) fn check(schema: &Value, settings: &Value) -> Result<(), Refusal> {
    if schema.is_null() {
        return Ok(());
    }
    let validator = jsonschema::options().build(schema).map_err(|e| {
        Refusal::new(Code::ManifestInvalid, format!("the plugin's settings schema is broken: {}", e.masked()))
    })?;
    let faults: Vec<_> = validator
        .iter_errors(settings)
        .take(MAX_FAULTS)
        .map(|fault| {
            let path = fault.instance_path().to_string();
            let path = path.strip_prefix('/').unwrap_or(&path).replace('/', ".");
            let place = if path.is_empty() { "settings".to_owned() } else { format!("settings.{path}") };
            format!("{place}: {}", fault.masked())
        })
        .collect();
    if faults.is_empty() { Ok(()) } else { Err(Refusal::new(Code::SettingsInvalid, faults.join("; "))) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn faults_name_the_place_but_not_the_value() {
        let schema = json!({
            "type": "object",
            "properties": {"title": {"type": "string"}, "token": {"type": "integer", "writeOnly": true}},
            "required": ["title"],
            "additionalProperties": false,
        });
        assert_eq!(check(&schema, &json!({"title": "x"})), Ok(()));
        let refusal = check(&schema, &json!({"token": "geheim", "more": 1})).unwrap_err();
        assert!(refusal.is(Code::SettingsInvalid));
        assert!(refusal.detail.contains("settings.token"), "{refusal}");
        assert!(refusal.detail.contains("title"), "{refusal}");
        assert!(refusal.detail.contains("more"), "{refusal}");
        assert!(!refusal.detail.contains("geheim"), "{refusal}");
    }

    #[test]
    fn a_broken_schema_is_the_plugins_fault() {
        let refusal = check(&json!({"type": 7}), &json!({})).unwrap_err();
        assert!(refusal.is(Code::ManifestInvalid));
    }
}
