//! What kind of service is played.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

/// How the simulator is made. The same options make the same content.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Address to listen on; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:9099")]
    pub listen: SocketAddr,
    /// What content is drawn from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many users can sign in
    #[arg(long, default_value_t = 1)]
    pub users: usize,
    /// Saved tracks of each user
    #[arg(long, default_value_t = 2_000)]
    pub tracks: usize,
    /// Saved albums of each user
    #[arg(long, default_value_t = 60)]
    pub albums: usize,
    /// Saved shows of each user
    #[arg(long, default_value_t = 6)]
    pub shows: usize,
    /// Saved episodes of each user
    #[arg(long, default_value_t = 25)]
    pub episodes: usize,
    /// Followed artists of each user
    #[arg(long, default_value_t = 60)]
    pub artists: usize,
    /// Playlists of each user, own and followed
    #[arg(long, default_value_t = 30)]
    pub playlists: usize,
    /// Answer in the shape of apps with extended quota, with the fields and limits that others lost in February 2026
    #[arg(long)]
    pub legacy: bool,
    /// Leave out what the published contract does not allow and the service does: local files, images that are null
    #[arg(long)]
    pub tame: bool,
    /// Agree at once to every sign-in, as this user (`1` is the first), without showing a page
    #[arg(long, value_name = "NUMBER")]
    pub agree_as: Option<usize>,
    /// What an answer to a refresh says about the refresh token
    #[arg(long, value_enum, default_value_t = RefreshToken::Absent)]
    pub refresh_token: RefreshToken,
    /// Seconds that an access token lives
    #[arg(long, default_value_t = 3_600)]
    pub access_lives_s: i64,
    /// Take any access token for the first user's, with every scope: those of another accounts service
    #[arg(long)]
    pub any_token: bool,
    /// Client ids that are known; any where none is named
    #[arg(long = "client-id", value_name = "ID")]
    pub client_ids: Vec<String>,
    /// Redirect URIs that are registered, to the letter; any that the service would register where none is named
    #[arg(long = "redirect-uri", value_name = "URI")]
    pub redirect_uris: Vec<String>,
    /// Refuse artists in `PUT` and `DELETE /me/library`, which documents disagree about
    #[arg(long)]
    pub no_artists_in_library: bool,
}

impl Default for Options {
    /// The defaults of the command line, on any free port.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            seed: 1,
            users: 1,
            tracks: 2_000,
            albums: 60,
            shows: 6,
            episodes: 25,
            artists: 60,
            playlists: 30,
            legacy: false,
            tame: false,
            agree_as: None,
            refresh_token: RefreshToken::Absent,
            access_lives_s: 3_600,
            any_token: false,
            client_ids: Vec::new(),
            redirect_uris: Vec::new(),
            no_artists_in_library: false,
        }
    }
}

/// What the answer to a refresh says about the refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshToken {
    /// Nothing, as since July 2026: the old one goes on.
    Absent,
    /// An empty string.
    Empty,
    /// The one that was sent.
    Same,
    /// Another one, as before July 2026: the old one is used up.
    Rotate,
}
