//! Runs an instance inside the host: for plugins that are trusted not to crash.
//!
//! Each instance has a thread of its own, which runs its constructor and polls its futures, so that one that blocks
//! stops neither the host nor another instance. A thread cannot be killed: an instance that does not give it back is
//! quarantined until it does.

use std::{
    future::Future,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::{
    runtime::Handle,
    sync::{Semaphore, oneshot},
    task::JoinHandle,
    time::Instant,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::AbortOnDropHandle,
};
use zotify_plugin_api::{
    ErrorKind, ProviderError, Result,
    ffi::{Host, Instance, Library, Stream},
    model::CreateRequest,
    wire,
};

use super::{
    health::Health,
    launch,
    refusal::{Code, Refusal},
    services::Services,
};

/// Host services that one instance may have running at a time.
const HOST_CALLS: usize = 256;
/// How long the library and the instance's constructor may take.
const START_TIMEOUT: Duration = Duration::from_secs(15);

/// The thread of one instance. It ends with the last who holds it, unless the plugin keeps it.
struct Thread {
    plugin: Handle,
    host: Handle,
    health: Arc<Health>,
    /// After a cancelled call, before the thread counts as blocked.
    grace: Duration,
    /// Calls that were given up and still hold, or wait for, the thread.
    stuck: AtomicUsize,
    _end: DropGuard,
}

impl Thread {
    /// Starts it with the making of what it serves, and waits for that.
    async fn start<T: Send + 'static>(
        name: &str,
        health: Arc<Health>,
        grace: Duration,
        make: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
    ) -> Result<(Arc<Self>, T), Refusal> {
        let failed = |e: std::io::Error| Refusal::new(Code::HostFailed, format!("no thread for the plugin: {e}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(failed)?;
        let (plugin, host, end) = (runtime.handle().clone(), Handle::current(), CancellationToken::new());
        let (send, made) = oneshot::channel();
        let ended = end.clone();
        let run = move || {
            // Where nobody waits any more, what was made is dropped here.
            if send.send(make()).is_ok() {
                runtime.block_on(ended.cancelled());
            }
        };
        std::thread::Builder::new().name(format!("plugin {name}")).spawn(run).map_err(failed)?;
        let thread = Self { plugin, host, health, grace, stuck: AtomicUsize::new(0), _end: end.drop_guard() };
        let late = |_| Refusal::new(Code::StartTimeout, "the plugin's constructor did not end in time");
        let panicked = |_| Refusal::new(Code::ConstructorFailed, "the plugin panicked while it was loaded");
        let made = tokio::time::timeout(START_TIMEOUT, made).await.map_err(late)?.map_err(panicked)??;
        Ok((Arc::new(thread), made))
    }

    /// Runs a future of the plugin until its deadline.
    async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        deadline: Instant,
        body: impl Future<Output = Result<T, Vec<u8>>> + Send + 'static,
    ) -> Result<T> {
        let mut call = Running { task: Some(self.plugin.spawn(body)), thread: Arc::clone(self), deadline };
        let timeout = |_| ProviderError::new(ErrorKind::Timeout, "the plugin did not answer in time");
        let panicked = |_| ProviderError::new(ErrorKind::Panicked, "the plugin panicked");
        let answer = tokio::time::timeout_at(deadline, call.answer()).await.map_err(timeout)?.map_err(panicked)?;
        answer.map_err(|bytes| wire::decode_error(&bytes))
    }

    /// Drops something of the plugin's where its own code may run.
    fn discard<T: Send + 'static>(&self, value: T) {
        self.plugin.spawn(async move { drop(value) });
    }

    /// Waits for the end of a call that was given up.
    async fn watch<T>(self: Arc<Self>, mut task: JoinHandle<T>, until: Instant) {
        if tokio::time::timeout_at(until, &mut task).await.is_ok() {
            return;
        }
        if self.stuck.fetch_add(1, Ordering::AcqRel) == 0 {
            let refusal = Refusal::new(Code::Blocked, "a call of the plugin keeps its thread and does not end");
            tracing::error!("an instance inside the host is quarantined: {refusal}");
            self.health.quarantined(refusal);
        }
        let _ = task.await;
        if self.stuck.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.health.recovered();
        }
    }
}

