//! `/api/user/preferences`: what the caller set for themselves.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::extract::{Json, present};
use crate::{
    AppState,
    accounts::Account,
    auth::Principal,
    db::{self, now_ms},
    error::{ApiError, ApiResult, FieldError},
    events::{self, Event},
    preferences::{self, Channel, EVENT_TYPES, EventType, Preferences, Theme, is_time_zone, language},
};

/// The caller's preferences, with the usual where nothing is set.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PreferencesDoc {
    /// How the interface looks.
    theme: Theme,
    /// The language, a BCP 47 tag.
    #[schema(example = "pt-BR")]
    language: String,
    /// The time zone in which times are shown.
    #[schema(example = "Europe/Lisbon")]
    time_zone: String,
    /// The master switch: while it is off, nothing is notified on any channel.
    notifications_enabled: bool,
    /// What is notified on which channel, by event type. Every type that can be set is named.
    notifications: BTreeMap<String, Channels>,
    /// Whether plays are remembered. While it is off, none is added, neither by clients nor from providers.
    record_history: bool,
    /// By provider, the account that is meant where several of the caller's could be.
    #[schema(example = json!({"spotify": "01K9Z3N8Q4V6XJ2M7R5T0WYBCD"}))]
    default_accounts: BTreeMap<String, String>,
}

/// On which channels an event is notified.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Channels {
    /// The list of notifications, in every client.
    in_app: bool,
    /// A message of the device's own, also while no client is looked at.
    push: bool,
}

impl From<Preferences> for PreferencesDoc {
    fn from(set: Preferences) -> Self {
        let channels = |event: &EventType| Channels {
            in_app: set.channel(event, Channel::InApp),
            push: set.channel(event, Channel::Push),
        };
        Self {
            theme: set.theme.unwrap_or_default(),
            notifications_enabled: set.notifications_on(),
            notifications: EVENT_TYPES.iter().map(|event| (event.name.to_owned(), channels(event))).collect(),
            record_history: set.records_history(),
            default_accounts: set.default_accounts,
            language: set.language.unwrap_or_else(|| "en".into()),
            time_zone: set.time_zone.unwrap_or_else(|| "UTC".into()),
        }
    }
}

/// By event type and channel; null takes back what was set.
type ChannelPatch = BTreeMap<String, Option<BTreeMap<Channel, Option<bool>>>>;

/// By provider; null takes back what was set.
type AccountPatch = BTreeMap<String, Option<String>>;

/// A JSON Merge Patch (RFC 7396): what is not named stays, null is the usual again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PreferencesPatch {
    /// `system`, `light` or `dark`.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Theme>)]
    theme: Option<Option<Theme>>,
    /// A BCP 47 tag of at most 35 bytes.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, max_length = 35, example = "pt-BR")]
    language: Option<Option<String>>,
    /// A name of the IANA time zone database.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, max_length = 64, example = "Europe/Lisbon")]
    time_zone: Option<Option<String>>,
    /// The master switch.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<bool>)]
    notifications_enabled: Option<Option<bool>>,
    /// By event type and channel: `{"download.finished": {"push": true}}`.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<BTreeMap<String, BTreeMap<String, bool>>>)]
    notifications: Option<Option<ChannelPatch>>,
    /// Whether plays are remembered.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<bool>)]
    record_history: Option<Option<bool>>,
    /// By provider, the id of an account there: `{"spotify": "01K9…"}`.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    default_accounts: Option<Option<AccountPatch>>,
}

