//! The `subsonic` provider: Navidrome, gonic and all others that speak the Subsonic API, with OpenSubsonic's additions or
//! without.
//!
//! How requests are signed is in [`credentials`], how they are sent in [`client`], what errors mean in [`failure`]; what
//! servers answer is read by [`fields`] and made items by [`items`].

use zotify_plugin_api::{Stage, prelude::*};

mod catalog;
mod client;
mod credentials;
mod failure;
mod fields;
mod items;
mod library;
mod likes;
mod media;
mod page;
mod playlists;
mod settings;
mod setup;

use client::{Server, Session};
use credentials::Auth;
use failure::Failure;
use items::Items;
pub use settings::Settings;

/// What a role at the server allows.
const PLAYLIST_WRITES: [&str; 7] = [
    capability::PLAYLISTS_CREATE,
    capability::PLAYLISTS_UPDATE,
    capability::PLAYLISTS_DELETE,
    capability::PLAYLISTS_ITEMS_ADD,
    capability::PLAYLISTS_ITEMS_REMOVE,
    capability::PLAYLISTS_ITEMS_MOVE,
    capability::PLAYLISTS_ITEMS_REPLACE,
];

/// The provider.
pub struct Subsonic {
    server: Server,
    settings: Settings,
    items: Items,
}

impl Provider for Subsonic {
    const ID: &'static str = "subsonic";
    type Settings = Settings;

    fn manifest() -> ProviderManifest {
        let capabilities = [
            capability::CATALOG_GET,
            capability::CATALOG_CHILDREN,
            capability::CATALOG_SEARCH,
            capability::LIBRARY_TRACKS_READ,
            capability::LIBRARY_ALBUMS_READ,
            capability::LIBRARY_ARTISTS_READ,
            capability::PLAYLISTS_READ,
            capability::LIKES_READ,
            capability::LIKES_WRITE,
            capability::HISTORY_WRITE,
            capability::MEDIA_STREAM,
            capability::ARTWORK_READ,
            capability::DOWNLOAD_AUDIO,
        ];
        let server = HostPermission {
            host: SettingOr::Setting { setting: "/url".into() },
            reason: "to reach the music server that the settings name".into(),
        };
        ProviderManifest {
            description: "Navidrome, gonic and other servers that speak the Subsonic API".into(),
            sign_in: SignIn::SetupFlow,
            library: LibraryKind::Owned,
            permissions: Permissions { hosts: vec![server], ..Permissions::default() },
            ..ProviderManifest::new("Subsonic", capabilities.into_iter().chain(PLAYLIST_WRITES))
        }
    }

    fn new(cx: Context, settings: Settings) -> Result<Self> {
        settings.validate()?;
        Ok(Self { server: Server::new(cx.clone(), &settings)?, settings, items: Items(cx) })
    }

    async fn check(&self, call: Call<()>) -> Result<Checked> {
        // The instance by itself: that a server answers is all there is to know.
        let Some(account) = &call.account else {
            return match self.server.call_unsigned("ping").await {
                Ok(_) | Err(Failure::Api { .. }) => Ok(Checked::default()),
                Err(Failure::Other(error)) => Err(error),
            };
        };
        let session = Session::open(&self.server, &account.id).await?;
        session.call("ping", Vec::new()).await.map_err(|f| f.into_error("the server"))?;
        self.rights(&session).await
    }

    async fn setup(&self, call: Call<SetupRequest>) -> Result<SetupStep> {
        setup::step(&self.server, &call).await
    }

    async fn get(&self, call: Call<Get>) -> Result<Item> {
        catalog::get(&self.session(&call).await?, &self.items, &call.uri).await
    }

    async fn children(&self, call: Call<Children>) -> Result<Page> {
        catalog::children(&self.session(&call).await?, &self.items, &call).await
    }

    async fn search(&self, call: Call<Search>) -> Result<Page> {
        catalog::search(&self.session(&call).await?, &self.items, &call).await
    }

    async fn library_changes(&self, call: Call<LibraryChanges>) -> Result<LibraryPage> {
        library::page(&self.session(&call).await?, &self.items, &call).await
    }

    async fn playlists(&self, call: Call<PageRequest>) -> Result<Page> {
        playlists::list(&self.session(&call).await?, &self.items, &call).await
    }

