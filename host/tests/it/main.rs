//! The host's tests, through HTTP as clients see it.

#![expect(unreachable_pub, reason = "one binary: its modules share their helpers")]
#![expect(clippy::unwrap_used, reason = "a test ends where its preparation fails")]

mod lab;
mod support;

mod accounts;
mod auth;
mod catalogue;
mod cli;
mod connections;
mod crash;
mod docs;
mod edge;
mod endpoints;
mod examples;
mod fan_out;
mod fire;
mod hostile;
mod jobs;
mod keys;
mod library;
mod load;
mod matrix;
mod nodes;
mod peers;
mod plugin_cli;
mod plugin_loading;
mod providers;
mod proxies;
mod sandbox;
mod strangers;
mod supervisor;
