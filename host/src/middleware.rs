//! The layers around the router, one per file.

pub mod client;
pub mod cors;
pub mod deprecation;
pub mod drain;
pub mod etag;
pub mod fallback;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
pub mod parameters;
pub mod rate;
pub mod request_id;
pub mod security;
pub mod timeout;
pub mod version;
