//! `docs/endpoints.yaml`, the router and `docs/openapi.json` say the same.

use std::{collections::BTreeSet, path::Path};

use reqwest::Method;
use serde::Deserialize;
use zotify_host::openapi;

use crate::support::TestApp;

/// A line of `docs/endpoints.yaml`.
#[derive(Deserialize)]
pub struct Endpoint {
    pub method: String,
    pub path: String,
    pub auth: String,
    scope: Option<String>,
    status: String,
    purpose: String,
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

pub fn endpoints() -> Vec<Endpoint> {
    let text = std::fs::read_to_string(repository().join("docs/endpoints.yaml")).unwrap();
    serde_yaml_ng::from_str(&text).unwrap()
}

/// Method, path and scope of every documented operation.
fn documented() -> BTreeSet<(String, String, Option<String>)> {
    let document = serde_json::to_value(openapi::document("")).unwrap();
    let mut found = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(_, op)| op["responses"].is_object()) {
            let scope = operation["security"].as_array().and_then(|all| all.first());
            let scope = scope.and_then(|one| one["bearer"][0].as_str()).map(Into::into);
            found.insert((method.to_uppercase(), path.clone(), scope));
        }
    }
    found
}

#[test]
fn the_list_is_complete_and_says_what_the_document_says() {
    let listed: BTreeSet<_> =
        endpoints().into_iter().filter(|e| e.status == "implemented").map(|e| (e.method, e.path, e.scope)).collect();
    let documented = documented();
    let missing: Vec<_> = listed.difference(&documented).collect();
    let unlisted: Vec<_> = documented.difference(&listed).collect();
    assert!(missing.is_empty() && unlisted.is_empty(), "not in OpenAPI: {missing:#?}\nnot listed: {unlisted:#?}");
}

#[test]
fn every_entry_is_whole() {
    let mut seen = BTreeSet::new();
    for e in endpoints() {
        assert!(["implemented", "planned"].contains(&e.status.as_str()), "{}", e.path);
        assert!(["none", "user", "session", "admin", "cookie"].contains(&e.auth.as_str()), "{}", e.path);
        assert_eq!(
            e.scope.is_some(),
            ["user", "session", "admin"].contains(&e.auth.as_str()),
            "{} {}",
            e.method,
            e.path
        );
        assert!(e.purpose.ends_with('.'), "{}", e.path);
        assert!(seen.insert((e.method.clone(), e.path.clone())), "twice: {} {}", e.method, e.path);
    }
}

#[tokio::test]
async fn every_implemented_endpoint_is_routed_and_guarded() {
    let host = TestApp::start().await;
    for e in endpoints() {
        let path = e.path.replace("{uri}", "local:track:x").replace("{kind}", "tracks").replace(['{', '}'], "");
        let method: Method = e.method.parse().unwrap();
        let reply = host.send(host.request(method.clone(), &path)).await;
        if e.status == "planned" {
            assert!([401, 404, 405].contains(&reply.status.as_u16()), "{method} {path} is planned: {}", reply.status);
            continue;
        }
        let unrouted = reply.status == 404 && (method == Method::HEAD || reply.json()["code"] == "route_not_found");
        assert!(!unrouted && reply.status != 405, "{method} {path}: {}", reply.status);
        if ["user", "admin", "session"].contains(&e.auth.as_str()) {
            assert_eq!(reply.status, 401, "{method} {path} must want a sign-in");
            assert_eq!(reply.header("www-authenticate"), "Bearer realm=\"zotify\"");
            if method != Method::HEAD {
                reply.expect_problem(401, "missing_credentials");
            }
        }
    }
}

#[test]
fn the_committed_document_is_fresh() {
    let path = repository().join("docs/openapi.json");
    let fresh = serde_json::to_string_pretty(&openapi::document("")).unwrap() + "\n";
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(&path, &fresh).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == fresh, "docs/openapi.json is stale: run `make generate`");
}

#[test]
fn parameters_are_plain_values() {
    let document = serde_json::to_value(openapi::document("")).unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let schema = parameter["schema"].to_string();
                assert!(!schema.contains("\"object\""), "{method} {path}: no query holds {schema}");
            }
        }
    }
}

#[test]
fn operation_ids_are_unique_and_described() {
    let document = serde_json::to_value(openapi::document("")).unwrap();
    let tags: Vec<_> = document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    assert_eq!(tags.iter().collect::<BTreeSet<_>>().len(), tags.len(), "a tag stands twice: {tags:?}");
    let mut seen = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(_, op)| op["responses"].is_object()) {
            let id = operation["operationId"].as_str().unwrap_or_default();
            assert!(seen.insert(id.to_owned()), "{method} {path} has no operationId of its own: {id}");
            assert!(operation["summary"].is_string(), "{method} {path} has no summary");
            let tag = operation["tags"][0].as_str().unwrap_or_default();
            assert!(tags.contains(&tag), "{method} {path} has the tag {tag:?}, which the document does not explain");
            for (status, response) in operation["responses"].as_object().unwrap() {
                let described = response["description"].as_str().is_some_and(|text| !text.is_empty());
                assert!(described, "{method} {path} {status} has no description");
            }
        }
    }
}

/// Words of which there is a closed set are listed, so that clients can be made of the document.
#[test]
fn closed_sets_are_enumerations() {
    let document = serde_json::to_value(openapi::document("")).unwrap();
    let schemas = &document["components"]["schemas"];
    for (schema, property, words) in [
        ("Connection", "state", &["ok", "auth_required", "restricted", "failed"][..]),
        ("Connection", "completeness", &["complete", "partial", "failed"]),
        ("CapabilityView", "state", &["available", "restricted", "unsupported"]),
        ("UserConnection", "state", &["ok", "auth_required", "restricted", "failed"]),
        ("SyncRun", "state", &["running", "applied", "held", "failed"]),
        ("SyncRun", "completeness", &["complete", "partial", "failed"]),
        ("ChangedItem", "status", &["added", "removed", "unchanged", "failed"]),
        ("OpResult", "status", &["done", "failed", "not_tried"]),
    ] {
        let property = &schemas[schema]["properties"][property];
        let mut refs = std::iter::once(property).chain(property["oneOf"].as_array().into_iter().flatten());
        let name = refs.find_map(|one| one["$ref"].as_str()?.rsplit('/').next());
        let name = name.unwrap_or_else(|| panic!("{schema}: {property}"));
        let listed: Vec<_> = match schemas[name]["enum"].as_array() {
            Some(words) => words.iter().map(|word| word.as_str().unwrap()).collect(),
            None => {
                let one_of = schemas[name]["oneOf"].as_array().unwrap_or_else(|| panic!("{name}: {}", schemas[name]));
                one_of.iter().map(|one| one["enum"][0].as_str().unwrap()).collect()
            }
        };
        assert_eq!(listed, words, "{schema}");
    }
    let kinds = |path: &str, method: &str| -> Vec<String> {
        let content = document["paths"][path][method]["requestBody"]["content"].as_object().unwrap();
        content.keys().cloned().collect()
    };
    assert_eq!(kinds("/api/playlists/{uri}/image", "put"), ["image/jpeg", "image/png"]);
    assert_eq!(
        kinds("/api/auth/{provider}/callback", "post"),
        ["application/json", "application/x-www-form-urlencoded"]
    );
}
