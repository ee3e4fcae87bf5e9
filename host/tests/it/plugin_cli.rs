//! `zotify-host plugin`.

use std::{fs, process::Command};

use crate::{lab::Bench, support::plugin};

/// Runs a command in a bench; answers its exit code, output and error output.
fn run(bench: &Bench, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_zotify-host"))
        .arg("plugin")
        .args(arguments)
        .current_dir(bench.0.path())
        .env_clear()
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn bench(config: &str) -> Bench {
    let bench = Bench::new().with("minimal_provider");
    let start = "[server]\ndata_dir = \"data\"\n[plugins]\ndirectories = [\"plugins\"]\nbundled = \"bundled\"\n";
    fs::write(bench.path("zotify.toml"), format!("{start}{config}")).unwrap();
    bench
}

#[test]
fn files_are_listed_and_approved() {
    let bench = bench("# mine\n[providers.one]\nplugin = \"minimal\"\nsettings = { title = \"x\" }\n");
    fs::write(bench.path("plugins").join("junk.so"), "junk").unwrap();
    let (code, out, _) = run(&bench, &["list"]);
    assert_eq!(code, 0);
    assert!(out.contains("minimal ") && out.contains(" new ") && out.contains("used by one"), "{out}");
    assert!(out.contains("junk.so") && out.contains("not_a_plugin"), "{out}");

    let (code, out, error) = run(&bench, &["approve", "one"]);
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    assert!(run(&bench, &["list"]).1.contains(" trusted "));
    let file = bench.path("plugins").join("minimal_provider.so");
    let mut bytes = fs::read(&file).unwrap();
    bytes.push(0);
    fs::write(&file, bytes).unwrap();
    assert!(run(&bench, &["list"]).1.contains(" changed "));
    assert_eq!(run(&bench, &["approve", file.to_str().unwrap()]).0, 0);
    assert!(run(&bench, &["list"]).1.contains(" trusted "));
    assert_eq!(run(&bench, &["approve", "unheard-of"]).0, 1);
    let audit = ["audit", "export", "--action", "plugin.trusted"];
    let output =
        Command::new(env!("CARGO_BIN_EXE_zotify-host")).args(audit).current_dir(bench.0.path()).output().unwrap();
    let log = String::from_utf8(output.stdout).unwrap();
    assert_eq!(log.lines().filter(|line| line.contains("command") && line.contains("minimal")).count(), 2, "{log}");
}

#[test]
fn a_plugin_is_inspected_and_checked() {
    let bench = bench("");
    let (code, out, _) = run(&bench, &["inspect", "minimal"]);
    assert_eq!(code, 0);
    assert!(out.contains("provider minimal") && out.contains("title (needed)"), "{out}");
    let (_, json, _) = run(&bench, &["inspect", "minimal", "--json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["id"], "minimal");

    let elsewhere = Bench::new();
    let good = plugin("minimal_provider");
    let (code, out, error) = run(&elsewhere, &["check", good.to_str().unwrap()]);
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("is fine"), "{out}");
    assert!(fs::read_dir(elsewhere.path("data")).unwrap().next().is_none(), "a check leaves nothing");
    fs::write(elsewhere.path("junk.so"), "junk").unwrap();
    let (code, _, error) = run(&elsewhere, &["check", "junk.so"]);
    assert_eq!(code, 1);
    assert!(error.contains("not_a_plugin"), "{error}");
}

#[test]
fn instances_are_switched_and_comments_stay() {
    let bench = bench("# mine\n[providers.one]  # the first\nplugin = \"minimal\"\nsettings = { title = \"x\" }\n");
    let file = bench.path("zotify.toml");
    let before = fs::read_to_string(&file).unwrap();
    assert_eq!(run(&bench, &["disable", "one"]).0, 0);
    let off = fs::read_to_string(&file).unwrap();
    assert!(off.contains("enabled = false") && off.contains("# mine") && off.contains("# the first"), "{off}");
    assert!(run(&bench, &["disable", "one"]).1.contains("already"));
    assert_eq!(run(&bench, &["enable", "one"]).0, 0);
    assert_eq!(fs::read_to_string(&file).unwrap().replace("enabled = true\n", ""), before);
    let (code, _, error) = run(&bench, &["enable", "ome"]);
    assert_eq!(code, 2);
    assert!(error.contains("is one meant?"), "{error}");
}

#[test]
fn a_bundle_lists_the_hashes_of_a_folder() {
    let bench = bench("");
    let bundled = bench.path("bundled");
    fs::copy(plugin("minimal_provider"), bundled.join("minimal.so")).unwrap();
    fs::remove_file(bench.path("plugins").join("minimal_provider.so")).unwrap();
    let (code, _, error) = run(&bench, &["bundle", "bundled"]);
    assert_eq!(code, 0, "{error}");
    assert!(run(&bench, &["list"]).1.contains(" bundled "));
    assert_eq!(run(&bench, &["bundle", "nowhere"]).0, 2);
}
