//! The trait that an automation implements.

use std::future::Future;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{AutomationManifest, Context, ProviderError, Result, method::ActionCall, model::Call};

/// A plugin part that notices things (triggers) or does things (actions) for the rules engine.
pub trait Automation: Sized + Send + Sync + 'static {
    /// Unique within the library: `[a-z][a-z0-9-]{0,31}`.
    const ID: &'static str;

    /// What stands under `settings` in the configuration.
    type Settings: DeserializeOwned + JsonSchema;

    /// What the automation is and needs. Id and settings schema are filled in.
    fn manifest() -> AutomationManifest;

    /// Makes an instance. A trigger keeps the context and fires by [`Context::trigger`].
    ///
    /// # Errors
    /// When the settings make no sense together.
    fn new(cx: Context, settings: Self::Settings) -> Result<Self>;

    /// Runs one of the manifest's actions; answers its output as JSON text.
    fn action(&self, call: Call<ActionCall>) -> impl Future<Output = Result<String>> + Send {
        let name = call.action.clone();
        async move { Err(ProviderError::unsupported(format_args!("the action {name}"))) }
    }
}
