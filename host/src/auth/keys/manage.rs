//! What owners and admins do with keys: make, change, rotate and revoke them.

use serde_json::{Value, json};
use ulid::Ulid;
use unicode_normalization::UnicodeNormalization as _;

use super::NewSecret;
use crate::{
    App,
    audit::{self, Actor, Entry, Outcome},
    auth::{Origin, Principal, Scopes, quota, scopes, users::is_invisible},
    db::{self, Tx, api_keys::KeyRow, now_ms},
    error::{ApiError, FieldError},
    events::{self, Event},
};

/// Most characters of a key's name.
const MAX_NAME: usize = 64;
/// The shortest and the longest life of a key that ends, in seconds.
const LIFE_S: std::ops::RangeInclusive<i64> = 60..=10 * 365 * 24 * 60 * 60;
/// The longest time that a secret works beside its successor, in seconds.
const MAX_OVERLAP_S: i64 = 7 * 24 * 60 * 60;

/// What a key is made from.
pub struct NewKey {
    /// What its owner calls it.
    pub name: String,
    /// What it may be used for.
    pub scopes: Vec<String>,
    /// Seconds that it lives; none: for ever.
    pub expires_in_s: Option<i64>,
}

/// Makes a key for the caller.
///
/// # Errors
/// 422 with the fields that are wrong, 403 `scope_not_held` or `quota_exceeded`.
pub async fn make(
    app: &App,
    principal: &Principal,
    origin: &Origin,
    new: &NewKey,
) -> Result<(KeyRow, NewSecret), ApiError> {
    let now = now_ms();
    let (name, scopes, expires_at) = check(principal, new, now)?;
    let secret = NewSecret::generate().map_err(ApiError::internal)?;
    let row = KeyRow {
        id: Ulid::generate().to_string(),
        user_id: principal.user_id.clone(),
        user_name: principal.name.clone(),
        name,
        scopes: scopes.names().join(" "),
        created_at: now,
        expires_at,
        last_used_at: None,
        revoked_at: None,
        bootstrap: 0,
        prefix: secret.prefix.clone(),
        hash: secret.hash.clone(),
    };
    let mut tx = app.db.write().await?;
    // Of two at once one counts the other.
    db::state::lock(&mut tx, &format!("api_keys.{}", row.user_id)).await?;
    let limit = quota::of(&mut *tx, &app.config.quotas, &row.user_id).await?.api_keys;
    if db::api_keys::count_open(&mut *tx, &row.user_id).await? >= i64::from(limit) {
        return Err(quota::exceeded("API keys", limit));
    }
    db::api_keys::insert(&mut tx, &row).await?;
    let data = json!({ "scopes": scopes.names(), "ends": expires_at.is_some() });
    record(&mut tx, "api_key.created", &row, Actor::principal(principal, origin), data).await?;
    tx.commit().await?;
    Ok((row, secret))
}

/// What a new key has, if it may be made.
fn check(principal: &Principal, new: &NewKey, now: i64) -> Result<(String, Scopes, Option<i64>), ApiError> {
    let mut errors = Vec::new();
    let name = check_name(&new.name).map_err(|error| errors.push(error)).unwrap_or_default();
    let scopes = check_scopes(&new.scopes).map_err(|error| errors.push(error)).unwrap_or_default();
    if new.expires_in_s.is_some_and(|seconds| !LIFE_S.contains(&seconds)) {
        let detail =
            format!("a key lives from {} to {} seconds, or for ever without this field", LIFE_S.start(), LIFE_S.end());
        errors.push(FieldError { field: "expires_in_s".into(), code: "out_of_range".into(), detail });
    }
    if !errors.is_empty() {
        return Err(ApiError::invalid(errors));
    }
    if let Some(scope) = scopes.names().into_iter().find(|scope| !principal.scopes.contains(scope)) {
        let detail = format!("you can't give a key the scope {scope}, which you don't have");
        return Err(ApiError::forbidden("scope_not_held", detail));
    }
    Ok((name, scopes, new.expires_in_s.map(|seconds| now + seconds * 1000)))
}

