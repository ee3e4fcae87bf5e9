//! Which columns belong to a user, and where each is in the export. A test compares it with the database's schema, so that
//! no new table is forgotten.

/// Where a column that belongs to a user is in the export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// In the section of this name.
    In(&'static str),
    /// Not there, and why.
    Not(&'static str),
}

use Held::{In, Not};

/// Table, column, and where it is. A column belongs to a user when it names one, or names a row that belongs to one.
pub const COLUMNS: [(&str, &str, Held); 34] = [
    ("users", "name_key", Not("the name in `profile`, folded")),
    ("sessions", "user_id", In("sessions")),
    ("refresh_tokens", "session_id", Not("hashes of secrets; their session is in `sessions`")),
    ("sign_in_failures", "name_key", In("sign_in_failures")),
    ("events", "user_id", In("events")),
    ("jobs", "user_id", In("jobs")),
    ("job_log", "job_id", In("job_log")),
    ("accounts", "owner", In("accounts")),
    (
        "account_credentials",
        "account_id",
        Not("tokens of the service; since when and for what they are is in `accounts`"),
    ),
    ("setup_flows", "user_id", In("setup_flows")),
    ("setup_flows", "account_id", In("setup_flows")),
    ("budget_use", "account_id", Not("counts of requests by the hour, kept for a day")),
    ("libraries", "account_id", In("library")),
    ("items", "library", In("library")),
    ("item_artists", "item_id", Not("drawn from the items in `library`")),
    ("playlists", "library", In("playlists")),
    ("playlists", "uri", In("playlists")),
    ("playlist_items", "library", In("playlists")),
    ("playlist_items", "playlist_uri", In("playlists")),
    ("pull_runs", "account_id", In("sync_runs")),
    ("pull_skips", "run_id", In("sync_skips")),
    ("plugin_kv", "account", Not("a plugin's own notes for an account, in a form of its own, with tokens among them")),
    ("user_preferences", "user_id", In("preferences")),
    ("likes", "user_id", In("likes")),
    ("plays", "user_id", In("history")),
    ("play_positions", "user_id", In("positions")),
    ("deleted_plays", "user_id", In("deleted_plays")),
    ("consents", "user_id", In("consents")),
    ("api_keys", "user_id", In("api_keys")),
    ("api_key_secrets", "key_id", Not("hashes of secrets; their key is in `api_keys`")),
    ("invites", "created_by", In("invites_made")),
    ("invites", "used_by", In("invites_used")),
    ("audit_personal", "actor_id", In("audit")),
    ("audit_personal", "user_id", In("audit")),
];
