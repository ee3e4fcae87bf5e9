//! The `zotify-host` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("plugin-worker") {
        return zotify_host::worker::main();
    }
    ExitCode::from(2)
}
