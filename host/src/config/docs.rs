//! The reference page of the configuration, made from the schema.

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    schema::{self, choices, type_of},
    template::{is_section, properties},
};

const HEAD: &str = "\
# Configuration

Made by `zotify-host docs config`; do not edit. `zotify-host config init` writes a file that explains every setting.

The host reads `zotify.toml` (`--config`, else `ZOTIFY_CONFIG`, else the one in the working folder), then the file `.env`
beside it, then the environment. What comes later goes before. Relative paths start from the file's folder, `~` is the
home folder.

- A variable is named like its key, with two underscores for each dot: `ZOTIFY__SERVER__LISTEN` is `server.listen`. A
  hyphen in an id becomes one underscore: `ZOTIFY__PROVIDERS__HOME_NAS__ENABLED`.
- `…_FILE` reads the value from a file: `ZOTIFY__SECRETS__MASTER_KEY_FILE=/run/secrets/key`. The last line break is left
  out, and a plugin's setting is always taken as text.
- Lists are JSON or separated by commas, tables are JSON: `ZOTIFY__PROVIDERS__LOCAL__SETTINGS='{\"folders\": [\"/srv\"]}'`.
  A table adds to the one in the file; everything else replaces.
- A plugin's settings may be JSON (`true`, `5`, `[\"a\"]`) or text; put quotes around a number that is text: `'\"0815\"'`.
  Their names are written in small letters; give the table as JSON where a plugin wants others.

Unknown keys and wrong values keep the host from starting. `zotify-host config check` names all of them at once, with
their places; `zotify-host config show` shows what is in effect and where it came from.
";

/// The page, in Markdown.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    sections(&mut page, "", schema::document());
    page
}

fn sections(page: &mut String, name: &str, table: &Value) {
    for (key, schema) in properties(table) {
        let name = if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
        if is_section(schema) {
            section(page, &name, description(schema), schema);
            sections(page, &name, schema);
        } else if let Some(entry) = schema.get("additionalProperties").filter(|entry| is_section(entry)) {
            section(page, &format!("{name}.<id>"), description(schema), entry);
        }
    }
}

fn section(page: &mut String, name: &str, about: &str, table: &Value) {
    let _ = write!(
        page,
        "\n## [{name}]\n\n{}\n\n| key | value | default | meaning |\n| --- | --- | --- | --- |\n",
        one_line(about)
    );
    for (key, schema) in properties(table).filter(|(_, schema)| !is_section(schema)) {
        let required = table["required"].as_array().is_some_and(|required| required.iter().any(|name| name == key));
        let default = match schema.get("default").filter(|default| !default.is_null()) {
            Some(default) => format!("`{}`", toml_literal(default)),
            None if required => "required".into(),
            None => String::new(),
        };
        let _ = writeln!(page, "| `{key}` | {} | {default} | {} |", value(schema), one_line(description(schema)));
    }
}

fn description(schema: &Value) -> &str {
    schema.get("description").and_then(Value::as_str).unwrap_or_default()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// What may stand there.
fn value(schema: &Value) -> String {
    let words = choices(schema);
    if !words.is_empty() {
        return words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    }
    match (type_of(schema), schema.get("minimum"), schema.get("maximum")) {
        ("integer", Some(min), Some(max)) => format!("{min} to {max}"),
        ("integer", _, _) => "whole number".into(),
        ("boolean", _, _) => "`true`, `false`".into(),
        ("array", _, _) => "list of texts".into(),
        ("object", _, _) => "table".into(),
        _ => "text".into(),
    }
}

/// A JSON value as TOML.
pub(super) fn toml_literal(value: &Value) -> String {
    match value {
        Value::String(text) => toml::Value::String(text.clone()).to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(toml_literal).collect::<Vec<_>>().join(", ")),
        Value::Object(_) => "{}".into(),
        other => other.to_string(),
    }
}
