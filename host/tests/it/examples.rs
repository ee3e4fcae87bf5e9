//! The scripts of `examples/curl` that are about users and keys.

use std::{path::Path, process::Stdio};

use tokio::process::Command;

use crate::{
    library::music,
    support::{PASSWORD, TestApp},
};

/// Whether a program is installed; an error where `CI` is set.
fn installed(name: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).any(|folder| folder.join(name).is_file());
    if !found {
        assert!(std::env::var_os("CI").is_none(), "{name} is not installed");
        eprintln!("SKIPPED: {name} is not installed");
    }
    found
}

/// The lines of `docs/endpoints.yaml` that a script needs and that are still to be built.
fn planned(root: &Path, script: &str) -> Vec<String> {
    let list = std::fs::read_to_string(root.join("docs/endpoints.yaml")).unwrap();
    let path = |line: &str| line.split('"').nth(1).map(|path| path.split("/{").next().unwrap_or_default().to_owned());
    let needed = |line: &&str| path(line).is_some_and(|path| path.len() > 5 && script.contains(&path));
    list.lines().filter(|line| line.contains("status: planned")).filter(needed).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_users_and_a_keys_whole_life() {
    if !["sh", "curl", "jq"].into_iter().all(installed) {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let file = root.join("examples/curl/identity.sh");
    let script = std::fs::read_to_string(&file).unwrap();
    let planned = planned(root, &script);
    if !planned.is_empty() {
        eprintln!("SKIPPED: {} needs what is still planned:\n{}", file.display(), planned.join("\n"));
        return;
    }
    let music = music();
    let toml = format!(
        "[auth]\nregistration = \"invite\"\n\
         [providers.local]\nplugin = \"local\"\nsettings = {{ folders = [{:?}] }}\n",
        music.path()
    );
    let host = TestApp::with(&toml).await.admin().await;
    host.until("/api/sync/runs", |runs| runs["data"][0]["state"] == "applied").await;
    let output = Command::new("sh")
        .arg(&file)
        .env("ZOTIFY_URL", &host.base)
        .env("ZOTIFY_ADMIN", "root-of-tests")
        .env("ZOTIFY_ADMIN_PASSWORD", PASSWORD)
        .env("no_proxy", "127.0.0.1")
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.ends_with("The walk is complete.\n"), "{said}{failed}");
    // Of a key only the beginning is shown.
    assert!(
        said.split("ztf_").skip(1).all(|rest| rest.find(char::is_whitespace).is_some_and(|end| end <= 8)),
        "{said}"
    );
}
