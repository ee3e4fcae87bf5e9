//! Where a run stands: sync tokens and cursors.
//!
//! Every page has a number, counted over all runs, and what is told remembers the page that told it. The host asks for a
//! page when it has stored those before it, so the numbers say what it has, whenever either side is killed.

use zotify_plugin_api::{ProviderError, Result};

/// Raised whenever the same feeds would be told differently, so that everything is told anew.
const VERSION: &str = "1-";

/// Makes the name of a new epoch.
pub(super) fn new_epoch() -> String {
    format!("{VERSION}{}", ulid::Ulid::generate())
}

/// Whether an epoch is one of this version.
pub(super) fn is_current(epoch: &str) -> bool {
    epoch.starts_with(VERSION)
}

/// What a complete run leaves for the next one: its epoch and its last page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SyncToken {
    pub(super) epoch: String,
    pub(super) page: u32,
}

impl SyncToken {
    pub(super) fn format(&self) -> String {
        format!("{}.{}", self.epoch, self.page)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (epoch, page) = text.split_once('.')?;
        Some(Self { epoch: epoch.to_owned(), page: page.parse().ok()? })
    }
}

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) epoch: String,
    /// Whether the run tells everything, rather than what changed.
    pub(super) everything: bool,
    /// The run's first page.
    pub(super) first: u32,
    /// The page to answer now. The host has all before it.
    pub(super) next: u32,
    /// When the run began, in milliseconds.
    pub(super) began_ms: i64,
}

impl Position {
    /// Whether the host has what a page told.
    pub(super) fn has(&self, page: u32) -> bool {
        (1..self.next).contains(&page)
    }

    /// Whether the host has it of this run.
    pub(super) fn has_of_run(&self, page: u32) -> bool {
        (self.first..self.next).contains(&page)
    }

    pub(super) fn format(&self) -> String {
        let mode = if self.everything { 'e' } else { 'c' };
        format!("{}.{mode}.{}.{}.{}", self.epoch, self.first, self.next, self.began_ms)
    }

    /// # Errors
    /// `invalid_request` for a text that is none.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let read = || {
            let mut parts = text.splitn(5, '.');
            let epoch = parts.next()?.to_owned();
            let everything = match parts.next()? {
                "e" => true,
                "c" => false,
                _ => return None,
            };
            let (first, next) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            let began_ms = parts.next()?.parse().ok()?;
            (0 < first && first <= next && next < u32::MAX).then_some(Self { epoch, everything, first, next, began_ms })
        };
        read().ok_or_else(unknown)
    }
}

pub(super) fn unknown() -> ProviderError {
    ProviderError::invalid("this is no cursor of the podcast provider").with_code("cursor_invalid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_survive() {
        let at = Position { epoch: new_epoch(), everything: true, first: 7, next: 9, began_ms: -5 };
        assert_eq!(Position::parse(&at.format()).unwrap(), at);
        assert_eq!(
            [6, 7, 8, 9].map(|page| (at.has(page), at.has_of_run(page))),
            [(true, false), (true, true), (true, true), (false, false)]
        );
        assert!(!at.has(0));
        let token = SyncToken { epoch: at.epoch.clone(), page: 12 };
        assert_eq!(SyncToken::parse(&token.format()), Some(token));
        assert!(is_current(&at.epoch) && !is_current("0-x"));
        for bad in ["", "a", "a.e.1.2", "a.x.1.2.3", "a.e.0.2.3", "a.e.3.2.3", "a.e.1.4294967295.3", "a.e.-1.2.3"] {
            assert_eq!(Position::parse(bad).unwrap_err().code.as_deref(), Some("cursor_invalid"), "{bad}");
        }
        assert_eq!(["", "a", "a.b"].map(SyncToken::parse), [None, None, None]);
    }
}
