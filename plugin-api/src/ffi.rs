//! The glue to the binary interface: the only place, with the frozen interface crate, that knows `abi_stable` and that
//! holds `unsafe`.

#![allow(unsafe_code, reason = "each block says why it is sound")]

mod export;
#[cfg(feature = "host")]
mod load;
#[cfg(feature = "host")]
mod memory;

#[doc(hidden)]
pub use export::{create, manifest, module};
#[cfg(feature = "host")]
pub use load::{Host, Instance, Library, LoadError, LoadErrorKind, Stream};
#[cfg(feature = "host")]
pub use memory::{keep_little as keep_little_memory, release as release_memory};
