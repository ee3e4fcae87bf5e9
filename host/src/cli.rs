//! Being written.
pub mod user;
