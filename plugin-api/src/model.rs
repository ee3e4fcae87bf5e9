//! The serde types that cross the boundary.
//!
//! Every field but the ones that make a thing what it is has a default, enums that may grow have an `Unknown` arm, and
//! lists are [`Rows`](crate::wire::Rows): a plugin built with an older or a newer SDK stays readable.

mod call;
mod catalog;
mod edit;
mod item;
mod library;
mod likes;
mod media;
mod playlist;
mod setup;
mod uri;

pub use call::{AccountContext, Call, CreateRequest};
pub use catalog::{Capabilities, CapabilityState, Checked, Children, Get, Page, PageRequest, Relation, Search};
pub use edit::{
    LibraryEdit, LibraryEdited, PlaylistCreate, PlaylistEdit, PlaylistEdited, PlaylistImage, PlaylistOp,
    PlaylistUpdate, Resolve, ResolveBy, Resolved,
};
pub use item::{
    Album, AlbumRef, Artist, ArtistRef, Artwork, Audio, Episode, Gain, Item, ReplayGain, Show, ShowRef, Track,
};
pub use library::{Completeness, Forecast, LibraryChanges, LibraryPage, Listing, Progress, Skipped};
pub use likes::{EditResult, ItemKey, Like, LikesEdit, LikesEdited, LikesPage, Play, PlaysPage};
pub use media::{ArtworkRequest, HttpSource, MediaRequest, MediaSource, StreamRequest};
pub use playlist::{Playlist, PlaylistEntry, PlaylistItems, PlaylistPage};
pub use setup::{SetupDone, SetupExternal, SetupForm, SetupInput, SetupProgress, SetupRequest, SetupStep};
pub use uri::{InvalidUri, Kind, Uri, is_instance_id, is_item_id};
