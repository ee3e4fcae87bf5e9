use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
    path::Path,
};

use lofty::tag::ItemKey as Key;
use zotify_plugin_api::{Kind, LibraryPage, Listing};

use crate::{
    files::{scramble, write},
    support::{Library, Run},
};

fn song(library: &Library, rel: &str, seed: u8, title: &str, artist: &str, album: &str) {
    let tags =
        [(Key::TrackTitle, title), (Key::TrackArtist, artist), (Key::AlbumArtist, artist), (Key::AlbumTitle, album)];
    write(&library.path(rel), seed, &tags);
}

/// Two artists, three albums, five tracks.
async fn filled() -> Library {
    let mut library = Library::new();
    song(&library, "A/X/1.flac", 1, "One", "A", "X");
    song(&library, "A/X/2.flac", 2, "Two", "A", "X");
    song(&library, "A/Y/1.mp3", 3, "Three", "A", "Y");
    song(&library, "B/Z/1.opus", 4, "Four", "B", "Z");
    song(&library, "B/Z/2.wav", 5, "Five", "B", "Z");
    let run = library.scan().await;
    assert!(run.is_complete() && run.skipped.is_empty(), "{run:?}");
    assert_eq!((library.tracks().len(), library.albums().len(), library.artists().len()), (5, 3, 2));
    library
}

#[tokio::test]
async fn what_did_not_change_is_not_opened() {
    let mut library = filled().await;
    for file in ["A/X/1.flac", "A/Y/1.mp3", "B/Z/2.wav"] {
        scramble(&library.path(file));
    }
    let run = library.scan().await;
    assert!(run.is_complete() && run.is_silent() && run.skipped.is_empty(), "{run:?}");
    library.restart();
    let run = library.scan().await;
    assert!(run.is_complete() && run.is_silent() && run.skipped.is_empty(), "{run:?}");
}

#[tokio::test]
async fn only_what_changed_is_told() {
    let mut library = filled().await;
    song(&library, "A/X/2.flac", 2, "Two, again", "A", "X");
    song(&library, "A/X/3.flac", 9, "New", "A", "X");
    let run = library.scan().await;
    assert_eq!(run.upserted.iter().filter(|uri| uri.kind() == Kind::Track).count(), 2);
    assert_eq!(library.titles(), ["Five", "Four", "New", "One", "Three", "Two, again"]);
    let album = library.albums().into_iter().find(|album| album.title == "X").unwrap();
    assert_eq!(album.track_count, Some(3));
}

#[tokio::test]
async fn what_is_gone_is_removed_with_its_album_and_artist() {
    let mut library = filled().await;
    fs::remove_dir_all(library.path("B")).unwrap();
    fs::remove_file(library.path("A/X/1.flac")).unwrap();
    let run = library.scan().await;
    assert!(run.is_complete());
    let kinds: Vec<_> = run.removed.iter().map(|uri| uri.kind()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == Kind::Track).count(), 3);
    assert_eq!(kinds.iter().filter(|kind| **kind == Kind::Album).count(), 1);
    assert_eq!(kinds.iter().filter(|kind| **kind == Kind::Artist).count(), 1);
    assert_eq!(library.titles(), ["Three", "Two"]);
    let album = library.albums().into_iter().find(|album| album.title == "X").unwrap();
    assert_eq!(album.track_count, Some(1), "an album that lost a track is told anew");

    let run = library.scan().await;
    assert!(run.is_silent(), "{run:?}");
    fs::remove_dir_all(library.path("A")).unwrap();
    song(&library, "other.flac", 9, "Other", "A", "X");
    library.scan().await;
    library.scan().await;
    let kept = library.host.keys();
    assert_eq!(kept, ["meta", "s/0"], "nothing is kept for ever");
}

#[tokio::test]
async fn a_retagged_album_replaces_the_old_one() {
    let mut library = filled().await;
    song(&library, "A/Y/1.mp3", 3, "Three", "C", "W");
    let run = library.scan().await;
    assert_eq!(run.removed.len(), 1, "{run:?}");
    let mut albums: Vec<_> = library.albums().iter().map(|album| album.title.as_str()).collect();
    albums.sort_unstable();
    assert_eq!(albums, ["W", "X", "Z"]);
}

