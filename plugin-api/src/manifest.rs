//! What a plugin says about itself before anything of it runs.

use serde::{Deserialize, Serialize};

/// The protocol versions that this build speaks.
pub const PROTOCOL: ProtocolRange = ProtocolRange { min: 0, max: 0 };

/// Names of capabilities. A provider declares those that it has; each is exercised by the conformance kit.
pub mod capability {
    /// `get` answers items by URI.
    pub const CATALOG_GET: &str = "catalog.get";
    /// `children` answers the tracks of albums, albums of artists and episodes of shows.
    pub const CATALOG_CHILDREN: &str = "catalog.children";
    /// `search` searches the service's catalogue.
    pub const CATALOG_SEARCH: &str = "catalog.search";
    /// `library_changes` lists tracks.
    pub const LIBRARY_TRACKS_READ: &str = "library.tracks.read";
    /// `library_changes` lists albums.
    pub const LIBRARY_ALBUMS_READ: &str = "library.albums.read";
    /// `library_changes` lists artists.
    pub const LIBRARY_ARTISTS_READ: &str = "library.artists.read";
    /// `library_changes` lists shows.
    pub const LIBRARY_SHOWS_READ: &str = "library.shows.read";
    /// `playlists` and `playlist_items` answer.
    pub const PLAYLISTS_READ: &str = "playlists.read";
    /// `likes` lists what the account likes.
    pub const LIKES_READ: &str = "likes.read";
    /// `likes_edit` likes tracks and takes likes back.
    pub const LIKES_WRITE: &str = "likes.write";
    /// `history` lists what the account played.
    pub const HISTORY_READ: &str = "history.read";
    /// `open_media` names a source for playing.
    pub const MEDIA_STREAM: &str = "media.stream";
    /// `artwork` names a source for pictures.
    pub const ARTWORK_READ: &str = "artwork.read";
    /// `open_media` may be used to keep a copy.
    pub const DOWNLOAD_AUDIO: &str = "download.audio";
    /// `resolve` finds items by address and external id.
    pub const CATALOG_RESOLVE: &str = "catalog.resolve";
    /// `library_changes` lists episodes.
    pub const LIBRARY_EPISODES_READ: &str = "library.episodes.read";
    /// `library_edit` saves tracks.
    pub const LIBRARY_TRACKS_ADD: &str = "library.tracks.add";
    /// `library_edit` takes tracks out again.
    pub const LIBRARY_TRACKS_REMOVE: &str = "library.tracks.remove";
    /// `library_edit` saves albums.
    pub const LIBRARY_ALBUMS_ADD: &str = "library.albums.add";
    /// `library_edit` takes albums out again.
    pub const LIBRARY_ALBUMS_REMOVE: &str = "library.albums.remove";
    /// `library_edit` saves artists.
    pub const LIBRARY_ARTISTS_ADD: &str = "library.artists.add";
    /// `library_edit` takes artists out again.
    pub const LIBRARY_ARTISTS_REMOVE: &str = "library.artists.remove";
    /// `library_edit` saves shows.
    pub const LIBRARY_SHOWS_ADD: &str = "library.shows.add";
    /// `library_edit` takes shows out again.
    pub const LIBRARY_SHOWS_REMOVE: &str = "library.shows.remove";
    /// `library_edit` saves episodes.
    pub const LIBRARY_EPISODES_ADD: &str = "library.episodes.add";
    /// `library_edit` takes episodes out again.
    pub const LIBRARY_EPISODES_REMOVE: &str = "library.episodes.remove";
    /// `playlist_create` makes playlists.
    pub const PLAYLISTS_CREATE: &str = "playlists.create";
    /// `playlist_update` changes their details.
    pub const PLAYLISTS_UPDATE: &str = "playlists.update";
    /// `playlist_delete` deletes them.
    pub const PLAYLISTS_DELETE: &str = "playlists.delete";
    /// `playlist_edit` adds items.
    pub const PLAYLISTS_ITEMS_ADD: &str = "playlists.items.add";
    /// `playlist_edit` removes entries.
    pub const PLAYLISTS_ITEMS_REMOVE: &str = "playlists.items.remove";
    /// `playlist_edit` moves entries.
    pub const PLAYLISTS_ITEMS_MOVE: &str = "playlists.items.move";
    /// `playlist_edit` replaces all entries.
    pub const PLAYLISTS_ITEMS_REPLACE: &str = "playlists.items.replace";
    /// `playlist_image` sets their pictures.
    pub const PLAYLISTS_IMAGE: &str = "playlists.image";
    /// `history_add` takes note of plays.
    pub const HISTORY_WRITE: &str = "history.write";

