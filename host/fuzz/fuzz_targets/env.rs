//! `.env` and the environment above a file. Parts of the input are separated by lines of `----`: the file, the `.env`,
//! and variables, one in a line.
#![no_main]

mod support;

use std::{ffi::OsString, path::Path};

use libfuzzer_sys::fuzz_target;
use support::SECRET;
use zotify_host::config::{fuzzing::layered, show};

fuzz_target!(|text: &str| {
    // Such variables name files that are read; and who writes the secret where names stand has told it.
    if text.to_ascii_lowercase().contains("_file") || text.contains(SECRET) {
        return;
    }
    let mut parts = text.splitn(3, "\n----\n");
    let (toml, dot_env) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let variable = |line: &str| line.split_once('=').map(|(name, value)| (name.into(), value.into()));
    let mut variables: Vec<(OsString, OsString)> =
        parts.next().unwrap_or_default().lines().filter_map(variable).collect();
    let base = Path::new("/srv/zotify");
    let _ = layered(toml, dot_env, variables.clone(), base);
    // The same with secrets, one of them in a line that can't be read.
    let dot_env = format!("{dot_env}\nZOTIFY__PROVIDERS__NAS__SETTINGS__TOKEN={SECRET} {SECRET}\n");
    let mut secret = |name: &str, value: String| variables.push((name.into(), value.into()));
    secret("ZOTIFY__SECRETS__MASTER_KEY", SECRET.into());
    secret("ZOTIFY__DATABASE__URL", format!("postgres://zotify:{SECRET}@db/zotify"));
    secret("ZOTIFY__PROVIDERS__NAS__SETTINGS__PASSWORD", SECRET.into());
    match layered(toml, &dot_env, variables, base) {
        Ok(config) => assert!(!show::show(&config).contains(SECRET)),
        Err(errors) => assert!(!errors.to_string().contains(SECRET), "{errors}"),
    }
});
