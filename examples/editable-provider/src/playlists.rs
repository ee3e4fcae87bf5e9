//! Playlists with entries that have ids of their own, and versions that count changes.

use zotify_plugin_api::prelude::*;

use crate::Editable;

/// Entries of a page.
const PAGE: usize = 50;

/// A playlist as the service stores it.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Stored {
    id: String,
    name: String,
    description: Option<String>,
    public: bool,
    collaborative: bool,
    version: u64,
    /// The number of the next entry.
    next: u64,
    entries: Vec<Entry>,
    #[serde(skip)]
    unversioned: bool,
}

#[derive(Clone, Serialize, Deserialize)]
struct Entry {
    id: String,
    track: String,
}

impl Stored {
    fn version(&self) -> Option<String> {
        (!self.unversioned).then(|| format!("v{}", self.version))
    }

    pub(crate) fn shown(&self, cx: &Context) -> Result<Playlist> {
        let mut shown = Playlist::new(cx.uri(Kind::Playlist, &self.id)?, &self.name);
        shown.description.clone_from(&self.description);
        shown.public = Some(self.public);
        shown.collaborative = self.collaborative;
        shown.editable = true;
        shown.item_count = Some(self.entries.len() as u64);
        shown.version = self.version();
        Ok(shown)
    }

    fn fresh(&mut self, track: &str) -> Entry {
        self.next += 1;
        Entry { id: format!("e{}", self.next), track: track.to_owned() }
    }

    fn place(&self, before: Option<&str>) -> Result<usize> {
        match before {
            None => Ok(self.entries.len()),
            Some(id) => {
                let place = self.entries.iter().position(|entry| entry.id == id);
                place.ok_or_else(|| ProviderError::new(ErrorKind::Conflict, format!("there is no entry {id} any more")))
            }
        }
    }

    fn take(&mut self, ids: &[String]) -> Result<Vec<Entry>> {
        ids.iter().map(|id| Ok(self.entries.remove(self.place(Some(id))?))).collect()
    }
}

impl Editable {
    pub(crate) async fn playlist<T>(&self, call: &Call<T>, uri: &Uri) -> Result<Stored> {
        let found: Option<Stored> = self.own(call)?.get(&format!("playlist/{}", uri.native_id())).await?;
        let found = found.ok_or_else(|| ProviderError::not_found("the playlist"))?;
        Ok(Stored { unversioned: self.settings.trouble.no_versions, ..found })
    }

    async fn store<T>(&self, call: &Call<T>, playlist: &Stored) -> Result<()> {
        self.own(call)?.put(&format!("playlist/{}", playlist.id), playlist).await
    }

    pub(crate) async fn all_playlists(&self, call: &Call<PageRequest>) -> Result<Page> {
        let all = self.own(call)?.scan_all::<Stored>("playlist/").await?;
        let unversioned = self.settings.trouble.no_versions;
        let shown = |(_, playlist)| Ok(Item::Playlist(Stored { unversioned, ..playlist }.shown(&self.cx)?));
        all.into_iter().map(shown).collect()
    }

    pub(crate) async fn entries(&self, call: &Call<PlaylistItems>) -> Result<PlaylistPage> {
        let playlist = self.playlist(call, &call.uri).await?;
        let start = call.page.cursor.as_deref().map_or(Ok(0), str::parse::<usize>);
        let start = start.map_err(|_| ProviderError::invalid("there is no such page"))?.min(playlist.entries.len());
        let end = playlist.entries.len().min(start + PAGE);
        let entry = |entry: &Entry| {
            let item = self.item(&entry.track).ok();
            Ok(PlaylistEntry { entry_id: entry.id.clone(), added_at: None, item, title: None })
        };
        let entries = playlist.entries[start..end].iter().map(entry).collect::<Result<Vec<_>>>()?;
        let next = (end < playlist.entries.len()).then(|| end.to_string());
        Ok(PlaylistPage { entries: entries.into(), next, version: playlist.version() })
    }

    pub(crate) async fn make_playlist(&self, call: &Call<PlaylistCreate>) -> Result<Playlist> {
        self.settings.trouble.lose_request(&self.cx).await?;
        let count: u64 = self.own(call)?.get("playlists").await?.unwrap_or_default();
        self.own(call)?.put("playlists", &(count + 1)).await?;
        let playlist = Stored {
            id: format!("p{}", count + 1),
            name: call.name.clone(),
            description: call.description.clone(),
            public: call.public.unwrap_or_default(),
            collaborative: call.collaborative,
            unversioned: self.settings.trouble.no_versions,
            ..Stored::default()
        };
        self.store(call, &playlist).await?;
        self.settings.trouble.lose_answer(&self.cx).await?;
        playlist.shown(&self.cx)
    }

