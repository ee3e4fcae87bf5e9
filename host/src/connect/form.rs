//! Forms of flows: which schemas a plugin may ask with, and whether values fit.

use jsonschema::{PatternOptions, Validator, error::ValidationErrorKind};
use serde_json::{Map, Value};

use crate::error::{ApiError, ApiResult, FieldError};

/// The longest schema, in bytes.
const MAX_SCHEMA: usize = 16 << 10;
/// The fields of a form.
const MAX_FIELDS: usize = 30;
/// The longest value, in characters, of a field that asks for no longer ones by its `maxLength`; and the longest that
/// it can ask for.
const MAX_VALUE: usize = 8192;
const MAX_LONG_VALUE: usize = 256 << 10;
/// Keywords that would make a form deeper, or refer to elsewhere.
const DEEP: [&str; 9] =
    ["$ref", "$dynamicRef", "$recursiveRef", "$defs", "definitions", "$id", "$schema", "items", "if"];
/// What a field may be.
const TYPES: [&str; 4] = ["string", "integer", "number", "boolean"];

/// Makes sure that a schema is one that a form can be made of: an object with flat properties.
///
/// # Errors
/// What is wrong with it, to stand behind "the plugin's step".
pub fn check_schema(schema: &Value) -> Result<(), String> {
    let fields = schema.get("properties").and_then(Value::as_object);
    let Some(fields) = fields.filter(|_| schema.get("type").and_then(Value::as_str) == Some("object")) else {
        return Err("has a form that is no object".into());
    };
    if fields.len() > MAX_FIELDS || schema.to_string().len() > MAX_SCHEMA {
        return Err("has a form that is too large".into());
    }
    for (name, field) in fields {
        let kind = field.get("type").and_then(Value::as_str).unwrap_or_default();
        if !TYPES.contains(&kind) || name.chars().any(char::is_control) || name.chars().count() > 64 {
            return Err("has a form with a field that is no plain value".into());
        }
    }
    if refers(schema, 0) {
        return Err("has a form that refers to elsewhere".into());
    }
    validator(schema).map(drop)
}

fn refers(schema: &Value, depth: usize) -> bool {
    match schema {
        _ if depth > 6 => true,
        // The names of fields are anybody's.
        Value::Object(map) => map.iter().any(|(key, value)| match value.as_object() {
            Some(fields) if key == "properties" => fields.values().any(|field| refers(field, depth + 1)),
            _ => DEEP.contains(&key.as_str()) || refers(value, depth + 1),
        }),
        Value::Array(list) => list.iter().any(|value| refers(value, depth + 1)),
        _ => false,
    }
}

fn validator(schema: &Value) -> Result<Validator, String> {
    // Without backtracking, so that no value takes for ever.
    let options = jsonschema::options().with_pattern_options(PatternOptions::regex());
    options.build(schema).map_err(|error| format!("has a form with a broken schema: {}", error.masked()))
}

/// Checks the values of a form. No value stands in the answer: some are secrets.
///
/// # Errors
/// 422 `validation_failed` with every field that is wrong.
pub fn check(schema: &Value, values: &Value) -> ApiResult<()> {
    let fields = schema.get("properties").and_then(Value::as_object);
    let (Some(fields), Some(given)) = (fields, values.as_object()) else {
        return Err(ApiError::invalid(vec![fault("", "type", "the values are not an object".into())]));
    };
    let mut faults = Vec::new();
    for (name, value) in given {
        let place = format!("values.{name:.64}");
        let Some(field) = fields.get(name) else {
            faults.push(fault(&place, "unknown", "the form has no such field".into()));
            continue;
        };
        let most = longest(field);
        if value.as_str().is_some_and(|text| text.chars().count() > most || text.contains('\0')) {
            faults.push(fault(&place, "too_long", format!("at most {most} characters, and no NUL")));
        }
    }
    if faults.is_empty() {
        let validator = validator(schema).map_err(ApiError::internal)?;
        faults.extend(validator.iter_errors(values).take(MAX_FIELDS).map(|error| {
            let place = match error.kind() {
                ValidationErrorKind::Required { property } => property.as_str().map(str::to_owned),
                _ => None,
            };
            let path = error.instance_path().to_string();
            let place = place.unwrap_or_else(|| path.trim_start_matches('/').to_owned());
            fault(&format!("values.{place}"), error.kind().keyword(), error.masked().to_string())
        }));
    }
    faults.truncate(MAX_FIELDS);
    if faults.is_empty() { Ok(()) } else { Err(ApiError::invalid(faults)) }
}

