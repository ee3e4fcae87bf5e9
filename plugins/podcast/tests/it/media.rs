//! Audio and pictures.

use zotify_plugin_api::prelude::*;

use crate::{
    publisher::rss,
    support::{Mirror, ONE, Rig, call, code},
};

fn media(uri: &Uri, locator: Option<String>) -> MediaRequest {
    MediaRequest { uri: uri.clone(), locator, format: None, max_bitrate: None }
}

fn http(source: MediaSource) -> (String, Option<String>) {
    match source {
        MediaSource::Http(source) => (source.url, source.content_type),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn episodes_play_from_where_their_publisher_has_them() {
    let rig = Rig::following(&[ONE]).await;
    rig.web.feed(ONE, &rss("One", "", 0..2));
    let mut mirror = Mirror::default();
    rig.pull(&mut mirror).await;
    let episode = mirror.episodes().into_iter().find(|episode| episode.title == "Episode 1").unwrap();
    let expected = ("https://cdn.example.org/1.mp3".to_owned(), Some("audio/mpeg".to_owned()));
    for locator in [episode.locator.clone(), None, Some("damaged".into())] {
        let source = rig.provider.open_media(call(media(&episode.uri, locator))).await.unwrap();
        assert_eq!(http(source), expected);
    }
    assert_eq!(rig.asked(ONE), 1, "with a locator, no feed is read");

    let wanted = |format: Option<&str>, most| {
        let request = media(&episode.uri, episode.locator.clone());
        rig.provider.open_media(call(MediaRequest { format: format.map(Into::into), max_bitrate: most, ..request }))
    };
    assert!(wanted(Some("mp3"), Some(128)).await.is_ok(), "9.6 MB in ten minutes");
    for (format, most) in [(Some("opus"), None), (None, Some(127))] {
        assert_eq!(code(wanted(format, most).await), (ErrorKind::Unsupported, "no_transcoding".into()));
    }
}

#[tokio::test]
async fn only_the_web_is_named_as_a_source() {
    let rig = Rig::following(&[ONE]).await;
    let feed = rss("One", "", 0..2)
        .replace("https://cdn.example.org/1.mp3", "file:///etc/passwd")
        .replace("https://cdn.example.org/One.jpg", "data:image/png;base64,AAAA");
    rig.web.feed(ONE, &feed);
    let mut mirror = Mirror::default();
    rig.pull(&mut mirror).await;
    let broken = mirror.episodes().into_iter().find(|episode| episode.title == "Episode 1").unwrap();
    assert_eq!((broken.playable, &broken.audio, &broken.locator), (Some(false), &None, &None));
    let missing = rig.provider.open_media(call(media(&broken.uri, None))).await;
    assert_eq!(code(missing), (ErrorKind::NotFound, "no_audio".into()));
    let forged = Some(r#"{"url": "file:///etc/passwd", "type": "audio/mpeg"}"#.to_owned());
    assert!(rig.provider.open_media(call(media(&broken.uri, forged))).await.is_err());
    assert!(mirror.shows()[0].artwork.is_empty());
    for locator in ["file:///etc/passwd", "data:image/png;base64,AAAA"] {
        let request = ArtworkRequest { uri: broken.uri.clone(), locator: Some(locator.into()), size: None };
        assert_eq!(rig.provider.artwork(call(request)).await.unwrap_err().kind, ErrorKind::NotFound);
    }
    let shows = rig.provider.open_media(call(media(&mirror.shows()[0].uri, None))).await;
    assert_eq!(shows.unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn pictures_are_those_of_the_episode_or_its_show() {
    let rig = Rig::following(&[ONE]).await;
    let own = "<itunes:image href=\"/own.jpg\"/></item>";
    let feed = rss("One", "", 0..2).replacen("</item>", own, 1);
    rig.web.feed(ONE, &feed);
    let mut mirror = Mirror::default();
    rig.pull(&mut mirror).await;
    for (title, locators, picture) in [
        ("Episode 0", vec!["https://one.example.org/own.jpg"], "https://one.example.org/own.jpg"),
        ("Episode 1", vec![], "https://cdn.example.org/One.jpg"),
    ] {
        let episode = mirror.episodes().into_iter().find(|episode| episode.title == title).unwrap();
        assert_eq!(episode.artwork.iter().map(|artwork| artwork.locator.as_str()).collect::<Vec<_>>(), locators);
        let request = ArtworkRequest { uri: episode.uri.clone(), locator: None, size: None };
        assert_eq!(http(rig.provider.artwork(call(request)).await.unwrap()), (picture.to_owned(), None));
    }
}
