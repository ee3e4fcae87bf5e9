//! Signing in with a password.

use secrecy::SecretString;

use super::{
    bootstrap,
    principal::user_disabled,
    sessions::{self, Grant, Origin},
    throttle,
    users::Name,
};
use crate::{App, db, error::ApiError};

/// Checks a name and a password, and starts a session. Wrong names and wrong passwords look alike and take as long.
///
/// # Errors
/// 401 `invalid_credentials` or `user_disabled`, 429 `too_many_attempts`, 503 when the host is busy.
pub async fn sign_in(app: &App, name: &str, password: &SecretString, origin: Origin) -> Result<Grant, ApiError> {
    let name_key = Name::fold(name);
    let network = throttle::network(origin.address);
    throttle::check(app, &name_key, &network).await?;
    let user = db::users::find_by_name(app.db.read(), &name_key).await?;
    let hash = user.as_ref().map(|user| user.password_hash.as_str());
    let matches = app.passwords.verify(password, hash).await?;
    let Some(user) = user.filter(|_| matches) else {
        throttle::count_failure(app, &name_key, &network).await?;
        return Err(ApiError::unauthorized("invalid_credentials", "the name or the password is wrong"));
    };
    let mut tx = app.db.write().await?;
    throttle::succeed(&mut tx, &name_key, &network).await?;
    if user.disabled != 0 {
        return Err(user_disabled());
    }
    let grant = sessions::start(app, &mut tx, &user.id, origin).await?;
    let first = bootstrap::take_first_sign_in(&mut tx, &user).await?;
    tx.commit().await?;
    if first {
        bootstrap::remove_password_file(app).await;
    }
    Ok(grant)
}
