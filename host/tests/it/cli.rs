//! The program as people start it: what it prints, and its exit codes.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use zotify_host::db::Db;

use crate::support::{PATIENCE, offer, plugin};

/// Runs the program in a folder, with no variables of ours around.
fn host(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    command(folder, arguments, variables).output().expect("the program starts")
}

fn command(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zotify-host"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ZOTIFY") {
            command.env_remove(name);
        }
    }
    command.args(arguments).current_dir(folder).envs(variables.iter().copied());
    command
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_configuration_is_written_checked_and_shown() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("my music")).unwrap();
    let init = host(dir.path(), &["config", "init", "--music", "my music"], &[]);
    assert_eq!(init.status.code(), Some(0), "{}", err(&init));

    let check = host(dir.path(), &["config", "check"], &[]);
    assert_eq!(check.status.code(), Some(0), "{}", err(&check));
    assert!(out(&check).contains("providers: 1"), "{}", out(&check));

    let show = host(dir.path(), &["config", "show"], &[("ZOTIFY__AUTH__SESSION_DAYS", "7")]);
    assert!(out(&show).contains("my music\"]  # zotify.toml:"), "{}", out(&show));
    assert!(out(&show).contains("auth.session_days = 7  # environment ZOTIFY__AUTH__SESSION_DAYS"), "{}", out(&show));

    let again = host(dir.path(), &["config", "init"], &[]);
    assert_eq!(again.status.code(), Some(1));
    assert!(err(&again).contains("--force"), "{}", err(&again));
    let missing = host(dir.path(), &["config", "init", "--force", "--music", "nowhere"], &[]);
    assert_eq!(missing.status.code(), Some(2), "{}", err(&missing));
}

#[test]
fn faults_end_with_code_2_and_are_all_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("other.toml");
    fs::write(&file, "[server]\nlistne = 1\n[auth]\nregistration = 'opened'\n").unwrap();
    for verb in [&["config", "check"][..], &["serve"]] {
        let output = host(dir.path(), &[verb, &["--config", file.to_str().unwrap()]].concat(), &[]);
        assert_eq!(output.status.code(), Some(2));
        let text = err(&output);
        assert!(text.contains("other.toml:2: server.listne: there is no such key; did you mean listen?"), "{text}");
        assert!(text.contains("other.toml:4: auth.registration: must be one of open, invite, closed"), "{text}");
    }
    let variable = host(dir.path(), &["config", "check"], &[("ZOTIFY_CONFIG", file.to_str().unwrap())]);
    assert_eq!(variable.status.code(), Some(2));
    assert_eq!(host(dir.path(), &["sreve"], &[]).status.code(), Some(2));
    assert_eq!(host(dir.path(), &["config", "check"], &[]).status.code(), Some(0));
}

#[test]
fn the_schema_is_a_json_schema_of_the_written_file() {
    let dir = tempfile::tempdir().unwrap();
    let schema: serde_json::Value = serde_json::from_str(&out(&host(dir.path(), &["config", "schema"], &[]))).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(host(dir.path(), &["config", "init"], &[]).status.success());
    let text = fs::read_to_string(dir.path().join("zotify.toml")).unwrap();
    let written: toml::Table = toml::from_str(&text).unwrap();
    assert!(validator.is_valid(&serde_json::to_value(written).unwrap()));
    assert!(!validator.is_valid(&serde_json::json!({"server": {"listen": 8080}})));
}

#[test]
fn the_doctor_names_faults_and_remedies() {
    let dir = tempfile::tempdir().unwrap();
    let variables = [("ZOTIFY__SERVER__LISTEN", "127.0.0.1:0"), ("ZOTIFY__PLUGINS__SANDBOX", "best-effort")];
    let healthy = host(dir.path(), &["doctor"], &variables);
    assert_eq!(healthy.status.code(), Some(0), "{}", out(&healthy));
    assert!(out(&healthy).contains("ok    database"), "{}", out(&healthy));
    assert!(!dir.path().join("data").exists(), "the doctor changes nothing");

    fs::create_dir(dir.path().join("data")).unwrap();
    let text = "not a database, but longer than a header of one hundred bytes ".repeat(9);
    fs::write(dir.path().join("data/zotify.db"), text).unwrap();
    let key = dir.path().join("data/secret.key");
    fs::write(&key, "").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let ill = host(dir.path(), &["doctor"], &variables);
    assert_eq!(ill.status.code(), Some(1), "{}", out(&ill));
    let text = out(&ill);
    assert!(
        text.contains("fail  database") && text.contains("fail  secret key") && text.contains("→ chmod 600"),
        "{text}"
    );

    let faulty = host(dir.path(), &["doctor"], &[("ZOTIFY__LOG__FORMAT", "xml")]);
    assert_eq!(faulty.status.code(), Some(1));
    assert!(out(&faulty).contains("log.format: must be one of pretty, json"), "{}", out(&faulty));
}

