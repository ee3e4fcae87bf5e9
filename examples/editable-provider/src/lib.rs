//! A provider whose libraries and playlists can be changed: what a service would store lies in key-value entries of the
//! account. Settings make it misbehave as services do.

mod playlists;
mod trouble;

use std::collections::BTreeMap;

use zotify_plugin_api::{KeyValue, model::ResolveBy, prelude::*};

use trouble::Trouble;

/// Where the service's pages would be.
const WEB: &str = "https://editable.example/";

struct Editable {
    cx: Context,
    settings: Settings,
}

/// What the service is like. Its tracks have the ids 1, 2, 3 and so on.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The tracks' titles.
    titles: Vec<String>,
    /// The albums' titles; their ids are a1, a2, a3 and so on.
    #[serde(default)]
    albums: Vec<String>,
    /// How many tracks, from the first, every account has saved from the beginning.
    #[serde(default)]
    saved: usize,
    /// Ids of items that nobody may save or add to a playlist.
    #[serde(default)]
    refused: Vec<String>,
    /// Capabilities that accounts don't have, and why.
    #[serde(default)]
    restricted: BTreeMap<String, String>,
    /// What goes wrong.
    #[serde(default)]
    trouble: Trouble,
}

impl Provider for Editable {
    const ID: &'static str = "editable";
    type Settings = Settings;

    fn manifest() -> ProviderManifest {
        let capabilities = [
            capability::CATALOG_GET,
            capability::CATALOG_SEARCH,
            capability::CATALOG_RESOLVE,
            capability::LIBRARY_TRACKS_READ,
            capability::LIBRARY_ALBUMS_READ,
            capability::LIBRARY_TRACKS_ADD,
            capability::LIBRARY_TRACKS_REMOVE,
            capability::LIBRARY_ALBUMS_ADD,
            capability::LIBRARY_ALBUMS_REMOVE,
            capability::LIKES_WRITE,
            capability::PLAYLISTS_READ,
            capability::PLAYLISTS_CREATE,
            capability::PLAYLISTS_UPDATE,
            capability::PLAYLISTS_DELETE,
            capability::PLAYLISTS_ITEMS_ADD,
            capability::PLAYLISTS_ITEMS_REMOVE,
            capability::PLAYLISTS_ITEMS_MOVE,
            capability::PLAYLISTS_ITEMS_REPLACE,
            capability::PLAYLISTS_IMAGE,
            capability::HISTORY_WRITE,
        ];
        ProviderManifest {
            sign_in: SignIn::SetupFlow,
            library: LibraryKind::Saved,
            likes_are_saved_tracks: true,
            ..ProviderManifest::new("Editable", capabilities)
        }
    }

    fn new(cx: Context, settings: Settings) -> Result<Self> {
        Ok(Self { cx, settings })
    }

    async fn check(&self, call: Call<()>) -> Result<Checked> {
        self.settings.trouble.sign_in(&call)?;
        let restricted = self.settings.restricted.iter();
        let restricted =
            restricted.map(|(name, code)| (name.clone(), CapabilityState::Restricted { code: code.clone() }));
        Ok(Checked { capabilities: restricted.collect(), ..Checked::default() })
    }

    async fn get(&self, call: Call<Get>) -> Result<Item> {
        self.count(&call, "get").await?;
        if call.uri.kind() == Kind::Playlist {
            return Ok(Item::Playlist(self.playlist(&call, &call.uri).await?.shown(&self.cx)?));
        }
        self.item(&call.uri.native_id())
    }

    async fn search(&self, call: Call<Search>) -> Result<Page> {
        self.count(&call, "search").await?;
        self.settings.trouble.wait(&self.cx).await?;
        if self.settings.trouble.search_fails(self.counted(&call, "search").await?) {
            return Err(ProviderError::unavailable("the catalogue is away"));
        }
        let words = call.query.to_lowercase();
        let found = self.settings.titles.iter().enumerate().filter(|(_, title)| title.to_lowercase().contains(&words));
        found.map(|(n, _)| self.item(&(n + 1).to_string())).collect()
    }

    async fn resolve(&self, call: Call<Resolve>) -> Result<Resolved> {
        self.count(&call, "resolve").await?;
        let found = match &call.by {
            ResolveBy::Text { text } => {
                let id = text.strip_prefix(WEB).and_then(|path| path.rsplit('/').next());
                id.map(|id| self.item(id)).transpose()?
            }
            ResolveBy::Isrc { isrc } => self.by(|track| track.isrc.as_ref() == Some(isrc))?,
            ResolveBy::Mbid { mbid } => self.by(|track| track.mbid.as_ref() == Some(mbid))?,
            _ => None,
        };
        Ok(Resolved { items: found.into_iter().collect(), uri: None })
    }

    async fn library_changes(&self, call: Call<LibraryChanges>) -> Result<LibraryPage> {
        self.settings.trouble.sign_in(&call)?;
        let mut all = Vec::new();
        for (id, added_at) in self.saved(&call).await? {
            let mut item = self.item(&id)?;
            if let Item::Track(track) = &mut item {
                track.added_at = added_at;
            }
            all.push(item);
        }
        let forecast = Some(Forecast { requests: 3, items: all.len() as u64 });
        let progress = Some(Progress { done: all.len() as u64, total: Some(all.len() as u64) });
        Ok(LibraryPage { upsert: all.into(), forecast, progress, ..LibraryPage::default() })
    }

    async fn library_edit(&self, call: Call<LibraryEdit>) -> Result<LibraryEdited> {
        self.count(&call, "library_edit").await?;
        Ok(LibraryEdited { results: self.save(&call, &call.add, &call.remove).await?.into() })
    }

