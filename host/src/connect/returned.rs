//! Addresses that browsers come back to from a service.

use url::{Position, Url};
use zotify_plugin_api::SetupExternal;

use super::{callback, hash};
use crate::{
    db::setup_flows::FlowRow,
    error::{ApiError, ApiResult},
};

/// The longest address, in bytes.
const MAX: usize = 8192;

fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// What names the flow in an address.
pub fn state(url: &str) -> Option<String> {
    let url = Url::parse(url).ok().filter(|_| url.len() <= MAX)?;
    parameter(&url, "state")
}

/// The address, if it is the one that the flow's browser came back to: the redirect itself, or the host's own page under
/// whatever name.
pub(super) fn check(url: &str, row: &FlowRow, external: &SetupExternal) -> ApiResult<Url> {
    let wrong = || {
        let detail = "this is not where the service sends the browser; paste the whole address that it ended at";
        ApiError::bad_request("wrong_address", detail)
    };
    let returned = Url::parse(url.trim()).ok().filter(|_| url.len() <= MAX).ok_or_else(wrong)?;
    let mut redirect = Url::parse(&external.redirect).map_err(ApiError::internal)?;
    let is_page = ["http", "https"].contains(&returned.scheme()) && returned.path().ends_with(&callback(&row.instance));
    if !is_page && !is_same(&returned, &redirect) {
        return Err(wrong());
    }
    let state = parameter(&returned, "state");
    if state.map(|state| hash(&state)) != row.state_hash {
        let detail = "this address belongs to another sign-in, or was used already; open the service's page again";
        return Err(ApiError::bad_request("invalid_state", detail));
    }
    redirect.set_query(returned.query());
    Ok(redirect)
}

/// Whether two addresses differ in nothing but what stands after the path.
fn is_same(one: &Url, other: &Url) -> bool {
    one[..Position::AfterPath] == other[..Position::AfterPath]
}

/// Whether somebody refused at the service (RFC 6749 §4.1.2.1).
pub fn is_denied(url: &Url) -> bool {
    parameter(url, "error").is_some_and(|error| error == "access_denied")
}