    pub(crate) async fn change_playlist(&self, call: &Call<PlaylistUpdate>) -> Result<Playlist> {
        self.settings.trouble.lose_request(&self.cx).await?;
        let mut playlist = self.playlist(call, &call.playlist.uri).await?;
        if let Some(name) = &call.name {
            playlist.name.clone_from(name);
        }
        if let Some(description) = &call.description {
            playlist.description = Some(description.clone()).filter(|text| !text.is_empty());
        }
        playlist.public = call.public.unwrap_or(playlist.public);
        playlist.collaborative = call.collaborative.unwrap_or(playlist.collaborative);
        playlist.version += 1;
        self.store(call, &playlist).await?;
        self.settings.trouble.lose_answer(&self.cx).await?;
        playlist.shown(&self.cx)
    }

    pub(crate) async fn delete_playlist(&self, call: &Call<ItemKey>) -> Result<()> {
        self.settings.trouble.lose_request(&self.cx).await?;
        self.playlist(call, &call.uri).await?;
        self.own(call)?.delete(&format!("playlist/{}", call.uri.native_id())).await?;
        self.settings.trouble.lose_answer(&self.cx).await
    }

    pub(crate) async fn edit_playlist(&self, call: &Call<PlaylistEdit>) -> Result<PlaylistEdited> {
        self.settings.trouble.lose_request(&self.cx).await?;
        let mut playlist = self.playlist(call, &call.playlist.uri).await?;
        if self.settings.trouble.others_edit {
            let entry = playlist.fresh("1");
            playlist.entries.insert(0, entry);
            playlist.version += 1;
            self.store(call, &playlist).await?;
        }
        if call.version.is_some() && call.version != playlist.version() && !playlist.unversioned {
            return Err(ProviderError::new(ErrorKind::Conflict, "the playlist was changed"));
        }
        let (mut results, mut refused) = (Vec::new(), Vec::new());
        for op in &call.ops {
            let before = playlist.clone();
            match self.apply(&mut playlist, op, &mut refused) {
                Ok(()) => results.push(None),
                Err(error) => {
                    playlist = before;
                    results.push(Some(error));
                    break;
                }
            }
        }
        if results.first().is_some_and(Option::is_none) {
            playlist.version += 1;
            self.store(call, &playlist).await?;
        }
        self.settings.trouble.lose_answer(&self.cx).await?;
        Ok(PlaylistEdited { version: playlist.version(), results, refused: refused.into() })
    }

    fn apply(&self, playlist: &mut Stored, op: &PlaylistOp, refused: &mut Vec<EditResult>) -> Result<()> {
        match op {
            PlaylistOp::Add { items, before } => {
                let at = playlist.place(before.as_deref())?;
                let fresh = self.takes(playlist, items, refused);
                playlist.entries.splice(at..at, fresh);
            }
            PlaylistOp::Move { .. } if self.settings.trouble.no_moves => {
                return Err(ProviderError::unsupported("moving entries of this playlist").with_code("not_movable"));
            }
            PlaylistOp::Move { entries, before } => {
                let moved = playlist.take(entries)?;
                let at = playlist.place(before.as_deref())?;
                playlist.entries.splice(at..at, moved);
            }
            PlaylistOp::Remove { entries } => drop(playlist.take(entries)?),
            PlaylistOp::Replace { items } => playlist.entries = self.takes(playlist, items, refused),
            _ => return Err(ProviderError::unsupported("this change")),
        }
        Ok(())
    }

    fn takes(&self, playlist: &mut Stored, items: &[ItemKey], refused: &mut Vec<EditResult>) -> Vec<Entry> {
        let mut fresh = Vec::with_capacity(items.len());
        for key in items {
            let id = key.uri.native_id();
            match self.item(&id).and_then(|_| self.allowed(&id)) {
                Ok(()) => fresh.push(playlist.fresh(&id)),
                Err(error) => refused.push(EditResult::failed(key.uri.clone(), error)),
            }
        }
        fresh
    }
}
