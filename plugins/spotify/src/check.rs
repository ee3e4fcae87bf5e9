//! What an account may do, by what it granted.

use zotify_plugin_api::prelude::*;

use crate::{
    Spotify,
    client::{Ask, Session},
    endpoints::{self, Operation},
    text::text,
};

/// Every capability, with an operation that needs what the capability needs; none where nothing is needed.
const CAPABILITIES: &[(&str, Option<&Operation>)] = &[
    (capability::CATALOG_GET, None),
    (capability::CATALOG_CHILDREN, None),
    (capability::CATALOG_SEARCH, None),
    (capability::CATALOG_RESOLVE, None),
    (capability::ARTWORK_READ, None),
    (capability::LIBRARY_TRACKS_READ, Some(&endpoints::SAVED_TRACKS)),
    (capability::LIBRARY_ALBUMS_READ, Some(&endpoints::SAVED_ALBUMS)),
    (capability::LIBRARY_SHOWS_READ, Some(&endpoints::SAVED_SHOWS)),
    (capability::LIBRARY_EPISODES_READ, Some(&endpoints::SAVED_EPISODES)),
    (capability::LIBRARY_ARTISTS_READ, Some(&endpoints::FOLLOWED)),
    (capability::LIBRARY_TRACKS_ADD, Some(&SAVING)),
    (capability::LIBRARY_TRACKS_REMOVE, Some(&SAVING)),
    (capability::LIBRARY_ALBUMS_ADD, Some(&SAVING)),
    (capability::LIBRARY_ALBUMS_REMOVE, Some(&SAVING)),
    (capability::LIBRARY_SHOWS_ADD, Some(&SAVING)),
    (capability::LIBRARY_SHOWS_REMOVE, Some(&SAVING)),
    (capability::LIBRARY_EPISODES_ADD, Some(&SAVING)),
    (capability::LIBRARY_EPISODES_REMOVE, Some(&SAVING)),
    (capability::LIBRARY_ARTISTS_ADD, Some(&FOLLOWING)),
    (capability::LIBRARY_ARTISTS_REMOVE, Some(&FOLLOWING)),
    (capability::LIKES_READ, Some(&endpoints::SAVED_TRACKS)),
    (capability::LIKES_WRITE, Some(&SAVING)),
    (capability::HISTORY_READ, Some(&endpoints::RECENTLY_PLAYED)),
    (capability::PLAYLISTS_READ, Some(&endpoints::PLAYLISTS)),
    (capability::PLAYLISTS_CREATE, Some(&endpoints::CREATE_PLAYLIST)),
    (capability::PLAYLISTS_UPDATE, Some(&endpoints::UPDATE_PLAYLIST)),
    (capability::PLAYLISTS_DELETE, Some(&endpoints::UPDATE_PLAYLIST)),
    (capability::PLAYLISTS_ITEMS_ADD, Some(&endpoints::ADD_ITEMS)),
    (capability::PLAYLISTS_ITEMS_REMOVE, Some(&endpoints::REMOVE_ITEMS)),
    (capability::PLAYLISTS_ITEMS_MOVE, Some(&endpoints::MOVE_ITEMS)),
    (capability::PLAYLISTS_ITEMS_REPLACE, Some(&endpoints::REPLACE_ITEMS)),
    (capability::PLAYLISTS_IMAGE, Some(&endpoints::SET_IMAGE)),
];

/// Saving takes one of several scopes by what is saved.
const SAVING: Operation = Operation { scopes: &["user-library-modify"], ..endpoints::SAVE };
const FOLLOWING: Operation = Operation { scopes: &["user-follow-modify"], ..endpoints::SAVE };

/// The names of all capabilities.
pub(crate) fn capabilities() -> impl Iterator<Item = &'static str> {
    CAPABILITIES.iter().map(|(name, _)| *name)
}

/// Asks who the account is, and says what it did not grant.
pub(crate) async fn check(spotify: &Spotify, call: &Call<()>) -> Result<Checked> {
    if call.account.is_none() {
        return Ok(Checked::default());
    }
    let mut session = Session::open(spotify, call).await?;
    let me = session.json(&Ask::new(&endpoints::ME, &[])).await?;
    let granted = |operation: &Option<&Operation>| {
        operation.is_none_or(|operation| session.credentials.has_any(operation.scopes))
    };
    let missing = CAPABILITIES.iter().filter(|(_, operation)| !granted(operation));
    let restricted = || CapabilityState::Restricted { code: "scope_missing".into() };
    let name = text(&me, "display_name").or_else(|| text(&me, "id")).map(str::to_owned);
    let capabilities = missing.map(|(name, _)| ((*name).to_owned(), restricted())).collect();
    Ok(Checked { account_name: name, capabilities, warnings: Vec::new() })
}