    async fn likes_edit(&self, call: Call<LikesEdit>) -> Result<LikesEdited> {
        self.count(&call, "likes_edit").await?;
        Ok(LikesEdited { results: self.save(&call, &call.add, &call.remove).await?.into() })
    }

    async fn playlists(&self, call: Call<PageRequest>) -> Result<Page> {
        self.all_playlists(&call).await
    }

    async fn playlist_items(&self, call: Call<PlaylistItems>) -> Result<PlaylistPage> {
        self.entries(&call).await
    }

    async fn playlist_create(&self, call: Call<PlaylistCreate>) -> Result<Playlist> {
        self.make_playlist(&call).await
    }

    async fn playlist_update(&self, call: Call<PlaylistUpdate>) -> Result<Playlist> {
        self.change_playlist(&call).await
    }

    async fn playlist_delete(&self, call: Call<ItemKey>) -> Result<()> {
        self.delete_playlist(&call).await
    }

    async fn playlist_edit(&self, call: Call<PlaylistEdit>) -> Result<PlaylistEdited> {
        self.edit_playlist(&call).await
    }

    async fn playlist_image(&self, call: Call<PlaylistImage>) -> Result<()> {
        self.own(&call)?.put(&format!("image/{}", call.playlist.uri.native_id()), &(call.bytes.len() as u64)).await
    }

    async fn history_add(&self, call: Call<Play>) -> Result<()> {
        self.count(&call, "history_add").await?;
        if self.settings.trouble.refuses(self.counted(&call, "history_add").await?) {
            return Err(ProviderError::unavailable("the service is away").with_retry_after_ms(100));
        }
        self.own(&call)?.put(&format!("play/{}", call.at), &call.item.uri().native_id()).await?;
        self.settings.trouble.lose_answer(&self.cx).await
    }
}

impl Editable {
    fn own<T>(&self, call: &Call<T>) -> Result<KeyValue> {
        Ok(self.cx.account_kv(call.account_id()?))
    }

    /// Counts what the service is asked, for those who want to see that.
    async fn count<T>(&self, call: &Call<T>, method: &str) -> Result<()> {
        let count = self.counted(call, method).await?;
        self.own(call)?.put(&format!("count/{method}"), &(count + 1)).await
    }

    async fn counted<T>(&self, call: &Call<T>, method: &str) -> Result<u32> {
        Ok(self.own(call)?.get(&format!("count/{method}")).await?.unwrap_or_default())
    }

    fn item(&self, id: &str) -> Result<Item> {
        let missing = || ProviderError::not_found("the item");
        if let Some(number) = id.strip_prefix('a') {
            let place = number.parse::<usize>().ok().and_then(|n| n.checked_sub(1)).ok_or_else(missing)?;
            let title = self.settings.albums.get(place).ok_or_else(missing)?;
            return Ok(Item::Album(Album::new(self.cx.uri(Kind::Album, id)?, title)));
        }
        let number = id.parse::<usize>().ok().filter(|n| n.to_string() == id).ok_or_else(missing)?;
        let title = number.checked_sub(1).and_then(|n| self.settings.titles.get(n)).ok_or_else(missing)?;
        let mut track = Track::new(self.cx.uri(Kind::Track, id)?, title);
        track.isrc = Some(format!("XXEDT26{number:05}"));
        track.mbid = Some(format!("00000000-0000-4000-8000-{number:012}"));
        track.web_url = Some(format!("{WEB}track/{id}"));
        track.artists = vec![ArtistRef { name: format!("Artist {number}"), uri: Some(self.cx.uri(Kind::Artist, id)?) }];
        Ok(Item::Track(track))
    }

    fn by(&self, wanted: impl Fn(&Track) -> bool) -> Result<Option<Item>> {
        for n in 1..=self.settings.titles.len() {
            let item = self.item(&n.to_string())?;
            if matches!(&item, Item::Track(track) if wanted(track)) {
                return Ok(Some(item));
            }
        }
        Ok(None)
    }

    /// What the account saved, by id, and since when.
    async fn saved<T>(&self, call: &Call<T>) -> Result<BTreeMap<String, Option<String>>> {
        let said = self.own(call)?.scan_all::<bool>("saved/").await?;
        let mut all: BTreeMap<String, Option<String>> =
            (1..=self.settings.saved).map(|n| (n.to_string(), None)).collect();
        for (key, saved) in said {
            let id = key.trim_start_matches("saved/").to_owned();
            all.remove(&id);
            if saved {
                all.insert(id, None);
            }
        }
        Ok(all)
    }

    async fn save<T>(&self, call: &Call<T>, add: &[ItemKey], remove: &[ItemKey]) -> Result<Vec<EditResult>> {
        self.settings.trouble.sign_in(call)?;
        let kv = self.own(call)?;
        let mut results = Vec::with_capacity(add.len() + remove.len());
        let wanted = add.iter().map(|key| (key, true));
        for (key, saved) in wanted.chain(remove.iter().map(|key| (key, false))) {
            let (uri, id) = (key.uri.clone(), key.uri.native_id());
            if let Err(error) = self.item(&id).and_then(|_| self.allowed(&id)) {
                results.push(EditResult::failed(uri, error));
                continue;
            }
            kv.put(&format!("saved/{id}"), &saved).await?;
            results.push(EditResult::done(uri));
        }
        Ok(results)
    }

    fn allowed(&self, id: &str) -> Result<()> {
        if self.settings.refused.iter().any(|refused| refused == id) {
            let text = "the service does not take this item";
            return Err(ProviderError::new(ErrorKind::Restricted, text).with_code("item_refused"));
        }
        Ok(())
    }
}

register_provider!(Editable);
export_plugin!("editable", "Editable provider");
