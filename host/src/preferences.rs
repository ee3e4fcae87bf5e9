//! What users set for themselves: how things look, which language, what they want to hear of, and whether the host
//! remembers what they play. Only what somebody set is stored, so that a better default reaches everybody else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::db::{self, Db, Tx, preferences::PreferencesRow};

/// The longest language tag, in bytes.
const MAX_LANGUAGE: usize = 35;
/// The longest name of a time zone, in bytes.
const MAX_TIME_ZONE: usize = 64;

/// How the interface looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Theme {
    /// As the device is set.
    #[default]
    System,
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

/// A way on which a notification reaches somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// The list of notifications, in every client.
    InApp,
    /// A message of the device's own, also while no client is looked at.
    Push,
}

/// Something of which people may want to hear.
#[derive(Clone, Copy, Debug)]
pub struct EventType {
    /// The event's type, as in the outbox.
    pub name: &'static str,
    /// What it tells, for people.
    pub text: &'static str,
    /// Whether it is listed unless the user says otherwise.
    pub in_app: bool,
    /// Whether the device tells of it unless the user says otherwise.
    pub push: bool,
}

const fn event(name: &'static str, text: &'static str, in_app: bool, push: bool) -> EventType {
    EventType { name, text, in_app, push }
}

/// Every event of which a user can be notified. A type that no part of this build emits yet may be set beforehand.
pub const EVENT_TYPES: &[EventType] = &[
    event("account.auth_required", "An account at a provider needs you to sign in again.", true, true),
    event("account.restricted", "A provider took something away from an account.", true, false),
    event("api_key.created", "An API key was made in your name.", true, true),
    event("api_key.revoked", "An API key of yours was revoked.", true, false),
    event("download.failed", "A download was given up.", true, true),
    event("download.finished", "A download is complete.", true, false),
    event("job.finished", "A background job has ended.", false, false),
    event("library.changed", "Something came into a library, or left it.", false, false),
    event("playlist.changed", "A playlist was changed at its provider.", false, false),
    event("rule.failed", "An automation rule of yours did not work.", true, false),
    event("session.created", "Somebody signed in as you.", true, true),
    event("session.revoked", "A session of yours was ended.", true, false),
    event("show.new_episode", "A show of yours has a new episode.", true, true),
    event("sync.finished", "A library was read.", false, false),
    event("sync.held", "A sync waits, because it would remove a lot.", true, true),
    event("user.updated", "Your profile was changed.", true, false),
    event("webhook.disabled", "A webhook of yours failed so often that it was turned off.", true, false),
];

impl EventType {
    /// The type with this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        EVENT_TYPES.iter().find(|known| known.name == name)
    }

    fn default_of(&self, channel: Channel) -> bool {
        match channel {
            Channel::InApp => self.in_app,
            Channel::Push => self.push,
        }
    }
}

/// What a user set; the rest is as it comes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preferences {
    /// How the interface looks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub theme: Option<Theme>,
    /// A BCP 47 tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// A name of the IANA time zone database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The master switch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notifications_enabled: Option<bool>,
    /// By event type and channel.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub notifications: BTreeMap<String, BTreeMap<Channel, bool>>,
    /// Whether plays are remembered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_history: Option<bool>,
    /// By instance, the account that is meant where several could be.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub default_accounts: BTreeMap<String, String>,
}

impl Preferences {
    /// As they are stored. What can't be read counts as not set.
    pub fn parse(row: Option<&PreferencesRow>) -> Self {
        row.and_then(|row| serde_json::from_str(&row.doc).ok()).unwrap_or_default()
    }

    /// Whether plays are remembered.
    pub fn records_history(&self) -> bool {
        self.record_history.unwrap_or(true)
    }

    /// Whether the master switch is on.
    pub fn notifications_on(&self) -> bool {
        self.notifications_enabled.unwrap_or(true)
    }

    /// What is set for an event and channel, or else what is usual, whatever the master switch says.
    pub fn channel(&self, event: &EventType, channel: Channel) -> bool {
        let set = self.notifications.get(event.name).and_then(|channels| channels.get(&channel));
        set.copied().unwrap_or_else(|| event.default_of(channel))
    }

    /// Whether the user wants to hear of such an event on this channel. The master switch wins over everything; of what
    /// stands in no list nobody is notified.
    pub fn want(&self, event_type: &str, channel: Channel) -> bool {
        self.notifications_on() && EventType::find(event_type).is_some_and(|event| self.channel(event, channel))
    }
}

/// A user's preferences.
///
/// # Errors
/// When the database fails.
pub async fn of(db: &Db, user_id: &str) -> sqlx::Result<Preferences> {
    Ok(Preferences::parse(db::preferences::find(db.read(), user_id).await?.as_ref()))
}

/// Takes an account that is going away out of everybody's preferences.
///
/// # Errors
/// When the database fails.
pub async fn forget_account(tx: &mut Tx, account_id: &str) -> sqlx::Result<()> {
    for user in db::preferences::naming(&mut **tx, account_id).await? {
        lock(tx, &user).await?;
        let Some(mut row) = db::preferences::find(&mut **tx, &user).await? else { continue };
        let mut set = Preferences::parse(Some(&row));
        set.default_accounts.retain(|_, account| account != account_id);
        row.doc = serde_json::to_string(&set).map_err(|e| sqlx::Error::Encode(e.into()))?;
        db::preferences::put(tx, &user, &row).await?;
    }
    Ok(())
}

