//! Users as every way of making one needs them: names that can't be mistaken, one kind of password, one event.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use ulid::Ulid;
use unicode_normalization::UnicodeNormalization as _;
use utoipa::ToSchema;

use super::{Passwords, passwords, quota::Quota};
use crate::{
    audit::{self, Actor, Entry, Outcome},
    db::{self, Db, now_ms, users::User},
    error::{ApiError, FieldError},
    events::{self, Event},
    jobs::{self, erase::Erase},
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
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
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
        must_change_password: 0,
        quota: None,
        last_sign_in_at: None,
        created_at: now,
        updated_at: now,
    };
    Ok((user, name.key))
}

/// Stores a new user, with the event and the entry in the audit log.
///
/// # Errors
/// 409 `name_taken`, or when the database fails.
pub async fn insert(tx: &mut db::Tx, user: &User, name_key: &str, actor: Actor<'_>) -> Result<(), ApiError> {
    db::users::insert(tx, user, name_key).await.map_err(name_taken)?;
    let data = json!({ "name": user.name, "role": user.role });
    events::emit(tx, Event { kind: "user.created", subject: Some(&user.id), user: Some(&user.id), data }).await?;
    let entry = Entry {
        action: "user.created",
        outcome: Outcome::Ok,
        actor,
        user: Some(&user.id),
        data: json!({ "role": user.role, "must_change_password": user.must_change_password != 0 }),
        personal: json!({ "name": user.name }),
    };
    Ok(audit::record(tx, entry).await?)
}

/// Says that a name is taken before the password is hashed, which is costly; [`insert`] decides.
///
/// # Errors
/// 409 `name_taken`, or when the database fails.
pub async fn check_free(db: &Db, name: &str) -> Result<(), ApiError> {
    // One that nobody may have is [`prepare`]'s to refuse.
    let Ok(name) = Name::new(name) else { return Ok(()) };
    match db::users::find_by_name(db.read(), &name.key).await? {
        Some(_) => Err(taken()),
        None => Ok(()),
    }
}

/// Makes a user from the command line.
///
/// # Errors
/// 422 with every field that is wrong, 409 `name_taken`, or when the database fails.
pub async fn create(db: &Db, passwords: &Passwords, min_length: usize, new: NewUser<'_>) -> Result<User, ApiError> {
    check_free(db, new.name).await?;
    let (user, name_key) = prepare(passwords, min_length, new).await?;
    let mut tx = db.write().await?;
    insert(&mut tx, &user, &name_key, Actor::COMMAND).await?;
    tx.commit().await?;
    Ok(user)
}

/// What an admin changes about a user; nothing stays as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change {
    /// What the user may do.
    pub role: Option<Role>,
    /// Whether the user may do nothing.
    pub disabled: Option<bool>,
    /// Whether the user has to set another password first.
    pub must_change_password: Option<bool>,
    /// What the user may have.
    pub quota: Option<Quota>,
}

/// The user, while nobody else changes who is an admin, until the transaction ends.
///
/// # Errors
/// When the database fails.
pub async fn lock_for_change(tx: &mut db::Tx, id: &str) -> sqlx::Result<Option<User>> {
    db::state::lock(tx, "users.admins").await?;
    db::users::find(&mut **tx, id).await
}

/// Makes sure that an admin is left without this user. Ask [`lock_for_change`] first: two admins might remove each other.
///
/// # Errors
/// 409 `last_admin`, or when the database fails.
pub async fn check_not_last_admin(tx: &mut db::Tx, user: &User) -> Result<(), ApiError> {
    let is_admin = Role::parse(&user.role) == Role::Admin && user.disabled == 0;
    if is_admin && db::users::count_other_admins(tx, &user.id).await? == 0 {
        let detail = "this is the last admin who can sign in; make another one first";
        return Err(ApiError::conflict("last_admin", detail));
    }
    Ok(())
}

/// Changes a user's rights, with the event and the entries in the audit log; disabling ends the sessions, and who is no
/// admin any more has invited none. Nothing where there is no such user. Forget recent sessions and keys once it is committed.
///
/// # Errors
/// 409 `last_admin` or `user_being_erased`, or when the database fails.
pub async fn change(tx: &mut db::Tx, id: &str, change: Change, actor: Actor<'_>) -> Result<Option<User>, ApiError> {
    let Some(before) = lock_for_change(tx, id).await? else { return Ok(None) };
    let mut user = before.clone();
    user.role = change.role.map_or(user.role, |role| role.as_str().into());
    user.disabled = change.disabled.map_or(user.disabled, i64::from);
    user.must_change_password = change.must_change_password.map_or(user.must_change_password, i64::from);
    user.quota = change.quota.map_or(user.quota, quota_text);
    let is_admin = Role::parse(&user.role) == Role::Admin && user.disabled == 0;
    if !is_admin {
        check_not_last_admin(tx, &before).await?;
    }
    let enabled = user.disabled == 0 && before.disabled != 0;
    if enabled && jobs::unfinished(tx, &Erase::key(id)).await?.is_some() {
        return Err(ApiError::conflict("user_being_erased", "this user asked to be erased, and that has begun"));
    }
    db::users::update_rights(tx, &user).await?;
    let disabled = user.disabled != 0 && before.disabled == 0;
    let ended = if disabled { db::sessions::revoke_all(tx, id, None).await? } else { 0 };
    let withdrawn = if is_admin { 0 } else { db::invites::withdraw_for_admins(tx, id).await? };
    let data = json!({
        "role": user.role,
        "disabled": user.disabled != 0,
        "must_change_password": user.must_change_password != 0,
        "quota": Quota::parse(user.quota.as_deref()),
        "sessions_ended": ended,
        "invites_withdrawn": withdrawn,
    });
    let event = Event { kind: "user.updated", subject: Some(id), user: Some(id), data: data.clone() };
    events::emit(tx, event).await?;
    let action = if user.role == before.role { "user.updated" } else { "user.role_changed" };
    let (outcome, personal) = (Outcome::Ok, json!({ "name": user.name }));
    audit::record(tx, Entry { action, outcome, actor, user: Some(id), data, personal }).await?;
    Ok(db::users::find(&mut **tx, id).await?)
}

/// A quota as it stands in the database.
pub fn quota_text(quota: Quota) -> Option<String> {
    // Numbers always become JSON.
    (quota != Quota::default()).then(|| serde_json::to_string(&quota).ok()).flatten()
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
        for name in [
            " anna",
            "anna ",
            "an\nna",
            "an\u{0}na",
            "an\u{200b}na",
            "an\u{202e}na",
            "anna\u{fe0f}",
            "anna\u{3164}",
            "\u{e0041}anna",
            "an\u{61c}na",
        ] {
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
