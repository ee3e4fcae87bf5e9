//! Forms made of a JSON Schema, and values made of what a browser sends for them.

use std::collections::HashMap;

use serde_json::{Map, Number, Value};

use crate::error::FieldError;

/// Stands before the name of each field, so that none can be taken for another part of the request.
const PREFIX: &str = "value.";

/// A field as the page shows it.
pub(super) struct Field {
    /// Its id within the page.
    pub(super) id: String,
    /// Its name in the request.
    pub(super) name: String,
    pub(super) label: String,
    pub(super) help: String,
    /// `checkbox`, `select`, `textarea`, or a type of HTML's `input`.
    pub(super) control: &'static str,
    /// What stands in it; never a secret.
    pub(super) value: String,
    pub(super) checked: bool,
    pub(super) required: bool,
    /// Shown, and not to be changed.
    pub(super) read_only: bool,
    pub(super) max_length: Option<u64>,
    pub(super) min: String,
    pub(super) max: String,
    pub(super) options: Vec<String>,
    /// What was wrong with what was sent.
    pub(super) error: Option<String>,
}

impl Field {
    /// What describes the field within the page, for screen readers.
    pub(super) fn described_by(&self) -> String {
        let parts = [(!self.help.is_empty(), "help"), (self.error.is_some(), "error")];
        let ids = parts.iter().filter(|(there, _)| *there).map(|(_, part)| format!("{}-{part}", self.id));
        ids.collect::<Vec<_>>().join(" ")
    }
}

/// The fields of a form, with the values that were given before and what was wrong with them.
pub(super) fn fields(schema: &Value, values: &Value, errors: &[FieldError]) -> Vec<Field> {
    let required = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    let properties = schema["properties"].as_object().into_iter().flatten().enumerate();
    let field = |(at, (name, property)): (usize, (&String, &Value))| {
        let given = values.get(name).or_else(|| property.get("default"));
        let required = required.iter().any(|one| one == name);
        let place = format!("values.{name}");
        let wrong: Vec<_> = errors.iter().filter(|error| error.field == place).map(|one| one.detail.as_str()).collect();
        let text = |key: &str| property[key].as_str().unwrap_or_default().to_owned();
        let control = control(property);
        Field {
            id: format!("field-{at}"),
            name: format!("{PREFIX}{name}"),
            label: property["title"].as_str().unwrap_or(name).to_owned(),
            help: text("description"),
            value: given.filter(|_| control != "password").map(plain).unwrap_or_default(),
            checked: given == Some(&Value::Bool(true)),
            required: required && control != "checkbox",
            read_only: property["readOnly"] == true,
            max_length: property["maxLength"].as_u64(),
            min: plain(&property["minimum"]),
            max: plain(&property["maximum"]),
            options: property["enum"].as_array().into_iter().flatten().map(plain).collect(),
            error: (!wrong.is_empty()).then(|| wrong.join("; ")),
            control,
        }
    };
    properties.map(field).collect()
}

fn control(property: &Value) -> &'static str {
    let is = |key: &str, value: &str| property[key] == value;
    match () {
        () if property["enum"].is_array() => "select",
        () if is("type", "boolean") => "checkbox",
        () if is("type", "integer") || is("type", "number") => "number",
        () if property["writeOnly"] == true || is("format", "password") => "password",
        () if is("format", "textarea") => "textarea",
        () if is("format", "uri") => "url",
        () if is("format", "email") => "email",
        () => "text",
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Whether a field says what is wrong.
pub(super) fn says(fields: &[Field], error: &FieldError) -> bool {
    let place = error.field.strip_prefix("values.");
    place.is_some_and(|name| fields.iter().any(|field| field.name.strip_prefix(PREFIX) == Some(name)))
}

/// The values that a browser sent. One that is not of its field's type stays text, so that the check against the schema
/// tells what is wrong; an empty one was left out.
pub(super) fn values(schema: &Value, sent: &HashMap<String, String>) -> Value {
    let mut values = Map::new();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let text = sent.get(&format!("{PREFIX}{name}")).map_or("", String::as_str);
        let value = match property["type"].as_str() {
            Some("boolean") => Some(Value::Bool(!text.is_empty() && text != "false")),
            _ if text.is_empty() => None,
            Some("integer") => Some(text.trim().parse::<i64>().map_or_else(|_| text.into(), Value::from)),
            Some("number") => Some(number(text).unwrap_or_else(|| text.into())),
            _ => Some(text.into()),
        };
        values.extend(value.map(|value| (name.clone(), value)));
    }
    values.into()
}

fn number(text: &str) -> Option<Value> {
    let text = text.trim();
    text.parse::<i64>().map(Value::from).ok().or_else(|| Number::from_f64(text.parse().ok()?).map(Value::Number))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "type": "object", "required": ["url", "word", "on"],
            "properties": {
                "url": {"type": "string", "format": "uri", "title": "Address", "description": "Of the server", "maxLength": 200},
                "word": {"type": "string", "writeOnly": true, "default": "not shown"},
                "kind": {"type": "string", "enum": ["a", "b"], "default": "b"},
                "port": {"type": "integer", "minimum": 1, "maximum": 65535},
                "factor": {"type": "number"},
                "on": {"type": "boolean", "default": true},
                "list": {"type": "string", "format": "textarea", "readOnly": true, "default": "a\nb"},
            },
        })
    }

    #[test]
    fn each_type_has_its_control() {
        let error = |detail: &str| FieldError { field: "values.port".into(), code: "x".into(), detail: detail.into() };
        let errors = [error("too large"), error("too odd")];
        let fields = fields(&schema(), &json!({"port": 70000, "word": "secret"}), &errors);
        let controls: Vec<_> = fields.iter().map(|field| field.control).collect();
        assert_eq!(controls, ["url", "password", "select", "number", "number", "checkbox", "textarea"]);
        assert_eq!((fields[0].label.as_str(), fields[0].max_length, fields[0].required), ("Address", Some(200), true));
        assert_eq!((fields[1].label.as_str(), fields[1].value.as_str()), ("word", ""));
        assert_eq!((fields[2].value.as_str(), fields[2].options.len()), ("b", 2));
        assert_eq!((fields[3].value.as_str(), fields[3].max.as_str()), ("70000", "65535"));
        assert_eq!(fields[3].error.as_deref(), Some("too large; too odd"));
        assert_eq!(fields[3].described_by(), "field-3-error");
        assert!(fields[5].checked && !fields[5].required);
        assert_eq!((fields[6].value.as_str(), fields[6].read_only, fields[5].read_only), ("a\nb", true, false));
    }

    #[test]
    fn what_a_browser_sends_becomes_what_the_schema_says() {
        let sent = |pairs: &[(&str, &str)]| {
            let sent = pairs.iter().map(|(name, text)| (format!("value.{name}"), (*text).to_owned())).collect();
            values(&schema(), &sent)
        };
        assert_eq!(
            sent(&[
                ("url", "https://a"),
                ("word", " x "),
                ("port", "80"),
                ("factor", "0.5"),
                ("on", "true"),
                ("more", "1")
            ]),
            json!({"url": "https://a", "word": " x ", "port": 80, "factor": 0.5, "on": true})
        );
        assert_eq!(
            sent(&[("url", ""), ("port", "many"), ("factor", "NaN")]),
            json!({"port": "many", "factor": "NaN", "on": false})
        );
    }
}