    /// Every capability that this build knows.
    pub const ALL: &[&str] = &[
        CATALOG_GET,
        CATALOG_CHILDREN,
        CATALOG_SEARCH,
        LIBRARY_TRACKS_READ,
        LIBRARY_ALBUMS_READ,
        LIBRARY_ARTISTS_READ,
        LIBRARY_SHOWS_READ,
        PLAYLISTS_READ,
        LIKES_READ,
        LIKES_WRITE,
        HISTORY_READ,
        MEDIA_STREAM,
        ARTWORK_READ,
        DOWNLOAD_AUDIO,
        CATALOG_RESOLVE,
        LIBRARY_EPISODES_READ,
        LIBRARY_TRACKS_ADD,
        LIBRARY_TRACKS_REMOVE,
        LIBRARY_ALBUMS_ADD,
        LIBRARY_ALBUMS_REMOVE,
        LIBRARY_ARTISTS_ADD,
        LIBRARY_ARTISTS_REMOVE,
        LIBRARY_SHOWS_ADD,
        LIBRARY_SHOWS_REMOVE,
        LIBRARY_EPISODES_ADD,
        LIBRARY_EPISODES_REMOVE,
        PLAYLISTS_CREATE,
        PLAYLISTS_UPDATE,
        PLAYLISTS_DELETE,
        PLAYLISTS_ITEMS_ADD,
        PLAYLISTS_ITEMS_REMOVE,
        PLAYLISTS_ITEMS_MOVE,
        PLAYLISTS_ITEMS_REPLACE,
        PLAYLISTS_IMAGE,
        HISTORY_WRITE,
    ];
}

/// A range of protocol versions, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolRange {
    /// The oldest.
    pub min: u32,
    /// The newest.
    pub max: u32,
}

impl ProtocolRange {
    /// The newest version that both sides speak.
    pub fn negotiate(self, other: Self) -> Option<u32> {
        let newest = self.max.min(other.max);
        (newest >= self.min && newest >= other.min).then_some(newest)
    }
}

/// How finished a plugin is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Parts are missing.
    Alpha,
    /// Complete, not yet proven.
    #[default]
    Beta,
    /// Proven.
    Stable,
    /// Works, but nobody looks after it.
    Unmaintained,
    /// To be replaced.
    Deprecated,
    /// A stage that this build does not know.
    #[serde(other)]
    Unknown,
}

/// A shared library's manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LibraryManifest {
    /// What `plugin = "…"` names in the configuration: `[a-z][a-z0-9-]{0,31}`.
    pub id: String,
    /// For people.
    #[serde(default)]
    pub name: String,
    /// The plugin's own version (semver).
    #[serde(default)]
    pub version: String,
    /// One sentence.
    #[serde(default)]
    pub description: String,
    /// How finished it is.
    #[serde(default)]
    pub stage: Stage,
    /// Its home page.
    #[serde(default)]
    pub homepage: String,
    /// A picture: a `data:` URI of at most 64 KiB.
    #[serde(default)]
    pub icon: String,
    /// SPDX expression.
    #[serde(default)]
    pub license: String,
    /// The version of the SDK that it was built with.
    #[serde(default)]
    pub sdk: String,
    /// The compiler that it was built with.
    #[serde(default)]
    pub rustc: String,
    /// The protocol versions that it speaks.
    pub protocol: ProtocolRange,
    /// Its providers, sorted by id.
    #[serde(default)]
    pub providers: Vec<ProviderManifest>,
    /// Its automations, sorted by id.
    #[serde(default)]
    pub automations: Vec<AutomationManifest>,
}

/// How an account signs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignIn {
    /// Nobody signs in: the host makes one account that all users share.
    #[default]
    None,
    /// By a setup flow.
    SetupFlow,
    /// A way that this build does not know.
    #[serde(other)]
    Unknown,
}

/// What the library of an account is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LibraryKind {
    /// The whole collection belongs to it; nothing can be added or removed through the API.
    Owned,
    /// What the account saved of a larger catalogue.
    Saved,
    /// There is none.
    #[default]
    None,
    /// A kind that this build does not know.
    #[serde(other)]
    Unknown,
}

/// What a provider is and needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProviderManifest {
    /// Unique within the library: `[a-z][a-z0-9-]{0,31}`. Filled in by the SDK.
    #[serde(default)]
    pub id: String,
    /// For people.
    #[serde(default)]
    pub name: String,
    /// One sentence.
    #[serde(default)]
    pub description: String,
    /// JSON Schema of its settings; a property with `"writeOnly": true` is a secret. Filled in by the SDK.
    #[serde(default)]
    pub settings_schema: serde_json::Value,
    /// How an account signs in.
    #[serde(default)]
    pub sign_in: SignIn,
    /// What the library of an account is.
    #[serde(default)]
    pub library: LibraryKind,
    /// Names of [`capability`].
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// What it likes is what is saved of tracks: the host takes likes from the library, and never asks for them.
    #[serde(default)]
    pub likes_are_saved_tracks: bool,
    /// What it needs of the world.
    #[serde(default)]
    pub permissions: Permissions,
    /// What the host should keep to.
    #[serde(default)]
    pub limits: Limits,
}

