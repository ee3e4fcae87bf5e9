//! A host in memory, so that a plugin's tests can call its methods without a host around them.

mod vault;

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use abi_stable::{
    sabi_trait::TD_Opaque,
    std_types::{
        RResult::{self, RErr, ROk},
        RStr, RVec,
    },
};
use async_ffi::{FfiFuture, FutureExt as _};
use futures::StreamExt as _;
use serde::{Serialize, de::DeserializeOwned};
use serde_bytes::ByteBuf;
use zotify_plugin_abi::{HostServices, HostServices_TO};

use crate::{
    ByteStream, Call, Context, ErrorKind, ProviderError, Result,
    context::Services,
    service::{self, HttpRequest, HttpResponse, KvKey, KvPage, KvPut, KvScan, KvValue, LogRecord, PluginEvent},
    wire,
};

/// Entries of a page of [`service::KV_SCAN`]; small, so that tests see several pages.
const SCAN_PAGE: usize = 100;
/// The limits of the key-value service, in bytes.
const MAX_KEY: usize = 512;
const MAX_VALUE: usize = 256 << 10;

/// Entries by account and key.
type Entries = BTreeMap<(Option<String>, String), Vec<u8>>;

/// What answers HTTP requests.
type Server = Arc<dyn Fn(HttpRequest) -> Result<HttpResponse> + Send + Sync>;

/// What a test sees of the host. Clones share their contents.
#[derive(Clone, Default)]
pub struct FakeHost(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    entries: Entries,
    events: Vec<PluginEvent>,
    logs: Vec<LogRecord>,
    calls: Vec<String>,
    requests: Vec<HttpRequest>,
    server: Option<Server>,
    vaults: vault::Vaults,
    now_ms: i64,
    /// Cloned into every context.
    contexts: Arc<()>,
}

/// A context for an instance, and the host behind it. HTTP answers `unavailable` until [`FakeHost::serve`].
pub fn context(instance: &str) -> (Context, FakeHost) {
    let host = FakeHost::default();
    (host.context(instance), host)
}

/// A call as the host makes it, for an account that is shared by all.
pub fn call<T>(request: T) -> Call<T> {
    Call { request_id: None, account: None, deadline_ms: 60_000, background: false, request }
}

/// All bytes of a stream.
///
/// # Errors
/// What the stream answers.
pub async fn collect(stream: ByteStream) -> Result<Vec<u8>> {
    let mut chunks = stream.0;
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        bytes.extend(chunk?);
    }
    Ok(bytes)
}

impl FakeHost {
    /// Another context for the same host, as after a restart of the plugin.
    pub fn context(&self, instance: &str) -> Context {
        let adapter = Adapter { host: self.clone(), _lease: Arc::clone(&self.state().contexts) };
        let services = HostServices_TO::from_value(adapter, TD_Opaque);
        Context::new(Services::new(services), instance)
    }