#[test]
fn the_document_is_printed() {
    let dir = tempfile::tempdir().unwrap();
    let document: serde_json::Value = serde_json::from_str(&out(&host(dir.path(), &["openapi"], &[]))).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
}

#[test]
fn a_mistyped_log_level_and_a_section_that_is_none_are_faults() {
    let dir = tempfile::tempdir().unwrap();
    let check = |toml: &str| {
        fs::write(dir.path().join("zotify.toml"), toml).unwrap();
        let output = host(dir.path(), &["config", "check"], &[("ZOTIFY__SERVER__LISTEN", "127.0.0.1:0")]);
        (output.status.code(), err(&output))
    };
    assert_eq!(check("[log]\nlevel = 'zotify_host::jobs=debug,WARN'\n").0, Some(0));
    for level in ["loud", "zotify_host", "info,x=y"] {
        let (code, text) = check(&format!("[log]\nlevel = '{level}'\n"));
        assert_eq!(code, Some(2), "{level}");
        assert!(text.contains("zotify.toml:2: log.level: must be error, warn"), "{text}");
    }
    let (code, text) = check("server = 1\n");
    assert_eq!(code, Some(2));
    assert!(text.contains("zotify.toml:1: server: must be a table"), "{text}");
    let (_, text) = check("[database]\nurl = 'postgres://u:p@h/n'\n");
    assert!(text.contains("\nsecrets.master_key: PostgreSQL needs"), "the variable is not at fault: {text}");
}

/// A host that is being served from a folder; killed in the end.
struct Served(Child);

