//! What was asked, and how often.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

/// A request that came in.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Number of the request, from 1.
    pub n: u64,
    /// When it came, by the service's clock, in milliseconds.
    pub at_ms: i64,
    /// Such as `GET`.
    pub method: String,
    /// Such as `/v1/me/tracks`.
    pub path: String,
    /// Without the question mark.
    pub query: String,
    /// Such as `GET /me/tracks`: the operation of the published contract, or of the accounts service.
    pub operation: Option<String>,
    /// The contract marks the operation as deprecated.
    pub deprecated: bool,
    /// Id of the user whose token was sent.
    pub user: Option<String>,
    /// The header `Content-Type`.
    pub content_type: String,
    /// The body as text, up to 64 KiB.
    pub body: String,
    /// Status of the answer; 0 where the connection was closed without one.
    pub status: u16,
    /// A rule had an effect.
    pub hit: bool,
}

/// How many requests are remembered.
const REMEMBERED: usize = 20_000;

/// The last requests, and counts of all.
#[derive(Default)]
pub(crate) struct Journal {
    pub(crate) entries: VecDeque<Entry>,
    pub(crate) counts: BTreeMap<String, u64>,
    written: u64,
}

impl Journal {
    /// Remembers a request and answers its number.
    pub(crate) fn write(&mut self, mut entry: Entry) -> u64 {
        self.written += 1;
        entry.n = self.written;
        let operation = entry.operation.clone().unwrap_or_else(|| "unknown".to_owned());
        *self.counts.entry(operation).or_default() += 1;
        if self.entries.len() == REMEMBERED {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
        self.written
    }

    /// Remembers how a request was answered.
    pub(crate) fn answered(&mut self, n: u64, status: u16) {
        if let Some(entry) = self.entries.iter_mut().rev().find(|entry| entry.n == n) {
            entry.status = status;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.counts.clear();
    }
}
