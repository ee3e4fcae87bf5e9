//! The connection to one running plugin process: many calls over one socket.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt as _,
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::AbortHandle,
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use zotify_plugin_api::{ErrorKind, ProviderError, Result, wire};

use super::services::Services;
use crate::worker::frame::{self, Frame, Kind};

/// Frames that wait for the socket.
const OUTGOING: usize = 1024;
/// Host services that one process may have running at a time.
const HOST_CALLS: usize = 256;

/// Bytes of requests to host services that one process may have under way, in KiB.
const HOST_CALL_KIB: usize = 16 << 10;
/// Bytes of answers that wait for a process to read them, in KiB.
const ANSWER_KIB: usize = 16 << 10;

/// A frame that waits for the socket.
struct Outgoing {
    frame: Frame,
    /// Its part of [`ANSWER_KIB`].
    _room: Option<OwnedSemaphorePermit>,
}

/// A connection.
pub(super) struct Link {
    outgoing: mpsc::Sender<Outgoing>,
    room: Arc<Semaphore>,
    pending: Mutex<Pending>,
    next_id: AtomicU64,
    grace: Duration,
    host: Handle,
    /// Cancelled when the process is to be killed.
    pub(super) kill: CancellationToken,
}

#[derive(Default)]
struct Pending {
    calls: HashMap<u64, oneshot::Sender<Result<Frame>>>,
    ended: Option<ProviderError>,
}

impl Link {
    /// Takes over a socket. The reader's task ends when the process closes it or breaks the rules.
    pub(super) fn new(
        socket: UnixStream,
        services: Arc<Services>,
        grace: Duration,
    ) -> (Arc<Self>, tokio::task::JoinHandle<io::Result<()>>) {
        let (outgoing, to_write) = mpsc::channel(OUTGOING);
        let link = Arc::new(Self {
            outgoing,
            room: Arc::new(Semaphore::new(ANSWER_KIB)),
            pending: Mutex::default(),
            next_id: AtomicU64::new(1),
            grace,
            host: Handle::current(),
            kill: CancellationToken::new(),
        });
        let (reading, writing) = socket.into_split();
        tokio::spawn(write(writing, to_write, link.kill.clone()));
        let reader = Reader {
            link: Arc::clone(&link),
            services,
            running: Arc::default(),
            permits: Arc::new(Semaphore::new(HOST_CALLS)),
            bytes: Arc::new(Semaphore::new(HOST_CALL_KIB)),
        };
        (link, tokio::spawn(reader.run(reading)))
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new id for a call or a stream.
    pub(super) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends a frame and waits for the one that answers it.
    pub(super) async fn request(self: &Arc<Self>, frame: Frame, deadline: Instant) -> Result<Frame> {
        let id = frame.id;
        let (sender, receiver) = oneshot::channel();
        {
            let mut pending = self.pending();
            if let Some(ended) = &pending.ended {
                return Err(ended.clone());
            }
            pending.calls.insert(id, sender);
        }
        let _cancel = CancelOnDrop { link: self, id, deadline };
        let exchange = async {
            let ended = || ProviderError::new(ErrorKind::Crashed, "the plugin's process ended");
            self.outgoing.send(frame.into()).await.map_err(|_| ended())?;
            receiver.await.map_err(|_| ended())?
        };
        let timeout = || ProviderError::new(ErrorKind::Timeout, "the plugin did not answer in time");
        let answer = tokio::time::timeout_at(deadline, exchange).await.map_err(|_| timeout())??;
        match answer.kind {
            Kind::Error => Err(wire::decode_error(&answer.body)),
            _ => Ok(answer),
        }
    }

    /// Sends a frame that nothing answers.
    pub(super) fn notify(&self, frame: Frame) {
        // A process that reads so little that this is full is about to be killed.
        let _ = self.outgoing.try_send(frame.into());
    }

    /// Fails every call that waits, and all that come.
    pub(super) fn end(&self, error: &ProviderError) {
        let calls = {
            let mut pending = self.pending();
            pending.ended = Some(error.clone());
            std::mem::take(&mut pending.calls)
        };
        for waiting in calls.into_values() {
            let _ = waiting.send(Err(error.clone()));
        }
    }

    /// Hands an answer to who waits for it.
    fn answer(&self, frame: Frame) {
        let waiting = self.pending().calls.remove(&frame.id);
        if let Some(waiting) = waiting {
            let _ = waiting.send(Ok(frame));
        }
    }
}

/// Gives up a call that is dropped before its answer, and kills the process if it does not take note of that.
struct CancelOnDrop<'a> {
    link: &'a Arc<Link>,
    id: u64,
    deadline: Instant,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if !self.link.pending().calls.contains_key(&self.id) {
            return;
        }
        self.link.notify(Frame::new(Kind::Cancel, self.id, Vec::new()));
        // A caller who leaves early does not shorten the plugin's time.
        let (link, id) = (Arc::clone(self.link), self.id);
        let until = self.deadline.max(Instant::now()) + link.grace;
        self.link.host.spawn(async move {
            tokio::time::sleep_until(until).await;
            if link.pending().calls.contains_key(&id) {
                tracing::warn!("the plugin's process is killed: it neither answered a call nor gave it up");
                link.kill.cancel();
            }
        });
    }
}

