//! Keeps the process of one instance running: starts it, notices its end, starts it again, gives it up.

use std::{collections::VecDeque, io, path::PathBuf, process::ExitStatus, sync::Arc, time::Duration};

use nix::sys::signal::Signal;
use std::os::unix::process::ExitStatusExt as _;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use zotify_plugin_api::{ErrorKind, ProviderError, Result, model::CreateRequest, wire};

use super::{
    grants::{Grants, Identity, Roots},
    health::Health,
    launch::{self, LaunchError, Launched},
    link::Link,
    refusal::{Code, Refusal},
    services::Services,
};
use crate::{
    config::{Plugins, SandboxPolicy},
    worker::{
        frame::{self, Frame, Hello, Kind},
        sandbox::Spec,
    },
};

mod excess;

/// The code of a crash that came from outside: such a call may be tried once more.
pub(super) const KILLED: &str = "process_killed";
/// How long a process may take to become ready.
const START_TIMEOUT: Duration = Duration::from_secs(15);
/// How long after the end of the socket the process may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest pause before another start.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// Calls wait for a start that is no further away than this.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is needed to start an instance's process.
pub(super) struct Plan {
    pub(super) program: PathBuf,
    /// The host's copy of the plugin.
    pub(super) plugin: PathBuf,
    /// The process's own folder.
    pub(super) folder: PathBuf,
    pub(super) grants: Grants,
    pub(super) create: CreateRequest,
    pub(super) config: Plugins,
}

/// What the process is at.
#[derive(Clone)]
enum Slot {
    Starting,
    /// It crashed several times; the next start is at this time.
    Pausing(Instant),
    Up(Arc<Link>),
    Over(ProviderError),
}

