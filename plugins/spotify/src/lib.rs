//! The `spotify` provider: library, playlists and catalogue of Spotify, through its Web API as it is for apps in development
//! mode. It serves no audio.
//!
//! How requests are sent is in [`client`], the sign-in in [`setup`] and [`token`], which operations there are in
//! [`endpoints`], what answers mean in [`decode`], [`pages`] and [`error`]; the rest is one module per task.

use zotify_plugin_api::{Limits, Stage, prelude::*};

mod catalog;
mod check;
mod client;
mod decode;
mod edit;
mod edit_library;
pub mod endpoints;
mod error;
mod library;
mod pages;
mod playlists;
mod resolve;
mod settings;
mod setup;
mod text;
mod token;

pub use settings::Settings;

/// How often the Web API may be asked: what apps in development mode were seen to get, less a reserve.
const BUDGET: BudgetLimits = BudgetLimits { window_requests: 45, window_ms: 30_000, daily_requests: Some(1000) };

/// The provider.
pub struct Spotify {
    cx: Context,
    settings: Settings,
}

impl Provider for Spotify {
    const ID: &'static str = "spotify";
    type Settings = Settings;

    fn manifest() -> ProviderManifest {
        ProviderManifest {
            description: "Library, playlists and catalogue of Spotify, without audio".into(),
            sign_in: SignIn::SetupFlow,
            library: LibraryKind::Saved,
            likes_are_saved_tracks: true,
            permissions: Permissions { hosts: hosts(), ..Permissions::default() },
            limits: Limits { budget: Some(BUDGET), ..Limits::default() },
            ..ProviderManifest::new("Spotify", check::capabilities())
        }
    }

    fn new(cx: Context, settings: Settings) -> Result<Self> {
        Ok(Self { cx, settings: settings.validate()? })
    }

    async fn check(&self, call: Call<()>) -> Result<Checked> {
        check::check(self, &call).await
    }

    async fn setup(&self, call: Call<SetupRequest>) -> Result<SetupStep> {
        setup::step(self, &call).await
    }

    async fn get(&self, call: Call<Get>) -> Result<Item> {
        catalog::get(self, &call).await
    }

    async fn children(&self, call: Call<Children>) -> Result<Page> {
        catalog::children(self, &call).await
    }

    async fn search(&self, call: Call<Search>) -> Result<Page> {
        catalog::search(self, &call).await
    }

    async fn resolve(&self, call: Call<Resolve>) -> Result<Resolved> {
        resolve::resolve(self, &call).await
    }

    async fn history(&self, call: Call<PageRequest>) -> Result<PlaysPage> {
        catalog::history(self, &call).await
    }

    async fn artwork(&self, call: Call<ArtworkRequest>) -> Result<MediaSource> {
        catalog::artwork(self, &call).await
    }

    async fn library_changes(&self, call: Call<LibraryChanges>) -> Result<LibraryPage> {
        library::page(self, &call).await
    }

    async fn likes(&self, call: Call<PageRequest>) -> Result<LikesPage> {
        library::likes(self, &call).await
    }

    async fn library_edit(&self, call: Call<LibraryEdit>) -> Result<LibraryEdited> {
        let results = edit_library::edit(self, &call, &call.add, &call.remove).await?;
        Ok(LibraryEdited { results: results.into() })
    }

    async fn likes_edit(&self, call: Call<LikesEdit>) -> Result<LikesEdited> {
        let results = edit_library::edit(self, &call, &call.add, &call.remove).await?;
        Ok(LikesEdited { results: results.into() })
    }

    async fn playlists(&self, call: Call<PageRequest>) -> Result<Page> {
        playlists::list(self, &call).await
    }

    async fn playlist_items(&self, call: Call<PlaylistItems>) -> Result<PlaylistPage> {
        playlists::entries(self, &call).await
    }

    async fn playlist_create(&self, call: Call<PlaylistCreate>) -> Result<Playlist> {
        edit::details::create(self, &call).await
    }

    async fn playlist_update(&self, call: Call<PlaylistUpdate>) -> Result<Playlist> {
        edit::details::update(self, &call).await
    }

    async fn playlist_delete(&self, call: Call<ItemKey>) -> Result<()> {
        edit::details::delete(self, &call).await
    }

    async fn playlist_image(&self, call: Call<PlaylistImage>) -> Result<()> {
        edit::details::image(self, &call).await
    }

    async fn playlist_edit(&self, call: Call<PlaylistEdit>) -> Result<PlaylistEdited> {
        edit::edit(self, &call).await
    }
}

fn hosts() -> Vec<HostPermission> {
    let value = |name: &str| SettingOr::Value(name.into());
    let setting = |pointer: &str| SettingOr::Setting { setting: pointer.into() };
    let api = "to read and change the library and playlists";
    let sign_in = "to sign accounts in";
    let pictures = "to show pictures";
    let links = "to follow short links";
    [
        (value("api.spotify.com"), api),
        (setting("/api_base"), api),
        (value("accounts.spotify.com"), sign_in),
        (setting("/accounts_base"), sign_in),
        (value("*.scdn.co"), pictures),
        (value("*.spotifycdn.com"), pictures),
        (value("spotify.link"), links),
        (setting("/short_link_base"), links),
        (value("spotify.app.link"), links),
        (value("open.spotify.com"), links),
    ]
    .map(|(host, reason)| HostPermission { host, reason: reason.into() })
    .into()
}

register_provider!(Spotify);
export_plugin!("spotify", "Spotify", Stage::Beta);
