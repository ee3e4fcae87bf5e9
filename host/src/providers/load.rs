//! From a line of the configuration to a running instance.

use std::{path::PathBuf, sync::Arc, time::Duration};

use zotify_plugin_api::{BudgetLimits, CreateRequest, LibraryManifest, PROTOCOL, Permissions, SignIn};

use super::{
    Registry,
    budget::Limits,
    egress::Egress,
    grants::{self, Asked, Grants, Roots},
    health::State,
    inprocess::{self, Local},
    instance::{Backend, InstanceHandle, Loaded, MissingFolders, Part},
    library::{self, Catalogue, Finder, Found},
    own_program,
    refusal::{Code, Refusal},
    services::{Means, Services},
    settings,
    supervisor::{Plan, Supervisor},
    trust,
};
use crate::{
    accounts,
    config::{Config, Instance, Isolation},
    db::Db,
    worker::sandbox::Sandbox,
};

/// How long looking at the configured folders may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(15);

impl Registry {
    pub(super) fn finder(&self) -> Finder {
        let Self(inner) = self;
        Finder { config: Arc::clone(&inner.config), db: Some(inner.db.clone()), program: inner.program.clone() }
    }

    /// Loads all that is enabled, side by side.
    pub(super) async fn load_all(&self) {
        let enabled: Vec<_> = self.handles().into_iter().filter(|h| h.config.enabled).collect();
        if enabled.is_empty() {
            return;
        }
        let Some(catalogue) = self.0.stop.run_until_cancelled(self.finder().find()).await else { return };
        library::sweep(&catalogue, &self.0.config.server.data_dir);
        futures::future::join_all(enabled.iter().map(|handle| self.load(&catalogue, handle))).await;
    }

    /// Loads one instance; a failure stays in its report.
    pub(super) async fn load(&self, catalogue: &Catalogue, handle: &Arc<InstanceHandle>) {
        let _tried = handle.tried.clone().drop_guard();
        if handle.state() == State::Disabled {
            return;
        }
        if let Err(refusal) = self.try_load(catalogue, handle).await {
            tracing::warn!(instance = handle.id(), "the plugin is not started: {refusal}");
            handle.health.failed(refusal);
        }
    }

    async fn try_load(&self, catalogue: &Catalogue, handle: &Arc<InstanceHandle>) -> Result<(), Refusal> {
        let Self(inner) = self;
        let config = &handle.config;
        let found = catalogue.find(&config.plugin)?.clone();
        let library = found.manifest.clone()?;
        trust::check(&inner.db, &found, &library.id, handle.id()).await?;
        let prepared = Preparation::of(&inner.config, config, handle.automation, &found, &library).run().await?;
        let Prepared { part, grants, missing, roots } = prepared;
        let egress = inner.clients.clone().map_or_else(Egress::closed, |clients| Egress::new(clients, &grants));
        let triggers = match &part {
            Part::Automation(manifest) => manifest.triggers.iter().map(|t| t.name.clone()).collect(),
            Part::Provider(_) => Vec::new(),
        };
        let means = Means {
            db: inner.db.clone(),
            secrets: Arc::clone(&inner.secrets),
            egress: egress.clone(),
            limits: Limits::of(part.budget(), &config.budget),
            notices: inner.notices.clone(),
            triggers,
        };
        let services = Services::new(handle.id(), means);
        let create = CreateRequest {
            instance: handle.id().to_owned(),
            part: part.id().to_owned(),
            settings: grants.settings.to_string(),
            protocol: PROTOCOL.negotiate(library.protocol).unwrap_or_default(),
            log_level: log_level(),
        };
        handle.limit_calls(part.concurrency());
        let loaded = Loaded {
            library,
            part,
            permissions: grants.report.clone(),
            egress,
            missing_folders: MissingFolders::new(missing),
            found: found.clone(),
        };
        // Fails only if it was loaded before, which a handle never is.
        let _ = handle.loaded.set(loaded);
        // Before it answers: whoever sees that it has started finds it in searches, too.
        if handle.manifest().is_some_and(|manifest| manifest.sign_in == SignIn::None) {
            share(&inner.db, handle.id()).await?;
        }
        match config.isolation {
            Isolation::Process => self.start_process(handle, &found, grants, create, services).await,
            Isolation::InProcess => start_here(handle, &found, roots, create, services).await,
        }
    }

