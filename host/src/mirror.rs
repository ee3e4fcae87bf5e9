//! Being written.
pub fn start(_app: &crate::AppState) {}
