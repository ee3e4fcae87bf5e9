//! What goes wrong at services.

use std::time::Duration;

use zotify_plugin_api::prelude::*;

/// How long an answer that is lost stays away; the host gives up long before.
const LOST: Duration = Duration::from_secs(3600);

/// What goes wrong.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Trouble {
    /// Writes are done, and nobody hears of it.
    pub(crate) lose_answers: bool,
    /// Writes get lost on their way there.
    pub(crate) lose_requests: bool,
    /// Somebody else changes each playlist just before it is edited.
    pub(crate) others_edit: bool,
    /// The service can't move entries.
    pub(crate) no_moves: bool,
    /// Whether no playlist has a version.
    pub(crate) no_versions: bool,
    /// The account must sign in again.
    pub(crate) signed_out: bool,
    /// How many searches fail at first.
    pub(crate) failing_searches: u32,
    /// How many plays the service refuses at first.
    pub(crate) refused_plays: u32,
    /// How long searches take, in milliseconds.
    pub(crate) slow_ms: u64,
}

impl Trouble {
    /// Fails where the account must sign in again.
    pub(crate) fn sign_in<T>(self, _: &Call<T>) -> Result<()> {
        if self.signed_out {
            return Err(ProviderError::new(ErrorKind::AuthRequired, "sign in again").with_code("sign_in_expired"));
        }
        Ok(())
    }

    pub(crate) fn search_fails(self, searches: u32) -> bool {
        searches <= self.failing_searches
    }

    pub(crate) fn refuses(self, plays: u32) -> bool {
        plays <= self.refused_plays
    }

    pub(crate) async fn wait(self, cx: &Context) -> Result<()> {
        if self.slow_ms == 0 { Ok(()) } else { cx.clock().sleep(Duration::from_millis(self.slow_ms)).await }
    }

    /// Called before a write.
    pub(crate) async fn lose_request(self, cx: &Context) -> Result<()> {
        if self.lose_requests { cx.clock().sleep(LOST).await } else { Ok(()) }
    }

    /// Called after a write.
    pub(crate) async fn lose_answer(self, cx: &Context) -> Result<()> {
        if self.lose_answers { cx.clock().sleep(LOST).await } else { Ok(()) }
    }
}
