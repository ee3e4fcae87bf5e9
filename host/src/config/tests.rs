use std::{ffi::OsString, fs, net::IpAddr, path::Path};

use secrecy::ExposeSecret;
use serde_json::json;
use zotify_plugin_api::is_instance_id;

use super::{layers::Layers, *};

const KEY: &str = "1Krpwl91+WotXnrqzXYSQwT3LCXCJrd5SObwa1tEIRQ=";

/// Loads a file, a `.env` and variables from a folder of their own.
fn load(toml: &str, dot_env: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("zotify.toml");
    fs::write(&file, toml).unwrap();
    fs::write(dir.path().join(".env"), dot_env).unwrap();
    let mut layers = Layers::new(Some(&file));
    layers.add_file();
    layers.add_dot_env(&dir.path().join(".env"));
    layers.add_environment(variables.iter().map(|(name, value)| (OsString::from(*name), OsString::from(*value))));
    Config::build(layers, Some(file), dir.path().to_owned())
}

fn problems(toml: &str, variables: &[(&str, &str)]) -> Vec<String> {
    load(toml, "", variables).unwrap_err().0.iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_given_is_a_whole_configuration() {
    let config = Config::parse("", Path::new("/srv/zotify")).unwrap();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.server.mode, Mode::Prod);
    assert_eq!(config.server.data_dir, Path::new("/srv/zotify/data"));
    assert_eq!(config.database.url, "sqlite:///srv/zotify/data/zotify.db");
    assert!(config.providers.is_empty());
    assert_eq!(config.source("/server/listen"), Source::Default);
}

#[test]
fn the_environment_goes_before_dot_env_and_dot_env_before_the_file() {
    let toml = "[server]\nlisten = '127.0.0.1:1'\nshutdown_grace_s = 1\nrequest_timeout_s = 1\n";
    let dot_env = "ZOTIFY__SERVER__SHUTDOWN_GRACE_S=2\nZOTIFY__SERVER__REQUEST_TIMEOUT_S=2\nOTHER=1\n";
    let config = load(toml, dot_env, &[("ZOTIFY__SERVER__REQUEST_TIMEOUT_S", "3")]).unwrap();
    assert_eq!(config.server.listen.port(), 1);
    assert_eq!((config.server.shutdown_grace_s, config.server.request_timeout_s), (2, 3));
    assert_eq!(config.source("/server/listen").to_string(), "zotify.toml:2");
    assert_eq!(config.source("/server/shutdown_grace_s").to_string(), ".env ZOTIFY__SERVER__SHUTDOWN_GRACE_S");
    assert_eq!(config.source("/server/request_timeout_s").to_string(), "environment ZOTIFY__SERVER__REQUEST_TIMEOUT_S");
}

