//! The handlers, one file per resource, with their request and response types.

pub mod accounts;
pub mod admin;
pub mod artwork;
pub mod auth;
pub mod children;
pub mod extract;
pub mod history;
pub mod items;
pub mod jobs;
pub mod keys;
pub mod library;
pub mod liked;
pub mod media;
pub mod meta;
pub mod model;
pub mod page;
pub mod playlists;
pub mod positions;
pub mod preferences;
pub mod privacy;
pub mod providers;
pub mod raw;
pub mod resolve;
pub mod search;
pub mod sync;
pub mod user;

/// A time in Unix milliseconds as clients see it: RFC 3339 UTC, to the millisecond.
pub fn rfc3339(ms: i64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(ms).unwrap_or(chrono::DateTime::<chrono::Utc>::MAX_UTC);
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}
