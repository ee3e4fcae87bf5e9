//! One configured instance: its limits, its state, and calls to it.

use std::{
    future::Future,
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use zotify_plugin_api::{
    AccountContext, AutomationManifest, Call, Capabilities, ErrorKind, LibraryManifest, ProviderError,
    ProviderManifest, Result, StreamRequest,
    method::{self, Method, PullLibrary},
    wire,
};

use super::{
    breaker::{self, Breaker},
    budget::Limits,
    egress::Egress,
    grants::Permission,
    health::{Health, State},
    inprocess::{Local, LocalStream},
    library::Found,
    services::printable,
    supervisor::{KILLED, RemoteStream, Supervisor},
};
use crate::{
    config::{self, Plugins},
    error::is_code,
    middleware::request_id,
};

/// The longest that a plugin may ask to wait, in milliseconds: a day.
const MAX_RETRY_AFTER_MS: u64 = 24 * 3600 * 1000;

/// How urgent a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// A client waits for it.
    Interactive,
    /// A background job makes it: a longer deadline, and at most half of the calls in flight.
    Job,
}

/// Which part of a plugin an instance is.
#[derive(Clone, Debug)]
pub enum Part {
    /// A provider.
    Provider(Box<ProviderManifest>),
    /// An automation.
    Automation(Box<AutomationManifest>),
}

/// What is known of an instance once its plugin is found and trusted.
pub(super) struct Loaded {
    pub(super) library: Arc<LibraryManifest>,
    pub(super) part: Part,
    pub(super) found: Found,
    pub(super) permissions: Vec<Permission>,
    pub(super) egress: Egress,
    pub(super) missing_folders: MissingFolders,
}

/// The configured folders that were not there at the start. Looking again may block for as long as a network drive
/// does, so it is done aside, and never twice at a time.
pub(super) struct MissingFolders {
    folders: Arc<[PathBuf]>,
    missing: Arc<Mutex<Vec<PathBuf>>>,
    looking: Arc<AtomicBool>,
}

impl MissingFolders {
    pub(super) fn new(missing: Vec<PathBuf>) -> Self {
        let folders = missing.clone().into();
        Self { folders, missing: Arc::new(Mutex::new(missing)), looking: Arc::default() }
    }

