//! Serves calls: one thread reads frames, one writes them, one runs the plugin's futures.
//!
//! The reader never waits for a handler, so a plugin that blocks cannot keep the process from noticing that the host
//! is gone.

use std::{
    collections::HashMap,
    future::Future,
    io::{self, Write as _},
    os::unix::net::UnixStream,
    process::ExitCode,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::{
    sync::{Mutex as AsyncMutex, mpsc, oneshot},
    task::AbortHandle,
};
use zotify_plugin_api::{
    ErrorKind, ProviderError,
    ffi::{Host, Instance, Library, Stream},
    model::CreateRequest,
    wire,
};

use super::{
    frame::{self, Failed, Frame, Kind, Ready},
    send,
};

/// Frames that wait for the socket; senders wait when there are more, log records are dropped.
const OUTGOING: usize = 256;
/// Frames that wait for the plugin; the host limits what it has in flight to far less.
const INCOMING: usize = 4096;
/// How long nothing must have been asked before memory goes back to the system.
const QUIET: Duration = Duration::from_secs(1);
/// The largest answer of a host service, in bytes.
const MAX_ANSWER: usize = 24 << 20;

type Answer = Result<Vec<u8>, Vec<u8>>;

/// Makes the instance and serves it until the host closes the socket.
pub(super) fn run(
    mut socket: UnixStream,
    ready: &Ready,
    library: Library,
    create: &CreateRequest,
) -> io::Result<ExitCode> {
    let (outgoing, mut to_write) = mpsc::channel(OUTGOING);
    let remote = Arc::new(RemoteHost {
        outgoing: outgoing.clone(),
        waiting: Mutex::default(),
        next_id: AtomicU64::new(1),
        late: Mutex::default(),
    });
    let instance = match library.create(create, Arc::new(Remote(Arc::clone(&remote)))) {
        Ok(instance) => instance,
        Err(error) => {
            // Its last words; all else that it asked for has become pointless.
            while let Ok(frame) = to_write.try_recv() {
                if frame.kind == Kind::Log {
                    socket.write_all(&frame.encode()?)?;
                }
            }
            send(&mut socket, Kind::Failed, &Failed::Create(error))?;
            return Ok(ExitCode::FAILURE);
        }
    };
    send(&mut socket, Kind::Ready, ready)?;
    let (commands, to_run) = mpsc::channel(INCOMING);
    let (reading, writing) = (socket.try_clone()?, socket);
    let reader = Reader { commands, waiting: Arc::clone(&remote), parts: HashMap::new() };
    thread::Builder::new().name("control".into()).spawn(move || reader.run(reading))?;
    thread::Builder::new().name("writer".into()).spawn(move || write(writing, to_write, &remote))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(serve(instance, to_run, outgoing));
    Ok(ExitCode::SUCCESS)
}

fn write(mut socket: UnixStream, mut frames: mpsc::Receiver<Frame>, remote: &RemoteHost) {
    while let Some(frame) = frames.blocking_recv() {
        let late = std::mem::take(&mut *lock(&remote.late));
        let late = late.into_iter().map(|id| Frame::new(Kind::HostCancel, id, Vec::new()));
        for frame in std::iter::once(frame).chain(late) {
            let bytes = frame.encode().or_else(|e| too_large(&frame, &e).encode());
            if bytes.and_then(|bytes| socket.write_all(&bytes)).is_err() {
                // The reader notices the end as well, and ends the process.
                return;
            }
        }
    }
}

/// What takes the place of a frame that is over the limit.
fn too_large(frame: &Frame, error: &io::Error) -> Frame {
    let error = ProviderError::new(ErrorKind::TooLarge, format!("the plugin's answer is too large: {error}"));
    Frame::new(Kind::Error, frame.id, wire::encode_error(&error))
}

/// Reads what the host sends.
struct Reader {
    commands: mpsc::Sender<Frame>,
    waiting: Arc<RemoteHost>,
    parts: HashMap<u64, Vec<u8>>,
}

impl Reader {
    fn run(mut self, mut socket: UnixStream) {
        let code = loop {
            match frame::read_blocking(&mut socket) {
                Ok(Some(frame)) => {
                    if self.take(frame).is_none() {
                        break 1;
                    }
                }
                Ok(None) => break 0,
                Err(error) => {
                    let _ = writeln!(io::stderr(), "the host's frames cannot be read: {error}");
                    break 1;
                }
            }
        };
        // The plugin may be blocked for good; nothing that matters is in this process.
        std::process::exit(code);
    }

    /// None when the host breaks the rules.
    fn take(&mut self, frame: Frame) -> Option<()> {
        match frame.kind {
            Kind::HostPart => {
                let part = self.parts.entry(frame.id).or_default();
                part.extend(frame.body);
                (part.len() <= MAX_ANSWER).then_some(())
            }
            Kind::HostReply => {
                let mut body = self.parts.remove(&frame.id).unwrap_or_default();
                body.extend(frame.body);
                self.waiting.answer(frame.id, Ok(body));
                Some(())
            }
            Kind::HostError => {
                self.parts.remove(&frame.id);
                self.waiting.answer(frame.id, Err(frame.body));
                Some(())
            }
            _ => self.commands.try_send(frame).ok(),
        }
    }
}

/// Runs the plugin's futures.
async fn serve(instance: Instance, mut commands: mpsc::Receiver<Frame>, outgoing: mpsc::Sender<Frame>) {
    let mut running: HashMap<u64, AbortHandle> = HashMap::new();
    let streams: Arc<Mutex<HashMap<u64, Arc<AsyncMutex<Stream>>>>> = Arc::default();
    let mut runner = Runner { outgoing };
    while let Some(frame) = receive(&mut commands, &mut running).await {
        running.retain(|_, task| !task.is_finished());
        let id = frame.id;
        match frame.kind {
            Kind::Call => {
                let instance = instance.clone();
                let body = async move { instance.call(&frame.name, frame.body).await.map(|body| (Kind::Reply, body)) };
                running.insert(id, runner.spawn(id, body));
            }
            Kind::OpenStream => {
                let (instance, streams) = (instance.clone(), Arc::clone(&streams));
                let body = async move {
                    let stream = instance.open_stream(frame.body).await?;
                    lock(&streams).insert(id, Arc::new(AsyncMutex::new(stream)));
                    Ok((Kind::Reply, Vec::new()))
                };
                running.insert(id, runner.spawn(id, body));
            }
            Kind::Next => {
                let stream = lock(&streams).get(&id).cloned();
                running.insert(id, runner.spawn(id, next(stream)));
            }
            Kind::Cancel => {
                if let Some(task) = running.remove(&id) {
                    task.abort();
                }
                runner.spawn(id, async { Err(wire::encode_error(&cancelled())) });
            }
            Kind::Close => drop(lock(&streams).remove(&id)),
            _ => return,
        }
    }
}

/// The next frame. Once nothing has been asked for a while, memory of what was done before goes back to the system.
async fn receive(commands: &mut mpsc::Receiver<Frame>, running: &mut HashMap<u64, AbortHandle>) -> Option<Frame> {
    while !running.is_empty() {
        if let Ok(frame) = tokio::time::timeout(QUIET, commands.recv()).await {
            return frame;
        }
        running.retain(|_, task| !task.is_finished());
        if running.is_empty() {
            zotify_plugin_api::ffi::release_memory();
        }
    }
    commands.recv().await
}

async fn next(stream: Option<Arc<AsyncMutex<Stream>>>) -> Result<(Kind, Vec<u8>), Vec<u8>> {
    let Some(stream) = stream else {
        return Err(wire::encode_error(&ProviderError::internal("there is no such stream")));
    };
    let chunk = stream.lock().await.next().await?;
    Ok(chunk.map_or((Kind::End, Vec::new()), |chunk| (Kind::Chunk, chunk)))
}

/// Spawns what answers a frame.
struct Runner {
    outgoing: mpsc::Sender<Frame>,
}

impl Runner {
    fn spawn(
        &mut self,
        id: u64,
        body: impl Future<Output = Result<(Kind, Vec<u8>), Vec<u8>>> + Send + 'static,
    ) -> AbortHandle {
        let outgoing = self.outgoing.clone();
        let task = tokio::spawn(async move {
            let frame = match body.await {
                Ok((kind, body)) => Frame::new(kind, id, body),
                Err(error) => Frame::new(Kind::Error, id, error),
            };
            // Closed only when the process ends.
            let _ = outgoing.send(frame).await;
        });
        task.abort_handle()
    }
}

fn cancelled() -> ProviderError {
    ProviderError::new(ErrorKind::Cancelled, "the call was given up")
}

/// The host as the plugin sees it.
struct RemoteHost {
    outgoing: mpsc::Sender<Frame>,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Answer>>>,
    next_id: AtomicU64,
    /// Calls that were given up while there was no room to say so.
    late: Mutex<Vec<u64>>,
}

impl RemoteHost {
    fn answer(&self, id: u64, answer: Answer) {
        // Nobody waits where the plugin gave up.
        if let Some(waiting) = lock(&self.waiting).remove(&id) {
            let _ = waiting.send(answer);
        }
    }
}

/// What the plugin holds of it.
struct Remote(Arc<RemoteHost>);

impl Host for Remote {
    fn log(&self, record: &[u8]) {
        let _ = self.0.outgoing.try_send(Frame::new(Kind::Log, 0, record.to_vec()));
    }

    fn call(&self, service: &str, payload: Vec<u8>) -> BoxFuture<'static, Answer> {
        let remote = Arc::clone(&self.0);
        let service = service.to_owned();
        Box::pin(async move {
            if payload.len() > wire::MAX_PAYLOAD {
                let error = ProviderError::new(ErrorKind::TooLarge, format!("the request to {service} is over 1 MiB"));
                return Err(wire::encode_error(&error));
            }
            let id = remote.next_id.fetch_add(1, Ordering::Relaxed);
            let (sender, receiver) = oneshot::channel();
            lock(&remote.waiting).insert(id, sender);
            let _given_up = GivenUp { remote: &remote, id };
            let gone = || wire::encode_error(&ProviderError::unavailable("the host is shutting down"));
            let frame = Frame { kind: Kind::HostCall, id, name: service, body: payload };
            remote.outgoing.send(frame).await.map_err(|_| gone())?;
            receiver.await.unwrap_or_else(|_| Err(gone()))
        })
    }
}

/// Tells the host when the plugin drops a call before its answer.
struct GivenUp<'a> {
    remote: &'a RemoteHost,
    id: u64,
}

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        if lock(&self.remote.waiting).remove(&self.id).is_some() {
            let frame = Frame::new(Kind::HostCancel, self.id, Vec::new());
            if self.remote.outgoing.try_send(frame).is_err() {
                // Lost, it would leave the call running in the host; the writer is busy and takes it next.
                lock(&self.remote.late).push(self.id);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
