//! What the API says about an instance.

use std::{collections::BTreeMap, sync::PoisonError, time::Instant};

use serde::Serialize;
use utoipa::ToSchema;
use zotify_plugin_api::{CapabilityState, LibraryKind, SignIn, Stage, capability};

use super::{
    budget::InstanceBudget,
    grants::Permission,
    health::State,
    instance::{InstanceHandle, Part},
    refusal::Refusal,
};
use crate::{api::rfc3339, config::Isolation, worker::sandbox::Sandbox};

/// An instance and how it is.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Provider)]
pub struct Report {
    /// The instance's id, the first segment of its URIs.
    #[schema(example = "local")]
    pub id: String,
    /// The plugin that it is an instance of.
    #[schema(example = "local")]
    pub plugin: String,
    /// The provider within the plugin; null before the plugin is loaded.
    pub provider: Option<String>,
    /// For people.
    #[schema(example = "Local files")]
    pub name: String,
    /// One sentence.
    pub description: String,
    /// The plugin's version.
    pub version: Option<String>,
    /// How finished the plugin is: `alpha`, `beta`, `stable`, `unmaintained`, `deprecated`.
    pub stage: Option<String>,
    /// What state it is in.
    pub state: State,
    /// Since when, RFC 3339 UTC.
    pub since: String,
    /// `process` or `in-process`.
    #[schema(example = "process")]
    pub isolation: &'static str,
    /// How well its process is locked down; null while it does not run.
    pub sandbox: Option<Sandbox>,
    /// The file that it comes from.
    pub source: Option<Source>,
    /// What the library of an account is: `owned`, `saved` or `none`.
    pub library_kind: Option<String>,
    /// How accounts sign in: `none` or `setup_flow`.
    pub sign_in: Option<String>,
    /// What it can do, by name of capability.
    pub capabilities: BTreeMap<String, Capability>,
    /// What the plugin asks for, why, and what it is granted.
    pub permissions: Vec<Permission>,
    /// When calls to it are stopped.
    pub breaker: BreakerReport,
    /// Calls in flight.
    pub calls_in_flight: usize,
    /// How often its process was started again.
    pub restarts: u64,
    /// How much of what its service allows is used up; for admins, and null in lists.
    pub budget: Option<InstanceBudget>,
    /// What an admin should know although it runs.
    pub warnings: Vec<String>,
    /// Why it does not run; while it does, how it ended not long ago.
    pub problem: Option<Refusal>,
}

/// Where a plugin comes from.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ProviderSource)]
pub struct Source {
    /// The file's name.
    pub file: String,
    /// Whether it came with the host.
    pub bundled: bool,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
}

/// Whether something can be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Capability {
    /// `available`, `restricted` or `unsupported`.
    #[schema(example = "available")]
    pub state: &'static str,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// The state of a breaker.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ProviderBreaker)]
pub struct BreakerReport {
    /// `closed`, `open` (calls are refused) or `half_open` (one is tried).
    #[schema(example = "closed")]
    pub state: &'static str,
    /// Failures within the window.
    pub failures: usize,
    /// Until when calls are refused, RFC 3339 UTC.
    pub open_until: Option<String>,
}

impl Report {
    /// What users without the admin's role may see: nothing about files and folders of the server.
    #[must_use]
    pub fn for_users(mut self) -> Self {
        (self.source, self.permissions, self.warnings) = (None, Vec::new(), Vec::new());
        self.budget = None;
        if let Some(problem) = &mut self.problem {
            problem.detail = "the server's admin can see what is wrong".into();
        }
        self
    }
}

