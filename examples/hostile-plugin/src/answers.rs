//! Answers that are no answers, by type and byte by byte.

use async_ffi::{FfiFuture, FutureExt as _};
use zotify_plugin_api::{
    __private::{
        abi::{Instance, Instance_TO, InstanceBox, Stream, Stream_TO, StreamBox},
        abi_stable::{
            sabi_trait::TD_Opaque,
            std_types::{
                ROption::{self, RSome},
                RResult::{self, RErr, ROk},
                RStr, RVec,
            },
        },
    },
    ErrorKind,
    prelude::*,
    wire,
};

use crate::Settings;

type Reply = RResult<RVec<u8>, RVec<u8>>;

/// What the library is like.
#[derive(Default, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Library {
    /// The names of the files in its folders.
    #[default]
    Files,
    /// Each page names itself as the next one.
    Same,
    /// Two pages name each other.
    Circle,
    /// Each page names another, and none has anything.
    Endless,
    /// One good track among items of other kinds and of other instances.
    Foreign,
}

pub(crate) fn library(cx: &Context, settings: &Settings, cursor: Option<&str>) -> Result<LibraryPage> {
    let mut page = LibraryPage::default();
    match settings.library {
        Library::Files => {
            for folder in &settings.folders {
                for entry in std::fs::read_dir(folder).map_err(|e| ProviderError::unavailable(e.to_string()))?.flatten()
                {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    page.upsert.rows.push(Item::Track(Track::new(cx.uri(Kind::Track, &name)?, name)));
                }
            }
        }
        Library::Same => page.next = Some("same".into()),
        Library::Circle => page.next = Some(if cursor == Some("a") { "b" } else { "a" }.into()),
        Library::Endless => {
            let n: u64 = cursor.and_then(|c| c.parse().ok()).unwrap_or(0);
            page.next = Some((n + 1).to_string());
        }
        Library::Foreign => {
            let foreign: Uri = "local:track:stolen".parse().map_err(ProviderError::internal)?;
            page.upsert.rows = vec![
                Item::Track(Track::new(cx.uri(Kind::Track, "good")?, "Good")),
                Item::Track(Track::new(foreign.clone(), "Stolen")),
                Item::Track(Track::new(cx.uri(Kind::Album, "album")?, "An album's address")),
                Item::Playlist(Playlist::new(cx.uri(Kind::Playlist, "list")?, "No place for it")),
            ];
            page.removed = vec![foreign.clone()];
            page.moved = vec![(foreign, cx.uri(Kind::Track, "good")?)];
        }
    }
    Ok(page)
}

/// The item of an address, or another one where the id says so.
pub(crate) fn item(cx: &Context, uri: &Uri) -> Result<Item> {
    let foreign = || "local:track:stolen".parse().map_err(ProviderError::internal);
    Ok(match uri.id() {
        "an-album" => Item::Album(Album::new(cx.uri(Kind::Album, "an-album")?, "An album")),
        "as-album" => Item::Album(Album::new(uri.clone(), "An album under a track's address")),
        "another" => Item::Track(Track::new(cx.uri(Kind::Track, "2")?, "Another")),
        "foreign" => Item::Track(Track::new(foreign()?, "Stolen")),
        _ => Item::Track(Track::new(uri.clone(), "A track")),
    })
}

/// Children that are none, and one that is.
pub(crate) fn children(cx: &Context, _: &Uri) -> Result<Page> {
    let foreign = "local:track:stolen".parse().map_err(ProviderError::internal)?;
    let items = [
        Item::Artist(Artist::new(cx.uri(Kind::Artist, "a")?, "An artist")),
        Item::Track(Track::new(foreign, "Stolen")),
        Item::Track(Track::new(cx.uri(Kind::Track, "good")?, "Good")),
    ];
    Ok(items.into_iter().collect())
}

/// The source that an id names: `file /etc/passwd`, `http http://127.0.0.1/`, `stream 10`.
pub(crate) fn media(command: &str) -> Result<MediaSource> {
    let (kind, what) = command.split_once(' ').unwrap_or((command, ""));
    let content_type = "audio/flac".to_owned();
    Ok(match kind {
        "file" => MediaSource::File { path: what.into(), content_type },
        "http" => MediaSource::Http(HttpSource {
            url: what.into(),
            headers: vec![("x-key".into(), "secret".into())],
            expires_at: None,
            content_type: Some(content_type),
        }),
        "stream" => MediaSource::Stream { token: what.into(), content_type, size: None, etag: None },
        _ => return Err(ProviderError::not_found("the source")),
    })
}

/// Stands before the SDK's instance, and answers some calls itself.
pub(crate) struct Liar(InstanceBox);

impl Liar {
    pub(crate) fn wrap(instance: InstanceBox) -> InstanceBox {
        Instance_TO::from_value(Self(instance), TD_Opaque)
    }
}

impl Instance for Liar {
    fn call(&self, method: RStr<'_>, payload: RVec<u8>) -> FfiFuture<Reply> {
        let search = wire::decode::<Call<Search>>(&payload).ok().filter(|_| method.as_str() == "search");
        if let Some(lie) = search.as_ref().and_then(|call| call.query.strip_prefix("answer ")) {
            let reply = lied(lie);
            return async move { reply }.into_ffi();
        }
        self.0.call(method, payload)
    }

    fn open_stream(&self, payload: RVec<u8>) -> FfiFuture<RResult<StreamBox, RVec<u8>>> {
        let request = wire::decode::<Call<StreamRequest>>(&payload).ok();
        let size = request.and_then(|call| call.token.strip_prefix("chunk ").and_then(|size| size.parse().ok()));
        if let Some(size) = size {
            return async move { ROk(Stream_TO::from_value(Chunk(size), TD_Opaque)) }.into_ffi();
        }
        self.0.open_stream(payload)
    }
}

/// Bytes that stand where an answer is due.
fn lied(lie: &str) -> Reply {
    let error = |kind, code: &str| {
        let error = ProviderError::new(kind, "told so").with_code(code).with_retry_after_ms(u64::MAX);
        RErr(wire::encode_error(&error).into())
    };
    match lie {
        "nothing" => ROk(RVec::new()),
        "garbage" => ROk(vec![0xc1; 64].into()),
        "text" => ROk(wire::encode("not a page").unwrap_or_default().into()),
        // An array of four thousand million entries, of which none follows.
        "length" => ROk(b"\x81\xa5items\xdd\xff\xff\xff\xff".to_vec().into()),
        "deep" => ROk(vec![0x91; 500_000].into()),
        "large" => ROk(vec![0; 100 << 20].into()),
        "error-garbage" => RErr(vec![0xc1; 64].into()),
        "error-large" => RErr(vec![0; 100 << 20].into()),
        "error-killed" => error(ErrorKind::Crashed, "process_killed"),
        "error-forever" => error(ErrorKind::RateLimited, "Not A Code\n"),
        // Nothing guards this one but the binary interface, which aborts.
        _ => panic!("outside of any guard"),
    }
}

/// A stream of chunks of any size.
struct Chunk(usize);

impl Stream for Chunk {
    fn next(&self) -> FfiFuture<RResult<ROption<RVec<u8>>, RVec<u8>>> {
        let bytes = RVec::from(vec![1; self.0]);
        async move { ROk(RSome(bytes)) }.into_ffi()
    }
}
