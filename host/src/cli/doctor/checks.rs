//! The checks, each a function of the configuration.

use std::{fs, io, net::TcpListener, os::unix::fs::PermissionsExt as _, path::Path};

use nix::{
    sys::statvfs::statvfs,
    unistd::{AccessFlags, access},
};

use super::Finding;
use crate::{
    config::{Config, Mode, Registration, SandboxPolicy},
    db::Db,
    secrets::{KEY_FILE, Secrets},
};

mod plugins;

/// Runs all checks.
pub(super) async fn all(config: &Config) -> Vec<Finding> {
    let mut findings = vec![configuration(config), data_folder(config)];
    findings.extend(database(config).await);
    findings.push(secret_key(config).await);
    findings.extend(plugins::folders(config));
    findings.extend(plugins::instances(config).await);
    findings.push(sandbox(config));
    findings.push(disk(config));
    findings.push(address(config));
    findings.extend(exposure(config));
    findings
}

fn configuration(config: &Config) -> Finding {
    let Some(file) = &config.file else {
        return Finding::warn(
            "configuration",
            "there is no file; defaults are used",
            "write one: zotify-host config init",
        );
    };
    let open = fs::metadata(file).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0);
    if open && config.file_holds_secrets() {
        let remedy = format!("chmod o-r {}, or keep secrets in files named by …_FILE variables", file.display());
        return Finding::warn(
            "configuration",
            format!("everybody can read {}, which holds secrets", file.display()),
            remedy,
        );
    }
    if config.providers.is_empty() {
        return Finding::warn(
            "configuration",
            format!("{} is valid, but has no provider", file.display()),
            "add a [providers.<id>] section",
        );
    }
    Finding::ok("configuration", file.display().to_string())
}

fn data_folder(config: &Config) -> Finding {
    let folder = &config.server.data_dir;
    let nearest = existing(folder);
    let flags = AccessFlags::W_OK | AccessFlags::X_OK;
    if !nearest.is_dir() {
        return Finding::fail(
            "data folder",
            format!("{} is no folder", nearest.display()),
            "set server.data_dir to a folder",
        );
    }
    match access(nearest, flags) {
        Ok(()) if nearest == folder => Finding::ok("data folder", folder.display().to_string()),
        Ok(()) => Finding::ok("data folder", format!("{} will be made at the first start", folder.display())),
        Err(error) => {
            let detail = format!("{} can't be written to: {}", nearest.display(), error.desc());
            Finding::fail("data folder", detail, "give it to the user that runs the host, or set server.data_dir")
        }
    }
}

/// The path itself, or the nearest folder above it that exists.
fn existing(path: &Path) -> &Path {
    path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"))
}

async fn database(config: &Config) -> Option<Finding> {
    if config.sqlite_file().is_some_and(|file| !file.exists()) {
        return Some(Finding::ok("database", "will be made at the first start"));
    }
    let url = config.database.masked_url();
    let remedy = "start the database and check database.url; a damaged SQLite file comes back from a backup";
    let db = match Db::connect(&config.database.url).await {
        Ok(db) => db,
        Err(error) => return Some(Finding::fail("database", format!("{url} can't be opened: {error}"), remedy)),
    };
    let (writable, newer, pending) =
        (db.check_writable().await, db.newer_migrations().await, db.pending_migrations().await);
    db.close().await;
    if let Err(error) = writable {
        let detail = format!("{url} can't be written to: {error}");
        return Some(Finding::fail("database", detail, "give it to the user that runs the host"));
    }
    if newer.is_ok_and(|newer| !newer.is_empty()) {
        let detail = format!("{url} was made by a newer version of the host");
        return Some(Finding::fail("database", detail, "use that version, or a backup"));
    }
    Some(match pending {
        Ok(pending) if pending.is_empty() => Finding::ok("database", url),
        Ok(pending) => {
            let detail = format!("{url} is {} migrations behind", pending.len());
            Finding::warn("database", detail, "make a backup; serve or zotify-host migrate bring it up to date")
        }
        Err(error) => Finding::fail("database", format!("{url} can't be read: {error}"), remedy),
    })
}