/// A call under way. Dropped before its end it is given up, and the thread is watched.
struct Running<T: Send + 'static> {
    /// None once it has ended.
    task: Option<JoinHandle<T>>,
    thread: Arc<Thread>,
    deadline: Instant,
}

impl<T: Send + 'static> Running<T> {
    async fn answer(&mut self) -> Result<T, ()> {
        let Some(task) = &mut self.task else { return Err(()) };
        let answer = task.await;
        self.task = None;
        answer.map_err(drop)
    }
}

impl<T: Send + 'static> Drop for Running<T> {
    fn drop(&mut self) {
        let Some(task) = self.task.take() else { return };
        task.abort();
        // A caller who leaves early does not shorten the plugin's time.
        let until = self.deadline.max(Instant::now()) + self.thread.grace;
        self.thread.host.spawn(Arc::clone(&self.thread).watch(task, until));
    }
}

/// An instance in this process.
pub(super) struct Local {
    /// None only while it is dropped.
    instance: Option<Instance>,
    thread: Arc<Thread>,
}

/// What an instance in this process is made of.
pub(super) struct Plan {
    /// The host's copy of the plugin.
    pub(super) plugin: PathBuf,
    pub(super) create: CreateRequest,
    pub(super) services: Arc<Services>,
    pub(super) health: Arc<Health>,
    pub(super) grace: Duration,
}

impl Local {
    /// Loads a plugin and makes an instance.
    pub(super) async fn load(plan: Plan) -> Result<Self, Refusal> {
        let Plan { plugin, create, services, health, grace } = plan;
        let host = LocalHost { services, host: Handle::current(), permits: Arc::new(Semaphore::new(HOST_CALLS)) };
        let name = create.instance.clone();
        let make = move || {
            let library = Library::load(&plugin)?;
            library.create(&create, Arc::new(host)).map_err(|e| launch::create_refused(&e))
        };
        let (thread, instance) = Thread::start(&name, health, grace, make).await?;
        Ok(Self { instance: Some(instance), thread })
    }

    fn instance(&self) -> Result<Instance> {
        self.instance.clone().ok_or_else(|| ProviderError::unavailable("the plugin was stopped by the host"))
    }

    pub(super) async fn call(&self, method: &str, payload: Vec<u8>, deadline: Instant) -> Result<Vec<u8>> {
        let (instance, method) = (self.instance()?, method.to_owned());
        self.thread.run(deadline, async move { instance.call(&method, payload).await }).await
    }

    pub(super) async fn open_stream(&self, payload: Vec<u8>, deadline: Instant) -> Result<LocalStream> {
        let instance = self.instance()?;
        let stream = self.thread.run(deadline, async move { instance.open_stream(payload).await }).await?;
        Ok(LocalStream { stream: Some(stream), thread: Arc::clone(&self.thread) })
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.thread.discard(self.instance.take());
    }
}

/// A stream in this process.
pub(super) struct LocalStream {
    /// None after a failure: whoever holds it then is lost.
    stream: Option<Stream>,
    thread: Arc<Thread>,
}

impl LocalStream {
    pub(super) async fn next(&mut self, deadline: Instant) -> Result<Option<Vec<u8>>> {
        let Some(mut stream) = self.stream.take() else { return Ok(None) };
        let next = async move {
            let chunk = stream.next().await?;
            Ok((stream, chunk))
        };
        let (stream, chunk) = self.thread.run(deadline, next).await?;
        self.stream = Some(stream);
        Ok(chunk)
    }
}

impl Drop for LocalStream {
    fn drop(&mut self) {
        self.thread.discard(self.stream.take());
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
                let turn = services.turn(&service).await;
                let answer = services.call(&service, &payload).await;
                drop((permit, turn));
                answer
            }));
            let answer = task.await.map_err(|_| encode(&ProviderError::unavailable("the host is shutting down")))?;
            answer.map_err(|e| encode(&e))
        })
    }
}