/// Lets nobody else change a user's preferences until the transaction ends: of two changes at once, each would put back
/// what the other changed.
///
/// # Errors
/// When the database fails.
pub async fn lock(tx: &mut Tx, user_id: &str) -> sqlx::Result<()> {
    db::state::lock(tx, &format!("preferences:{user_id}")).await
}

/// Whether a user wants to hear of such an event on this channel.
///
/// # Errors
/// When the database fails.
pub async fn wants(db: &Db, user_id: &str, event_type: &str, channel: Channel) -> sqlx::Result<bool> {
    Ok(of(db, user_id).await?.want(event_type, channel))
}

/// A language tag in the form that BCP 47 recommends (`pt-BR`, `zh-Hant-TW`); none for what is no tag.
pub fn language(tag: &str) -> Option<String> {
    let parts: Vec<&str> = tag.split('-').collect();
    let sane = |part: &&str| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
    let (first, rest) = parts.split_first()?;
    let primary = (2..=8).contains(&first.len()) && first.bytes().all(|b| b.is_ascii_alphabetic());
    let ends_in_singleton = rest.last().is_some_and(|part| part.len() == 1);
    if tag.len() > MAX_LANGUAGE || !primary || !rest.iter().all(sane) || ends_in_singleton {
        return None;
    }
    let mut private = false;
    let mut out = first.to_ascii_lowercase();
    for part in rest {
        let mut part = part.to_ascii_lowercase();
        // Behind a singleton there are neither scripts nor regions.
        match part.len() {
            1 => private = true,
            2 if !private => part.make_ascii_uppercase(),
            4 if !private && part.bytes().all(|b| b.is_ascii_alphabetic()) => part[..1].make_ascii_uppercase(),
            _ => {}
        }
        out.push('-');
        out.push_str(&part);
    }
    Some(out)
}

/// Whether a text has the form of a name in the IANA time zone database, such as `Europe/Lisbon`. Which of them there are
/// is for clients to know: they show the times.
pub fn is_time_zone(name: &str) -> bool {
    let part = |part: &str| {
        part.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+'))
    };
    name.len() <= MAX_TIME_ZONE && (1..=3).contains(&name.split('/').count()) && name.split('/').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_master_switch_wins_over_everything() {
        let mut set = Preferences::default();
        assert!(set.want("download.failed", Channel::Push), "by default");
        assert!(!set.want("sync.finished", Channel::InApp), "by default");
        set.notifications.insert("sync.finished".into(), [(Channel::InApp, true)].into());
        set.notifications.insert("download.failed".into(), [(Channel::Push, false)].into());
        assert!(set.want("sync.finished", Channel::InApp) && !set.want("sync.finished", Channel::Push));
        assert!(!set.want("download.failed", Channel::Push) && set.want("download.failed", Channel::InApp));
        set.notifications_enabled = Some(false);
        for event in EVENT_TYPES {
            assert!(!set.want(event.name, Channel::InApp) && !set.want(event.name, Channel::Push), "{}", event.name);
        }
        set.notifications_enabled = Some(true);
        assert!(set.want("sync.finished", Channel::InApp));
        assert!(!set.want("no.such_event", Channel::InApp));
    }

    #[test]
    fn event_types_are_sorted_and_explained() {
        assert!(EVENT_TYPES.is_sorted_by(|a, b| a.name < b.name), "and none stands twice");
        assert!(EVENT_TYPES.iter().all(|event| event.text.ends_with('.') && event.text.len() > 10));
    }

    #[test]
    fn language_tags_are_brought_into_one_form() {
        for (tag, wanted) in [
            ("en", "en"),
            ("PT-br", "pt-BR"),
            ("zh-hant-tw", "zh-Hant-TW"),
            ("sl-rozaj-biske", "sl-rozaj-biske"),
            ("de-CH-1996", "de-CH-1996"),
            ("en-a-BBB-x-CC", "en-a-bbb-x-cc"),
        ] {
            assert_eq!(language(tag).as_deref(), Some(wanted), "{tag}");
        }
        for tag in
            ["", "e", "-", "en-", "en_US", "en-toolongsub", "1234", "en--US", "en-x", "é", "en-\0", &"a-".repeat(20)]
        {
            assert_eq!(language(tag), None, "{tag:?}");
        }
    }

    #[test]
    fn time_zones_have_the_form_of_names() {
        for name in ["UTC", "Europe/Lisbon", "America/Argentina/Buenos_Aires", "Etc/GMT+3", "America/Port-au-Prince"] {
            assert!(is_time_zone(name), "{name}");
        }
        for name in ["", "/", "Europe/", "../etc/passwd", "Europe/Lis bon", "a/b/c/d", "+01:00", &"A".repeat(65)] {
            assert!(!is_time_zone(name), "{name:?}");
        }
    }
}
