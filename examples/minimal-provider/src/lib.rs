//! The smallest provider: one track, in the library and found by a search.

use zotify_plugin_api::prelude::*;

struct Minimal {
    cx: Context,
    settings: Settings,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The title of the only track.
    title: String,
}

impl Provider for Minimal {
    const ID: &'static str = "minimal";
    type Settings = Settings;

    fn manifest() -> ProviderManifest {
        ProviderManifest {
            library: LibraryKind::Owned,
            ..ProviderManifest::new("Minimal", [capability::CATALOG_SEARCH, capability::LIBRARY_TRACKS_READ])
        }
    }

    fn new(cx: Context, settings: Settings) -> Result<Self> {
        Ok(Self { cx, settings })
    }

    async fn search(&self, call: Call<Search>) -> Result<Page> {
        let track = Track::new(self.cx.uri(Kind::Track, "1")?, &self.settings.title);
        Ok(Some(track).filter(|t| t.title.contains(&call.query)).map(Item::Track).into_iter().collect())
    }

    async fn library_changes(&self, _: Call<LibraryChanges>) -> Result<LibraryPage> {
        let track = Track::new(self.cx.uri(Kind::Track, "1")?, &self.settings.title);
        Ok(LibraryPage { upsert: vec![Item::Track(track)].into(), ..LibraryPage::default() })
    }
}

register_provider!(Minimal);
export_plugin!("minimal", "Minimal provider");
