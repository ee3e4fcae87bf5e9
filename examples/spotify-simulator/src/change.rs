//! What happens at the service without the client's doing.

use serde::{Deserialize, Serialize};

use crate::{options::RefreshToken, state::State};

/// Something happens at the service.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// The service's clock goes ahead.
    Advance {
        /// Seconds.
        seconds: i64,
    },
    /// All access tokens expire.
    ExpireTokens,
    /// A user takes the consent back: refresh tokens are refused from now on, access tokens at once.
    Revoke {
        /// The user's id.
        user: String,
    },
    /// What answers to refreshes say about the refresh token from now on.
    RefreshTokens {
        /// What they say.
        how: RefreshToken,
    },
    /// A user saves something in another app.
    Save {
        /// The user's id.
        user: String,
        /// URIs, the last ends on top.
        uris: Vec<String>,
    },
    /// A user removes something in another app.
    Remove {
        /// The user's id.
        user: String,
        /// URIs.
        uris: Vec<String>,
    },
    /// A user removes the newest tracks in another app.
    RemoveNewest {
        /// The user's id.
        user: String,
        /// How many.
        count: usize,
    },
    /// A saved track is listed as another one with the same ISRC from now on.
    Relink {
        /// URI of the track.
        from: String,
        /// URI as which it is listed.
        to: String,
    },
    /// Something is not there any more: wherever it is saved a row without content is listed from now on, and of a playlist
    /// no row at all.
    Hide {
        /// URI of a track, album, show, episode, artist or playlist.
        uri: String,
    },
    /// What was hidden is there again.
    Show {
        /// Its URI.
        uri: String,
    },
    /// The rows of a playlist become others, in another app.
    Rows {
        /// The playlist's id.
        playlist: String,
        /// URIs; `spotify:local:…` too.
        uris: Vec<String>,
    },
}

/// Makes something happen. An error says what is not known.
pub(crate) fn apply(state: &mut State, change: &Change) -> Result<(), String> {
    let who = |state: &State, user: &str| state.user(user).ok_or_else(|| format!("no user {user}"));
    match change {
        Change::Advance { seconds } => state.ahead_ms += seconds * 1_000,
        Change::ExpireTokens => state.access.values_mut().for_each(|access| access.until_ms = 0),
        Change::Revoke { user } => {
            let user = who(state, user)?;
            state.access.retain(|_, access| access.user != user);
            state.refresh.values_mut().filter(|token| token.user == user).for_each(|token| token.revoked = true);
        }
        Change::RefreshTokens { how } => state.options.refresh_token = *how,
        Change::Save { user, uris } => {
            let user = who(state, user)?;
            uris.iter().for_each(|uri| state.save(user, uri));
        }
        Change::Remove { user, uris } => {
            let user = who(state, user)?;
            uris.iter().for_each(|uri| state.unsave(user, uri));
        }
        Change::RemoveNewest { user, count } => {
            let user = who(state, user)?;
            if let Some(tracks) = state.users[user].saved.get_mut("track") {
                tracks.drain(..(*count).min(tracks.len()));
            }
        }
        Change::Relink { from, to } => relink(state, from, to)?,
        Change::Hide { uri } => _ = state.hidden.insert(uri.clone()),
        Change::Show { uri } if state.hidden.remove(uri) => {}
        Change::Show { uri } => return Err(format!("{uri} is not hidden")),
        Change::Rows { playlist, uris } => {
            let now = state.now_ms();
            let playlist = state.playlists.get_mut(playlist).ok_or_else(|| format!("no playlist {playlist}"))?;
            playlist.rows.clear();
            playlist.insert(0, uris, playlist.owner, now);
            playlist.touch();
        }
    }
    Ok(())
}

fn relink(state: &mut State, from: &str, to: &str) -> Result<(), String> {
    use crate::content::Item::Track;
    let (Some(Track(old)), Some(Track(new))) = (state.catalogue.find(from), state.catalogue.find(to)) else {
        return Err("both must be tracks".to_owned());
    };
    state.catalogue.tracks[new].isrc = state.catalogue.tracks[old].isrc.clone();
    state.relinked.insert(from.to_owned(), to.to_owned());
    Ok(())
}
