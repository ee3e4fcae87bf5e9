//! Folders that nobody would make on purpose, and files that change while they are read.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    os::unix::{
        fs::{FileExt as _, PermissionsExt as _, symlink},
        net::UnixListener,
    },
    path::Path,
    process::Command,
};

use lofty::tag::ItemKey as Key;
use nix::{
    fcntl::{OFlag, open, openat},
    sys::stat::{Mode, SFlag, mkdirat, mknod},
    unistd::mkfifo,
};

use zotify_plugin_api::Kind;

use crate::{
    files::write,
    support::{Library, Run},
};

fn song(library: &Library, rel: &str, seed: u8) {
    let title = Path::new(rel).file_stem().unwrap().to_str().unwrap();
    write(&library.path(rel), seed, &[(Key::TrackTitle, title), (Key::TrackArtist, "A"), (Key::AlbumTitle, "X")]);
}

/// So many that they take several pages.
fn many(library: &Library, count: usize) {
    for n in 0..count {
        song(library, &format!("{:02}/{n:04}.wav", n / 50), n as u8);
    }
}

fn names(run: &Run, code: &str) -> Vec<String> {
    let mut names: Vec<_> = run.skipped.iter().filter(|(_, c)| c == code).map(|(name, _)| name.clone()).collect();
    names.sort();
    names
}

/// A folder that the standard library can neither make nor remove.
struct Deep<'a>(&'a Path);

impl Deep<'_> {
    fn make(&self, levels: usize) {
        let mut at = open(self.0, OFlag::O_DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..levels {
            mkdirat(&at, "d", Mode::S_IRWXU).unwrap();
            at = openat(&at, "d", OFlag::O_DIRECTORY, Mode::empty()).unwrap();
        }
    }
}

impl Drop for Deep<'_> {
    fn drop(&mut self) {
        assert!(Command::new("rm").arg("-rf").arg(self.0).status().unwrap().success());
    }
}

#[tokio::test]
async fn ten_thousand_levels_are_partial_and_named() {
    let mut library = Library::new();
    song(&library, "fine/1.wav", 1);
    song(&library, "fine/2.wav", 2);
    song(&library, &format!("deep/{}in.wav", "d/".repeat(60)), 3);
    assert!(library.scan().await.is_complete());

    let path = library.path(&format!("deep/{}", "d/".repeat(60)));
    let deep = Deep(&path);
    deep.make(10_000);
    fs::remove_file(library.path("fine/2.wav")).unwrap();
    song(&library, "fine/4.wav", 4);
    let run = library.scan().await;
    assert_eq!(run.partial_code(), Some("folder_too_deep"));
    assert!(run.removed.is_empty(), "{run:?}");
    assert_eq!(library.titles(), ["1", "2", "4", "in"]);

    drop(deep);
    let run = library.scan().await;
    assert!(run.is_complete());
    assert_eq!(library.titles(), ["1", "4"]);
}

