//! The `podcast` provider: follows shows by their feeds.
//!
//! Feeds are found by [`web`], read by [`feed`] on top of [`xml`], and remembered by [`reader`]; [`items`] makes items of
//! them. What an account follows stands in [`store`]; [`pull`] tells the host what changed, [`follow`] and [`setup`] change
//! what is followed. Ids that outlive moves are in [`ids`].

use zotify_plugin_api::{Stage, prelude::*};

mod blocking;
mod catalog;
mod feed;
mod follow;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod ids;
mod items;
mod media;
mod opml;
mod pull;
mod reader;
mod settings;
mod setup;
mod store;
mod text;
mod web;
mod xml;

use catalog::Catalog;
use reader::Reader;
pub use settings::Settings;
use store::Store;

/// The most warnings of a check.
const MAX_WARNINGS: usize = 10;

/// The provider.
pub struct Podcast {
    cx: Context,
    reader: Reader,
}

impl Provider for Podcast {
    const ID: &'static str = "podcast";
    type Settings = Settings;

    fn manifest() -> ProviderManifest {
        let capabilities = [
            capability::CATALOG_GET,
            capability::CATALOG_CHILDREN,
            capability::CATALOG_RESOLVE,
            capability::LIBRARY_SHOWS_READ,
            capability::LIBRARY_SHOWS_ADD,
            capability::LIBRARY_SHOWS_REMOVE,
            capability::LIBRARY_EPISODES_READ,
            capability::MEDIA_STREAM,
            capability::DOWNLOAD_AUDIO,
            capability::ARTWORK_READ,
        ];
        let local = HostPermission {
            host: SettingOr::Setting { setting: "/local_origins".into() },
            reason: "to read feeds in your own network that the settings name".into(),
        };
        let anywhere = "to read the feeds that users follow, and play what they name, wherever that is";
        ProviderManifest {
            description: "Podcasts: RSS, Atom and JSON feeds, lists of other players as OPML".into(),
            sign_in: SignIn::SetupFlow,
            library: LibraryKind::Saved,
            permissions: Permissions {
                hosts: vec![local],
                public_internet: Some(anywhere.into()),
                ..Permissions::default()
            },
            ..ProviderManifest::new("Podcasts", capabilities)
        }
    }

    fn new(cx: Context, settings: Settings) -> Result<Self> {
        settings.validate()?;
        Ok(Self { reader: Reader::new(cx.clone(), &settings), cx })
    }

    async fn check(&self, call: Call<()>) -> Result<Checked> {
        let Some(account) = &call.account else { return Ok(Checked::default()) };
        follow::take_over(&self.cx, &account.id).await?;
        Ok(Checked { warnings: self.warnings(&account.id).await?, ..Checked::default() })
    }

    async fn setup(&self, call: Call<SetupRequest>) -> Result<SetupStep> {
        setup::step(&self.cx, &call).await
    }

    async fn get(&self, call: Call<Get>) -> Result<Item> {
        self.catalog(&call)?.get(&call.uri).await
    }

    async fn children(&self, call: Call<Children>) -> Result<Page> {
        self.catalog(&call)?.episodes(&call).await
    }

    async fn resolve(&self, call: Call<Resolve>) -> Result<Resolved> {
        self.catalog(&call)?.resolve(&call.by).await
    }

    async fn library_changes(&self, call: Call<LibraryChanges>) -> Result<LibraryPage> {
        let account = call.account_id()?;
        follow::take_over(&self.cx, account).await?;
        pull::page(&self.cx, &self.reader, account, &call).await
    }

    async fn library_edit(&self, call: Call<LibraryEdit>) -> Result<LibraryEdited> {
        let account = call.account_id()?;
        follow::take_over(&self.cx, account).await?;
        follow::edit(&self.cx, account, &call).await
    }

    async fn open_media(&self, call: Call<MediaRequest>) -> Result<MediaSource> {
        media::open(&self.catalog(&call)?, &call).await
    }

    async fn artwork(&self, call: Call<ArtworkRequest>) -> Result<MediaSource> {
        media::artwork(&self.catalog(&call)?, &call).await
    }
}

impl Podcast {
    fn catalog<'a, T>(&'a self, call: &'a Call<T>) -> Result<Catalog<'a>> {
        Ok(Catalog { cx: &self.cx, reader: &self.reader, account: call.account_id()? })
    }

    /// What of the followed feeds cannot be read, and why.
    async fn warnings(&self, account: &str) -> Result<Vec<String>> {
        let store = Store::of(&self.cx, account);
        let followed = store.subscriptions().await?;
        let mut warnings = Vec::new();
        for (show, state) in store.states().await? {
            let Some(subscription) = followed.get(&show) else { continue };
            let name = state.title.or_else(|| subscription.title.clone()).unwrap_or_else(|| "A podcast".to_owned());
            match state.failing {
                _ if state.gone => warnings.push(format!("{name}: the publisher took the feed away.")),
                Some((_, why)) => warnings.push(format!("{name}: {}.", why.detail)),
                None => {}
            }
        }
        let more = warnings.len().saturating_sub(MAX_WARNINGS);
        warnings.truncate(MAX_WARNINGS);
        if more > 0 {
            warnings.push(format!("{more} more feeds cannot be read."));
        }
        Ok(warnings)
    }
}

register_provider!(Podcast);
export_plugin!("podcast", "Podcasts", Stage::Beta);
