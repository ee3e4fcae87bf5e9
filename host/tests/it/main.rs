//! The host's tests, through HTTP as clients see it.

mod support;

mod crash;
mod docs;
mod edge;
mod endpoints;
mod library;
mod peers;
