//! Accepts connections and serves each in a task of its own, until it ends, is late or the host stops.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{Request, Response},
    serve::Listener,
};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use super::{
    slots::{Slot, Slots},
    watch::{InFlight, Late, Limits, Socket, Watch},
};
use crate::AppState;

/// Bytes that are held of a connection at most, and so the largest head of a request. It has at most 100 headers.
const MAX_HELD: usize = 128 << 10;
/// The most requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 128;
/// An HTTP/2 peer is asked this often whether it is still there, and has as long to answer.
const PING_EVERY: Duration = Duration::from_secs(20);
/// How often the log says that addresses have too many connections.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// All connections of a server.
pub(super) struct Connections {
    app: AppState,
    router: Router,
    builder: Arc<Builder<TokioExecutor>>,
    slots: Slots,
    limits: Limits,
    tasks: TaskTracker,
    cut: CancellationToken,
}

impl Connections {
    pub(super) fn new(app: AppState, router: Router) -> Self {
        let server = &app.config.server;
        let limits = Limits {
            header: Duration::from_secs(server.header_timeout_s),
            idle: Duration::from_secs(server.idle_timeout_s),
            write: Duration::from_secs(server.write_timeout_s),
        };
        Self {
            builder: Arc::new(builder()),
            slots: Slots::new(server),
            limits,
            tasks: TaskTracker::new(),
            cut: CancellationToken::new(),
            app,
            router,
        }
    }

    /// Accepts connections for as long as it is polled.
    pub(super) async fn accept(&self, mut listener: TcpListener) {
        let mut warned: Option<Instant> = None;
        loop {
            // More wait in the system's queue.
            let permit = self.slots.free().await;
            // Goes on after errors; where the system has no file left, after a moment.
            let (stream, peer) = Listener::accept(&mut listener).await;
            let trusted = self.app.config.server.trusts(peer.ip());
            let Some(slot) = self.slots.take(permit, peer.ip(), trusted) else {
                if warned.is_none_or(|at| at.elapsed() > WARN_EVERY) {
                    warned = Some(Instant::now());
                    let limit = self.app.config.server.max_connections_per_address;
                    tracing::warn!(
                        "{} has {limit} connections and gets no more (server.max_connections_per_address); if it is a \
                         proxy of yours, name it in server.trusted_proxies",
                        peer.ip()
                    );
                }
                continue;
            };
            // Answers are written whole: waiting for more to send only delays them.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!("TCP_NODELAY cannot be set: {error}");
            }
            self.tasks.spawn(self.serve(stream, peer, slot));
        }
    }

    /// Waits until all connections ended, at most for `grace`; cuts off the rest, and answers whether there was none.
    pub(super) async fn end(&self, grace: Duration) -> bool {
        self.tasks.close();
        let ended = tokio::time::timeout(grace, self.tasks.wait()).await.is_ok();
        self.cut.cancel();
        self.tasks.wait().await;
        ended
    }

    fn serve(&self, stream: TcpStream, peer: SocketAddr, slot: Slot) -> impl Future<Output = ()> + Send + use<> {
        let (builder, router) = (Arc::clone(&self.builder), self.router.clone());
        let (stop, cut) = (self.app.shutdown.clone(), self.cut.clone());
        let watch = Watch::new(self.limits);
        async move {
            let _slot = slot;
            let requests = Arc::clone(&watch);
            let service = service_fn(move |request: Request<Incoming>| {
                let under_way = requests.begin(request.version());
                answer(router.clone(), peer, request, under_way)
            });
            let socket = TokioIo::new(Socket::new(stream, Arc::clone(&watch)));
            let mut connection = std::pin::pin!(builder.serve_connection(socket, service));
            let mut leaving = false;
            loop {
                tokio::select! {
                    biased;
                    ended = connection.as_mut() => {
                        if let Err(error) = ended {
                            tracing::debug!("a connection broke off: {error}");
                        }
                        return;
                    }
                    () = cut.cancelled() => return,
                    () = stop.cancelled(), if !leaving => {}
                    late = watch.late() => {
                        if leaving || late != Late::Idle {
                            tracing::debug!("a connection was cut off: {late:?}");
                            return;
                        }
                    }
                }
                leaving = true;
                watch.dismiss();
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

async fn answer(
    router: Router,
    peer: SocketAddr,
    request: Request<Incoming>,
    under_way: InFlight,
) -> Result<Response<Body>, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    router.oneshot(request).await.map(|response| under_way.answer(response))
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // The watch has the time: this one would also end connections that wait for their next request.
        .header_read_timeout(None)
        .max_buf_size(MAX_HELD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(16 << 10)
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY);
    builder
}
