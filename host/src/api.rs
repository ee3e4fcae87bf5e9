//! The handlers, one file per resource, with their request and response types.

pub mod extract;
pub mod meta;
pub mod page;
