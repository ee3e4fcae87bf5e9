//! What the sandbox should refuse, and what it should not.

use std::{fs, io, net::TcpStream, process::Command, thread};

use crate::raw;

pub(crate) fn attempt(command: &str, argument: &str) -> io::Result<String> {
    let (first, second) = argument.split_once(' ').unwrap_or((argument, ""));
    match command {
        "syscall" => raw::call(argument),
        "connect" => TcpStream::connect(argument).map(|_| String::new()),
        "run" => Command::new(argument).status().map(|status| status.to_string()),
        "read" => fs::read_to_string(argument),
        "list" => fs::read_dir(argument).map(|entries| entries.count().to_string()),
        "write" => fs::write(argument, "x").map(|()| String::new()),
        "append" => fs::OpenOptions::new().append(true).open(argument).map(|_| String::new()),
        "remove" => fs::remove_file(argument).map(|()| String::new()),
        "folder" => fs::create_dir(argument).map(|()| String::new()),
        "link" => fs::hard_link(first, second).map(|()| String::new()),
        "symlink" => std::os::unix::fs::symlink(first, second).map(|()| String::new()),
        "rename" => fs::rename(first, second).map(|()| String::new()),
        "target" => fs::read_link(argument).map(|path| path.display().to_string()),
        "readonly" => {
            let mut permissions = fs::metadata(argument)?.permissions();
            permissions.set_readonly(true);
            fs::set_permissions(argument, permissions).map(|()| String::new())
        }
        // By an open file, which needs no right to write.
        "mode" => fs::File::open(argument)?.set_permissions(fs::Permissions::from_mode(0o600)).map(|()| String::new()),
        "touch" => fs::File::open(argument)?.set_modified(std::time::SystemTime::UNIX_EPOCH).map(|()| String::new()),
        "thread" => thread::spawn(|| "ran".to_owned()).join().map_err(|_| io::Error::other("panicked")),
        "threads" => threads(number(first)?, number(second)?),
        "allocate" => allocate(number(argument)?),
        "environment" => Ok(std::env::vars().map(|(name, _)| name).collect::<Vec<_>>().join(",")),
        "descriptors" => Ok(raw::descriptors()),
        _ => Err(io::Error::other("unknown command")),
    }
}

use std::os::unix::fs::PermissionsExt as _;

fn number(text: &str) -> io::Result<usize> {
    text.parse().map_err(io::Error::other)
}

fn allocate(mib: usize) -> io::Result<String> {
    let mut memory = Vec::<u8>::new();
    memory.try_reserve_exact(mib << 20).map_err(io::Error::other)?;
    memory.resize(mib << 20, 1);
    Ok(memory.len().to_string())
}

/// Starts so many threads with stacks of so many KiB, that all stay.
fn threads(count: usize, kib: usize) -> io::Result<String> {
    for n in 0..count {
        let started = thread::Builder::new().stack_size(kib << 10).spawn(|| {
            loop {
                thread::park();
            }
        });
        if let Err(error) = started {
            return Ok(format!("{n} {:?}", error.kind()));
        }
    }
    Ok(count.to_string())
}

pub(crate) fn outcome(result: &io::Result<String>) -> String {
    match result {
        Ok(text) => format!("ok {text}"),
        Err(error) => format!("{:?}", error.kind()),
    }
}
