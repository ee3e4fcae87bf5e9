//! `/api/admin`: what admins see and do for everybody.

pub mod audit;
pub mod invites;
pub mod keys;
pub mod sessions;
pub mod users;
