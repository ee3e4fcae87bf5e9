//! What plugins log.

use zotify_plugin_api::{service::LogRecord, wire};

use crate::providers::rate::Bucket;

/// The longest record that is looked at, and the longest message, in bytes.
const MAX_RECORD: usize = 64 << 10;
const MAX_MESSAGE: usize = 4096;

/// Keeps a plugin from flooding the log.
pub(super) struct Limit {
    bucket: Bucket,
    dropped: u64,
}

impl Limit {
    pub(super) fn new() -> Self {
        Self { bucket: Bucket::new(50, 200), dropped: 0 }
    }

    pub(super) fn write(&mut self, instance: &str, record: &[u8]) {
        if !self.bucket.take() {
            self.dropped += 1;
            return;
        }
        if self.dropped > 0 {
            tracing::warn!(target: "plugin", instance, "{} log records of the plugin were dropped", self.dropped);
            self.dropped = 0;
        }
        let record = Some(record).filter(|r| r.len() <= MAX_RECORD).and_then(|r| wire::decode::<LogRecord>(r).ok());
        let Some(record) = record else {
            tracing::warn!(target: "plugin", instance, "the plugin logged something that cannot be read");
            return;
        };
        let (message, module) = (printable(&record.message), printable(&record.target));
        let request_id = record.request_id.as_deref().map(printable);
        match record.level.as_str() {
            "error" => tracing::error!(target: "plugin", instance, module, request_id, "{message}"),
            "warn" => tracing::warn!(target: "plugin", instance, module, request_id, "{message}"),
            "debug" => tracing::debug!(target: "plugin", instance, module, request_id, "{message}"),
            "trace" => tracing::trace!(target: "plugin", instance, module, request_id, "{message}"),
            _ => tracing::info!(target: "plugin", instance, module, request_id, "{message}"),
        }
    }
}

/// Foreign text as it may stand in a log: one line, no terminal codes, not too long.
pub(in crate::providers) fn printable(text: &str) -> String {
    let cut = &text[..text.floor_char_boundary(MAX_MESSAGE)];
    let cut = cut.trim_end();
    cut.chars().map(|c| if c.is_control() || is_bidi(c) { ' ' } else { c }).collect()
}

/// Characters that reorder the text around them.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_forge_lines() {
        assert_eq!(printable("ok\n2026 ERROR forged\x1b[31m\n"), "ok 2026 ERROR forged [31m");
        assert_eq!(printable(&"ä".repeat(5000)).len(), MAX_MESSAGE);
    }
}
