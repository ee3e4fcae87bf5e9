//! What surrounds every request.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// A request and what the host says about it. Dereferences to the request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Call<T> {
    /// The id that the caller's HTTP request has in the logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The account that the call is made for; none where the provider signs in nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountContext>,
    /// How long the host waits for the answer, in milliseconds.
    #[serde(default)]
    pub deadline_ms: u64,
    /// Whether nobody waits for the answer: it may take less of a budget than a call that somebody waits for.
    #[serde(default)]
    pub background: bool,
    /// The request itself.
    pub request: T,
}

impl<T> Call<T> {
    /// The account's id.
    ///
    /// # Errors
    /// `auth_required` where the call is made for no account.
    pub fn account_id(&self) -> Result<&str, crate::ProviderError> {
        let none = || {
            crate::ProviderError::new(crate::ErrorKind::AuthRequired, "this needs an account")
                .with_code("account_required")
        };
        self.account.as_ref().map(|account| account.id.as_str()).ok_or_else(none)
    }
}

impl<T> Deref for Call<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.request
    }
}

/// The account that a call is made for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountContext {
    /// The host's id of the account; also the scope of its key-value entries.
    pub id: String,
}

/// Makes an instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateRequest {
    /// The instance's id, which is the first segment of its URIs.
    pub instance: String,
    /// Which provider or automation of the library.
    pub part: String,
    /// The settings as JSON text, already checked against the manifest's schema.
    pub settings: String,
    /// The protocol version that host and plugin agreed on.
    #[serde(default)]
    pub protocol: u32,
    /// The most detailed level that the host records: `error`, `warn`, `info`, `debug` or `trace`.
    #[serde(default)]
    pub log_level: String,
}
