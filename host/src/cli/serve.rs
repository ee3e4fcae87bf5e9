//! `serve`: starts the server.

mod console;

use std::{
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};

use super::{CliResult, Failure};
use crate::{App, Started, config::Config, server, telemetry};

pub(super) const ABOUT: &str = "\
Start the server.

Brings the database up to date, makes the first administrator if there is none, starts the configured plugins in the \
background and serves until SIGTERM or Ctrl-C. A plugin that fails does not keep the server from starting.";

pub(super) const AFTER_HELP: &str = "\
Examples:
  zotify-host serve
  zotify-host --config /etc/zotify/zotify.toml serve
  ZOTIFY__SERVER__LISTEN=0.0.0.0:9000 zotify-host serve
  RUST_LOG=debug zotify-host serve";

/// The file in the data folder that a running host holds locked.
const LOCK_FILE: &str = "host.lock";

pub(super) async fn run(mut config: Config) -> CliResult {
    telemetry::init(&config.log);
    server::raise_open_files();
    let address = config.server.listen;
    let listener = TcpListener::bind(address).await.map_err(|error| {
        Failure::new(format!("{address} cannot be listened at: {error}; set server.listen, or stop what listens there"))
    })?;
    // With port 0 it is the one that the system chose, which services are told to send browsers back to.
    let address = listener.local_addr()?;
    config.server.listen = address;
    let _locks = lock(&config)?;
    // Before the start: the default would end the process in the middle of it.
    let mut signals = Signals::listen()?;
    let Started { app, admin_password } = tokio::select! {
        started = App::start(config) => started.map_err(|error| Failure::new(error.to_string()))?,
        () = signals.next() => return Ok(()),
    };
    app.tasks.spawn(console::report(app.clone(), address, admin_password));
    server::serve(app.clone(), listener, asked_to_stop(signals)).await;
    app.stop().await;
    Ok(())
}

/// Keeps a second host away from the data folder and from a SQLite database elsewhere, for as long as the files are open:
/// each would run the other's jobs and remove its copies of plugins.
pub(super) fn lock(config: &Config) -> Result<Vec<File>, Failure> {
    config.create_folders()?;
    let folder = &config.server.data_dir;
    let mut locks =
        vec![lock_file(&folder.join(LOCK_FILE), &format!("the data folder {}", folder.display()), "server.data_dir")?];
    if let Some(database) = config.sqlite_file() {
        // However it is called: a link to the file, or to its folder, leads to the same lock.
        let database = canonical(&database);
        if database.parent() != Some(&*canonical(folder)) {
            let what = format!("the database {}", database.display());
            let mut file = database.into_os_string();
            file.push(".lock");
            locks.push(lock_file(Path::new(&file), &what, "database.url")?);
        }
    }
    Ok(locks)
}

/// The path without links, also of a file that is still to be made.
fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| {
        match (path.parent().and_then(|parent| parent.canonicalize().ok()), path.file_name()) {
            (Some(parent), Some(name)) => parent.join(name),
            _ => path.to_owned(),
        }
    })
}

fn lock_file(path: &Path, what: &str, setting: &str) -> Result<File, Failure> {
    let unusable = |error| {
        let path = path.display();
        Failure::new(format!("{path}: {error}; set {setting} to a place that this user may write to"))
    };
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(unusable)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            Err(Failure::new(format!("another host runs with {what}; stop it, or set {setting}")))
        }
        // Not every network file system has locks.
        Err(TryLockError::Error(error)) if error.kind() != io::ErrorKind::Unsupported => Err(unusable(error)),
        _ => Ok(file),
    }
}

/// Ends at `Ctrl-C` and at SIGTERM; the next of either ends the process.
async fn asked_to_stop(mut signals: Signals) {
    signals.next().await;
    tracing::info!("stopping: requests under way may end; a second signal ends them at once");
    tokio::spawn(async move {
        signals.next().await;
        std::process::exit(130);
    });
}

/// What asks the process to stop.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for `Ctrl-C` or SIGTERM.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
