//! What a plugin asks for, and what of it this instance is granted.
//!
//! Who wrote a folder or an address into the instance's settings granted it; that is what `{setting: …}` permissions
//! stand for. Literal ones are granted to bundled plugins, and to others by `permissions = […]` in the configuration.
//! For a bundled plugin a non-empty `permissions` narrows to what it names.

use std::{
    collections::BTreeSet,
    os::unix::fs::MetadataExt as _,
    path::{Component, Path, PathBuf},
};

use serde::Serialize;
use serde_json::Value;
use url::Url;
use utoipa::ToSchema;
use zotify_plugin_api::{FileAccess, Permissions, SettingOr};

use super::refusal::{Code, Refusal};

/// Where the asked things are looked up.
pub(super) struct Asked<'a> {
    pub(super) permissions: &'a Permissions,
    pub(super) settings: &'a Value,
    /// `permissions` of the instance's configuration.
    pub(super) granted: &'a [String],
    pub(super) bundled: bool,
    /// What relative folders are relative to.
    pub(super) base_dir: &'a Path,
    /// The host's own folder, which no plugin may get.
    pub(super) data_dir: &'a Path,
}

/// What an instance is granted.
#[derive(Clone, Debug, Default)]
pub(super) struct Grants {
    /// The settings, with folders as absolute paths: the plugin's process has another current folder and no home.
    pub(super) settings: Value,
    /// Folders that it may use, where they exist.
    pub(super) folders: Vec<Folder>,
    /// Hosts that it may talk to.
    pub(super) hosts: Vec<HostRule>,
    /// Whether it may talk to any public address.
    pub(super) public_internet: bool,
    /// All of it, for people.
    pub(super) report: Vec<Permission>,
}

/// A folder.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) write: bool,
}

/// A host that may be talked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HostRule {
    /// A public host by name; `*.example.org` stands for all below.
    Name(String),
    /// An address that the admin wrote: may be private.
    Origin { host: String, port: u16 },
}

/// Something that a plugin asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Permission {
    /// As `permissions = […]` in the configuration spells it.
    #[schema(example = "hosts:api.example.org")]
    pub permission: String,
    /// The plugin's reason.
    pub reason: String,
    /// Whether this instance is granted it.
    pub granted: bool,
}

/// Finds out what an instance is granted.
///
/// # Errors
/// `permission_not_granted` when something literal is missing, or a folder would open the host's own data;
/// `settings_invalid` when an address in the settings is none.
pub(super) fn resolve(asked: &Asked<'_>) -> Result<Grants, Refusal> {
    let mut grants = Grants { settings: asked.settings.clone(), ..Grants::default() };
    files(asked, &mut grants)?;
    hosts(asked, &mut grants)?;
    if let Some(reason) = &asked.permissions.public_internet {
        grants.public_internet = asked.literal("public-internet", reason, &mut grants.report);
    }
    known(asked, &grants.report)?;
    let missing: Vec<_> = grants.report.iter().filter(|p| !p.granted).map(|p| p.permission.as_str()).collect();
    if !asked.bundled && !missing.is_empty() {
        let list: Vec<_> = missing.iter().map(|p| format!("\"{p}\"")).collect();
        let detail = format!("the plugin asks for permissions = [{}], which it is not granted", list.join(", "));
        return Err(Refusal::new(Code::PermissionNotGranted, detail));
    }
    Ok(grants)
}

/// Refuses what is granted and never asked for: a slip of the pen would else leave an admin in the belief of a grant.
fn known(asked: &Asked<'_>, report: &[Permission]) -> Result<(), Refusal> {
    let asks: Vec<_> = report.iter().map(|p| p.permission.as_str()).collect();
    let Some(unknown) = asked.granted.iter().find(|granted| !asks.contains(&granted.as_str())) else { return Ok(()) };
    let near = asks.iter().max_by(|a, b| {
        let likeness = |word: &str| strsim::jaro_winkler(unknown, word);
        likeness(a).total_cmp(&likeness(b))
    });
    let hint = match near {
        Some(near) if strsim::jaro_winkler(unknown, near) > 0.8 => format!("; did you mean {near}?"),
        _ if asks.is_empty() => "; it asks for none".to_owned(),
        _ => format!("; it asks for {}", asks.join(", ")),
    };
    Err(Refusal::new(Code::PermissionUnknown, format!("the plugin does not ask for the permission {unknown}{hint}")))
}

impl Asked<'_> {
    /// Whether something that the plugin names itself is granted.
    fn literal(&self, permission: &str, reason: &str, report: &mut Vec<Permission>) -> bool {
        let named = self.granted.iter().any(|g| g == permission);
        let granted = named || (self.bundled && self.granted.is_empty());
        report.push(Permission { permission: permission.into(), reason: reason.into(), granted });
        granted
    }
}

