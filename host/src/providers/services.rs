//! What the host does for plugins: the services that an instance may call by name.

mod events;
mod kv;
mod log;
mod vault;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use zotify_plugin_api::{
    ProviderError, Result,
    service::{self, HttpRequest},
    wire,
};

pub(super) use log::printable;

use super::{
    Notice,
    budget::{Budgets, Limits},
    egress::Egress,
    rate::Bucket,
};
use crate::{
    db::{Db, now_ms},
    secrets::Secrets,
};

/// The longest that a plugin may ask to sleep.
const MAX_SLEEP: Duration = Duration::from_secs(24 * 3600);

/// HTTP answers of one instance that may be in memory at once, of up to 16 MiB each.
const HTTP_CALLS: usize = 8;

/// Uses of the storage that one instance may have under way at a time, so that others get their turn.
const STORAGE_CALLS: usize = 2;

/// The services of one instance.
pub(super) struct Services {
    instance: String,
    db: Db,
    secrets: Arc<Secrets>,
    egress: Egress,
    budgets: Budgets,
    http: Arc<Semaphore>,
    storage: Arc<Semaphore>,
    notices: broadcast::Sender<Notice>,
    /// The triggers that its manifest declares.
    triggers: Vec<String>,
    log_rate: Mutex<log::Limit>,
    event_rate: Mutex<Bucket>,
}

/// What the services of an instance are made of.
pub(super) struct Means {
    pub(super) db: Db,
    pub(super) secrets: Arc<Secrets>,
    pub(super) egress: Egress,
    pub(super) limits: Limits,
    pub(super) notices: broadcast::Sender<Notice>,
    /// The triggers that its manifest declares.
    pub(super) triggers: Vec<String>,
}

impl Services {
    pub(super) fn new(instance: &str, means: Means) -> Self {
        let Means { db, secrets, egress, limits, notices, triggers } = means;
        Self {
            instance: instance.to_owned(),
            budgets: Budgets::new(instance, db.clone(), limits),
            db,
            secrets,
            egress,
            http: Arc::new(Semaphore::new(HTTP_CALLS)),
            storage: Arc::new(Semaphore::new(STORAGE_CALLS)),
            notices,
            triggers,
            log_rate: Mutex::new(log::Limit::new()),
            event_rate: Mutex::new(Bucket::new(10, 50)),
        }
    }

    /// Waits for a turn at a service of which only so many calls run at a time. To be kept until the answer has left
    /// the host's memory.
    pub(super) async fn turn(&self, service: &str) -> Option<OwnedSemaphorePermit> {
        let turns = match service {
            service::HTTP_SEND => &self.http,
            service::KV_GET | service::KV_PUT_MANY | service::KV_SCAN => &self.storage,
            // A refresh waits for others, and takes turns only to look.
            service::VAULT_GET | service::VAULT_PUT | service::VAULT_END => &self.storage,
            _ => return None,
        };
        Arc::clone(turns).acquire_owned().await.ok()
    }

    /// Runs a service; request and reply are encoded.
    pub(super) async fn call(&self, service: &str, payload: &[u8]) -> Result<Vec<u8>> {
        match service {
            service::HTTP_SEND => self.http_send(payload).await,
            service::KV_GET => answer(&self.kv_get(decode(payload)?).await?),
            service::KV_PUT_MANY => answer(&self.kv_put_many(decode(payload)?).await?),
            service::KV_SCAN => answer(&self.kv_scan(decode(payload)?).await?),
            service::CLOCK_NOW => answer(&now_ms()),
            service::CLOCK_SLEEP => {
                tokio::time::sleep(Duration::from_millis(decode(payload)?).min(MAX_SLEEP)).await;
                answer(&())
            }
            service::VAULT_GET => answer(&self.vault_get(decode(payload)?).await?),
            service::VAULT_REFRESH => answer(&self.vault_refresh(decode(payload)?).await?),
            service::VAULT_PUT => answer(&self.vault_put(decode(payload)?).await?),
            service::VAULT_END => answer(&self.vault_end(decode(payload)?).await?),
            service::EVENTS_EMIT => answer(&self.emit(decode(payload)?)?),
            _ => Err(ProviderError::unsupported("this host service").with_code("unknown_service")),
        }
    }

    async fn http_send(&self, payload: &[u8]) -> Result<Vec<u8>> {
        let request: HttpRequest = decode(payload)?;
        let Some(budget) = &request.budget else { return answer(&self.egress.send(&request).await?) };
        self.egress.check(&request)?;
        let taken = self.budgets.take(budget).await?;
        let response = self.egress.send(&request).await?;
        self.budgets.heard(&taken, &response).await;
        answer(&response)
    }

    /// Writes an encoded `LogRecord` to the host's log.
    pub(super) fn log(&self, record: &[u8]) {
        let mut limit = self.log_rate.lock().unwrap_or_else(PoisonError::into_inner);
        limit.write(&self.instance, record);
    }
}

fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T> {
    wire::decode(payload).map_err(|e| ProviderError::invalid(e.message))
}

fn answer<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    wire::encode(value)
}
