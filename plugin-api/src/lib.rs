#![doc = include_str!("../README.md")]

#[cfg(panic = "abort")]
compile_error!(
    "plugins must be built with panic = \"unwind\": the SDK turns a panic into an error, which an abort would not allow"
);

mod automation;
mod context;
mod error;
mod export;
pub mod ffi;
mod guard;
mod logging;
mod manifest;
pub mod method;
pub mod model;
mod provider;
pub mod service;
#[cfg(feature = "testing")]
pub mod testing;
pub mod wire;

pub use automation::Automation;
pub use context::{Clock, Context, Http, HttpRequestBuilder, KeyValue, Vault};
pub use error::{ErrorKind, ProviderError, Result};
pub use manifest::{
    ActionManifest, AutomationManifest, BudgetLimits, FileAccess, FilePermission, HostPermission, LibraryKind,
    LibraryManifest, Limits, PROTOCOL, Permissions, ProtocolRange, ProviderManifest, SettingOr, SignIn, Stage,
    TriggerManifest, capability,
};
pub use model::*;
pub use provider::{ByteStream, Provider};

/// What plugin authors need most, for `use zotify_plugin_api::prelude::*`.
pub mod prelude {
    pub use crate::{
        Automation, BudgetLimits, ByteStream, Call, Context, ErrorKind, FileAccess, FilePermission, HostPermission,
        LibraryKind, Permissions, Provider, ProviderError, ProviderManifest, Result, SettingOr, SignIn, capability,
        export_plugin, model::*, register_automation, register_provider,
    };
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};
    pub use tracing;
}

/// Items that the exported macros name; not part of the contract.
#[doc(hidden)]
pub mod __private {
    pub use crate::export::{AutomationEntry, LibraryInfo, ProviderEntry};
    pub use abi_stable;
    pub use inventory;
    pub use zotify_plugin_abi as abi;
}
