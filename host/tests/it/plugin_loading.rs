//! What is loaded, and what is refused, with which code.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use zotify_host::{accounts, providers::State};
use zotify_plugin_api::ErrorKind;

use crate::{
    lab::{Bench, Lab},
    support::plugin,
};

const MINIMAL: &str = "plugin = \"minimal\"\nsettings = { title = \"Song\" }\n";

fn minimal(more: &str) -> String {
    format!("[providers.one]\n{MINIMAL}{more}\n")
}

/// A provider for the id `one` whose plugin has the name `name`.
fn instance(name: &str) -> String {
    format!("[providers.one]\nplugin = \"{name}\"\n")
}

#[tokio::test]
async fn a_plugin_answers_in_both_modes() {
    let config = format!("[providers.one]\n{MINIMAL}[providers.two]\n{MINIMAL}isolation = \"in-process\"\n");
    let lab = Bench::new().with("minimal_provider").start(&config).await;
    for (id, isolation) in [("one", "process"), ("two", "in-process")] {
        assert_eq!(lab.search(id, "on").await.unwrap(), "Song", "{id}");
        let report = lab.report(id);
        assert_eq!((report.state, report.isolation), (State::Started, isolation));
        assert_eq!((report.provider.as_deref(), report.problem), (Some("minimal"), None));
        assert_eq!(report.capabilities["catalog.search"].state, "available");
        assert_eq!(report.capabilities["download.audio"].state, "unsupported");
        let source = report.source.unwrap();
        assert_eq!((source.file.as_str(), source.bundled, source.sha256.len()), ("minimal_provider.so", false, 64));
    }
    let error = lab.search("three", "x").await.unwrap_err();
    assert_eq!(error.code.as_deref(), Some("provider_not_found"));
    lab.stop().await;
}

/// Else a search right after the start would pass it over.
#[tokio::test]
async fn a_provider_that_signs_nobody_in_has_its_account_once_it_has_started() {
    let lab = Bench::new().with("minimal_provider").start(&format!("[providers.one]\n{MINIMAL}")).await;
    assert_eq!(lab.report("one").state, State::Started);
    let accounts = accounts::of_instance(&lab.db, "one").await.unwrap();
    assert_eq!(accounts.iter().map(|account| account.owner.as_deref()).collect::<Vec<_>>(), [None]);
    lab.stop().await;
}

#[tokio::test]
async fn an_unknown_plugin_and_one_that_is_off_are_reported() {
    let config = format!("{}[providers.off]\n{MINIMAL}enabled = false\n", instance("nothing"));
    let lab = Bench::new().with("minimal_provider").start(&config).await;
    assert_eq!(lab.problem("one"), "plugin_not_found");
    assert_eq!(lab.report("off").state, State::Disabled);
    let error = lab.search("off", "x").await.unwrap_err();
    assert_eq!((error.kind, error.code.as_deref()), (ErrorKind::Unavailable, Some("disabled")));
    lab.stop().await;
}

/// Loads a file by the name `broken.so`, and answers the code of the refusal.
async fn refused(make: impl FnOnce(&Path)) -> &'static str {
    let bench = Bench::new();
    make(&bench.path("plugins").join("broken.so"));
    let lab = bench.start(&instance("broken")).await;
    let code = lab.problem("one");
    assert_eq!(lab.report("one").state, State::Failed);
    lab.stop().await;
    code
}

#[tokio::test]
async fn files_that_are_no_plugins_are_refused() {
    let library = fs::read(plugin("minimal_provider")).unwrap();
    assert_eq!(refused(|path| fs::write(path, "no library").unwrap()).await, "not_a_plugin");
    assert_eq!(refused(|path| fs::write(path, "").unwrap()).await, "not_a_plugin");
    assert_eq!(refused(|path| fs::write(path, &library[..library.len() / 16]).unwrap()).await, "not_a_plugin");
    assert_eq!(refused(|path| fs::create_dir(path).unwrap()).await, "unreadable");
    assert_eq!(refused(|path| assert!(fs::copy(system_library(), path).unwrap() > 0)).await, "not_a_plugin");
}

/// A good library that is no plugin.
fn system_library() -> PathBuf {
    let folders = ["/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib64", "/usr/lib64"];
    let names = folders.map(|folder| Path::new(folder).join("libm.so.6"));
    names.into_iter().find(|path| path.exists()).expect("the C library")
}

#[tokio::test]
async fn two_different_files_of_one_id_are_refused_unless_one_is_bundled() {
    let mut other = fs::read(plugin("minimal_provider")).unwrap();
    other.push(0);
    let bench = Bench::new().with("minimal_provider");
    fs::write(bench.path("plugins").join("other.so"), &other).unwrap();
    let lab = bench.start(&minimal("")).await;
    // Neither can be meant by the id, so the file's name decides which refusal is shown.
    assert_eq!(lab.problem("one"), "duplicate_id");
    let bench = lab.stop().await;

    bundle(&bench, &plugin("minimal_provider"), "own.so");
    let lab = bench.start(&minimal("")).await;
    let source = lab.report("one").source.unwrap();
    assert_eq!((source.file.as_str(), source.bundled), ("own.so", true));
    lab.stop().await;
}

