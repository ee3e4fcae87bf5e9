//! The names of the methods that the host calls, each with the types of its request and reply.
//!
//! A method is added by adding a name here: the binary interface stays as it is, and an older plugin answers
//! `unsupported`.

use serde::{Serialize, de::DeserializeOwned};

use crate::model::{
    ArtworkRequest, Checked, Children, Get, Item, ItemKey, LibraryChanges, LibraryEdit, LibraryEdited, LibraryPage,
    LikesEdit, LikesEdited, LikesPage, MediaRequest, MediaSource, Page, PageRequest, Play, Playlist, PlaylistCreate,
    PlaylistEdit, PlaylistEdited, PlaylistImage, PlaylistItems, PlaylistPage, PlaylistUpdate, PlaysPage, Resolve,
    Resolved, Search, SetupRequest, SetupStep,
};

/// A method of the boundary.
pub trait Method {
    /// The name that crosses.
    const NAME: &'static str;
    /// What the host sends.
    type Request: Serialize + DeserializeOwned + Send + 'static;
    /// What the plugin answers.
    type Reply: Serialize + DeserializeOwned + Send + 'static;
}

macro_rules! methods {
    ($($(#[$doc:meta])* $type:ident = $name:literal ($request:ty) -> $reply:ty;)*) => {
        $($(#[$doc])*
        pub struct $type;

        impl Method for $type {
            const NAME: &'static str = $name;
            type Request = $request;
            type Reply = $reply;
        })*
    };
}

methods! {
    /// Finds out whether the service answers, and what the account may do.
    Check = "check" (()) -> Checked;
    /// One item.
    GetItem = "get" (Get) -> Item;
    /// Children of an item.
    GetChildren = "children" (Children) -> Page;
    /// Searches the service's catalogue.
    SearchCatalog = "search" (Search) -> Page;
    /// A page of the library.
    PullLibrary = "library_changes" (LibraryChanges) -> LibraryPage;
    /// A page of the account's playlists, without their items.
    ListPlaylists = "playlists" (PageRequest) -> Page;
    /// A page of a playlist's entries.
    ListPlaylistItems = "playlist_items" (PlaylistItems) -> PlaylistPage;
    /// A page of what the account likes.
    ListLikes = "likes" (PageRequest) -> LikesPage;
    /// Changes what the account likes.
    EditLikes = "likes_edit" (LikesEdit) -> LikesEdited;
    /// A page of what the account played, newest first.
    ListPlays = "history" (PageRequest) -> PlaysPage;
    /// Takes note that the account played something.
    AddPlay = "history_add" (Play) -> ();
    /// One step of connecting an account.
    Setup = "setup" (SetupRequest) -> SetupStep;
    /// Tells the service that an account is unlinked; its credentials are erased whatever the answer.
    Unlink = "unlink" (()) -> ();
    /// Changes what the account saved.
    EditLibrary = "library_edit" (LibraryEdit) -> LibraryEdited;
    /// Makes a playlist.
    CreatePlaylist = "playlist_create" (PlaylistCreate) -> Playlist;
    /// Changes a playlist's details.
    UpdatePlaylist = "playlist_update" (PlaylistUpdate) -> Playlist;
    /// Deletes a playlist, or stops following one.
    DeletePlaylist = "playlist_delete" (ItemKey) -> ();
    /// Changes a playlist's entries.
    EditPlaylist = "playlist_edit" (PlaylistEdit) -> PlaylistEdited;
    /// Sets a playlist's picture.
    SetPlaylistImage = "playlist_image" (PlaylistImage) -> ();
    /// Finds items that something names.
    ResolveItems = "resolve" (Resolve) -> Resolved;
    /// Where an item's audio comes from.
    OpenMedia = "open_media" (MediaRequest) -> MediaSource;
    /// Where a picture comes from.
    OpenArtwork = "artwork" (ArtworkRequest) -> MediaSource;
}

/// An automation's action. The host checks the input against the action's schema first.
pub struct RunAction;

impl Method for RunAction {
    const NAME: &'static str = "action";
    type Request = ActionCall;
    type Reply = String;
}

/// Runs an action.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct ActionCall {
    /// The action's name, as the manifest has it.
    pub action: String,
    /// Its input, as JSON text.
    pub input: String,
}
