//! Playlists in every encoding: entries have ids of their own, and lead to music inside the folders only.
#![no_main]

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use libfuzzer_sys::fuzz_target;
use zotify_plugin_local::fuzzing::{Entry, Music, m3u};

static FOLDER: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let music = root.join("music");
    fs::create_dir_all(music.join("Album")).unwrap();
    for name in ["music/a.mp3", "music/Album/\u{e9}.flac", "music/cover.jpg", "outside.mp3"] {
        fs::write(root.join(name), "x").unwrap();
    }
    std::os::unix::fs::symlink(root.join("outside.mp3"), music.join("link.mp3")).unwrap();
    (dir, music)
});
static MUSIC: LazyLock<Music> = LazyLock::new(|| Music::look(&FOLDER.1, &FOLDER.1.join("list.m3u")));

fuzz_target!(|data: &[u8]| {
    let Ok((name, entries)) = m3u(data) else { return };
    let clean = |text: &Option<String>| text.as_ref().is_none_or(|t| !t.is_empty() && !t.chars().any(char::is_control));
    assert!(clean(&name) && entries.iter().all(|entry| clean(&entry.title)));
    let ids: HashSet<_> = entries.iter().map(|entry| &entry.id).collect();
    assert_eq!(ids.len(), entries.len(), "every entry has an id of its own");
    assert!(entries.iter().all(|entry| !entry.target.is_empty() && !entry.target.contains(['\n', '\r'])));
    if let Ok(text) = std::str::from_utf8(data) {
        encodings(text);
    }
    let first = &entries[..entries.len().min(5)];
    for path in MUSIC.find(first).into_iter().flatten() {
        let known = [Path::new("a.mp3"), Path::new("Album/\u{e9}.flac")];
        assert!(path.strip_prefix(&FOLDER.1).is_ok_and(|rel| known.contains(&rel)), "{path:?}");
    }
});

/// The same text says the same in every encoding that says which it is.
fn encodings(text: &str) {
    let text = format!("\u{feff}{text}");
    let wide = |to: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(to).collect::<Vec<u8>>();
    let said = |bytes: &[u8]| {
        let bare = |entry: Entry| Entry { raw: None, ..entry };
        m3u(bytes).map(|(name, entries)| (name, entries.into_iter().map(bare).collect::<Vec<_>>())).unwrap()
    };
    let utf8 = said(text.as_bytes());
    assert_eq!(said(&wide(u16::to_le_bytes)), utf8);
    assert_eq!(said(&wide(u16::to_be_bytes)), utf8);
}
