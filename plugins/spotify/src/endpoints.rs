//! Every operation of the Web API that is called, in one table. None of them is deprecated: a test holds the table against
//! Spotify's own document.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stays as it is in a segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// An operation of the Web API.
#[derive(Debug)]
pub struct Operation {
    /// `GET`, `PUT`, …
    pub method: &'static str,
    /// The path below the base, with `{…}` for ids.
    pub path: &'static str,
    /// Scopes of which one must be granted; empty for none.
    pub scopes: &'static [&'static str],
    /// Whether doing it twice comes to the same as doing it once.
    pub repeatable: bool,
}

impl Operation {
    /// The path with ids filled in.
    pub fn path_of(&self, ids: &[&str]) -> String {
        let mut ids = ids.iter();
        let segment = |segment: &str| match segment.starts_with('{') {
            true => ids.next().map(|id| utf8_percent_encode(id, SEGMENT).to_string()).unwrap_or_default(),
            false => segment.to_owned(),
        };
        self.path.split('/').map(segment).collect::<Vec<_>>().join("/")
    }

    /// Whether it is about one playlist, where a refusal is mostly one of its owner's.
    pub fn is_playlist(&self) -> bool {
        self.path.starts_with("/playlists/")
    }
}

macro_rules! operations {
    ($($name:ident = $method:literal $path:literal [$($scope:literal),*] $repeatable:literal;)*) => {
        $(#[doc = concat!("`", $method, " ", $path, "`")]
        pub const $name: Operation = Operation {
            method: $method,
            path: $path,
            scopes: &[$($scope),*],
            repeatable: $repeatable,
        };)*

        /// All of them.
        pub const ALL: &[&Operation] = &[$(&$name),*];
    };
}

operations! {
    ME = "GET" "/me" [] true;
    SAVED_TRACKS = "GET" "/me/tracks" ["user-library-read"] true;
    SAVED_ALBUMS = "GET" "/me/albums" ["user-library-read"] true;
    SAVED_SHOWS = "GET" "/me/shows" ["user-library-read"] true;
    SAVED_EPISODES = "GET" "/me/episodes" ["user-library-read"] true;
    FOLLOWED = "GET" "/me/following" ["user-follow-read"] true;
    PLAYLISTS = "GET" "/me/playlists" ["playlist-read-private"] true;
    RECENTLY_PLAYED = "GET" "/me/player/recently-played" ["user-read-recently-played"] true;
    SAVE = "PUT" "/me/library" ["user-library-modify", "user-follow-modify", "playlist-modify-public"] true;
    UNSAVE = "DELETE" "/me/library" ["user-library-modify", "user-follow-modify", "playlist-modify-public"] true;
    SEARCH = "GET" "/search" [] true;
    TRACK = "GET" "/tracks/{id}" [] true;
    ALBUM = "GET" "/albums/{id}" [] true;
    ALBUM_TRACKS = "GET" "/albums/{id}/tracks" [] true;
    ARTIST = "GET" "/artists/{id}" [] true;
    ARTIST_ALBUMS = "GET" "/artists/{id}/albums" [] true;
    SHOW = "GET" "/shows/{id}" ["user-read-playback-position"] true;
    SHOW_EPISODES = "GET" "/shows/{id}/episodes" ["user-read-playback-position"] true;
    EPISODE = "GET" "/episodes/{id}" ["user-read-playback-position"] true;
    PLAYLIST = "GET" "/playlists/{playlist_id}" [] true;
    PLAYLIST_ITEMS = "GET" "/playlists/{playlist_id}/items" ["playlist-read-private"] true;
    CREATE_PLAYLIST = "POST" "/me/playlists" ["playlist-modify-public", "playlist-modify-private"] false;
    UPDATE_PLAYLIST = "PUT" "/playlists/{playlist_id}" ["playlist-modify-public", "playlist-modify-private"] true;
    ADD_ITEMS = "POST" "/playlists/{playlist_id}/items" ["playlist-modify-public", "playlist-modify-private"] false;
    REMOVE_ITEMS = "DELETE" "/playlists/{playlist_id}/items" ["playlist-modify-public", "playlist-modify-private"] true;
    REPLACE_ITEMS = "PUT" "/playlists/{playlist_id}/items" ["playlist-modify-public", "playlist-modify-private"] true;
    MOVE_ITEMS = "PUT" "/playlists/{playlist_id}/items" ["playlist-modify-public", "playlist-modify-private"] false;
    SET_IMAGE = "PUT" "/playlists/{playlist_id}/images" ["ugc-image-upload"] true;
}

/// What is asked for when an account signs in.
pub const SCOPES: &[&str] = &[
    "user-library-read",
    "user-library-modify",
    "user-follow-read",
    "user-follow-modify",
    "playlist-read-private",
    "playlist-read-collaborative",
    "playlist-modify-private",
    "playlist-modify-public",
    "ugc-image-upload",
    "user-read-recently-played",
    "user-read-playback-position",
    "user-read-private",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_cannot_leave_their_segment() {
        assert_eq!(PLAYLIST_ITEMS.path_of(&["a/../b?c"]), "/playlists/a%2F..%2Fb%3Fc/items");
        assert_eq!(ME.path_of(&[]), "/me");
    }

    #[test]
    fn every_scope_that_an_operation_needs_is_asked_for() {
        for operation in ALL {
            assert!(operation.scopes.iter().all(|scope| SCOPES.contains(scope)), "{operation:?}");
        }
    }
}