    async fn start_process(
        &self,
        handle: &Arc<InstanceHandle>,
        found: &Found,
        grants: Grants,
        create: CreateRequest,
        services: Services,
    ) -> Result<(), Refusal> {
        let Self(inner) = self;
        let data_dir = std::path::absolute(&inner.config.server.data_dir)
            .map_err(|e| Refusal::new(Code::HostFailed, format!("the data folder cannot be found: {e}")))?;
        let plan = Plan {
            program: inner.program.clone(),
            plugin: std::path::absolute(&found.copy).unwrap_or_else(|_| found.copy.clone()),
            folder: data_dir.join("workers").join(handle.id()),
            grants,
            create,
            config: inner.config.plugins.clone(),
        };
        let supervisor = Supervisor::new(plan, Arc::new(services), Arc::clone(&handle.health), handle.stop.clone());
        let _ = handle.backend.set(Backend::Process(Arc::clone(&supervisor)));
        inner.running.spawn(Arc::clone(&supervisor).run());
        supervisor.tried().await;
        self.check_soon(handle);
        Ok(())
    }

    fn check_soon(&self, handle: &Arc<InstanceHandle>) {
        if handle.state() == State::Started && !handle.automation {
            let handle = Arc::clone(handle);
            self.0.tasks.spawn(async move { handle.stop.clone().run_until_cancelled(handle.check()).await });
        }
    }
}

/// Makes the account of a provider that signs nobody in.
async fn share(db: &Db, instance: &str) -> Result<(), Refusal> {
    let made = async {
        let mut tx = db.write().await?;
        accounts::ensure_shared(&mut tx, instance).await?;
        tx.commit().await
    };
    made.await.map_err(|e| Refusal::new(Code::HostFailed, format!("its account cannot be made: {e}")))
}

async fn start_here(
    handle: &Arc<InstanceHandle>,
    found: &Found,
    roots: Roots,
    create: CreateRequest,
    services: Services,
) -> Result<(), Refusal> {
    let plan = inprocess::Plan {
        plugin: found.copy.clone(),
        create,
        services: Arc::new(services),
        health: Arc::clone(&handle.health),
        grace: Duration::from_secs(handle.limits.grace_s),
    };
    let Some(local) = handle.stop.run_until_cancelled(Local::load(plan)).await else { return Ok(()) };
    let _ = handle.backend.set(Backend::InProcess(local?));
    let roots = roots.into_iter().map(|(path, _)| path).collect();
    handle.health.started(Sandbox::off("the plugin runs inside the host"), roots);
    Ok(())
}

impl Part {
    fn id(&self) -> &str {
        match self {
            Self::Provider(m) => &m.id,
            Self::Automation(m) => &m.id,
        }
    }

    fn settings_schema(&self) -> &serde_json::Value {
        match self {
            Self::Provider(m) => &m.settings_schema,
            Self::Automation(m) => &m.settings_schema,
        }
    }

    fn permissions(&self) -> &Permissions {
        match self {
            Self::Provider(m) => &m.permissions,
            Self::Automation(m) => &m.permissions,
        }
    }

    fn budget(&self) -> Option<BudgetLimits> {
        match self {
            Self::Provider(m) => m.limits.budget,
            Self::Automation(_) => None,
        }
    }

    fn concurrency(&self) -> Option<u32> {
        match self {
            Self::Provider(m) => m.limits.concurrency,
            Self::Automation(_) => None,
        }
    }
}

