//! The process of one plugin: `zotify-host plugin-worker`, started by the host with a socket as its standard input.
//!
//! It reads a [`frame::Hello`], locks itself down, loads the plugin and serves calls until the socket closes.

use std::{
    io::{self, Write as _},
    os::{fd::AsFd as _, unix::net::UnixStream},
    process::ExitCode,
};

use zotify_plugin_api::{
    ffi::{Library, LoadError, LoadErrorKind},
    model::CreateRequest,
    wire,
};

pub mod frame;
pub mod sandbox;
mod serve;

use frame::{Failed, Frame, Hello, Kind, Ready};

/// The argument that makes the program a plugin's process.
pub const VERB: &str = "plugin-worker";

/// Runs the worker. The caller must not have started a thread: the sandbox binds the thread that applies it.
pub fn main() -> ExitCode {
    close_inherited();
    let socket = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from);
    match socket.and_then(run) {
        Ok(code) => code,
        Err(error) => {
            // The host records standard error.
            let _ = writeln!(io::stderr(), "the plugin's process gives up: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Closes what whoever started the host left open without meaning to: a plugin could read and write it.
fn close_inherited() {
    let open = std::fs::read_dir("/proc/self/fd").map(|entries| {
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect::<Vec<i32>>()
    });
    for fd in open.unwrap_or_else(|_| (3..1024).collect()).into_iter().filter(|fd| *fd > 2) {
        // Fails for the handle that the list was read with, which is closed by now.
        let _ = nix::unistd::close(fd);
    }
}

fn run(mut socket: UnixStream) -> io::Result<ExitCode> {
    let Some(first) = frame::read_blocking(&mut socket)? else { return Ok(ExitCode::SUCCESS) };
    if first.kind != Kind::Hello {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the first frame is no hello; this is no program to start by hand",
        ));
    }
    let hello: Hello = wire::decode(&first.body).map_err(io::Error::other)?;
    match start(&hello) {
        Ok(Started::Probed(ready)) => {
            send(&mut socket, Kind::Ready, &ready)?;
            Ok(ExitCode::SUCCESS)
        }
        Ok(Started::Loaded { ready, library, create }) => serve::run(socket, &ready, library, &create),
        Err(failed) => {
            send(&mut socket, Kind::Failed, &*failed)?;
            Ok(ExitCode::FAILURE)
        }
    }
}

enum Started {
    Probed(Ready),
    Loaded { ready: Ready, library: Library, create: CreateRequest },
}

fn start(hello: &Hello) -> Result<Started, Box<Failed>> {
    if hello.build != frame::build() || hello.frames != frame::VERSION {
        return Err(Box::new(Failed::Build { build: frame::build() }));
    }
    let sandbox = sandbox::apply(&hello.sandbox).map_err(|detail| Failed::Sandbox { detail })?;
    let library = Library::load(&hello.plugin).map_err(load_failed)?;
    let Some(create) = &hello.create else {
        let manifest = library.manifest().map_err(load_failed)?;
        let manifest = serde_json::to_string(&manifest).map_err(|e| unreadable(&e))?;
        return Ok(Started::Probed(Ready { manifest: Some(manifest), sandbox }));
    };
    let create = wire::decode(create).map_err(Failed::Create)?;
    Ok(Started::Loaded { ready: Ready { manifest: None, sandbox }, library, create })
}

fn load_failed(error: LoadError) -> Failed {
    // A frame must hold it.
    let log = error.log.chars().take(16 << 10).collect();
    Failed::Load(LoadError { log, ..error })
}

fn unreadable(error: &serde_json::Error) -> Failed {
    let detail = format!("the plugin's manifest cannot be read: {error}");
    Failed::Load(LoadError { kind: LoadErrorKind::ManifestInvalid, log: detail.clone(), detail })
}

fn send<T: serde::Serialize>(socket: &mut UnixStream, kind: Kind, body: &T) -> io::Result<()> {
    let body = wire::encode(body).map_err(io::Error::other)?;
    socket.write_all(&Frame::new(kind, 0, body).encode()?)
}
