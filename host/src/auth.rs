//! Who asks, and what they may do.

pub mod bootstrap;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
pub mod passwords;
pub mod principal;
pub mod scopes;
pub mod sessions;
pub mod sign_in;
pub mod signed;
pub mod throttle;
pub mod tokens;
pub mod users;

pub use bootstrap::bootstrap_admin;
pub use passwords::Passwords;
pub use principal::{Admin, MediaPrincipal, Principal};
pub use scopes::Scopes;
pub use tokens::Tokens;
pub use users::Role;
