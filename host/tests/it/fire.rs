//! A music folder that nobody would make on purpose, and that changes while it is read.

use std::{
    fs::{self, File},
    os::unix::{ffi::OsStrExt as _, fs::FileExt as _, net::UnixListener},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use nix::{sys::stat::Mode, unistd::mkfifo};
use serde_json::{Value, json};

use crate::{
    library::{all, text},
    support::{TestApp, demo_library},
};

/// What a plugin's process may use of memory while it reads the worst, in KiB: it gets 256 MiB.
const PEAK_KIB: u64 = 200 << 10;

/// A tenth of a second of silence without tags, told apart by its length.
fn wav(n: u32) -> Vec<u8> {
    let size = 1600 + 2 * n;
    let head = [
        &b"RIFF"[..],
        &(36 + size).to_le_bytes(),
        b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data",
    ];
    [&head.concat()[..], &size.to_le_bytes(), &vec![n as u8; size as usize]].concat()
}

fn make(root: &Path, folder: &str, numbers: std::ops::Range<u32>) {
    fs::create_dir_all(root.join(folder)).unwrap();
    numbers.for_each(|n| fs::write(root.join(format!("{folder}/song {n:03}.wav")), wav(n)).unwrap());
}

fn make_junk(root: &Path) -> UnixListener {
    let junk = root.join("junk");
    fs::create_dir_all(&junk).unwrap();
    mkfifo(&junk.join("pipe.mp3"), Mode::S_IRWXU).unwrap();
    for (name, start) in [
        ("zeros.mp3", &b""[..]),
        ("huge.mp3", b"ID3\x04\0\0\x32\0\0\0TIT2\x31\x7f\x7f\x76\0\0\x03"),
        ("huge.flac", b"fLaC\x84\xff\xff\xff"),
    ] {
        let file = File::create(junk.join(name)).unwrap();
        file.set_len(2 << 30).unwrap();
        file.write_all_at(start, 0).unwrap();
    }
    fs::write(junk.join("letter.mp3"), "to a friend, and no music").unwrap();
    fs::write(junk.join(std::ffi::OsStr::from_bytes(b"odd \xff\xfe.wav")), wav(900)).unwrap();
    std::os::unix::fs::symlink(root, junk.join("circle")).unwrap();
    let deep = junk.join("d/".repeat(100));
    fs::create_dir_all(&deep).unwrap();
    UnixListener::bind(junk.join("socket.ogg")).unwrap()
}

/// Truncates, replaces, deletes, renames and makes files until it is told to stop.
fn fire(root: PathBuf, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let path = |n: u32| root.join(format!("busy/song {n:03}.wav"));
        for round in 0_u32.. {
            for n in 300..400 {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                // Any of these may find that the file is not there just now.
                let _ = match (n + round) % 6 {
                    0 => File::options().write(true).open(path(n)).and_then(|file| file.set_len(20)),
                    1 => fs::write(path(n), wav(n + round)),
                    2 => fs::remove_file(path(n)),
                    3 => fs::rename(path(n), path(n + 1)),
                    4 => mkfifo(&path(n), Mode::S_IRWXU).map_err(Into::into),
                    _ => fs::remove_file(path(n)).and_then(|()| fs::write(path(n), wav(n))),
                };
            }
        }
    })
}

/// A signed-in host that has read a folder once, and reads it again when it is told to.
async fn scanned(music: &Path) -> TestApp {
    let settings = format!("settings = {{ folders = [{music:?}], watch = false }}");
    let host = TestApp::with(&format!("[providers.local]\nplugin = \"local\"\n{settings}\n")).await.admin().await;
    host.until("/api/sync/runs", |runs| runs["data"][0]["state"] == "applied").await;
    host
}

async fn provider(host: &TestApp) -> Value {
    host.get("/api/providers/local").await.expect(200)
}

/// The titles of all tracks, sorted.
async fn titles(host: &TestApp) -> Vec<String> {
    let mut titles = Vec::new();
    let mut next = Some("/api/library/tracks?limit=200".to_owned());
    while let Some(path) = next {
        let page = host.get(&path).await.expect(200);
        titles.extend(page["data"].as_array().unwrap().iter().map(|track| text(track, "title").to_owned()));
        let cursor = page["meta"]["next_cursor"].as_str();
        next = cursor.map(|cursor| format!("/api/library/tracks?limit=200&cursor={cursor}"));
    }
    titles.sort();
    titles
}