#[tokio::test]
async fn paths_longer_than_the_system_takes_are_left_out_and_named() {
    let mut library = Library::new();
    song(&library, "fine.wav", 1);
    let wide = "w".repeat(250);
    let top = library.path(&wide);
    fs::create_dir(&top).unwrap();
    let _deep = Deep(&top);
    let mut at = open(&top, OFlag::O_DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..18 {
        mkdirat(&at, wide.as_str(), Mode::S_IRWXU).unwrap();
        at = openat(&at, wide.as_str(), OFlag::O_DIRECTORY, Mode::empty()).unwrap();
    }
    let flags = OFlag::O_CREAT | OFlag::O_WRONLY;
    let file = File::from(openat(&at, "far.wav", flags, Mode::S_IRUSR).unwrap());
    file.write_all_at(&fs::read(library.path("fine.wav")).unwrap(), 0).unwrap();
    let run = library.scan().await;
    assert_eq!(library.titles(), ["fine"]);
    assert_eq!(run.skipped.len(), 1, "{run:?}");
    assert_eq!(run.skipped[0].1, "unreadable");
}

#[tokio::test]
async fn links_in_circles_end() {
    let mut library =
        Library::with(|root| format!(r#"{{"folders": [{root:?}], "watch": false, "follow_links": true}}"#));
    for n in 0..12 {
        song(&library, &format!("{n:02}/{n:02}.wav"), n);
    }
    for (from, to) in (0..12).flat_map(|from| (0..12).map(move |to| (from, to))) {
        symlink(library.path(&format!("{to:02}")), library.path(&format!("{from:02}/to {to:02}"))).unwrap();
    }
    symlink("itself", library.path("itself")).unwrap();
    symlink("b.mp3", library.path("a.mp3")).unwrap();
    symlink("a.mp3", library.path("b.mp3")).unwrap();
    let run = library.scan().await;
    assert_eq!(run.partial_code(), Some("too_many_links"), "every folder leads to every other");
    let mut titles = library.titles();
    titles.dedup();
    assert_eq!(titles.len(), 12);
}

#[tokio::test]
async fn what_is_no_file_is_left_alone() {
    let mut library = Library::new();
    song(&library, "fine.wav", 1);
    mkfifo(&library.path("pipe.mp3"), Mode::S_IRWXU).unwrap();
    mkfifo(&library.path("cover.jpg"), Mode::S_IRWXU).unwrap();
    mkfifo(&library.path("list.m3u"), Mode::S_IRWXU).unwrap();
    let _socket = UnixListener::bind(library.path("socket.flac")).unwrap();
    fs::create_dir(library.path("folder.mp3")).unwrap();
    song(&library, "folder.mp3/inside.wav", 2);
    let zero = nix::sys::stat::makedev(1, 5);
    if let Err(error) = mknod(&library.path("zero.ogg"), SFlag::S_IFCHR, Mode::S_IRWXU, zero) {
        eprintln!("skipped: devices, which only the superuser makes ({error})");
    }
    let run = library.scan().await;
    assert!(run.is_complete());
    assert_eq!((library.titles(), run.skipped), (vec!["fine".to_owned(), "inside".to_owned()], vec![]));
}

#[tokio::test]
async fn files_that_become_something_else_while_a_scan_runs_hold_nothing_up() {
    let mut library = Library::new();
    many(&library, 900);
    let mut run = Run::default();
    let first = library.page(None).await.unwrap();
    let cursor = first.next.clone();
    library.apply(first, &mut run);
    // The last hundred are not read yet.
    let root = library.path("");
    let path = |n: usize| root.join(format!("{:02}/{n:04}.wav", n / 50));
    for n in 800..820 {
        fs::remove_file(path(n)).unwrap();
        mkfifo(&path(n), Mode::S_IRWXU).unwrap();
    }
    for n in 820..840 {
        fs::remove_file(path(n)).unwrap();
        fs::create_dir(path(n)).unwrap();
    }
    for n in 840..860 {
        fs::remove_file(path(n)).unwrap();
    }
    for n in 860..880 {
        File::options().write(true).open(path(n)).unwrap().set_len(30).unwrap();
    }
    for n in 880..900 {
        fs::rename(path(n), path(n).with_extension("other.wav")).unwrap();
    }
    let run = library.scan_from(cursor, run).await;
    assert!(run.is_complete() && run.removed.is_empty());
    assert_eq!(names(&run, "unreadable").len(), 40);
    assert_eq!(names(&run, "damaged").len(), 20);
    assert_eq!(library.tracks().len(), 800);

    for n in 800..820 {
        fs::remove_file(path(n)).unwrap();
    }
    let run = library.scan().await;
    assert!(run.is_complete());
    assert_eq!(library.tracks().len(), 820, "the renamed ones are found by the next run");
}

#[tokio::test]
async fn what_moves_while_a_scan_runs_keeps_its_identity() {
    let mut library = Library::new();
    many(&library, 1000);
    library.scan().await;
    let moving = library.track("0999").clone();
    let aside = library.dir.path().join("aside.wav");
    fs::rename(library.path("19/0999.wav"), &aside).unwrap();
    // So that there is something to read, and the run takes several pages.
    for n in 0..700 {
        song(&library, &format!("{:02}/{n:04}.wav", n / 50), (n + 1) as u8);
    }
    let mut run = Run::default();
    let first = library.page(None).await.unwrap();
    let cursor = first.next.clone();
    assert!(cursor.is_some());
    library.apply(first, &mut run);
    // In neither place while the folders were listed; now it is where they were listed already.
    fs::rename(&aside, library.path("00/moved.wav")).unwrap();
    let run = library.scan_from(cursor, run).await;
    assert!(run.is_complete());
    assert!(run.removed.is_empty(), "{:?}", run.removed);
    assert_eq!(run.moved, [(moving.uri.clone(), library.track("0999").uri.clone())]);
    assert_eq!(library.track("0999").added_at, moving.added_at);
}

#[tokio::test]
async fn a_folder_that_vanishes_while_a_scan_runs_removes_nothing() {
    let mut library = Library::new();
    many(&library, 900);
    library.scan().await;
    for n in 0..700 {
        song(&library, &format!("{:02}/{n:04}.wav", n / 50), (n + 1) as u8);
    }
    fs::remove_file(library.path("17/0899.wav")).unwrap();
    let mut run = Run::default();
    let first = library.page(None).await.unwrap();
    let cursor = first.next.clone();
    library.apply(first, &mut run);
    let aside = library.dir.path().join("aside");
    fs::rename(library.path(""), &aside).unwrap();
    let run = library.scan_from(cursor, run).await;
    assert_eq!(run.partial_code(), Some("folder_missing"));
    assert!(run.removed.is_empty() && run.moved.is_empty());
    assert_eq!(library.tracks().len(), 900);

    fs::rename(&aside, library.path("")).unwrap();
    let run = library.scan().await;
    assert!(run.is_complete());
    assert_eq!(library.tracks().len(), 899);
}

#[tokio::test]
async fn a_renamed_folder_renames_what_is_in_it() {
    let mut library = Library::new();
    many(&library, 600);
    library.scan().await;
    let known = |library: &Library| -> BTreeMap<String, Option<String>> {
        library.tracks().into_iter().map(|track| (track.title.clone(), track.added_at.clone())).collect()
    };
    let before = known(&library);
    // What is taken for new would be of this time.
    library.host.set_now_ms(1_790_000_000_000 + 24 * 3600 * 1000);
    fs::rename(library.path("03"), library.path("zz")).unwrap();
    fs::create_dir(library.path("new")).unwrap();
    fs::rename(library.path("07"), library.path("new/07")).unwrap();
    let run = library.scan().await;
    assert!(run.is_complete());
    // Without an album artist, albums of one title are told apart by their folders.
    assert!(run.removed.iter().all(|uri| uri.kind() == Kind::Album), "{:?}", run.removed);
    assert_eq!(run.moved.len(), 100);
    let after = known(&library);
    let lost: Vec<_> = before.iter().filter(|(title, added)| after.get(*title) != Some(added)).collect();
    assert!(lost.is_empty(), "{} of {}, the first is {:?}", lost.len(), before.len(), lost[0]);
    assert_eq!((library.tracks().len(), before.len()), (600, 600));
    assert!(library.scan().await.is_silent());
}

#[tokio::test]
async fn unreadable_folders_and_files_are_named_and_kept() {
    if nix::unistd::geteuid().is_root() {
        return without_privileges("fire::unreadable_folders_and_files_are_named_and_kept");
    }
    let mut library = Library::new();
    song(&library, "a/1.wav", 1);
    song(&library, "b/2.wav", 2);
    song(&library, "c/3.wav", 3);
    assert!(library.scan().await.is_complete());
    let mode = |rel: &str, mode| fs::set_permissions(library.path(rel), fs::Permissions::from_mode(mode)).unwrap();
    mode("a", 0o000);
    mode("c/3.wav", 0o000);
    // Its names can be listed, but nothing more.
    mode("b", 0o400);
    fs::remove_file(library.path("c/3.wav")).unwrap();
    song(&library, "c/4.wav", 4);
    song(&library, "c/5.wav", 5);
    mode("c/5.wav", 0o000);
    let run = library.scan().await;
    let kept = library.titles();
    let mode = |rel: &str, mode| fs::set_permissions(library.path(rel), fs::Permissions::from_mode(mode)).unwrap();
    mode("a", 0o700);
    mode("b", 0o700);
    assert_eq!(run.partial_code(), Some("folder_unreadable"));
    assert_eq!(names(&run, "unreadable"), ["c/5.wav"]);
    assert!(run.removed.is_empty(), "{run:?}");
    assert_eq!(kept, ["1", "2", "3", "4"]);
    let mode = |rel: &str, mode| fs::set_permissions(library.path(rel), fs::Permissions::from_mode(mode)).unwrap();
    mode("c/5.wav", 0o600);
    assert!(library.scan().await.is_complete());
    assert_eq!(library.titles(), ["1", "2", "4", "5"]);
}

/// Runs a test as somebody whom permissions stop.
fn without_privileges(test: &str) {
    let program = std::env::current_exe().unwrap();
    // Not every folder above the program lets others through.
    let copy = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempfile().unwrap();
    fs::copy(program, copy.path()).unwrap();
    fs::set_permissions(copy.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (_file, path) = copy.into_parts();
    drop(_file);
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&path).args([
        "--exact",
        test,
        "--nocapture",
    ]);
    match command.current_dir("/").output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains("1 passed"), "{said}{output:?}");
        }
        Err(error) => eprintln!("skipped: permissions do not stop the superuser, and setpriv is missing ({error})"),
    }
}