#[tokio::test]
async fn a_moved_file_is_the_same_track() {
    let mut library = filled().await;
    let (one, five) = (library.track("One").clone(), library.track("Five").clone());
    fs::create_dir(library.path("C")).unwrap();
    fs::rename(library.path("A/X/1.flac"), library.path("C/other name.flac")).unwrap();
    // By a copy, the inode changes.
    fs::copy(library.path("B/Z/2.wav"), library.path("C/copied.wav")).unwrap();
    fs::remove_file(library.path("B/Z/2.wav")).unwrap();
    let run = library.scan().await;
    let mut moved: Vec<_> = run.moved.iter().map(|(old, _)| old.clone()).collect();
    moved.sort();
    let mut expected = vec![one.uri, five.uri];
    expected.sort();
    assert_eq!(moved, expected);
    assert!(run.removed.is_empty(), "{run:?}");
    assert_eq!(library.track("One").added_at, one.added_at);
    assert_eq!(library.tracks().len(), 5);
    assert!(library.scan().await.is_silent());
}

#[tokio::test]
async fn a_copy_is_no_move() {
    let mut library = filled().await;
    fs::copy(library.path("B/Z/2.wav"), library.path("B/Z/3.wav")).unwrap();
    let run = library.scan().await;
    assert!(run.moved.is_empty() && run.removed.is_empty());
    assert_eq!(library.tracks().len(), 6);
}

#[tokio::test]
async fn a_first_run_names_everything_even_if_it_was_read_before() {
    let mut library = filled().await;
    let page = library.page(None).await.unwrap();
    assert_eq!(page.listing, Listing::Changes);
    // A host that lost what it had asks from the start.
    let fresh = Library::new();
    library.dir = std::mem::replace(&mut library.dir, fresh.dir);
    let request = zotify_plugin_api::LibraryChanges::default();
    let page =
        zotify_plugin_api::Provider::library_changes(&library.local, zotify_plugin_api::testing::call(request)).await;
    let page = page.unwrap();
    assert_eq!(page.listing, Listing::Everything);
    assert_eq!(page.upsert.rows.len(), 10);
}

#[tokio::test]
async fn a_lost_state_starts_over() {
    let mut library = filled().await;
    fs::remove_dir_all(library.path("B")).unwrap();
    library.host.clear_entries();
    let run = library.scan().await;
    assert!(run.is_complete());
    assert_eq!(library.titles(), ["One", "Three", "Two"], "what is gone is not named");
}

fn many(library: &Library, count: usize) {
    for n in 0..count {
        song(library, &format!("{:02}/{n:04}.wav", n / 50), n as u8, &format!("{n:04}"), "A", "X");
    }
}

#[tokio::test]
async fn a_run_goes_on_after_a_restart_and_reads_nothing_twice() {
    let mut library = Library::new();
    many(&library, 900);
    let mut run = Run::default();
    let first = library.page(None).await.unwrap();
    let cursor = first.next.clone();
    assert!(cursor.is_some());
    let progress = first.progress.unwrap();
    assert_eq!(progress.total, Some(900));
    let read = first.upsert.rows.iter().filter(|item| item.kind() == Kind::Track).count();
    assert_eq!(progress.done, read as u64);
    for n in 0..read {
        scramble(&library.path(&format!("{:02}/{n:04}.wav", n / 50)));
    }
    library.apply(first, &mut run);
    library.restart();
    let run = library.scan_from(cursor, run).await;
    assert!(run.is_complete() && run.skipped.is_empty());
    assert_eq!(library.tracks().len(), 900);
    assert_eq!(run.upserted.iter().filter(|uri| uri.kind() == Kind::Track).count(), 900);
    assert_eq!(library.albums()[0].track_count, Some(900));
}

