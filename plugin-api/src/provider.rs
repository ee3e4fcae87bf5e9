//! The trait that a provider implements.

use std::future::Future;

use futures::{StreamExt, stream::BoxStream};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{
    Context, ProviderError, ProviderManifest, Result,
    model::{
        ArtworkRequest, Call, Checked, Children, Get, Item, ItemKey, LibraryChanges, LibraryEdit, LibraryEdited,
        LibraryPage, LikesEdit, LikesEdited, LikesPage, MediaRequest, MediaSource, Page, PageRequest, Play, Playlist,
        PlaylistCreate, PlaylistEdit, PlaylistEdited, PlaylistImage, PlaylistItems, PlaylistPage, PlaylistUpdate,
        PlaysPage, Resolve, Resolved, Search, SetupRequest, SetupStep, StreamRequest,
    },
};

/// Code that speaks for one music service.
///
/// Implement the methods whose capabilities the manifest declares; the others answer `unsupported`. Methods run
/// concurrently, may be cancelled at any `.await`, and must not block for long: long work belongs on a thread.
pub trait Provider: Sized + Send + Sync + 'static {
    /// Unique within the library: `[a-z][a-z0-9-]{0,31}`.
    const ID: &'static str;

    /// What stands under `settings` in the configuration. Mark a secret with `#[schemars(extend("writeOnly" = true))]`.
    type Settings: DeserializeOwned + JsonSchema;

    /// What the provider is and needs. Id and settings schema are filled in.
    fn manifest() -> ProviderManifest;

    /// Makes an instance. Must not wait for anything: look at the world in [`Provider::check`].
    ///
    /// # Errors
    /// When the settings make no sense together.
    fn new(cx: Context, settings: Self::Settings) -> Result<Self>;

    /// Finds out whether the service answers, and what the account may do.
    fn check(&self, call: Call<()>) -> impl Future<Output = Result<Checked>> + Send {
        let _ = call;
        async { Ok(Checked::default()) }
    }

    /// One item. Needs `catalog.get`.
    fn get(&self, call: Call<Get>) -> impl Future<Output = Result<Item>> + Send {
        unsupported(call, "single items")
    }

    /// Children of an item. Needs `catalog.children`.
    fn children(&self, call: Call<Children>) -> impl Future<Output = Result<Page>> + Send {
        unsupported(call, "children of items")
    }

    /// Searches the service's catalogue. Needs `catalog.search`.
    fn search(&self, call: Call<Search>) -> impl Future<Output = Result<Page>> + Send {
        unsupported(call, "a search")
    }

    /// A page of the library. Needs `library.….read`.
    fn library_changes(&self, call: Call<LibraryChanges>) -> impl Future<Output = Result<LibraryPage>> + Send {
        unsupported(call, "a library")
    }

    /// A page of the account's playlists, without their items. Needs `playlists.read`.
    fn playlists(&self, call: Call<PageRequest>) -> impl Future<Output = Result<Page>> + Send {
        unsupported(call, "playlists")
    }

    /// A page of a playlist's entries. Needs `playlists.read`. Of a playlist that the account may see, but not look into, the
    /// error is `restricted` with the code `not_accessible`: the host asks again when it is another version.
    fn playlist_items(&self, call: Call<PlaylistItems>) -> impl Future<Output = Result<PlaylistPage>> + Send {
        unsupported(call, "playlists")
    }

    /// A page of the tracks that the account likes. Needs `likes.read`.
    fn likes(&self, call: Call<PageRequest>) -> impl Future<Output = Result<LikesPage>> + Send {
        unsupported(call, "likes")
    }

    /// Likes tracks, or takes likes back. Needs `likes.write`.
    fn likes_edit(&self, call: Call<LikesEdit>) -> impl Future<Output = Result<LikesEdited>> + Send {
        unsupported(call, "likes")
    }

    /// A page of what the account played, newest first. Needs `history.read`.
    fn history(&self, call: Call<PageRequest>) -> impl Future<Output = Result<PlaysPage>> + Send {
        unsupported(call, "a history")
    }

    /// Takes note that the account played something. Needs `history.write`.
    fn history_add(&self, call: Call<Play>) -> impl Future<Output = Result<()>> + Send {
        unsupported(call, "a history to write to")
    }

    /// One step of connecting an account. Needs [`SignIn::SetupFlow`](crate::SignIn::SetupFlow).
    fn setup(&self, call: Call<SetupRequest>) -> impl Future<Output = Result<SetupStep>> + Send {
        unsupported(call, "accounts")
    }

    /// Tells the service that the account is unlinked, where it wants to know; its credentials are erased whatever the
    /// answer.
    fn unlink(&self, call: Call<()>) -> impl Future<Output = Result<()>> + Send {
        drop(call);
        async { Ok(()) }
    }

    /// Changes what the account saved. Needs `library.….add` and `library.….remove`.
    fn library_edit(&self, call: Call<LibraryEdit>) -> impl Future<Output = Result<LibraryEdited>> + Send {
        unsupported(call, "a library that can be changed")
    }

    /// Makes a playlist. Needs `playlists.create`.
    fn playlist_create(&self, call: Call<PlaylistCreate>) -> impl Future<Output = Result<Playlist>> + Send {
        unsupported(call, "new playlists")
    }

    /// Changes a playlist's details, and answers them as they are now. Needs `playlists.update`.
    fn playlist_update(&self, call: Call<PlaylistUpdate>) -> impl Future<Output = Result<Playlist>> + Send {
        unsupported(call, "changes of playlists")
    }

    /// Deletes a playlist, or stops following it. Needs `playlists.delete`.
    fn playlist_delete(&self, call: Call<ItemKey>) -> impl Future<Output = Result<()>> + Send {
        unsupported(call, "the deletion of playlists")
    }

    /// Changes a playlist's entries. Needs `playlists.items.….`.
    fn playlist_edit(&self, call: Call<PlaylistEdit>) -> impl Future<Output = Result<PlaylistEdited>> + Send {
        unsupported(call, "changes of playlists")
    }

    /// Sets a playlist's picture. Needs `playlists.image`.
    fn playlist_image(&self, call: Call<PlaylistImage>) -> impl Future<Output = Result<()>> + Send {
        unsupported(call, "pictures of playlists")
    }

    /// Finds items by a web address, a URI of the service, or an external id. Needs `catalog.resolve`.
    fn resolve(&self, call: Call<Resolve>) -> impl Future<Output = Result<Resolved>> + Send {
        unsupported(call, "addresses")
    }

    /// Where an item's audio comes from. Needs `media.stream`.
    fn open_media(&self, call: Call<MediaRequest>) -> impl Future<Output = Result<MediaSource>> + Send {
        unsupported(call, "audio")
    }

    /// Where a picture comes from. Needs `artwork.read`.
    fn artwork(&self, call: Call<ArtworkRequest>) -> impl Future<Output = Result<MediaSource>> + Send {
        unsupported(call, "pictures")
    }

    /// The bytes of a [`MediaSource::Stream`] that this provider named.
    fn open_stream(&self, call: Call<StreamRequest>) -> impl Future<Output = Result<ByteStream>> + Send {
        unsupported(call, "streams")
    }
}

fn unsupported<C: Send, T: Send>(call: C, what: &'static str) -> impl Future<Output = Result<T>> + Send {
    drop(call);
    async move { Err(ProviderError::unsupported(what)) }
}

/// A stream of bytes, in chunks of any size; the SDK cuts them for the boundary.
pub struct ByteStream(pub(crate) BoxStream<'static, Result<Vec<u8>>>);

impl ByteStream {
    /// A stream of chunks.
    pub fn new(chunks: impl futures::Stream<Item = Result<Vec<u8>>> + Send + 'static) -> Self {
        Self(chunks.boxed())
    }

    /// A stream of bytes that are all there.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self::new(futures::stream::once(async { Ok(bytes) }))
    }
}
