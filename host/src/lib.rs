//! The Zotify host server.
//!
//! A request walks through four places: [`router`] names its handler, `api/<resource>.rs` is the handler,
//! [`providers`] finds the instance that owns a URI and calls it across the plugin boundary, and what is kept lives in
//! `db/<table>.rs`. `docs/ARCHITECTURE.md` walks through three requests.

pub mod accounts;
pub mod api;
pub mod app;
pub mod audit;
pub mod auth;
pub mod backup;
pub mod cache;
pub mod cli;
pub mod config;
pub mod connect;
pub mod db;
pub mod error;
pub mod events;
pub mod jobs;
pub mod library;
pub mod likes;
pub mod locks;
pub mod media;
pub mod middleware;
pub mod mirror;
pub mod nodes;
pub mod openapi;
pub mod playlists;
pub mod preferences;
pub mod privacy;
pub mod providers;
pub mod recent;
pub mod router;
pub mod routing;
pub mod secrets;
pub mod server;
pub mod telemetry;
pub mod ui;
pub mod worker;

pub use app::{App, AppState, StartError, Started};
