//! The `zotify-host` program.

use std::process::ExitCode;

use clap::Parser as _;
use zotify_host::{cli::Cli, worker};

fn main() -> ExitCode {
    zotify_plugin_api::ffi::keep_little_memory();
    // A plugin's process starts often and stays small: it has no need of the command line's tree. Nor may there be any
    // thread yet: the sandbox binds the thread that applies it.
    if std::env::args_os().nth(1).is_some_and(|verb| verb == worker::VERB) {
        return worker::main();
    }
    Cli::parse().run()
}