fn files(asked: &Asked<'_>, grants: &mut Grants) -> Result<(), Refusal> {
    for file in &asked.permissions.files {
        let literal = matches!(file.folder, SettingOr::Value(_));
        if let SettingOr::Setting { setting } = &file.folder {
            make_absolute(&mut grants.settings, setting, asked.base_dir);
        }
        for folder in file.folder.resolve(asked.settings) {
            let path = absolute(&folder, asked.base_dir);
            let permission = format!("files:{}", path.display());
            let granted = if literal {
                asked.literal(&permission, &file.reason, &mut grants.report)
            } else {
                grants.report.push(Permission { permission, reason: file.reason.clone(), granted: true });
                true
            };
            if !granted {
                continue;
            }
            let (data, wanted) = (canonical(asked.data_dir), canonical(&path));
            if data.starts_with(&wanted) || wanted.starts_with(&data) {
                let detail = format!("the folder {} holds the host's own data, or is part of it", path.display());
                return Err(Refusal::new(Code::PermissionNotGranted, detail));
            }
            grants.folders.push(Folder { path, write: file.access == FileAccess::Write });
        }
    }
    Ok(())
}

fn hosts(asked: &Asked<'_>, grants: &mut Grants) -> Result<(), Refusal> {
    for host in &asked.permissions.hosts {
        let literal = matches!(host.host, SettingOr::Value(_));
        for value in host.host.resolve(asked.settings) {
            if literal {
                let name = value.to_ascii_lowercase();
                if asked.literal(&format!("hosts:{name}"), &host.reason, &mut grants.report) {
                    grants.hosts.push(HostRule::Name(name));
                }
                continue;
            }
            let rule = origin(&value)?;
            let HostRule::Origin { host: name, port } = &rule else { continue };
            let permission = format!("hosts:{name}:{port}");
            grants.report.push(Permission { permission, reason: host.reason.clone(), granted: true });
            grants.hosts.push(rule);
        }
    }
    Ok(())
}

/// The origin of an address that an admin wrote, with or without a scheme.
fn origin(value: &str) -> Result<HostRule, Refusal> {
    let text = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let parts = url.as_ref().and_then(|url| Some((url.host_str()?, url.port_or_known_default()?)));
    let Some((host, port)) = parts else {
        return Err(Refusal::new(Code::SettingsInvalid, "an address in the settings is no http or https address"));
    };
    Ok(HostRule::Origin { host: host.to_owned(), port })
}

fn make_absolute(settings: &mut Value, pointer: &str, base_dir: &Path) {
    let rewrite = |value: &mut Value| {
        if let Value::String(text) = value {
            *text = canonical(&absolute(text, base_dir)).display().to_string();
        }
    };
    match settings.pointer_mut(pointer) {
        Some(Value::Array(values)) => values.iter_mut().for_each(rewrite),
        Some(value) => rewrite(value),
        None => {}
    }
}

/// The path with `~` and relative parts resolved, without touching the file system.
fn absolute(text: &str, base_dir: &Path) -> PathBuf {
    let home = std::env::home_dir();
    let expanded = match (text.strip_prefix('~'), home) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => PathBuf::from(text),
    };
    let joined = base_dir.join(expanded);
    let joined = std::path::absolute(&joined).unwrap_or(joined);
    let mut path = PathBuf::new();
    for part in joined.components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    path
}

fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// What a folder was when a process got it: another one may be mounted there later.
pub(super) type Identity = Option<(u64, u64)>;

/// Canonical paths of folders, and whether the plugin may write there.
pub(super) type Roots = Vec<(PathBuf, bool)>;

impl Grants {
    /// The folders as they are now: canonical paths of those that exist.
    pub(super) fn roots(&self) -> Roots {
        let mut seen = BTreeSet::new();
        let found = self.folders.iter().filter_map(|f| Some((f.path.canonicalize().ok()?, f.write)));
        found.filter(|(path, write)| path.is_dir() && seen.insert((path.clone(), *write))).collect()
    }

    /// What stands at each folder's path now.
    pub(super) fn identities(&self) -> Vec<Identity> {
        let identity = |f: &Folder| std::fs::metadata(&f.path).ok().map(|m| (m.dev(), m.ino()));
        self.folders.iter().map(identity).collect()
    }