impl InstanceHandle {
    /// How the instance is.
    pub fn report(&self) -> Report {
        let now = self.health.now();
        let loaded = self.loaded.get();
        let (mut name, description) = self.names();
        if let Some(label) = &self.config.label {
            name.clone_from(label);
        }
        let provider = self.manifest();
        Report {
            id: self.id().to_owned(),
            plugin: self.config.plugin.clone(),
            provider: provider.map(|m| m.id.clone()).or_else(|| self.config.provider.clone()),
            name,
            description,
            version: loaded.map(|l| l.library.version.clone()),
            stage: loaded.map(|l| stage(l.library.stage).into()),
            state: now.state,
            since: rfc3339(now.since),
            isolation: match self.config.isolation {
                Isolation::Process => "process",
                Isolation::InProcess => "in-process",
            },
            sandbox: now.sandbox.filter(|_| now.state == State::Started),
            source: loaded.map(|l| Source {
                file: l.found.file_name(),
                bundled: l.found.bundled,
                sha256: l.found.sha256.clone(),
            }),
            library_kind: provider.map(|m| library_kind(m.library).into()),
            sign_in: provider.map(|m| sign_in(m.sign_in).into()),
            capabilities: self.capabilities(),
            permissions: loaded.map(|l| l.permissions.clone()).unwrap_or_default(),
            breaker: self.breaker_report(),
            calls_in_flight: self.in_flight(),
            restarts: now.restarts,
            budget: None,
            warnings: self.warnings(),
            problem: now
                .problem
                .filter(|_| now.state != State::Started || lately(now.since, self.limits.quarantine.window_s)),
        }
    }

    fn names(&self) -> (String, String) {
        match self.loaded.get().map(|l| &l.part) {
            Some(Part::Provider(m)) => (m.name.clone(), m.description.clone()),
            Some(Part::Automation(m)) => (m.name.clone(), m.description.clone()),
            None => (self.id().to_owned(), String::new()),
        }
    }

    fn warnings(&self) -> Vec<String> {
        let missing = self.loaded.get().map(|l| l.missing_folders.now()).unwrap_or_default();
        let missing = missing.iter().map(|folder| format!("the folder {} is missing", folder.display()));
        let checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        missing.chain(checked.1.iter().cloned()).collect()
    }

    fn capabilities(&self) -> BTreeMap<String, Capability> {
        let Some(manifest) = self.manifest() else { return BTreeMap::new() };
        let unsupported = || Capability { state: "unsupported", code: Some("not_declared".into()) };
        let mut all: BTreeMap<_, _> = capability::ALL.iter().map(|name| ((*name).to_owned(), unsupported())).collect();
        let checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        for name in &manifest.capabilities {
            all.insert(name.clone(), checked.0.get(name).map_or_else(available, capability_state));
        }
        all
    }

    fn breaker_report(&self) -> BreakerReport {
        let snapshot = self.breaker.snapshot(Instant::now());
        let state = match (snapshot.open_for, snapshot.half_open) {
            (Some(_), _) => "open",
            (None, true) => "half_open",
            (None, false) => "closed",
        };
        let until =
            |wait: std::time::Duration| rfc3339(crate::db::now_ms() + i64::try_from(wait.as_millis()).unwrap_or(0));
        BreakerReport { state, failures: snapshot.failures, open_until: snapshot.open_for.map(until) }
    }
}

/// Whether a time in Unix milliseconds is at most so many seconds ago.
fn lately(since: i64, seconds: u64) -> bool {
    crate::db::now_ms().saturating_sub(since) <= i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX)
}

fn available() -> Capability {
    Capability { state: "available", code: None }
}

fn capability_state(state: &CapabilityState) -> Capability {
    match state {
        CapabilityState::Available => available(),
        CapabilityState::Restricted { code } => Capability { state: "restricted", code: Some(code.clone()) },
        CapabilityState::Unsupported { code } => Capability { state: "unsupported", code: Some(code.clone()) },
        // A later protocol's reason not to simply offer it.
        _ => Capability { state: "restricted", code: Some("unknown".into()) },
    }
}

fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Alpha => "alpha",
        Stage::Beta => "beta",
        Stage::Stable => "stable",
        Stage::Unmaintained => "unmaintained",
        Stage::Deprecated => "deprecated",
        Stage::Unknown => "unknown",
    }
}

fn library_kind(kind: LibraryKind) -> &'static str {
    match kind {
        LibraryKind::Owned => "owned",
        LibraryKind::Saved => "saved",
        LibraryKind::None => "none",
        LibraryKind::Unknown => "unknown",
    }
}

fn sign_in(sign_in: SignIn) -> &'static str {
    match sign_in {
        SignIn::None => "none",
        SignIn::SetupFlow => "setup_flow",
        SignIn::Unknown => "unknown",
    }
}
