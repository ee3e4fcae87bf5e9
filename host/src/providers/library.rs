//! Finds plugin files, copies and hashes them, and learns from a locked-down process what they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Read, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::digest;
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use zotify_plugin_api::{LibraryManifest, PROTOCOL, is_instance_id};

use super::{
    launch,
    refusal::{Code, Refusal},
};
use crate::{
    config::{Config, SandboxPolicy},
    db::{Db, plugin_trust},
    worker::{
        frame::{self, Hello},
        sandbox::Spec,
    },
};

/// The list of bundled plugins with their hashes, beside them.
pub const BUNDLED: &str = "bundled.json";
/// The largest plugin, in bytes.
const MAX_FILE: u64 = 512 << 20;
/// How long a probe may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// Probes at a time.
const PROBES: usize = 2;

/// What `bundled.json` holds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Bundled {
    /// SHA-256 in hex by file name.
    pub plugins: BTreeMap<String, String>,
}

/// A file in a plugin folder.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where it was found.
    pub path: PathBuf,
    /// Whether `bundled.json` vouches for it.
    pub bundled: bool,
    /// SHA-256 in hex; empty where it cannot be read.
    pub sha256: String,
    /// The host's own copy, which is what is loaded.
    pub copy: PathBuf,
    /// What it is, or why it is nothing.
    pub manifest: Result<Arc<LibraryManifest>, Refusal>,
}

impl Found {
    /// The file's name.
    pub fn file_name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn refused(path: PathBuf, refusal: Refusal) -> Self {
        Self { path, bundled: false, sha256: String::new(), copy: PathBuf::new(), manifest: Err(refusal) }
    }
}

/// What finding needs.
pub struct Finder {
    /// The configuration.
    pub config: Arc<Config>,
    /// Where manifests are kept by hash; none probes every file.
    pub db: Option<Db>,
    /// The program that probes run.
    pub program: PathBuf,
}

/// All files in the plugin folders.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// The files, those of the bundled folder first.
    pub files: Vec<Found>,
}

impl Catalogue {
    /// The file that holds a plugin.
    ///
    /// # Errors
    /// `plugin_not_found`, or why the one file that seems to be meant cannot be used.
    pub fn find(&self, plugin: &str) -> Result<&Found, Refusal> {
        let is_it = |found: &&Found| found.manifest.as_ref().is_ok_and(|m| m.id == plugin);
        if let Some(found) = self.files.iter().find(is_it) {
            return Ok(found);
        }
        let wanted = plugin.replace('-', "_");
        let named = |found: &&Found| found.file_name().replace('-', "_").contains(&wanted);
        match self.files.iter().filter(|f| f.manifest.is_err()).find(named) {
            Some(Found { manifest: Err(refusal), path, .. }) => {
                Err(Refusal { detail: format!("{}: {}", path.display(), refusal.detail), ..refusal.clone() })
            }
            _ => {
                Err(Refusal::new(Code::PluginNotFound, format!("no file in the plugin folders is the plugin {plugin}")))
            }
        }
    }

    /// Turns all but the right file of each id into refusals: the bundled one where there is one, else none.
    fn refuse_duplicates(&mut self) {
        let mut hashes: BTreeMap<String, BTreeSet<(bool, String)>> = BTreeMap::new();
        for found in &self.files {
            if let Ok(manifest) = &found.manifest {
                hashes.entry(manifest.id.clone()).or_default().insert((!found.bundled, found.sha256.clone()));
            }
        }
        for found in &mut self.files {
            let Ok(manifest) = &found.manifest else { continue };
            let Some(same) = hashes.get(&manifest.id).filter(|same| same.len() > 1) else { continue };
            let bundled_exists = same.iter().any(|(foreign, _)| !foreign);
            if !(found.bundled && bundled_exists) {
                let detail = format!("several different files are the plugin {}", manifest.id);
                found.manifest = Err(Refusal::new(Code::DuplicateId, detail));
            }
        }
    }
}