/// How many characters a field takes.
fn longest(field: &Value) -> usize {
    let asked = field.get("maxLength").and_then(Value::as_u64).and_then(|most| usize::try_from(most).ok());
    asked.unwrap_or_default().clamp(MAX_VALUE, MAX_LONG_VALUE)
}

fn fault(field: &str, code: &str, detail: String) -> FieldError {
    FieldError { field: field.trim_end_matches('.').to_owned(), code: code.to_owned(), detail }
}

/// The values that may be shown again.
pub fn without_secrets(schema: &Value, values: Value) -> Value {
    let secret = |name: &str| {
        let field = schema.get("properties").and_then(|fields| fields.get(name));
        field.is_none_or(|field| field.get("writeOnly") == Some(&Value::Bool(true)))
    };
    match values {
        Value::Object(map) => map.into_iter().filter(|(name, _)| !secret(name)).collect::<Map<String, Value>>().into(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_form_is_flat_and_refers_to_nothing() {
        let form = |fields: Value| json!({"type": "object", "properties": fields});
        assert_eq!(
            check_schema(&form(json!({"name": {"type": "string", "pattern": "^a+$"}, "$ref": {"type": "boolean"}}))),
            Ok(())
        );
        for bad in [
            json!({}),
            json!({"type": "array"}),
            form(json!({"a": {"type": "object"}})),
            form(json!({"a": {}})),
            form(json!({"a": {"type": "string", "$ref": "https://example.org/schema"}})),
            form(json!({"a": {"type": "string", "anyOf": [{"$ref": "#"}]}})),
            form(json!({"a": {"type": "string", "pattern": "(a"}})),
            form(json!({"a": {"type": "string", "pattern": "(a)\\1"}})),
            form(json!({"a": {"type": "string", "description": "x".repeat(MAX_SCHEMA)}})),
            form((0..31).map(|n| (n.to_string(), json!({"type": "string"}))).collect::<Map<_, _>>().into()),
        ] {
            assert!(check_schema(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn wrong_values_are_named_by_field_and_never_shown() {
        let schema = json!({
            "type": "object", "required": ["name", "word"],
            "properties": {"name": {"type": "string", "minLength": 2}, "word": {"type": "string", "maxLength": 3, "writeOnly": true}},
        });
        let faults = |values: Value| {
            let problem = check(&schema, &values).unwrap_err().problem();
            assert!(!serde_json::to_string(&problem).unwrap().contains("geheim"));
            problem.errors.into_iter().map(|fault| (fault.field, fault.code)).collect::<Vec<_>>()
        };
        let pair = |field: &str, code: &str| (field.to_owned(), code.to_owned());
        assert!(check(&schema, &json!({"name": "ab", "word": "abc"})).is_ok());
        assert_eq!(faults(json!({"name": "ab"})), [pair("values.word", "required")]);
        assert_eq!(faults(json!({"name": "ab", "word": "geheim"})), [pair("values.word", "maxLength")]);
        assert_eq!(faults(json!({"name": "geheim", "word": "a", "x": 1})), [pair("values.x", "unknown")]);
        assert_eq!(faults(json!(["geheim"])), [pair("", "type")]);
        let list = json!({"type": "object", "properties": {"list": {"type": "string", "maxLength": 1 << 30}, "a": {"type": "string"}}});
        let long = |name: &str, length: usize| check(&list, &json!({name: "x".repeat(length)})).is_ok();
        assert!(long("a", MAX_VALUE) && !long("a", MAX_VALUE + 1));
        assert!(long("list", MAX_LONG_VALUE) && !long("list", MAX_LONG_VALUE + 1), "a list may be longer");
        assert_eq!(without_secrets(&schema, json!({"name": "ab", "word": "abc"})), json!({"name": "ab"}));
    }
}
