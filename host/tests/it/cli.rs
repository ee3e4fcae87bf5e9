//! The program as people start it: what it prints, and its exit codes.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

/// Runs the program in a folder, with no variables of ours around.
fn host(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zotify-host"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ZOTIFY") {
            command.env_remove(name);
        }
    }
    command.args(arguments).current_dir(folder).envs(variables.iter().copied()).output().expect("the program starts")
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
