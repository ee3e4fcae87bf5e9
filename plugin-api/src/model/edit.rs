//! Changing a library and its playlists.

use serde::{Deserialize, Serialize};

use super::{EditResult, ItemKey, Uri};
use crate::wire::Rows;

/// Adds items to what the account saved, or removes them. What is saved already may be added again, and what is not may be
/// removed. At most 100 items in all, none of them twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LibraryEdit {
    /// To be saved, the oldest first.
    #[serde(default)]
    pub add: Vec<ItemKey>,
    /// Not to be saved any more.
    #[serde(default)]
    pub remove: Vec<ItemKey>,
}

/// What became of an edit, item by item. An item that is not named counts as not done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LibraryEdited {
    /// The results, in any order.
    pub results: Rows<EditResult>,
}

/// Makes a playlist.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaylistCreate {
    /// The name.
    pub name: String,
    /// Plain text; none for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether others can see it; none leaves it to the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public: Option<bool>,
    /// Whether others can edit it.
    #[serde(default)]
    pub collaborative: bool,
}

/// Changes a playlist's details; what is none stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaylistUpdate {
    /// The playlist.
    pub playlist: ItemKey,
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Plain text; empty for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether others can see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public: Option<bool>,
    /// Whether others can edit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collaborative: Option<bool>,
}

/// Sets a playlist's picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaylistImage {
    /// The playlist.
    pub playlist: ItemKey,
    /// `image/jpeg` or `image/png`.
    pub content_type: String,
    /// At most 512 KiB.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

/// Changes the entries of a playlist, all or nothing where the service can: operations are done in order, each upon what
/// the one before left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaylistEdit {
    /// The playlist.
    pub playlist: ItemKey,
    /// The version that the entry ids are of; another one by now is a `conflict`, unless the entries are still there. None
    /// takes it as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What to do.
    pub ops: Vec<PlaylistOp>,
}

/// One change of a playlist's entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
#[non_exhaustive]
pub enum PlaylistOp {
    /// Adds items.
    Add {
        /// Tracks and episodes, in order; one may stand there several times.
        items: Vec<ItemKey>,
        /// The entry before which they go; none for the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<String>,
    },
    /// Moves entries, which then stand in the order that they are named in.
    Move {
        /// The entries.
        entries: Vec<String>,
        /// The entry before which they go; none for the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<String>,
    },
    /// Removes entries.
    Remove {
        /// The entries.
        entries: Vec<String>,
    },
    /// Removes all entries and adds others.
    Replace {
        /// Tracks and episodes, in order.
        items: Vec<ItemKey>,
    },
    /// One that this build does not know: answer `unsupported`.
    #[serde(other)]
    Unknown,
}

/// What became of an edit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlaylistEdited {
    /// The playlist's version now, where the service tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What became of the operations, in their order: none where one was done. Those after a failed one were not tried.
    #[serde(default)]
    pub results: Vec<Option<crate::ProviderError>>,
    /// Items that could not be added although their operation was done, or that a failed one removed along and could not put
    /// back.
    #[serde(default)]
    pub refused: Rows<EditResult>,
}

/// Finds items that something names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolve {
    /// What to look for.
    pub by: ResolveBy,
}

/// What names an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ResolveBy {
    /// A web address or the service's own URI, as the user pasted it.
    Text {
        /// At most 2000 bytes.
        text: String,
    },
    /// An ISRC in upper case without hyphens.
    Isrc {
        /// Twelve characters.
        isrc: String,
    },
    /// A MusicBrainz recording id.
    Mbid {
        /// A UUID in lower case.
        mbid: String,
    },
    /// One that this build does not know: answer no matches.
    #[serde(other)]
    Unknown,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Resolved {
    /// The items, the best first. Empty where the text is none of this provider's.
    #[serde(default)]
    pub items: Rows<super::Item>,
    /// The address that a text stands for, although the service could not be asked for the item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<Uri>,
}