    /// Configured folders that are not there.
    pub(super) fn missing(&self) -> Vec<&Path> {
        self.folders.iter().filter(|f| !f.path.is_dir()).map(|f| f.path.as_path()).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use zotify_plugin_api::{FilePermission, HostPermission};

    use super::*;

    fn literal_host(host: &str) -> HostPermission {
        HostPermission { host: SettingOr::Value(host.into()), reason: "to work".into() }
    }

    fn folders_setting() -> FilePermission {
        let folder = SettingOr::Setting { setting: "/folders".into() };
        FilePermission { folder, access: FileAccess::Read, reason: "to read".into() }
    }

    fn ask(
        permissions: &Permissions,
        settings: &Value,
        granted: &[&str],
        bundled: bool,
        base: &Path,
        data: &Path,
    ) -> Result<Grants, Refusal> {
        let granted: Vec<_> = granted.iter().map(|s| (*s).to_owned()).collect();
        resolve(&Asked { permissions, settings, granted: &granted, bundled, base_dir: base, data_dir: data })
    }

    #[test]
    fn literal_permissions_are_for_bundled_plugins_or_by_name() {
        let permissions = Permissions {
            hosts: vec![literal_host("API.example.org")],
            public_internet: Some("feeds".into()),
            ..Permissions::default()
        };
        let here = Path::new("/srv");
        let data = Path::new("/srv/data");
        let all = ask(&permissions, &json!({}), &[], true, here, data).unwrap();
        assert_eq!(all.hosts, [HostRule::Name("api.example.org".into())]);
        assert!(all.public_internet);

        let refusal = ask(&permissions, &json!({}), &["public-internet"], false, here, data).unwrap_err();
        assert!(refusal.is(Code::PermissionNotGranted));
        assert!(refusal.detail.contains("\"hosts:api.example.org\""), "{refusal}");
        assert!(!refusal.detail.contains("public-internet"), "{refusal}");

        let named = ["public-internet", "hosts:api.example.org"];
        assert!(ask(&permissions, &json!({}), &named, false, here, data).is_ok());
        let narrowed = ask(&permissions, &json!({}), &["hosts:api.example.org"], true, here, data).unwrap();
        assert!(!narrowed.public_internet, "config narrows a bundled plugin");
    }

    #[test]
    fn a_permission_that_nobody_asked_for_is_a_slip() {
        let permissions = Permissions { hosts: vec![literal_host("api.example.org")], ..Permissions::default() };
        let (here, data) = (Path::new("/srv"), Path::new("/srv/data"));
        for bundled in [true, false] {
            let named = ["hosts:api.example.org", "hosts:api.exmaple.org"];
            let refusal = ask(&permissions, &json!({}), &named, bundled, here, data).unwrap_err();
            assert!(refusal.is(Code::PermissionUnknown), "{refusal}");
            assert!(refusal.detail.contains("did you mean hosts:api.example.org?"), "{refusal}");
            let refusal = ask(&permissions, &json!({}), &["foo"], bundled, here, data).unwrap_err();
            assert!(refusal.detail.ends_with("foo; it asks for hosts:api.example.org"), "{refusal}");
        }
        let refusal = ask(&Permissions::default(), &json!({}), &["foo"], true, here, data).unwrap_err();
        assert!(refusal.detail.ends_with("it asks for none"), "{refusal}");
    }

    #[test]
    fn addresses_in_settings_are_granted_with_their_port() {
        let host = SettingOr::Setting { setting: "/url".into() };
        let hosts = vec![HostPermission { host, reason: "the server".into() }];
        let permissions = Permissions { hosts, ..Permissions::default() };
        let here = Path::new("/srv");
        let rule = |url: &str| {
            ask(&permissions, &json!({ "url": url }), &[], false, here, &here.join("data")).map(|g| g.hosts)
        };
        let origin = |host: &str, port| vec![HostRule::Origin { host: host.into(), port }];
        assert_eq!(rule("http://192.0.2.7:4533/sub").unwrap(), origin("192.0.2.7", 4533));
        assert_eq!(rule("https://music.example.org").unwrap(), origin("music.example.org", 443));
        assert_eq!(rule("nas.local:4040").unwrap(), origin("nas.local", 4040));
        assert!(rule("ftp://nas.local").unwrap_err().is(Code::SettingsInvalid));
        assert_eq!(ask(&permissions, &json!({}), &[], false, here, here).unwrap().hosts, []);
    }

    #[test]
    fn folders_are_made_absolute_and_never_hold_the_hosts_data() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path().canonicalize().unwrap();
        std::fs::create_dir_all(base.join("music")).unwrap();
        std::fs::create_dir_all(base.join("data")).unwrap();
        let permissions = Permissions { files: vec![folders_setting()], ..Permissions::default() };
        let data = base.join("data");
        let settings = json!({"folders": ["music", "./gone/../missing"]});
        let grants = ask(&permissions, &settings, &[], false, &base, &data).unwrap();
        assert_eq!(grants.settings, json!({"folders": [base.join("music"), base.join("missing")]}));
        assert_eq!(grants.roots(), [(base.join("music"), false)]);
        assert_eq!(grants.missing(), [base.join("missing")]);
        assert_eq!(grants.identities().iter().map(Option::is_some).collect::<Vec<_>>(), [true, false]);

        std::fs::create_dir_all(base.join("data/plugins")).unwrap();
        std::os::unix::fs::symlink(base.join("data/plugins"), base.join("link")).unwrap();
        for folder in [".", "/", "data", "data/plugins", "link"] {
            let refusal = ask(&permissions, &json!({"folders": [folder]}), &[], false, &base, &data).unwrap_err();
            assert!(refusal.is(Code::PermissionNotGranted), "{folder}");
        }
    }
}
