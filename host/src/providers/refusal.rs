//! Why a plugin or an instance does not run, and what to do about it.

use serde::Serialize;
use utoipa::ToSchema;
use zotify_plugin_api::ffi::{LoadError, LoadErrorKind};

/// The stable codes of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is described by its remedy, below")]
pub enum Code {
    PluginNotFound,
    Unreadable,
    NotAPlugin,
    AbiMismatch,
    GlibcTooNew,
    ManifestInvalid,
    ConstructorFailed,
    ProbeTimeout,
    ProtocolUnsupported,
    DuplicateId,
    HashChanged,
    ProviderNotFound,
    SettingsInvalid,
    PermissionNotGranted,
    PermissionUnknown,
    SandboxUnavailable,
    CreateFailed,
    StartTimeout,
    Crashed,
    Blocked,
    HostFailed,
}

impl Code {
    /// The code as clients see it, and the remedy.
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn entry(self) -> (&'static str, &'static str) {
        match self {
            Self::PluginNotFound => (
                "plugin_not_found",
                "Put the plugin's file into one of plugins.directories, or correct the name under `plugin`; \
                 `zotify-host plugin list` shows what was found.",
            ),
            Self::Unreadable => (
                "unreadable",
                "Make the path a regular file that the host's user can read, or take it out of the plugin folder.",
            ),
            Self::NotAPlugin => (
                "not_a_plugin",
                "Take the file out of the plugin folder, or replace it: it may be cut off, or built for another \
                 system.",
            ),
            Self::AbiMismatch => (
                "abi_mismatch",
                "Get a build of the plugin for this host's binary interface, or build it with the current \
                 zotify-plugin-api.",
            ),
            Self::GlibcTooNew => {
                ("glibc_too_new", "Get a build of the plugin for an older system, or run the host on a newer one.")
            }
            Self::ManifestInvalid => ("manifest_invalid", "Tell the plugin's author; nothing can be set to change it."),
            Self::ConstructorFailed => {
                ("constructor_failed", "Tell the plugin's author; `zotify-host plugin check FILE` shows the details.")
            }
            Self::ProbeTimeout => (
                "probe_timeout",
                "Restart the host when the machine is less busy; if it stays, tell the plugin's author.",
            ),
            Self::ProtocolUnsupported => (
                "protocol_unsupported",
                "Update the host if the plugin is newer than it, or the plugin if it is older.",
            ),
            Self::DuplicateId => {
                ("duplicate_id", "Keep one of the files and take the others out of the plugin folders.")
            }
            Self::HashChanged => (
                "hash_changed",
                "If you changed the file yourself, run `zotify-host plugin approve FILE` (for bundled plugins: \
                 `zotify-host plugin bundle FOLDER`); if not, find out who did.",
            ),
            Self::ProviderNotFound => (
                "provider_not_found",
                "Name one of the plugin's parts under `provider`; `zotify-host plugin inspect FILE` lists them.",
            ),
            Self::SettingsInvalid => (
                "settings_invalid",
                "Correct the instance's `settings`; `zotify-host plugin inspect FILE` prints their schema.",
            ),
            Self::PermissionNotGranted => (
                "permission_not_granted",
                "Add what the plugin asks for to the instance's `permissions` if you agree with its reason.",
            ),
            Self::PermissionUnknown => (
                "permission_unknown",
                "Correct the instance's `permissions`; `zotify-host plugin inspect FILE` lists what the plugin asks for.",
            ),
            Self::SandboxUnavailable => (
                "sandbox_unavailable",
                "Run a kernel with Landlock (5.13 or newer) and seccomp, or set plugins.sandbox = \"best-effort\" to run \
                 without.",
            ),
            Self::CreateFailed => ("create_failed", "See the detail; the log may say more."),
            Self::StartTimeout => (
                "start_timeout",
                "Restart the host when the machine is less busy; if it stays, tell the plugin's author.",
            ),
            Self::Crashed => (
                "crashed",
                "See the log for the plugin's last words. It is started again by itself until it is quarantined; from then \
                 on replace or repair the plugin, approve the file where it changed, and restart the host.",
            ),
            Self::Blocked => (
                "blocked",
                "It is used again if the plugin gives its thread back. If not, restart the host; with isolation = \
                 \"process\" the plugin would have been ended and started anew.",
            ),
            Self::HostFailed => ("host_failed", "See the host's log; disk space, memory or file rights are likely."),
        }
    }

    /// The code as clients see it.
    pub fn as_str(self) -> &'static str {
        self.entry().0
    }
}

/// Why a plugin or an instance does not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ProviderProblem)]
pub struct Refusal {
    /// The stable code.
    #[schema(example = "hash_changed")]
    pub code: &'static str,
    /// What is wrong, for people.
    pub detail: String,
    /// What to do about it.
    pub remedy: &'static str,
}

impl Refusal {
    /// A refusal with its remedy.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let (code, remedy) = code.entry();
        Self { code, detail: detail.into(), remedy }
    }

    /// Whether it has this code.
    pub fn is(&self, code: Code) -> bool {
        self.code == code.as_str()
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}). {}", self.detail, self.code, self.remedy)
    }
}

impl std::error::Error for Refusal {}

impl From<LoadError> for Refusal {
    fn from(error: LoadError) -> Self {
        let code = match error.kind {
            LoadErrorKind::NotAPlugin => Code::NotAPlugin,
            LoadErrorKind::GlibcTooNew => Code::GlibcTooNew,
            LoadErrorKind::AbiMismatch => Code::AbiMismatch,
            LoadErrorKind::ManifestInvalid => Code::ManifestInvalid,
            LoadErrorKind::ConstructorFailed => Code::ConstructorFailed,
        };
        if !error.log.is_empty() {
            tracing::warn!("the loader says: {}", error.log);
        }
        Self::new(code, error.detail)
    }
}
