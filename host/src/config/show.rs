//! The configuration in effect, for people: every value with its source, secrets masked.

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    Config, Database, Source,
    database::MASK,
    layers::{dotted, join},
    schema::schema_at,
};

/// One line per value: TOML, with the source as a comment.
pub fn show(config: &Config) -> String {
    let mut text = String::new();
    if let Some(file) = &config.file {
        let _ = writeln!(text, "# {}", file.display());
    }
    match serde_json::to_value(config) {
        Ok(value) => add(&mut text, config, "", &value),
        Err(error) => _ = writeln!(text, "# can't be shown: {error}"),
    }
    text
}

fn add(text: &mut String, config: &Config, pointer: &str, value: &Value) {
    if let Value::Object(table) = value {
        for (key, value) in table {
            add(text, config, &join(pointer, key), value);
        }
        return;
    }
    let (key, source) = (dotted(pointer), config.source(pointer));
    let _ = match value {
        Value::Null => writeln!(text, "# {key} is not set"),
        _ => writeln!(text, "{key} = {}  # {source}", masked(config, pointer, value, &source)),
    };
}

fn masked(config: &Config, pointer: &str, value: &Value, source: &Source) -> String {
    if pointer == "/database/url" {
        return literal(&Value::String(config.database.masked_url()));
    }
    if is_secret(pointer) || is_from_file(source) { literal(&Value::String(MASK.into())) } else { literal(value) }
}

/// Whether a value looks like a password by its name, its form, or by the place it was kept in.
pub(crate) fn sounds_secret(pointer: &str) -> bool {
    const WORDS: &[&str] = &["password", "passwd", "passphrase", "secret", "token", "apikey", "credential", "cookie"];
    let settings = pointer.split_once("/settings/").map(|(_, below)| below.to_ascii_lowercase());
    settings.is_some_and(|key| {
        let key = key.replace(['_', '-'], "");
        WORDS.iter().any(|word| key.contains(word)) || key.ends_with("key") || key.ends_with("pin")
    })
}

/// Whether a configuration file's text holds something that is masked here. What can't be read may hold anything.
pub(crate) fn holds_secrets(text: &str) -> bool {
    toml::from_str(text).map_or(true, |value: Value| holds_secret("", &value))
}

fn holds_secret(pointer: &str, value: &Value) -> bool {
    match value {
        Value::Object(table) => table.iter().any(|(key, value)| holds_secret(&join(pointer, key), value)),
        Value::Array(items) => items.iter().any(|item| holds_secret(pointer, item)),
        Value::String(url) if pointer == "/database/url" => {
            let database = Database { url: url.clone(), ..Database::default() };
            database.masked_url() != *url
        }
        value => is_secret(pointer) || value.as_str().is_some_and(|text| without_password(text) != text),
    }
}

fn is_secret(pointer: &str) -> bool {
    schema_at(pointer).get("writeOnly").is_some() || sounds_secret(pointer)
}

fn is_from_file(source: &Source) -> bool {
    matches!(source, Source::DotEnv { variable } | Source::Environment { variable } if variable.ends_with("_FILE"))
}

/// A value as TOML; passwords in URLs are masked wherever they stand.
fn literal(value: &Value) -> String {
    match value {
        Value::String(text) => toml::Value::String(without_password(text)).to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Value::Object(table) => {
            let pairs = table.iter().map(|(key, value)| {
                let value =
                    if sounds_secret(&format!("/settings/{key}")) { literal(&MASK.into()) } else { literal(value) };
                format!("{} = {value}", toml::Value::String(key.clone()))
            });
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

fn without_password(text: &str) -> String {
    match url::Url::parse(text) {
        Ok(mut url) if url.password().is_some() => {
            // Fails for URLs that can't have a password, which this one has.
            let _ = url.set_password(Some(MASK));
            url.into()
        }
        _ => text.to_owned(),
    }
}