/// A key's name in normal form C.
fn check_name(text: &str) -> Result<String, FieldError> {
    let invalid =
        |code: &str, detail: &str| Err(FieldError { field: "name".into(), code: code.into(), detail: detail.into() });
    // Normalising costs, so nothing much longer than a name may be gets there.
    if text.len() > 4 * MAX_NAME {
        return invalid("too_long", "the name may have at most 64 characters");
    }
    let name: String = text.nfc().collect();
    match name.chars().count() {
        0 => invalid("too_short", "the key needs a name by which you know it again"),
        n if n > MAX_NAME => invalid("too_long", "the name may have at most 64 characters"),
        _ if name.trim() != name || name.chars().any(is_invisible) => {
            invalid("invalid_characters", "the name may not hold control characters or spaces at its ends")
        }
        _ => Ok(name),
    }
}

fn check_scopes(names: &[String]) -> Result<Scopes, FieldError> {
    let invalid = |code: &str, detail: String| Err(FieldError { field: "scopes".into(), code: code.into(), detail });
    if let Some(unknown) = names.iter().find(|name| !scopes::ALL.contains(&name.as_str())) {
        let unknown: String = unknown.chars().take(MAX_NAME).collect();
        return invalid("unknown_scope", format!("{unknown:?} is no scope; there are {}", scopes::ALL.join(", ")));
    }
    if names.is_empty() {
        return invalid("too_short", format!("name at least one scope of {}", scopes::ALL.join(", ")));
    }
    Ok(names.iter().map(String::as_str).collect())
}

/// What to change about a key; what is none stays.
pub struct KeyChange {
    /// What its owner calls it.
    pub name: Option<String>,
    /// When it ends, Unix milliseconds; `Some(None)`: never.
    pub expires_at: Option<Option<i64>>,
}

/// Changes a key of the caller.
///
/// # Errors
/// 404 `key_not_found`, 409 `api_key_revoked` or `bootstrap_key`, 422 with the fields that are wrong.
pub async fn change(
    app: &App,
    principal: &Principal,
    origin: &Origin,
    id: &str,
    change: &KeyChange,
) -> Result<KeyRow, ApiError> {
    let now = now_ms();
    let mut errors = Vec::new();
    let name = change.name.as_deref().map(check_name).transpose().unwrap_or_else(|error| {
        errors.push(error);
        None
    });
    if let Some(Some(at)) = change.expires_at
        && !(now + 1..=now + LIFE_S.end() * 1000).contains(&at)
    {
        let detail = "a key ends in the future, within ten years, or never (null)".into();
        errors.push(FieldError { field: "expires_at".into(), code: "out_of_range".into(), detail });
    }
    if !errors.is_empty() {
        return Err(ApiError::invalid(errors));
    }
    let mut tx = app.db.write().await?;
    // Two at once would each put back what the other changed.
    db::state::lock(&mut tx, &format!("api_keys.{}", principal.user_id)).await?;
    let before = own_open(&mut tx, principal, id).await?;
    let mut row = before.clone();
    row.name = name.unwrap_or(row.name);
    row.expires_at = change.expires_at.unwrap_or(row.expires_at);
    if (&row.name, row.expires_at) == (&before.name, before.expires_at) {
        return Ok(before);
    }
    db::api_keys::update(&mut tx, &row.id, &row.name, row.expires_at).await?;
    let data = json!({ "renamed": row.name != before.name, "ends": row.expires_at.is_some() });
    record(&mut tx, "api_key.changed", &row, Actor::principal(principal, origin), data).await?;
    tx.commit().await?;
    app.recent_keys.forget();
    Ok(row)
}

/// Gives a key of the caller a new secret; the former works on for a while. Answers when that ends, Unix milliseconds.
///
/// # Errors
/// 404 `key_not_found`, 409 `api_key_revoked`, `api_key_expired` or `bootstrap_key`, 422 for another overlap.
pub async fn rotate(
    app: &App,
    principal: &Principal,
    origin: &Origin,
    id: &str,
    overlap_s: i64,
) -> Result<(KeyRow, NewSecret, i64), ApiError> {
    if !(0..=MAX_OVERLAP_S).contains(&overlap_s) {
        let detail = format!("the former secret works for 0 to {MAX_OVERLAP_S} seconds");
        let error = FieldError { field: "overlap_s".into(), code: "out_of_range".into(), detail };
        return Err(ApiError::invalid(vec![error]));
    }
    let secret = NewSecret::generate().map_err(ApiError::internal)?;
    let mut tx = app.db.write().await?;
    // Two at once would each leave a newest secret.
    db::state::lock(&mut tx, &format!("api_keys.{}", principal.user_id)).await?;
    let mut row = own_open(&mut tx, principal, id).await?;
    let now = now_ms();
    if row.expires_at.is_some_and(|at| at <= now) {
        return Err(ApiError::conflict("api_key_expired", "the key has ended; put its end off first, or make another"));
    }
    let former_end = now + overlap_s * 1000;
    db::api_keys::rotate(&mut tx, &row.id, &secret.prefix, &secret.hash, now, former_end).await?;
    row.prefix.clone_from(&secret.prefix);
    let actor = Actor::principal(principal, origin);
    record(&mut tx, "api_key.rotated", &row, actor, json!({ "overlap_s": overlap_s })).await?;
    tx.commit().await?;
    app.recent_keys.forget();
    Ok((row, secret, former_end))
}

