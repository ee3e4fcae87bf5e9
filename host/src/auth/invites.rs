//! Invitations: codes that are good for one registration.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sqlx::any::AnyExecutor;

use super::sessions::hash;
use crate::{
    audit::{self, Actor, Entry, Outcome},
    db::{self, Tx, invites::Invite, now_ms},
    error::ApiError,
    events::{self, Event},
    secrets::{SecretsError, random},
};

/// In front of every code, so that one is known by its looks.
const PREFIX: &str = "zti_";
/// Characters of a code: the prefix, and 32 random bytes in base64.
const LENGTH: usize = PREFIX.len() + 43;

/// A new code and what is stored of it.
///
/// # Errors
/// When the system gives no random bytes.
pub fn generate() -> Result<(String, String), SecretsError> {
    let code = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random::<32>()?));
    let hash = hash(&code);
    Ok((code, hash))
}

/// The open invitation with this code.
///
/// # Errors
/// 403 `invite_invalid`, `invite_used` or `invite_expired`, or when the database fails.
pub async fn find_open(db: impl AnyExecutor<'_>, code: &SecretString) -> Result<Invite, ApiError> {
    let code = code.expose_secret();
    let invalid = || ApiError::forbidden("invite_invalid", "there is no such invitation; ask an admin for one");
    if code.len() != LENGTH || !code.starts_with(PREFIX) {
        return Err(invalid());
    }
    let invite = db::invites::find_by_hash(db, &hash(code)).await?.ok_or_else(invalid)?;
    if invite.used_at.is_some() {
        return Err(ApiError::forbidden("invite_used", "somebody has used this invitation; ask an admin for another"));
    }
    if invite.expires_at <= now_ms() {
        return Err(ApiError::forbidden("invite_expired", "this invitation has ended; ask an admin for another"));
    }
    Ok(invite)
}

/// Uses an invitation up, in the transaction that makes the user.
///
/// # Errors
/// As [`find_open`]; of several at once all but one get them.
pub async fn take(tx: &mut Tx, code: &SecretString) -> Result<Invite, ApiError> {
    match db::invites::take(tx, &hash(code.expose_secret()), now_ms()).await? {
        Some(invite) => Ok(invite),
        None => Err(match find_open(&mut **tx, code).await {
            Err(error) => error,
            Ok(_) => ApiError::conflict("invite_busy", "this invitation is being used; try again"),
        }),
    }
}

/// Notes who used an invitation, with the event and the entry in the audit log.
///
/// # Errors
/// When the database fails.
pub async fn used(tx: &mut Tx, invite: &Invite, user_id: &str, actor: Actor<'_>) -> sqlx::Result<()> {
    db::invites::set_user(tx, &invite.id, user_id).await?;
    let data = json!({ "role": invite.role });
    events::emit(tx, Event { kind: "invite.used", subject: Some(&invite.id), user: None, data }).await?;
    record(tx, "invite.used", &invite.id, &invite.role, Some(user_id), actor).await
}

/// Puts on record what was done with an invitation.
///
/// # Errors
/// When the database fails.
pub async fn record(
    tx: &mut Tx,
    action: &str,
    id: &str,
    role: &str,
    user: Option<&str>,
    actor: Actor<'_>,
) -> sqlx::Result<()> {
    let data = json!({ "invite": id, "role": role });
    audit::record(tx, Entry { action, outcome: Outcome::Ok, actor, user, data, personal: json!({}) }).await
}
