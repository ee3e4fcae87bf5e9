//! The host's tests, through HTTP as clients see it.

#![expect(unreachable_pub, reason = "one binary: its modules share their helpers")]
#![expect(clippy::unwrap_used, reason = "a test ends where its preparation fails")]

mod editable;
mod lab;
mod starred;
mod support;
mod tokens;

mod accounts;
mod accounts_api;
mod audit;
mod auth;
mod backup;
mod budget;
mod callback;
mod catalog_cache;
mod catalogue;
mod cli;
mod connections;
mod crash;
mod default_accounts;
mod docs;
mod edge;
mod endpoints;
mod fan_out;
mod fire;
mod flows;
mod history;
mod hostile;
mod invites;
mod jobs;
mod keys;
mod library;
mod library_edit;
mod liked;
mod limits;
mod load;
mod matrix;
mod nodes;
mod peers;
mod playlist_edit;
mod playlist_version;
mod plugin_cli;
mod plugin_loading;
mod podcast;
mod positions;
mod preferences;
mod privacy;
mod providers;
mod proxies;
mod resolve;
mod sandbox;
mod secrets;
mod sessions;
mod signing_keys;
mod spotify;
mod strangers;
mod supervisor;
mod throttle;
mod ui;
mod users;
mod vault;