/// Puts a file into the folder of bundled plugins, and its hash into the list there.
fn bundle(bench: &Bench, file: &Path, name: &str) {
    let folder = bench.path("bundled");
    fs::copy(file, folder.join(name)).unwrap();
    let hash = zotify_host::providers::library::hash(file).unwrap();
    fs::write(folder.join("bundled.json"), format!("{{\"plugins\": {{\"{name}\": \"{hash}\"}}}}")).unwrap();
}

#[tokio::test]
async fn a_changed_file_stays_off() {
    let lab = Bench::new().with("minimal_provider").start(&minimal("")).await;
    assert_eq!(lab.report("one").state, State::Started);
    let bench = lab.stop().await;
    append_a_byte(&bench.path("plugins").join("minimal_provider.so"));
    let lab = bench.start(&minimal("")).await;
    assert_eq!(lab.problem("one"), "hash_changed");
    assert_eq!(lab.search("one", "on").await.unwrap_err().kind, ErrorKind::Unavailable);
    assert_eq!(fs::read_dir(lab.dir.path().join("data/plugins")).unwrap().count(), 1, "the old copy is gone");

    let found = zotify_host::providers::trust::approve(&lab.db, &examined(&lab).await, "minimal").await;
    found.unwrap();
    assert!(lab.registry.restart("one").await);
    lab.until("one", State::Started).await;
    assert_eq!(lab.search("one", "on").await.unwrap(), "Song");
    lab.stop().await;
}

async fn examined(lab: &Lab) -> zotify_host::providers::library::Found {
    let bench = lab.dir.path().join("plugins/minimal_provider.so");
    let config = Bench(tempfile::tempdir().unwrap()).config("");
    let mut config = config;
    config.server.data_dir = lab.dir.path().join("data");
    let program = env!("CARGO_BIN_EXE_zotify-host").into();
    let finder = zotify_host::providers::library::Finder { config: config.into(), db: None, program };
    finder.examine(bench, None).await
}

