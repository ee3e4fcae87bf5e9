//! The one error type of the plugin boundary.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Result of everything that a plugin answers.
pub type Result<T, E = ProviderError> = std::result::Result<T, E>;

/// What went wrong, in terms that the host can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The provider has no such feature. Not a fault; never retried.
    Unsupported,
    /// The item does not exist, or not any more.
    NotFound,
    /// The request makes no sense to the provider.
    InvalidRequest,
    /// The account must sign in again.
    AuthRequired,
    /// The service refuses this to the account (plan, region, quota class); signing in again would not help.
    Restricted,
    /// The service asks to wait; `retry_after_ms` says how long, where it is known.
    RateLimited,
    /// The service, a folder or the network is not reachable now.
    Unavailable,
    /// The service's reply could not be understood.
    BadUpstream,
    /// The item changed meanwhile; read it again and decide anew.
    Conflict,
    /// A permission that the manifest does not ask for, or that the admin did not grant.
    PermissionDenied,
    /// Something is larger than a limit.
    TooLarge,
    /// The deadline passed. Made by the host.
    Timeout,
    /// The caller went away. Made by the host.
    Cancelled,
    /// The plugin panicked. Made by the SDK.
    Panicked,
    /// The plugin's process ended during the call. Made by the host.
    Crashed,
    /// A bug in the plugin.
    Internal,
    /// A kind that this build does not know.
    #[serde(other)]
    Unknown,
}

/// An error that a provider or automation answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderError {
    /// What the host acts on.
    pub kind: ErrorKind,
    /// One sentence for people. Must hold no secret.
    #[serde(default)]
    pub message: String,
    /// The provider's own reason code (`premium_required`, `folder_missing`, …), `[a-z0-9_]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// How long to wait before trying again, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl ProviderError {
    /// An error of the given kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), code: None, retry_after_ms: None }
    }

    /// The provider has no such feature.
    pub fn unsupported(what: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Unsupported, format!("this provider does not offer {what}"))
    }

    /// There is no such item.
    pub fn not_found(what: impl fmt::Display) -> Self {
        Self::new(ErrorKind::NotFound, format!("{what} was not found"))
    }

    /// The service, a folder or the network is not reachable now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// The request makes no sense.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidRequest, message)
    }

    /// A bug in the plugin.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Internal, message.to_string())
    }

    /// Adds the provider's own reason code.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Adds how long to wait.
    #[must_use]
    pub fn with_retry_after_ms(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ProviderError {}
