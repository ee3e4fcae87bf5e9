//! The JSON Schema of the configuration, made from the structs, and the check against it.

use std::{net::SocketAddr, sync::LazyLock};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ipnet::IpNet;
use jsonschema::{ValidationError, Validator, error::ValidationErrorKind};
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};
use url::Url;

use super::{
    Config, Problem, database,
    layers::{Sources, dotted, join, keys, place},
};
use crate::auth::keys::is_key;

/// The schema of a value that only a plugin understands.
pub(super) static FREE: Value = Value::Bool(true);

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<Config>().to_value();
    drop_empty_defaults(&mut schema);
    schema
});

/// The JSON Schema (draft 2020-12) of `zotify.toml`.
pub fn document() -> &'static Value {
    &DOCUMENT
}

/// An empty text or nothing as a default means that the value is worked out; the description says how.
fn drop_empty_defaults(schema: &mut Value) {
    if let Value::Object(table) = schema {
        if table.get("default").is_some_and(|default| default.is_null() || default == "" || default.is_object()) {
            table.remove("default");
        }
        table.values_mut().for_each(drop_empty_defaults);
    }
}

/// What a key is, by its table's schema.
pub(super) enum Child {
    /// A fixed key.
    Key(&'static Value),
    /// An entry of a table whose keys are chosen by the admin.
    Entry(&'static Value),
    /// Something that only a plugin understands.
    Free,
    /// Not allowed there.
    None,
}

/// Looks a key up in a table's schema.
pub(super) fn child(schema: &'static Value, key: &str) -> Child {
    if is_free(schema) {
        return Child::Free;
    }
    if let Some(child) = schema.get("properties").and_then(|properties| properties.get(key)) {
        return Child::Key(child);
    }
    match schema.get("additionalProperties") {
        Some(entry) if entry.is_object() => Child::Entry(entry),
        Some(Value::Bool(false)) | None => Child::None,
        Some(_) => Child::Free,
    }
}

/// Whether only a plugin knows what is allowed here.
pub(super) fn is_free(schema: &Value) -> bool {
    schema.as_bool() == Some(true)
}

/// The type that a schema wants, without "or nothing".
pub(super) fn type_of(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::Array(types)) => types.iter().filter_map(Value::as_str).find(|t| *t != "null").unwrap_or("string"),
        Some(Value::String(one)) => one,
        _ => "string",
    }
}

/// The words that a schema allows, where it lists them.
pub(super) fn choices(schema: &Value) -> Vec<&str> {
    let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let described = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    listed.chain(described.filter_map(|one| one.get("const")?.as_str())).collect()
}

/// Says that a key is unknown, and which one may have been meant.
pub(super) fn unknown_key(schema: &Value, key: &str) -> String {
    let known: Vec<&str> = schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(|p| p.keys())
        .map(String::as_str)
        .collect();
    match nearest(key, &known) {
        Some(near) => format!("there is no such key; did you mean {near}?"),
        None if known.is_empty() => "there is no such key; the value is not a table".into(),
        None => format!("there is no such key; possible are {}", known.join(", ")),
    }
}

fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let scored = known.iter().map(|candidate| (strsim::jaro_winkler(word, candidate), *candidate));
    scored.filter(|(score, _)| *score > 0.8).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, candidate)| candidate)
}

/// A text that must be more than a text.
struct Format {
    name: &'static str,
    accepts: fn(&str) -> bool,
    expected: &'static str,
}

const FORMATS: &[Format] = &[
    Format {
        name: "socket-address",
        accepts: |text| text.parse::<SocketAddr>().is_ok(),
        expected: "must be an IP address and a port, such as 127.0.0.1:8080 or [::]:8080",
    },
    Format {
        name: "http-url",
        accepts: |text| {
            Url::parse(text).is_ok_and(|url| {
                matches!(url.scheme(), "http" | "https")
                    && url.has_host()
                    && url.username().is_empty()
                    && url.password().is_none()
                    && url.query().is_none()
                    && url.fragment().is_none()
            })
        },
        expected: "must be an http: or https: URL without user, query and fragment",
    },
    Format {
        name: "origin",
        accepts: |text| {
            text == "*"
                || Url::parse(text).is_ok_and(|url| {
                    matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text
                })
        },
        expected: "must be *, or a scheme, a host and perhaps a port in small letters, such as https://app.example.org",
    },
    Format {
        name: "network",
        accepts: |text| text.parse::<IpNet>().is_ok(),
        expected: "must be a network such as 127.0.0.1/32 or fd00::/8",
    },
    Format {
        name: "database-url",
        accepts: |text| {
            text.strip_prefix("sqlite:").is_some_and(|rest| !rest.trim_start_matches('/').is_empty())
                || (database::is_postgres(text) && Url::parse(text).is_ok())
        },
        expected: "must be sqlite://<file> or postgres://user:password@host/name",
    },
    Format {
        name: "master-key",
        accepts: |text| BASE64_STANDARD.decode(text.trim()).is_ok_and(|key| key.len() == 32),
        expected: "must be 32 bytes in base64; make one with: openssl rand -base64 32",
    },
    Format {
        name: "api-key",
        accepts: is_key,
        expected: "must be ztf_ and 43 characters of base64url; make one with: zotify-host key generate",
    },
    Format {
        name: "log-filter",
        accepts: |text| names_a_level(text) && EnvFilter::try_new(text).is_ok(),
        expected: "must be error, warn, info, debug, trace, or a filter such as info,zotify_host=debug",
    },
];