#[tokio::test]
async fn a_page_that_the_host_never_got_is_told_again() {
    let mut library = Library::new();
    many(&library, 900);
    let lost = library.page(None).await.unwrap();
    // The host asks for the first page again.
    let mut run = Run::default();
    let first = library.page(None).await.unwrap();
    assert_eq!(first.upsert, lost.upsert);
    let cursor = first.next.clone();
    library.apply(first, &mut run);
    let lost = library.page(cursor.as_deref()).await.unwrap();
    library.restart();
    let second = library.page(cursor.as_deref()).await.unwrap();
    let uris = |page: &LibraryPage| {
        let tracks = page.upsert.rows.iter().map(|item| item.uri().clone());
        tracks.filter(|uri| uri.kind() == Kind::Track).collect::<Vec<_>>()
    };
    assert_eq!(uris(&second), uris(&lost));
    let cursor = second.next.clone();
    library.apply(second, &mut run);
    library.scan_from(cursor, run).await;
    assert_eq!(library.tracks().len(), 900);

    // The last page of a later run, with what is gone, gets lost.
    fs::remove_dir_all(library.path("00")).unwrap();
    let lost = library.page(None).await.unwrap();
    assert_eq!(lost.removed.len(), 50);
    library.restart();
    let run = library.scan().await;
    assert_eq!(run.removed.len(), 50);
    assert_eq!(library.tracks().len(), 850);
}

#[tokio::test]
async fn many_removals_take_several_pages() {
    let mut library = Library::new();
    let long = "x".repeat(100);
    for n in 0..2500 {
        fs::create_dir_all(library.path(&long)).unwrap();
        fs::write(library.path(&format!("{long}/{n}.mp3")), []).unwrap();
    }
    song(&library, "keep.wav", 1, "Keep", "A", "X");
    let run = library.scan().await;
    assert_eq!(run.skipped.len(), 2500);
    assert!(run.pages > 5);
    fs::remove_dir_all(library.path(&long)).unwrap();
    let run = library.scan().await;
    assert!(run.is_complete() && run.removed.is_empty(), "what was no track is not removed as one");
}

#[tokio::test]
async fn names_need_not_be_text_or_short() {
    let mut library = Library::new();
    let odd = library.dir.path().join("music").join(OsStr::from_bytes(b"odd \xff\xfe.wav"));
    write(&odd, 1, &[]);
    let long = format!("{}/{}.wav", "d".repeat(200), "f".repeat(200));
    song(&library, &long, 2, "Long", "A", "X");
    song(&library, ".38 Special/...And More/x.wav", 3, "Dots", "A", "X");
    fs::write(library.path("._Dots.wav"), "resource fork").unwrap();
    fs::create_dir(library.path("lost+found")).unwrap();
    song(&library, "lost+found/x.wav", 4, "Junk", "A", "X");
    let run = library.scan().await;
    assert_eq!(run.skipped, []);
    assert_eq!(library.tracks().len(), 3);
    assert!(library.track("Long").uri.id().starts_with("h-"));
    assert!(library.scan().await.is_silent(), "entries of odd names are found again");
    fs::remove_file(odd).unwrap();
    fs::remove_dir_all(library.path(&"d".repeat(200))).unwrap();
    assert_eq!(library.scan().await.removed.len(), 2);
    assert_eq!(library.titles(), ["Dots"]);
}

#[tokio::test]
async fn foreign_cursors_are_refused() {
    let library = Library::new();
    let error = library.page(Some("nonsense")).await.unwrap_err();
    assert_eq!(error.code.as_deref(), Some("cursor_invalid"));
}

#[tokio::test]
async fn links_are_followed_only_on_demand_and_never_out() {
    for follow in [false, true] {
        let mut library =
            Library::with(|root| format!(r#"{{"folders": [{root:?}], "watch": false, "follow_links": {follow}}}"#));
        song(&library, "a/1.wav", 1, "One", "A", "X");
        let outside = library.dir.path().join("outside.wav");
        write(&outside, 2, &[]);
        let link = |to: &Path, at: &str| symlink(to, library.path(at));
        link(&outside, "out.wav").unwrap();
        link(&library.path("a"), "b").unwrap();
        link(&library.path(""), "a/loop").unwrap();
        let run = library.scan().await;
        assert!(run.is_complete(), "{run:?}");
        assert_eq!(library.titles(), if follow { vec!["One", "One"] } else { vec!["One"] });
    }
}
