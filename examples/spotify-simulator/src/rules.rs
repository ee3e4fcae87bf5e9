//! Misbehaviour on demand: which requests are hit, and by what.

use std::collections::BTreeMap;

use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{change::Change, random::Random};

/// Which requests are hit, and by what.
///
/// ```json
/// {"method": "GET", "path": "^/v1/me/tracks", "page": 37, "effects": [{"effect": "too_many_requests", "retry_after": "2"}]}
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Only this method, such as `GET`.
    #[serde(default)]
    pub method: Option<String>,
    /// A regular expression over the path and the query, such as `^/v1/me/tracks\?.*offset=0`.
    pub path: String,
    /// Only this page of a list, from 1, by the request's `limit` and `offset`.
    #[serde(default)]
    pub page: Option<usize>,
    /// So many fitting requests are let through first.
    #[serde(default)]
    pub skip: usize,
    /// Of those after, only each so-manieth.
    #[serde(default = "one")]
    pub every: usize,
    /// How many requests are hit; 0 means all.
    #[serde(default = "one")]
    pub times: usize,
    /// What happens, in this order.
    pub effects: Vec<Effect>,
}

fn one() -> usize {
    1
}

impl Rule {
    /// A rule for the next request with a method whose path and query fit a regular expression.
    pub fn new(method: &str, path: &str, effect: Effect) -> Self {
        let method = (!method.is_empty()).then(|| method.to_owned());
        Self { method, path: path.to_owned(), page: None, skip: 0, every: 1, times: 1, effects: vec![effect] }
    }

    /// Only for one page of a list, from 1.
    #[must_use]
    pub fn page(mut self, page: usize) -> Self {
        self.page = Some(page);
        self
    }

    /// After so many fitting requests.
    #[must_use]
    pub fn skip(mut self, skip: usize) -> Self {
        self.skip = skip;
        self
    }

    /// So often; 0 means always.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    /// With one more effect.
    #[must_use]
    pub fn and(mut self, effect: Effect) -> Self {
        self.effects.push(effect);
        self
    }
}

/// What happens to a request or its answer. Rows are those of the list in the answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// The answer comes late.
    Latency {
        /// Milliseconds.
        ms: u64,
    },
    /// Another answer, and nothing is done.
    Reply {
        /// HTTP status.
        status: u16,
        /// Headers of the answer.
        #[serde(default)]
        headers: BTreeMap<String, String>,
        /// The body as it is.
        #[serde(default)]
        body: String,
    },
    /// 429 of the rate limit.
    TooManyRequests {
        /// The header `Retry-After`, where it is sent.
        #[serde(default)]
        retry_after: Option<String>,
    },
    /// 429 of the day's quota, with its reason.
    QuotaExceeded {
        /// The header `Retry-After`, in seconds.
        retry_after_s: u64,
    },
    /// The 401 that valid tokens get now and then.
    TokenMissing,
    /// One of the five meanings of 403.
    Forbidden {
        /// Which one.
        why: Forbidden,
    },
    /// A page of the edge instead of an answer.
    Html {
        /// HTTP status, such as 502.
        status: u16,
    },
    /// The accounts service refuses the code or token.
    InvalidGrant,
    /// The answer ends early.
    Truncate {
        /// What is left of it.
        bytes: usize,
        /// The connection breaks there; else the answer only looks complete.
        #[serde(default)]
        break_connection: bool,
    },
    /// The connection closes without an answer, before anything is done.
    Refuse,
    /// Everything is done, and the connection closes without an answer.
    Drop,
    /// Rows become `null`.
    NullRows {
        /// Their positions on the page.
        at: Vec<usize>,
    },
    /// The content of rows becomes `null`.
    NullItems {
        /// Their positions on the page.
        at: Vec<usize>,
    },
    /// The episode of rows becomes one whose fields are all empty.
    GhostEpisodes {
        /// Their positions on the page.
        at: Vec<usize>,
    },
    /// Rows of a playlist carry their content twice, as `item` and as `track`.
    BothKeys,
    /// `next` names another address.
    Next {
        /// Which one.
        url: String,
    },
    /// The total is another one than there is.
    Total {
        /// The difference.
        by: i64,
    },
    /// Fewer rows than were asked for, and the answer says so.
    EchoLimit {
        /// The limit that is used instead.
        limit: usize,
    },
    /// A value in the answer becomes another one.
    Set {
        /// A JSON pointer, such as `/items/3/track/duration_ms`.
        pointer: String,
        /// The new value.
        value: Value,
    },
    /// A member of the answer is left out.
    Remove {
        /// A JSON pointer.
        pointer: String,
    },
    /// The answer tells the snapshot before the current one.
    OldSnapshot,
    /// The answer tells a snapshot that nobody has seen.
    UnknownSnapshot,
    /// Something changes before the request is looked at.
    Change(Change),
}

/// Why the Web API says 403.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forbidden {
    /// The owner of the app has no Premium (plain text).
    Premium,
    /// The user is not on the app's list (plain text).
    NotRegistered,
    /// The token lacks a scope (JSON).
    Scope,
    /// The playlist is somebody else's (JSON).
    NotOwner,
    /// The endpoint is gone for apps in development mode (empty).
    Removed,
}

