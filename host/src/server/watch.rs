//! Watches over one connection: whose turn it is, and since when. A client that lets the host wait for a request, or
//! leaves an answer unread, is found here whatever version of HTTP it speaks.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{Response, Version},
};
use hyper::body::{Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// How long a client may keep the host waiting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// For the head of a request, from its first byte on, or from the start of the connection.
    pub(super) header: Duration,
    /// For the next request.
    pub(super) idle: Duration,
    /// With a part of an answer that it has yet to take.
    pub(super) write: Duration,
}

/// What a client did not do in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    /// It sent no further request.
    Idle,
    /// It did not end the head of a request.
    Head,
    /// It did not read the answer.
    Unread,
}

/// What happens on a connection.
pub(super) struct Watch {
    limits: Limits,
    state: Mutex<State>,
}

struct State {
    /// Requests under way.
    answers: Vec<Arc<Mutex<Answer>>>,
    /// Since when there are none.
    idle_since: Instant,
    /// When the first byte of the next request came.
    head_since: Option<Instant>,
    /// No request came yet.
    fresh: bool,
    /// HTTP/2 sends more than requests, and several at once.
    multiplexed: bool,
}

/// The answer to a request.
#[derive(Default)]
struct Answer {
    body: Option<Body>,
    /// Since when a part of it waits to be taken by the client; nothing while the host has to make the next one.
    unread_since: Option<Instant>,
    cut: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        let state = State {
            answers: Vec::new(),
            idle_since: Instant::now(),
            head_since: None,
            fresh: true,
            multiplexed: false,
        };
        Arc::new(Self { limits, state: Mutex::new(state) })
    }

    /// A request came.
    pub(super) fn begin(self: &Arc<Self>, version: Version) -> InFlight {
        let answer = Arc::default();
        let mut state = lock(&self.state);
        state.answers.push(Arc::clone(&answer));
        state.head_since = None;
        state.fresh = false;
        state.multiplexed |= version == Version::HTTP_2;
        InFlight { watch: Arc::clone(self), answer }
    }

    fn end(&self, answer: &Arc<Mutex<Answer>>) {
        let mut state = lock(&self.state);
        state.answers.retain(|other| !Arc::ptr_eq(other, answer));
        if state.answers.is_empty() {
            state.idle_since = Instant::now();
        }
    }

    fn received(&self) {
        let mut state = lock(&self.state);
        if state.answers.is_empty() && !state.multiplexed && state.head_since.is_none() {
            state.head_since = Some(Instant::now());
        }
    }

    /// Gives a client that was told to go the time to do so.
    pub(super) fn dismiss(&self) {
        let mut state = lock(&self.state);
        state.idle_since = Instant::now();
        state.fresh = true;
    }

    /// Waits until the client is late with something.
    pub(super) async fn late(&self) -> Late {
        loop {
            let now = Instant::now();
            let next = match self.due(now) {
                Some((at, late)) if at <= now => match self.give_up(late, now) {
                    Some(late) => return late,
                    None => continue,
                },
                Some((at, _)) => at,
                None => now + self.limits.write,
            };
            // What begins meanwhile may be due earlier; it is seen a little late.
            let next = next.min(now + self.limits.header.min(self.limits.write));
            tokio::time::sleep_until(next.into()).await;
        }
    }

    /// What the client is due to do next, and until when.
    fn due(&self, now: Instant) -> Option<(Instant, Late)> {
        let state = lock(&self.state);
        if state.answers.is_empty() {
            return Some(match state.head_since {
                Some(since) => (since + self.limits.header, Late::Head),
                None if state.fresh => (state.idle_since + self.limits.header, Late::Idle),
                None => (state.idle_since + self.limits.idle, Late::Idle),
            });
        }
        if state.answers.iter().all(|answer| lock(answer).cut) {
            return Some((now, Late::Unread));
        }
        let unread = state.answers.iter().filter_map(|answer| lock(answer).unread_since).min()?;
        Some((unread + self.limits.write, Late::Unread))
    }

    /// Ends the answers that are not read. The connection goes on for those that are, where there are any.
    fn give_up(&self, late: Late, now: Instant) -> Option<Late> {
        if late != Late::Unread {
            return Some(late);
        }
        let mut bodies = Vec::new();
        let mut others = false;
        {
            let state = lock(&self.state);
            for answer in &state.answers {
                let mut answer = lock(answer);
                if answer.unread_since.is_some_and(|since| since + self.limits.write <= now) {
                    answer.unread_since = None;
                    answer.cut = true;
                    bodies.extend(answer.body.take());
                }
                others |= !answer.cut;
            }
        }
        tracing::debug!("a client left {} answers unread", bodies.len());
        if others { None } else { Some(late) }
    }
}

