//! Serves the simulator until Ctrl-C.

use std::process::ExitCode;

use clap::Parser;
use spotify_simulator::{Options, Simulator};

/// A stateful stand-in for Spotify's accounts service and Web API
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { options } = Arguments::parse();
    let listen = options.listen;
    match Simulator::start(options).await {
        Ok(simulator) => {
            println!("accounts_base = \"{}\"", simulator.accounts_base());
            println!("api_base = \"{}\"", simulator.api_base());
            // Without a handler for it the program goes on until it is killed.
            let _ = tokio::signal::ctrl_c().await;
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: can't listen on {listen}: {error}");
            ExitCode::FAILURE
        }
    }
}