    async fn playlist_items(&self, call: Call<PlaylistItems>) -> Result<PlaylistPage> {
        playlists::items(&self.session(&call).await?, &self.items, &call).await
    }

    async fn playlist_create(&self, call: Call<PlaylistCreate>) -> Result<Playlist> {
        playlists::create(&self.session(&call).await?, &self.items, &call).await
    }

    async fn playlist_update(&self, call: Call<PlaylistUpdate>) -> Result<Playlist> {
        playlists::update(&self.session(&call).await?, &self.items, &call).await
    }

    async fn playlist_delete(&self, call: Call<ItemKey>) -> Result<()> {
        playlists::delete(&self.session(&call).await?, &call).await
    }

    async fn playlist_edit(&self, call: Call<PlaylistEdit>) -> Result<PlaylistEdited> {
        playlists::edit(&self.session(&call).await?, &call).await
    }

    async fn likes(&self, call: Call<PageRequest>) -> Result<LikesPage> {
        likes::list(&self.session(&call).await?, &self.items, &call).await
    }

    async fn likes_edit(&self, call: Call<LikesEdit>) -> Result<LikesEdited> {
        likes::edit(&self.session(&call).await?, &call).await
    }

    async fn history_add(&self, call: Call<Play>) -> Result<()> {
        let at =
            chrono::DateTime::parse_from_rfc3339(&call.at).map_err(|_| ProviderError::invalid("the time is none"))?;
        if call.item.kind() != Kind::Track {
            return Err(ProviderError::not_found(call.item.uri()));
        }
        let id = call.item.uri().native_id();
        let params =
            vec![("id", id.clone()), ("time", at.timestamp_millis().to_string()), ("submission", "true".to_owned())];
        let session = self.session(&call).await?;
        match session.call("scrobble", params).await {
            Ok(_) => Ok(()),
            Err(failure) => Err(session.explain(failure, "getSong", &id, "the track").await),
        }
    }

    async fn open_media(&self, call: Call<MediaRequest>) -> Result<MediaSource> {
        media::open(&self.session(&call).await?, &self.settings, &call).await
    }

    async fn artwork(&self, call: Call<ArtworkRequest>) -> Result<MediaSource> {
        media::artwork(&self.session(&call).await?, &call).await
    }
}

impl Subsonic {
    async fn session<T>(&self, call: &Call<T>) -> Result<Session> {
        Session::open(&self.server, call.account_id()?).await
    }

    /// What the user's roles allow. Servers that do not tell allow everything, until they refuse it.
    async fn rights(&self, session: &Session) -> Result<Checked> {
        let name = session.credentials.username.clone();
        let mut checked = Checked { account_name: Some(name.clone()), ..Checked::default() };
        let answer = match session.call("getUser", vec![("username", name)]).await {
            Ok(answer) => Some(answer),
            Err(failure) if failure.ends_sign_in().is_some() => return Err(failure.into_error("the user")),
            Err(Failure::Api { .. }) => None,
            Err(Failure::Other(error)) if error.kind == ErrorKind::Unsupported => None,
            Err(Failure::Other(error)) => return Err(error),
        };
        let may = |role: &str| answer.as_ref().and_then(|answer| answer.object("user").flag(role));
        let mut without = |role: &str, code: &str, capabilities: &[&str]| {
            if may(role) == Some(false) {
                let restricted = |name: &&str| ((*name).to_owned(), CapabilityState::Restricted { code: code.into() });
                checked.capabilities.extend(capabilities.iter().map(restricted));
            }
        };
        without("streamRole", "no_stream_role", &[capability::MEDIA_STREAM]);
        without("downloadRole", "no_download_role", &[capability::DOWNLOAD_AUDIO]);
        without("playlistRole", "no_playlist_role", &PLAYLIST_WRITES);
        let kv = self.server.cx.account_kv(&session.account);
        let download = may("downloadRole").unwrap_or(false);
        if kv.get::<bool>(media::MAY_DOWNLOAD).await? != Some(download) {
            kv.put(media::MAY_DOWNLOAD, &download).await?;
        }
        if session.credentials.auth == Auth::Password && self.server.base.scheme() == "http" {
            checked
                .warnings
                .push("The server knows no tokens: the password is sent as it is, without encryption.".into());
        }
        Ok(checked)
    }
}

register_provider!(Subsonic);
export_plugin!("subsonic", "Subsonic", Stage::Beta);