/// A rule at work.
pub(crate) struct Armed {
    pub(crate) rule: Rule,
    path: Regex,
    /// Fitting requests so far.
    pub(crate) seen: usize,
    /// Requests that were hit.
    pub(crate) hits: usize,
}

impl Armed {
    pub(crate) fn new(rule: Rule) -> Result<Self, regex::Error> {
        Ok(Self { path: Regex::new(&rule.path)?, rule, seen: 0, hits: 0 })
    }

    /// The effects on a request, which is counted.
    pub(crate) fn hit(&mut self, method: &str, path_and_query: &str, page: usize) -> Option<Vec<Effect>> {
        let rule = &self.rule;
        let fits = rule.method.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && rule.page.is_none_or(|wanted| wanted == page)
            && self.path.is_match(path_and_query);
        if !fits {
            return None;
        }
        self.seen += 1;
        let after = self.seen.checked_sub(rule.skip + 1)?;
        let spent = rule.times > 0 && self.hits >= rule.times;
        if spent || !after.is_multiple_of(rule.every.max(1)) {
            return None;
        }
        self.hits += 1;
        Some(rule.effects.clone())
    }
}

/// The rows of the list in an answer: of a page, a playlist, or a page with a name around it.
fn rows(value: &mut Value) -> Option<&mut Vec<Value>> {
    let object = value.as_object_mut()?;
    let name = ["items", "tracks"].into_iter().find(|name| object.contains_key(*name));
    match name {
        Some(name) if object[name].is_array() => object[name].as_array_mut(),
        Some(name) => object[name].get_mut("items")?.as_array_mut(),
        None => object.values_mut().find_map(|inner| inner.get_mut("items")?.as_array_mut()),
    }
}

fn at(value: &mut Value, positions: &[usize], change: impl Fn(&mut Value)) {
    let Some(rows) = rows(value) else { return };
    positions.iter().for_each(|at| rows.get_mut(*at).into_iter().for_each(&change));
}

const CONTENT: [&str; 5] = ["item", "track", "album", "episode", "show"];

/// What a row holds, under whatever names.
fn contents(row: &mut Value) -> impl Iterator<Item = &mut Value> {
    let members = row.as_object_mut().into_iter().flatten();
    members
        .filter(|(name, content)| CONTENT.contains(&name.as_str()) && !content.is_boolean())
        .map(|(_, content)| content)
}

/// Changes the JSON of an answer.
pub(crate) fn edit(value: &mut Value, effect: &Effect, old_snapshot: Option<&str>) {
    match effect {
        Effect::NullRows { at: positions } => at(value, positions, |row| *row = Value::Null),
        Effect::NullItems { at: positions } => {
            at(value, positions, |row| contents(row).for_each(|content| *content = Value::Null));
        }
        Effect::GhostEpisodes { at: positions } => at(value, positions, |row| contents(row).for_each(ghost)),
        Effect::BothKeys => rows(value).into_iter().flatten().for_each(|row| {
            let found = row.get("item").or_else(|| row.get("track")).cloned();
            if let Some(found) = found {
                row["item"] = found.clone();
                row["track"] = found;
            }
        }),
        Effect::Next { url } => set(value, "next", |next| *next = Value::String(url.clone())),
        Effect::Total { by } => set(value, "total", |total| *total = (total.as_i64().unwrap_or_default() + by).into()),
        Effect::Set { pointer, value: new } => {
            if let Some((parent, name)) = pointer.rsplit_once('/')
                && let Some(parent) = value.pointer_mut(parent)
            {
                match parent {
                    Value::Object(parent) => _ = parent.insert(name.to_owned(), new.clone()),
                    Value::Array(parent) => {
                        name.parse()
                            .ok()
                            .and_then(|n: usize| parent.get_mut(n))
                            .into_iter()
                            .for_each(|v| *v = new.clone());
                    }
                    _ => {}
                }
            }
        }
        Effect::Remove { pointer } => {
            if let Some((parent, name)) = pointer.rsplit_once('/')
                && let Some(parent) = value.pointer_mut(parent).and_then(Value::as_object_mut)
            {
                parent.remove(name);
            }
        }
        Effect::OldSnapshot => {
            if let (Some(old), true) = (old_snapshot, value.get("snapshot_id").is_some()) {
                value["snapshot_id"] = old.into();
            }
        }
        Effect::UnknownSnapshot if value.get("snapshot_id").is_some() => {
            let text = value["snapshot_id"].to_string();
            value["snapshot_id"] = format!("MTc{}", crate::random::base62(&mut Random::new(7, &text, 0), 42)).into();
        }
        _ => {}
    }
}

/// Changes a member of the page, wherever it is.
fn set(value: &mut Value, name: &str, change: impl Fn(&mut Value)) {
    if let Some(member) = value.get_mut(name) {
        change(member);
    } else if let Some(object) = value.as_object_mut() {
        object.values_mut().filter_map(|inner| inner.get_mut(name)).for_each(change);
    }
}

fn ghost(episode: &mut Value) {
    if let Some(object) = episode.as_object_mut() {
        object.values_mut().for_each(|value| *value = Value::Null);
        object.remove("is_playable");
        object.insert("release_date".into(), "0000".into());
        object.insert("type".into(), "episode".into());
    }
}
