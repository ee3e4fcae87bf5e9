//! Does on request what no plugin should, so that tests can see what becomes of it.
//!
//! A search is a command: `search("panic")`, `search("read /etc/passwd")`, … Its outcome is the title of the only track
//! in the answer. Which commands there are stands in the modules: [`calls`] that do not end as they should, [`floods`] of
//! the host's services, what the [`sandbox`] should refuse; [`answers`] that are no answers. `get`, `children` and
//! `open_media` take their command from the item's id, a library from the settings.

use std::{path::PathBuf, sync::OnceLock};

use futures::StreamExt as _;
use zotify_plugin_api::prelude::*;

mod answers;
mod calls;
mod floods;
mod raw;
mod sandbox;

struct Hostile {
    cx: Context,
    settings: Settings,
    tracks: OnceLock<Result<Page>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Folders that it may read.
    #[serde(default)]
    folders: Vec<PathBuf>,
    /// A server that it may talk to.
    #[serde(default)]
    server: Option<String>,
    /// How the constructor misbehaves.
    #[serde(default)]
    start: calls::Start,
    /// What its library is like.
    #[serde(default)]
    library: answers::Library,
    /// Whether it panics when it is dropped.
    #[serde(default)]
    dies_badly: bool,
}

impl Provider for Hostile {
    const ID: &'static str = "hostile";
    type Settings = Settings;

    fn manifest() -> ProviderManifest {
        let setting = |pointer: &str| SettingOr::Setting { setting: pointer.into() };
        let reason = || "to try what it can reach".to_owned();
        let files = vec![FilePermission { folder: setting("/folders"), access: FileAccess::Read, reason: reason() }];
        let hosts = vec![HostPermission { host: setting("/server"), reason: reason() }];
        let capabilities = [
            capability::CATALOG_SEARCH,
            capability::CATALOG_GET,
            capability::CATALOG_CHILDREN,
            capability::LIBRARY_TRACKS_READ,
            capability::MEDIA_STREAM,
        ];
        ProviderManifest {
            permissions: Permissions { files, hosts, ..Permissions::default() },
            ..ProviderManifest::new("Hostile", capabilities)
        }
    }

    fn new(cx: Context, settings: Settings) -> Result<Self> {
        settings.start.misbehave()?;
        Ok(Self { cx, settings, tracks: OnceLock::new() })
    }

    async fn search(&self, call: Call<Search>) -> Result<Page> {
        let (command, argument) = call.query.split_once(' ').unwrap_or((&call.query, ""));
        if command == "tracks" {
            return self.tracks(argument);
        }
        let outcome = match command {
            "echo" => argument.to_owned(),
            "pid" => std::process::id().to_string(),
            "folders" => self.settings.folders.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(","),
            "fetch" => self.cx.http().get(argument).send().await?.body.len().to_string(),
            "server" => self.settings.server.clone().unwrap_or_default(),
            "changed" => self.cx.library_changed(None).await.map(|()| "told".into())?,
            _ => match calls::misbehave(&self.cx, command, argument).await? {
                Some(outcome) => outcome,
                None => match floods::flood(&self.cx, command, argument).await? {
                    Some(outcome) => outcome,
                    None => sandbox::outcome(&sandbox::attempt(command, argument)),
                },
            },
        };
        let track = Track::new(self.cx.uri(Kind::Track, "1")?, outcome);
        Ok(std::iter::once(Item::Track(track)).collect())
    }

    async fn get(&self, call: Call<Get>) -> Result<Item> {
        answers::item(&self.cx, &call.uri)
    }

    async fn children(&self, call: Call<Children>) -> Result<Page> {
        answers::children(&self.cx, &call.uri)
    }

    async fn library_changes(&self, call: Call<LibraryChanges>) -> Result<LibraryPage> {
        answers::library(&self.cx, &self.settings, call.cursor.as_deref())
    }

    async fn open_media(&self, call: Call<MediaRequest>) -> Result<MediaSource> {
        answers::media(&call.uri.native_id())
    }

    /// As many bytes as the token says, and then what comes behind a colon: `100000`, `3:fail`, `3:wait`, `3:bomb`,
    /// `3:abort`.
    async fn open_stream(&self, call: Call<StreamRequest>) -> Result<ByteStream> {
        let (count, end) = call.token.split_once(':').unwrap_or((&call.token, ""));
        let count: usize = count.parse().map_err(|_| ProviderError::not_found("the stream"))?;
        let bytes = (0..=250_u8).cycle().take(count).collect();
        let end = match end {
            "fail" => futures::stream::iter([Err(ProviderError::unavailable("gone in the middle"))]).boxed(),
            "wait" => futures::stream::pending().boxed(),
            "abort" => futures::stream::poll_fn(|_| std::process::abort()).boxed(),
            "bomb" => {
                let bomb = calls::PanicsOnDrop;
                futures::stream::poll_fn(move |_| {
                    let _held = &bomb;
                    std::task::Poll::Pending
                })
                .boxed()
            }
            _ => futures::stream::empty().boxed(),
        };
        Ok(ByteStream::new(futures::stream::iter([Ok(bytes)]).chain(end)))
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        assert!(!self.settings.dies_badly, "while it is dropped");
    }
}

impl Hostile {
    /// So many tracks with all that clients show: well behaved, for measurements. Made at the first call.
    fn tracks(&self, count: &str) -> Result<Page> {
        let track = |n: usize| -> Result<Item> {
            let uri = |kind, n: usize| self.cx.uri(kind, &format!("{n:022}"));
            let artist = ArtistRef { name: format!("Artist {}", n % 7), uri: Some(uri(Kind::Artist, n % 7)?) };
            let album = AlbumRef { title: format!("Album {}", n / 12), uri: Some(uri(Kind::Album, n / 12)?) };
            Ok(Item::Track(Track {
                artists: vec![artist],
                album: Some(album),
                duration_ms: Some(180_000),
                disc_number: Some(1),
                track_number: u32::try_from(n % 12).ok(),
                release_date: Some("1979-11-22".into()),
                genres: vec!["Folk".into()],
                isrc: Some(format!("ZZZZZ{n:07}")),
                playable: Some(true),
                added_at: Some("2026-11-22T12:00:00Z".into()),
                ..Track::new(uri(Kind::Track, n)?, format!("Title {n} of a song"))
            }))
        };
        let made = || (0..count.parse().map_err(ProviderError::internal)?).map(track).collect();
        self.tracks.get_or_init(made).clone()
    }
}

register_provider!(Hostile);
