//! What the exported macros register, and how a call by name becomes a call of a trait method.

use std::{future::Future, sync::Arc};

use futures::future::BoxFuture;

use crate::{
    Automation, AutomationManifest, Context, LibraryManifest, PROTOCOL, Provider, ProviderError, ProviderManifest,
    Result, Stage,
    method::{
        AddPlay, Check, CreatePlaylist, DeletePlaylist, EditLibrary, EditLikes, EditPlaylist, GetChildren, GetItem,
        ListLikes, ListPlaylistItems, ListPlaylists, ListPlays, Method, OpenArtwork, OpenMedia, PullLibrary,
        ResolveItems, RunAction, SearchCatalog, SetPlaylistImage, Setup, Unlink, UpdatePlaylist,
    },
    model::Call,
    provider::ByteStream,
    wire,
};

/// The compiler that built the plugin.
const RUSTC_VERSION: &str = env!("ZOTIFY_RUSTC_VERSION");

/// A provider of this library.
pub struct ProviderEntry {
    id: &'static str,
    manifest: fn() -> ProviderManifest,
    create: fn(Context, &str) -> Result<Arc<dyn Part>>,
}

/// An automation of this library.
pub struct AutomationEntry {
    id: &'static str,
    manifest: fn() -> AutomationManifest,
    create: fn(Context, &str) -> Result<Arc<dyn Part>>,
}

inventory::collect!(ProviderEntry);
inventory::collect!(AutomationEntry);

impl ProviderEntry {
    /// The entry of a provider type.
    pub const fn of<P: Provider>() -> Self {
        Self {
            id: P::ID,
            manifest: || ProviderManifest {
                id: P::ID.to_owned(),
                settings_schema: schemars::schema_for!(P::Settings).into(),
                ..P::manifest()
            },
            create: |cx, settings| Ok(Arc::new(ProviderPart(Arc::new(P::new(cx, parse_settings(settings)?)?)))),
        }
    }
}

impl AutomationEntry {
    /// The entry of an automation type.
    pub const fn of<A: Automation>() -> Self {
        Self {
            id: A::ID,
            manifest: || AutomationManifest {
                id: A::ID.to_owned(),
                settings_schema: schemars::schema_for!(A::Settings).into(),
                ..A::manifest()
            },
            create: |cx, settings| Ok(Arc::new(AutomationPart(Arc::new(A::new(cx, parse_settings(settings)?)?)))),
        }
    }
}

/// What `export_plugin!` takes from the author and from Cargo.
pub struct LibraryInfo {
    /// The library's id.
    pub id: &'static str,
    /// For people.
    pub name: &'static str,
    /// How finished it is.
    pub stage: Stage,
    /// The package's version.
    pub version: &'static str,
    /// The package's description.
    pub description: &'static str,
    /// The package's home page or repository.
    pub homepage: &'static str,
    /// The package's licence.
    pub license: &'static str,
}

/// The library's whole manifest.
pub(crate) fn manifest(info: &LibraryInfo) -> LibraryManifest {
    let mut providers: Vec<_> = inventory::iter::<ProviderEntry>().map(|entry| (entry.manifest)()).collect();
    let mut automations: Vec<_> = inventory::iter::<AutomationEntry>().map(|entry| (entry.manifest)()).collect();
    // Constructors run in an order of the linker's choice.
    providers.sort_by(|a, b| a.id.cmp(&b.id));
    automations.sort_by(|a, b| a.id.cmp(&b.id));
    LibraryManifest {
        id: info.id.to_owned(),
        name: info.name.to_owned(),
        version: info.version.to_owned(),
        description: info.description.to_owned(),
        stage: info.stage,
        homepage: info.homepage.to_owned(),
        icon: String::new(),
        license: info.license.to_owned(),
        sdk: env!("CARGO_PKG_VERSION").to_owned(),
        rustc: RUSTC_VERSION.to_owned(),
        protocol: PROTOCOL,
        providers,
        automations,
    }
}

/// Makes an instance of the part with the given id.
pub(crate) fn create(part: &str, cx: Context, settings: &str) -> Result<Arc<dyn Part>> {
    let create = inventory::iter::<ProviderEntry>()
        .map(|entry| (entry.id, entry.create))
        .chain(inventory::iter::<AutomationEntry>().map(|entry| (entry.id, entry.create)))
        .find_map(|(id, create)| (id == part).then_some(create))
        .ok_or_else(|| ProviderError::not_found(format_args!("a part with the id {part}")))?;
    create(cx, settings)
}

fn parse_settings<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| ProviderError::invalid(e.to_string()).with_code("settings_invalid"))
}

