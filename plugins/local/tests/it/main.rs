//! The provider's methods over real folders, with the host that the SDK has for tests.
#![expect(clippy::unwrap_used, reason = "a test whose files cannot be made fails")]

mod artwork;
mod files;
mod fire;
mod fixtures;
mod library;
mod media;
mod playlists;
mod safety;
mod support;
mod tags;
mod watching;
