//! `zotify.toml`: no fault and no listing tells a secret, and what is accepted has its limits.
#![no_main]

mod support;

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use support::SECRET;
use zotify_host::config::{Config, show};
use zotify_plugin_api::is_instance_id;

fuzz_target!(|text: &str| {
    let base = Path::new("/srv/zotify");
    match Config::parse(text, base) {
        Ok(config) => check(&config),
        Err(errors) => {
            assert!(!errors.0.is_empty());
            assert!(errors.0.iter().all(|problem| !problem.detail.is_empty()));
        }
    }
    // The same behind secrets of every kind.
    let secrets = format!(
        "secrets.master_key = \"{SECRET}\"\ndatabase.url = \"postgres://zotify:{SECRET}@db/zotify\"\n\
         providers.nas.plugin = \"subsonic\"\nproviders.nas.settings.password = \"{SECRET}\"\n"
    );
    match Config::parse(&format!("{secrets}{text}"), base) {
        Ok(config) => assert!(!show::show(&config).contains(SECRET)),
        Err(errors) => assert!(!errors.to_string().contains(SECRET), "{errors}"),
    }
});

fn check(config: &Config) {
    assert!(config.server.data_dir.is_absolute());
    assert!(config.plugins.directories.iter().all(|folder| folder.is_absolute()));
    assert!((1..=3600).contains(&config.server.request_timeout_s));
    assert!((1024..=1 << 30).contains(&config.server.max_body_bytes));
    let ids = || config.providers.keys().chain(config.automations.keys());
    assert!(ids().all(|id| is_instance_id(id)));
    assert!(config.providers.keys().all(|id| !config.automations.contains_key(id)));
    let shown = show::show(config);
    assert!(shown.lines().any(|line| line.starts_with("server.listen = ")));
    let again = Config::parse(&serde_json::to_string(&config.server.listen.to_string()).unwrap(), Path::new("/"));
    assert!(again.is_err(), "a value alone is no configuration");
}
