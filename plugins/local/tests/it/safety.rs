use std::{fs, os::unix::fs::PermissionsExt as _};

use lofty::tag::ItemKey as Key;
use serde::Serialize;
use zotify_plugin_api::{Kind, Provider as _, Uri, testing::call};

use crate::{
    files::{scramble, write},
    support::Library,
};

fn song(library: &Library, rel: &str, seed: u8) {
    write(&library.path(rel), seed, &[(Key::TrackTitle, rel), (Key::TrackArtist, "A"), (Key::AlbumTitle, "X")]);
}

async fn filled() -> Library {
    let mut library = Library::new();
    song(&library, "a/1.wav", 1);
    song(&library, "b/2.wav", 2);
    assert!(library.scan().await.is_complete());
    library
}

#[tokio::test]
async fn an_emptied_folder_removes_nothing() {
    let mut library = filled().await;
    let aside = library.dir.path().join("aside");
    fs::rename(library.path(""), &aside).unwrap();
    fs::create_dir(library.path("")).unwrap();
    let run = library.scan().await;
    assert_eq!(run.partial_code(), Some("folder_empty"));
    assert!(run.is_silent(), "{run:?}");

    fs::remove_dir(library.path("")).unwrap();
    let run = library.scan().await;
    assert_eq!(run.partial_code(), Some("folder_missing"));
    assert!(run.is_silent(), "{run:?}");
    let error = library.local.check(call(())).await.unwrap_err();
    assert_eq!(error.code.as_deref(), Some("folder_missing"));

    fs::rename(&aside, library.path("")).unwrap();
    let run = library.scan().await;
    assert!(run.is_complete() && run.is_silent(), "{run:?}");
    assert_eq!(library.tracks().len(), 2);
}

#[tokio::test]
async fn one_missing_folder_holds_back_all_removals_until_it_is_back() {
    let mut library = Library::with(|root| {
        let other = root.with_file_name("other");
        format!(r#"{{"folders": [{root:?}, {other:?}], "watch": false}}"#)
    });
    let other = library.dir.path().join("other");
    song(&library, "1.wav", 1);
    song(&library, "2.wav", 2);
    write(&other.join("3.wav"), 3, &[(Key::TrackTitle, "3")]);
    assert!(library.scan().await.is_complete());

    let aside = library.dir.path().join("aside");
    fs::rename(&other, &aside).unwrap();
    fs::remove_file(library.path("1.wav")).unwrap();
    song(&library, "4.wav", 4);
    let run = library.scan().await;
    assert_eq!(run.partial_code(), Some("folder_missing"));
    assert!(run.removed.is_empty());
    assert_eq!(library.titles(), ["1.wav", "2.wav", "3", "4.wav"], "what is new is told all the same");
    assert_eq!(library.local.check(call(())).await.unwrap().warnings.len(), 1);

    fs::rename(&aside, &other).unwrap();
    let run = library.scan().await;
    assert!(run.is_complete());
    assert_eq!(library.titles(), ["2.wav", "3", "4.wav"]);
}

#[tokio::test]
async fn an_unreadable_folder_removes_nothing() {
    let mut library = filled().await;
    let locked = library.path("a");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
    // The superuser reads it all the same.
    let is_locked = fs::read_dir(&locked).is_err();
    let run = library.scan().await;
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(run.partial_code(), is_locked.then_some("folder_unreadable"));
    assert!(run.is_silent(), "{run:?}");
}

#[tokio::test]
async fn a_drive_inside_a_folder_that_is_not_mounted_removes_nothing() {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};

    let mut library = filled().await;
    let locator = BASE64.decode(library.track("b/2.wav").locator.as_ref().unwrap()).unwrap();
    // Tests cannot mount: the entry says that `b` was another device, where it is none now.
    let mount = BASE64.encode(locator.strip_suffix(b"/2.wav").unwrap());
    library.host.context("local").kv().put("mounts", &[mount]).await.unwrap();
    fs::remove_file(library.path("b/2.wav")).unwrap();
    let run = library.scan().await;
    assert_eq!(run.partial_code(), Some("folder_empty"));
    assert!(run.is_silent(), "{run:?}");
    // Without the directory it is meant.
    fs::remove_dir(library.path("b")).unwrap();
    let run = library.scan().await;
    assert!(run.is_complete());
    assert_eq!(library.titles(), ["a/1.wav"]);
}

