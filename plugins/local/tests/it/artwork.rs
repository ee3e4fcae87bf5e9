use std::fs;

use zotify_plugin_api::{
    Artwork, ArtworkRequest, ErrorKind, MediaSource, Provider as _, Result, StreamRequest, Uri,
    testing::{call, collect},
};

use crate::{
    files::{JPEG, write, write_with_picture},
    support::Library,
};

async fn source(library: &Library, uri: &Uri, artwork: &Artwork) -> Result<MediaSource> {
    let request = ArtworkRequest { uri: uri.clone(), locator: Some(artwork.locator.clone()), size: None };
    library.local.artwork(call(request)).await
}

#[tokio::test]
async fn pictures_inside_files_are_streams() {
    let mut library = Library::new();
    write_with_picture(&library.path("x.mp3"), 1, JPEG);
    library.scan().await;
    let track = library.track("With a picture").clone();
    assert_eq!(library.albums()[0].artwork, track.artwork);
    let MediaSource::Stream { token, content_type, size, etag } =
        source(&library, &track.uri, &track.artwork[0]).await.unwrap()
    else {
        panic!("no stream")
    };
    assert_eq!((content_type.as_str(), size), ("image/jpeg", Some(JPEG.len() as u64)));
    for offset in [0, 5, 10_000] {
        let stream = library.local.open_stream(call(StreamRequest { token: token.clone(), offset })).await.unwrap();
        assert_eq!(collect(stream).await.unwrap(), JPEG.get(offset as usize..).unwrap_or_default());
    }

    write_with_picture(&library.path("x.mp3"), 1, &[JPEG, b"!"].concat());
    library.scan().await;
    let changed = library.track("With a picture").clone();
    assert_ne!(changed.artwork, track.artwork, "another picture has another locator");
    let MediaSource::Stream { etag: other, .. } = source(&library, &track.uri, &changed.artwork[0]).await.unwrap()
    else {
        panic!("no stream")
    };
    assert!(etag.is_some() && etag != other);
}

#[tokio::test]
async fn pictures_beside_files_are_files() {
    let mut library = Library::new();
    for disc in ["CD1", "CD2"] {
        write(&library.path(&format!("Artist/Album/{disc}/01 - {disc}.wav")), 1, &[]);
    }
    fs::write(library.path("Artist/Album/folder.png"), "png").unwrap();
    fs::write(library.path("Artist/Album/Cover.JPG"), "jpg").unwrap();
    fs::write(library.path("Artist/Album/CD2/front.webp"), "webp").unwrap();
    fs::write(library.path("Artist/Album/booklet.jpg"), "no cover").unwrap();
    library.scan().await;
    for (title, name, content_type) in
        [("CD1", "Artist/Album/Cover.JPG", "image/jpeg"), ("CD2", "Artist/Album/CD2/front.webp", "image/webp")]
    {
        let track = library.track(title);
        let path = library.path(name).canonicalize().unwrap();
        let expected = MediaSource::File { path, content_type: content_type.into() };
        assert_eq!(source(&library, &track.uri, &track.artwork[0]).await.unwrap(), expected);
    }

    // Another picture makes the files be told anew.
    fs::write(library.path("Artist/Album/Cover.JPG"), "another").unwrap();
    let run = library.scan().await;
    assert!(run.upserted.contains(&library.track("CD1").uri));
    fs::remove_file(library.path("Artist/Album/CD2/front.webp")).unwrap();
    library.scan().await;
    assert_eq!(library.track("CD1").artwork, library.track("CD2").artwork);
}

#[tokio::test]
async fn no_other_file_is_a_picture() {
    let mut library = Library::new();
    write_with_picture(&library.path("x.mp3"), 1, JPEG);
    fs::write(library.path("secret.txt"), "secret").unwrap();
    library.scan().await;
    let track = library.track("With a picture").clone();
    let locator = track.artwork[0].locator.clone();
    let renamed = locator.replacen("tag.", "file.", 1);
    for (locator, kind) in [
        (renamed.as_str(), ErrorKind::InvalidRequest),
        ("file.0.AAAAAAAAAAAA", ErrorKind::InvalidRequest),
        ("nonsense", ErrorKind::InvalidRequest),
        ("", ErrorKind::InvalidRequest),
        ("tag.0.AAAAAAAAeHh4", ErrorKind::NotFound),
    ] {
        let artwork = Artwork { locator: locator.into(), ..Artwork::default() };
        assert_eq!(source(&library, &track.uri, &artwork).await.unwrap_err().kind, kind, "{locator}");
    }
    let request = StreamRequest { token: "nonsense".into(), offset: 0 };
    assert!(library.local.open_stream(call(request)).await.is_err());
    let huge = fs::File::create(library.path("cover.jpg")).unwrap();
    huge.set_len((16 << 20) + 1).unwrap();
    library.scan().await;
    let track = library.track("With a picture").clone();
    assert_eq!(source(&library, &track.uri, &track.artwork[1]).await.unwrap_err().kind, ErrorKind::TooLarge);
}
