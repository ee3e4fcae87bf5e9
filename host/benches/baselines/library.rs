//! Reading music: the first scan, and a later one that finds nothing new.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use lofty::{
    config::WriteOptions,
    prelude::{Accessor as _, TagExt as _},
    tag::{ItemKey, Tag, TagType},
};
use tempfile::TempDir;

use crate::{
    http, peers,
    process::{Host, cpu},
    report::{Goal, Report, median},
};

/// How long a scan may take.
const PATIENCE: Duration = Duration::from_secs(600);
const FILES: usize = 5_000;
/// Later scans, whose time is taken together: one is shorter than the kernel's clock can tell.
const RESCANS: usize = 20;

/// The folder of music that the project ships.
pub fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/demo-library").canonicalize().expect("the demo library")
}

/// The section of a configuration for a local library.
pub fn section(folder: &Path) -> String {
    format!(
        "[providers.local]\nplugin = \"local\"\nsettings = {{ folders = [\"{}\"], watch = false }}\n",
        folder.display()
    )
}

/// A folder of tagged files.
pub struct Music(TempDir);

impl Music {
    /// Copies of the demo library's files with tags of their own: albums of twelve, artists of four albums.
    pub fn make(files: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let models = models();
        for n in 0..files {
            let (album, artist) = (n / 12, n / 48);
            let model = &models[n % models.len()];
            let inside = folder.path().join(format!("Artist {artist:04}/Album {album:05}"));
            fs::create_dir_all(&inside).expect("a folder");
            let extension = model.extension().and_then(|e| e.to_str()).expect("an extension");
            let file = inside.join(format!("{:02} Title {n}.{extension}", n % 12 + 1));
            fs::copy(model, &file).expect("a copy");
            tag(&file, n, album, artist);
        }
        Self(folder)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

fn models() -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![demo()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the demo library").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| ["mp3", "flac", "ogg", "opus", "m4a"].iter().any(|x| e == *x)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn tag(file: &Path, n: usize, album: usize, artist: usize) {
    let kind = match file.extension().and_then(|e| e.to_str()) {
        Some("mp3") => TagType::Id3v2,
        Some("m4a") => TagType::Mp4Ilst,
        _ => TagType::VorbisComments,
    };
    let mut tag = Tag::new(kind);
    tag.set_title(format!("Title {n} of the northern lights"));
    tag.set_artist(format!("Artist {artist}"));
    tag.set_album(format!("Album {album} by the sea"));
    tag.set_genre(["Rock", "Jazz", "Folk", "Ambient"][artist % 4].to_owned());
    tag.set_track(u32::try_from(n % 12 + 1).unwrap_or(1));
    tag.insert_text(ItemKey::RecordingDate, format!("{}", 1970 + album % 55));
    tag.save_to_path(file, WriteOptions::default()).expect("a tag");
}

/// Waits until the newest run of a pull has ended.
pub fn sync(host: &Host, authorization: &str) {
    let started = Instant::now();
    loop {
        let runs = http::request(&host.address, "GET", "/api/sync/runs?limit=1", authorization, "");
        match runs["data"][0]["state"].as_str() {
            Some("applied") => return,
            Some("failed") => panic!("the scan failed: {runs}"),
            _ => assert!(started.elapsed() < PATIENCE, "the scan does not end: {runs}"),
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub fn rows(report: &mut Report) {
    let music = Music::make(FILES);
    let host = Host::start("");
    let authorization = host.sign_in();
    let dir = host.stop();
    // The admin is there already: all that is used from here on is used for the scan.
    let started = Instant::now();
    let host = Host::at(dir, &section(music.path()));
    sync(&host, &authorization);
    let wall = started.elapsed().as_secs_f64();
    let used = cpu(&host.process.family());
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let files = FILES as f64;
    report.row("first scan, with database and full text", files / used, "files/CPU-s", Goal::AtLeast(8000.0));
    report.row("first scan of 5,000 files, from the start of the host", wall, "s", Goal::None);
    report.row("rescan of 5,000 unchanged files", rescan(&host, &authorization), "ms CPU", Goal::AtMost(50.0));
    peers::scans(report, music.path(), files);
}

/// Milliseconds of CPU time for one later scan.
fn rescan(host: &Host, authorization: &str) -> f64 {
    let once = || {
        let before = cpu(&host.process.family());
        for _ in 0..RESCANS {
            let jobs = http::request(&host.address, "POST", "/api/sync", authorization, "{}");
            let job = format!("/api/jobs/{}", jobs["data"][0]["job_id"].as_str().expect("a job"));
            while http::request(&host.address, "GET", &job, authorization, "")["state"] != "succeeded" {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a few")]
        let scans = RESCANS as f64;
        (cpu(&host.process.family()) - before) * 1000.0 / scans
    };
    median((0..3).map(|_| once()).collect())
}