impl ProviderManifest {
    /// A provider with a name and its capabilities, that needs no permission and no sign-in.
    pub fn new(name: impl Into<String>, capabilities: impl IntoIterator<Item = &'static str>) -> Self {
        Self { name: name.into(), capabilities: capabilities.into_iter().map(Into::into).collect(), ..Self::default() }
    }
}

/// What the host should keep to when it calls a provider. Config may set less, not more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Calls in flight; none for the host's own limit.
    #[serde(default)]
    pub concurrency: Option<u32>,
    /// How often it may ask its service; none for no limit.
    #[serde(default)]
    pub budget: Option<BudgetLimits>,
}

/// How often a service may be asked. The host keeps to it over all accounts that share a budget; see
/// [`service::Budget`](crate::service::Budget).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetLimits {
    /// Requests in a window.
    pub window_requests: u32,
    /// The window, in milliseconds.
    pub window_ms: u64,
    /// Requests in any 24 hours; none for no limit.
    #[serde(default)]
    pub daily_requests: Option<u32>,
}

/// What a plugin needs of the world, each with the reason that the admin reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permissions {
    /// Hosts that it talks to through the host's HTTP service.
    #[serde(default)]
    pub hosts: Vec<HostPermission>,
    /// Why it must reach any public address; none where it need not. Never covers private addresses.
    #[serde(default)]
    pub public_internet: Option<String>,
    /// Folders that it reads or writes.
    #[serde(default)]
    pub files: Vec<FilePermission>,
}

/// A literal value, or the setting that holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SettingOr {
    /// A JSON pointer into the settings, to a string or an array of strings.
    Setting {
        /// Such as `/folders`.
        setting: String,
    },
    /// The value itself.
    Value(String),
}

impl SettingOr {
    /// The strings that this stands for, given the settings.
    pub fn resolve(&self, settings: &serde_json::Value) -> Vec<String> {
        match self {
            Self::Value(value) => vec![value.clone()],
            Self::Setting { setting } => match settings.pointer(setting) {
                Some(serde_json::Value::String(value)) => vec![value.clone()],
                Some(serde_json::Value::Array(values)) => {
                    values.iter().filter_map(|v| v.as_str().map(Into::into)).collect()
                }
                _ => Vec::new(),
            },
        }
    }
}

/// A host that a plugin talks to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPermission {
    /// A host name, or the setting that holds an address.
    pub host: SettingOr,
    /// For the admin.
    pub reason: String,
}

/// A folder that a plugin reads or writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePermission {
    /// A folder, or the setting that holds one or several.
    pub folder: SettingOr,
    /// What it does there.
    pub access: FileAccess,
    /// For the admin.
    pub reason: String,
}

/// What a plugin does in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileAccess {
    /// Reads files and lists folders.
    Read,
    /// Also makes, changes and deletes files.
    Write,
}

/// What an automation is and needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AutomationManifest {
    /// Unique within the library: `[a-z][a-z0-9-]{0,31}`. Filled in by the SDK.
    #[serde(default)]
    pub id: String,
    /// For people.
    #[serde(default)]
    pub name: String,
    /// One sentence.
    #[serde(default)]
    pub description: String,
    /// JSON Schema of its settings. Filled in by the SDK.
    #[serde(default)]
    pub settings_schema: serde_json::Value,
    /// What it can notice.
    #[serde(default)]
    pub triggers: Vec<TriggerManifest>,
    /// What it can do.
    #[serde(default)]
    pub actions: Vec<ActionManifest>,
    /// What it needs of the world.
    #[serde(default)]
    pub permissions: Permissions,
}

/// Something that an automation can notice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TriggerManifest {
    /// Unique within the automation.
    pub name: String,
    /// One sentence.
    #[serde(default)]
    pub description: String,
    /// JSON Schema of what it carries.
    #[serde(default)]
    pub data_schema: serde_json::Value,
}

/// Something that an automation can do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ActionManifest {
    /// Unique within the automation.
    pub name: String,
    /// One sentence.
    #[serde(default)]
    pub description: String,
    /// JSON Schema of its input.
    #[serde(default)]
    pub input_schema: serde_json::Value,
}
