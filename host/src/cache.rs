//! Answers of providers that are good for a while: asked for once however many want them at once, and bounded in memory.

use std::{future::Future, sync::Arc, time::Duration};

use moka::{future, policy::EvictionPolicy};
use zotify_plugin_api::{Item, ProviderError};

/// How long pages of a search are good.
const SEARCHES_FOR: Duration = Duration::from_secs(300);
/// How long single items are good.
const ITEMS_FOR: Duration = Duration::from_secs(60);
/// What each cache may hold, in bytes.
const MAX_BYTES: u64 = 16 << 20;
/// What an answer costs besides its own bytes.
const OVERHEAD: usize = 256;

/// Something whose size in memory is about known.
pub trait Weigh {
    /// Bytes, roughly.
    fn weight(&self) -> usize;
}

/// Answers by key. Failures reach all who wait for them, and are not kept.
pub struct Cache<T>(future::Cache<String, T>);

impl<T: Clone + Weigh + Send + Sync + 'static> Cache<T> {
    fn new(good_for: Duration, max_bytes: u64) -> Self {
        let weight = |key: &String, answer: &T| key.len() + OVERHEAD + answer.weight();
        let kept = future::Cache::builder()
            .max_capacity(max_bytes)
            .weigher(move |key, answer| u32::try_from(weight(key, answer)).unwrap_or(u32::MAX))
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(good_for)
            .support_invalidation_closures();
        Self(kept.build())
    }

    /// The answer for a key, or what `ask` finds now. Who asks while somebody else does gets the same answer.
    ///
    /// # Errors
    /// Those of `ask`.
    pub async fn get(
        &self,
        key: &str,
        ask: impl Future<Output = Result<T, ProviderError>>,
    ) -> Result<T, ProviderError> {
        // Should the one who asks go away, the next one who waits asks in its place.
        self.0.try_get_with_by_ref(key, ask).await.map_err(|error| ProviderError::clone(&error))
    }

    fn forget(&self, prefix: String) {
        if let Err(error) = self.0.invalidate_entries_if(move |key, _| key.starts_with(&prefix)) {
            tracing::error!("answers of a catalogue can't be forgotten one by one, so all are: {error}");
            self.0.invalidate_all();
        }
    }
}

/// A page of a search as a provider answered it.
#[derive(Clone, Debug)]
pub struct Searched {
    /// The items' documents, separated by commas.
    pub json: Arc<str>,
    /// How many.
    pub count: i64,
    /// Where the provider's next page starts.
    pub next: Option<String>,
}

impl Weigh for Searched {
    fn weight(&self) -> usize {
        self.json.len() + self.next.as_ref().map_or(0, String::len)
    }
}

impl Weigh for Arc<Item> {
    fn weight(&self) -> usize {
        serde_json::to_vec(&**self).map_or(0, |json| json.len() * 2)
    }
}

/// What providers' catalogues answered.
pub struct Catalogue {
    /// Pages of searches, by account and request.
    pub searches: Cache<Searched>,
    /// Single items, by account and URI.
    pub items: Cache<Arc<Item>>,
}

impl Catalogue {
    /// What an answer to an account is remembered as.
    pub fn key(account_id: &str, question: &str) -> String {
        format!("{account_id} {question}")
    }

    /// Forgets what was answered to an account.
    pub fn forget_account(&self, account_id: &str) {
        self.searches.forget(Self::key(account_id, ""));
        self.items.forget(Self::key(account_id, ""));
    }

    /// Forgets everything.
    pub fn forget_all(&self) {
        self.searches.0.invalidate_all();
        self.items.0.invalidate_all();
    }
}

impl Default for Catalogue {
    fn default() -> Self {
        Self { searches: Cache::new(SEARCHES_FOR, MAX_BYTES), items: Cache::new(ITEMS_FOR, MAX_BYTES) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Weigh for String {
        fn weight(&self) -> usize {
            self.len()
        }
    }

    fn cache(max_bytes: u64) -> Cache<String> {
        Cache::new(Duration::from_secs(600), max_bytes)
    }

    #[tokio::test]
    async fn many_who_ask_at_once_cause_one_question() {
        let (cache, asked) = (cache(10_000), std::sync::atomic::AtomicU32::new(0));
        let ask = || async {
            asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok("answer".to_owned())
        };
        let all = futures::future::join_all((0..20).map(|_| cache.get("key", ask()))).await;
        assert!(all.iter().all(|answer| answer.as_deref() == Ok("answer")));
        assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn failures_are_not_kept() {
        let cache = cache(10_000);
        let failed = cache.get("key", async { Err(ProviderError::unavailable("away")) }).await;
        assert_eq!(failed, Err(ProviderError::unavailable("away")));
        assert_eq!(cache.get("key", async { Ok("now".to_owned()) }).await.unwrap(), "now");
        assert_eq!(cache.get("key", async { Ok("later".to_owned()) }).await.unwrap(), "now");
    }

    #[tokio::test]
    async fn what_one_account_was_told_is_forgotten_alone() {
        let cache = cache(10_000);
        let ask = async |key: &str, now: &str| cache.get(key, async { Ok(now.to_owned()) }).await.unwrap();
        for key in ["a x", "a y", "ab x"] {
            ask(key, "before").await;
        }
        cache.forget(Catalogue::key("a", ""));
        assert_eq!((ask("a x", "after").await, ask("a y", "after").await), ("after".into(), "after".into()));
        assert_eq!(ask("ab x", "after").await, "before");
    }

    #[tokio::test]
    async fn who_goes_away_is_replaced() {
        let cache = cache(10_000);
        let first = cache.get("key", std::future::pending());
        assert!(tokio::time::timeout(Duration::from_millis(1), first).await.is_err());
        assert_eq!(cache.get("key", async { Ok("second".to_owned()) }).await.unwrap(), "second");
    }

    #[tokio::test]
    async fn memory_is_bounded() {
        let cache = cache(10_000);
        for n in 0..1000 {
            cache.get(&n.to_string(), async { Ok("x".repeat(1000)) }).await.unwrap();
            cache.0.run_pending_tasks().await;
            assert!(cache.0.weighted_size() <= 10_000, "after {n}");
        }
        assert_eq!(cache.get("999", async { Ok(String::new()) }).await.unwrap().len(), 1000, "the newest stay");
        let huge = cache.get("huge", async { Ok("x".repeat(20_000)) }).await.unwrap();
        assert_eq!(huge.len(), 20_000);
        cache.0.run_pending_tasks().await;
        assert!(!cache.0.contains_key("huge") && cache.0.weighted_size() <= 10_000);
    }
}
