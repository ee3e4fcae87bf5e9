//! Rules that a schema can't say.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;
use zotify_plugin_api::is_instance_id;

use super::{
    Problem, database,
    instance::RESERVED_IDS,
    layers::{Sources, dotted, join, place},
};

/// How permissions are spelt. Whether a plugin asks for one is seen when it is loaded.
const PERMISSIONS: [&str; 3] = ["files:<folder>", "hosts:<host>", "public-internet"];

/// Checks what stands in the sources, before defaults are filled in.
pub(super) fn check(value: &Value, sources: &Sources) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |pointer: &str, detail: String| {
        problems.push(Problem { place: place(sources, pointer), key: Some(dotted(pointer)), detail });
    };
    for section in ["/providers", "/automations"] {
        for id in value.pointer(section).and_then(Value::as_object).into_iter().flat_map(|table| table.keys()) {
            let pointer = join(section, id);
            if !is_instance_id(id) {
                add(&pointer, "an id is a small letter, then up to 31 small letters, digits and hyphens".into());
            } else if RESERVED_IDS.contains(&id.as_str()) {
                add(&pointer, "this id is reserved; choose another".into());
            } else if section == "/automations" && value.pointer(&join("/providers", id)).is_some() {
                add(&pointer, "a provider has the same id; choose another".into());
            }
            let granted = value.pointer(&join(&pointer, "permissions")).and_then(Value::as_array);
            for permission in granted.into_iter().flatten().filter_map(Value::as_str).filter(|p| !is_permission(p)) {
                let detail = format!("{permission:?} is no permission; there are {}", PERMISSIONS.join(", "));
                add(&join(&pointer, "permissions"), detail);
            }
        }
    }
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
    let key = text("/secrets/master_key");
    if text("/database/url").is_some_and(database::is_postgres) && key.is_none() {
        let detail = "PostgreSQL needs a key that all nodes share; make one with: openssl rand -base64 32";
        add("/secrets/master_key", detail.into());
    }
    if text("/server/mode") != Some("dev") && key.is_some_and(is_weak) {
        let detail = "the key is not random; make one with: openssl rand -base64 32 (server.mode = \"dev\" accepts it)";
        add("/secrets/master_key", detail.into());
    }
    let key = text("/auth/bootstrap_admin_key");
    if text("/server/mode") != Some("dev") && key.is_some_and(|key| different(key.bytes().collect()) < 16) {
        let detail =
            "the key is not random; make one with: zotify-host key generate (server.mode = \"dev\" accepts it)";
        add("/auth/bootstrap_admin_key", detail.into());
    }
    problems
}

fn is_permission(text: &str) -> bool {
    let of = |kind: &str| text.strip_prefix(kind).is_some_and(|what| !what.is_empty());
    text == "public-internet" || of("files:") || of("hosts:")
}

/// Whether a key was typed rather than drawn. Thirty-two random bytes are all printable, or show fewer than sixteen
/// different values, less often than once in a million million keys.
fn is_weak(key: &str) -> bool {
    let Ok(bytes) = BASE64_STANDARD.decode(key.trim()) else { return false };
    different(bytes.clone()) < 16 || bytes.iter().all(|b| (b' '..=b'~').contains(b))
}

/// How many different values there are.
fn different(mut bytes: Vec<u8>) -> usize {
    bytes.sort_unstable();
    bytes.dedup();
    bytes.len()
}
