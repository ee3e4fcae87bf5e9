//! The published contract, as far as the simulator needs it: which operations there are, and which are deprecated.

use std::{collections::BTreeMap, sync::OnceLock};

use serde::Deserialize;

/// The document: data of <https://github.com/sonallux/spotify-web-api>.
pub const DOCUMENT: &str = include_str!("../openapi.yml");

#[derive(Deserialize)]
struct Document {
    paths: BTreeMap<String, BTreeMap<String, serde_yaml_ng::Value>>,
}

/// An operation of the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Such as `GET`.
    pub method: String,
    /// Such as `/me/tracks` or `/playlists/{playlist_id}/items`.
    pub path: String,
    /// Whether new clients are told not to use it.
    pub deprecated: bool,
}

/// All operations of the contract.
pub fn operations() -> &'static [Operation] {
    static OPERATIONS: OnceLock<Vec<Operation>> = OnceLock::new();
    OPERATIONS.get_or_init(|| {
        let document: Document = serde_yaml_ng::from_str(DOCUMENT).expect("the document is part of the program");
        let methods = ["get", "put", "post", "delete"];
        let all = document.paths.into_iter().flat_map(|(path, operations)| {
            let known = operations.into_iter().filter(move |(method, _)| methods.contains(&method.as_str()));
            known.map(move |(method, operation)| Operation {
                method: method.to_uppercase(),
                path: path.clone(),
                deprecated: operation.get("deprecated").and_then(serde_yaml_ng::Value::as_bool).unwrap_or_default(),
            })
        });
        all.collect()
    })
}

/// The operation that a request asks for. `path` begins after `/v1`.
pub fn operation(method: &str, path: &str) -> Option<&'static Operation> {
    // `/me/library/contains` before `/me/{what}`: the template with the fewest variables.
    let fitting = operations().iter().filter(|o| o.method == method && fits(&o.path, path));
    fitting.min_by_key(|o| o.path.matches('{').count())
}

fn fits(template: &str, path: &str) -> bool {
    let (mut template, mut path) = (template.split('/'), path.split('/'));
    loop {
        match (template.next(), path.next()) {
            (None, None) => return true,
            (Some(part), Some(given)) if part == given || part.starts_with('{') && !given.is_empty() => {}
            _ => return false,
        }
    }
}
