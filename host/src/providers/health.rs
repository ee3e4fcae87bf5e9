//! What state an instance is in, as its supervisor and its report share it.

use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;
use utoipa::ToSchema;

use super::refusal::Refusal;
use crate::{db::now_ms, worker::sandbox::Sandbox};

/// What state an instance is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ProviderState)]
pub enum State {
    /// It is being loaded, or started again after a crash.
    Loading,
    /// It answers.
    Started,
    /// It cannot be started; see the problem.
    Failed,
    /// It crashed too often, or blocks its thread inside the host, and is left alone.
    Quarantined,
    /// The configuration says `enabled = false`.
    Disabled,
}

/// The state of one instance.
pub(super) struct Health(Mutex<Now>);

/// A look at it.
#[derive(Clone, Debug)]
pub(super) struct Now {
    pub(super) state: State,
    /// Unix milliseconds.
    pub(super) since: i64,
    /// Why it does not run; or, while it does, how it last ended.
    pub(super) problem: Option<Refusal>,
    pub(super) sandbox: Option<Sandbox>,
    pub(super) restarts: u64,
    /// The folders that the running plugin has.
    pub(super) roots: Vec<PathBuf>,
}

impl Health {
    pub(super) fn new(state: State) -> Self {
        let now = Now { state, since: now_ms(), problem: None, sandbox: None, restarts: 0, roots: Vec::new() };
        Self(Mutex::new(now))
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Now {
        self.lock().clone()
    }

    pub(super) fn state(&self) -> State {
        self.lock().state
    }

    fn set(&self, state: State, problem: Option<Refusal>) {
        let mut now = self.lock();
        if now.state != state {
            (now.state, now.since) = (state, now_ms());
        }
        now.problem = problem;
    }

    pub(super) fn started(&self, sandbox: Sandbox, roots: Vec<PathBuf>) {
        {
            let mut now = self.lock();
            (now.sandbox, now.roots) = (Some(sandbox), roots);
        }
        let last = self.now().problem;
        self.set(State::Started, last);
    }

    /// It runs no more, and is started again.
    pub(super) fn restarting(&self, problem: Option<Refusal>) {
        self.lock().restarts += 1;
        self.set(State::Loading, problem);
    }

    pub(super) fn failed(&self, problem: Refusal) {
        self.set(State::Failed, Some(problem));
    }

    /// It gave back the thread that it was quarantined for.
    pub(super) fn recovered(&self) {
        self.set(State::Started, None);
    }

    pub(super) fn quarantined(&self, problem: Refusal) {
        self.set(State::Quarantined, Some(problem));
    }
}