impl Served {
    fn start(folder: &Path) -> Self {
        let variables = [("ZOTIFY__SERVER__LISTEN", "127.0.0.1:0")];
        Self(command(folder, &["serve"], &variables).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_data_folder_serves_one_host_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = Served::start(dir.path());
    let started = Instant::now();
    while !dir.path().join("data/admin-password").exists() {
        assert!(started.elapsed() < PATIENCE, "the host does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    let second = host(dir.path(), &["serve"], &[("ZOTIFY__SERVER__LISTEN", "127.0.0.1:0")]);
    assert_eq!(second.status.code(), Some(1));
    assert!(err(&second).contains("another host runs with the data folder"), "{}", err(&second));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(first.0.id().cast_signed()), nix::sys::signal::SIGINT).unwrap();
    assert!(first.0.wait().unwrap().success());
    let mut third = Served::start(dir.path());
    let file = fs::File::options().write(true).open(dir.path().join("data/host.lock")).unwrap();
    while file.try_lock().is_ok() {
        file.unlock().unwrap();
        assert!(third.0.try_wait().unwrap().is_none() && started.elapsed() < PATIENCE, "the next host does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert!(host(dir.path(), &["migrate"], &[]).status.success());
    let db = Db::connect(&format!("sqlite://{}", dir.path().join("data/zotify.db").display())).await.unwrap();
    let mut tx = db.write().await.unwrap();
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (99990101000000, 'later', 1, x'00', 0)";
    sqlx::query(newer).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    db.close().await;
    let variables = [("ZOTIFY__SERVER__LISTEN", "127.0.0.1:0"), ("ZOTIFY__PLUGINS__SANDBOX", "best-effort")];
    for verb in ["serve", "migrate"] {
        let output = host(dir.path(), &[verb], &variables);
        assert_eq!(output.status.code(), Some(1));
        assert!(err(&output).contains("a newer version of the host made it"), "{}", err(&output));
    }
    let doctor = host(dir.path(), &["doctor"], &variables);
    assert_eq!(doctor.status.code(), Some(1));
    assert!(out(&doctor).contains("was made by a newer version"), "{}", out(&doctor));
}

#[test]
fn the_doctor_tells_which_instances_would_not_start() {
    let dir = tempfile::tempdir().unwrap();
    offer(&plugin("zotify_plugin_local"), &dir.path().join("plugins"));
    fs::create_dir(dir.path().join("data")).unwrap();
    fs::create_dir(dir.path().join("music")).unwrap();
    let instances = "
        [providers.good]
        plugin = 'local'
        settings = { folders = ['music'] }
        [providers.gone]
        plugin = 'local'
        settings = { folders = ['elsewhere'] }
        [providers.typo]
        plugin = 'local'
        settings = { foldrs = ['music'] }
        [providers.none]
        plugin = 'nowhere'
        [providers.off]
        plugin = 'nowhere'
        enabled = false";
    fs::write(dir.path().join("zotify.toml"), format!("[plugins]\ndirectories = ['plugins']\n{instances}\n")).unwrap();
    let variables = [("ZOTIFY__SERVER__LISTEN", "127.0.0.1:0"), ("ZOTIFY__PLUGINS__SANDBOX", "best-effort")];
    let doctor = host(dir.path(), &["doctor"], &variables);
    let text = out(&doctor);
    assert_eq!(doctor.status.code(), Some(1), "{text}");
    assert!(text.contains("ok    instance       good"), "{text}");
    assert!(text.contains("warn  instance       gone: ") && text.contains("elsewhere is not there"), "{text}");
    assert!(text.contains("fail  instance       typo: ") && text.contains("(settings_invalid)"), "{text}");
    assert!(text.contains("fail  instance       none: ") && text.contains("(plugin_not_found)"), "{text}");
    assert!(!text.contains("off"), "{text}");
}

#[tokio::test]
async fn keys_are_made_listed_and_revoked() {
    let dir = tempfile::tempdir().unwrap();
    // Works beside a configuration with faults: the key may be what is missing there.
    fs::write(dir.path().join("zotify.toml"), "[auth]\nbootstrap_admin_key = \"too short\"\n").unwrap();
    let made = host(dir.path(), &["key", "generate"], &[]);
    let key = out(&made).trim().to_owned();
    assert_eq!((made.status.code(), key.len(), &key[..4]), (Some(0), 47, "ztf_"), "{}", err(&made));
    let refused = host(dir.path(), &["serve"], &[]);
    assert_eq!(refused.status.code(), Some(2));
    let said = err(&refused);
    assert!(said.contains("auth.bootstrap_admin_key") && said.contains("key generate"), "{said}");
    assert!(!said.contains("too short"), "{said}");

    fs::write(dir.path().join("zotify.toml"), "[server]\nlisten = \"127.0.0.1:0\"\n").unwrap();
    let file = dir.path().join("key");
    fs::write(&file, format!("{key}\n")).unwrap();
    let variables = [("ZOTIFY__AUTH__BOOTSTRAP_ADMIN_KEY_FILE", file.to_str().unwrap())];
    let shown = out(&host(dir.path(), &["config", "show"], &variables));
    assert!(shown.contains("auth.bootstrap_admin_key = \"********\""), "{shown}");
    let mut server = command(dir.path(), &["serve"], &variables).stderr(Stdio::null()).spawn().unwrap();
    let list = || out(&host(dir.path(), &["key", "list", "admin"], &[]));
    let started = Instant::now();
    // Not before the database is made: two at once would get into each other's way.
    let ready = || dir.path().join("data/admin-password").exists() && list().contains(" active ");
    while !ready() {
        assert!(started.elapsed() < PATIENCE, "the bootstrap key is not there");
        std::thread::sleep(Duration::from_millis(50));
    }
    server.kill().unwrap();
    server.wait().unwrap();
    let listed = list();
    assert!(listed.starts_with(&key[..12]) && listed.trim_end().ends_with(" bootstrap"), "{listed}");
    assert!(!listed.contains(&key), "{listed}");
    let unknown = host(dir.path(), &["key", "revoke", "admin", "ztf_nothing"], &[]);
    assert_eq!((unknown.status.code(), err(&unknown).contains("admin has no such API key")), (Some(1), true));
    assert_eq!(host(dir.path(), &["key", "revoke", "admin"], &[]).status.code(), Some(2));
    let revoked = host(dir.path(), &["key", "revoke", "admin", &key[..12]], &[]);
    assert_eq!(out(&revoked).trim(), "revoked 1 API keys of admin");
    assert!(list().contains(" revoked "));
    assert_eq!(out(&host(dir.path(), &["key", "revoke", "admin", "--all"], &[])).trim(), "revoked 0 API keys of admin");
}
