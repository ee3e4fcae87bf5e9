//! The host's tests, through HTTP as clients see it.

mod support;

mod edge;
mod endpoints;
