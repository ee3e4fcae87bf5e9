//! A library in a temporary folder, and what a host would make of it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use zotify_plugin_api::{
    Album, Artist, Completeness, Item, LibraryChanges, LibraryPage, Listing, Provider as _, Result, Track, Uri,
    testing::{FakeHost, call},
    wire,
};
use zotify_plugin_local::{Local, Settings};

/// A folder, the provider that reads it, and a host.
pub(crate) struct Library {
    pub(crate) dir: TempDir,
    pub(crate) host: FakeHost,
    pub(crate) local: Local,
    settings: Settings,
    /// What the host has.
    pub(crate) mirror: BTreeMap<Uri, Item>,
    token: Option<String>,
}

/// What a run told.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) pages: usize,
    pub(crate) upserted: Vec<Uri>,
    pub(crate) removed: Vec<Uri>,
    pub(crate) moved: Vec<(Uri, Uri)>,
    pub(crate) skipped: Vec<(String, String)>,
    pub(crate) completeness: Completeness,
    named: Vec<Uri>,
}

impl Run {
    pub(crate) fn is_complete(&self) -> bool {
        self.completeness == Completeness::Complete
    }

    pub(crate) fn partial_code(&self) -> Option<&str> {
        match &self.completeness {
            Completeness::Partial { code, .. } => Some(code),
            _ => None,
        }
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.upserted.is_empty() && self.removed.is_empty() && self.moved.is_empty()
    }
}

impl Library {
    /// An empty one, of the subfolder `music`.
    pub(crate) fn new() -> Self {
        Self::with(|root| format!(r#"{{"folders": [{root:?}], "watch": false}}"#))
    }

    /// One with settings of one's own; the argument is the path of the folder `music`.
    pub(crate) fn with(settings: impl FnOnce(&Path) -> String) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("music");
        fs::create_dir(&root).unwrap();
        let settings: Settings = serde_json::from_str(&settings(&root)).unwrap();
        let host = FakeHost::default();
        host.set_now_ms(1_790_000_000_000);
        let local = Local::new(host.context("local"), settings.clone()).unwrap();
        Self { dir, host, local, settings, mirror: BTreeMap::new(), token: None }
    }

    pub(crate) fn path(&self, rel: &str) -> PathBuf {
        self.dir.path().join("music").join(rel)
    }

    /// Ends the plugin, and starts it again.
    pub(crate) fn restart(&mut self) {
        self.local = Local::new(self.host.context("local"), self.settings.clone()).unwrap();
    }

    /// Asks for a page, as it would cross the boundary.
    pub(crate) async fn page(&self, cursor: Option<&str>) -> Result<LibraryPage> {
        let request = LibraryChanges { since: self.token.clone(), cursor: cursor.map(Into::into) };
        let page = self.local.library_changes(call(request)).await?;
        let bytes = wire::encode(&page)?;
        assert!(bytes.len() < wire::MAX_PAYLOAD, "a page has {} bytes", bytes.len());
        let decoded: LibraryPage = wire::decode(&bytes)?;
        assert_eq!(decoded, page);
        Ok(page)
    }

    /// A whole run.
    pub(crate) async fn scan(&mut self) -> Run {
        self.scan_from(None, Run::default()).await
    }

    /// The rest of a run.
    pub(crate) async fn scan_from(&mut self, mut cursor: Option<String>, mut run: Run) -> Run {
        loop {
            let page = self.page(cursor.as_deref()).await.unwrap();
            cursor.clone_from(&page.next);
            let listing = page.listing;
            let token = page.sync_token.clone();
            self.apply(page, &mut run);
            if cursor.is_none() {
                if run.is_complete() {
                    assert!(token.is_some());
                    if listing == Listing::Everything {
                        self.mirror.retain(|uri, _| run.named.contains(uri));
                    }
                    self.token = token;
                }
                return run;
            }
        }
    }

    /// Does with a page what a host does.
    pub(crate) fn apply(&mut self, page: LibraryPage, run: &mut Run) {
        run.pages += 1;
        for item in page.upsert.rows {
            run.upserted.push(item.uri().clone());
            run.named.push(item.uri().clone());
            self.mirror.insert(item.uri().clone(), item);
        }
        for (old, new) in page.moved {
            self.mirror.remove(&old);
            run.moved.push((old, new));
        }
        for uri in page.removed {
            self.mirror.remove(&uri);
            run.removed.push(uri);
        }
        run.named.extend(page.unchanged);
        run.skipped.extend(page.skipped.into_iter().map(|s| (s.name, s.code)));
        run.completeness = page.completeness;
    }

    pub(crate) fn tracks(&self) -> Vec<&Track> {
        self.mirror.values().filter_map(|item| if let Item::Track(track) = item { Some(track) } else { None }).collect()
    }

    pub(crate) fn albums(&self) -> Vec<&Album> {
        self.mirror.values().filter_map(|item| if let Item::Album(album) = item { Some(album) } else { None }).collect()
    }

    pub(crate) fn artists(&self) -> Vec<&Artist> {
        self.mirror.values().filter_map(|i| if let Item::Artist(artist) = i { Some(artist) } else { None }).collect()
    }

    /// Titles of all tracks, sorted.
    pub(crate) fn titles(&self) -> Vec<String> {
        let mut titles: Vec<_> = self.tracks().into_iter().map(|track| track.title.clone()).collect();
        titles.sort();
        titles
    }

    /// The only track with a title.
    pub(crate) fn track(&self, title: &str) -> &Track {
        let found: Vec<_> = self.tracks().into_iter().filter(|track| track.title == title).collect();
        assert_eq!(found.len(), 1, "tracks called {title}: {:?}", self.titles());
        found[0]
    }
}
