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

/// Reads an account's credentials: [`VaultKey`] → [`VaultEntry`].
pub const VAULT_GET: &str = "vault.get";
/// Asks to be the one who refreshes an account's credentials: [`VaultRefresh`] → [`VaultLease`]. Waits while another one
/// refreshes them, on this node or another.
pub const VAULT_REFRESH: &str = "vault.refresh";
/// Writes an account's credentials, if they are still those that were read: [`VaultPut`] → [`VaultEntry`].
pub const VAULT_PUT: &str = "vault.put";
/// Says that an account's credentials are dead: [`VaultEnd`] → `()`.
pub const VAULT_END: &str = "vault.end";

/// Names an account's credentials.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VaultKey {
    /// The account.
    pub account: String,
}

/// An account's credentials.
#[derive(Clone, Serialize, Deserialize)]
pub struct VaultEntry {
    /// What the setup flow answered, or what was put last: JSON text.
    pub credentials: String,
    /// Grows with every change.
    pub version: i64,
}

impl std::fmt::Debug for VaultEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VaultEntry").field("version", &self.version).finish_non_exhaustive()
    }
}

/// Asks to refresh credentials that do not work any more.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VaultRefresh {
    /// The account.
    pub account: String,
    /// The version that does not work.
    pub version: i64,
}

/// The turn to refresh credentials, or the news that another one did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VaultLease {
    /// The credentials as they are now.
    pub entry: VaultEntry,
    /// The turn: put within 30 seconds. None where the credentials are newer than the version that does not work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
}

/// Writes credentials.
#[derive(Clone, Serialize, Deserialize)]
pub struct VaultPut {
    /// The account.
    pub account: String,
    /// JSON text of at most 64 KiB.
    pub credentials: String,
    /// The version that was read; another one by now is a `conflict`.
    pub version: i64,
    /// The turn that this ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
    /// What was granted, where that changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
}

impl std::fmt::Debug for VaultPut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VaultPut")
            .field("account", &self.account)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Ends credentials that the service does not take any more: the account then waits for another sign-in, and no call is
/// made for it. Also gives a turn back without a change, with no `code`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VaultEnd {
    /// The account.
    pub account: String,
    /// The version that is dead. A newer one stays.
    pub version: i64,
    /// The turn that this ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
    /// Why, `[a-z0-9_]`; none where the credentials are not dead, and only the turn is given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// One sentence for people, without secrets.
    #[serde(default)]
    pub detail: String,
}

/// Whose budget a request uses up. The host counts, and refuses with `rate_limited` before the service would.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// What shares the short window: an OAuth client id.
    pub window: String,
    /// What shares the daily quota: the developer account behind it.
    pub quota: String,
    /// The account that the request is made for, so that one account does not use up everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Whether nobody waits for it.
    #[serde(default)]
    pub background: bool,
}

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
    /// Whose budget it uses up; none for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// Whether a redirect is an answer, rather than followed.
    #[serde(default)]
    pub no_redirects: bool,
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
