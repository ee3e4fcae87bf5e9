//! The host's side: loads a library, checks it, and calls its instances.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

use abi_stable::{
    library::{AbiHeaderRef, LibraryError},
    sabi_trait::TD_Opaque,
    std_types::{
        ROption,
        RResult::{self, RErr, ROk},
        RStr, RVec,
    },
};
use async_ffi::{FfiFuture, FutureExt as _};
use futures::{FutureExt as _, future::BoxFuture};
use zotify_plugin_abi::{HostServices, HostServices_TO, InstanceBox, PluginModule_Ref, StreamBox};

use crate::{ErrorKind, LibraryManifest, ProviderError, Result, model::CreateRequest, wire};

/// The symbol that `export_plugin!` exports.
const LOADER_SYMBOL: &[u8] = b"_1as_0lib_1header_0root_bmodule_bloader\0";
/// Keeps the code mapped whatever happens: unloading Rust code that has run is unsound (thread-local destructors).
#[cfg(target_os = "macos")]
const RTLD_NODELETE: i32 = 0x80;
#[cfg(not(target_os = "macos"))]
const RTLD_NODELETE: i32 = 0x1000;

/// Why a file cannot be used as a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadErrorKind {
    /// Not a shared library, or one without the plugin's symbol.
    NotAPlugin,
    /// Built for a newer C library than this system has.
    GlibcTooNew,
    /// Built against another binary interface.
    AbiMismatch,
    /// Its manifest cannot be read.
    ManifestInvalid,
    /// Its code panicked while it was loaded.
    ConstructorFailed,
}

/// Why a file cannot be used as a plugin, with one sentence for people.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct LoadError {
    /// The reason.
    pub kind: LoadErrorKind,
    /// One sentence for people.
    pub detail: String,
    /// The loader's whole text, for the log: it can be kilobytes long.
    pub log: String,
}

impl LoadError {
    fn new(kind: LoadErrorKind, detail: impl Into<String>, log: impl fmt::Display) -> Self {
        Self { kind, detail: detail.into(), log: log.to_string() }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for LoadError {}

/// What the host does for one instance.
pub trait Host: Send + Sync + 'static {
    /// Records an encoded `LogRecord`. Must not wait.
    fn log(&self, record: &[u8]);

    /// Runs a host service by name; both sides of the result are encoded. Called on the plugin's thread: the future
    /// must not depend on the thread that polls it.
    fn call(&self, service: &str, payload: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, Vec<u8>>>;
}

struct HostAdapter<H>(Arc<H>);

impl<H: Host> HostServices for HostAdapter<H> {
    fn log(&self, record: RVec<u8>) {
        self.0.log(&record);
    }

    fn call(&self, service: RStr<'_>, payload: RVec<u8>) -> FfiFuture<RResult<RVec<u8>, RVec<u8>>> {
        let reply = self.0.call(service.as_str(), payload.into_vec());
        async move {
            match reply.await {
                Ok(bytes) => ROk(bytes.into()),
                Err(bytes) => RErr(bytes.into()),
            }
        }
        .into_ffi()
    }
}

/// A loaded plugin. Never unloaded.
#[derive(Clone, Copy)]
pub struct Library {
    module: PluginModule_Ref,
}

impl Library {
    /// Loads a shared library and checks that it was built for this binary interface.
    ///
    /// Code of the library runs: load only what is trusted, or in a process that is locked down.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        catch_unwind(|| Self::open(path)).unwrap_or_else(|_| {
            Err(LoadError::new(LoadErrorKind::ConstructorFailed, "the plugin panicked while it was loaded", ""))
        })
    }

    fn open(path: &Path) -> Result<Self, LoadError> {
        use libloading::os::unix::{Library as Dl, RTLD_LOCAL, RTLD_NOW};

        // SAFETY: constructors of the library run; the caller trusts the file or is locked down.
        let library =
            unsafe { Dl::open(Some(path), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) }.map_err(|e| dl_error(&e))?;
        // SAFETY: a symbol of this name is a `LibHeader`, which starts with the `AbiHeader` that `upgrade` checks
        // before it looks at anything else.
        let header = unsafe { library.get::<AbiHeaderRef>(LOADER_SYMBOL) }.map(|symbol| *symbol).map_err(|e| {
            LoadError::new(LoadErrorKind::NotAPlugin, "the file is a shared library, but not a Zotify plugin", e)
        })?;
        // Leaked: everything made by the library points into it.
        std::mem::forget(library);
        let module = header
            .upgrade()
            .and_then(|header| header.init_root_module::<PluginModule_Ref>())
            .map_err(|e| library_error(&e))?;
        Ok(Self { module })
    }

    /// What the library says about itself.
    ///
    /// # Errors
    /// When its code fails or its manifest cannot be read.
    pub fn manifest(&self) -> Result<LibraryManifest, LoadError> {
        match (self.module.manifest())() {
            ROk(json) => serde_json::from_slice(&json).map_err(|e| {
                LoadError::new(LoadErrorKind::ManifestInvalid, format!("the plugin's manifest cannot be read: {e}"), e)
            }),
            RErr(bytes) => {
                let error = wire::decode_error(&bytes);
                Err(LoadError::new(LoadErrorKind::ConstructorFailed, error.message.clone(), error))
            }
        }
    }

    /// Makes an instance.
    ///
    /// # Errors
    /// What the plugin's constructor answers.
    pub fn create<H: Host>(&self, request: &CreateRequest, host: Arc<H>) -> Result<Instance> {
        let services = HostServices_TO::from_value(HostAdapter(host), TD_Opaque);
        match (self.module.create())(wire::encode(request)?.into(), services) {
            ROk(instance) => Ok(Instance(Arc::new(instance))),
            RErr(bytes) => Err(wire::decode_error(&bytes)),
        }
    }
}

