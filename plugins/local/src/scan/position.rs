//! Where a run stands: sync tokens and cursors.
//!
//! Every page that is answered has a number, counted over all runs. An entry of the state remembers the page that told
//! of it last, so that cursor and token, which name pages, say what the host has.

use zotify_plugin_api::{ProviderError, Result};

/// Raised whenever the same files would be read differently, so that everything is read anew.
const VERSION: u32 = 2;

/// The host has everything up to a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SyncToken {
    version: u32,
    /// Which key-value entries it belongs to.
    pub epoch: i64,
    /// The last page of the complete run.
    pub page: u64,
}

impl SyncToken {
    /// The token of a run that ended with a page.
    pub(crate) fn new(epoch: i64, page: u64) -> Self {
        Self { version: VERSION, epoch, page }
    }

    /// Whether the entries with an epoch go back to this token.
    pub(crate) fn is_known(&self, epoch: Option<i64>) -> bool {
        self.version == VERSION && Some(self.epoch) == epoch
    }

    /// As the host keeps it.
    pub(crate) fn format(&self) -> String {
        format!("{}.{}.{}", self.version, self.epoch, self.page)
    }

    /// Reads a token.
    ///
    /// # Errors
    /// `invalid_request` for a text that is none.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let read = || {
            let mut parts = text.splitn(3, '.');
            Some(Self {
                version: parts.next()?.parse().ok()?,
                epoch: parts.next()?.parse().ok()?,
                page: parts.next()?.parse().ok()?,
            })
        };
        read().ok_or_else(|| invalid("sync token"))
    }
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// The last page that the host had before this run; 0 where it had nothing.
    pub base: u64,
    /// The run's first page.
    pub first: u64,
    /// The page to answer now. The host has those of this run before it.
    pub next: u64,
}

impl Position {
    /// Whether the host has what a page told.
    pub(crate) fn has(&self, page: u64) -> bool {
        page <= self.base || (self.first..self.next).contains(&page)
    }

    /// As the host keeps it.
    pub(crate) fn format(&self) -> String {
        format!("{}.{}.{}", self.base, self.first, self.next)
    }

    /// Reads a cursor.
    ///
    /// # Errors
    /// `invalid_request` for a text that is none.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let read = || {
            let mut parts = text.splitn(3, '.').map(|part| part.parse().ok());
            let (base, first, next) = (parts.next()??, parts.next()??, parts.next()??);
            (base < first && first <= next && next < u64::MAX).then_some(Self { base, first, next })
        };
        read().ok_or_else(|| invalid("cursor"))
    }
}

fn invalid(what: &str) -> ProviderError {
    ProviderError::invalid(format!("this is no {what} of the local provider")).with_code("cursor_invalid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_survive() {
        let position = Position { base: 3, first: 7, next: 9 };
        assert_eq!(Position::parse(&position.format()).unwrap(), position);
        let token = SyncToken::new(-5, 12);
        assert_eq!(SyncToken::parse(&token.format()).unwrap(), token);
        for bad in ["", "1", "1.2", "1.2.3.4", "5.4.9", "1.5.4", "a.b.c", "0.1.18446744073709551615"] {
            assert_eq!(Position::parse(bad).unwrap_err().code.as_deref(), Some("cursor_invalid"), "{bad}");
        }
        assert!(SyncToken::parse("x").is_err());
    }

    #[test]
    fn knows_what_the_host_has() {
        let position = Position { base: 3, first: 7, next: 9 };
        let known: Vec<u64> = (0..12).filter(|page| position.has(*page)).collect();
        assert_eq!(known, [0, 1, 2, 3, 7, 8]);
    }
}
