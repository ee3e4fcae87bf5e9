//! `/api/admin`: what admins see and do for everybody.

pub mod audit;
pub mod keys;
