//! The plugin against a host in memory that plays Spotify.

mod catalog;
mod contract;
mod library;
mod playlists;
mod setup;
mod support;
mod tokens;