async fn secret_key(config: &Config) -> Finding {
    let file = config.server.data_dir.join(KEY_FILE);
    let meta = fs::metadata(&file).ok().filter(|_| config.secrets.master_key.is_none());
    if meta.as_ref().is_some_and(|meta| meta.permissions().mode() & 0o077 != 0) {
        let detail = format!("others than the owner can read {}", file.display());
        return Finding::fail("secret key", detail, format!("chmod 600 {}", file.display()));
    }
    if let Err(error) = Secrets::check(config, canary(config).await.as_deref()) {
        let remedy = "use the key that belongs to the database; the backup of the one holds the other";
        return Finding::fail("secret key", error.to_string(), remedy);
    }
    match meta {
        Some(_) => Finding::ok("secret key", file.display().to_string()),
        None if config.secrets.master_key.is_some() => Finding::ok("secret key", "given by secrets.master_key"),
        None => Finding::ok("secret key", "will be made at the first start"),
    }
}

/// What the key has to open; nothing where no database was made yet, or where it can't be read: that is another finding.
async fn canary(config: &Config) -> Option<Vec<u8>> {
    if config.sqlite_file().is_some_and(|file| !file.exists()) {
        return None;
    }
    let db = Db::connect(&config.database.url).await.ok()?;
    let canary = Secrets::canary(db.read()).await.ok().flatten();
    db.close().await;
    canary
}

fn sandbox(config: &Config) -> Finding {
    let missing: Vec<&str> = [(landlock(), "Landlock"), (seccomp(), "seccomp")]
        .into_iter()
        .filter_map(|(found, name)| (!found).then_some(name))
        .collect();
    if missing.is_empty() {
        return Finding::ok("sandbox", "Landlock and seccomp are there");
    }
    let detail = format!("this system has no {}", missing.join(" and no "));
    let remedy = "use Linux 5.13 or newer with Landlock enabled (lsm=landlock,…)";
    match config.plugins.sandbox {
        SandboxPolicy::Required => {
            let remedy = format!("{remedy}, or accept less protection: plugins.sandbox = \"best-effort\"");
            Finding::fail("sandbox", format!("{detail}; plugin processes will not start"), remedy)
        }
        SandboxPolicy::BestEffort => Finding::warn("sandbox", detail, remedy),
    }
}

