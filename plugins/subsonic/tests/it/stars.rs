use zotify_plugin_api::prelude::*;

use crate::{server::Manners, support::*};

#[tokio::test]
async fn stars_are_likes() {
    let careless = Manners { stars_last: true, ..Manners::modern() };
    for manners in [Manners::modern(), Manners::old(), careless] {
        let (rig, server) = Rig::of(manners, 2).await;
        let edit = |add: &[&str], remove: &[&str]| {
            let edit = LikesEdit { add: keys(add.iter().copied()), remove: keys(remove.iter().copied()) };
            rig.provider.likes_edit(call(edit))
        };
        let failures = |edited: LikesEdited| {
            let failed = edited.results.rows.into_iter().filter_map(|r| Some((r.uri.native_id(), r.error?.kind)));
            failed.collect::<Vec<_>>()
        };
        assert!(failures(edit(&["so-1", "so-2"], &["so-3"]).await.unwrap()).is_empty());
        // Once more, and one that is not there.
        let again = edit(&["so-2", "nope", "so-4"], &["so-1"]).await.unwrap();
        assert_eq!(again.results.rows.len(), 4);
        assert_eq!(failures(again), [("nope".to_owned(), ErrorKind::NotFound)]);
        let page = rig.provider.likes(call(PageRequest::default())).await.unwrap();
        let ids: Vec<_> = page.likes.rows.iter().map(|like| like.item.uri().native_id()).collect();
        assert_eq!((ids, page.next), (vec!["so-2".to_owned(), "so-4".to_owned()], None));
        assert_eq!(page.likes.rows[0].liked_at.as_deref(), Some("2026-03-04T05:06:07.000Z"));
        let album = LikesEdit { add: vec![key(&"sub:album:al-0".parse().unwrap())], remove: vec![] };
        let refused = rig.provider.likes_edit(call(album)).await.unwrap().results.rows;
        assert_eq!(refused[0].error.as_ref().unwrap().code.as_deref(), Some("not_a_track"));
        server.state().password = "x".into();
        assert_eq!(code(edit(&["so-1"], &[]).await).0, ErrorKind::AuthRequired);
    }
}

#[tokio::test]
async fn plays_are_scrobbled() {
    let (rig, server) = Rig::of(Manners::modern(), 1).await;
    let play = |id: &str, at: &str| {
        let item = Item::Track(Track::new(track(id), "t"));
        rig.provider.history_add(call(Play { item, at: at.into(), heard_ms: None }))
    };
    play("so-1", "2026-01-02T03:04:05.678Z").await.unwrap();
    assert_eq!(server.state().scrobbles, [("so-1".to_owned(), "1767323045678".to_owned())]);
    assert_eq!(code(play("nope", "2026-01-02T03:04:05Z").await).0, ErrorKind::NotFound);
    assert_eq!(code(play("so-1", "yesterday").await).0, ErrorKind::InvalidRequest);
}