/// Looks for what would keep the enabled instances from starting, without starting them: for each its id, and which of
/// its folders are missing or why it is refused. Whether foreign files are trusted is not looked at.
pub async fn preflight(config: &Arc<Config>) -> Vec<(String, Result<Vec<PathBuf>, Refusal>)> {
    let program = config.plugins.program.clone().unwrap_or_else(own_program);
    let catalogue = Finder { config: Arc::clone(config), db: None, program }.find().await;
    let providers = config.providers.iter().map(|(id, instance)| (id, instance, false));
    let automations = config.automations.iter().map(|(id, instance)| (id, instance, true));
    let enabled = providers.chain(automations).filter(|(_, instance, _)| instance.enabled);
    let looks = enabled.map(|(id, instance, automation)| {
        let catalogue = &catalogue;
        async move {
            let look = async {
                let found = catalogue.find(&instance.plugin)?;
                let library = found.manifest.clone()?;
                Ok(Preparation::of(config, instance, automation, found, &library).run().await?.missing)
            };
            (id.clone(), look.await)
        }
    });
    futures::future::join_all(looks).await
}

/// What is looked at before a start. Looking at folders may block, so it is done on a thread aside.
struct Preparation {
    config: Arc<Config>,
    instance: Instance,
    automation: bool,
    bundled: bool,
    library: Arc<LibraryManifest>,
}

/// What it comes to.
struct Prepared {
    part: Part,
    grants: Grants,
    /// Configured folders that are not there.
    missing: Vec<PathBuf>,
    roots: Roots,
}

impl Preparation {
    fn of(
        config: &Arc<Config>,
        instance: &Instance,
        automation: bool,
        found: &Found,
        library: &Arc<LibraryManifest>,
    ) -> Self {
        let (config, library) = (Arc::clone(config), Arc::clone(library));
        Self { config, instance: instance.clone(), automation, bundled: found.bundled, library }
    }

    async fn run(self) -> Result<Prepared, Refusal> {
        let looking = tokio::task::spawn_blocking(move || {
            let (part, grants) = self.prepare()?;
            let missing = grants.missing().into_iter().map(Into::into).collect();
            Ok(Prepared { part, missing, roots: grants.roots(), grants })
        });
        let late = |_| Refusal::new(Code::HostFailed, "a granted folder does not answer; is a network drive gone?");
        let failed = |_| Refusal::new(Code::HostFailed, "the grants could not be looked at");
        tokio::time::timeout(LOOK_TIMEOUT, looking).await.map_err(late)?.map_err(failed)?
    }

    /// The part that the instance means, and what it is granted.
    fn prepare(&self) -> Result<(Part, Grants), Refusal> {
        let Self { config, instance, automation, bundled, library } = self;
        let part = choose(*automation, instance.provider.as_deref(), library)?;
        let empty = serde_json::json!({});
        let given = if instance.settings.is_null() { &empty } else { &instance.settings };
        settings::check(part.settings_schema(), given)?;
        let grants = grants::resolve(&Asked {
            permissions: part.permissions(),
            settings: given,
            granted: &instance.permissions,
            bundled: *bundled,
            base_dir: &config.base_dir,
            data_dir: &config.server.data_dir,
        })?;
        Ok((part, grants))
    }
}

/// The part of the library that the configuration means.
fn choose(automation: bool, wanted: Option<&str>, library: &LibraryManifest) -> Result<Part, Refusal> {
    let parts: Vec<Part> = if automation {
        library.automations.iter().map(|m| Part::Automation(Box::new(m.clone()))).collect()
    } else {
        library.providers.iter().map(|m| Part::Provider(Box::new(m.clone()))).collect()
    };
    let names: Vec<_> = parts.iter().map(|part| part.id().to_owned()).collect();
    let only = parts.len() == 1;
    let chosen = parts.into_iter().find(|part| wanted.map_or(only, |wanted| part.id() == wanted));
    chosen.ok_or_else(|| {
        let what = if automation { "automation" } else { "provider" };
        let detail = match wanted {
            _ if names.is_empty() => format!("the plugin {} has no {what}", library.id),
            Some(wanted) => format!("the plugin {} has no {what} {wanted}, but {}", library.id, names.join(", ")),
            None => format!("the plugin {} has several: {}", library.id, names.join(", ")),
        };
        Refusal::new(Code::ProviderNotFound, detail)
    })
}

/// The most detailed level that the host records.
fn log_level() -> String {
    tracing::level_filters::LevelFilter::current().to_string()
}