impl Slot {
    /// Why calls can't wait for the process: the next start is too far away.
    fn too_far(&self) -> Option<ProviderError> {
        let Self::Pausing(until) = self else { return None };
        let left = until.saturating_duration_since(Instant::now());
        let error = || {
            ProviderError::unavailable("the plugin crashed several times; it is started again after a pause")
                .with_code("restarting")
                .with_retry_after_ms(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
        };
        (left > PATIENCE).then(error)
    }
}

/// Supervises one process.
pub(super) struct Supervisor {
    plan: Plan,
    services: Arc<Services>,
    health: Arc<Health>,
    slot: watch::Sender<Slot>,
    identities: std::sync::Mutex<Vec<Identity>>,
    restart: Notify,
    stop: CancellationToken,
    /// Cancelled once a start went one way or the other.
    tried: CancellationToken,
}

/// How a run ended.
enum Ended {
    /// The host asked for it.
    Stopped,
    /// The host wants a new process.
    Restart,
    /// It ended by itself or was killed; another try may go better.
    Crashed(Refusal),
    /// It cannot be started, and another try would not change that.
    Refused(Refusal),
}

impl Supervisor {
    pub(super) fn new(plan: Plan, services: Arc<Services>, health: Arc<Health>, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            plan,
            services,
            health,
            slot: watch::Sender::new(Slot::Starting),
            identities: std::sync::Mutex::default(),
            restart: Notify::new(),
            stop,
            tried: CancellationToken::new(),
        })
    }

    /// Ends when the first start succeeded, failed, or is to be tried again.
    pub(super) async fn tried(&self) {
        self.tried.cancelled().await;
    }

    /// Calls a method of the plugin.
    pub(super) async fn call(&self, method: &str, payload: Vec<u8>, deadline: Instant) -> Result<Vec<u8>> {
        let link = self.link(deadline).await?;
        let frame = Frame { kind: Kind::Call, id: link.next_id(), name: method.to_owned(), body: payload };
        Ok(link.request(frame, deadline).await?.body)
    }

    /// Opens a stream; answers its id.
    pub(super) async fn open_stream(&self, payload: Vec<u8>, deadline: Instant) -> Result<RemoteStream> {
        let link = self.link(deadline).await?;
        let stream = RemoteStream { id: link.next_id(), link };
        stream.link.request(Frame::new(Kind::OpenStream, stream.id, payload), deadline).await?;
        Ok(stream)
    }

    async fn link(&self, deadline: Instant) -> Result<Arc<Link>> {
        let mut slot = self.slot.subscribe();
        let settled = slot.wait_for(|slot| match slot {
            Slot::Starting => false,
            Slot::Pausing(_) => slot.too_far().is_some(),
            Slot::Up(_) | Slot::Over(_) => true,
        });
        let starting = || ProviderError::unavailable("the plugin is still starting").with_code("starting");
        let slot = tokio::time::timeout_at(deadline, settled).await.map_err(|_| starting())?.map_err(|_| starting())?;
        match &*slot {
            Slot::Up(link) => Ok(Arc::clone(link)),
            Slot::Over(error) => Err(error.clone()),
            Slot::Starting | Slot::Pausing(_) => Err(slot.too_far().unwrap_or_else(starting)),
        }
    }

    /// Refuses calls while the next start is too far away to be waited for.
    ///
    /// # Errors
    /// `unavailable` with the code `restarting`.
    pub(super) fn awaited(&self) -> Result<()> {
        self.slot.borrow().too_far().map_or(Ok(()), Err)
    }

    /// Starts the process anew if a granted folder was replaced since: its sandbox knows the old one only.
    pub(super) async fn refresh_folders(&self) {
        let Ok((_, now)) = self.look_at_folders().await else { return };
        let mut known = self.identities.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *known != now {
            tracing::info!(instance = self.plan.create.instance, "a folder was replaced; the plugin is started anew");
            *known = now;
            let was_up = self.slot.send_if_modified(|slot| {
                let up = matches!(slot, Slot::Up(_));
                if up {
                    *slot = Slot::Starting;
                }
                up
            });
            if was_up {
                self.restart.notify_one();
            }
        }
    }

    /// The granted folders and what stands there now. On a thread of its own: a network drive that is gone blocks.
    async fn look_at_folders(&self) -> io::Result<(Roots, Vec<Identity>)> {
        let grants = self.plan.grants.clone();
        let look = tokio::task::spawn_blocking(move || (grants.roots(), grants.identities()));
        look.await.map_err(io::Error::other)
    }

    /// Runs until it is stopped or the instance is given up.
    pub(super) async fn run(self: Arc<Self>) {
        let mut crashes = Crashes::new(&self.plan.config);
        let _tried = self.tried.clone().drop_guard();
        loop {
            let started = Instant::now();
            let ended = self.run_once().await;
            self.slot.send_replace(Slot::Starting);
            match ended {
                Ended::Stopped => return self.over("the host is shutting down"),
                Ended::Restart => self.health.restarting(None),
                Ended::Refused(refusal) => {
                    self.over(&refusal.detail);
                    return self.health.failed(refusal);
                }
                Ended::Crashed(problem) => {
                    tracing::warn!(instance = self.plan.create.instance, "{}", problem.detail);
                    let Some(pause) = crashes.record(started) else {
                        self.over("the plugin crashed too often and is left alone");
                        return self.health.quarantined(problem);
                    };
                    self.slot.send_replace(Slot::Pausing(Instant::now() + pause));
                    self.health.restarting(Some(problem));
                    self.tried.cancel();
                    if self.stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                        return self.over("the host is shutting down");
                    }
                    self.slot.send_replace(Slot::Starting);
                }
            }
        }
    }

    fn over(&self, why: &str) {
        let error = ProviderError::unavailable(why).with_code("not_running");
        self.slot.send_replace(Slot::Over(error));
    }

    /// Starts a process and stays with it until it ends.
    async fn run_once(&self) -> Ended {
        // Dropping a launch kills its process.
        let Some(launched) = self.stop.run_until_cancelled(self.launch()).await else { return Ended::Stopped };
        let (launched, roots) = match launched {
            Ok(launched) => launched,
            Err(LaunchError::Ended(status)) => return Ended::Crashed(crashed(&launch::describe(status))),
            Err(error @ LaunchError::Timeout) => return Ended::Crashed(error.refusal(Code::StartTimeout)),
            Err(error) => return Ended::Refused(error.refusal(Code::StartTimeout)),
        };
        let Launched { mut child, socket, ready } = launched;
        let grace = Duration::from_secs(self.plan.config.grace_s);
        let (link, mut reader) = Link::new(socket, Arc::clone(&self.services), grace);
        self.slot.send_replace(Slot::Up(Arc::clone(&link)));
        self.health.started(ready.sandbox, roots);
        self.tried.cancel();
        let mut why = String::new();
        let (wanted, read) = tokio::select! {
            read = &mut reader => (None, Some(read.map_err(io::Error::other).flatten())),
            () = link.kill.cancelled() => {
                why = "a call neither ended nor was given up".into();
                (None, None)
            }
            found = excess::outgrown(child.id(), self.plan.config.memory_mib) => {
                why = found;
                (None, None)
            }
            () = self.stop.cancelled() => (Some(Ended::Stopped), None),
            () = self.restart.notified() => (Some(Ended::Restart), None),
        };
        self.slot.send_replace(Slot::Starting);
        if let Some(Err(error)) = &read {
            tracing::warn!(instance = self.plan.create.instance, "the plugin's process breaks the rules: {error}");
            why = "it sent what is no frame".into();
        }
        let (status, killed) = reap(&mut child, matches!(read, Some(Ok(())))).await;
        reader.abort();
        self.finish(&link, status, killed.then_some(why), wanted)
    }

    /// Tells those who wait how the process ended; `killed` says why the host ended it, if it did.
    fn finish(
        &self,
        link: &Link,
        status: io::Result<ExitStatus>,
        killed: Option<String>,
        wanted: Option<Ended>,
    ) -> Ended {
        link.kill.cancel();
        let how = match (&killed, &status) {
            (Some(why), _) if why.is_empty() => "killed by the host".to_owned(),
            (Some(why), _) => format!("killed by the host: {why}"),
            (None, Ok(status)) => launch::describe(*status),
            (None, Err(error)) => error.to_string(),
        };
        if let Some(wanted) = wanted {
            link.end(&ProviderError::unavailable("the plugin was stopped by the host"));
            return wanted;
        }
        let problem = crashed(&how);
        let mut error = ProviderError::new(ErrorKind::Crashed, problem.detail.clone());
        let from_outside = [Signal::SIGKILL, Signal::SIGTERM].map(|s| Some(s as i32));
        if killed.is_none() && status.is_ok_and(|s| from_outside.contains(&s.signal())) {
            error = error.with_code(KILLED);
        }
        link.end(&error);
        Ended::Crashed(problem)
    }

    async fn launch(&self) -> Result<(Launched, Vec<PathBuf>), LaunchError> {
        let Plan { program, plugin, folder, create, config, .. } = &self.plan;
        let own = folder.clone();
        tokio::task::spawn_blocking(move || make_folder(&own)).await.map_err(io::Error::other)??;
        let (roots, identities) = self.look_at_folders().await?;
        *self.identities.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = identities;
        let of = |write: bool| roots.iter().filter(move |(_, w)| *w == write).map(|(path, _)| path.clone());
        let sandbox = Spec {
            required: config.sandbox == SandboxPolicy::Required,
            read: of(false).chain([plugin.clone(), folder.clone()]).collect(),
            write: of(true).collect(),
            memory_mib: config.memory_mib,
        };
        let hello = Hello {
            build: frame::build(),
            frames: frame::VERSION,
            plugin: plugin.clone(),
            sandbox,
            create: Some(wire::encode(create).map_err(io::Error::other)?),
        };
        let log = |record: &[u8]| self.services.log(record);
        let launched = launch::launch(program, folder, &hello, START_TIMEOUT, &create.instance, &log).await?;
        Ok((launched, roots.iter().map(|(path, _)| path.clone()).collect()))
    }
}

