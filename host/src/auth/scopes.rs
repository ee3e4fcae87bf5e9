//! What a credential may be used for.

use super::Role;

/// Every scope that there is. The last one is only for admins.
pub const ALL: [&str; 14] = [
    "profile",
    "catalog:read",
    "library:read",
    "library:write",
    "playlists:read",
    "playlists:write",
    "downloads:read",
    "downloads:write",
    "events:read",
    "automation:read",
    "automation:write",
    "accounts:read",
    "accounts:write",
    "admin",
];

/// The scopes that a signed link stands for: reading what it names.
const LINK: [&str; 2] = ["catalog:read", "library:read"];

/// A set of scopes: bit `i` is [`ALL`]`[i]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u16);

impl Scopes {
    /// Everything that a role allows; what a session has.
    pub fn of_role(role: Role) -> Self {
        ALL.into_iter().filter(|scope| role == Role::Admin || *scope != "admin").collect()
    }

    /// What a signed link allows.
    pub fn of_link() -> Self {
        LINK.into_iter().collect()
    }

    /// Whether the scope is among them.
    pub fn contains(self, scope: &str) -> bool {
        position(scope).is_some_and(|i| self.0 & (1 << i) != 0)
    }

    /// The scopes that are in both sets.
    pub fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Their names.
    pub fn names(self) -> Vec<&'static str> {
        ALL.into_iter().filter(|scope| self.contains(scope)).collect()
    }
}

impl<'a> FromIterator<&'a str> for Scopes {
    /// Names that are no scope are left out.
    fn from_iter<I: IntoIterator<Item = &'a str>>(names: I) -> Self {
        Self(names.into_iter().filter_map(position).fold(0, |bits, i| bits | (1 << i)))
    }
}

fn position(scope: &str) -> Option<usize> {
    ALL.iter().position(|known| *known == scope)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_differ_by_the_admin_scope() {
        assert_eq!(Scopes::of_role(Role::Admin).names(), ALL);
        assert_eq!(Scopes::of_role(Role::User).names(), ALL[..13]);
        assert!(!Scopes::of_role(Role::User).contains("admin"));
        assert!(!Scopes::of_role(Role::Admin).contains("library:delete"));
        assert_eq!(Scopes::of_link().names(), LINK);
    }
}