impl Finder {
    /// Looks through the plugin folders.
    pub async fn find(&self) -> Catalogue {
        let plugins = &self.config.plugins;
        let bundled = read_bundled(&plugins.bundled);
        let mut files = Vec::new();
        for path in list(&plugins.bundled) {
            let expected = path.file_name().and_then(|name| bundled.plugins.get(&*name.to_string_lossy())).cloned();
            files.push((path, expected));
        }
        for folder in plugins.directories.iter().filter(|folder| **folder != plugins.bundled) {
            files.extend(list(folder).into_iter().map(|path| (path, None)));
        }
        let found = futures::stream::iter(files).map(|(path, expected)| self.examine(path, expected));
        let mut catalogue = Catalogue { files: found.buffered(PROBES).collect().await };
        catalogue.refuse_duplicates();
        catalogue
    }

    /// Finds out what one file is.
    pub async fn examine(&self, path: PathBuf, expected: Option<String>) -> Found {
        let (from, store) = (path.clone(), self.config.server.data_dir.join("plugins"));
        let copied = tokio::task::spawn_blocking(move || copy(&from, &store)).await;
        let (sha256, copy) = match copied.map_err(io::Error::other).flatten() {
            Ok(copied) => copied,
            Err(e) => return Found::refused(path, Refusal::new(Code::Unreadable, format!("it cannot be read: {e}"))),
        };
        let bundled = expected.is_some();
        if expected.is_some_and(|expected| expected != sha256) {
            let refusal = Refusal::new(Code::HashChanged, format!("it is not the file that {BUNDLED} lists"));
            return Found { path, bundled, sha256, copy, manifest: Err(refusal) };
        }
        let manifest = self.manifest(&sha256, &copy).await.map(Arc::new);
        Found { path, bundled, sha256, copy, manifest }
    }

    async fn manifest(&self, sha256: &str, copy: &Path) -> Result<LibraryManifest, Refusal> {
        let kept = match &self.db {
            Some(db) => plugin_trust::manifest(db.read(), sha256).await.unwrap_or_default(),
            None => None,
        };
        let kept = kept.and_then(|json| serde_json::from_str(&json).ok());
        let manifest = match kept {
            Some(manifest) => manifest,
            None => self.probe_and_keep(sha256, copy).await?,
        };
        check(&manifest)?;
        Ok(manifest)
    }

    async fn probe_and_keep(&self, sha256: &str, copy: &Path) -> Result<LibraryManifest, Refusal> {
        let json = self.probe(copy).await?;
        let manifest = serde_json::from_str(&json)
            .map_err(|e| Refusal::new(Code::ManifestInvalid, format!("its manifest cannot be read: {e}")))?;
        if let Some(db) = &self.db {
            let keep = async {
                let mut tx = db.write().await?;
                plugin_trust::put_manifest(&mut tx, sha256, &json).await?;
                tx.commit().await
            };
            if let Err(error) = keep.await {
                tracing::warn!("a plugin's manifest is not kept: {error}");
            }
        }
        Ok(manifest)
    }

    /// Loads a file in a process that may do nothing, and answers its manifest as JSON.
    async fn probe(&self, copy: &Path) -> Result<String, Refusal> {
        let folder = tempfile_dir(&self.config.server.data_dir)
            .map_err(|e| Refusal::new(Code::HostFailed, format!("no folder can be made for a probe: {e}")))?;
        let hello = Hello {
            build: frame::build(),
            frames: frame::VERSION,
            plugin: copy.to_owned(),
            sandbox: Spec {
                required: self.config.plugins.sandbox == SandboxPolicy::Required,
                read: vec![copy.to_owned()],
                write: Vec::new(),
                memory_mib: self.config.plugins.memory_mib,
            },
            create: None,
        };
        let label = copy.display().to_string();
        let answer = launch::launch(&self.program, &folder, &hello, PROBE_TIMEOUT, &label, &|_| {}).await;
        let launched = answer.map_err(|e| e.refusal(Code::ProbeTimeout))?;
        launched.ready.manifest.ok_or_else(|| Refusal::new(Code::HostFailed, "the probe answered no manifest"))
    }
}

/// The folder where probes run. They may not write there.
fn tempfile_dir(data_dir: &Path) -> io::Result<PathBuf> {
    let folder = data_dir.join("workers").join("probe");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Reads `bundled.json`; a missing or broken one vouches for nothing.
fn read_bundled(folder: &Path) -> Bundled {
    let path = folder.join(BUNDLED);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Bundled::default(),
        Err(e) => {
            tracing::warn!("{} cannot be read: {e}", path.display());
            return Bundled::default();
        }
    };
    serde_json::from_slice(&text).unwrap_or_else(|e| {
        tracing::warn!("{} is not the expected JSON: {e}", path.display());
        Bundled::default()
    })
}

