//! What is wrong with a configuration, and where.

use std::fmt::{self, Display, Formatter};

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands: a file and line, or the name of a variable.
    pub place: Option<String>,
    /// The key, such as `server.listen`.
    pub key: Option<String>,
    /// One sentence: what is wrong and what is expected. Never holds a secret.
    pub detail: String,
}

impl Display for Problem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for part in [&self.place, &self.key].into_iter().flatten() {
            write!(f, "{part}: ")?;
        }
        f.write_str(&self.detail)
    }
}

/// Every fault that was found; never empty.
#[derive(Clone, Debug, thiserror::Error)]
pub struct ConfigErrors(pub Vec<Problem>);

impl ConfigErrors {
    pub(super) fn one(detail: impl Into<String>) -> Self {
        Self(vec![Problem { place: None, key: None, detail: detail.into() }])
    }
}

/// One fault per line.
impl Display for ConfigErrors {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}