/// A made instance, without its type.
pub(crate) trait Part: Send + Sync {
    /// Calls a method by name.
    fn call(&self, method: &str, payload: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>>>;

    /// Opens a stream.
    fn open_stream(&self, payload: Vec<u8>) -> BoxFuture<'static, Result<ByteStream>>;
}

struct ProviderPart<P>(Arc<P>);

impl<P: Provider> Part for ProviderPart<P> {
    fn call(&self, method: &str, payload: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>>> {
        macro_rules! dispatch {
            ($($method:ty => $function:ident),* $(,)?) => {
                match method {
                    $(<$method>::NAME => {
                        let provider = Arc::clone(&self.0);
                        Box::pin(answer::<$method, _, _>(payload, move |call| async move {
                            provider.$function(call).await
                        }))
                    })*
                    other => unknown(other),
                }
            };
        }
        dispatch! {
            Check => check,
            GetItem => get,
            GetChildren => children,
            SearchCatalog => search,
            PullLibrary => library_changes,
            ListPlaylists => playlists,
            ListPlaylistItems => playlist_items,
            ListLikes => likes,
            EditLikes => likes_edit,
            ListPlays => history,
            AddPlay => history_add,
            Setup => setup,
            Unlink => unlink,
            EditLibrary => library_edit,
            CreatePlaylist => playlist_create,
            UpdatePlaylist => playlist_update,
            DeletePlaylist => playlist_delete,
            EditPlaylist => playlist_edit,
            SetPlaylistImage => playlist_image,
            ResolveItems => resolve,
            OpenMedia => open_media,
            OpenArtwork => artwork,
        }
    }

    fn open_stream(&self, payload: Vec<u8>) -> BoxFuture<'static, Result<ByteStream>> {
        let provider = Arc::clone(&self.0);
        Box::pin(async move { provider.open_stream(wire::decode(&payload)?).await })
    }
}

struct AutomationPart<A>(Arc<A>);

impl<A: Automation> Part for AutomationPart<A> {
    fn call(&self, method: &str, payload: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>>> {
        if method != RunAction::NAME {
            return unknown(method);
        }
        let automation = Arc::clone(&self.0);
        Box::pin(answer::<RunAction, _, _>(payload, move |call| async move { automation.action(call).await }))
    }

    fn open_stream(&self, _: Vec<u8>) -> BoxFuture<'static, Result<ByteStream>> {
        Box::pin(async { Err(ProviderError::unsupported("streams")) })
    }
}

/// Decodes the request, runs the body, encodes the reply.
async fn answer<M: Method, B, F>(payload: Vec<u8>, body: B) -> Result<Vec<u8>>
where
    B: FnOnce(Call<M::Request>) -> F,
    F: Future<Output = Result<M::Reply>>,
{
    let call = wire::decode::<Call<M::Request>>(&payload)?;
    drop(payload);
    let reply = wire::encode(&body(call).await?)?;
    if reply.len() > wire::MAX_PAYLOAD {
        return Err(ProviderError::new(
            crate::ErrorKind::TooLarge,
            format!("the answer to {} has {} bytes; a page must stay under 1 MiB", M::NAME, reply.len()),
        ));
    }
    Ok(reply)
}

fn unknown(method: &str) -> BoxFuture<'static, Result<Vec<u8>>> {
    let error = ProviderError::unsupported(format_args!("the method {method}")).with_code("unknown_method");
    Box::pin(async { Err(error) })
}

/// Adds a provider to the library: `register_provider!(MyProvider);`
#[macro_export]
macro_rules! register_provider {
    ($type:ty) => {
        $crate::__private::inventory::submit! { $crate::__private::ProviderEntry::of::<$type>() }
    };
}

/// Adds an automation to the library: `register_automation!(MyAutomation);`
#[macro_export]
macro_rules! register_automation {
    ($type:ty) => {
        $crate::__private::inventory::submit! { $crate::__private::AutomationEntry::of::<$type>() }
    };
}

/// Exports the library, once: `export_plugin!("my-plugin", "My plugin");`
///
/// The first argument is what `plugin = "…"` names in the configuration. Version, description, home page and licence
/// come from the package's `Cargo.toml`. A third argument sets the [`Stage`](crate::Stage).
#[macro_export]
macro_rules! export_plugin {
    ($id:literal, $name:literal) => {
        $crate::export_plugin!($id, $name, $crate::Stage::Beta);
    };
    ($id:literal, $name:literal, $stage:expr) => {
        const _: () = {
            static INFO: $crate::__private::LibraryInfo = $crate::__private::LibraryInfo {
                id: $id,
                name: $name,
                stage: $stage,
                version: env!("CARGO_PKG_VERSION"),
                description: env!("CARGO_PKG_DESCRIPTION"),
                homepage: env!("CARGO_PKG_REPOSITORY"),
                license: env!("CARGO_PKG_LICENSE"),
            };
            $crate::__export_root_module!(INFO);
        };
    };
}
