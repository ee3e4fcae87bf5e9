//! What an account likes, and what it played.

use serde::{Deserialize, Serialize};

use super::{Item, Uri};
use crate::{ProviderError, wire::Rows};

/// A track that the account likes, as the service calls it: starred, saved, a favourite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Like {
    /// The track.
    pub item: Item,
    /// Since when, RFC 3339 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liked_at: Option<String>,
}

/// A page of likes, in the service's order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LikesPage {
    /// The likes.
    pub likes: Rows<Like>,
    /// Where the next page starts; none after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An item, with what the provider needs to find it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemKey {
    /// The item.
    pub uri: Uri,
    /// What the provider named with the item, where the host has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locator: Option<String>,
}

/// Changes what the account likes. What is liked already may be added again, and what is not may be removed: the host asks
/// for the same twice when it did not hear an answer. At most 100 items in all, none of them twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LikesEdit {
    /// To be liked.
    #[serde(default)]
    pub add: Vec<ItemKey>,
    /// Not to be liked any more.
    #[serde(default)]
    pub remove: Vec<ItemKey>,
}

/// What became of one item of an edit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EditResult {
    /// The item.
    pub uri: Uri,
    /// Why it was not done; none where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ProviderError>,
}

impl EditResult {
    /// It was done.
    pub fn done(uri: Uri) -> Self {
        Self { uri, error: None }
    }

    /// It was not done.
    pub fn failed(uri: Uri, error: ProviderError) -> Self {
        Self { uri, error: Some(error) }
    }
}

/// What became of an edit, item by item. An item that is not named counts as not done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LikesEdited {
    /// The results, in any order.
    pub results: Rows<EditResult>,
}

/// One time that the account played something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Play {
    /// The track or episode.
    pub item: Item,
    /// When it began, RFC 3339 UTC.
    pub at: String,
    /// How much of it was heard, in milliseconds, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_ms: Option<u64>,
}

/// A page of plays, newest first. The host stops at those that it has already.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlaysPage {
    /// The plays.
    pub plays: Rows<Play>,
    /// Where the next page starts; none after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
