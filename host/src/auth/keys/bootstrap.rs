//! The bootstrap key: a key of the first admin whose secret the configuration sets, for programs that set a host up.

use secrecy::ExposeSecret as _;
use serde_json::json;
use ulid::Ulid;

use super::{NewSecret, manage};
use crate::{
    App,
    audit::Actor,
    auth::{bootstrap::BootstrapError, scopes},
    db::{self, Tx, api_keys::KeyRow, now_ms},
};

/// What the key is called.
const NAME: &str = "bootstrap";

/// Makes the key that the configuration sets known, and revokes a former one. A secret that was revoked stays so.
///
/// # Errors
/// When the database fails.
pub async fn apply(app: &App) -> Result<(), BootstrapError> {
    let wanted = app.config.auth.bootstrap_admin_key.as_ref().map(|key| NewSecret::of(key.expose_secret().to_owned()));
    if wanted.is_none() && db::api_keys::open_bootstrap(app.db.read()).await?.is_empty() {
        return Ok(());
    }
    let mut tx = app.db.write().await?;
    // Of several nodes that start at once, one makes the key.
    db::state::lock(&mut tx, "auth.bootstrap_key").await?;
    let mut known = false;
    for key in db::api_keys::open_bootstrap(&mut *tx).await? {
        if wanted.as_ref().is_some_and(|wanted| wanted.hash == key.hash) {
            known = true;
        } else {
            manage::revoke(&mut tx, &key, Actor::HOST).await?;
        }
    }
    if let Some(secret) = wanted.filter(|_| !known) {
        make(&mut tx, &secret).await?;
    }
    tx.commit().await?;
    app.recent_keys.forget();
    Ok(())
}

async fn make(tx: &mut Tx, secret: &NewSecret) -> sqlx::Result<()> {
    if db::api_keys::find_live(&mut **tx, &secret.prefix).await?.is_some() {
        tracing::warn!(
            "auth.bootstrap_admin_key was revoked or is somebody's key, and opens nothing as it is; set another"
        );
        return Ok(());
    }
    let Some(user_id) = db::users::first_admin(&mut **tx).await? else {
        tracing::warn!("auth.bootstrap_admin_key opens nothing: there is no admin who may act");
        return Ok(());
    };
    let row = KeyRow {
        id: Ulid::generate().to_string(),
        user_id,
        user_name: String::new(),
        name: NAME.into(),
        scopes: scopes::ALL.join(" "),
        created_at: now_ms(),
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
        bootstrap: 1,
        prefix: secret.prefix.clone(),
        hash: secret.hash.clone(),
    };
    db::api_keys::insert(tx, &row).await?;
    manage::record(tx, "api_key.created", &row, Actor::HOST, json!({ "scopes": scopes::ALL })).await
}