fn crashed(how: &str) -> Refusal {
    Refusal::new(Code::Crashed, format!("the plugin's process ended ({how})"))
}

/// Waits for a process that is ending by itself; kills every other one, and one that does not get on with it. Answers
/// whether it had to be killed.
async fn reap(child: &mut tokio::process::Child, ending: bool) -> (io::Result<ExitStatus>, bool) {
    if ending && let Ok(status) = tokio::time::timeout(END_TIMEOUT, child.wait()).await {
        return (status, false);
    }
    if let Ok(Some(status)) = child.try_wait() {
        return (Ok(status), false);
    }
    // Fails only where it has ended meanwhile.
    let _ = child.start_kill();
    (child.wait().await, true)
}

/// Makes the process's own folder, empty, which only the host's user may look into.
fn make_folder(folder: &std::path::Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Counts crashes.
struct Crashes {
    limit: usize,
    window: Duration,
    recent: VecDeque<Instant>,
    /// Crashes without a healthy time between.
    in_a_row: u32,
}

impl Crashes {
    fn new(config: &Plugins) -> Self {
        Self {
            limit: config.quarantine.crashes as usize,
            window: Duration::from_secs(config.quarantine.window_s),
            recent: VecDeque::new(),
            in_a_row: 0,
        }
    }

    /// How long to wait before another start: at once at first, then 1, 2, 4… seconds. None when it was one too many.
    fn record(&mut self, started: Instant) -> Option<Duration> {
        let now = Instant::now();
        self.recent.push_back(now);
        while self.recent.front().is_some_and(|first| *first + self.window < now) {
            self.recent.pop_front();
        }
        if self.recent.len() >= self.limit {
            return None;
        }
        if now - started > Duration::from_secs(60) {
            self.in_a_row = 0;
        }
        let pause = match self.in_a_row {
            0 => Duration::ZERO,
            n => Duration::from_secs(1 << (n - 1).min(5)).min(MAX_BACKOFF),
        };
        self.in_a_row += 1;
        Some(pause)
    }
}

/// A stream in another process.
pub(super) struct RemoteStream {
    link: Arc<Link>,
    id: u64,
}

impl RemoteStream {
    /// The next chunk; none at the end.
    pub(super) async fn next(&mut self, deadline: Instant) -> Result<Option<Vec<u8>>> {
        let frame = self.link.request(Frame::new(Kind::Next, self.id, Vec::new()), deadline).await?;
        Ok((frame.kind == Kind::Chunk).then_some(frame.body))
    }
}

impl Drop for RemoteStream {
    fn drop(&mut self) {
        self.link.notify(Frame::new(Kind::Close, self.id, Vec::new()));
    }
}