fn append_a_byte(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes.push(0);
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_bundled_file_must_be_the_listed_one() {
    let bench = Bench::new();
    bundle(&bench, &plugin("minimal_provider"), "minimal.so");
    let lab = bench.start(&minimal("")).await;
    assert!(lab.report("one").source.unwrap().bundled);
    let bench = lab.stop().await;
    append_a_byte(&bench.path("bundled").join("minimal.so"));
    let lab = bench.start(&minimal("")).await;
    assert_eq!(lab.problem("one"), "hash_changed");
    lab.stop().await;
}

#[tokio::test]
async fn settings_and_parts_are_checked_before_the_plugin_runs() {
    let config = "[providers.empty]\nplugin = \"minimal\"\n\
                  [providers.wrong]\nplugin = \"minimal\"\nsettings = { title = 7, secret = \"hush\" }\n\
                  [providers.part]\nplugin = \"minimal\"\nprovider = \"other\"\nsettings = { title = \"x\" }\n\
                  [automations.auto]\nplugin = \"minimal\"\n";
    let lab = Bench::new().with("minimal_provider").start(config).await;
    assert_eq!(lab.problem("empty"), "settings_invalid");
    assert_eq!(lab.problem("wrong"), "settings_invalid");
    assert!(!lab.report("wrong").problem.unwrap().detail.contains("hush"));
    assert_eq!(lab.problem("part"), "provider_not_found");
    assert_eq!(lab.problem("auto"), "provider_not_found");
    let ids: Vec<_> = lab.registry.list().into_iter().map(|report| report.id).collect();
    assert_eq!(ids, ["empty", "part", "wrong"], "providers only, by id");
    lab.stop().await;
}

#[tokio::test]
async fn a_constructor_that_fails_is_reported() {
    for isolation in ["process", "in-process"] {
        let lab = Lab::hostile("", &format!("isolation = \"{isolation}\"\nsettings = {{ start = \"refuse\" }}")).await;
        assert_eq!(lab.problem("bad"), "create_failed");
        assert!(!lab.report("bad").problem.unwrap().detail.contains('\u{1b}'));
        let bench = lab.stop().await;
        let panics =
            format!("[providers.bad]\nplugin = \"hostile\"\nisolation = \"{isolation}\"\nsettings.start = \"panic\"");
        let lab = bench.start(&panics).await;
        assert_eq!(lab.problem("bad"), "create_failed");
        lab.stop().await;
    }
}

/// Builds a provider against a copy of the SDK that was changed by `change`, with the workspace's own dependencies.
fn foreign_plugin(name: &str, change: impl Fn(&Path, &Path)) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let staging = tempfile::tempdir().unwrap();
    let draft = staging.path();
    // Folders of its own name: Cargo tells packages in one target folder apart by their path within the workspace.
    copy_changed(&root.join("plugin-api"), &draft.join(name).join("plugin-api"));
    copy_changed(&root.join("host/tests/fixtures/future"), &draft.join(name).join("future"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let (_, members) = manifest.split_once("members = [").unwrap();
    let (members, _) = members.split_once(']').unwrap();
    let ours = ["plugin-api", "plugin-api/abi", "future"].map(|folder| format!("\"{name}/{folder}\""));
    let manifest = manifest.replace(members, &ours.join(", "));
    let manifest = manifest.replace("path = \"plugin-api", &format!("path = \"{name}/plugin-api"));
    fs::write(draft.join("Cargo.toml"), manifest).unwrap();
    edit(&draft.join(name).join("future/Cargo.toml"), "[lib]", &format!("[lib]\nname = \"{name}\""));
    change(draft, &draft.join(name));

    // Files that are the same stay untouched, so that a second run builds nothing.
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    copy_changed(draft, &work);
    if !work.join("Cargo.lock").exists() {
        fs::copy(root.join("Cargo.lock"), work.join("Cargo.lock")).unwrap();
    }
    let program = PathBuf::from(env!("CARGO_BIN_EXE_zotify-host"));
    let target = program.parent().and_then(Path::parent).unwrap();
    // A target folder of its own would build every dependency once more.
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--offline", "-p", "future", "--target-dir"])
        .arg(target)
        .current_dir(&work)
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    // Not left where people may look for plugins.
    let (made, kept) = (target.join("debug").join(format!("lib{name}.so")), work.join("plugin.so"));
    fs::copy(&made, &kept).unwrap();
    fs::remove_file(made).unwrap();
    kept
}

/// Copies a folder, leaving alone what is the same already.
fn copy_changed(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_changed(&path, &target);
        } else if fs::read(&target).ok() != Some(fs::read(&path).unwrap()) {
            fs::copy(&path, &target).unwrap();
        }
    }
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{} no longer holds {from:?}", path.display());
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

/// What a later SDK may look like: another version, a new field in a reply, a new variant with data.
fn later_sdk(work: &Path, crates: &Path) {
    edit(&work.join("Cargo.toml"), "version = \"0.1.0\"", "version = \"0.9.3\"");
    edit(&work.join("Cargo.toml"), "plugin-api\", version = \"0.1.0\"", "plugin-api\", version = \"0.9.3\"");
    let library = crates.join("plugin-api/src/model/library.rs");
    edit(
        &library,
        "pub struct LibraryPage {",
        "pub struct LibraryPage {\n    /// New.\n    #[serde(default)]\n    pub novelty: Vec<String>,",
    );
    edit(
        &library,
        "pub enum Completeness {",
        "pub enum Completeness {\n    /// New.\n    Sampled {\n        /// How much.\n        per_mille: u32,\n    },",
    );
}

#[tokio::test]
async fn plugins_of_another_sdk_load_and_those_of_another_protocol_do_not() {
    use zotify_host::providers::Lane;
    use zotify_plugin_api::{Completeness, LibraryChanges, method::PullLibrary};

    let later = foreign_plugin("later_sdk", later_sdk);
    let other = foreign_plugin("other_protocol", |work, crates| {
        later_sdk(work, crates);
        edit(
            &crates.join("plugin-api/src/manifest.rs"),
            "ProtocolRange { min: 0, max: 0 }",
            "ProtocolRange { min: 7, max: 8 }",
        );
        edit(&crates.join("future/src/lib.rs"), "export_plugin!(\"future\"", "export_plugin!(\"protocol\"");
    });
    let config = "[providers.here]\nplugin = \"future\"\nisolation = \"in-process\"\n\
                  [providers.there]\nplugin = \"future\"\n[providers.protocol]\nplugin = \"protocol\"\n";
    let lab = Bench::new().with_file(&later, "future.so").with_file(&other, "protocol.so").start(config).await;
    for id in ["here", "there"] {
        let page = lab.registry.call::<PullLibrary>(id, None, Lane::Job, LibraryChanges::default()).await.unwrap();
        assert_eq!(page.upsert.rows.len(), 1);
        assert_eq!(page.completeness, Completeness::Unknown, "a variant that this host does not know");
        assert_eq!(lab.handle(id).library_manifest().unwrap().sdk, "0.9.3");
    }
    assert_eq!(lab.problem("protocol"), "protocol_unsupported");
    lab.stop().await;
}

#[tokio::test]
async fn a_plugin_of_another_binary_interface_is_refused() {
    let other = foreign_plugin("other_abi", |work, crates| {
        edit(&crates.join("plugin-api/abi/Cargo.toml"), "version = \"1.0.0\"", "version = \"2.0.0\"");
        edit(&work.join("Cargo.toml"), "version = \"=1.0.0\"", "version = \"=2.0.0\"");
        edit(&crates.join("future/src/lib.rs"), "novelty: vec![\"unheard\".into()],", "");
        edit(&crates.join("future/src/lib.rs"), "Completeness::Sampled { per_mille: 500 }", "Completeness::Complete");
    });
    let lab = Bench::new().with_file(&other, "future.so").start("[providers.one]\nplugin = \"future\"\n").await;
    assert_eq!(lab.problem("one"), "abi_mismatch");
    lab.stop().await;
}
