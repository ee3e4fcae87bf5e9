//! The smallest automation: one action that says hello.

use zotify_plugin_api::{ActionManifest, AutomationManifest, method::ActionCall, prelude::*};

struct Hello {
    settings: Settings,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Who is greeted.
    name: String,
}

impl Automation for Hello {
    const ID: &'static str = "hello";
    type Settings = Settings;

    fn manifest() -> AutomationManifest {
        let hello = ActionManifest { name: "say-hello".into(), ..ActionManifest::default() };
        AutomationManifest { name: "Hello".into(), actions: vec![hello], ..AutomationManifest::default() }
    }

    fn new(_: Context, settings: Settings) -> Result<Self> {
        Ok(Self { settings })
    }

    async fn action(&self, _: Call<ActionCall>) -> Result<String> {
        Ok(format!("\"hello {}\"", self.settings.name))
    }
}

register_automation!(Hello);
export_plugin!("minimal-automation", "Minimal automation");