#[cfg(target_os = "linux")]
fn landlock() -> bool {
    use landlock::{ABI, Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _};
    // Making a rule set restricts nothing until it is applied.
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    ruleset.handle_access(AccessFs::from_all(ABI::V1)).and_then(|ruleset| ruleset.create()).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn landlock() -> bool {
    false
}

/// The kernel lists what filters may do; without the list it has no filters.
fn seccomp() -> bool {
    fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").is_ok_and(|actions| actions.contains("errno"))
}

#[cfg_attr(target_os = "linux", expect(clippy::useless_conversion, reason = "the count is u32 on macOS"))]
fn disk(config: &Config) -> Finding {
    const MIB: u64 = 1024 * 1024;
    let folder = existing(&config.server.data_dir);
    let free = match statvfs(folder) {
        Ok(stat) => u64::from(stat.blocks_available()).saturating_mul(stat.fragment_size()) / MIB,
        Err(error) => {
            return Finding::warn(
                "free space",
                format!("{}: {}", folder.display(), error.desc()),
                "check that the file system is mounted",
            );
        }
    };
    let remedy = "free some, or move server.data_dir";
    match free {
        0..100 => Finding::fail("free space", format!("{free} MiB are free in {}", folder.display()), remedy),
        100..1024 => Finding::warn("free space", format!("{free} MiB are free in {}", folder.display()), remedy),
        _ => Finding::ok("free space", format!("{} GiB", free / 1024)),
    }
}

fn address(config: &Config) -> Finding {
    let listen = config.server.listen;
    match TcpListener::bind(listen) {
        Ok(_) => Finding::ok("address", format!("{listen} is free")),
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => Finding::warn(
            "address",
            format!("{listen} is in use"),
            "fine when this host is running; else set server.listen",
        ),
        Err(e) => Finding::fail(
            "address",
            format!("{listen}: {e}"),
            "set server.listen to an address of this machine, port 1024 or above",
        ),
    }
}

fn exposure(config: &Config) -> Option<Finding> {
    if config.server.listen.ip().is_loopback() {
        return None;
    }
    if config.auth.registration == Registration::Open {
        let detail = "everybody who reaches the server can make a user";
        return Some(Finding::warn("exposure", detail, "auth.registration = \"invite\" or \"closed\""));
    }
    if config.server.mode == Mode::Dev {
        return Some(Finding::warn("exposure", "mode \"dev\" on a public address", "server.mode = \"prod\""));
    }
    let detail = "passwords travel unencrypted to this address";
    Some(Finding::warn("exposure", detail, "put a reverse proxy with TLS before it and listen at 127.0.0.1"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::cli::doctor::Outcome;

    fn config(folder: &Path, toml: &str) -> Config {
        Config::parse(toml, folder).unwrap()
    }

    #[tokio::test]
    async fn a_readable_broken_wrong_or_lost_secret_key_fails() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), "");
        config.create_folders().unwrap();
        let db = Db::connect(&config.database.url).await.unwrap();
        assert_eq!(secret_key(&config).await.outcome, Outcome::Ok);
        db.migrate().await.unwrap();
        Secrets::load(&config, &db).await.unwrap();
        assert_eq!(secret_key(&config).await.outcome, Outcome::Ok);
        let file = config.server.data_dir.join(KEY_FILE);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(secret_key(&config).await.detail.contains("others"));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&file, "").unwrap();
        assert!(secret_key(&config).await.detail.contains("does not hold"));
        fs::write(&file, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap();
        assert!(secret_key(&config).await.detail.contains("not the one"));
        fs::remove_file(&file).unwrap();
        assert!(secret_key(&config).await.detail.contains("missing"));
    }

    #[test]
    fn a_file_in_place_of_the_data_folder_fails() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("data"), "").unwrap();
        assert_eq!(data_folder(&config(dir.path(), "")).outcome, Outcome::Fail);
        assert_eq!(data_folder(&config(dir.path(), "[server]\ndata_dir = 'a/b'\n")).outcome, Outcome::Ok);
    }

    #[test]
    fn a_taken_port_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let toml = format!("[server]\nlisten = '{}'\n", taken.local_addr().unwrap());
        assert_eq!(address(&config(dir.path(), &toml)).outcome, Outcome::Warn);
        assert_eq!(address(&config(dir.path(), "[server]\nlisten = '192.0.2.1:8080'\n")).outcome, Outcome::Fail);
    }

    #[tokio::test]
    async fn something_else_than_a_database_fails() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), "");
        assert_eq!(database(&config).await.unwrap().outcome, Outcome::Ok);
        config.create_folders().unwrap();
        fs::write(config.sqlite_file().unwrap(), "this is not a database, whatever its name may say").unwrap();
        assert_eq!(database(&config).await.unwrap().outcome, Outcome::Fail);
    }

    #[test]
    fn secrets_in_a_file_that_all_can_read_are_a_warning() {
        let dir = tempfile::tempdir().unwrap();
        let file: PathBuf = dir.path().join("zotify.toml");
        fs::write(&file, "[providers.nas]\nplugin = 'subsonic'\nsettings = { password = 'x' }\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let config = Config::load(Some(&file)).unwrap();
        assert!(configuration(&config).detail.contains("everybody can read"));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(configuration(&config).outcome, Outcome::Ok);
    }
}
