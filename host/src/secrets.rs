//! Being written.
pub struct Secrets;
