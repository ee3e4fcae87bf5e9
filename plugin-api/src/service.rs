//! What a plugin may ask of the host: names, requests and replies of the host services.

use serde::{Deserialize, Serialize};

/// Sends an HTTP request: [`HttpRequest`] → [`HttpResponse`].
pub const HTTP_SEND: &str = "http.send";
/// Reads one entry: [`KvKey`] → [`KvValue`].
pub const KV_GET: &str = "kv.get";
/// Writes or deletes many entries at once, all or none: [`KvPut`] → `()`.
pub const KV_PUT_MANY: &str = "kv.put_many";
/// A page of entries by prefix: [`KvScan`] → [`KvPage`].
pub const KV_SCAN: &str = "kv.scan";
/// The host's clock: `()` → milliseconds since 1970-01-01 UTC as an integer.
pub const CLOCK_NOW: &str = "clock.now";
/// Waits: milliseconds as an integer → `()`.
pub const CLOCK_SLEEP: &str = "clock.sleep";
/// Tells the host that something happened: [`PluginEvent`] → `()`.
pub const EVENTS_EMIT: &str = "events.emit";

/// An HTTP request, sent under the permissions that the plugin was granted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HttpRequest {
    /// `GET`, `POST`, …
    pub method: String,
    /// The whole address, `http` or `https`.
    pub url: String,
    /// Header names and values.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The body; empty for none.
    #[serde(default, with = "serde_bytes")]
    pub body: Vec<u8>,
    /// How long to wait in milliseconds; 0 leaves it to the host, which caps it.
    #[serde(default)]
    pub timeout_ms: u64,
}

/// The answer to an [`HttpRequest`], whatever its status.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HttpResponse {
    /// Status code.
    pub status: u16,
    /// Header names, in lower case, and values.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The body, decompressed.
    #[serde(default, with = "serde_bytes")]
    pub body: Vec<u8>,
}

/// Names a key-value entry. Entries belong to the instance, or to one account of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KvKey {
    /// The account; none for entries of the instance itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// At most 512 bytes.
    pub key: String,
}

/// The value of an entry, none where there is no such entry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KvValue {
    /// The bytes.
    pub value: Option<serde_bytes::ByteBuf>,
}

/// Writes entries.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KvPut {
    /// The account; none for entries of the instance itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Keys with their new values; none deletes the entry.
    pub entries: Vec<(String, Option<serde_bytes::ByteBuf>)>,
}

/// Reads entries in the order of their keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KvScan {
    /// The account; none for entries of the instance itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// What the keys start with.
    pub prefix: String,
    /// The last key of the previous page; none for the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// A page of entries.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct KvPage {
    /// Keys and values.
    pub entries: Vec<(String, serde_bytes::ByteBuf)>,
    /// Whether more follow.
    #[serde(default)]
    pub more: bool,
}

/// Something that happened in a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum PluginEvent {
    /// The library changed at its source: the host pulls it soon.
    LibraryChanged {
        /// The account; none for all accounts of the instance.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        account: Option<String>,
    },
    /// A trigger of an automation fired.
    Trigger {
        /// The trigger's name, as the manifest has it.
        name: String,
        /// What it carries, as JSON text.
        data: String,
    },
    /// One that this build does not know; passed over.
    #[serde(other)]
    Unknown,
}

/// A line for the host's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// The module that speaks.
    pub target: String,
    /// The message with its fields.
    pub message: String,
    /// The request that was being answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}