/// Ends a key at once; nothing happens to one that has ended already.
///
/// # Errors
/// When the database fails.
pub async fn revoke(tx: &mut Tx, row: &KeyRow, actor: Actor<'_>) -> sqlx::Result<bool> {
    Ok(revoke_all(tx, std::slice::from_ref(row), actor).await? > 0)
}

/// Ends several keys at once; answers how many had not ended already.
///
/// # Errors
/// When the database fails.
pub async fn revoke_all(tx: &mut Tx, rows: &[KeyRow], actor: Actor<'_>) -> sqlx::Result<usize> {
    // First all the keys, always in one order, and then the records, which take a lock of their own: or two of these could
    // wait for each other.
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    let mut revoked = Vec::new();
    for row in rows {
        if db::api_keys::revoke(tx, &row.id, now_ms()).await? {
            revoked.push(row);
        }
    }
    for row in &revoked {
        record(tx, "api_key.revoked", row, actor.clone(), json!({})).await?;
    }
    Ok(revoked.len())
}

/// A key of the caller that can still be changed.
async fn own_open(tx: &mut Tx, principal: &Principal, id: &str) -> Result<KeyRow, ApiError> {
    let row = db::api_keys::find(&mut **tx, id).await?.filter(|row| row.user_id == principal.user_id);
    let row = row.ok_or_else(not_found)?;
    if row.revoked_at.is_some() {
        return Err(ApiError::conflict("api_key_revoked", "the key was revoked; make another"));
    }
    if row.bootstrap != 0 {
        let detail = "the configuration sets this key; change auth.bootstrap_admin_key and start the host again";
        return Err(ApiError::conflict("bootstrap_key", detail));
    }
    Ok(row)
}

/// 404 for a key that the caller can't know of.
pub fn not_found() -> ApiError {
    ApiError::not_found("key_not_found", "there is no such API key")
}

/// Tells of a change of a key: on record, and to its owner.
pub(super) async fn record(
    tx: &mut Tx,
    action: &str,
    row: &KeyRow,
    actor: Actor<'_>,
    mut data: Value,
) -> sqlx::Result<()> {
    if let Value::Object(data) = &mut data {
        data.insert("key".into(), row.id.clone().into());
        if row.bootstrap != 0 {
            data.insert("bootstrap".into(), true.into());
        }
    }
    let (user, personal) = (Some(row.user_id.as_str()), json!({ "name": row.name }));
    audit::record(tx, Entry { action, outcome: Outcome::Ok, actor, user, data, personal }).await?;
    let data = json!({ "name": row.name, "prefix": row.prefix });
    events::emit(tx, Event { kind: action, subject: Some(&row.id), user, data }).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised_and_bounded() {
        assert_eq!(check_name("Zoe\u{308}'s backup").unwrap(), "Zoë's backup");
        assert_eq!(check_name(&"ö".repeat(64)).unwrap().chars().count(), 64);
        for (name, code) in [
            ("", "too_short"),
            (" ", "invalid_characters"),
            ("a\u{0}", "invalid_characters"),
            ("a\u{202e}b", "invalid_characters"),
            (&"x".repeat(65), "too_long"),
            (&"x".repeat(1_000_000), "too_long"),
        ] {
            assert_eq!(check_name(name).unwrap_err().code, code, "{code}");
        }
    }

    #[test]
    fn unknown_scopes_are_named_beside_the_known() {
        let error = check_scopes(&["profile".into(), "library:delete\n".into()]).unwrap_err();
        assert!(error.detail.contains("\"library:delete\\n\"") && error.detail.contains("library:write"), "{error:?}");
        assert_eq!(check_scopes(&[]).unwrap_err().code, "too_short");
        assert_eq!(check_scopes(&["profile".into(), "profile".into()]).unwrap().names(), ["profile"]);
    }
}
