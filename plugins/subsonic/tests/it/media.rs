use zotify_plugin_api::prelude::*;

use crate::{server::Manners, support::*};

fn address(source: MediaSource) -> String {
    match source {
        MediaSource::Http(source) => source.url,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn audio_comes_as_it_is_stored_or_converted() {
    let (rig, _) = Rig::of(Manners::modern(), 1).await;
    let open = |change: fn(&mut MediaRequest)| {
        let mut request = media(&track("so-1"));
        change(&mut request);
        rig.provider.open_media(call(request))
    };
    let url = address(open(|_| {}).await.unwrap());
    assert!(url.starts_with("http://nas.local:4533/rest/download.view?") && url.ends_with("&id=so-1"), "{url}");
    let url = address(open(|r| r.format = Some("mp3".into())).await.unwrap());
    assert!(url.contains("/stream.view?") && url.ends_with("&id=so-1&format=mp3"), "{url}");
    let url = address(open(|r| r.max_bitrate = Some(96)).await.unwrap());
    assert!(url.ends_with("&id=so-1&maxBitRate=96"), "{url}");
    assert_eq!(code(open(|r| r.format = Some("../x".into())).await).1, "no_transcoding");
    assert_eq!(code(open(|r| r.uri = track("nope")).await).0, ErrorKind::NotFound);
    let no_role = Manners { roles: serde_json::json!({"downloadRole": false}), ..Manners::modern() };
    let (rig, _) = Rig::of(no_role, 1).await;
    let url = address(rig.provider.open_media(call(media(&track("so-1")))).await.unwrap());
    assert!(url.contains("/stream.view?") && url.ends_with("&id=so-1&format=raw"), "{url}");
}

#[tokio::test]
async fn pictures_that_are_not_there_are_not_found() {
    for manners in [Manners::modern(), Manners::old()] {
        let (rig, server) = Rig::of(manners, 1).await;
        let artwork = |locator: Option<&str>| {
            let uri = "sub:album:al-0".parse().unwrap();
            rig.provider.artwork(call(ArtworkRequest { uri, locator: locator.map(Into::into), size: Some(300) }))
        };
        assert!(address(artwork(Some("al-0")).await.unwrap()).ends_with("&id=al-0&size=300"));
        assert_eq!(code(artwork(Some("al-1")).await).0, ErrorKind::NotFound);
        assert_eq!(code(artwork(None).await).0, ErrorKind::NotFound);
        server.state().broken = Some((503, "text/html", String::new()));
        assert_eq!(code(artwork(Some("al-0")).await).0, ErrorKind::Unavailable);
    }
}