impl From<Frame> for Outgoing {
    fn from(frame: Frame) -> Self {
        Self { frame, _room: None }
    }
}

async fn write(mut socket: OwnedWriteHalf, mut frames: mpsc::Receiver<Outgoing>, kill: CancellationToken) {
    loop {
        let outgoing = tokio::select! {
            frame = frames.recv() => frame,
            () = kill.cancelled() => None,
        };
        let Some(outgoing) = outgoing else { return };
        let Ok(bytes) = outgoing.frame.encode() else { continue };
        let written = tokio::select! {
            written = socket.write_all(&bytes) => written.is_ok(),
            () = kill.cancelled() => false,
        };
        if !written {
            return;
        }
    }
}

type Running = Arc<Mutex<HashMap<u64, AbortHandle>>>;

/// Reads what the process sends. Never waits for a handler.
struct Reader {
    link: Arc<Link>,
    services: Arc<Services>,
    running: Running,
    permits: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        for task in lock(&self.running).values() {
            task.abort();
        }
    }
}

impl Reader {
    async fn run(self, mut socket: OwnedReadHalf) -> io::Result<()> {
        loop {
            let frame = match frame::read(&mut socket).await {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(()),
                // What a process leaves behind that ends in the middle of something.
                Err(e) if matches!(e.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof) => {
                    return Ok(());
                }
                Err(e) => return Err(e),
            };
            match frame.kind {
                Kind::Reply | Kind::Error | Kind::Chunk | Kind::End => self.link.answer(frame),
                Kind::Log => self.services.log(&frame.body),
                Kind::HostCall => self.host_call(frame)?,
                Kind::HostCancel => {
                    if let Some(task) = lock(&self.running).remove(&frame.id) {
                        task.abort();
                    }
                }
                kind => return Err(io::Error::other(format!("{kind:?} is no frame for the host"))),
            }
        }
    }

    fn host_call(&self, frame: Frame) -> io::Result<()> {
        let id = frame.id;
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        let bytes = Arc::clone(&self.bytes).try_acquire_many_owned(kib(&frame));
        let (Ok(permit), Ok(bytes)) = (permit, bytes) else {
            let busy = ProviderError::unavailable("the plugin has too many host calls in flight");
            let refusal = Frame::new(Kind::HostError, id, wire::encode_error(&busy));
            return self
                .link
                .outgoing
                .try_send(refusal.into())
                .map_err(|_| io::Error::other("it floods the host with calls"));
        };
        let (link, services) = (Arc::clone(&self.link), Arc::clone(&self.services));
        let (running, registered) = (Arc::clone(&self.running), oneshot::channel::<()>());
        let (register, ready) = registered;
        let task = tokio::spawn(async move {
            // The task is in the table before it can take itself out.
            let _ = ready.await;
            let turn = services.turn(&frame.name).await;
            let answer = services.call(&frame.name, &frame.body).await;
            drop((frame, bytes));
            lock(&running).remove(&id);
            send_answer(&link, id, answer).await;
            drop((permit, turn));
        });
        lock(&self.running).insert(id, task.abort_handle());
        let _ = register.send(());
        Ok(())
    }
}

/// Sends the answer of a host service, in parts where it is larger than a frame.
async fn send_answer(link: &Link, id: u64, answer: Result<Vec<u8>>) {
    let send = |frame: Frame| async move {
        let room = Arc::clone(&link.room).acquire_many_owned(kib(&frame)).await;
        let queued = link.outgoing.send(Outgoing { frame, _room: room.ok() }).await;
        queued.is_ok()
    };
    let frame = match answer {
        Ok(mut body) => {
            while body.len() > wire::MAX_PAYLOAD {
                let rest = body.split_off(wire::MAX_PAYLOAD);
                if !send(Frame::new(Kind::HostPart, id, body)).await {
                    return;
                }
                body = rest;
            }
            Frame::new(Kind::HostReply, id, body)
        }
        Err(error) => Frame::new(Kind::HostError, id, wire::encode_error(&error)),
    };
    send(frame).await;
}

/// The room that a frame takes, in KiB.
fn kib(frame: &Frame) -> u32 {
    u32::try_from(frame.body.len() / 1024 + 1).unwrap_or(u32::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
