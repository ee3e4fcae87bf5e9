//! The layers around the router, one per file.

pub mod request_id;
