//! Runs an instance inside the host: for plugins that are trusted not to crash.
//!
//! Its futures are polled by a runtime of their own, so that a plugin that blocks its thread cannot stop the host's.
//! A call that never gives its thread back costs that thread for good; only a process can be killed.

use std::{
    future::Future,
    path::Path,
    sync::{Arc, OnceLock},
};

use futures::future::BoxFuture;
use tokio::{
    runtime::{Handle, Runtime},
    sync::Semaphore,
    time::Instant,
};
use tokio_util::task::AbortOnDropHandle;
use zotify_plugin_api::{
    ErrorKind, ProviderError, Result,
    ffi::{Host, Instance, Library, Stream},
    model::CreateRequest,
    wire,
};

use super::{launch, refusal::Refusal, services::Services};

/// Host services that one instance may have running at a time.
const HOST_CALLS: usize = 256;

/// The runtime of plugins. It lives as long as the process: a plugin may hold on to a thread.
fn runtime() -> std::io::Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let made =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("plugins").enable_time().build()?;
    Ok(RUNTIME.get_or_init(move || made))
}

/// An instance in this process.
pub(super) struct Local {
    instance: Instance,
    plugins: Handle,
}

impl Local {
    /// Loads a plugin and makes an instance. Blocks while the plugin's constructors run.
    pub(super) fn load(
        plugin: &Path,
        create: &CreateRequest,
        services: Arc<Services>,
        host: Handle,
    ) -> Result<Self, Refusal> {
        let plugins = runtime()
            .map_err(|e| Refusal::new(super::refusal::Code::HostFailed, format!("no threads for plugins: {e}")))?
            .handle()
            .clone();
        let library = Library::load(plugin)?;
        let host = LocalHost { services, host, permits: Arc::new(Semaphore::new(HOST_CALLS)) };
        let instance = library.create(create, Arc::new(host)).map_err(|e| launch::create_refused(&e))?;
        Ok(Self { instance, plugins })
    }

    pub(super) async fn call(&self, method: &str, payload: Vec<u8>, deadline: Instant) -> Result<Vec<u8>> {
        let (instance, method) = (self.instance.clone(), method.to_owned());
        self.run(deadline, async move { instance.call(&method, payload).await }).await
    }

    pub(super) async fn open_stream(&self, payload: Vec<u8>, deadline: Instant) -> Result<LocalStream> {
        let instance = self.instance.clone();
        let stream = self.run(deadline, async move { instance.open_stream(payload).await }).await?;
        Ok(LocalStream { stream: Some(stream), plugins: self.plugins.clone() })
    }

    async fn run<T: Send + 'static>(
        &self,
        deadline: Instant,
        body: impl Future<Output = Result<T, Vec<u8>>> + Send + 'static,
    ) -> Result<T> {
        run(&self.plugins, deadline, body).await
    }
}

async fn run<T: Send + 'static>(
    plugins: &Handle,
    deadline: Instant,
    body: impl Future<Output = Result<T, Vec<u8>>> + Send + 'static,
) -> Result<T> {
    let task = AbortOnDropHandle::new(plugins.spawn(body));
    let timeout = |_| ProviderError::new(ErrorKind::Timeout, "the plugin did not answer in time");
    let panicked = |_| ProviderError::new(ErrorKind::Panicked, "the plugin panicked");
    let answer = tokio::time::timeout_at(deadline, task).await.map_err(timeout)?.map_err(panicked)?;
    answer.map_err(|bytes| wire::decode_error(&bytes))
}

/// A stream in this process.
pub(super) struct LocalStream {
    /// None after a failure: whoever holds it then is lost.
    stream: Option<Stream>,
    plugins: Handle,
}

impl LocalStream {
    pub(super) async fn next(&mut self, deadline: Instant) -> Result<Option<Vec<u8>>> {
        let Some(mut stream) = self.stream.take() else { return Ok(None) };
        let (stream, chunk) = run(&self.plugins, deadline, async move {
            let chunk = stream.next().await?;
            Ok((stream, chunk))
        })
        .await?;
        self.stream = chunk.is_some().then_some(stream);
        Ok(chunk)
    }
}

/// The host as the plugin sees it.
struct LocalHost {
    services: Arc<Services>,
    host: Handle,
    permits: Arc<Semaphore>,
}

impl Host for LocalHost {
    fn log(&self, record: &[u8]) {
        self.services.log(record);
    }

    fn call(&self, service: &str, payload: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, Vec<u8>>> {
        let (services, service) = (Arc::clone(&self.services), service.to_owned());
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        let host = self.host.clone();
        Box::pin(async move {
            let encode = |error: &ProviderError| wire::encode_error(error);
            let Ok(permit) = permit else {
                return Err(encode(&ProviderError::unavailable("the plugin has too many host calls in flight")));
            };
            // On the host's runtime: it knows timers and sockets, and the plugin's thread may not.
            let task = AbortOnDropHandle::new(host.spawn(async move {
                let answer = services.call(&service, &payload).await;
                drop(permit);
                answer
            }));
            let answer = task.await.map_err(|_| encode(&ProviderError::unavailable("the host is shutting down")))?;
            answer.map_err(|e| encode(&e))
        })
    }
}
