//! `[plugins]`.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happens where the sandbox of plugin processes can't be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SandboxPolicy {
    /// The plugin is not started.
    Required,
    /// The plugin is started with what there is, and its report says so.
    BestEffort,
}

/// Where plugins are found and what they may use.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Plugins {
    /// Folders with further plugins, besides the bundled ones. Relative to the configuration file; subfolders are not searched.
    #[schemars(with = "Vec<String>", inner(length(min = 1)))]
    pub directories: Vec<PathBuf>,
    /// The folder of the bundled plugins. Without it: `plugins` beside the program, or `ZOTIFY_BUNDLED_PLUGINS`.
    #[schemars(with = "Option<String>")]
    pub bundled: PathBuf,
    /// What happens where a plugin process can't be locked up: `required` refuses to start it, `best-effort` starts it
    /// with what the kernel offers. Linux needs Landlock (kernel 5.13) and seccomp; on other systems there is no
    /// sandbox and the default is `best-effort`.
    pub sandbox: SandboxPolicy,
    /// How long a plugin may take over a call that a client waits for, in seconds.
    #[schemars(range(min = 1, max = 600))]
    pub call_timeout_s: u64,
    /// How long a plugin may take over one call of a background job, in seconds.
    #[schemars(range(min = 1, max = 3600))]
    pub job_timeout_s: u64,
    /// How long a background job may wait for a service that asks to wait again and again while the job does not get on, in
    /// seconds. Then it fails with `provider_throttled`.
    #[schemars(range(min = 1, max = 31_536_000))]
    pub max_wait_s: u64,
    /// How long a media stream may stand still, in seconds.
    #[schemars(range(min = 1, max = 600))]
    pub stream_idle_s: u64,
    /// How long a plugin has to answer a cancellation before its process is killed, in seconds.
    #[schemars(range(min = 1, max = 60))]
    pub grace_s: u64,
    /// How many calls one instance handles at a time; more wait.
    #[schemars(range(min = 1, max = 1024))]
    pub max_calls: usize,
    /// How much memory a plugin process may take, in MiB.
    #[schemars(range(min = 16, max = 65536))]
    pub memory_mib: u64,
    /// When calls to a failing instance stop being tried.
    pub breaker: Breaker,
    /// When a crashing instance is given up.
    pub quarantine: Quarantine,
    /// The program that plugin processes run; this one without it. Set by tests, whose own program is no host.
    #[serde(skip)]
    #[schemars(skip)]
    pub program: Option<PathBuf>,
}

/// When calls to a failing instance stop being tried.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Breaker {
    /// So many failures within the window stop calls.
    #[schemars(range(min = 1, max = 1000))]
    pub failures: u32,
    /// The window, in seconds.
    #[schemars(range(min = 1, max = 3600))]
    pub window_s: u64,
    /// How long calls are then refused, in seconds.
    #[schemars(range(min = 1, max = 3600))]
    pub open_s: u64,
}

/// When a crashing instance is given up.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Quarantine {
    /// So many crashes within the window keep the instance stopped.
    #[schemars(range(min = 1, max = 1000))]
    pub crashes: u32,
    /// The window, in seconds.
    #[schemars(range(min = 1, max = 86400))]
    pub window_s: u64,
}

impl Default for Plugins {
    fn default() -> Self {
        Self {
            directories: Vec::new(),
            bundled: PathBuf::new(),
            sandbox: if cfg!(target_os = "linux") { SandboxPolicy::Required } else { SandboxPolicy::BestEffort },
            call_timeout_s: 10,
            job_timeout_s: 60,
            max_wait_s: 7 * 24 * 3600,
            stream_idle_s: 30,
            grace_s: 1,
            max_calls: 16,
            memory_mib: 256,
            breaker: Breaker::default(),
            quarantine: Quarantine::default(),
            program: None,
        }
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self { failures: 5, window_s: 30, open_s: 30 }
    }
}

impl Default for Quarantine {
    fn default() -> Self {
        Self { crashes: 5, window_s: 600 }
    }
}

/// Where bundled plugins are when the configuration names no folder.
pub(super) fn default_bundled() -> PathBuf {
    if let Some(folder) = std::env::var_os("ZOTIFY_BUNDLED_PLUGINS").filter(|v| !v.is_empty()) {
        return folder.into();
    }
    let program = std::env::current_exe().ok();
    program.as_deref().and_then(Path::parent).map_or_else(|| "plugins".into(), |folder| folder.join("plugins"))
}
