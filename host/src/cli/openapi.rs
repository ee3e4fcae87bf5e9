//! `openapi`: prints the OpenAPI document.

use super::{CliResult, Failure, print};
use crate::openapi;

pub(super) const AFTER_HELP: &str = "Example:\n  zotify-host openapi > openapi.json";

pub(super) fn run() -> CliResult {
    let document = openapi::document("").to_pretty_json().map_err(|error| Failure::new(error.to_string()))?;
    print(&format!("{document}\n"))
}
