//! The author's view of the host.

use std::{sync::Arc, time::Duration};

use zotify_plugin_abi::HostServicesBox;

use crate::{
    ErrorKind, ProviderError, Result,
    model::{InvalidUri, Kind, Uri},
    service::{self, PluginEvent},
    wire,
};

mod http;
mod kv;
mod vault;

pub use http::{Http, HttpRequestBuilder};
pub use kv::KeyValue;
pub use vault::Vault;

/// The host services of one instance.
#[derive(Clone)]
pub(crate) struct Services(Arc<HostServicesBox>);

impl Services {
    pub(crate) fn new(services: HostServicesBox) -> Self {
        Self(Arc::new(services))
    }

    pub(crate) fn log(&self, record: Vec<u8>) {
        self.0.log(record.into());
    }

    async fn call<Q: serde::Serialize, A: serde::de::DeserializeOwned>(&self, name: &str, request: &Q) -> Result<A> {
        let payload = wire::encode(request)?;
        if payload.len() > wire::MAX_PAYLOAD {
            return Err(ProviderError::new(ErrorKind::TooLarge, format!("the request to {name} is over 1 MiB")));
        }
        match self.0.call(name.into(), payload.into()).await.into_result() {
            Ok(bytes) => wire::decode(&bytes),
            Err(bytes) => Err(wire::decode_error(&bytes)),
        }
    }
}

/// What an instance may ask of the host. Cheap to clone; may be kept and used from any thread.
#[derive(Clone)]
pub struct Context {
    services: Services,
    instance: Arc<str>,
}

impl Context {
    pub(crate) fn new(services: Services, instance: &str) -> Self {
        Self { services, instance: instance.into() }
    }

    /// The instance's id: the first segment of every URI that it owns.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// The URI of an item, by the id that the service has for it.
    ///
    /// # Errors
    /// When the id is empty or longer than a URI can hold (about 140 bytes of foreign characters).
    pub fn uri(&self, kind: Kind, native_id: &str) -> Result<Uri> {
        Uri::native(&self.instance, kind, native_id).map_err(|e: InvalidUri| ProviderError::invalid(e.to_string()))
    }

    /// HTTP, within the permissions that the manifest asks for.
    pub fn http(&self) -> Http {
        Http(self.services.clone())
    }

    /// Key-value entries of this instance.
    pub fn kv(&self) -> KeyValue {
        KeyValue { services: self.services.clone(), account: None }
    }

    /// Key-value entries of one account; erased when it is unlinked.
    pub fn account_kv(&self, account: &str) -> KeyValue {
        KeyValue { services: self.services.clone(), account: Some(account.to_owned()) }
    }

    /// The credentials of one account.
    pub fn vault(&self, account: &str) -> Vault {
        Vault { services: self.services.clone(), account: account.to_owned() }
    }

    /// The host's clock.
    pub fn clock(&self) -> Clock {
        Clock(self.services.clone())
    }

    /// Tells the host that the library changed at its source, so that it is pulled soon. Calls in short order count as one.
    ///
    /// # Errors
    /// When the host takes no more events now.
    pub async fn library_changed(&self, account: Option<&str>) -> Result<()> {
        let event = PluginEvent::LibraryChanged { account: account.map(Into::into) };
        self.services.call(service::EVENTS_EMIT, &event).await
    }

    /// Fires a trigger of an automation, with data as JSON text.
    ///
    /// # Errors
    /// When the manifest has no such trigger, or the host takes no more events now.
    pub async fn trigger(&self, name: &str, data: &str) -> Result<()> {
        let event = PluginEvent::Trigger { name: name.into(), data: data.into() };
        self.services.call(service::EVENTS_EMIT, &event).await
    }
}

/// The host's clock, which tests can set.
pub struct Clock(Services);

impl Clock {
    /// Milliseconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// When the host is shutting down.
    pub async fn now_ms(&self) -> Result<i64> {
        self.0.call(service::CLOCK_NOW, &()).await
    }

    /// Waits. Plugins have no timers of their own.
    ///
    /// # Errors
    /// When the host is shutting down.
    pub async fn sleep(&self, duration: Duration) -> Result<()> {
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.0.call(service::CLOCK_SLEEP, &ms).await
    }
}
