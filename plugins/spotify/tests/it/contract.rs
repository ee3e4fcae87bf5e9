//! What is called, held against Spotify's own document.

use std::collections::BTreeSet;

use serde_yaml_ng::Value;
use zotify_plugin_spotify::endpoints::{ALL, SCOPES};

fn document() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/spotify-simulator/openapi.yml");
    serde_yaml_ng::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn no_operation_is_deprecated_or_unknown() {
    let document = document();
    let mut seen = 0;
    for operation in ALL {
        let method = operation.method.to_ascii_lowercase();
        let found = &document["paths"][operation.path][method.as_str()];
        assert!(found.is_mapping(), "{} {} is not in the document", operation.method, operation.path);
        assert_ne!(found["deprecated"].as_bool(), Some(true), "{} {} is deprecated", operation.method, operation.path);
        seen += 1;
    }
    assert!(seen >= 25);
    // The document marks what is deprecated: a test without that could not fail.
    assert_eq!(document["paths"]["/me/tracks"]["put"]["deprecated"].as_bool(), Some(true));
}

#[test]
fn every_scope_is_one_of_spotifys() {
    let document = document();
    let scopes = &document["components"]["securitySchemes"]["oauth_2_0"]["flows"]["authorizationCode"]["scopes"];
    let known: BTreeSet<&str> = scopes.as_mapping().unwrap().keys().filter_map(Value::as_str).collect();
    for scope in SCOPES {
        assert!(known.contains(scope), "{scope}");
    }
}
