//! Requests that are right but for who sends them, made from the document's schemas.

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::fixtures::World;
use crate::support::PASSWORD;

/// Bodies that a schema can't tell.
fn special(method: &Method, path: &str) -> Option<Value> {
    Some(match (method.as_str(), path) {
        ("POST", "/api/auth/password") => {
            json!({"current_password": PASSWORD, "new_password": "another long password"})
        }
        ("POST", "/api/user/keys") => json!({"name": "ci", "scopes": ["profile"]}),
        ("POST", "/api/admin/users") => json!({"name": "made-by-the-matrix", "password": PASSWORD}),
        ("POST", "/api/auth/login") => json!({"username": "nobody", "password": PASSWORD}),
        ("POST", "/api/accounts/flows") => json!({"provider": "local"}),
        ("POST", "/api/auth/{provider}/callback") => {
            json!({"url": "http://127.0.0.1/api/auth/local/callback?code=a&state=matrix"})
        }
        ("POST", "/api/sync") => json!({}),
        _ => return None,
    })
}

/// A body that the operation takes; none where it may be left out.
pub fn body(document: &Value, method: &Method, path: &str, operation: &Value, world: &World) -> Option<Value> {
    let body = &operation["requestBody"];
    if body["required"] != true {
        return None;
    }
    let schema = &body["content"]["application/json"]["schema"];
    Some(special(method, path).unwrap_or_else(|| sample(document, "", schema, world)))
}

/// The query parameters that the operation must have.
pub fn query(path: &str, operation: &Value) -> String {
    // M3U holds links to the audio, which are worth another scope.
    if path.ends_with("/export") && path.starts_with("/api/playlists/") {
        return "?format=json".into();
    }
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let required = parameters.filter(|one| one["in"] == "query" && one["required"] == true);
    let pairs: Vec<_> = required.map(|one| format!("{}=a", one["name"].as_str().unwrap())).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

/// A value that a schema takes, with as little as it must have.
fn sample(document: &Value, name: &str, schema: &Value, world: &World) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        return sample(document, name, document.pointer(&reference[1..]).unwrap(), world);
    }
    if name == "uri" || name == "uris" && !schema["items"].is_object() {
        return json!(world.track);
    }
    for known in ["const", "example", "default"] {
        if let Some(value) = schema.get(known).filter(|value| !value.is_null()) {
            return value.clone();
        }
    }
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    for list in ["oneOf", "anyOf"] {
        if let Some(one) = schema[list].as_array().and_then(|all| all.iter().find(|one| one["type"] != "null")) {
            return sample(document, name, one, world);
        }
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let parts = parts.iter().map(|part| sample(document, name, part, world));
        return parts.filter_map(|part| part.as_object().cloned()).flatten().collect::<Map<_, _>>().into();
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().find(|kind| *kind != "null").and_then(Value::as_str),
        kind => kind.as_str(),
    };
    match kind {
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        Some("boolean") => json!(true),
        Some("array") => json!([sample(document, name, &schema["items"], world)]),
        Some("object") => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let field = |key: &str| (key.to_owned(), sample(document, key, &schema["properties"][key], world));
            required.map(field).collect::<Map<_, _>>().into()
        }
        _ => match schema["format"].as_str() {
            Some("password") => json!(PASSWORD),
            Some("email") => json!("somebody@example.org"),
            Some("date-time") => json!(zotify_host::api::rfc3339(zotify_host::db::now_ms() + 3_600_000)),
            _ => json!("sample"),
        },
    }
}
