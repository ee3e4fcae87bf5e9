//! Other music servers on the same files, where they are installed.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::sys::resource::{UsageWho, getrusage};

use crate::{
    process::{Running, cpu, free_address},
    report::{Goal, Report},
};

/// How many files each reads for a second of CPU time.
pub fn scans(report: &mut Report, music: &Path, files: f64) {
    match mpd(music) {
        Some((first, again)) => {
            report.row("mpd: first scan", files / first, "files/CPU-s", Goal::None);
            report.row("mpd: rescan", again * 1000.0, "ms CPU", Goal::None);
        }
        None => report.note("skipped: mpd is not installed"),
    }
    match supysonic(music) {
        Some((first, again)) => {
            report.row("supysonic: first scan", files / first, "files/CPU-s", Goal::None);
            report.row("supysonic: rescan", again * 1000.0, "ms CPU", Goal::None);
        }
        None => report.note("skipped: supysonic is not installed"),
    }
}

fn installed(program: &str) -> bool {
    let run = Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status();
    run.is_ok()
}

/// CPU seconds of a first and a second scan.
fn mpd(music: &Path) -> Option<(f64, f64)> {
    if !installed("mpd") {
        return None;
    }
    let folder = tempfile::tempdir().ok()?;
    let address = free_address();
    let (host, port) = address.split_once(':')?;
    let inside = |name: &str| folder.path().join(name).display().to_string();
    let config = format!(
        "music_directory \"{}\"\ndb_file \"{}\"\nbind_to_address \"{host}\"\nport \"{port}\"\nlog_file \"{}\"\n\
         audio_output {{\n type \"null\"\n name \"none\"\n}}\n",
        music.display(),
        inside("db"),
        inside("log")
    );
    fs::write(folder.path().join("mpd.conf"), config).ok()?;
    let process = Command::new("mpd").args(["--no-daemon", &inside("mpd.conf")]).stderr(Stdio::null()).spawn().ok()?;
    let process = Running(process);
    let until = Instant::now() + Duration::from_secs(20);
    let stream = loop {
        match TcpStream::connect(&address) {
            Ok(stream) => break stream,
            Err(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(20)),
            Err(_) => return None,
        }
    };
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    lines.next()?.ok()?;
    let mut ask = |command: &str| -> Option<Vec<String>> {
        writeln!(&stream, "{command}").ok()?;
        let mut answer = Vec::new();
        for line in lines.by_ref() {
            let line = line.ok()?;
            if line.starts_with("OK") {
                return Some(answer);
            }
            answer.push(line);
        }
        None
    };
    let mut scan = || {
        ask("update")?;
        while ask("status")?.iter().any(|line| line.starts_with("updating_db")) {
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(cpu(&[process.pid()]))
    };
    let first = scan()?;
    Some((first, scan()? - first))
}

/// CPU seconds of a first and a second scan.
fn supysonic(music: &Path) -> Option<(f64, f64)> {
    if !installed("supysonic-cli") {
        return None;
    }
    let folder = tempfile::tempdir().ok()?;
    let database = folder.path().join("supysonic.db");
    let config = format!("[base]\ndatabase_uri = sqlite:///{}\n", database.display());
    // It is looked for in the working directory.
    fs::write(folder.path().join("supysonic.conf"), config).ok()?;
    let run = |arguments: &[&str]| -> Option<f64> {
        let children = || {
            let used = getrusage(UsageWho::RUSAGE_CHILDREN).ok()?;
            let seconds = |time: nix::sys::time::TimeVal| {
                Duration::new(time.tv_sec().unsigned_abs(), 0) + Duration::from_micros(time.tv_usec().unsigned_abs())
            };
            Some((seconds(used.user_time()) + seconds(used.system_time())).as_secs_f64())
        };
        let before = children()?;
        let status = Command::new("supysonic-cli")
            .args(arguments)
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .status()
            .ok()?;
        if status.success() { Some(children()? - before) } else { None }
    };
    run(&["folder", "add", "Music", &music.display().to_string()])?;
    let scan = ["folder", "scan", "-f", "Music"];
    // The second time without `-f`, which would read everything again.
    Some((run(&scan)?, run(&["folder", "scan", "Music"])?))
}
