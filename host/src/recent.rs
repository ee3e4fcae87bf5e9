//! What the database answered a moment ago, so that not every request of one client asks it again.
//!
//! What this node changes it forgets at once; what another node or the command line changes is seen within [`FRESH`].

use std::{
    collections::HashMap,
    future::Future,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long an answer of the database is believed.
const FRESH: Duration = Duration::from_secs(1);
/// Answers that are remembered at most.
const CAPACITY: usize = 10_000;

/// Answers by key, each for a second.
pub struct Recent<T>(Mutex<Known<T>>);

struct Known<T> {
    answers: HashMap<String, (Instant, T)>,
    /// Grows with each [`Recent::forget`], so that an answer from before is not put in after it.
    changes: u64,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(Mutex::new(Known { answers: HashMap::new(), changes: 0 }))
    }
}

impl<T: Clone> Recent<T> {
    fn known(&self) -> MutexGuard<'_, Known<T>> {
        // Nothing panics while it is held, and a map has no half states.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer for a key, at most a second old, or else what `ask` finds now. That nothing was found is not kept.
    ///
    /// # Errors
    /// Those of `ask`.
    pub async fn get<E>(&self, key: &str, ask: impl Future<Output = Result<Option<T>, E>>) -> Result<Option<T>, E> {
        let changes = {
            let known = self.known();
            match known.answers.get(key) {
                Some((asked, answer)) if asked.elapsed() < FRESH => return Ok(Some(answer.clone())),
                _ => known.changes,
            }
        };
        let asked = Instant::now();
        let found = ask.await?;
        let mut known = self.known();
        if let Some(answer) = &found
            && known.changes == changes
        {
            if known.answers.len() >= CAPACITY {
                known.answers.clear();
            }
            known.answers.insert(key.to_owned(), (asked, answer.clone()));
        }
        Ok(found)
    }

    /// Call this after a change is committed.
    pub fn forget(&self) {
        let mut known = self.known();
        known.changes += 1;
        known.answers.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(recent: &Recent<u8>, now: u8) -> u8 {
        recent.get("key", async { Ok::<_, ()>(Some(now)) }).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn an_answer_stays_until_it_is_forgotten() {
        let recent = Recent::default();
        assert_eq!((get(&recent, 1).await, get(&recent, 2).await), (1, 1));
        recent.forget();
        assert_eq!(get(&recent, 3).await, 3);
    }

    #[tokio::test]
    async fn an_answer_from_before_a_change_is_not_kept() {
        let recent = Recent::default();
        let slow = recent.get("key", async {
            recent.forget();
            Ok::<_, ()>(Some(1))
        });
        assert_eq!(slow.await, Ok(Some(1)));
        assert_eq!(get(&recent, 2).await, 2);
    }

    #[tokio::test]
    async fn what_is_not_there_is_asked_for_again() {
        let recent = Recent::<u8>::default();
        for n in 0..100 {
            assert_eq!(recent.get(&format!("key {n}"), async { Ok::<_, ()>(None) }).await, Ok(None));
        }
        assert!(recent.known().answers.is_empty(), "guesses cost no memory");
        assert_eq!(get(&recent, 1).await, 1);
    }
}