#[tokio::test]
async fn a_folder_taken_out_of_the_settings_is_removed() {
    let mut library = filled().await;
    let root = library.path("a");
    let settings = format!(r#"{{"folders": [{root:?}], "watch": false}}"#);
    let settings = serde_json::from_str(&settings).unwrap();
    library.local = zotify_plugin_local::Local::new(library.host.context("local"), settings).unwrap();
    let run = library.scan().await;
    assert!(run.is_complete());
    assert_eq!(library.tracks().len(), 1);
    assert_eq!(run.moved.len(), 1, "the same file under another folder is the same track");
}

#[tokio::test]
async fn what_cannot_be_read_is_named_with_a_reason() {
    let mut library = Library::new();
    let cases: [(&str, &[u8], &str); 7] = [
        ("text.mp3", b"this is a letter to a friend, and no music", "not_audio"),
        ("empty.flac", b"", "not_audio"),
        ("video.ogg", b"OggS\0\x02\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\x01\x1e\x80theora", "unsupported_format"),
        ("cut.flac", b"fLaC\0\0\0\x22\x10", "damaged"),
        ("cut.wav", b"RIFF\x24\0\0\0WAVEfmt ", "damaged"),
        ("picture.m4a", crate::files::JPEG, "not_audio"),
        ("huge.flac", b"fLaC\x84\xff\xff\xff\xff\xff\xff\xff", "damaged"),
    ];
    for (name, bytes, _) in cases {
        fs::write(library.path(name), bytes).unwrap();
    }
    fs::write(library.path("letter.txt"), "ignored").unwrap();
    song(&library, "fine.wav", 1);
    let run = library.scan().await;
    assert!(run.is_complete());
    let mut expected: Vec<_> = cases.iter().map(|(name, _, code)| ((*name).to_owned(), (*code).to_owned())).collect();
    expected.sort();
    let sorted = |mut skipped: Vec<(String, String)>| {
        skipped.sort();
        skipped
    };
    assert_eq!(sorted(run.skipped), expected);
    assert_eq!(library.tracks().len(), 1);
    // They are named again, but not read.
    scramble(&library.path("cut.flac"));
    let run = library.scan().await;
    assert!(run.is_silent());
    assert_eq!(sorted(run.skipped), expected);
}

#[tokio::test]
async fn a_track_that_got_damaged_is_kept() {
    let mut library = filled().await;
    fs::write(library.path("a/1.wav"), "half a copy").unwrap();
    let run = library.scan().await;
    assert!(run.is_complete() && run.removed.is_empty());
    assert_eq!(run.skipped.len(), 1);
    assert_eq!(library.tracks().len(), 2);
    song(&library, "a/1.wav", 7);
    library.scan().await;
    assert_eq!(library.tracks().len(), 2);
    fs::remove_file(library.path("a/1.wav")).unwrap();
    let kinds: Vec<_> = library.scan().await.removed.iter().map(Uri::kind).collect();
    assert_eq!(kinds, [Kind::Track, Kind::Album]);
}

#[derive(Serialize)]
struct Reading {
    files: Vec<String>,
    deaths: u32,
}

#[tokio::test]
async fn a_file_that_ends_the_process_is_left_out_in_the_end() {
    let mut library = filled().await;
    let deadly = library.track("a/1.wav").locator.clone().unwrap();
    song(&library, "a/1.wav", 50);
    song(&library, "b/2.wav", 51);
    let harmless = library.track("b/2.wav").locator.clone().unwrap();
    let kv = library.host.context("local").kv();

    // The process ended while both were read: then each is read alone.
    kv.put("reading", &Reading { files: vec![deadly.clone(), harmless], deaths: 0 }).await.unwrap();
    let page = library.page(None).await.unwrap();
    assert_eq!(page.upsert.rows.iter().filter(|i| i.kind() == Kind::Track).count(), 1);

    // It ended twice over one alone: that one is left out, until it changes.
    kv.put("reading", &Reading { files: vec![deadly], deaths: 1 }).await.unwrap();
    library.restart();
    let run = library.scan().await;
    assert_eq!(run.skipped, [("a/1.wav".to_owned(), "damaged".to_owned())]);
    assert_eq!(library.tracks().len(), 2);
    assert_eq!(library.scan().await.skipped.len(), 1);
    song(&library, "a/1.wav", 52);
    assert_eq!(library.scan().await.skipped, []);
    assert!(!library.host.keys().contains(&"reading".to_owned()));
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused() {
    for settings in [r#"{"folders": []}"#, r#"{"folders": ["relative"]}"#] {
        let (cx, _) = zotify_plugin_api::testing::context("local");
        let settings = serde_json::from_str(settings).unwrap();
        let error = zotify_plugin_local::Local::new(cx, settings).err().unwrap();
        assert_eq!(error.code.as_deref(), Some("settings_invalid"));
    }
}
