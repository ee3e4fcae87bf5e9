//! `serve`: starts the server.

mod console;

use tokio::{
    net::TcpListener,
    signal::{
        self,
        unix::{self, SignalKind},
    },
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

pub(super) async fn run(config: Config) -> CliResult {
    telemetry::init(&config.log);
    // The port first: two hosts must not share a database file for even a moment.
    let address = config.server.listen;
    let listener = TcpListener::bind(address).await.map_err(|error| {
        Failure::new(format!("{address} cannot be listened at: {error}; set server.listen, or stop what listens there"))
    })?;
    let Started { app, admin_password } = App::start(config).await.map_err(|error| Failure::new(error.to_string()))?;
    let address = listener.local_addr()?;
    app.tasks.spawn(console::report(app.clone(), address, admin_password));
    let served = server::serve(app.clone(), listener, asked_to_stop()).await;
    app.stop().await;
    Ok(served?)
}

/// Ends at `Ctrl-C` and at SIGTERM.
async fn asked_to_stop() {
    let interrupt = async { signal::ctrl_c().await.is_ok() };
    let terminate = async {
        match unix::signal(SignalKind::terminate()) {
            Ok(mut terminate) => terminate.recv().await.is_some(),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = interrupt => {}
        _ = terminate => {}
    }
    tracing::info!("stopping: requests under way may end; Ctrl-C ends them at once");
    tokio::spawn(async {
        if signal::ctrl_c().await.is_ok() {
            std::process::exit(130);
        }
    });
}
