//! The provider's methods against publishers in memory, with the host that the SDK has for tests.
#![expect(clippy::unwrap_used, reason = "a test whose publisher does not answer fails")]

mod catalog;
mod following;
mod hostile;
mod media;
mod moving;
mod publisher;
mod pulling;
mod support;
