//! Locks by name, such as that of a playlist that is being changed: held on this node and, where several share the
//! database, over all of them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    sync::OwnedMutexGuard,
    time::{Instant, sleep},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use ulid::Ulid;

use crate::{
    App,
    db::{Db, Dialect, state},
    error::{ApiError, ApiResult},
};

/// How long another node's lock stands without a sign of life, in milliseconds.
const LEASE_MS: i64 = 15_000;
/// How often its holder gives that sign.
const RENEW: Duration = Duration::from_secs(4);
/// How often to look whether another node is done.
const LOOK: Duration = Duration::from_millis(50);
/// How long to wait for another node.
const PATIENCE: Duration = Duration::from_secs(30);

/// Locks by name.
#[derive(Default)]
pub struct Locks(Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>);

/// A name that is held until this is dropped.
pub struct Held {
    _lease: Option<DropGuard>,
    _local: OwnedMutexGuard<()>,
}

impl Locks {
    /// Waits until nobody else holds the name, on any node.
    ///
    /// # Errors
    /// 503 `busy` where another node holds it for too long; when the database fails.
    pub async fn lock(&self, app: &App, name: &str) -> ApiResult<Held> {
        // Those of this node wait here, so that only one of them asks the database.
        let local = self.local(name).lock_owned().await;
        let lease = match app.db.dialect() {
            Dialect::Sqlite => None,
            Dialect::Postgres => Some(lease(app, name).await?),
        };
        Ok(Held { _lease: lease, _local: local })
    }

    fn local(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, lock| lock.strong_count() > 0);
        let lock = all.get(name).and_then(Weak::upgrade).unwrap_or_default();
        all.insert(name.to_owned(), Arc::downgrade(&lock));
        lock
    }
}

/// A row that says who holds the name. No connection is kept for it, as an advisory lock of a session would: writes wait for
/// services, and connections are few.
async fn lease(app: &App, name: &str) -> ApiResult<DropGuard> {
    let (holder, until) = (Ulid::generate().to_string(), Instant::now() + PATIENCE);
    while !take(&app.db, name, &holder).await? {
        if Instant::now() >= until {
            let detail = "another node of the server changes the same thing, and takes long; try again";
            return Err(ApiError::unavailable("busy", detail).with_retry_after(5));
        }
        sleep(LOOK).await;
    }
    let ended = CancellationToken::new();
    app.tasks.spawn(keep(app.db.clone(), name.to_owned(), holder, ended.clone()));
    Ok(ended.drop_guard())
}

async fn take(db: &Db, name: &str, holder: &str) -> sqlx::Result<bool> {
    let mut tx = db.write().await?;
    let taken = state::take_lease(&mut tx, name, holder, LEASE_MS).await?;
    tx.commit().await?;
    Ok(taken)
}

/// Renews a lease until it is to end, and gives it back then.
async fn keep(db: Db, name: String, holder: String, ended: CancellationToken) {
    while ended.run_until_cancelled(sleep(RENEW)).await.is_some() {
        if let Err(error) = renew(&db, &name, &holder).await {
            tracing::warn!("the lock {name} can't be renewed: {error}");
        }
    }
    if let Err(error) = give_back(&db, &name, &holder).await {
        tracing::warn!("the lock {name} can't be given back, and stands until it runs out: {error}");
    }
}

async fn renew(db: &Db, name: &str, holder: &str) -> sqlx::Result<()> {
    let mut tx = db.write().await?;
    state::renew_lease(&mut tx, name, holder).await?;
    tx.commit().await
}

async fn give_back(db: &Db, name: &str, holder: &str) -> sqlx::Result<()> {
    let mut tx = db.write().await?;
    state::end_lease(&mut tx, name, holder).await?;
    tx.commit().await
}