#[tokio::test]
async fn junk_is_not_read_whole() {
    let mut library = Library::new();
    song(&library, "fine.wav", 1);
    for name in ["zeros.mp3", "zeros.flac", "zeros.aac", "zeros.m4a"] {
        File::create(library.path(name)).unwrap().set_len(2 << 30).unwrap();
    }
    // Starts like the real thing, and goes on with nothing for 2 GiB.
    for (name, start) in [
        ("wav.wav", &b"RIFF\xff\xff\xff\x7fWAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0"[..]),
        ("aiff.aiff", b"FORM\x7f\xff\xff\xffAIFF"),
        ("mp4.m4a", b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42isom"),
        ("frame.mp3", b"\xff\xfb\x90\x00"),
        ("adts.aac", b"\xff\xf1\x50\x80\x01\x7f\xfc"),
        ("ogg.ogg", b"OggS\0\x02\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\x01\x1e\x01vorbis"),
        ("ape.ape", b"MAC \x96\x0f\0\0"),
        ("flac.flac", b"fLaC\0\0\0\x22"),
        ("wv.wv", b"wvpk\xff\xff\xff\x7f\x10\x04"),
    ] {
        let file = File::create(library.path(name)).unwrap();
        file.set_len(2 << 30).unwrap();
        file.write_all_at(start, 0).unwrap();
    }
    let mut state = 1_u64;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    for n in 0..20 {
        let bytes: Vec<u8> = (0..1 << 17).flat_map(|_| noise()).collect();
        let extension = ["mp3", "flac", "ogg", "m4a", "aac", "wav", "ape", "wv", "mpc", "aiff"][n % 10];
        fs::write(library.path(&format!("noise {n}.{extension}")), bytes).unwrap();
    }
    let before = bytes_read();
    let run = library.scan().await;
    assert!(run.is_complete());
    assert!(library.titles().contains(&"fine".to_owned()));
    assert_eq!(run.skipped.len() + library.tracks().len(), 1 + 4 + 9 + 20, "each is a track or named: {run:?}");
    let read = bytes_read() - before;
    // The length of an ADTS file without end is found by looking at its frames.
    assert!(read < 1 << 30, "{} MiB of 26 GiB", read >> 20);
}

/// What this process has asked the system to read, in bytes.
fn bytes_read() -> u64 {
    let io = fs::read_to_string("/proc/self/io").unwrap();
    io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

const HUGE: u32 = 100 << 20;

fn sevens(n: u32) -> [u8; 4] {
    [(n >> 21) as u8 & 0x7f, (n >> 14) as u8 & 0x7f, (n >> 7) as u8 & 0x7f, n as u8 & 0x7f]
}

/// An MP3 file with a tag of 100 MB and frames of `size` bytes in it, each of which starts with `head`.
fn huge_id3(path: &Path, mp3: &[u8], frame: &[u8; 4], size: u32, flags: [u8; 2], head: &[u8]) {
    let file = File::create(path).unwrap();
    file.set_len(10 + u64::from(HUGE) + mp3.len() as u64).unwrap();
    file.write_all_at(&[&b"ID3\x04\0\0"[..], &sevens(HUGE)].concat(), 0).unwrap();
    let frames = HUGE / (size + 10);
    for n in 0..u64::from(frames) {
        let frame = [&frame[..], &sevens(size), &flags, head].concat();
        file.write_all_at(&frame, 10 + n * u64::from(size + 10)).unwrap();
    }
    file.write_all_at(mp3, 10 + u64::from(HUGE)).unwrap();
}

/// Puts bytes into a file of which the rest is zeros.
fn sparse(path: &Path, parts: &[(u64, &[u8])], size: u64) {
    let file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    for (at, bytes) in parts {
        file.write_all_at(bytes, *at).unwrap();
    }
}

/// Files whose tags are 100 MB and larger.
fn huge_tags(library: &Library) -> usize {
    write(&library.path("fine.mp3"), 1, &[]);
    let mp3 = fs::read(library.path("fine.mp3")).unwrap();
    let huge = u64::from(HUGE);
    huge_id3(&library.path("text.mp3"), &mp3, b"TIT2", HUGE - 10, [0, 0], b"\x03");
    huge_id3(&library.path("texts.mp3"), &mp3, b"TXXX", 1 << 20, [0, 0], b"\x03x\0y");
    huge_id3(&library.path("tiny.mp3"), &mp3, b"TXXX", 54, [0, 0], b"\x03name\0value");
    huge_id3(&library.path("picture.mp3"), &mp3, b"APIC", HUGE - 10, [0, 0], b"\x03image/jpeg\0\x03\0\xff\xd8\xff");
    huge_id3(&library.path("pictures.mp3"), &mp3, b"APIC", 1 << 20, [0, 0], b"\x03image/jpeg\0\x03\0\xff\xd8\xff");
    huge_id3(&library.path("compressed.mp3"), &mp3, b"TXXX", 1 << 20, [0, 0x08], b"\x78\x9c");
    huge_id3(&library.path("unsynchronised.mp3"), &mp3, b"TXXX", 1 << 20, [0, 0x02], b"\x03x\0\xff\0");
    let wav = b"RIFF\xf0\xff\xff\x0fWAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0";
    let list = [&b"LIST"[..], &HUGE.to_le_bytes(), b"INFOINAM", &(HUGE - 12).to_le_bytes(), b"text"].concat();
    let data = b"data\x40\0\0\0";
    sparse(&library.path("list.wav"), &[(0, wav), (36, &list), (44 + huge, data)], huge + 200);
    let id3 = [&b"id3 "[..], &HUGE.to_le_bytes(), b"ID3\x04\0\0", &sevens(HUGE - 10)].concat();
    sparse(&library.path("id3.wav"), &[(0, wav), (36, &id3), (44 + huge, data)], huge + 200);
    let common = b"COMM\0\0\0\x12\0\x01\0\0\0\x20\0\x10\x40\x0b\xfa\0\0\0\0\0\0\0";
    let name = [&b"NAME"[..], &HUGE.to_be_bytes(), b"text"].concat();
    let aiff = [(0, &b"FORM\x06\x50\0\0AIFF"[..]), (12, common), (38, &name), (46 + huge, b"SSND\0\0\0\x48")];
    sparse(&library.path("name.aiff"), &aiff, huge + 200);
    let atom = |size: u32, name: &[u8; 4]| [&size.to_be_bytes()[..], name].concat();
    let nest = [
        atom(HUGE, b"moov"),
        atom(HUGE - 8, b"udta"),
        [&atom(HUGE - 16, b"meta")[..], &[0; 4]].concat(),
        atom(HUGE - 28, b"ilst"),
        atom(HUGE - 36, b"covr"),
        [&atom(HUGE - 44, b"data")[..], &[0, 0, 0, 13, 0, 0, 0, 0], b"\xff\xd8\xff"].concat(),
    ];
    let ftyp = b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42isom";
    sparse(&library.path("cover.m4a"), &[(0, ftyp), (24, &nest.concat())], huge + 24);
    let moov: Vec<u8> = std::iter::repeat_n(atom(8, b"trak"), 1 << 17).flatten().collect();
    let moov = [atom(8 + (8 << 17), b"moov"), moov].concat();
    sparse(&library.path("atoms.m4a"), &[(0, ftyp), (24, &moov)], 24 + moov.len() as u64);
    let deep: Vec<u8> = (0..100_000_u32).flat_map(|n| atom(8 * (100_000 - n), b"moov")).collect();
    sparse(&library.path("nested.m4a"), &[(0, ftyp), (24, &deep)], 24 + deep.len() as u64);
    let info = &fs::read({
        write(&library.path("fine.flac"), 2, &[]);
        library.path("fine.flac")
    })
    .unwrap()[8..42];
    let mut flac = File::create(library.path("pictures.flac")).unwrap();
    flac.write_all(&[b"fLaC\0\0\0\x22", info].concat()).unwrap();
    for last in [0, 0, 0, 0, 0, 0x80] {
        let size = (1 << 24) - 1_u32;
        let head =
            b"\0\0\0\x03\0\0\0\x0aimage/jpeg\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x00\xff\xff\xd5\xff\xd8\xff";
        let block = [&[6 | last], &size.to_be_bytes()[1..], head].concat();
        flac.write_all(&block).unwrap();
        let end = flac.metadata().unwrap().len() + u64::from(size) - head.len() as u64;
        flac.set_len(end).unwrap();
        std::io::Seek::seek(&mut flac, std::io::SeekFrom::End(0)).unwrap();
    }
    let comments = [&b"fLaC\0\0\0\x22"[..], info, b"\x84\xff\xff\xff\0\0\0\0\xff\xff\xff\x00"].concat();
    sparse(&library.path("comments.flac"), &[(0, &comments)], 1 << 25);
    fs::read_dir(library.path("")).unwrap().count()
}

#[tokio::test]
async fn huge_tags_cost_little() {
    let mut library = Library::new();
    let files = huge_tags(&library);
    let run = library.scan().await;
    assert!(run.is_complete());
    assert_eq!(run.skipped.len() + library.tracks().len(), files, "each is a track or named: {run:?}");
    for title in ["fine", "fine"] {
        assert!(library.titles().contains(&title.to_owned()));
    }
    println!("{:?}\n{:?}", library.titles(), run.skipped);
    let peak = fs::read_to_string("/proc/self/status").unwrap();
    let peak = peak.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak_kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    // What a plugin's process may have is 256 MiB.
    assert!(peak_kib < 200 << 10, "{} MiB", peak_kib >> 10);
}
