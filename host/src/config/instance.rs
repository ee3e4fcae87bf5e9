//! `[providers.<id>]` and `[automations.<id>]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where a plugin's code runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// In a locked-up process of its own.
    #[default]
    Process,
    /// Inside the host. Faster; but a crash of the plugin ends the host.
    InProcess,
}

/// A configured plugin.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// The id of the plugin, as `zotify-host plugin list` shows it.
    #[schemars(length(min = 1))]
    pub plugin: String,
    /// Which of the plugin's parts to use, where it has several.
    #[serde(default)]
    pub provider: Option<String>,
    /// Whether it is started.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// Where its code runs: in a locked-up process of its own (`process`), or inside the host (`in-process`: faster,
    /// but a crash of the plugin ends the host).
    #[serde(default)]
    pub isolation: Isolation,
    /// The plugin's own settings; `zotify-host plugin inspect <id>` shows which there are.
    #[serde(default = "no_settings")]
    #[schemars(with = "serde_json::Map<String, Value>")]
    pub settings: Value,
    /// What a plugin that is not bundled is granted, such as `files:/srv/music` or `hosts:api.example.org`.
    /// Bundled plugins get what they ask for.
    #[serde(default)]
    #[schemars(inner(length(min = 1)))]
    pub permissions: Vec<String>,
    /// A name for people.
    #[serde(default)]
    #[schemars(length(min = 1, max = 100))]
    pub label: Option<String>,
    /// How often its service may be asked, where that is to differ from what the plugin says.
    #[serde(default)]
    pub budget: Budget,
    /// How often the libraries of its accounts are read although nothing says that they changed, in seconds: 0 for never,
    /// else at least 300. Six hours where it is not set; users may set another for their accounts.
    #[serde(default)]
    #[schemars(range(max = 31_536_000))]
    pub pull_every_s: Option<u32>,
}

/// How often the service of an instance may be asked. What is not set is as the plugin says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Requests in a window, over all accounts that share it; 0 for no limit.
    #[schemars(range(max = 1_000_000))]
    pub window_requests: Option<u32>,
    /// The window, in seconds.
    #[schemars(range(min = 1, max = 86400))]
    pub window_s: Option<u64>,
    /// Requests in any 24 hours, over all accounts that share the quota; 0 for no limit.
    #[schemars(range(max = 10_000_000))]
    pub daily_requests: Option<u32>,
}

fn enabled() -> bool {
    true
}

fn no_settings() -> Value {
    Value::Object(serde_json::Map::new())
}

/// Settings may hold passwords, so only their names are printed.
impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let settings: Vec<&String> = self.settings.as_object().into_iter().flat_map(|map| map.keys()).collect();
        f.debug_struct("Instance")
            .field("plugin", &self.plugin)
            .field("provider", &self.provider)
            .field("enabled", &self.enabled)
            .field("isolation", &self.isolation)
            .field("settings", &settings)
            .field("permissions", &self.permissions)
            .field("label", &self.label)
            .field("budget", &self.budget)
            .field("pull_every_s", &self.pull_every_s)
            .finish()
    }
}

/// Ids that stand for something else: the host's own URIs, and literal words of the API's paths.
pub const RESERVED_IDS: &[&str] = &["zotify", "host", "sessions", "flows"];
