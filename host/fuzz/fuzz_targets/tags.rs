//! Music files: reading takes bounded memory and time, and the host keeps every track that comes of it. The input is a
//! byte that says what the file is called, and the file.
#![no_main]

mod support;

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    panic::{set_hook, take_hook},
    path::Path,
    sync::LazyLock,
};

use libfuzzer_sys::fuzz_target;
use zotify_host::mirror::clean::clean;
use zotify_plugin_api::Item;
use zotify_plugin_local::fuzzing::{picture, track};

/// One picture, twice, and what the tags around it take.
const MEMORY: usize = 80 << 20;

static FILE: LazyLock<File> = LazyLock::new(|| tempfile::tempfile().unwrap());

const NAMES: &[&str] = &[
    "Artist/Album/01 - a.mp3",
    "a.flac",
    "a.ogg",
    "a.opus",
    "a.m4a",
    "a.aac",
    "a.wav",
    "a.aiff",
    "a.ape",
    "a.wv",
    "a.mpc",
    "a.spx",
];

fuzz_target!(
    init: {
        // The plugin takes a panic of the library for a file that can't be read.
        let abort = take_hook();
        set_hook(Box::new(move |panic| {
            if panic.location().is_none_or(|at| !at.file().contains("lofty")) {
                abort(panic);
            }
        }));
    },
    |data: &[u8]| {
        let (name, content) = support::choice(data);
        let path = Path::new(NAMES[usize::from(name) % NAMES.len()]);
        let size = content.len() as u64;
        FILE.set_len(0).unwrap();
        FILE.write_all_at(content, 0).unwrap();
        let found = support::within(MEMORY, || track(&FILE, size, path));
        if let Some((length, _)) = support::within(MEMORY, || picture(&FILE, size, path)) {
            assert!((1..=16 << 20).contains(&length));
        }
        let Ok(track) = found else { return };
        assert!(!track.title.is_empty());
        let mut item = Item::Track(track);
        let uri = item.uri().clone();
        clean(&mut item, "local").expect("the host keeps it");
        assert_eq!(item.uri(), &uri);
    }
);
