//! What safe Rust does not do: system calls by number, a read of address zero, and the plugin's symbol, made by hand so
//! that answers can be other bytes than the SDK's.
#![expect(unsafe_code, reason = "a plugin that misbehaves on purpose")]

use std::{ffi::CString, io};

use nix::{errno::Errno, libc};
use zotify_plugin_api::{
    __private::{
        LibraryInfo,
        abi::{HostServicesBox, InstanceBox, PluginModule_Ref},
        abi_stable::{
            library::{__call_root_module_loader, CheckTypeLayout, LibHeader, RootModuleResult},
            std_types::{RResult, RVec},
        },
    },
    Stage, ffi,
};

use crate::answers;

/// Reads what nobody may.
pub(crate) fn read_null() -> u8 {
    // SAFETY: none; the process is to end here.
    unsafe { std::ptr::read_volatile(std::hint::black_box(std::ptr::null::<u8>())) }
}

/// Runs a system call: its number and up to six arguments. `@text` is a pointer to the text, `&64` one to so many zero
/// bytes.
pub(crate) fn call(line: &str) -> io::Result<String> {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    let mut words = [0_i64; 7];
    for (word, text) in words.iter_mut().zip(line.split_whitespace()) {
        let bytes = match text.split_at(1) {
            ("@", path) => CString::new(path)?.into_bytes_with_nul(),
            ("&", count) => vec![0; count.parse().map_err(io::Error::other)?],
            _ => {
                *word = text.parse().map_err(io::Error::other)?;
                continue;
            }
        };
        *word = bytes.as_ptr() as i64;
        kept.push(bytes);
    }
    let [number, a, b, c, d, e, f] = words;
    // SAFETY: pointers are to bytes that live until the end; what else the call does is what is to be tried.
    let answer = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    let errno = Errno::last();
    drop(kept);
    Ok(if answer == -1 { format!("{errno:?}") } else { answer.to_string() })
}

/// The open descriptors, each with the type of what it stands for: `0s 1p`.
pub(crate) fn descriptors() -> String {
    let kind = |fd: i32| {
        let mut about = std::mem::MaybeUninit::<libc::stat>::zeroed();
        // SAFETY: the pointer is to a `stat`, which is all zeros where the call fails.
        let mode = unsafe {
            if libc::fstat(fd, about.as_mut_ptr()) != 0 {
                return None;
            }
            about.assume_init().st_mode
        };
        Some(match mode & libc::S_IFMT {
            libc::S_IFSOCK => 's',
            libc::S_IFIFO => 'p',
            libc::S_IFREG => 'f',
            libc::S_IFDIR => 'd',
            libc::S_IFCHR => 'c',
            _ => 'o',
        })
    };
    (0..1024).filter_map(|fd| Some(format!("{fd}{}", kind(fd)?))).collect::<Vec<_>>().join(" ")
}

static INFO: LibraryInfo = LibraryInfo {
    id: "hostile",
    name: "Hostile",
    stage: Stage::Beta,
    version: env!("CARGO_PKG_VERSION"),
    description: env!("CARGO_PKG_DESCRIPTION"),
    homepage: env!("CARGO_PKG_REPOSITORY"),
    license: env!("CARGO_PKG_LICENSE"),
};

extern "C" fn manifest() -> RResult<RVec<u8>, RVec<u8>> {
    ffi::manifest(&INFO)
}

extern "C" fn create(request: RVec<u8>, services: HostServicesBox) -> RResult<InstanceBox, RVec<u8>> {
    ffi::create(request, services).map(answers::Liar::wrap)
}

fn module() -> PluginModule_Ref {
    ffi::module(manifest, create)
}

extern "C" fn erased_module() -> RootModuleResult {
    __call_root_module_loader(module)
}

/// What `export_plugin!` would export.
// SAFETY: the name is abi_stable's, and no other symbol of this library has it.
#[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
static ROOT_MODULE_LOADER: LibHeader =
    // SAFETY: `erased_module` answers a `PluginModule_Ref` and nothing else.
    unsafe { LibHeader::from_constructor::<PluginModule_Ref>(erased_module, CheckTypeLayout::Yes) };
