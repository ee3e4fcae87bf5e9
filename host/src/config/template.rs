//! The `zotify.toml` that `config init` writes: every setting with its explanation and default, made from the schema.

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{docs::toml_literal, schema};
use crate::secrets::write_private;

const HEAD: &str = "\
# Configuration of the Zotify host. Settings that are commented out show their defaults.
#
# Every setting can also be given in the file .env beside this one, and in the environment, which goes before both:
#   ZOTIFY__SERVER__LISTEN=0.0.0.0:8080           two underscores stand for the dot
#   ZOTIFY__SECRETS__MASTER_KEY_FILE=/run/key     reads the value from a file
# Check with: zotify-host config check
";

const PROVIDERS: &str = "
# A provider. The name in brackets is yours to choose (small letters, digits, hyphens); it starts the address of
# everything that comes from there, such as local:track:…, so keep it.
";

/// The text, with the folders of the local music provider filled in.
pub fn text(music: &[String]) -> String {
    let mut text = HEAD.to_owned();
    sections(&mut text, "", schema::document());
    text.push_str(PROVIDERS);
    let folders: Vec<Value> = if music.is_empty() {
        vec!["~/Music".into()]
    } else {
        music.iter().map(|folder| folder.as_str().into()).collect()
    };
    let _ = write!(
        text,
        "[providers.local]\nplugin = \"local\"\nsettings = {{ folders = {} }}\n",
        toml_literal(&Value::Array(folders))
    );
    let instance = schema::document().pointer("/properties/providers/additionalProperties").unwrap_or(&Value::Null);
    let rest = properties(instance).filter(|(key, _)| !["plugin", "settings"].contains(key));
    rest.for_each(|(key, schema)| setting(&mut text, key, schema));
    text
}

/// The sections below a table, each with its settings.
fn sections(text: &mut String, name: &str, table: &Value) {
    for (key, schema) in properties(table).filter(|(_, schema)| is_section(schema)) {
        let name = if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
        text.push('\n');
        comment(text, schema);
        let _ = writeln!(text, "[{name}]");
        properties(schema)
            .filter(|(_, schema)| !is_section(schema))
            .for_each(|(key, schema)| setting(text, key, schema));
        sections(text, &name, schema);
    }
}

pub(super) fn properties(table: &Value) -> impl Iterator<Item = (&str, &Value)> {
    table.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(key, schema)| (key.as_str(), schema))
}

/// Whether a schema is a table with fixed keys.
pub(super) fn is_section(schema: &Value) -> bool {
    schema.get("properties").is_some()
}

fn setting(text: &mut String, key: &str, schema: &Value) {
    comment(text, schema);
    let _ = match schema.get("default").filter(|default| !default.is_null()) {
        Some(default) => writeln!(text, "# {key} = {}", toml_literal(default)),
        None => writeln!(text, "# {key} = {}", example(schema)),
    };
}

/// Something to start from where there is no default.
fn example(schema: &Value) -> &'static str {
    match (schema.get("format").and_then(Value::as_str), schema::type_of(schema)) {
        (Some("http-url"), _) => "\"https://music.example.org/zotify\"",
        (Some("database-url"), _) => "\"sqlite://data/zotify.db\"",
        (_, "object") => "{}",
        _ => "\"…\"",
    }
}

/// A description as comment lines.
fn comment(text: &mut String, schema: &Value) {
    let description = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let mut line = "#".to_owned();
    for word in description.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > 100 {
            let _ = writeln!(text, "{line}");
            line = "#".to_owned();
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(text, "{line}");
}

/// Writes the file as a whole or not at all, readable by its owner only: settings may hold passwords.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] when there is one and `replace` is not set; else what the file system says.
pub fn write(path: &Path, text: &str, replace: bool) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.new", std::process::id()));
    let draft = PathBuf::from(draft);
    let written = write_private(&draft, text).and_then(|()| {
        // A link fails where the name is taken; a rename replaces.
        if replace { fs::rename(&draft, path) } else { fs::hard_link(&draft, path) }
    });
    if !(replace && written.is_ok()) {
        let _ = fs::remove_file(&draft);
    }
    written
}