/// A run from its start to its end.
async fn pull(host: &TestApp) -> Value {
    let before = host.get("/api/sync/runs").await.json()["data"][0]["id"].clone();
    host.post("/api/sync", &json!({})).await;
    let ended = |run: &Value| run["id"] != before && !run["finished_at"].is_null();
    let runs = host.until("/api/sync/runs", |runs| ended(&runs["data"][0])).await;
    runs["data"][0].clone()
}

/// The processes of this test's plugins, where tests run in processes of their own, as they do under nextest.
fn workers() -> Vec<u32> {
    let own = std::process::id().to_string();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_own = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1).map(str::to_owned));
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        parent.as_deref() == Some(&own) && command.ends_with(b"plugin-worker\0")
    };
    numbers.filter(is_own).collect()
}

fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn a_scan_under_fire_keeps_what_is_fine() {
    let music = tempfile::tempdir().unwrap();
    let root = music.path().to_owned();
    make(&root, "fine", 0..200);
    make(&root, "busy", 300..400);
    let _socket = make_junk(&root);
    let stop = Arc::new(AtomicBool::new(false));
    let storm = fire(root.clone(), Arc::clone(&stop));
    let host = scanned(&root).await;
    let process = workers();
    assert_eq!(process.len(), 1);
    // Gone for good; but a run that did not see everything can't tell.
    fs::remove_file(root.join("fine/song 199.wav")).unwrap();
    for _ in 0..5 {
        let run = pull(&host).await;
        assert_eq!((&run["completeness"], &run["code"]), (&json!("partial"), &json!("folder_too_deep")), "{run}");
        assert_eq!(run["counts"]["removed"], 0, "{run}");
    }
    stop.store(true, Ordering::Relaxed);
    storm.join().unwrap();

    let known = titles(&host).await;
    let times = |n: u32| known.iter().filter(|title| **title == format!("song {n:03}")).count();
    let odd: Vec<_> = (0..200).filter(|n| times(*n) != 1).collect();
    assert!(odd.is_empty(), "{odd:?} are not there just once");
    assert!(known.iter().any(|title| title.starts_with("odd")), "a name need not be text");
    assert_eq!(workers(), process, "the process was never restarted");
    assert!(peak_kib(process[0]) < PEAK_KIB, "{} KiB", peak_kib(process[0]));
    let report = provider(&host).await;
    assert_eq!((&report["state"], &report["restarts"]), (&json!("started"), &json!(0)), "{report}");

    // Once it is quiet and the depths are gone, a run is whole, and names what it leaves out.
    fs::remove_dir_all(root.join("junk/d")).unwrap();
    fs::remove_dir_all(root.join("busy")).unwrap();
    make(&root, "busy", 300..400);
    let run = pull(&host).await;
    assert_eq!(run["completeness"], "complete", "{run}");
    let run = host.get(&format!("/api/sync/runs/{}", text(&run, "id"))).await.expect(200);
    let skipped = run.to_string();
    for name in ["junk/zeros.mp3", "junk/letter.mp3", "junk/huge.mp3", "junk/huge.flac"] {
        assert!(skipped.contains(name), "{name} is not named: {skipped}");
    }
    let left = titles(&host).await;
    assert!(!left.contains(&"song 199".to_owned()) && left.contains(&"song 198".to_owned()), "now it is removed");
    assert_eq!(left.len(), 199 + 1 + 100, "all that is there, and nothing else");
    assert_eq!(workers(), process, "the process was never restarted");
    host.stop().await;
}

#[tokio::test]
async fn a_renamed_folder_keeps_what_is_known_of_its_tracks() {
    let music = tempfile::tempdir().unwrap();
    for (n, file) in demo_library().iter().enumerate() {
        fs::copy(file, music.path().join(format!("{n:02} {}", file.file_name().unwrap().to_str().unwrap()))).unwrap();
    }
    make(music.path(), "before", 0..50);
    let host = scanned(music.path()).await;
    let known = |tracks: Vec<Value>| {
        let mut known: Vec<_> =
            tracks.iter().map(|t| (text(t, "title").to_owned(), text(t, "added_at").to_owned())).collect();
        known.sort();
        known
    };
    let before = known(all(&host, "tracks").await);
    fs::rename(music.path().join("before"), music.path().join("after")).unwrap();
    let run = pull(&host).await;
    assert_eq!((&run["counts"]["moved"], &run["counts"]["removed"]), (&json!(50), &json!(0)), "{run}");
    assert_eq!(known(all(&host, "tracks").await), before);
    host.stop().await;
}