fn dl_error(error: &libloading::Error) -> LoadError {
    let text = error_chain(error);
    if text.contains("GLIBC") && text.contains("not found") {
        let wanted = text.split('`').nth(1).and_then(|s| s.split('\'').next()).unwrap_or("a newer glibc");
        return LoadError::new(
            LoadErrorKind::GlibcTooNew,
            format!("the plugin needs {wanted}, which this system's C library does not have"),
            &text,
        );
    }
    LoadError::new(LoadErrorKind::NotAPlugin, "the file is not a shared library that this system can load", &text)
}

fn library_error(error: &LibraryError) -> LoadError {
    match error {
        LibraryError::RootModule { .. } => {
            LoadError::new(LoadErrorKind::ConstructorFailed, "the plugin failed while it was loaded", error)
        }
        _ => LoadError::new(
            LoadErrorKind::AbiMismatch,
            "the plugin was built for another binary interface than this host's (zotify-plugin-abi 1.0.0)",
            error,
        ),
    }
}

fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// An instance behind the binary interface.
#[derive(Clone)]
pub struct Instance(Arc<InstanceBox>);

impl Instance {
    /// Calls a method with an encoded request; answers the encoded reply. Dropping the future cancels the call.
    ///
    /// # Errors
    /// What the plugin answers, encoded.
    pub async fn call(&self, method: &str, payload: Vec<u8>) -> Result<Vec<u8>, Vec<u8>> {
        let reply = self.0.call(method.into(), payload.into());
        match unpanicked(reply).await? {
            ROk(bytes) => Ok(bytes.into_vec()),
            RErr(bytes) => Err(bytes.into_vec()),
        }
    }

    /// Opens a stream with an encoded request.
    ///
    /// # Errors
    /// What the plugin answers, encoded.
    pub async fn open_stream(&self, payload: Vec<u8>) -> Result<Stream, Vec<u8>> {
        let reply = self.0.open_stream(payload.into());
        match unpanicked(reply).await? {
            ROk(stream) => Ok(Stream(stream)),
            RErr(bytes) => Err(bytes.into_vec()),
        }
    }
}

/// A stream behind the binary interface.
pub struct Stream(StreamBox);

impl Stream {
    /// The next chunk, none at the end.
    ///
    /// # Errors
    /// What the plugin answers, encoded.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Vec<u8>> {
        match unpanicked(self.0.next()).await? {
            ROk(ROption::RSome(chunk)) => Ok(Some(chunk.into_vec())),
            ROk(ROption::RNone) => Ok(None),
            RErr(bytes) => Err(bytes.into_vec()),
        }
    }
}

/// The SDK guards its futures; a plugin made without it may still panic in poll, which surfaces here.
async fn unpanicked<T>(reply: FfiFuture<T>) -> Result<T, Vec<u8>> {
    AssertUnwindSafe(reply)
        .catch_unwind()
        .await
        .map_err(|_| wire::encode_error(&ProviderError::new(ErrorKind::Panicked, "the plugin panicked")))
}
