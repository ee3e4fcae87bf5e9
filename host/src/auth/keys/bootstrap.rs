//! The bootstrap key: a key of the first admin whose secret the configuration sets, for programs that set a host up.

use secrecy::ExposeSecret as _;
use serde_json::json;
use ulid::Ulid;

use super::{NewSecret, manage};
use crate::{
    App,
    audit::Actor,
    auth::{Role, bootstrap::BootstrapError, scopes},
    db::{self, Tx, api_keys::KeyRow, now_ms},
};

/// What the key is called.
const NAME: &str = "bootstrap";
/// In front of the hash of every secret that was set so far, in `host_state`: a key goes with its user, this stays.
const USED: &str = "auth.bootstrap_used.";

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
    let is_wanted = |key: &KeyRow| wanted.as_ref().is_some_and(|wanted| wanted.hash == key.hash);
    let (kept, former): (Vec<_>, Vec<_>) =
        db::api_keys::open_bootstrap(&mut *tx).await?.into_iter().partition(is_wanted);
    for key in kept.iter().chain(&former) {
        remember(&mut tx, &key.hash).await?;
    }
    let made = match wanted {
        Some(secret) if kept.is_empty() => make(&mut tx, secret).await?,
        _ => None,
    };
    for key in &kept {
        check_owner(&mut tx, key).await?;
    }
    manage::revoke_all(&mut tx, &former, Actor::HOST).await?;
    if let Some(key) = made {
        manage::record(&mut tx, "api_key.created", &key, Actor::HOST, json!({ "scopes": scopes::ALL })).await?;
    }
    tx.commit().await?;
    app.recent_keys.forget();
    Ok(())
}

/// Says so where the key's user is not who may set the host up. It does not go to another admin: it is theirs.
async fn check_owner(tx: &mut Tx, key: &KeyRow) -> sqlx::Result<()> {
    let owner = db::api_keys::find_live(&mut **tx, &key.prefix).await?;
    if let Some(owner) = owner.filter(|owner| owner.disabled != 0 || Role::parse(&owner.role) != Role::Admin) {
        let state = if owner.disabled == 0 { "no admin any more" } else { "disabled" };
        tracing::warn!("auth.bootstrap_admin_key does not open what admins may: its user is {state}; set another");
    }
    Ok(())
}

async fn remember(tx: &mut Tx, hash: &str) -> sqlx::Result<()> {
    db::state::set(tx, &format!("{USED}{hash}"), b"").await
}

/// Adds the key, which is not on record yet; nothing where its secret can't be used.
async fn make(tx: &mut Tx, secret: NewSecret) -> sqlx::Result<Option<KeyRow>> {
    let used = db::state::get(&mut **tx, &format!("{USED}{}", secret.hash)).await?.is_some();
    if used || db::api_keys::find_live(&mut **tx, &secret.prefix).await?.is_some() {
        tracing::warn!(
            "auth.bootstrap_admin_key was revoked, went with its user or is somebody's key, and opens nothing as it is; \
             set another"
        );
        return Ok(None);
    }
    let Some(user_id) = db::users::first_admin(&mut **tx).await? else {
        tracing::warn!("auth.bootstrap_admin_key opens nothing: there is no admin who may act");
        return Ok(None);
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
        prefix: secret.prefix,
        hash: secret.hash,
    };
    db::api_keys::insert(tx, &row).await?;
    remember(tx, &row.hash).await?;
    Ok(Some(row))
}
