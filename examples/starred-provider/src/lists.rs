//! Lists of likes and plays as no service should answer them, to see what becomes of what was known.

use zotify_plugin_api::prelude::*;

/// How often a service of too many requests refuses.
const REFUSALS: u32 = 2;

/// What lists of likes and plays are like.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Lists {
    /// As they should be.
    #[default]
    Good,
    /// With items of another instance and of other kinds.
    Foreign,
    /// With zero characters in texts and times.
    Zeros,
    /// Each page names the first one as the next.
    Same,
    /// Two pages name each other.
    Circle,
    /// Each page names another, and none has anything.
    Endless,
    /// The second page fails, always.
    Breaks,
    /// Too many requests, at first.
    Limited,
}

impl Lists {
    /// Fails where the service does.
    pub(crate) async fn check(self, cx: &Context, list: &str, call: &Call<PageRequest>) -> Result<()> {
        let refused = |error: ProviderError| Err(error.with_retry_after_ms(1));
        match (self, &call.account) {
            (Self::Breaks, _) if call.cursor.is_some() => refused(ProviderError::unavailable("the second page is lost")),
            (Self::Limited, Some(account)) => {
                let (kv, key) = (cx.account_kv(&account.id), format!("refused/{list}"));
                let refusals: u32 = kv.get(&key).await?.unwrap_or_default();
                if refusals >= REFUSALS {
                    return Ok(());
                }
                kv.put(&key, &(refusals + 1)).await?;
                refused(ProviderError::new(ErrorKind::RateLimited, "too many requests"))
            }
            _ => Ok(()),
        }
    }

    /// The cursor that a page names as the next one; none: as it should be.
    pub(crate) fn next(self, cursor: Option<&str>) -> Option<String> {
        match self {
            Self::Same => Some("0".into()),
            Self::Circle => Some(if cursor == Some("0") { "2" } else { "0" }.into()),
            Self::Endless => Some((cursor.and_then(|at| at.parse().ok()).unwrap_or(0_u64) + 1).to_string()),
            _ => None,
        }
    }

    /// What stands on each page besides what should.
    pub(crate) fn more(self, cx: &Context) -> Result<Vec<Item>> {
        Ok(match self {
            Self::Foreign => vec![
                Item::Track(Track::new("local:track:stolen".parse().map_err(ProviderError::internal)?, "Stolen")),
                Item::Track(Track::new(cx.uri(Kind::Album, "1")?, "A track under an album's address")),
                Item::Album(Album::new(cx.uri(Kind::Album, "2")?, "An album")),
            ],
            Self::Zeros => vec![
                Item::Track(Track::new(cx.uri(Kind::Track, "a\0b")?, "Ze\0ro")),
                Item::Track(Track::new(cx.uri(Kind::Track, "1")?, "\0")),
            ],
            _ => Vec::new(),
        })
    }

    /// A time as the service writes it.
    pub(crate) fn time(self, at: &str) -> String {
        if self == Self::Zeros { format!("{at}\0") } else { at.to_owned() }
    }
}
