//! The provider's methods against a server in memory, with the host that the SDK has for tests; and, where they run,
//! against real ones.
#![expect(clippy::unwrap_used, reason = "a test whose server does not answer fails")]

mod halfway;
mod library;
mod media;
mod playlists;
mod real;
mod server;
mod sign_in;
mod stars;
mod support;
