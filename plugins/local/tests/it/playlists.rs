use std::fs;

use lofty::tag::ItemKey as Key;
use zotify_plugin_api::{
    ErrorKind, Item, PageRequest, Playlist, PlaylistEntry, PlaylistItems, PlaylistPage, Provider as _, Result,
    testing::call,
};

use crate::{files::write, support::Library};

async fn playlists(library: &Library, limit: u32) -> Vec<Playlist> {
    let mut all = Vec::new();
    let mut cursor = None;
    loop {
        let page = library.local.playlists(call(PageRequest { cursor, limit })).await.unwrap();
        all.extend(page.items.rows.into_iter().map(|item| match item {
            Item::Playlist(playlist) => playlist,
            other => panic!("{other:?}"),
        }));
        cursor = page.next;
        if cursor.is_none() {
            return all;
        }
    }
}

async fn items(library: &Library, playlist: &Playlist, page: PageRequest) -> Result<PlaylistPage> {
    let request = PlaylistItems { uri: playlist.uri.clone(), locator: playlist.locator.clone(), page };
    library.local.playlist_items(call(request)).await
}

fn shown(entry: &PlaylistEntry) -> String {
    match (&entry.item, &entry.title) {
        (Some(Item::Track(track)), None) => track.title.clone(),
        (None, Some(title)) => format!("? {title}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn entries_are_found_however_they_are_spelled() {
    let mut library = Library::new();
    let titled = |rel: &str, title| write(&library.path(rel), 1, &[(Key::TrackTitle, title)]);
    titled("A/One.wav", "One");
    titled("A/Zwei ü%.mp3", "Two");
    titled("lists/near.flac", "Near");
    fs::write(library.dir.path().join("outside.wav"), "outside").unwrap();
    let root = library.path("").canonicalize().unwrap();
    let root = root.display();
    let text = format!(
        "#EXTM3U\n#PLAYLIST:My list\nnear.flac\n../A/One.wav\n..\\a\\ONE.WAV\n{root}/A/One.wav\nfile://{root}/A/One.wav\n\
         ../A/Zwei u\u{308}%.mp3\n../A/Zwei%20%C3%BC%25.mp3\n\
         #EXTINF:3,Gone - Away\n../A/gone.wav\n../../outside.wav\nhttps://example.org/x.mp3\n../../../../../etc/passwd\n"
    );
    fs::write(library.path("lists/list.m3u8"), text).unwrap();
    library.scan().await;

    let list = playlists(&library, 0).await.remove(0);
    assert_eq!((list.name.as_str(), list.item_count, list.editable), ("My list", Some(11), false));
    let page = items(&library, &list, PageRequest::default()).await.unwrap();
    assert_eq!(page.version, list.version);
    let titles: Vec<_> = page.entries.rows.iter().map(shown).collect();
    let expected = [
        "Near",
        "One",
        "One",
        "One",
        "One",
        "Two",
        "Two",
        "? Gone - Away",
        "? ../../outside.wav",
        "? https://example.org/x.mp3",
        "? ../../../../../etc/passwd",
    ];
    assert_eq!(titles, expected);
    let Some(Item::Track(track)) = &page.entries.rows[1].item else { panic!("no track") };
    assert_eq!(track.uri, library.track("One").uri, "the same track as in the library");
    let mut ids: Vec<_> = page.entries.rows.iter().map(|entry| &entry.entry_id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 11);
}

#[tokio::test]
async fn a_windows_playlist_names_utf8_files_and_odd_ones() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

    let mut library = Library::new();
    write(&library.path("é.wav"), 1, &[(Key::TrackTitle, "Text")]);
    write(&library.path("").join(OsStr::from_bytes(b"\xe8.wav")), 2, &[(Key::TrackTitle, "Bytes")]);
    fs::write(library.path("old.m3u"), b"\xe9.wav\r\n\xe8.wav\r\n").unwrap();
    library.scan().await;
    let list = playlists(&library, 0).await.remove(0);
    assert_eq!(list.name, "old");
    let page = items(&library, &list, PageRequest::default()).await.unwrap();
    assert_eq!(page.entries.rows.iter().map(shown).collect::<Vec<_>>(), ["Text", "Bytes"]);
}

#[tokio::test]
async fn long_playlists_come_in_pages() {
    let mut library = Library::new();
    write(&library.path("x.wav"), 1, &[]);
    for n in 0..5 {
        fs::write(library.path(&format!("{n}.m3u")), "x.wav\n".repeat(230)).unwrap();
    }
    library.scan().await;
    assert_eq!(playlists(&library, 2).await.len(), 5);

    let list = playlists(&library, 0).await.remove(0);
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let page = items(&library, &list, PageRequest { cursor: cursor.take(), limit: 0 }).await.unwrap();
        seen.extend(page.entries.rows.into_iter().map(|entry| entry.entry_id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 230);

    let first = items(&library, &list, PageRequest::default()).await.unwrap();
    fs::write(library.path("0.m3u"), "x.wav\n").unwrap();
    let error = items(&library, &list, PageRequest { cursor: first.next, limit: 0 }).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert_ne!(playlists(&library, 0).await[0].version, list.version);
    for cursor in ["", "x", "x.y", "1"] {
        let page = PageRequest { cursor: Some(cursor.into()), limit: 0 };
        assert_eq!(items(&library, &list, page).await.unwrap_err().code.as_deref(), Some("cursor_invalid"), "{cursor}");
    }
}

#[tokio::test]
async fn what_is_too_large_or_gone_is_an_error() {
    let mut library = Library::new();
    write(&library.path("x.wav"), 1, &[]);
    fs::write(library.path("fine.m3u"), "x.wav").unwrap();
    fs::write(library.path("huge.m3u"), vec![b'#'; (4 << 20) + 1]).unwrap();
    library.scan().await;
    let lists = playlists(&library, 0).await;
    let names: Vec<_> = lists.iter().map(|list| (list.name.as_str(), list.version.is_some())).collect();
    assert_eq!(names, [("fine", true), ("huge", false)], "one that cannot be read must not look deleted");
    assert_eq!(items(&library, &lists[1], PageRequest::default()).await.unwrap_err().kind, ErrorKind::TooLarge);

    fs::remove_file(library.path("fine.m3u")).unwrap();
    assert_eq!(items(&library, &lists[0], PageRequest::default()).await.unwrap_err().kind, ErrorKind::NotFound);
    fs::remove_dir_all(library.path("")).unwrap();
    let error = library.local.playlists(call(PageRequest::default())).await.unwrap_err();
    assert_eq!(error.code.as_deref(), Some("folder_missing"));
}