/// A request under way, until its answer is read or dropped.
pub(super) struct InFlight {
    watch: Arc<Watch>,
    answer: Arc<Mutex<Answer>>,
}

impl InFlight {
    /// The answer, watched.
    pub(super) fn answer(self, response: Response<Body>) -> Response<Body> {
        response.map(|body| {
            lock(&self.answer).body = Some(body);
            Body::new(Watched(self))
        })
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.watch.end(&self.answer);
    }
}

/// A body that notes when a part of it was handed over.
struct Watched(InFlight);

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut answer = lock(&self.0.answer);
        answer.unread_since = None;
        let Some(body) = &mut answer.body else {
            let late = || axum::Error::new(io::Error::from(io::ErrorKind::TimedOut));
            return Poll::Ready(answer.cut.then(|| Err(late())));
        };
        let frame = ready!(Pin::new(body).poll_frame(context));
        match &frame {
            Some(Ok(_)) => answer.unread_since = Some(Instant::now()),
            _ => answer.body = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let answer = lock(&self.0.answer);
        answer.body.as_ref().map_or(!answer.cut, HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.0.answer).body.as_ref().map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

/// A socket that notes when something was received.
pub(super) struct Socket {
    stream: TcpStream,
    watch: Arc<Watch>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, watch: Arc<Watch>) -> Self {
        Self { stream, watch }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buf))?;
        if buf.filled().len() > before {
            self.watch.received();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use futures::{StreamExt as _, stream};
    use tokio::sync::oneshot;

    use super::*;

    const LIMITS: Limits =
        Limits { header: Duration::from_secs(3600), idle: Duration::from_secs(3600), write: Duration::from_millis(20) };

    async fn next(body: &mut Body) -> Option<Result<Frame<Bytes>, axum::Error>> {
        std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await
    }

    #[tokio::test]
    async fn an_unread_answer_is_let_go_and_others_are_not() {
        let watch = Watch::new(LIMITS);
        let answer = |body| watch.begin(Version::HTTP_2).answer(Response::new(body)).into_body();
        let (held, let_go) = oneshot::channel::<()>();
        let endless = stream::repeat_with(move || {
            let _held = &held;
            Ok::<_, io::Error>(Bytes::from_static(b"x"))
        });
        let mut unread = answer(Body::from_stream(endless));
        assert!(next(&mut unread).await.unwrap().is_ok());
        // The host has yet to make the next part of this one.
        let mut slow = answer(Body::from_stream(stream::pending::<io::Result<Bytes>>().boxed()));
        assert!(Pin::new(&mut slow).poll_frame(&mut Context::from_waker(Waker::noop())).is_pending());
        tokio::select! {
            late = watch.late() => panic!("{late:?}, although an answer is under way"),
            gone = let_go => assert!(gone.is_err(), "what made the answer is dropped"),
        }
        assert!(next(&mut unread).await.unwrap().is_err(), "a part does not pass for the whole");
        drop(slow);
        assert_eq!(watch.late().await, Late::Unread, "nothing else is under way");
    }

    #[tokio::test]
    async fn a_head_that_has_begun_has_to_end() {
        let limits = Limits { header: Duration::from_millis(20), ..LIMITS };
        let watch = Watch::new(limits);
        assert_eq!(watch.late().await, Late::Idle, "nothing came");
        drop(watch.begin(Version::HTTP_11));
        watch.received();
        assert_eq!(watch.late().await, Late::Head);
        drop(watch.begin(Version::HTTP_2));
        watch.received();
        assert_eq!(watch.due(Instant::now()).unwrap().1, Late::Idle, "HTTP/2 sends more than requests");
    }
}
