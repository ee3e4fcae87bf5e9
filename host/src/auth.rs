//! Who asks, and what they may do.

pub mod bootstrap;
pub mod cookie;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
pub mod invites;
pub mod keys;
pub mod last_use;
pub mod passwords;
pub mod principal;
pub mod quota;
pub mod scopes;
pub mod sessions;
pub mod sign_in;
pub mod signed;
pub mod throttle;
pub mod tokens;
pub mod users;

pub use bootstrap::bootstrap_admin;
pub use last_use::LastUse;
pub use passwords::Passwords;
pub use principal::{Admin, Credential, MediaPrincipal, Principal};
pub use scopes::Scopes;
pub use sessions::Origin;
pub use tokens::Tokens;
pub use users::Role;
