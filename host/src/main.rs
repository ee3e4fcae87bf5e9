//! The `zotify-host` program.

use std::process::ExitCode;

use clap::Parser as _;
use zotify_host::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}