    /// Those that were still missing at the last look; looks again for the next time.
    pub(super) fn now(&self) -> Vec<PathBuf> {
        if !self.folders.is_empty() && !self.looking.swap(true, Ordering::AcqRel) {
            let Self { folders, missing, looking } = self;
            let (folders, missing, looking) = (Arc::clone(folders), Arc::clone(missing), Arc::clone(looking));
            tokio::task::spawn_blocking(move || {
                let still = folders.iter().filter(|folder| !folder.is_dir()).cloned().collect();
                *missing.lock().unwrap_or_else(PoisonError::into_inner) = still;
                looking.store(false, Ordering::Release);
            });
        }
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Where an instance runs.
pub(super) enum Backend {
    Process(Arc<Supervisor>),
    InProcess(Local),
}

/// A configured instance.
pub struct InstanceHandle {
    id: String,
    pub(super) automation: bool,
    pub(super) config: config::Instance,
    pub(super) limits: Plugins,
    pub(super) loaded: OnceLock<Loaded>,
    pub(super) backend: OnceLock<Backend>,
    pub(super) health: Arc<Health>,
    pub(super) breaker: Breaker,
    pub(super) calls: Arc<Semaphore>,
    pub(super) max_calls: usize,
    jobs: Semaphore,
    streams: Arc<Semaphore>,
    /// What `check` found out.
    pub(super) checked: Mutex<(Capabilities, Vec<String>)>,
    pub(super) stop: CancellationToken,
    /// Cancelled once it was tried to be loaded.
    pub(super) tried: CancellationToken,
    closed: Egress,
}

impl InstanceHandle {
    pub(super) fn new(
        id: &str,
        automation: bool,
        config: config::Instance,
        limits: Plugins,
        health: Health,
        stop: CancellationToken,
    ) -> Self {
        let max_calls = limits.max_calls.max(1);
        Self {
            id: id.to_owned(),
            automation,
            config,
            loaded: OnceLock::new(),
            backend: OnceLock::new(),
            health: Arc::new(health),
            breaker: Breaker::new(&limits.breaker),
            calls: Arc::new(Semaphore::new(max_calls)),
            max_calls,
            jobs: Semaphore::new((max_calls / 2).max(1)),
            streams: Arc::new(Semaphore::new(max_calls * 4)),
            limits,
            checked: Mutex::default(),
            stop,
            tried: CancellationToken::new(),
            closed: Egress::closed(),
        }
    }

    /// The instance's id: the first segment of every URI that it owns.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What state it is in.
    pub fn state(&self) -> State {
        self.health.state()
    }

    /// Waits until it was tried to be loaded. Its state may still be [`State::Loading`], where it is tried again.
    pub async fn tried(&self) {
        self.tried.cancelled().await;
    }

    /// The provider's manifest; none before the plugin is loaded, and for automations.
    pub fn manifest(&self) -> Option<&ProviderManifest> {
        match &self.loaded.get()?.part {
            Part::Provider(manifest) => Some(manifest),
            Part::Automation(_) => None,
        }
    }

    /// The manifest of the library; none before the plugin is loaded.
    pub fn library_manifest(&self) -> Option<&LibraryManifest> {
        self.loaded.get().map(|loaded| &*loaded.library)
    }

    /// Whether the provider declares a capability.
    pub fn has(&self, capability: &str) -> bool {
        self.manifest().is_some_and(|m| m.capabilities.iter().any(|c| c == capability))
    }

    /// The folders that the plugin may read: canonical paths. Only beneath them may its files be opened.
    pub fn granted_roots(&self) -> Vec<PathBuf> {
        self.health.now().roots
    }

    /// The way to addresses that the plugin names.
    pub fn egress(&self) -> &Egress {
        self.loaded.get().map_or(&self.closed, |loaded| &loaded.egress)
    }

    /// How often its service may be asked.
    pub fn budget_limits(&self) -> Limits {
        Limits::of(self.manifest().and_then(|manifest| manifest.limits.budget), &self.config.budget)
    }

    /// Lowers the calls in flight to what the manifest wishes.
    pub(super) fn limit_calls(&self, wished: Option<u32>) {
        if let Some(wished) = wished.map(|n| n.max(1) as usize).filter(|n| *n < self.max_calls) {
            self.calls.forget_permits(self.max_calls - wished);
        }
    }

    /// Calls in flight.
    pub(super) fn in_flight(&self) -> usize {
        let wished = self.manifest().and_then(|m| m.limits.concurrency).map_or(usize::MAX, |n| n.max(1) as usize);
        self.max_calls.min(wished).saturating_sub(self.calls.available_permits())
    }

    /// Calls a method of the plugin.
    ///
    /// # Errors
    /// What the plugin answers; `timeout`, `crashed`, `panicked`; `unavailable` while it does not run, or pauses after
    /// crashes (`restarting`), or its breaker is open (`breaker_open`), or it has too much to do (`busy`).
    pub async fn call<M: Method>(&self, account: Option<&str>, lane: Lane, request: M::Request) -> Result<M::Reply> {
        let limit = Duration::from_secs(match lane {
            Lane::Interactive => self.limits.call_timeout_s,
            Lane::Job => self.limits.job_timeout_s,
        });
        let deadline = Instant::now() + limit;
        let call = Call {
            request_id: request_id::current(),
            account: account.map(|id| AccountContext { id: id.to_owned() }),
            deadline_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
            background: lane == Lane::Job,
            request,
        };
        let payload = wire::encode(&call)?;
        if payload.len() > wire::MAX_PAYLOAD {
            return Err(ProviderError::new(ErrorKind::TooLarge, "the request to the plugin is over 1 MiB"));
        }
        if lane == Lane::Job && M::NAME == PullLibrary::NAME {
            // A folder that does not answer in time is the plugin's to report.
            let _ = tokio::time::timeout_at(deadline, self.refresh_folders()).await;
        }
        let span = tracing::debug_span!("plugin_call", instance = self.id, method = M::NAME);
        let answer = self.guarded(lane, deadline, self.send(M::NAME, payload, deadline)).instrument(span).await?;
        if answer.len() > wire::MAX_PAYLOAD {
            return Err(ProviderError::new(ErrorKind::TooLarge, "the plugin's answer is over 1 MiB"));
        }
        wire::decode(&answer)
    }

    async fn refresh_folders(&self) {
        if let Some(Backend::Process(supervisor)) = self.backend.get() {
            supervisor.refresh_folders().await;
        }
    }

    /// Runs a call inside the limits, and takes note of how it went.
    async fn guarded<T>(&self, lane: Lane, deadline: Instant, body: impl Future<Output = Result<T>>) -> Result<T> {
        self.running()?;
        self.breaker.admit(std::time::Instant::now()).map_err(|wait| {
            ProviderError::unavailable("the provider failed several times in short order; it is tried again soon")
                .with_code("breaker_open")
                .with_retry_after_ms(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
        })?;
        let busy = || ProviderError::unavailable("the provider has too much to do").with_code("busy");
        let permits = async {
            let job = if lane == Lane::Job { Some(self.jobs.acquire().await) } else { None };
            (job, self.calls.acquire().await)
        };
        let _permits =
            tokio::time::timeout_at(deadline, permits).await.map_err(|_| busy().with_retry_after_ms(1000))?;
        let result = body.await.map_err(sanitised);
        let failed = result.as_ref().is_err_and(|e| breaker::is_failure(e.kind));
        self.breaker.record(failed, std::time::Instant::now());
        result
    }

    /// Refuses calls to what does not run.
    fn running(&self) -> Result<()> {
        let (why, code) = match self.state() {
            State::Started => return Ok(()),
            // A process that is starting is waited for, unless that would take long.
            State::Loading => match self.backend.get() {
                Some(Backend::Process(supervisor)) => return supervisor.awaited(),
                Some(Backend::InProcess(_)) => return Ok(()),
                None => ("is still being loaded", "starting"),
            },
            State::Failed => ("could not be started", "not_running"),
            State::Quarantined => ("is left alone after what it did; its problem says more", "quarantined"),
            State::Disabled => ("is disabled", "disabled"),
        };
        Err(ProviderError::unavailable(format!("the provider {} {why}", self.id)).with_code(code))
    }

    async fn send(&self, name: &str, payload: Vec<u8>, deadline: Instant) -> Result<Vec<u8>> {
        match self.backend()? {
            Backend::InProcess(local) => local.call(name, payload, deadline).await,
            Backend::Process(supervisor) if is_read(name) => {
                let first = supervisor.call(name, payload.clone(), deadline).await;
                match first {
                    // Whoever killed the process meant no harm to this call; it changes nothing, so once more.
                    Err(e) if e.code.as_deref() == Some(KILLED) => supervisor.call(name, payload, deadline).await,
                    answer => answer,
                }
            }
            Backend::Process(supervisor) => supervisor.call(name, payload, deadline).await,
        }
    }

    fn backend(&self) -> Result<&Backend> {
        self.backend
            .get()
            .ok_or_else(|| ProviderError::unavailable("the plugin is not running").with_code("not_running"))
    }

    /// Opens a stream that a media source named.
    ///
    /// # Errors
    /// As [`InstanceHandle::call`].
    pub async fn open_stream(&self, request: StreamRequest) -> Result<PluginStream> {
        let limit = Duration::from_secs(self.limits.call_timeout_s);
        let deadline = Instant::now() + limit;
        let call = Call {
            request_id: request_id::current(),
            account: None,
            deadline_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
            background: false,
            request,
        };
        let payload = wire::encode(&call)?;
        let permit = Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            ProviderError::unavailable("the provider has too many streams open")
                .with_code("busy")
                .with_retry_after_ms(1000)
        })?;
        let opening = async {
            Ok(match self.backend()? {
                Backend::InProcess(local) => Source::Local(local.open_stream(payload, deadline).await?),
                Backend::Process(supervisor) => Source::Remote(supervisor.open_stream(payload, deadline).await?),
            })
        };
        let source = self.guarded(Lane::Interactive, deadline, opening).await?;
        Ok(PluginStream {
            source: Some(source),
            first: None,
            idle: Duration::from_secs(self.limits.stream_idle_s),
            _permit: permit,
        })
    }

    /// Asks the provider how it is, for the report.
    pub(super) async fn check(&self) {
        match self.call::<method::Check>(None, Lane::Job, ()).await {
            Ok(checked) => {
                let warnings = checked.warnings.iter().take(20).map(|w| printable(w)).collect();
                *self.checked.lock().unwrap_or_else(PoisonError::into_inner) = (checked.capabilities, warnings);
            }
            Err(e) if e.kind == ErrorKind::Unsupported => {}
            Err(e) => tracing::warn!(instance = self.id, "the provider's own check failed: {e}"),
        }
    }
}

/// Whether a method changes nothing, so that it may be called twice.
fn is_read(name: &str) -> bool {
    use method::{
        Check, GetChildren, GetItem, ListLikes, ListPlaylistItems, ListPlaylists, ListPlays, OpenArtwork, OpenMedia,
        ResolveItems, SearchCatalog,
    };
    [
        Check::NAME,
        GetItem::NAME,
        GetChildren::NAME,
        SearchCatalog::NAME,
        PullLibrary::NAME,
        ListPlaylists::NAME,
        ListPlaylistItems::NAME,
        ListLikes::NAME,
        ListPlays::NAME,
        OpenMedia::NAME,
        OpenArtwork::NAME,
        ResolveItems::NAME,
    ]
    .contains(&name)
}

/// The plugin's words, fit for logs and clients.
fn sanitised(error: ProviderError) -> ProviderError {
    let message = printable(&error.message);
    let code = error.code.filter(|code| is_code(code));
    let retry_after_ms = error.retry_after_ms.map(|ms| ms.min(MAX_RETRY_AFTER_MS));
    ProviderError { message: message.chars().take(500).collect(), code, retry_after_ms, ..error }
}

enum Source {
    Local(LocalStream),
    Remote(RemoteStream),
}

/// A stream of bytes that a plugin makes.
pub struct PluginStream {
    /// None after the end or a failure.
    source: Option<Source>,
    /// Read ahead.
    first: Option<Bytes>,
    idle: Duration,
    _permit: OwnedSemaphorePermit,
}

impl PluginStream {
    /// Reads ahead to the first bytes: until there are some, a failure can still be told in full. Answers whether there
    /// are any.
    ///
    /// # Errors
    /// As [`PluginStream::next`].
    pub async fn begin(&mut self) -> Result<bool> {
        let idle = self.idle;
        let first = async {
            loop {
                match self.next().await? {
                    Some(empty) if empty.is_empty() => {}
                    first => return Ok::<_, ProviderError>(first),
                }
            }
        };
        let still = |_| ProviderError::new(ErrorKind::Timeout, "the plugin's stream does not start");
        self.first = tokio::time::timeout(idle, first).await.map_err(still)??;
        Ok(self.first.is_some())
    }

    /// The next chunk, at most 64 KiB; none at the end.
    ///
    /// # Errors
    /// What the plugin answers; `timeout` when the stream stands still.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let Some(mut source) = self.source.take() else { return Ok(None) };
        let deadline = Instant::now() + self.idle;
        let chunk = match &mut source {
            Source::Local(stream) => stream.next(deadline).await,
            Source::Remote(stream) => stream.next(deadline).await,
        };
        let Some(chunk) = chunk.map_err(sanitised)? else { return Ok(None) };
        if chunk.len() > wire::MAX_CHUNK {
            return Err(ProviderError::new(ErrorKind::TooLarge, "the plugin's chunk is over 64 KiB"));
        }
        self.source = Some(source);
        Ok(Some(chunk.into()))
    }
}
