//! Looking things up at the service.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Completeness, Item, Kind, Skipped, Uri};
use crate::wire::Rows;

/// Asks for one page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageRequest {
    /// What the previous page named in `next`; none for the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// How many rows are wanted; 0 leaves it to the provider. A page may hold fewer.
    #[serde(default)]
    pub limit: u32,
}

/// A page of items.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// The items, in the service's order.
    pub items: Rows<Item>,
    /// Where the next page starts; none after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// How many items the whole list has, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// What stands on the page and could not be read, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
    /// Whether the page names all that stands on it. Of a list of playlists with a page that does not, the host removes
    /// nothing.
    #[serde(default)]
    pub completeness: Completeness,
}

impl FromIterator<Item> for Page {
    fn from_iter<I: IntoIterator<Item = Item>>(items: I) -> Self {
        Self { items: items.into_iter().collect(), ..Self::default() }
    }
}

/// Asks for one item.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Get {
    /// The item.
    pub uri: Uri,
    /// What the provider named with the item, where the host has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locator: Option<String>,
}

/// Which children of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Relation {
    /// The tracks of an album, in the order of discs and tracks.
    AlbumTracks,
    /// The albums of an artist.
    ArtistAlbums,
    /// The episodes of a show, newest first.
    ShowEpisodes,
    /// One that this build does not know: answer `unsupported`.
    #[serde(other)]
    Unknown,
}

/// Asks for the children of an item.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Children {
    /// The parent.
    pub uri: Uri,
    /// Which of its children.
    pub relation: Relation,
    /// What the provider named with the parent, where the host has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locator: Option<String>,
    /// Which page.
    #[serde(default)]
    pub page: PageRequest,
}

/// Searches the service's catalogue.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Search {
    /// The words, as the user typed them; never empty.
    pub query: String,
    /// The wanted kinds; empty means all.
    #[serde(default)]
    pub kinds: Vec<Kind>,
    /// Which page.
    #[serde(default)]
    pub page: PageRequest,
}

/// What `check` found out about an account or an instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Checked {
    /// The account's name at the service, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_name: Option<String>,
    /// The state of declared capabilities that are not simply available.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// What an admin should know although all works, one sentence each.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// Capabilities by name.
pub type Capabilities = BTreeMap<String, CapabilityState>;

/// Whether a capability can be used, and why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum CapabilityState {
    /// It works.
    Available,
    /// It exists, but not for this account now.
    Restricted {
        /// The reason, `[a-z0-9_]`.
        code: String,
    },
    /// The provider has no such thing.
    Unsupported {
        /// The reason, `[a-z0-9_]`.
        #[serde(default)]
        code: String,
    },
    /// A state that this build does not know.
    #[serde(other)]
    Unknown,
}