#[test]
fn variables_reach_lists_tables_and_instances() {
    let toml = "[providers.home-nas]\nplugin = 'subsonic'\nsettings = { url = 'http://192.0.2.7', tls = { verify = false } }\n";
    let variables = [
        ("ZOTIFY__PLUGINS__DIRECTORIES", "/a, /b"),
        ("ZOTIFY__SERVER__TRUSTED_PROXIES", r#"["10.0.0.0/8"]"#),
        ("ZOTIFY__PROVIDERS__LOCAL", r#"{"plugin": "local", "settings": {"watch": false}}"#),
        ("ZOTIFY__PROVIDERS__LOCAL__SETTINGS__FOLDERS", r#"["/srv/music"]"#),
        ("ZOTIFY__PROVIDERS__HOME_NAS__ENABLED", "false"),
        ("ZOTIFY__PROVIDERS__HOME_NAS__SETTINGS__TLS__CA", "/etc/ca.pem"),
        ("ZOTIFY__PROVIDERS__HOME_NAS__SETTINGS__PASSWORD", "\"123\""),
    ];
    let config = load(toml, "", &variables).unwrap();
    assert_eq!(config.plugins.directories, [Path::new("/a"), Path::new("/b")]);
    assert!(config.server.trusts("::ffff:10.1.2.3".parse::<IpAddr>().unwrap()));
    assert!(!config.server.trusts("11.1.2.3".parse::<IpAddr>().unwrap()));
    assert_eq!(config.providers["local"].settings, json!({"watch": false, "folders": ["/srv/music"]}));
    let nas = &config.providers["home-nas"];
    assert!(!nas.enabled);
    let settings = json!({"url": "http://192.0.2.7", "tls": {"verify": false, "ca": "/etc/ca.pem"}, "password": "123"});
    assert_eq!(nas.settings, settings);
}

#[test]
fn a_variable_may_name_a_file_that_holds_the_value() {
    let dir = tempfile::tempdir().unwrap();
    let (key, password) = (dir.path().join("key"), dir.path().join("password"));
    fs::write(&key, format!("{KEY}\n")).unwrap();
    fs::write(&password, "1234\n").unwrap();
    let variables = [
        ("ZOTIFY__SECRETS__MASTER_KEY_FILE", key.to_str().unwrap()),
        ("ZOTIFY__PROVIDERS__NAS__PLUGIN", "subsonic"),
        ("ZOTIFY__PROVIDERS__NAS__SETTINGS__PASSWORD_FILE", password.to_str().unwrap()),
    ];
    let config = load("", "", &variables).unwrap();
    assert_eq!(config.secrets.master_key.as_ref().unwrap().expose_secret(), KEY);
    assert_eq!(config.providers["nas"].settings, json!({"password": "1234"}));
    assert!(!format!("{config:?}").contains(KEY));

    let both = [variables[0], ("ZOTIFY__SECRETS__MASTER_KEY", KEY)];
    let found = problems("", &both);
    assert!(found[0].contains("sets the same key"), "{found:?}");
    let missing = problems("", &[("ZOTIFY__SECRETS__MASTER_KEY_FILE", "/nonexistent/key")]);
    assert!(missing[0].contains("the file can't be read"), "{missing:?}");
}

#[test]
fn every_fault_is_named_with_its_place() {
    let toml = "\
[server]
listne = '127.0.0.1:8080'
mode = 'production'
max_body_bytes = 'big'
request_timeout_s = 0
public_url = 'music.example.org'
trusted_proxies = ['10.0.0.0/8', 'proxy']

[plugin]
directories = ['plugins']

[providers.Local]
plugin = 'local'

[providers.flows]
enabled = 'yes'
";
    let variables =
        [("ZOTIFY__SERVER__LISTEN", "8080"), ("ZOTIFY__LOGS__LEVEL", "info"), ("ZOTIFY__AUTH__SESSION_DAYS", "x")];
    insta::assert_snapshot!(problems(toml, &variables).join("\n"), @r#"
    ZOTIFY__LOGS__LEVEL: logs: there is no such key; did you mean log?
    zotify.toml:16: providers.flows.enabled: must be true or false; found the text "yes"
    zotify.toml:15: providers.flows.plugin: is missing
    zotify.toml:4: server.max_body_bytes: must be a whole number; found the text "big"
    zotify.toml:3: server.mode: must be one of dev, prod; found the text "production"; did you mean prod?
    zotify.toml:6: server.public_url: must be an http: or https: URL without user, query and fragment; found the text "music.example.org"
    zotify.toml:5: server.request_timeout_s: must be from 1 to 3600; found 0
    zotify.toml:7: server.trusted_proxies[1]: must be a network such as 127.0.0.1/32 or fd00::/8; found the text "proxy"
    environment ZOTIFY__SERVER__LISTEN: server.listen: must be an IP address and a port, such as 127.0.0.1:8080 or [::]:8080; found the text "8080"
    zotify.toml:2: server.listne: there is no such key; did you mean listen?
    environment ZOTIFY__AUTH__SESSION_DAYS: auth.session_days: must be a whole number; found the text "x"
    zotify.toml:9: plugin: there is no such key; did you mean plugins?
    zotify.toml:12: providers.Local: an id is a small letter, then up to 31 small letters, digits and hyphens
    zotify.toml:15: providers.flows: this id is reserved; choose another
    "#);
}

#[test]
fn permissions_of_no_kind_are_slips() {
    let toml = "[providers.a]\nplugin = 'a'\npermissions = ['files:/srv', 'hosts:*.example.org', 'public-internet']\n\
                [providers.b]\nplugin = 'b'\npermissions = ['hosts:a', 'host:a', 'files:']\n";
    insta::assert_snapshot!(problems(toml, &[]).join("\n"), @r#"
    zotify.toml:6: providers.b.permissions: "host:a" is no permission; there are files:<folder>, hosts:<host>, public-internet
    zotify.toml:6: providers.b.permissions: "files:" is no permission; there are files:<folder>, hosts:<host>, public-internet
    "#);
}

#[test]
fn a_broken_file_is_reported_by_line() {
    let found = problems("[server]\nlisten = \n\n[server]\nmode = 'dev\n", &[]);
    assert!(found.iter().any(|line| line.starts_with("zotify.toml:2: ")), "{found:?}");
    assert!(found.iter().any(|line| line.starts_with("zotify.toml:5: ")), "{found:?}");
    let missing = Config::load(Some(Path::new("/nonexistent/zotify.toml"))).unwrap_err().to_string();
    assert!(missing.starts_with("/nonexistent/zotify.toml: can't be read: "), "{missing}");
}

#[test]
fn a_broken_dot_env_line_is_not_repeated() {
    let errors = load("", "# comment\nZOTIFY__SECRETS__MASTER_KEY=hunter 2 3\n", &[]).unwrap_err().to_string();
    assert!(errors.contains(".env:2: ") && !errors.contains("hunter"), "{errors}");
}

#[test]
fn secrets_are_not_repeated_in_faults() {
    let found =
        problems("[secrets]\nmaster_key = 'hunter2'\n[database]\nurl = 'mysql://u:hunter2@h/d'\n", &[]).join("\n");
    assert!(
        found.contains("secrets.master_key: must be 32 bytes") && found.contains("database.url: must be"),
        "{found}"
    );
    assert!(!found.contains("hunter2"), "{found}");
}

#[test]
fn typed_keys_are_refused_in_prod_only() {
    // "correct horse battery staple 123" in base64.
    let typed = "Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZSAxMjM=";
    let found = problems(&format!("[secrets]\nmaster_key = '{typed}'\n"), &[]);
    assert!(found[0].contains("the key is not random"), "{found:?}");
    assert!(load(&format!("[server]\nmode = 'dev'\n[secrets]\nmaster_key = '{typed}'\n"), "", &[]).is_ok());
    assert!(load(&format!("[secrets]\nmaster_key = '{KEY}'\n"), "", &[]).is_ok());
}

#[test]
fn postgres_needs_a_key_and_hides_its_password() {
    let url = "postgres://zotify:hunter2@db/zotify?sslpassword=hunter3";
    let found = problems(&format!("[database]\nurl = '{url}'\n"), &[]);
    assert!(found[0].contains("secrets.master_key: PostgreSQL needs a key"), "{found:?}");
    let config = load(&format!("[database]\nurl = '{url}'\n[secrets]\nmaster_key = '{KEY}'\n"), "", &[]).unwrap();
    assert_eq!(config.database.url, url);
    assert!(!format!("{config:?}").contains("hunter"), "{config:?}");
}

#[test]
fn paths_start_from_the_file() {
    let toml = "[server]\ndata_dir = './state'\n[plugins]\ndirectories = ['plug ins', '~/plugins', '/opt/p']\n[database]\nurl = 'sqlite://db/z%20y.db?mode=rwc'\n";
    let config = Config::parse(toml, Path::new("/srv/my music")).unwrap();
    let home = std::env::var("HOME").unwrap();
    assert_eq!(config.server.data_dir, Path::new("/srv/my music/state"));
    assert_eq!(config.plugins.directories[0], Path::new("/srv/my music/plug ins"));
    assert_eq!(config.plugins.directories[1], Path::new(&home).join("plugins"));
    assert_eq!(config.plugins.directories[2], Path::new("/opt/p"));
    assert_eq!(config.database.url, "sqlite:///srv/my%20music/db/z%20y.db?mode=rwc");
}

#[test]
fn ids_have_a_form() {
    for good in ["local", "home-nas", "a", "a1234567890123456789012345678901"] {
        assert!(is_instance_id(good), "{good}");
    }
    for bad in ["", "Local", "1a", "-a", "a_b", "a.b", "é", "a12345678901234567890123456789012"] {
        assert!(!is_instance_id(bad), "{bad}");
    }
    let found = problems("[providers.mqtt]\nplugin = 'a'\n[automations.mqtt]\nplugin = 'mqtt'\n", &[]);
    assert!(found[0].contains("automations.mqtt: a provider has the same id"), "{found:?}");
}

#[test]
fn the_written_file_is_valid_with_and_without_its_defaults() {
    let written = template::text(&["/srv/my \"music\"".to_owned()]);
    let config = load(&written, "", &[]).unwrap();
    let local = &config.providers["local"];
    assert_eq!((local.plugin.as_str(), &local.settings), ("local", &json!({"folders": ["/srv/my \"music\""]})));

    let setting = |line: &str| {
        let (key, value) = line.strip_prefix("# ")?.split_once(" = ")?;
        let is_key = key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        (is_key && value != "\"…\"").then(|| format!("{key} = {value}"))
    };
    let mut seen = 0;
    let mut uncommented = String::new();
    for line in written.lines() {
        seen += usize::from(setting(line).is_some());
        uncommented += &setting(line).unwrap_or_else(|| line.to_owned());
        uncommented += "\n";
    }
    let explicit = load(&uncommented, "", &[]).unwrap();
    assert!(seen > 25, "only {seen} settings in\n{written}");
    let plain = |config: &Config| {
        let mut value = serde_json::to_value(config).unwrap();
        for key in ["/server/data_dir", "/server/public_url", "/database/url"] {
            *value.pointer_mut(key).unwrap() = json!(null);
        }
        value
    };
    assert_eq!(plain(&explicit), plain(&config));
}

#[test]
fn what_is_in_effect_is_shown_without_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    fs::write(&file, KEY).unwrap();
    let toml = "
[database]
url = 'postgres://zotify:hunter2@db/zotify'
[providers.nas]
plugin = 'subsonic'
[providers.nas.settings]
url = 'https://me:hunter2@nas.example.org/rest'
user = 'me'
app_password = 'hunter2'
servers = [{ name = 'a', api_key = 'hunter2' }]
";
    let variables = [
        ("ZOTIFY__SECRETS__MASTER_KEY_FILE", file.to_str().unwrap()),
        ("ZOTIFY__PROVIDERS__NAS__SETTINGS__NOTE_FILE", file.to_str().unwrap()),
        ("ZOTIFY__SERVER__LISTEN", "[::1]:9000"),
    ];
    let shown = show::show(&load(toml, "", &variables).unwrap());
    assert!(!shown.contains("hunter2") && !shown.contains(KEY), "{shown}");
    for line in [
        "server.listen = \"[::1]:9000\"  # environment ZOTIFY__SERVER__LISTEN",
        "server.mode = \"prod\"  # default",
        "# server.public_url is not set",
        "database.url = \"postgres://zotify:********@db/zotify\"  # zotify.toml:3",
        "providers.nas.settings.user = \"me\"  # zotify.toml:8",
        "providers.nas.settings.app_password = \"********\"  # zotify.toml:9",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in\n{shown}");
    }
    // What is shown is TOML again.
    assert!(toml::from_str::<toml::Table>(&shown).is_ok(), "{shown}");
}

#[test]
fn a_file_is_written_once_and_privately() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("etc/zotify.toml");
    template::write(&file, "a", false).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let again = template::write(&file, "b", false).unwrap_err();
    assert_eq!((again.kind(), fs::read_to_string(&file).unwrap().as_str()), (std::io::ErrorKind::AlreadyExists, "a"));
    template::write(&file, "c", true).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "c");
    assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn a_file_with_anything_that_is_masked_holds_secrets() {
    for text in [
        "[secrets]\nmaster_key = \"x\"",
        "auth.bootstrap_admin_key = \"x\"",
        "database.url = \"postgres://zotify:hidden@db/zotify\"",
        "database.url = \"postgres://zotify@db/zotify?password=hidden\"",
        "[providers.a]\nplugin = \"p\"\nsettings = { password = \"x\" }",
        "[providers.a]\nplugin = \"p\"\nsettings = { pin = 1234 }",
        "[providers.a.settings]\nservers = [{ api_key = \"x\" }]",
        "[providers.a.settings]\nurl = \"https://me:hidden@music.example\"",
        "no TOML",
    ] {
        assert!(show::holds_secrets(text), "{text}");
    }
    for text in [
        "",
        "[server]\nlisten = \"127.0.0.1:1\"\n[database]\nurl = \"sqlite://data/zotify.db\"",
        "database.url = \"postgres://zotify@db/zotify\"",
        "[providers.a]\nplugin = \"p\"\nsettings = { folders = [\"/music\"], url = \"https://music.example\" }",
    ] {
        assert!(!show::holds_secrets(text), "{text}");
    }
}

#[test]
fn a_secret_that_the_environment_overrides_is_still_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("zotify.toml");
    fs::write(&file, format!("[secrets]\nmaster_key = \"{KEY}\"")).unwrap();
    let mut layers = Layers::new(Some(&file));
    layers.add_file();
    layers.add_environment([("ZOTIFY__SECRETS__MASTER_KEY".into(), KEY.into())]);
    assert!(Config::build(layers, Some(file), dir.path().to_owned()).unwrap().file_holds_secrets());
}