impl PreferencesPatch {
    /// Puts what is named over what is set. `accounts` are those that the user sees.
    fn apply(self, set: &mut Preferences, accounts: &[Account]) -> Result<(), ApiError> {
        let mut errors = Vec::new();
        let mut wrong = |field: String, detail: &str| {
            errors.push(FieldError { field, code: "invalid".into(), detail: detail.into() });
        };
        if let Some(theme) = self.theme {
            set.theme = theme;
        }
        if let Some(tag) = self.language {
            let known = tag.as_deref().map(language);
            if known == Some(None) {
                wrong("language".into(), "this is no BCP 47 language tag, such as en or pt-BR");
            }
            set.language = known.flatten();
        }
        if let Some(name) = self.time_zone {
            if name.as_deref().is_some_and(|name| !is_time_zone(name)) {
                wrong("time_zone".into(), "this is no name of a time zone, such as Europe/Lisbon");
            }
            set.time_zone = name;
        }
        if let Some(on) = self.notifications_enabled {
            set.notifications_enabled = on;
        }
        match self.notifications {
            Some(Some(patch)) => {
                // Nothing that somebody sends is repeated at length.
                for name in patch.keys().filter(|name| EventType::find(name).is_none()) {
                    wrong(format!("notifications.{name:.64}"), "there is no such type of event to be notified of");
                }
                merge(&mut set.notifications, patch);
            }
            Some(None) => set.notifications.clear(),
            None => {}
        }
        if let Some(on) = self.record_history {
            set.record_history = on;
        }
        match self.default_accounts {
            Some(Some(patch)) => {
                for (provider, account) in patch {
                    let known = |id: &str| accounts.iter().any(|known| known.id == id && known.instance == provider);
                    match account {
                        Some(id) if known(&id) => drop(set.default_accounts.insert(provider, id)),
                        Some(_) => {
                            wrong(
                                format!("default_accounts.{provider:.64}"),
                                "you have no such account at this provider",
                            );
                        }
                        None => drop(set.default_accounts.remove(&provider)),
                    }
                }
            }
            Some(None) => set.default_accounts.clear(),
            None => {}
        }
        if errors.is_empty() {
            return Ok(());
        }
        errors.truncate(100);
        Err(ApiError::invalid(errors))
    }
}

fn merge(set: &mut BTreeMap<String, BTreeMap<Channel, bool>>, patch: ChannelPatch) {
    for (event, channels) in patch {
        let Some(channels) = channels else {
            set.remove(&event);
            continue;
        };
        let known = set.entry(event).or_default();
        for (channel, on) in channels {
            match on {
                Some(on) => known.insert(channel, on),
                None => known.remove(&channel),
            };
        }
    }
    set.retain(|_, channels| !channels.is_empty());
}

/// The caller's preferences.
///
/// # Errors
/// 401 without a valid credential.
#[utoipa::path(
    get, path = "/api/user/preferences", operation_id = "get_preferences", tag = "User",
    responses((status = 200, description = "The preferences, with the usual where nothing is set.", body = PreferencesDoc)),
    security(("bearer" = ["profile"]), ("api_key" = ["profile"]))
)]
pub async fn get_preferences(State(app): State<AppState>, principal: Principal) -> ApiResult<Json<PreferencesDoc>> {
    principal.require("profile")?;
    let row = db::preferences::find(app.db.read(), &principal.user_id).await?;
    Ok(Json(Preferences::parse(row.as_ref()).into()))
}

/// Changes the caller's preferences.
///
/// # Errors
/// 422 `invalid_body`, or `validation_failed` with the fields that are wrong.
#[utoipa::path(
    patch, path = "/api/user/preferences", operation_id = "update_preferences", tag = "User",
    request_body = PreferencesPatch,
    responses((status = 200, description = "The preferences as they are now.", body = PreferencesDoc)),
    security(("bearer" = ["profile"]), ("api_key" = ["profile"]))
)]
pub async fn update_preferences(
    State(app): State<AppState>,
    principal: Principal,
    Json(patch): Json<PreferencesPatch>,
) -> ApiResult<Json<PreferencesDoc>> {
    principal.require("profile")?;
    let user = principal.user_id.as_str();
    let mut tx = app.db.write().await?;
    preferences::lock(&mut tx, user).await?;
    let row = db::preferences::find(&mut *tx, user).await?;
    let before = Preferences::parse(row.as_ref());
    let mut set = before.clone();
    patch.apply(&mut set, &db::accounts::visible(&mut *tx, user).await?)?;
    if set != before {
        let mut row = row.unwrap_or_default();
        if set.records_history() && !before.records_history() {
            row.history_since = Some(now_ms());
        }
        row.doc = serde_json::to_string(&set).map_err(ApiError::internal)?;
        db::preferences::put(&mut tx, user, &row).await?;
        let kind = "user.preferences_changed";
        events::emit(&mut tx, Event { kind, subject: Some(user), user: Some(user), data: json!({}) }).await?;
    }
    tx.commit().await?;
    app.recent_accounts.forget();
    Ok(Json(set.into()))
}