    /// How many contexts somebody still has: none once a plugin has ended with all its threads.
    pub fn contexts(&self) -> usize {
        Arc::strong_count(&self.state().contexts) - 1
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the plugin told of events, oldest first.
    pub fn events(&self) -> Vec<PluginEvent> {
        self.state().events.clone()
    }

    /// What the plugin logged, oldest first.
    pub fn logs(&self) -> Vec<LogRecord> {
        self.state().logs.clone()
    }

    /// The names of the services that were called, oldest first.
    pub fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    /// Answers HTTP requests from now on. Permissions and budgets are not looked at; the answer is a function of the
    /// request, and may count in what it captures.
    pub fn serve(&self, server: impl Fn(HttpRequest) -> Result<HttpResponse> + Send + Sync + 'static) {
        self.state().server = Some(Arc::new(server));
    }

    /// The HTTP requests that the plugin sent, oldest first.
    pub fn requests(&self) -> Vec<HttpRequest> {
        self.state().requests.clone()
    }

    /// The keys of the instance's own entries.
    pub fn keys(&self) -> Vec<String> {
        self.state().entries.keys().filter(|(account, _)| account.is_none()).map(|(_, key)| key.clone()).collect()
    }

    /// Forgets every key-value entry.
    pub fn clear_entries(&self) {
        self.state().entries.clear();
    }

    /// Sets the clock, in milliseconds since 1970-01-01 UTC.
    pub fn set_now_ms(&self, now_ms: i64) {
        let mut state = self.state();
        state.now_ms = now_ms;
        state.vaults.wake();
    }

    async fn answer(&self, name: &str, payload: &[u8]) -> Result<Vec<u8>> {
        self.state().calls.push(name.to_owned());
        match name {
            service::HTTP_SEND => reply(payload, |request| self.http(request)),
            service::VAULT_REFRESH => wire::encode(&self.refresh(wire::decode(payload)?).await?),
            _ => self.answer_at_once(name, payload),
        }
    }

    /// Without the lock while the test's own function runs.
    fn http(&self, request: HttpRequest) -> Result<HttpResponse> {
        let server = {
            let mut state = self.state();
            state.requests.push(request.clone());
            state.server.clone()
        };
        server.map_or_else(|| Err(ProviderError::unavailable("the test's host serves no HTTP")), |serve| serve(request))
    }

    fn answer_at_once(&self, name: &str, payload: &[u8]) -> Result<Vec<u8>> {
        let mut state = self.state();
        let now_ms = state.now_ms;
        match name {
            service::KV_GET => reply(payload, |key: KvKey| {
                Ok(KvValue { value: state.entries.get(&(key.account, key.key)).cloned().map(ByteBuf::from) })
            }),
            service::KV_PUT_MANY => reply(payload, |put: KvPut| state.put(put)),
            service::KV_SCAN => reply(payload, |scan: KvScan| Ok(state.scan(&scan))),
            service::CLOCK_NOW => reply(payload, |(): ()| Ok(state.now_ms)),
            service::CLOCK_SLEEP => reply(payload, |ms: u64| {
                state.now_ms = state.now_ms.saturating_add_unsigned(ms);
                state.vaults.wake();
                Ok(())
            }),
            service::VAULT_GET => reply(payload, |key| state.vaults.get(&key)),
            service::VAULT_PUT => reply(payload, |put| state.vaults.put(put, now_ms)),
            service::VAULT_END => reply(payload, |end| state.vaults.end(end, now_ms)),
            service::EVENTS_EMIT => reply(payload, |event: PluginEvent| {
                state.events.push(event);
                Ok(())
            }),
            other => Err(ProviderError::unavailable(format!("the test's host has no {other}"))),
        }
    }
}

impl State {
    fn put(&mut self, put: KvPut) -> Result<()> {
        let too_large = |(key, value): &(String, Option<ByteBuf>)| {
            key.len() > MAX_KEY || value.as_ref().is_some_and(|v| v.len() > MAX_VALUE)
        };
        if put.entries.iter().any(too_large) {
            return Err(ProviderError::new(ErrorKind::TooLarge, "a key or value is over the limit"));
        }
        for (key, value) in put.entries {
            let key = (put.account.clone(), key);
            match value {
                Some(value) => drop(self.entries.insert(key, value.into_vec())),
                None => drop(self.entries.remove(&key)),
            }
        }
        Ok(())
    }

    fn scan(&self, scan: &KvScan) -> KvPage {
        let start = match &scan.after {
            Some(after) => Bound::Excluded((scan.account.clone(), after.clone())),
            None => Bound::Included((scan.account.clone(), scan.prefix.clone())),
        };
        let mut found = self
            .entries
            .range((start, Bound::Unbounded))
            .take_while(|((account, key), _)| *account == scan.account && key.starts_with(&scan.prefix));
        let entries: Vec<_> =
            found.by_ref().take(SCAN_PAGE).map(|((_, key), v)| (key.clone(), ByteBuf::from(v.clone()))).collect();
        KvPage { entries, more: found.next().is_some() }
    }
}

fn reply<Q: DeserializeOwned, A: Serialize>(payload: &[u8], body: impl FnOnce(Q) -> Result<A>) -> Result<Vec<u8>> {
    wire::encode(&body(wire::decode(payload)?)?)
}

struct Adapter {
    host: FakeHost,
    _lease: Arc<()>,
}

impl HostServices for Adapter {
    fn log(&self, record: RVec<u8>) {
        if let Ok(record) = wire::decode(&record) {
            self.host.state().logs.push(record);
        }
    }

    fn call(&self, service: RStr<'_>, payload: RVec<u8>) -> FfiFuture<RResult<RVec<u8>, RVec<u8>>> {
        let (host, service) = (self.host.clone(), service.as_str().to_owned());
        async move {
            match host.answer(&service, &payload).await {
                Ok(bytes) => ROk(bytes.into()),
                Err(error) => RErr(wire::encode_error(&error).into()),
            }
        }
        .into_ffi()
    }
}
