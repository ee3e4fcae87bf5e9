//! The host's tests, through HTTP as clients see it.

mod lab;
mod support;

mod cli;
mod crash;
mod docs;
mod edge;
mod endpoints;
mod library;
mod peers;
mod plugin_loading;
mod supervisor;
