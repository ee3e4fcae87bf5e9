//! Which files may be loaded: bundled ones by their list, others by the first hash seen.

use serde_json::json;

use super::{
    library::Found,
    refusal::{Code, Refusal},
};
use crate::{
    audit::{self, Actor, Entry, Outcome},
    db::{
        Db,
        plugin_trust::{self, Trusted},
    },
    events::{self, Event},
};

/// Lets a file be loaded for an instance that the configuration enables.
///
/// # Errors
/// `hash_changed` where another hash of this plugin is trusted.
pub(super) async fn check(db: &Db, found: &Found, plugin: &str, instance: &str) -> Result<(), Refusal> {
    if found.bundled {
        return Ok(());
    }
    let failed = |e: sqlx::Error| Refusal::new(Code::HostFailed, format!("the trusted hash cannot be read: {e}"));
    let trusted = match plugin_trust::find(db.read(), plugin).await.map_err(failed)? {
        Some(trusted) => trusted,
        None => first(db, found, plugin, instance).await.map_err(failed)?,
    };
    if trusted.sha256 == found.sha256 {
        return Ok(());
    }
    let detail = format!("{} is not the file that was trusted first", found.path.display());
    Err(Refusal::new(Code::HashChanged, detail))
}

/// Trusts the first hash seen.
async fn first(db: &Db, found: &Found, plugin: &str, instance: &str) -> sqlx::Result<Trusted> {
    let trusted = Trusted {
        plugin: plugin.to_owned(),
        file: found.file_name(),
        sha256: found.sha256.clone(),
        approved_by: "config".into(),
    };
    let mut tx = db.write().await?;
    if plugin_trust::trust_first(&mut tx, &trusted).await? {
        put_on_record(&mut tx, &trusted, Some(instance), Actor::HOST).await?;
        tracing::info!("the plugin {plugin} is trusted from now on with the hash {}", trusted.sha256);
    }
    // Another instance, or another node, may have been first.
    let trusted = plugin_trust::find(&mut *tx, plugin).await?.unwrap_or(trusted);
    tx.commit().await?;
    Ok(trusted)
}

/// Trusts a hash in place of the one before.
pub async fn approve(db: &Db, found: &Found, plugin: &str) -> sqlx::Result<()> {
    let trusted = Trusted {
        plugin: plugin.to_owned(),
        file: found.file_name(),
        sha256: found.sha256.clone(),
        approved_by: "cli".into(),
    };
    let mut tx = db.write().await?;
    plugin_trust::approve(&mut tx, &trusted).await?;
    put_on_record(&mut tx, &trusted, None, Actor::COMMAND).await?;
    tx.commit().await
}

async fn put_on_record(
    tx: &mut crate::db::Tx,
    trusted: &Trusted,
    instance: Option<&str>,
    actor: Actor<'_>,
) -> sqlx::Result<()> {
    let data = json!({
        "plugin": trusted.plugin,
        "file": trusted.file,
        "sha256": trusted.sha256,
        "approved_by": trusted.approved_by,
        "instance": instance,
    });
    let (outcome, personal) = (Outcome::Ok, json!({}));
    let entry = Entry { action: "plugin.trusted", outcome, actor, user: None, data: data.clone(), personal };
    audit::record(tx, entry).await?;
    let event = Event { kind: "plugin.trusted", subject: Some(&trusted.plugin), user: None, data };
    events::emit(tx, event).await.map(drop)
}
