use std::fs;

use zotify_plugin_api::{ErrorKind, MediaRequest, MediaSource, Provider as _, Result, Uri, testing::call};

use crate::{files::write, support::Library};

async fn open(library: &Library, uri: &Uri, locator: Option<&str>, format: Option<&str>) -> Result<MediaSource> {
    let request = MediaRequest {
        uri: uri.clone(),
        locator: locator.map(Into::into),
        format: format.map(Into::into),
        max_bitrate: None,
    };
    library.local.open_media(call(request)).await
}

#[tokio::test]
async fn tracks_are_files() {
    let mut library = Library::new();
    write(&library.path("a/x.wav"), 1, &[]);
    let long = format!("{}.mp3", "l".repeat(240));
    write(&library.path(&long), 2, &[]);
    library.scan().await;
    let track = library.track("x").clone();
    let expected =
        MediaSource::File { path: library.path("a/x.wav").canonicalize().unwrap(), content_type: "audio/wav".into() };
    assert_eq!(open(&library, &track.uri, track.locator.as_deref(), None).await.unwrap(), expected);
    assert_eq!(open(&library, &track.uri, None, Some("WAV")).await.unwrap(), expected, "the id is enough");

    let error = open(&library, &track.uri, None, Some("opus")).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_deref()), (ErrorKind::Unsupported, Some("no_transcoding")));

    // 16 bits at 8 kHz are 128 kbit/s.
    let limited = async |max_bitrate| {
        let request = MediaRequest { uri: track.uri.clone(), locator: None, format: None, max_bitrate };
        library.local.open_media(call(request)).await
    };
    assert_eq!(limited(Some(128)).await.unwrap(), expected);
    let error = limited(Some(127)).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_deref()), (ErrorKind::Unsupported, Some("no_transcoding")));

    let long = library.tracks().into_iter().find(|t| t.uri.id().starts_with("h-")).unwrap().clone();
    assert!(open(&library, &long.uri, long.locator.as_deref(), None).await.is_ok());
    assert_eq!(open(&library, &long.uri, None, None).await.unwrap_err().kind, ErrorKind::NotFound);

    fs::remove_file(library.path("a/x.wav")).unwrap();
    assert_eq!(open(&library, &track.uri, None, None).await.unwrap_err().kind, ErrorKind::NotFound);
    fs::remove_dir_all(library.path("")).unwrap();
    let error = open(&library, &track.uri, None, None).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_deref()), (ErrorKind::Unavailable, Some("folder_missing")));
}

#[tokio::test]
async fn nothing_else_can_be_opened() {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};

    let mut library = Library::new();
    write(&library.path("x.wav"), 1, &[]);
    fs::write(library.path("secret.txt"), "secret").unwrap();
    fs::write(library.dir.path().join("outside.wav"), "outside").unwrap();
    std::os::unix::fs::symlink(library.dir.path().join("outside.wav"), library.path("link.wav")).unwrap();
    library.scan().await;
    let track = library.track("x").clone();
    let folder = BASE64.decode(track.uri.id()).unwrap()[..6].to_vec();
    for rel in ["secret.txt", "../outside.wav", "link.wav", "/etc/passwd", ".", "", "a/../../outside.wav", "x.wav/"] {
        let id = BASE64.encode([&folder[..], rel.as_bytes()].concat());
        let uri: Uri = format!("local:track:{id}").parse().unwrap();
        let kind = open(&library, &uri, None, None).await.map(|source| panic!("{rel}: {source:?}")).map_err(|e| e.kind);
        assert_eq!(kind.map(|(): ()| ()), Err(ErrorKind::NotFound), "{rel}");
    }
    let other = "local:track:AAAAAAAAAAAA".parse().unwrap();
    let error = open(&library, &other, track.locator.as_deref(), None).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
    let album = format!("local:album:{}", track.uri.id()).parse().unwrap();
    assert_eq!(open(&library, &album, None, None).await.unwrap_err().kind, ErrorKind::NotFound);
}
