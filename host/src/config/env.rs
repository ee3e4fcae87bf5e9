//! Variables such as `ZOTIFY__SERVER__LISTEN`: two underscores stand for the dot in `server.listen`.

use std::{collections::BTreeMap, ffi::OsString, path::Path};

use serde_json::Value;

use super::{
    Problem,
    layers::{join, read_text},
    schema::{self, Child},
};

const PREFIX: &str = "ZOTIFY__";

/// A value that a variable sets.
pub(super) struct Setting {
    pub(super) variable: String,
    pub(super) path: Vec<String>,
    pub(super) value: Value,
}

/// Where a variable points.
struct Target {
    path: Vec<String>,
    schema: &'static Value,
    /// The variable names a file that holds the value.
    in_file: bool,
}

/// Picks the host's variables out, a table before the keys in it.
pub(super) fn settings(variables: Vec<(OsString, OsString)>) -> (Vec<Setting>, Vec<Problem>) {
    let mut ours: Vec<(String, OsString)> = Vec::new();
    for (name, value) in variables {
        if let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) {
            ours.push((name.to_owned(), value));
        }
    }
    ours.sort();
    let (mut settings, mut problems) = (Vec::new(), Vec::new());
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for (variable, value) in ours {
        match setting(&variable, value) {
            Ok(setting) => {
                let pointer = setting.path.iter().fold(String::new(), |pointer, key| join(&pointer, key));
                if let Some(other) = seen.insert(pointer, variable.clone()) {
                    problems.push(problem(&variable, format!("{other} sets the same key; remove one of them")));
                }
                settings.push(setting);
            }
            Err(detail) => problems.push(problem(&variable, detail)),
        }
    }
    (settings, problems)
}

fn problem(variable: &str, detail: String) -> Problem {
    Problem { place: Some(variable.to_owned()), key: None, detail }
}

fn setting(variable: &str, value: OsString) -> Result<Setting, String> {
    let target = target(variable.strip_prefix(PREFIX).unwrap_or(variable))?;
    let text = value.into_string().map_err(|_| "the value is not UTF-8".to_owned())?;
    let value = if target.in_file {
        let content = read_text(Path::new(&text)).map_err(|e| format!("the file can't be read: {e}"))?;
        let content = content.trim_end_matches(['\n', '\r']).to_owned();
        // What type a plugin's setting has is unknown here; what stands in a file is a secret, so text.
        if schema::is_free(target.schema) { Value::String(content) } else { parse(target.schema, content)? }
    } else {
        parse(target.schema, text)?
    };
    Ok(Setting { variable: variable.to_owned(), path: target.path, value })
}

/// Follows the parts of a name through the schema.
fn target(name: &str) -> Result<Target, String> {
    let mut schema = schema::document();
    let mut path = Vec::new();
    let mut parts = name.split("__").peekable();
    while let Some(part) = parts.next() {
        let part = part.to_ascii_lowercase();
        let last = parts.peek().is_none();
        let stem = part.strip_suffix("_file").filter(|stem| last && !stem.is_empty());
        match (schema::child(schema, &part), stem) {
            (Child::Key(child), _) => (schema, path) = (child, [path, vec![part]].concat()),
            // Shells allow no hyphen in names, instance ids no underscore.
            (Child::Entry(child), _) => (schema, path) = (child, [path, vec![part.replace('_', "-")]].concat()),
            (Child::Free, Some(stem)) => {
                path.push(stem.to_owned());
                return Ok(Target { path, schema: &schema::FREE, in_file: true });
            }
            (Child::Free, None) => {
                path.push(part);
                schema = &schema::FREE;
            }
            (Child::None, Some(stem)) => match schema::child(schema, stem) {
                Child::Key(child) => {
                    path.push(stem.to_owned());
                    return Ok(Target { path, schema: child, in_file: true });
                }
                _ => return Err(unknown(schema, &path, &part)),
            },
            (Child::None, None) => return Err(unknown(schema, &path, &part)),
        }
    }
    Ok(Target { path, schema, in_file: false })
}

fn unknown(schema: &Value, path: &[String], part: &str) -> String {
    format!("{}: {}", [path, &[part.to_owned()]].concat().join("."), schema::unknown_key(schema, part))
}

/// Reads a text as the type that the schema wants.
fn parse(schema: &Value, text: String) -> Result<Value, String> {
    let json = || serde_json::from_str::<Value>(&text);
    if schema::is_free(schema) {
        // Text unless it is JSON of another kind: 8080, true, ["a", "b"], {"a": 1}, "8080" in quotes is text again.
        return Ok(json().ok().filter(|value| !value.is_null()).unwrap_or(Value::String(text)));
    }
    match schema::type_of(schema) {
        // Left as text where it is none: the check that follows names the key and what was expected.
        "integer" | "number" | "boolean" => Ok(json().unwrap_or(Value::String(text))),
        "array" if text.trim_start().starts_with('[') => json().map_err(|e| format!("is not a JSON list: {e}")),
        "array" => Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()),
        "object" => json().map_err(|e| format!("is not a JSON table: {e}")),
        _ => Ok(Value::String(text)),
    }
}
