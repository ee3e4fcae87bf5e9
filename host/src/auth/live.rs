//! Sessions as they were a moment ago, so that not every request of one client asks the database.
//!
//! What this node changes it forgets at once; what another node or the command line changes is seen within [`FRESH`].

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::db::{self, Db, sessions::LiveSession};

/// How long an answer of the database is believed.
const FRESH: Duration = Duration::from_secs(1);
/// Sessions that are remembered at most.
const CAPACITY: usize = 10_000;

/// The sessions that were looked up within the last second.
#[derive(Default)]
pub struct LiveSessions(Mutex<Known>);

#[derive(Default)]
struct Known {
    sessions: HashMap<String, (Instant, LiveSession)>,
    /// Grows with each [`LiveSessions::forget`], so that an answer from before is not put in after it.
    changes: u64,
}

impl LiveSessions {
    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing panics while it is held, and a map has no half states.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session with its user, at most a second old; none where there is no such session.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find(&self, db: &Db, id: &str) -> sqlx::Result<Option<LiveSession>> {
        let changes = {
            let known = self.known();
            match known.sessions.get(id) {
                Some((seen, session)) if seen.elapsed() < FRESH => return Ok(Some(session.clone())),
                _ => known.changes,
            }
        };
        let asked = Instant::now();
        let found = db::sessions::find_live(db.read(), id).await?;
        let mut known = self.known();
        if let Some(session) = &found
            && known.changes == changes
        {
            if known.sessions.len() >= CAPACITY {
                known.sessions.clear();
            }
            known.sessions.insert(id.to_owned(), (asked, session.clone()));
        }
        Ok(found)
    }

    /// Call this after a change of a session or a user is committed.
    pub fn forget(&self) {
        let mut known = self.known();
        known.changes += 1;
        known.sessions.clear();
    }
}
