//! Users as every way of making one needs them: names that can't be mistaken, one kind of password, one event.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use ulid::Ulid;
use unicode_normalization::UnicodeNormalization as _;
use utoipa::ToSchema;

use super::{Passwords, passwords};
use crate::{
    db::{self, Db, now_ms, users::User},
    error::{ApiError, FieldError},
    events::{self, Event},
};

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything, the host's own things included.
    Admin,
    /// The user's own things.
    User,
}

impl Role {
    /// As it stands in the database and in replies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::User => "user",
        }
    }

    /// Reads what the database holds. What is not an admin may do least.
    pub fn parse(text: &str) -> Self {
        if text == "admin" { Self::Admin } else { Self::User }
    }
}

/// Fewest and most characters of a name.
const NAME_LENGTH: std::ops::RangeInclusive<usize> = 3..=64;

/// A user's name, checked, with the key under which it is unique.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// In normal form C.
    pub text: String,
    /// Folded: no case and no compatibility forms.
    pub key: String,
}

impl Name {
    /// Checks a name that somebody wants to have.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, FieldError> {
        let invalid = |code: &str, detail: &str| {
            Err(FieldError { field: "username".into(), code: code.into(), detail: detail.into() })
        };
        // Normalising costs, so nothing much longer than a name may be gets there.
        if text.len() > 4 * NAME_LENGTH.end() {
            return invalid("too_long", "the name may have at most 64 characters");
        }
        let text: String = text.nfc().collect();
        match text.chars().count() {
            n if n < *NAME_LENGTH.start() => return invalid("too_short", "the name needs at least 3 characters"),
            n if n > *NAME_LENGTH.end() => return invalid("too_long", "the name may have at most 64 characters"),
            _ => {}
        }
        if text.trim() != text || text.chars().any(is_invisible) {
            return invalid("invalid_characters", "the name may not hold control characters or spaces at its ends");
        }
        Ok(Self { key: Self::fold(&text), text })
    }

    /// The key of a name that somebody signs in with, whatever it is. It is never much longer than a name, and holds no
    /// NUL, which PostgreSQL can't store.
    pub fn fold(text: &str) -> String {
        text.nfkc().take(2 * NAME_LENGTH.end()).flat_map(char::to_lowercase).filter(|c| *c != '\0').collect()
    }
}

/// Control characters, and those that change how others are shown or show nothing.
pub(super) fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// What a new user is made from.
pub struct NewUser<'a> {
    /// The name.
    pub name: &'a str,
    /// What they may do.
    pub role: Role,
    /// The password, in the clear.
    pub password: &'a SecretString,
    /// Where to write to.
    pub email: Option<&'a str>,
}

/// Checks what a new user is made from and hashes the password; [`insert`] stores the result.
///
/// # Errors
/// 422 with every field that is wrong, or 503 when the host is busy.
pub async fn prepare(passwords: &Passwords, min_length: usize, new: NewUser<'_>) -> Result<(User, String), ApiError> {
    let name = Name::new(new.name);
    let email = new.email.map_or(Ok(()), check_email);
    let password = passwords::check_new(new.password, min_length);
    let (name, errors) = match name {
        Ok(name) => (name, [email.err(), password.err(), None]),
        Err(error) => (Name { text: String::new(), key: String::new() }, [Some(error), email.err(), password.err()]),
    };
    let errors: Vec<_> = errors.into_iter().flatten().collect();
    if !errors.is_empty() {
        return Err(ApiError::invalid(errors));
    }
    let now = now_ms();
    let user = User {
        id: Ulid::generate().to_string(),
        name: name.text,
        role: new.role.as_str().into(),
        password_hash: passwords.hash(new.password).await?,
        email: new.email.map(str::to_owned),
        disabled: 0,
        created_at: now,
        updated_at: now,
    };
    Ok((user, name.key))
}

/// Stores a new user, with the event.
///
/// # Errors
/// 409 `name_taken`, or when the database fails.
pub async fn insert(tx: &mut db::Tx, user: &User, name_key: &str) -> Result<(), ApiError> {
    db::users::insert(tx, user, name_key).await.map_err(name_taken)?;
    let data = json!({ "name": user.name, "role": user.role });
    events::emit(tx, Event { kind: "user.created", subject: Some(&user.id), user: Some(&user.id), data }).await?;
    Ok(())
}

/// Makes a user.
///
/// # Errors
/// 422 with every field that is wrong, 409 `name_taken`, or when the database fails.
pub async fn create(db: &Db, passwords: &Passwords, min_length: usize, new: NewUser<'_>) -> Result<User, ApiError> {
    // A taken name is said before the costly hash; the insert below decides.
    if db::users::find_by_name(db.read(), &Name::fold(new.name)).await?.is_some() {
        return Err(taken());
    }
    let (user, name_key) = prepare(passwords, min_length, new).await?;
    let mut tx = db.write().await?;
    insert(&mut tx, &user, &name_key).await?;
    tx.commit().await?;
    Ok(user)
}

/// Turns a unique violation into 409 `name_taken`.
pub fn name_taken(error: sqlx::Error) -> ApiError {
    if error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation) {
        return taken();
    }
    error.into()
}

fn taken() -> ApiError {
    ApiError::conflict("name_taken", "somebody has this name already")
}

/// Checks an e-mail address.
///
/// # Errors
/// What is wrong with it.
pub fn check_email(email: &str) -> Result<(), FieldError> {
    if email.len() <= 254 && garde::rules::email::parse_email(email).is_ok() {
        return Ok(());
    }
    Err(FieldError { field: "email".into(), code: "invalid".into(), detail: "this is no e-mail address".into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike_share_a_key() {
        for (a, b) in [("Anna", "aNNa"), ("Zoë", "Zoe\u{308}"), ("ｆｕｌｌ", "full"), ("ÅSA", "åsa")] {
            assert_eq!(Name::new(a).unwrap().key, Name::new(b).unwrap().key, "{a} {b}");
        }
        assert_ne!(Name::new("Zoë").unwrap().key, Name::new("Zoe").unwrap().key);
        assert_eq!(Name::new("Zoe\u{308}").unwrap().text, "Zoë");
    }

    #[test]
    fn names_that_nobody_could_type_are_refused() {
        let code = |name: &str| Name::new(name).unwrap_err().code;
        assert_eq!(code("ab"), "too_short");
        assert_eq!(code(&"x".repeat(65)), "too_long");
        assert_eq!(code(&"x".repeat(1_000_000)), "too_long");
        for name in [" anna", "anna ", "an\nna", "an\u{0}na", "an\u{200b}na", "an\u{202e}na"] {
            assert_eq!(code(name), "invalid_characters", "{name:?}");
        }
        assert!(Name::new("Anna von Österreich").is_ok());
        assert!(Name::new(&"ö".repeat(64)).is_ok());
    }

    #[test]
    fn addresses_are_checked() {
        assert!(check_email("anna@example.org").is_ok());
        for bad in ["", "anna", "anna@", "@example.org", "a b@example.org", "anna@example.org\r\nBcc: x@y.z"] {
            assert!(check_email(bad).is_err(), "{bad:?}");
        }
    }
}
