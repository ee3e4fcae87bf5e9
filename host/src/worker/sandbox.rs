//! What a plugin's process may do. Applied before the plugin's code is mapped, while there is one thread.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[cfg(target_os = "linux")]
mod landlock;
#[cfg(target_os = "linux")]
mod seccomp;

/// What a process gets.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Spec {
    /// Whether to give up where the kernel lacks a part.
    pub required: bool,
    /// Files and folders to read, the plugin itself among them.
    pub read: Vec<PathBuf>,
    /// Folders to read and write.
    pub write: Vec<PathBuf>,
    /// Writable memory in MiB.
    pub memory_mib: u64,
}

/// How well a process is locked down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strength {
    /// Files, network, processes and system calls are closed.
    Enforced,
    /// Some of it; the detail says what.
    Partial,
    /// Nothing: the plugin can do what the host's user can.
    Off,
}

/// The state of a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Sandbox {
    /// How well it holds.
    pub state: Strength,
    /// What it is made of, for people.
    pub detail: String,
}

impl Sandbox {
    /// None: the plugin runs inside the host.
    pub fn off(detail: &str) -> Self {
        Self { state: Strength::Off, detail: detail.into() }
    }
}

/// Locks this process down. Call it while the process has one thread.
///
/// # Errors
/// What is missing, where the sandbox is required.
#[cfg(target_os = "linux")]
pub fn apply(spec: &Spec) -> Result<Sandbox, String> {
    let files = landlock::apply(spec);
    let calls = limit_resources(spec).and_then(|()| seccomp::apply());
    let state = match (&files, &calls) {
        (Ok(_), Ok(())) => Strength::Enforced,
        (Err(_), Err(_)) => Strength::Off,
        _ => Strength::Partial,
    };
    let files = files.unwrap_or_else(|missing| format!("no file sandbox ({missing})"));
    let calls = calls.map_or_else(|missing| format!("no system call filter ({missing})"), |()| "seccomp filter".into());
    let detail = format!("{files}, {calls}");
    if spec.required && state != Strength::Enforced { Err(detail) } else { Ok(Sandbox { state, detail }) }
}

/// There is no sandbox on this system.
///
/// # Errors
/// Where the sandbox is required.
#[cfg(not(target_os = "linux"))]
pub fn apply(spec: &Spec) -> Result<Sandbox, String> {
    let detail = "this operating system has no sandbox";
    if spec.required { Err(detail.into()) } else { Ok(Sandbox::off(detail)) }
}

#[cfg(target_os = "linux")]
fn limit_resources(spec: &Spec) -> Result<(), String> {
    use nix::sys::{
        prctl,
        resource::{Resource, setrlimit},
    };

    let memory = spec.memory_mib.saturating_mul(1 << 20);
    let file = if spec.write.is_empty() { 0 } else { memory };
    for (resource, limit) in [
        (Resource::RLIMIT_DATA, memory),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_NOFILE, 1024),
        (Resource::RLIMIT_FSIZE, file),
    ] {
        setrlimit(resource, limit, limit).map_err(|e| format!("cannot set {resource:?}: {e}"))?;
    }
    // Others of the same user can't attach to it or read its memory.
    prctl::set_dumpable(false).map_err(|e| format!("cannot make the process undumpable: {e}"))
}
