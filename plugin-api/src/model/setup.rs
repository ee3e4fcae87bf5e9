//! Connecting an account: a setup flow of steps, which the host keeps between them.

use serde::{Deserialize, Serialize};

/// Goes one step on in a setup flow. The plugin keeps nothing between steps: what it needs again stands in the step that
/// it answered, as `memory`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SetupRequest {
    /// What the step before said to remember; none at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// What happened.
    pub input: SetupInput,
    /// A random text that names this flow to the service (`state` in OAuth); the host lets it be used once.
    pub state: String,
    /// A random secret of 64 characters of `[A-Za-z0-9_-]` that the host made for this flow: an OAuth code verifier.
    pub secret: String,
    /// Addresses that the service may send the browser back to, the best first: the host's own page where it has a public
    /// https address, then loopback addresses, from which the user copies the address back.
    #[serde(default)]
    pub redirects: Vec<String>,
    /// For signing in again: the credentials as they were, as JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
}

/// What happened since the last step.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum SetupInput {
    /// The flow starts.
    Start,
    /// The form was filled in.
    Form {
        /// The values as JSON text, already checked against the form's schema.
        values: String,
    },
    /// The browser came back from the service.
    Returned {
        /// The whole address that it came back to. The host has checked that its `state` is the flow's.
        url: String,
    },
    /// The user waits: look whether there is news.
    Poll,
    /// One that this build does not know: answer `unsupported`.
    #[serde(other)]
    Unknown,
}

/// A step of a setup flow.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum SetupStep {
    /// Asks for values.
    Form(SetupForm),
    /// Sends the browser to the service.
    External(SetupExternal),
    /// Something is under way at the service.
    Progress(SetupProgress),
    /// The account is connected.
    Done(Box<SetupDone>),
    /// One that this build does not know.
    #[serde(other)]
    Unknown,
}

/// Asks for values.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SetupForm {
    /// A heading, for people.
    #[serde(default)]
    pub title: String,
    /// What it is about, for people; plain text.
    #[serde(default)]
    pub help: String,
    /// JSON Schema of an object with flat properties; one with `"writeOnly": true` is a secret.
    pub schema: serde_json::Value,
    /// What was wrong with the values given before, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What the next step gets back. May hold secrets: the host seals it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
}

/// Sends the browser to the service.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SetupExternal {
    /// The address to open.
    pub url: String,
    /// Where the service sends the browser back to; one of the request's redirects.
    pub redirect: String,
    /// What to do there, for people; plain text.
    #[serde(default)]
    pub help: String,
    /// What the next step gets back. May hold secrets: the host seals it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
}

/// Something is under way at the service.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SetupProgress {
    /// What is waited for, for people; plain text.
    #[serde(default)]
    pub message: String,
    /// A code to type in elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Where to type it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// When to ask again, in milliseconds.
    #[serde(default)]
    pub poll_after_ms: u64,
    /// How long it is worth waiting, in milliseconds.
    #[serde(default)]
    pub expires_in_ms: u64,
    /// What the next step gets back. May hold secrets: the host seals it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
}

/// The account is connected.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SetupDone {
    /// What the service calls the account and never changes; the same account is not connected twice.
    pub account_key: String,
    /// What people call it.
    #[serde(default)]
    pub label: String,
    /// What the plugin needs to act for the account, as JSON text; it goes into the token vault.
    pub credentials: String,
    /// How long the sign-in lasts, in milliseconds, where it ends by itself however often it is refreshed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasts_ms: Option<u64>,
    /// What was granted, as the service names it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
}
