//! Answers of providers that are good for a while: asked for once however many want them at once, and bounded in memory.

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use tokio::sync::{OnceCell, OwnedMutexGuard};
use zotify_plugin_api::{Item, ProviderError};

/// How long pages of a search are good.
const SEARCHES_FOR: Duration = Duration::from_secs(300);
/// How long single items are good.
const ITEMS_FOR: Duration = Duration::from_secs(60);
/// What each cache may hold, in bytes.
const MAX_BYTES: usize = 16 << 20;
/// Answers that each cache holds at most.
const MAX_ANSWERS: usize = 5000;
/// What an answer costs besides its own bytes.
const OVERHEAD: usize = 256;

/// Something whose size in memory is about known.
pub trait Weigh {
    /// Bytes, roughly.
    fn weight(&self) -> usize;
}

type Cell<T> = Arc<OnceCell<Result<T, ProviderError>>>;

struct Kept<T> {
    asked: Instant,
    weight: usize,
    cell: Cell<T>,
}

struct Inner<T> {
    kept: HashMap<String, Kept<T>>,
    /// Keys in the order in which they were asked for; a key may stand here that is gone.
    order: VecDeque<(Instant, String)>,
    bytes: usize,
}

/// Answers by key. Failures reach all who wait for them, and are not kept.
pub struct Cache<T> {
    good_for: Duration,
    max_bytes: usize,
    inner: Mutex<Inner<T>>,
}

impl<T: Clone + Weigh> Cache<T> {
    fn new(good_for: Duration, max_bytes: usize) -> Self {
        let inner = Inner { kept: HashMap::new(), order: VecDeque::new(), bytes: 0 };
        Self { good_for, max_bytes, inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner<T>> {
        // Nothing panics while it is held.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
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
        let cell = self.cell(key);
        // Should the one who asks go away, the next one who waits asks in its place.
        let answer = cell.get_or_init(|| ask).await.clone();
        self.inner().settle(key, &cell, self.max_bytes);
        answer
    }

    fn cell(&self, key: &str) -> Cell<T> {
        let mut inner = self.inner();
        if let Some(kept) = inner.kept.get(key).filter(|kept| kept.asked.elapsed() < self.good_for) {
            return Arc::clone(&kept.cell);
        }
        inner.remove(key);
        let (asked, weight, cell) = (Instant::now(), key.len() * 2 + OVERHEAD, Cell::<T>::default());
        inner.bytes += weight;
        inner.kept.insert(key.to_owned(), Kept { asked, weight, cell: Arc::clone(&cell) });
        inner.order.push_back((asked, key.to_owned()));
        inner.make_room(self.max_bytes);
        cell
    }

    /// Forgets what is known of a key.
    pub fn forget(&self, key: &str) {
        self.inner().remove(key);
    }
}

impl<T: Weigh> Inner<T> {
    fn remove(&mut self, key: &str) {
        if let Some(kept) = self.kept.remove(key) {
            self.bytes -= kept.weight;
        }
    }

    /// Counts an answer that has come, once; forgets a failure.
    fn settle(&mut self, key: &str, cell: &Cell<T>, max_bytes: usize) {
        let Some(kept) = self.kept.get_mut(key).filter(|kept| Arc::ptr_eq(&kept.cell, cell)) else { return };
        match cell.get() {
            Some(Ok(answer)) => {
                let weight = key.len() * 2 + OVERHEAD + answer.weight();
                self.bytes = self.bytes - kept.weight + weight;
                kept.weight = weight;
                self.make_room(max_bytes);
            }
            Some(Err(_)) => self.remove(key),
            None => {}
        }
    }

    /// Forgets the oldest until the rest fits.
    fn make_room(&mut self, max_bytes: usize) {
        while self.bytes > max_bytes || self.order.len() > MAX_ANSWERS {
            let Some((asked, key)) = self.order.pop_front() else { return };
            if self.kept.get(&key).is_some_and(|kept| kept.asked == asked) {
                self.remove(&key);
            }
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

impl Default for Catalogue {
    fn default() -> Self {
        Self { searches: Cache::new(SEARCHES_FOR, MAX_BYTES), items: Cache::new(ITEMS_FOR, MAX_BYTES) }
    }
}

/// Locks by name, such as that of a playlist that is being changed.
#[derive(Default)]
pub struct Locks(Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>);

impl Locks {
    /// Waits until nobody else holds the name.
    pub async fn lock(&self, name: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|_, lock| lock.strong_count() > 0);
            let known = all.get(name).and_then(Weak::upgrade);
            let lock = known.unwrap_or_default();
            all.insert(name.to_owned(), Arc::downgrade(&lock));
            lock
        };
        lock.lock_owned().await
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

    fn cache(max_bytes: usize) -> Cache<String> {
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
        assert!(failed.is_err());
        assert_eq!(cache.get("key", async { Ok("now".to_owned()) }).await.unwrap(), "now");
        assert_eq!(cache.get("key", async { Ok("later".to_owned()) }).await.unwrap(), "now");
        cache.forget("key");
        assert_eq!(cache.get("key", async { Ok("later".to_owned()) }).await.unwrap(), "later");
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
            assert!(cache.inner().bytes <= 10_000, "after {n}");
        }
        assert_eq!(cache.get("999", async { Ok(String::new()) }).await.unwrap().len(), 1000, "the newest stay");
        let huge = cache.get("huge", async { Ok("x".repeat(20_000)) }).await.unwrap();
        assert_eq!(huge.len(), 20_000);
        let inner = cache.inner();
        assert_eq!((inner.kept.len(), inner.bytes), (0, 0));
    }
}
