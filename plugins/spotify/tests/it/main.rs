//! The plugin against a host in memory that plays Spotify.
#![expect(clippy::unwrap_used, reason = "a test whose service cannot be made fails")]

mod catalog;
mod contract;
mod library;
mod playlists;
mod setup;
mod support;
mod tokens;
