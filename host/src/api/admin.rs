//! `/api/admin`: what admins see and do for everybody.

pub mod invites;
pub mod sessions;
pub mod users;
