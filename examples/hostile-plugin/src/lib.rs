//! Does on request what no plugin should, so that tests can see what becomes of it.
//!
//! A search is a command: `search("panic")`, `search("read /etc/passwd")`, … Its outcome is the title of the only track
//! in the answer.

use std::{io, net::TcpStream, path::PathBuf, process::Command, thread, time::Duration};

use zotify_plugin_api::prelude::*;

struct Hostile {
    cx: Context,
    settings: Settings,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Folders that it may read.
    #[serde(default)]
    folders: Vec<PathBuf>,
    /// How the constructor misbehaves.
    #[serde(default)]
    start: Start,
}

#[derive(Default, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Start {
    #[default]
    Well,
    Refuse,
    Panic,
    Abort,
    Hang,
}

impl Provider for Hostile {
    const ID: &'static str = "hostile";
    type Settings = Settings;

    fn manifest() -> ProviderManifest {
        let folder = SettingOr::Setting { setting: "/folders".into() };
        let files =
            vec![FilePermission { folder, access: FileAccess::Read, reason: "to try what it can reach".into() }];
        let capabilities = [capability::CATALOG_SEARCH, capability::LIBRARY_TRACKS_READ, capability::MEDIA_STREAM];
        ProviderManifest {
            permissions: Permissions { files, ..Permissions::default() },
            ..ProviderManifest::new("Hostile", capabilities)
        }
    }

    fn new(cx: Context, settings: Settings) -> Result<Self> {
        match settings.start {
            Start::Well => Ok(Self { cx, settings }),
            Start::Refuse => Err(ProviderError::invalid("not\u{1b}[31m today")),
            Start::Panic => panic!("in the constructor"),
            Start::Abort => std::process::abort(),
            Start::Hang => loop {
                thread::sleep(Duration::from_secs(1));
            },
        }
    }

    async fn search(&self, call: Call<Search>) -> Result<Page> {
        let (command, argument) = call.query.split_once(' ').unwrap_or((&call.query, ""));
        let outcome = match command {
            "panic" => panic!("as asked"),
            "wait" => futures::future::pending().await,
            "block" => loop {
                thread::sleep(Duration::from_secs(1));
            },
            "abort" => std::process::abort(),
            "exit" => std::process::exit(7),
            "overflow" => overflow(0).to_string(),
            "huge" => "x".repeat(2 << 20),
            "flood" => self.flood(),
            "pid" => std::process::id().to_string(),
            "echo" => argument.to_owned(),
            "sleep" => self.sleep(argument).await?,
            "fetch" => self.cx.http().get(argument).send().await?.body.len().to_string(),
            "changed" => self.cx.library_changed(None).await.map(|()| "told".into())?,
            "folders" => self.settings.folders.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(","),
            _ => outcome(&attempt(command, argument)),
        };
        let track = Track::new(self.cx.uri(Kind::Track, "1")?, outcome);
        Ok(std::iter::once(Item::Track(track)).collect())
    }

    /// The names of the files in its folders.
    async fn library_changes(&self, _: Call<LibraryChanges>) -> Result<LibraryPage> {
        let mut page = LibraryPage::default();
        for folder in &self.settings.folders {
            for entry in std::fs::read_dir(folder).map_err(|e| ProviderError::unavailable(e.to_string()))?.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                page.upsert.rows.push(Item::Track(Track::new(self.cx.uri(Kind::Track, &name)?, name)));
            }
        }
        Ok(page)
    }

    /// As many bytes as the token says, and then what comes behind a colon: `100000`, `3:fail`, `3:wait`.
    async fn open_stream(&self, call: Call<StreamRequest>) -> Result<ByteStream> {
        let (count, end) = call.token.split_once(':').unwrap_or((&call.token, ""));
        let count: usize = count.parse().map_err(|_| ProviderError::not_found("the stream"))?;
        let bytes = (0..=250_u8).cycle().take(count).collect();
        let end = match end {
            "fail" => futures::stream::iter([Err(ProviderError::unavailable("gone in the middle"))]).boxed(),
            "wait" => futures::stream::pending().boxed(),
            _ => futures::stream::empty().boxed(),
        };
        Ok(ByteStream::new(futures::stream::iter([Ok(bytes)]).chain(end)))
    }
}

impl Hostile {
    fn flood(&self) -> String {
        for n in 0..20_000 {
            tracing::error!("line {n}");
        }
        "flooded".into()
    }

    async fn sleep(&self, ms: &str) -> Result<String> {
        let ms = ms.parse().map_err(ProviderError::internal)?;
        self.cx.clock().sleep(Duration::from_millis(ms)).await?;
        Ok("slept".into())
    }
}

use futures::StreamExt as _;

/// What the sandbox should refuse, and what it should not.
fn attempt(command: &str, argument: &str) -> io::Result<String> {
    match command {
        "connect" => TcpStream::connect(argument).map(|_| String::new()),
        "run" => Command::new(argument).status().map(|status| status.to_string()),
        "read" => std::fs::read_to_string(argument),
        "list" => std::fs::read_dir(argument).map(|entries| entries.count().to_string()),
        "write" => std::fs::write(argument, "x").map(|()| String::new()),
        "readonly" => {
            let mut permissions = std::fs::metadata(argument)?.permissions();
            permissions.set_readonly(true);
            std::fs::set_permissions(argument, permissions).map(|()| String::new())
        }
        "thread" => thread::spawn(|| "ran".to_owned()).join().map_err(|_| io::Error::other("panicked")),
        "allocate" => {
            let mib: usize = argument.parse().map_err(io::Error::other)?;
            let mut memory = Vec::<u8>::new();
            memory.try_reserve_exact(mib << 20).map_err(io::Error::other)?;
            memory.resize(mib << 20, 1);
            Ok(memory.len().to_string())
        }
        "environment" => Ok(std::env::vars().map(|(name, _)| name).collect::<Vec<_>>().join(",")),
        _ => Err(io::Error::other("unknown command")),
    }
}

fn outcome(result: &io::Result<String>) -> String {
    match result {
        Ok(text) => format!("ok {text}"),
        Err(error) => format!("{:?}", error.kind()),
    }
}

#[expect(unconditional_recursion, reason = "that is what it is for")]
fn overflow(n: u64) -> u64 {
    std::hint::black_box(overflow(n + 1)) + n
}

register_provider!(Hostile);
export_plugin!("hostile", "Hostile");
