//! The `local` provider: the music files of folders.
//!
//! Finding, reading and comparing files is in [`scan`], what is read of them in [`tags`], pictures in [`artwork`],
//! playlists in [`playlist`], identities in [`ids`].

use std::path::Path;

use zotify_plugin_api::{Stage, prelude::*};

mod artwork;
mod blocking;
mod folders;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod ids;
mod items;
mod playlist;
mod scan;
mod settings;
mod tags;
mod text;
mod watch;

use blocking::blocking;
use folders::{Folders, Trouble};
use ids::FileKey;
use items::Uris;
pub use settings::Settings;
use watch::Watch;

/// The provider.
pub struct Local {
    cx: Context,
    settings: Settings,
    uris: Uris,
    scanner: scan::Scanner,
    watch: Option<Watch>,
}

impl Provider for Local {
    const ID: &'static str = "local";
    type Settings = Settings;

    fn manifest() -> ProviderManifest {
        let capabilities = [
            capability::LIBRARY_TRACKS_READ,
            capability::LIBRARY_ALBUMS_READ,
            capability::LIBRARY_ARTISTS_READ,
            capability::PLAYLISTS_READ,
            capability::MEDIA_STREAM,
            capability::ARTWORK_READ,
            capability::DOWNLOAD_AUDIO,
        ];
        let folders = FilePermission {
            folder: SettingOr::Setting { setting: "/folders".into() },
            access: FileAccess::Read,
            reason: "to read the music files, pictures and playlists in these folders".into(),
        };
        ProviderManifest {
            description: "Music files, pictures and playlists in folders".into(),
            sign_in: SignIn::None,
            library: LibraryKind::Owned,
            permissions: Permissions { files: vec![folders], ..Permissions::default() },
            ..ProviderManifest::new("Local files", capabilities)
        }
    }

    fn new(cx: Context, settings: Settings) -> Result<Self> {
        settings.validate()?;
        let watch = Watch::start(cx.clone(), &settings);
        let uris = Uris(cx.instance().to_owned());
        Ok(Self { cx, settings, uris, scanner: scan::Scanner::default(), watch })
    }

    async fn check(&self, _: Call<()>) -> Result<Checked> {
        let folders = self.with_folders(|folders| Ok(folders.clone())).await?;
        if let (true, Some(trouble)) = (folders.present.is_empty(), folders.troubles.first()) {
            return Err(ProviderError::unavailable(trouble.for_admins()).with_code(trouble.code));
        }
        let mut warnings: Vec<String> = folders.troubles.iter().map(Trouble::for_admins).collect();
        warnings.extend(self.watch.iter().flat_map(Watch::warnings));
        Ok(Checked { warnings, ..Checked::default() })
    }

    async fn library_changes(&self, call: Call<LibraryChanges>) -> Result<LibraryPage> {
        self.scanner.page(&self.cx, &self.settings, &call).await
    }

    async fn playlists(&self, call: Call<PageRequest>) -> Result<Page> {
        let uris = self.uris.clone();
        self.with_folders(move |folders| playlist::list(folders, &uris, call.cursor.as_deref(), call.limit)).await
    }

    async fn playlist_items(&self, call: Call<PlaylistItems>) -> Result<PlaylistPage> {
        let file = file_key(&call.uri, call.locator.as_deref(), Kind::Playlist)?;
        let uris = self.uris.clone();
        self.with_folders(move |folders| playlist::items(folders, &uris, &file, &call)).await
    }

    async fn open_media(&self, call: Call<MediaRequest>) -> Result<MediaSource> {
        let file = file_key(&call.uri, call.locator.as_deref(), Kind::Track)?;
        let request = call.request;
        self.with_folders(move |folders| open_media(folders, &file, &request)).await
    }

    async fn artwork(&self, call: Call<ArtworkRequest>) -> Result<MediaSource> {
        let locator = call.request.locator.ok_or_else(|| ProviderError::not_found("a picture of this item"))?;
        self.with_folders(move |folders| artwork::source(folders, &locator)).await
    }

    async fn open_stream(&self, call: Call<StreamRequest>) -> Result<ByteStream> {
        let StreamRequest { token, offset } = call.request;
        let bytes = self.with_folders(move |folders| artwork::bytes(folders, &token, offset)).await?;
        Ok(ByteStream::from_bytes(bytes))
    }
}

impl Local {
    /// Runs work that needs the folders on a thread.
    async fn with_folders<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folders) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let settings = self.settings.clone();
        blocking(move || work(&Folders::look(&settings))).await?
    }
}

/// The file of an item: by its locator, or else by its id, which is the locator unless that is too long for a URI.
fn file_key(uri: &Uri, locator: Option<&str>, kind: Kind) -> Result<FileKey> {
    if uri.kind() != kind {
        return Err(ProviderError::not_found(format_args!("{uri} as a {kind}")));
    }
    let key = FileKey::from_locator(locator.unwrap_or(uri.id())).ok_or_else(|| ProviderError::not_found(uri))?;
    if key.id() != uri.id() {
        return Err(ProviderError::invalid("URI and locator name different files"));
    }
    Ok(key)
}

fn open_media(folders: &Folders, file: &FileKey, request: &MediaRequest) -> Result<MediaSource> {
    let path = folders.file(file)?;
    if !folders::is_audio(&path) {
        return Err(ProviderError::not_found("the track"));
    }
    let content_type = content_type(&path)?;
    if let Some(wanted) = request.format.as_deref().filter(|wanted| !matches_format(wanted, &path, content_type)) {
        return Err(no_transcoding(format_args!("files converted to {wanted}")));
    }
    if let Some(most) = request.max_bitrate.filter(|most| bitrate(&path, file).is_none_or(|has| has > *most)) {
        return Err(no_transcoding(format_args!("files converted to {most} kbit/s or less")));
    }
    Ok(MediaSource::File { path, content_type: content_type.into() })
}

/// Files are served as they are, or not at all: a larger or another one than was asked for would be a surprise.
fn no_transcoding(what: std::fmt::Arguments<'_>) -> ProviderError {
    ProviderError::unsupported(what).with_code("no_transcoding")
}

/// Of a file's audio in kbit/s; none where it does not tell.
fn bitrate(path: &Path, key: &FileKey) -> Option<u32> {
    let (file, metadata) = folders::open(path).ok()?;
    tags::read(&file, metadata.len(), key).ok()?.audio.bitrate
}

fn content_type(path: &Path) -> Result<&'static str> {
    let unavailable = || ProviderError::unavailable("the file cannot be read now").with_code("unreadable");
    let (file, metadata) = folders::open(path).map_err(|_| unavailable())?;
    tags::content_type(&file, metadata.len(), path).map_err(|skip| match skip.is_lasting() {
        true => ProviderError::not_found("the audio").with_code(skip.code()),
        false => unavailable(),
    })
}

fn matches_format(wanted: &str, path: &Path, content_type: &str) -> bool {
    wanted.eq_ignore_ascii_case(&folders::extension(path)) || wanted.eq_ignore_ascii_case(content_type)
}

register_provider!(Local);
export_plugin!("local", "Local files", Stage::Beta);
