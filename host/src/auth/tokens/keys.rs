//! The keys that sign access tokens. The newest signs; former ones still verify, until the last token of theirs has ended.

use std::time::Duration;

use jsonwebtoken::{DecodingKey, EncodingKey};
use serde_json::json;
use ulid::Ulid;

use crate::{
    App, AppState,
    audit::{self, Actor, Entry, Outcome},
    db::{self, Db, Tx, now_ms, signing_keys::SealedKey},
    secrets::{Secrets, SecretsError, random},
};

/// As it stands in the database and in tokens.
pub(super) const ALGORITHM: &str = "HS256";
/// Held by who changes the keys.
pub(super) const LOCK: &str = "auth.keys";
/// How often a node looks whether keys were made, revoked or have grown old.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long a former key stays, in milliseconds: a token lives for a day at most, and a node may sign with a key for some
/// seconds after another made a new one.
const KEEP_FORMER: i64 = 25 * 60 * 60 * 1000;
const DAY: i64 = 24 * 60 * 60 * 1000;

/// A key, opened.
pub(super) struct Key {
    pub(super) kid: String,
    pub(super) encoding: EncodingKey,
    pub(super) decoding: DecodingKey,
}

impl Key {
    pub(super) fn new(kid: String, secret: &[u8]) -> Self {
        Self { kid, encoding: EncodingKey::from_secret(secret), decoding: DecodingKey::from_secret(secret) }
    }
}

/// All keys.
pub(super) struct Keys {
    /// The newest, which signs.
    pub(super) current: Key,
    pub(super) former: Vec<Key>,
}

impl Keys {
    /// Opens keys, newest first.
    pub(super) fn open(secrets: &Secrets, rows: Vec<SealedKey>) -> Result<Self, SecretsError> {
        let mut keys = rows.into_iter().map(|row| {
            let secret = secrets.open(&context(&row.kid), &row.sealed)?;
            Ok::<_, SecretsError>(Key::new(row.kid, &secret))
        });
        let current = keys.next().ok_or(SecretsError::Damaged)??;
        Ok(Self { current, former: keys.collect::<Result<_, _>>()? })
    }

    fn all(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.current).chain(&self.former)
    }

    pub(super) fn find(&self, kid: &str) -> Option<&Key> {
        self.all().find(|key| key.kid == kid)
    }

    /// Whether these are the keys of the rows.
    pub(super) fn are(&self, rows: &[SealedKey]) -> bool {
        self.all().map(|key| &key.kid).eq(rows.iter().map(|row| &row.kid))
    }
}

pub(crate) fn context(kid: &str) -> String {
    format!("signing_keys:{kid}")
}

/// Adds a key that is newer than all others.
pub(super) async fn add(tx: &mut Tx, secrets: &Secrets) -> Result<String, SecretsError> {
    let newest = db::signing_keys::list(&mut **tx, ALGORITHM).await?.first().map_or(0, |row| row.created_at);
    let kid = Ulid::generate().to_string();
    let sealed = secrets.seal(&context(&kid), &random::<32>()?)?;
    // Clocks of nodes differ; the order of the keys may not.
    let row = SealedKey { kid: kid.clone(), sealed, created_at: now_ms().max(newest + 1) };
    db::signing_keys::insert(tx, ALGORITHM, &row).await?;
    Ok(kid)
}

/// Makes a new key, by which tokens are signed from now on; other nodes know within seconds. Former keys are good for the
/// tokens that they signed, or are revoked with those: clients refresh them. Answers the new key's id.
///
/// # Errors
/// When sealing or the database fails.
pub async fn rotate(db: &Db, secrets: &Secrets, revoke_former: bool, actor: Actor<'_>) -> Result<String, SecretsError> {
    let mut tx = db.write().await?;
    db::state::lock(&mut tx, LOCK).await?;
    let kid = rotate_in(&mut tx, secrets, revoke_former, actor).await?;
    tx.commit().await?;
    Ok(kid)
}

async fn rotate_in(
    tx: &mut Tx,
    secrets: &Secrets,
    revoke_former: bool,
    actor: Actor<'_>,
) -> Result<String, SecretsError> {
    let former = db::signing_keys::list(&mut **tx, ALGORITHM).await?;
    if revoke_former {
        for row in &former {
            db::signing_keys::remove(tx, &row.kid).await?;
        }
    }
    let kid = add(tx, secrets).await?;
    let data = json!({ "key": kid, "former_revoked": revoke_former });
    let entry =
        Entry { action: "signing_key.rotated", outcome: Outcome::Ok, actor, user: None, data, personal: json!({}) };
    audit::record(tx, entry).await?;
    Ok(kid)
}

/// Follows the keys in the database, makes a new one when the newest is old and removes those that no token needs, until
/// the host stops.
pub fn start(app: &AppState) {
    let app = app.clone();
    app.tasks.clone().spawn(async move {
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while app.shutdown.run_until_cancelled(tick.tick()).await.is_some() {
            if let Err(error) = keep(&app).await {
                tracing::warn!("the keys that sign access tokens cannot be looked after: {error}");
            }
        }
    });
}

/// One look at the keys.
///
/// # Errors
/// When a key can't be opened or the database fails.
pub async fn keep(app: &App) -> Result<(), SecretsError> {
    let rows = db::signing_keys::list(app.db.read(), ALGORITHM).await?;
    let days = i64::try_from(app.config.auth.signing_key_days).unwrap_or(i64::MAX);
    let is_old =
        |rows: &[SealedKey]| rows.first().is_none_or(|row| row.created_at + days.saturating_mul(DAY) <= now_ms());
    if is_old(&rows) || !outlived(&rows).is_empty() {
        let mut tx = app.db.write().await?;
        db::state::lock(&mut tx, LOCK).await?;
        // Another node may have been faster.
        let rows = db::signing_keys::list(&mut *tx, ALGORITHM).await?;
        for kid in outlived(&rows) {
            db::signing_keys::remove(&mut tx, kid).await?;
        }
        if is_old(&rows) {
            rotate_in(&mut tx, &app.secrets, false, Actor::HOST).await?;
        }
        tx.commit().await?;
    }
    app.tokens.reload(&app.db, &app.secrets).await
}

/// The keys, newest first, whose successor is so old that no token of theirs is left.
fn outlived(rows: &[SealedKey]) -> Vec<&str> {
    let pairs = rows.windows(2).filter_map(|pair| Some((pair.first()?, pair.last()?)));
    let old = pairs.filter(|(successor, _)| successor.created_at + KEEP_FORMER <= now_ms());
    old.map(|(_, row)| row.kid.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_when_its_successor_is_older_than_any_token() {
        let row = |kid: &str, age: i64| SealedKey { kid: kid.into(), sealed: Vec::new(), created_at: now_ms() - age };
        let rows = [row("d", 0), row("c", KEEP_FORMER - 1000), row("b", KEEP_FORMER + 1000), row("a", 99 * DAY)];
        assert_eq!(outlived(&rows), ["a"]);
        assert!(outlived(&[row("a", 99 * DAY)]).is_empty());
        assert!(outlived(&[]).is_empty());
    }
}