/// Whether a log filter says how much to log. Without that a mistyped level is the name of a module that is not there,
/// and the log stays empty.
fn names_a_level(filter: &str) -> bool {
    let level =
        |directive: &str| directive.rsplit('=').next().is_some_and(|level| level.trim().parse::<LevelFilter>().is_ok());
    filter.split(',').any(level)
}

/// Panics only when a struct of this module makes an invalid schema, which any test of it shows.
static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    let mut options = jsonschema::options().should_validate_formats(true);
    for format in FORMATS {
        options = options.with_format(format.name, format.accepts);
    }
    options.build(document()).expect("the configuration's schema is valid")
});

/// Every way in which a configuration breaks the schema.
pub(super) fn check(value: &Value, sources: &Sources) -> Vec<Problem> {
    let mut problems = Vec::new();
    for error in VALIDATOR.iter_errors(value) {
        let pointer = error.instance_path().as_str();
        let schema = schema_at(pointer);
        let mut add = |pointer: &str, detail: String| {
            problems.push(Problem { place: place(sources, pointer), key: Some(dotted(pointer)), detail });
        };
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                unexpected.iter().for_each(|key| add(&join(pointer, key), unknown_key(schema, key)));
            }
            ValidationErrorKind::Required { property } => {
                add(&join(pointer, property.as_str().unwrap_or_default()), "is missing".into());
            }
            _ => add(pointer, explain(&error, schema)),
        }
    }
    problems
}

/// The schema of the value at a pointer.
pub(super) fn schema_at(pointer: &str) -> &'static Value {
    keys(pointer).fold(document(), |schema, key| match child(schema, &key) {
        Child::Key(child) | Child::Entry(child) => child,
        Child::Free => &FREE,
        Child::None => schema.get("items").unwrap_or(&FREE),
    })
}

fn explain(error: &ValidationError<'_>, schema: &Value) -> String {
    let found = describe(error.instance(), schema);
    match error.kind() {
        ValidationErrorKind::Format { format } => {
            let expected =
                FORMATS.iter().find(|known| known.name == format).map_or("is not valid", |known| known.expected);
            format!("{expected}; found {found}")
        }
        ValidationErrorKind::Type { .. } => format!("must be {}; found {found}", type_in_words(schema)),
        ValidationErrorKind::Minimum { .. } | ValidationErrorKind::Maximum { .. } => {
            let (min, max) = (schema.get("minimum"), schema.get("maximum"));
            format!("must be from {} to {}; found {found}", min.unwrap_or(&json!(0)), max.unwrap_or(&json!("any")))
        }
        ValidationErrorKind::MinLength { .. } => "must not be empty".into(),
        ValidationErrorKind::MaxLength { limit } => format!("must have at most {limit} characters"),
        ValidationErrorKind::Enum { .. } | ValidationErrorKind::OneOfNotValid { .. } => {
            let choices = choices(schema);
            let near = error.instance().as_str().and_then(|word| nearest(word, &choices));
            let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            format!("must be one of {}; found {found}{hint}", choices.join(", "))
        }
        _ => error.masked().to_string(),
    }
}

fn type_in_words(schema: &Value) -> &'static str {
    match type_of(schema) {
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a table",
        _ => "text in quotes",
    }
}

/// What was found, without giving a secret away.
fn describe(value: &Value, schema: &Value) -> String {
    match value {
        _ if schema.get("writeOnly").is_some() => "something else".into(),
        Value::String(text) if text.chars().count() > 80 => "a long text".into(),
        Value::String(text) => format!("the text {text:?}"),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "a table".into(),
        Value::Null => "nothing".into(),
        other => other.to_string(),
    }
}