/// The shared libraries of a folder, sorted by name. Subfolders are not looked into.
pub(crate) fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(e) => {
            tracing::warn!("the plugin folder {} cannot be read: {e}", folder.display());
            return Vec::new();
        }
    };
    let extension = std::env::consts::DLL_EXTENSION;
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == extension));
    files.sort();
    files
}

/// SHA-256 of a file, in hex.
///
/// # Errors
/// When it is no regular file, is too large, or cannot be read.
pub fn hash(path: &Path) -> io::Result<String> {
    hash_into(path, &mut io::sink())
}

fn hash_into(path: &Path, copy: &mut impl io::Write) -> io::Result<String> {
    // Opening a pipe would wait for a writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut from = File::open(path)?.take(MAX_FILE + 1);
    let mut context = digest::Context::new(&digest::SHA256);
    let (mut buffer, mut size) = (vec![0; 256 << 10], 0);
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        size += read as u64;
        if size > MAX_FILE {
            return Err(io::Error::other("it is larger than 512 MiB"));
        }
        context.update(&buffer[..read]);
        copy.write_all(&buffer[..read])?;
    }
    Ok(context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Copies a plugin to the host's own folder, under the name of its hash. What is loaded later is what was hashed here.
fn copy(from: &Path, store: &Path) -> io::Result<(String, PathBuf)> {
    std::fs::create_dir_all(store)?;
    let name = |sha256: &str| store.join(format!("{sha256}.{}", std::env::consts::DLL_EXTENSION));
    let sha256 = hash(from)?;
    let kept = name(&sha256);
    if hash(&kept).is_ok_and(|of_copy| of_copy == sha256) {
        return Ok((sha256, kept));
    }
    let temporary = store.join(format!(".{}.tmp", ulid::Ulid::generate()));
    let result = (|| {
        let mut file = File::create_new(&temporary)?;
        // Hashed anew: the source may have changed since.
        let sha256 = hash_into(from, &mut file)?;
        file.flush()?;
        file.set_permissions(std::fs::Permissions::from_mode(0o500))?;
        file.sync_all()?;
        let kept = name(&sha256);
        std::fs::rename(&temporary, &kept)?;
        Ok((sha256, kept))
    })();
    if result.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    result
}

/// Removes copies of files that are no longer there.
pub(super) fn sweep(catalogue: &Catalogue, data_dir: &Path) {
    for copy in list(&data_dir.join("plugins")) {
        if !catalogue.files.iter().any(|found| found.copy == copy)
            && let Err(e) = std::fs::remove_file(&copy)
        {
            tracing::warn!("the old copy {} cannot be removed: {e}", copy.display());
        }
    }
}

/// Checks what the rest of the host takes for granted.
pub(super) fn check(manifest: &LibraryManifest) -> Result<(), Refusal> {
    let invalid = |detail: String| Err(Refusal::new(Code::ManifestInvalid, detail));
    if PROTOCOL.negotiate(manifest.protocol).is_none() {
        let (ours, theirs) = (PROTOCOL, manifest.protocol);
        let detail = format!(
            "the plugin speaks protocol {} to {}, this host {} to {}",
            theirs.min, theirs.max, ours.min, ours.max
        );
        return Err(Refusal::new(Code::ProtocolUnsupported, detail));
    }
    if !is_instance_id(&manifest.id) {
        return invalid("the plugin's id is not [a-z][a-z0-9-]{0,31}".into());
    }
    let parts = manifest.providers.iter().map(|p| &p.id).chain(manifest.automations.iter().map(|a| &a.id));
    let mut seen = BTreeSet::new();
    for part in parts {
        if !is_instance_id(part) {
            return invalid("the id of a part is not [a-z][a-z0-9-]{0,31}".into());
        }
        if !seen.insert(part) {
            return invalid(format!("two parts have the id {part}"));
        }
    }
    if seen.is_empty() { invalid("the plugin has no parts".into()) } else { Ok(()) }
}
