//! The loaded plugins: finds the instance that owns a URI and calls it across the plugin boundary.
//!
//! Loading goes through [`library`] (find, copy, hash, probe), [`trust`], [`settings`] and [`grants`]; what runs is a
//! process under a [`supervisor`], or an instance in this process ([`inprocess`]); what plugins ask of the host goes
//! through [`services`], and every request to the network through [`egress`].

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use tokio::sync::broadcast;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zotify_plugin_api::{ProviderError, Result, method::Method};

mod breaker;
pub mod budget;
pub mod egress;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod grants;
mod health;
mod inprocess;
mod instance;
mod launch;
pub mod library;
mod link;
mod load;
mod rate;
pub mod refusal;
mod report;
mod services;
mod settings;
mod supervisor;
pub mod trust;

pub use egress::Egress;
pub use grants::Permission;
pub use health::State;
pub use instance::{InstanceHandle, Lane, Part, PluginStream};
pub use launch::own_program;
pub use load::preflight;
pub use refusal::Refusal;
pub use report::{BreakerReport, Capability, Report, Source};

use crate::{
    config::{self, Config},
    db::Db,
    secrets::Secrets,
};

/// Something that the rest of the host may want to hear from plugins.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// The library of an instance changed at its source: of one account of it, or of all.
    LibraryChanged {
        /// The instance.
        instance: String,
        /// The account's id.
        account: Option<String>,
    },
    /// How an account stands changed.
    AccountChanged {
        /// The instance.
        instance: String,
        /// The account's id.
        account: String,
    },
    /// A trigger of an automation fired.
    Triggered {
        /// The instance.
        instance: String,
        /// The trigger, which the manifest declares.
        trigger: String,
        /// What it carries.
        data: serde_json::Value,
    },
}

/// Notices that wait for a listener which is slower than the plugins; the oldest are dropped then.
const NOTICES: usize = 1024;

/// What the registry needs.
pub struct Start {
    /// The effective configuration.
    pub config: Arc<Config>,
    /// The migrated database.
    pub db: Db,
    /// Opens credentials of accounts.
    pub secrets: Arc<Secrets>,
    /// Cancelled when the host stops.
    pub shutdown: CancellationToken,
    /// Where background work is counted.
    pub tasks: TaskTracker,
}

/// All configured instances.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    config: Arc<Config>,
    db: Db,
    secrets: Arc<Secrets>,
    notices: broadcast::Sender<Notice>,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// Processes and their supervisors.
    running: TaskTracker,
    program: PathBuf,
    clients: Option<egress::Clients>,
    handles: RwLock<BTreeMap<String, Arc<InstanceHandle>>>,
    ready: CancellationToken,
}

impl Registry {
    /// Starts to load all configured instances, in the background.
    #[expect(clippy::unused_async, reason = "it needs a runtime around it")]
    pub async fn start(context: Start) -> Self {
        let clients = egress::Clients::new();
        if let Err(error) = &clients {
            tracing::error!("plugins get no network: {error}");
        }
        let registry = Self(Arc::new(Inner {
            db: context.db,
            secrets: context.secrets,
            notices: broadcast::Sender::new(NOTICES),
            stop: context.shutdown.child_token(),
            tasks: context.tasks,
            running: TaskTracker::new(),
            program: context.config.plugins.program.clone().unwrap_or_else(launch::own_program),
            clients: clients.ok(),
            handles: RwLock::default(),
            ready: CancellationToken::new(),
            config: context.config,
        }));
        {
            let mut handles = registry.0.handles.write().unwrap_or_else(PoisonError::into_inner);
            let config = &registry.0.config;
            let providers = config.providers.iter().map(|(id, c)| (id, false, c));
            for (id, automation, instance) in providers.chain(config.automations.iter().map(|(id, c)| (id, true, c))) {
                handles.insert(id.clone(), registry.make_handle(id, automation, instance));
            }
        }
        let loading = registry.clone();
        registry.0.tasks.spawn(async move {
            loading.load_all().await;
            loading.0.ready.cancel();
        });
        registry
    }

    fn make_handle(&self, id: &str, automation: bool, instance: &config::Instance) -> Arc<InstanceHandle> {
        let health = health::Health::new(if instance.enabled { State::Loading } else { State::Disabled });
        let limits = self.0.config.plugins.clone();
        Arc::new(InstanceHandle::new(id, automation, instance.clone(), limits, health, self.0.stop.child_token()))
    }

    /// Waits until every instance was tried to be loaded.
    pub async fn ready(&self) {
        self.0.ready.cancelled().await;
    }

    /// What plugins tell from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Notice> {
        self.0.notices.subscribe()
    }

    /// Stops all instances and waits until their processes are gone.
    pub async fn stop(&self) {
        self.0.stop.cancel();
        self.0.running.close();
        self.0.running.wait().await;
    }

    fn handles(&self) -> Vec<Arc<InstanceHandle>> {
        self.0.handles.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The instances of providers, by id.
    pub fn instances(&self) -> Vec<Arc<InstanceHandle>> {
        self.handles().into_iter().filter(|handle| !handle.automation).collect()
    }

    /// An instance of either kind.
    pub fn get(&self, id: &str) -> Option<Arc<InstanceHandle>> {
        self.0.handles.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// How the instances of providers are, by id.
    pub fn list(&self) -> Vec<Report> {
        self.instances().iter().map(|handle| handle.report()).collect()
    }

    /// Stops an instance and loads it anew: after its file was approved, or to end a quarantine. Answers whether there
    /// is such an instance.
    pub async fn restart(&self, id: &str) -> bool {
        let fresh = {
            let mut handles = self.0.handles.write().unwrap_or_else(PoisonError::into_inner);
            let Some(old) = handles.get(id) else { return false };
            old.stop.cancel();
            let fresh = self.make_handle(id, old.automation, &old.config);
            handles.insert(id.to_owned(), Arc::clone(&fresh));
            fresh
        };
        let catalogue = self.finder().find().await;
        self.load(&catalogue, &fresh).await;
        true
    }

    /// The instance, for who can't do without.
    ///
    /// # Errors
    /// `unavailable` (`provider_not_found`) when there is no such instance.
    pub fn configured(&self, instance: &str) -> Result<Arc<InstanceHandle>> {
        self.get(instance).ok_or_else(|| {
            ProviderError::unavailable(format!("the provider {instance} is not configured any more"))
                .with_code("provider_not_found")
        })
    }

    /// Calls a method of an instance.
    ///
    /// # Errors
    /// As [`InstanceHandle::call`]; `unavailable` (`provider_not_found`) when there is no such instance.
    pub async fn call<M: Method>(
        &self,
        instance: &str,
        account: Option<&str>,
        lane: Lane,
        request: M::Request,
    ) -> Result<M::Reply> {
        self.configured(instance)?.call::<M>(account, lane, request).await
    }
}
