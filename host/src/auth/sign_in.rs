//! Signing in with a password, and setting another one.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::{
    Principal, bootstrap, passwords,
    principal::user_disabled,
    sessions::{self, Opened, Origin, SessionKind},
    throttle::Attempt,
    users::Name,
};
use crate::{
    App,
    audit::{self, Actor, Entry, Outcome},
    db::{self, Tx, users::User},
    error::{ApiError, FieldError},
    events::{self, Event},
};

/// Checks a name and a password, and starts a session. Wrong names and wrong passwords look alike and take as long.
///
/// # Errors
/// 401 `invalid_credentials` or `user_disabled`, 429 `too_many_attempts`, 503 when the host is busy.
pub async fn sign_in(
    app: &App,
    name: &str,
    password: &SecretString,
    kind: SessionKind,
    origin: &Origin,
) -> Result<(User, Opened), ApiError> {
    let name_key = Name::fold(name);
    let attempt = Attempt::new(name_key.clone(), origin.address);
    attempt.check(app).await?;
    let user = db::users::find_by_name(app.db.read(), &name_key).await?;
    let hash = user.as_ref().map(|user| user.password_hash.as_str());
    let matches = app.passwords.verify(password, hash).await?;
    let refused = |user, reason| Refused { action: "session.created", user, reason, name: &name_key };
    let Some(user) = user.as_ref().filter(|_| matches) else {
        let refused = refused(user.as_ref(), "invalid_credentials");
        count_failure(app, &attempt, refused, Actor::stranger(None, origin)).await?;
        return Err(invalid_credentials());
    };
    let mut tx = app.db.write().await?;
    attempt.succeed(&mut tx).await?;
    if user.disabled != 0 {
        refused(Some(user), "user_disabled").record(&mut tx, Actor::stranger(Some(&user.id), origin)).await?;
        tx.commit().await?;
        return Err(user_disabled());
    }
    if !db::users::sign_in(&mut tx, &user.id, &user.password_hash).await? {
        // The password was changed, or the user disabled or deleted, while this one was looked at.
        return Err(invalid_credentials());
    }
    let first = bootstrap::take_first_sign_in(&mut tx, user).await?;
    let (session, opened) = sessions::start(app, &mut tx, &user.id, kind, origin).await?;
    let entry = Entry {
        action: "session.created",
        outcome: Outcome::Ok,
        actor: Actor::stranger(Some(&user.id), origin),
        user: Some(&user.id),
        data: json!({ "kind": kind, "session": session }),
        personal: json!({}),
    };
    audit::record(&mut tx, entry).await?;
    tx.commit().await?;
    app.recent_sessions.forget();
    if first {
        bootstrap::remove_password_file(app).await;
    }
    Ok((user.clone(), opened))
}

fn invalid_credentials() -> ApiError {
    ApiError::unauthorized("invalid_credentials", "the name or the password is wrong")
}

/// Sets another password for who knows the present one, and ends the other sessions; answers how many.
///
/// # Errors
/// 403 `session_required` or `wrong_password`, 409 `password_changed`, 422 with what is wrong with the new one, 429
/// `too_many_attempts`, 503 when the host is busy.
pub async fn change_password(
    app: &App,
    principal: &Principal,
    current: &SecretString,
    new: &SecretString,
    origin: &Origin,
) -> Result<u64, ApiError> {
    principal.require_session()?;
    let invalid = |error: FieldError| ApiError::invalid(vec![FieldError { field: "new_password".into(), ..error }]);
    passwords::check_new(new, app.config.auth.password_min_length).map_err(invalid)?;
    let gone = || ApiError::unauthorized("session_revoked", "this user is no more");
    let user = db::users::find(app.db.read(), &principal.user_id).await?.ok_or_else(gone)?;
    let name_key = Name::fold(&user.name);
    let attempt = Attempt::new(name_key.clone(), origin.address);
    attempt.check(app).await?;
    if !app.passwords.verify(current, Some(&user.password_hash)).await? {
        let action = "user.password_changed";
        let refused = Refused { action, user: Some(&user), reason: "wrong_password", name: &name_key };
        count_failure(app, &attempt, refused, Actor::principal(principal, origin)).await?;
        return Err(ApiError::forbidden("wrong_password", "the current password is not this one"));
    }
    if current.expose_secret() == new.expose_secret() {
        let (code, detail) = ("same_as_before", "the new password is the current one; choose another");
        return Err(invalid(FieldError { field: String::new(), code: code.into(), detail: detail.into() }));
    }
    let hash = app.passwords.hash(new).await?;
    let mut tx = app.db.write().await?;
    attempt.succeed(&mut tx).await?;
    if !db::users::replace_password(&mut tx, &user.id, &user.password_hash, &hash).await? {
        return Err(ApiError::conflict("password_changed", "the password was changed in the meantime; sign in again"));
    }
    let ended =
        password_changed(&mut tx, &user.id, principal.session_id(), Actor::principal(principal, origin)).await?;
    tx.commit().await?;
    app.recent_sessions.forget();
    Ok(ended)
}

/// What follows a new password: the sessions end, but for one, and it goes on record. Answers how many ended.
///
/// # Errors
/// When the database fails.
pub async fn password_changed(tx: &mut Tx, user_id: &str, but: Option<&str>, actor: Actor<'_>) -> sqlx::Result<u64> {
    let ended = db::sessions::revoke_all(tx, user_id, but).await?;
    let data = json!({ "sessions_ended": ended });
    let event =
        Event { kind: "user.password_changed", subject: Some(user_id), user: Some(user_id), data: data.clone() };
    events::emit(tx, event).await?;
    let (action, outcome, user) = ("user.password_changed", Outcome::Ok, Some(user_id));
    audit::record(tx, Entry { action, outcome, actor, user, data, personal: json!({}) }).await?;
    Ok(ended)
}

/// Something that a wrong password was given for.
struct Refused<'a> {
    action: &'a str,
    user: Option<&'a User>,
    reason: &'a str,
    /// The folded name that was given.
    name: &'a str,
}

impl Refused<'_> {
    async fn record(&self, tx: &mut Tx, actor: Actor<'_>) -> sqlx::Result<()> {
        let entry = Entry {
            action: self.action,
            outcome: Outcome::Refused,
            actor,
            user: self.user.map(|user| user.id.as_str()),
            data: json!({ "reason": self.reason }),
            personal: json!({ "name": self.name }),
        };
        audit::record(tx, entry).await
    }
}

async fn count_failure(app: &App, attempt: &Attempt, refused: Refused<'_>, actor: Actor<'_>) -> Result<(), ApiError> {
    let mut tx = app.db.write().await?;
    let counted = attempt.count_failure(&mut tx).await?;
    refused.record(&mut tx, actor).await?;
    tx.commit().await?;
    attempt.check_counted(app, counted).await
}
