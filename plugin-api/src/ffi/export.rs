//! The plugin's side: what `export_plugin!` puts behind the root module.

use std::sync::Arc;

use abi_stable::{
    prefix_type::PrefixTypeTrait,
    sabi_trait::TD_Opaque,
    std_types::{
        ROption::{RNone, RSome},
        RResult::{self, RErr, ROk},
        RStr, RVec,
    },
};
use async_ffi::{FfiFuture, FutureExt as _};
use futures::{StreamExt, lock::Mutex};
use zotify_plugin_abi::{
    HostServicesBox, Instance, Instance_TO, InstanceBox, PluginModule, PluginModule_Ref, Stream, Stream_TO, StreamBox,
};

use crate::{
    Context, Result,
    context::Services,
    export::{self, LibraryInfo, Part},
    guard::{Guarded, Held, guard},
    logging::{self, Scope},
    model::CreateRequest,
    provider::ByteStream,
    wire,
};

/// The root module of a library.
#[doc(hidden)]
pub fn module(
    manifest: extern "C" fn() -> RResult<RVec<u8>, RVec<u8>>,
    create: extern "C" fn(RVec<u8>, HostServicesBox) -> RResult<InstanceBox, RVec<u8>>,
) -> PluginModule_Ref {
    PluginModule { manifest, create }.leak_into_prefix()
}

/// Behind `PluginModule::manifest`.
#[doc(hidden)]
pub fn manifest(info: &LibraryInfo) -> RResult<RVec<u8>, RVec<u8>> {
    let json = guard(|| serde_json::to_vec(&export::manifest(info)).map_err(crate::ProviderError::internal));
    into_reply(json)
}

/// Behind `PluginModule::create`.
#[doc(hidden)]
pub fn create(request: RVec<u8>, services: HostServicesBox) -> RResult<InstanceBox, RVec<u8>> {
    let made = guard(move || {
        let request: CreateRequest = wire::decode(&request)?;
        let services = Services::new(services);
        logging::install(&services, &request.log_level);
        let _entered = Scope::new(services.clone(), None).enter();
        let cx = Context::new(services.clone(), &request.instance);
        let part = export::create(&request.part, cx, &request.settings)?;
        Ok(Instance_TO::from_value(Made { part: Held::new(part), services }, TD_Opaque))
    });
    made.map_err(|e| RVec::from(wire::encode_error(&e))).into()
}

fn into_reply(result: Result<Vec<u8>>) -> RResult<RVec<u8>, RVec<u8>> {
    match result {
        Ok(bytes) => ROk(bytes.into()),
        Err(error) => RErr(wire::encode_error(&error).into()),
    }
}

/// An instance as the host holds it.
struct Made {
    part: Held<Arc<dyn Part>>,
    services: Services,
}

impl Made {
    fn part(&self) -> Result<Arc<dyn Part>> {
        self.part.get().cloned().ok_or_else(gone)
    }

    fn scope(&self, payload: &[u8]) -> Scope {
        /// What of a call the log wants.
        #[derive(serde::Deserialize)]
        struct Head<'a> {
            #[serde(borrow, default)]
            request_id: Option<&'a str>,
        }
        let head = rmp_serde::from_slice::<Head<'_>>(payload).ok();
        Scope::new(self.services.clone(), head.and_then(|h| h.request_id))
    }
}

impl Instance for Made {
    fn call(&self, method: RStr<'_>, payload: RVec<u8>) -> FfiFuture<RResult<RVec<u8>, RVec<u8>>> {
        let scope = self.scope(&payload);
        let part = self.part();
        let method = method.as_str().to_owned();
        let body = async move { part?.call(&method, payload.into_vec()).await };
        let guarded = Guarded::new(scope, body);
        async move { into_reply(guarded.await) }.into_ffi()
    }

    fn open_stream(&self, payload: RVec<u8>) -> FfiFuture<RResult<StreamBox, RVec<u8>>> {
        let scope = self.scope(&payload);
        let part = self.part();
        let body = {
            let scope = scope.clone();
            async move {
                let stream = part?.open_stream(payload.into_vec()).await?;
                let chunks = Chunks {
                    state: Arc::new(Mutex::new(State { stream: Held::new(stream), rest: Vec::new() })),
                    scope,
                };
                Ok(Stream_TO::from_value(chunks, TD_Opaque))
            }
        };
        let guarded = Guarded::new(scope, body);
        async move { guarded.await.map_err(|e| RVec::from(wire::encode_error(&e))).into() }.into_ffi()
    }
}

/// Cannot happen: what is held is there until it is dropped.
fn gone() -> crate::ProviderError {
    crate::ProviderError::internal("the instance is gone")
}

/// A stream, cut to the boundary's chunks.
struct Chunks {
    state: Arc<Mutex<State>>,
    scope: Scope,
}

struct State {
    stream: Held<ByteStream>,
    rest: Vec<u8>,
}

impl State {
    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        while self.rest.is_empty() {
            match self.stream.get_mut().ok_or_else(gone)?.0.next().await {
                Some(chunk) => self.rest = chunk?,
                None => return Ok(None),
            }
        }
        let after = self.rest.split_off(self.rest.len().min(wire::MAX_CHUNK));
        Ok(Some(std::mem::replace(&mut self.rest, after)))
    }
}

impl Stream for Chunks {
    fn next(&self) -> FfiFuture<RResult<abi_stable::std_types::ROption<RVec<u8>>, RVec<u8>>> {
        let state = Arc::clone(&self.state);
        let body = async move { state.lock().await.next().await };
        let guarded = Guarded::new(self.scope.clone(), body);
        async move {
            match guarded.await {
                Ok(Some(chunk)) => ROk(RSome(chunk.into())),
                Ok(None) => ROk(RNone),
                Err(error) => RErr(wire::encode_error(&error).into()),
            }
        }
        .into_ffi()
    }
}

/// Puts the root module where the loader looks for it. `abi_stable`'s own attribute names `::abi_stable`, which plugins
/// don't depend on; this is the same written out.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_root_module {
    ($info:ident) => {
        #[allow(unsafe_code, reason = "the exported symbol of the plugin; the types are checked by the macro's callee")]
        // The name that abi_stable's loader looks for.
        #[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
        pub static ROOT_MODULE_LOADER: $crate::__private::abi_stable::library::LibHeader = {
            use $crate::__private::{abi, abi_stable::std_types};

            extern "C" fn manifest() -> std_types::RResult<std_types::RVec<u8>, std_types::RVec<u8>> {
                $crate::ffi::manifest(&$info)
            }

            extern "C" fn create(
                request: std_types::RVec<u8>,
                services: abi::HostServicesBox,
            ) -> std_types::RResult<abi::InstanceBox, std_types::RVec<u8>> {
                $crate::ffi::create(request, services)
            }

            fn module() -> abi::PluginModule_Ref {
                $crate::ffi::module(manifest, create)
            }

            extern "C" fn erased_module() -> $crate::__private::abi_stable::library::RootModuleResult {
                $crate::__private::abi_stable::library::__call_root_module_loader(module)
            }

            // SAFETY: `erased_module` answers a `PluginModule_Ref` and nothing else.
            unsafe {
                $crate::__private::abi_stable::library::LibHeader::from_constructor::<abi::PluginModule_Ref>(
                    erased_module,
                    $crate::__private::abi_stable::library::CheckTypeLayout::Yes,
                )
            }
        };
    };
}
