//! The plugin against a host in memory that plays Spotify.

mod contract;
