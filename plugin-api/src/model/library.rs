//! Reading a whole library, and later only what changed.

use serde::{Deserialize, Serialize};

use super::{Item, Uri};
use crate::wire::Rows;

/// Asks for a page of the library's contents or changes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LibraryChanges {
    /// What a run named last in `sync_token`; none for a first run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// What the previous page of this run named in `next`; none for the first page. A plugin must be able to go on
    /// from it after its process was restarted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// What the pages of one run list together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listing {
    /// Everything that is in the library, as `upsert` or `unchanged`: what a complete run does not name is gone.
    #[default]
    Everything,
    /// Only what changed: what is gone is named in `removed`.
    Changes,
    /// One that this build does not know; nothing is removed.
    #[serde(other)]
    Unknown,
}

/// How much of the library a run could see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Completeness {
    /// All of it.
    #[default]
    Complete,
    /// Not all of it: nothing is removed, and the next run starts where this one did, unless it names a `sync_token`
    /// (see [`LibraryPage::sync_token`]).
    Partial {
        /// The reason code (`folder_missing`, `folder_empty`, …), `[a-z0-9_]`.
        code: String,
        /// One sentence for people.
        #[serde(default)]
        detail: String,
    },
    /// A state that this build does not know; counts as partial.
    #[serde(other)]
    Unknown,
}

/// A page of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LibraryPage {
    /// How to read this run. The same on every page.
    #[serde(default)]
    pub listing: Listing,
    /// Items that are new or changed.
    #[serde(default)]
    pub upsert: Rows<Item>,
    /// Items that are as they were (only with [`Listing::Everything`]).
    #[serde(default)]
    pub unchanged: Vec<Uri>,
    /// Items that are gone (only with [`Listing::Changes`]).
    #[serde(default)]
    pub removed: Vec<Uri>,
    /// Items that now have another address, old and new: the same thing, moved or renamed.
    #[serde(default)]
    pub moved: Vec<(Uri, Uri)>,
    /// What could not be read, and why.
    #[serde(default)]
    pub skipped: Vec<Skipped>,
    /// Where the next page starts; none after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// On the last page: where the next run may start. A partial run names one only if nothing gets lost by it: what it
    /// could not read is looked for again by the next run, and so is what it named in `removed`, since nothing is removed
    /// by a partial run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_token: Option<String>,
    /// On the last page: whether the run saw everything.
    #[serde(default)]
    pub completeness: Completeness,
    /// How far the run is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// What the whole run will take, as soon as it can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Forecast>,
}

/// What a run will take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    /// Requests to the service in all, those that are made already included.
    pub requests: u64,
    /// Items in all.
    pub items: u64,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Units done so far, over all pages.
    pub done: u64,
    /// Units in all, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

/// Something that a run could not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// What, as people know it: a relative path, a title.
    pub name: String,
    /// The reason code (`not_audio`, `unreadable`, `damaged`, …), `[a-z0-9_]`.
    pub code: String,
    /// One sentence for people.
    #[serde(default)]
    pub detail: String,
}
